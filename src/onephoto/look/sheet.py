"""Contact sheets: pictures in a grid, with titles above the columns and labels before the rows."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

PAPER, INK = (250, 249, 247), (40, 40, 44)
MARGIN, TEXT = 8, 15
SMALLEST = 192
"""Pictures with a smaller side are enlarged by a whole factor to at least this."""


def enlarged(image: Image.Image, smallest: int = SMALLEST) -> Image.Image:
    """A small picture enlarged by a whole factor, smoothly."""
    factor = max(1, -(-smallest // min(image.size)))
    size = (image.width * factor, image.height * factor)
    return image if factor == 1 else image.resize(size, Image.Resampling.LANCZOS)


def contact_sheet(
    rows: Sequence[Sequence[Image.Image]],
    *,
    titles: Sequence[str] = (),
    labels: Sequence[str] = (),
    heading: str = "",
    smallest: int = SMALLEST,
) -> Image.Image:
    """Rows of pictures of one size as one picture; titles name columns, labels name rows.

    Pictures with a side below `smallest` pixels are enlarged.
    """
    cells = [[enlarged(image.convert("RGB"), smallest) for image in row] for row in rows]
    width, height = cells[0][0].size
    font = ImageFont.load_default(TEXT)
    left = MARGIN + (max(int(font.getlength(label)) for label in labels) + MARGIN if labels else 0)
    top = MARGIN + (TEXT + MARGIN) * (bool(heading) + bool(titles))
    columns = max(len(row) for row in cells)
    sheet = Image.new("RGB", (left + columns * (width + MARGIN), top + len(cells) * (height + MARGIN)), PAPER)
    pen = ImageDraw.Draw(sheet)
    if heading:
        pen.text((MARGIN, MARGIN), heading, INK, font)
    for column, title in enumerate(titles):
        place = (left + column * (width + MARGIN), top - TEXT - MARGIN)
        pen.text(place, shortened(title, width, font), INK, font)
    for number, row in enumerate(cells):
        y = top + number * (height + MARGIN)
        if labels:
            pen.text((MARGIN, y + height // 2 - TEXT // 2), labels[number], INK, font)
        for column, image in enumerate(row):
            sheet.paste(image, (left + column * (width + MARGIN), y))
    return sheet


def stacked(sheets: Sequence[Image.Image]) -> Image.Image:
    """Sheets one below the other."""
    whole = Image.new("RGB", (max(sheet.width for sheet in sheets), sum(sheet.height for sheet in sheets)), PAPER)
    for number, sheet in enumerate(sheets):
        whole.paste(sheet, (0, sum(before.height for before in sheets[:number])))
    return whole


def shortened(text: str, width: int, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """Text cut with dots to a width in pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
