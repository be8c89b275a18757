"""Parts of a page that comparison and study share: pictures and maps, people in rows and variants in columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from onephoto.evaluate.people import saved_image
from onephoto.evaluate.plan import Variant
from onephoto.evaluate.report import Results, attention_of
from onephoto.evaluate.rows import Row, picture_path
from onephoto.look import page as pieces
from onephoto.look.heatmap import heatmap
from onephoto.look.page import Cell

NOT_POSSIBLE = "not possible"
SHOWN_PEOPLE = 6
"""People in a grid."""


@dataclass(frozen=True)
class Column:
    """A variant, what its column is called, and whether it is "ours"."""

    variant: Variant
    title: str
    kind: str = ""


def pictures_of(results: Results, of: Row, columns: Sequence[Column]) -> str:
    """A grid of the pictures of a row's prompt: photo first, then each variant, with ID and whether it fits."""
    cells = []
    for person in results.people[:SHOWN_PEOPLE]:
        rows = cell_rows(results, of, person)
        drawn = [_picture(results, column.variant, rows[column.variant.name]) for column in columns]
        cells.append([Cell(results.sitters[person].photo), *drawn])
    return pieces.subheading(prompt_in_words(of)) + pieces.grid(_header(columns), cells)


def prompt_in_words(row: Row) -> str:
    """A prompt for readers."""
    return "\u201c" + row.prompt.replace("{other}", "another").replace("{}", "\u2026") + "\u201d"


def cell_rows(results: Results, of: Row, person: int) -> dict[str, Row]:
    """Every variant's row of one person and the prompt of a row."""
    place = (person, of.set, of.number)
    return {row.method: row for row in results.rows if (row.person, row.set, row.number) == place}


def first_prompts(results: Results, name: str, count: int) -> list[Row]:
    """A row of each of a set's first prompts."""
    rows = {row.number: row for row in results.rows if row.set == name}
    return [rows[number] for number in sorted(rows)[:count]]


def opened(folder: Path, variant: Variant, row: Row) -> Image.Image | None:
    """A row's picture, None where it is gone."""
    path = picture_path(folder, variant, row.person, row.set, row.number, subject=row.subject)
    return saved_image(path) if path.exists() else None


def attention_section(results: Results, columns: Sequence[Column]) -> list[str]:
    """A section with the map of the learned word under every variant, if attention was looked at."""
    seen = attention_of(results)
    people = [person for person in results.people if any(key[1] == person for key in seen)]
    if not people:
        return []
    rows = []
    for person in people:
        row = [Cell(results.sitters[person].photo)]
        for column in columns:
            one = seen.get((column.variant.name, person))
            share = "" if one is None or np.isnan(one.on_face) else f"{one.on_face:.0%} on the face"
            row.append(Cell(None) if one is None else Cell(heatmap(one.image, one.map), share))
        rows.append(row)
    note = (
        "Where the learned word acts, mean over layers, heads and steps; unlearned, the class word itself. Each map is "
        "scaled to its own maximum; the share is of the whole map inside the box of the face found in the picture."
    )
    grid = pieces.grid(_header(columns), rows)
    return [pieces.section("Where the learned word looks", pieces.text(note, "note"), grid)]


def _header(columns: Sequence[Column]) -> list[tuple[str, str]]:
    return [("", "photo"), *((column.kind, column.title) for column in columns)]


def _picture(results: Results, variant: Variant, row: Row) -> Cell:
    if row.impossible:
        return Cell(None, NOT_POSSIBLE)
    mark = '<span class="yes">\u2713</span>' if row.passes else '<span class="no">\u00d7</span>'
    return Cell(opened(results.folder, variant, row), f"{row.id:.2f} {mark}")
