"""The rows of a comparison: one a picture, with everything needed to repeat it, and what learning cost."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from onephoto.evaluate.plan import BASE, PERSON, Variant, write_whole

CLASS_NOTE = "class-pictures.json"
"""What the class pictures of a comparison cost, which people and methods share."""
ID, IMAGE = "ID", "Image"
"""Kinds of likeness: of faces, and of whole pictures."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One picture and what was measured on it.

    distance, to_second: of the face to the photo and to the second picture, nan where no face was found; of two people
    the mean. faces: how many were found. detect: which share of the people in the prompt has a face. id, similarity,
    passes, id_p: likeness, fit of the prompt, whether it passes, likeness where it does. likeness says which: ID, of
    faces by dlib's network, or Image, of whole pictures by the prompt's judge, for things, of which faces and detect
    say nothing. told_apart: which share of the other people of the comparison the face is farther from than from its
    own person, by their photos. second_id, second_told: ID and that share in the opinion of face_judge, nan where
    nobody gave one. looks: which share of the person's sex, hair and beard can be read in the picture, nan where nobody
    reads, of two people and of things. impossible: why the method cannot make the picture, "" where it can. The rest
    repeats the row: learning, drawing and versions are JSON, weights and judges are fingerprints.
    """

    method: str
    person: int
    second_person: int | None
    set: str
    number: int
    prompt: str
    seed: int
    faces: int
    detect: float
    distance: float
    to_second: float
    id: float
    similarity: float
    passes: bool
    id_p: float
    subject: str
    model: str
    weights: str
    learning: str
    drawing: str
    judge: str
    versions: str
    likeness: str = ID
    told_apart: float = float("nan")
    second_id: float = float("nan")
    second_told: float = float("nan")
    looks: float = float("nan")
    face_judge: str = ""
    impossible: str = ""


@dataclass(frozen=True)
class Cost:
    """What one identity cost: seconds to learn it, bytes to keep it."""

    method: str
    person: int
    seconds: float
    bytes: int


def rows_path(folder: Path, variant: str, person: int) -> Path:
    """Where the rows of one variant and person lie."""
    return folder / "rows" / f"{variant}-{person}.json"


def picture_path(
    folder: Path, variant: Variant, person: int, set_name: str, number: int, *, subject: str
) -> Path:  # fmt: skip
    """Where one picture lies; the base's are the same for everybody, and for every thing of a kind."""
    kind = "" if subject == PERSON else f"-{subject.replace(' ', '-')}"
    whose = f"{variant.name}{kind}" if variant.method == BASE else f"{variant.name}-{person}"
    return folder / "pictures" / whose / f"{set_name.replace(' ', '-')}-{number}.png"


def save_rows(path: Path, rows: Sequence[Row]) -> None:
    """The rows as JSON, whole or not at all."""
    write_whole(path, json.dumps([asdict(row) for row in rows], indent=1))


def load_rows(path: Path) -> list[Row]:
    """The rows again; none where the file is missing."""
    return [Row(**fields) for fields in json.loads(path.read_text(encoding="utf-8"))] if path.exists() else []


def write_table(records: Sequence[Row] | Sequence[Cost], path: Path) -> None:
    """Rows or costs as CSV."""
    fields: list[dict[str, Any]] = [asdict(record) for record in records]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(fields[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(fields)
    write_whole(path, stream.getvalue())


def plain_json(value: Any) -> str:
    """JSON in one line with sorted keys: equal values give equal texts."""
    return json.dumps(value, sort_keys=True, default=str)
