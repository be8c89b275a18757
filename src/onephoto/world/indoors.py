"""Painted backdrops of walls and rooms; each painter fills a canvas and returns the colour word of its wall."""

import numpy as np

from onephoto.world.canvas import COARSE, FINE, MEDIUM, Canvas, Floats, noise
from onephoto.world.skin import linear, smoothstep

STUDIO_RGB = {
    "grey": (150, 154, 160), "white": (206, 206, 204), "blue": (88, 112, 156), "brown": (150, 116, 90),
    "green": (104, 142, 112), "black": (44, 46, 52), "beige": (212, 190, 160), "purple": (140, 112, 158),
    "pink": (214, 160, 172), "yellow": (216, 190, 110), "red": (160, 62, 58), "teal": (70, 138, 142),
}  # fmt: skip
BRICK_RGB = {
    "red": (158, 74, 56), "brown": (128, 84, 64), "orange": (184, 112, 80), "white": (204, 198, 190),
    "grey": (140, 138, 136),
}  # fmt: skip
ROOM_RGB = {
    "beige": (206, 194, 172), "blue": (150, 172, 188), "orange": (204, 160, 130), "green": (134, 154, 128),
    "white": (216, 214, 208), "yellow": (214, 196, 140),
}  # fmt: skip
DOOR_RGB = {
    "white": (220, 220, 216), "grey": (150, 154, 158), "brown": (120, 82, 56), "green": (74, 108, 84),
    "blue": (86, 112, 146), "red": (142, 54, 48),
}  # fmt: skip
"""Colours of walls and doors by their word, sRGB."""
FRAME, SHELF = linear((238, 236, 230)), linear((92, 62, 42))
SHELF_HEIGHT, BOOK_WIDTH = 0.15, 0.021


def _colour(rng: np.random.Generator, colours: dict[str, tuple[int, int, int]]) -> tuple[str, Floats]:
    word = list(colours)[int(rng.integers(len(colours)))]
    return word, linear(colours[word])


def paint_studio(canvas: Canvas, rng: np.random.Generator) -> str:
    """Plain paper, lit from one side."""
    word, colour = _colour(rng, STUDIO_RGB)
    distance = np.hypot(canvas.x - rng.uniform(0.2, 0.45), canvas.y - rng.uniform(0.35, 0.55))
    canvas.layer(colour)
    canvas.shade(1.22 - rng.uniform(0.4, 1.0) * distance + 0.05 * noise(rng, MEDIUM))
    return word


def _bricks(canvas: Canvas, rng: np.random.Generator, colour: Floats, rows: int) -> None:
    """Courses of bricks, every second one moved by half a brick, each brick of its own tone."""
    course = canvas.y * rows
    along = canvas.x * rows * 0.45 + 0.5 * (np.floor(course) % 2)
    tone = rng.random(997)[(np.floor(along) * 7 + np.floor(course) * 131).astype(int) % 997]
    weather = 0.75 + 0.5 * noise(rng, FINE)
    canvas.layer(colour * ((0.7 + 0.5 * tone) * weather)[..., None])
    mortar = ((along % 1) < 0.05) | ((course % 1) < 0.11)
    mortar_colour = linear((178, 170, 160)) * (0.45 + 0.55 * min(1.0, 0.3 + float(colour.mean()) * 3))
    canvas.layer(mortar_colour * (0.8 + 0.3 * noise(rng, FINE)[..., None]), mortar)


def paint_brick_wall(canvas: Canvas, rng: np.random.Generator) -> str:
    """A wall of bricks."""
    word, colour = _colour(rng, BRICK_RGB)
    _bricks(canvas, rng, colour, int(rng.integers(11, 18)))
    canvas.shade(1.1 - 0.5 * np.abs(canvas.x - rng.uniform(0.15, 0.4)))
    return word


def _window(canvas: Canvas, rng: np.random.Generator, centre: tuple[float, float]) -> None:
    """A window with its frame and the garden beyond."""
    across, down = np.abs(canvas.x - centre[0]), np.abs(canvas.y - centre[1])
    width, height = rng.uniform(0.12, 0.16), rng.uniform(0.2, 0.26)
    pane = (across < width) & (down < height)
    green = smoothstep(-0.02, 0.1, canvas.y - centre[1] + 0.1 * noise(rng, MEDIUM) - 0.05)
    canvas.ramp(1.35 * linear((156, 200, 238)), 1.2 * linear((146, 186, 108)), green, pane)
    bars = (np.abs(across - width) < 0.012) | (across < 0.006) | (np.abs(down - height) < 0.012) | (down < 0.005)
    canvas.layer(FRAME, bars & (across < width + 0.012) & (down < height + 0.012))


