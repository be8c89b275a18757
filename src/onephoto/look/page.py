"""Pieces of a page that needs nothing but itself: no network, pictures as data."""

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources

from PIL import Image

SIDE, QUALITY = 192, 82
"""Largest side of a picture in a grid, and the quality of its WebP."""


@dataclass(frozen=True)
class Cell:
    """A picture of a grid and the words below it, which are HTML."""

    image: Image.Image | None
    under: str = ""


def page(title: str, *blocks: str) -> str:
    """The whole document."""
    style = resources.files("onephoto.look").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style></head>\n<body><main>\n"
        + "\n".join(blocks)
        + "\n</main></body></html>\n"
    )


def heading(title: str, lead: str) -> str:
    """The page's title and the sentence below it."""
    return f"<header><h1>{escape(title)}</h1>{text(lead, 'lead')}</header>"


def section(title: str, *blocks: str) -> str:
    """A part of the page."""
    return f"<section><h2>{escape(title)}</h2>\n" + "\n".join(blocks) + "\n</section>"


def text(words: str, kind: str = "") -> str:
    """A paragraph."""
    return f"<p{_kind(kind)}>{escape(words)}</p>"


def subheading(words: str) -> str:
    """The title of a block within a section."""
    return f"<h3>{escape(words)}</h3>"


def verdict(sentences: Iterable[str]) -> str:
    """What came out, set apart."""
    return '<div class="verdict">' + "".join(text(sentence) for sentence in sentences) + "</div>"


def plot(png: bytes, about: str) -> str:
    """A plot in a card; about says in words what it shows."""
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return (
        f'<div class="card"><figure><img src="{source}" alt="{escape(about)}">'
        f"<figcaption>{escape(about)}</figcaption></figure></div>"
    )


def footer(date: str) -> str:
    """The page's last line."""
    return (
        f"<footer>Drawn {escape(date)} by onephoto. All numbers here are made from rows.csv beside this page.</footer>"
    )


def side_by_side(*blocks: str) -> str:
    """Blocks beside each other where there is room."""
    return '<div class="pair">' + "\n".join(blocks) + "</div>"


def table(header: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    """A table in a card; each row is its kind ("", "ours", "unlearned") and its cells, the first one its name."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    lines = [
        f"<tr{_kind(kind)}><th>{escape(cells[0])}</th>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells[1:])
        + "</tr>"
        for kind, cells in rows
    ]
    return (
        f'<div class="card scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>'
        + "\n".join(lines)
        + "</tbody></table></div>"
    )


def grid(header: Sequence[tuple[str, str]], rows: Sequence[Sequence[Cell]]) -> str:
    """Pictures in rows; the header holds (kind, name) of each column. The first column stays in view."""
    head = "".join(f"<th{_kind(kind)}>{escape(name)}</th>" for kind, name in header)
    lines = ["<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return (
        f'<div class="card scroll"><table class="grid"><thead><tr>{head}</tr></thead>\n<tbody>'
        + "\n".join(lines)
        + "</tbody></table></div>"
    )


def definitions(pairs: Sequence[tuple[str, str]]) -> str:
    """Words and what they mean."""
    return "<dl>" + "".join(f"<dt>{escape(word)}</dt><dd>{escape(means)}</dd>" for word, means in pairs) + "</dl>"


def folded(title: str, words: str) -> str:
    """Lines that are shown when asked for."""
    return f"<details><summary>{escape(title)}</summary><pre>{escape(words)}</pre></details>"


def webp(image: Image.Image, side: int = SIDE) -> str:
    """A picture as data for an <img>."""
    small = image.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    small.save(stream, format="WEBP", quality=QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _cell(cell: Cell) -> str:
    under = f'<div class="under">{cell.under}</div>' if cell.under else ""
    if cell.image is None:
        return under
    return f'<img src="{webp(cell.image)}" alt="" loading="lazy">{under}'


def _kind(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