def _bookshelf(canvas: Canvas, rng: np.random.Generator, centre: float) -> None:
    """A shelf of many-coloured books."""
    left = canvas.x - centre + 0.17
    case = (left > 0) & (left < 0.34) & (canvas.y > 0.16) & (canvas.y < 0.82)
    colours = rng.random((64, 3)) ** 2 * 0.6 + 0.03
    place = np.clip(left / BOOK_WIDTH, 0, 15).astype(int) + 16 * ((canvas.y - 0.16) / SHELF_HEIGHT).astype(int)
    up = ((canvas.y - 0.16) / SHELF_HEIGHT) % 1
    books = case & (up > 0.4 * colours[place % 64, 0]) & (up < 0.92)
    canvas.layer(SHELF, case)
    canvas.layer(colours[place % 64], books)
    canvas.shade(0.6, books & ((left / BOOK_WIDTH) % 1 < 0.14))


def paint_room(canvas: Canvas, rng: np.random.Generator) -> str:
    """A wall with a window, a bookshelf or a picture on it."""
    word, colour = _colour(rng, ROOM_RGB)
    canvas.layer(colour * (0.93 + 0.1 * noise(rng, COARSE)[..., None]))
    canvas.shade(1.1 - 0.35 * canvas.x)
    if rng.random() < 0.85:
        _window(canvas, rng, (rng.uniform(0.17, 0.27), rng.uniform(0.3, 0.38)))
    if rng.random() < 0.7:
        _bookshelf(canvas, rng, rng.uniform(0.76, 0.86))
    else:
        _picture(canvas, rng, (rng.uniform(0.74, 0.84), rng.uniform(0.26, 0.36)))
    return word


def _picture(canvas: Canvas, rng: np.random.Generator, centre: tuple[float, float]) -> None:
    """A framed painting of two colours."""
    across, down = np.abs(canvas.x - centre[0]), np.abs(canvas.y - centre[1])
    canvas.layer(SHELF, (across < 0.13) & (down < 0.16))
    canvas.ramp(
        rng.random(3) ** 1.5, rng.random(3) ** 1.5, 2 * noise(rng, COARSE) - 0.5, (across < 0.11) & (down < 0.14)
    )


def paint_garage(canvas: Canvas, rng: np.random.Generator) -> str:
    """A house front with a wide panelled door and a drive before it."""
    x, y = canvas.x, canvas.y
    if rng.random() < 0.4:
        _bricks(canvas, rng, _colour(rng, BRICK_RGB)[1], int(rng.integers(20, 26)))
    else:
        canvas.layer(_colour(rng, ROOM_RGB)[1] * (0.85 + 0.2 * noise(rng, FINE)[..., None]))
    word, colour = _colour(rng, DOOR_RGB)
    centre, width, top, foot = 0.5 + rng.uniform(-0.06, 0.06), rng.uniform(0.36, 0.42), rng.uniform(0.12, 0.22), 0.84
    across = (x - centre) / width
    door = (np.abs(across) < 1) & (y > top) & (y < foot)
    canvas.layer(FRAME * 0.8, (np.abs(across) < 1.07) & (y > top - 0.03) & (y < foot))
    panel = ((y - top) / (foot - top) * 5) % 1
    column = ((across + 1) * 2) % 1
    canvas.layer(colour, door)
    rim = np.minimum(np.minimum(panel, 1 - panel), 1.6 * np.minimum(column, 1 - column))
    canvas.shade(np.where(rim < 0.05, 0.5, np.where(rim < 0.14, np.where(panel < 0.5, 0.82, 1.12), 1.0)), door)
    canvas.layer(
        linear((60, 74, 88)), door & (panel > 0.2) & (panel < 0.8) & (rim > 0.14) & (y < top + (foot - top) / 5)
    )
    drive = linear((150, 146, 140)) * (0.85 + 0.25 * noise(rng, FINE)[..., None])
    canvas.layer(drive, smoothstep(-0.004, 0.004, y - foot))
    return word
