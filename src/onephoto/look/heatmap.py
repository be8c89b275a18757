"""Heat maps of words over a picture."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onephoto.look.sheet import SMALLEST, contact_sheet, enlarged, stacked

MAP = np.array(
    [
        (0, 0, 4),
        (40, 11, 84),
        (101, 21, 110),
        (159, 42, 99),
        (212, 72, 66),
        (245, 125, 21),
        (250, 193, 39),
        (252, 255, 164),
    ]
)
"""Nodes of a perceptual colour map, dark to light (the values of matplotlib's inferno, CC0)."""
PICTURE_SHARE = 0.4
"""How much of the picture's brightness shows under a map."""
WIDEST = 6
"""Pictures in one row of a strip."""


def coloured(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Values in [0, 1], (H, W), as colours (H, W, 3)."""
    nodes = np.linspace(0, 1, len(MAP))
    channels = [np.interp(np.clip(values, 0, 1), nodes, MAP[:, channel]) for channel in range(3)]
    return (np.stack(channels, -1) + 0.5).astype(np.uint8)


def heatmap(image: Image.Image, word_map: NDArray[np.floating], *, highest: float | None = None) -> Image.Image:
    """A word's map (size, size) over a picture; full colour at `highest`, by default the map's own maximum."""
    highest = float(word_map.max()) if highest is None else highest
    smooth = Image.fromarray(np.asarray(word_map / max(highest, 1e-12), np.float32)).resize(
        image.size, Image.Resampling.BICUBIC
    )
    colours = coloured(np.asarray(smooth)).astype(np.float32)
    grey = np.asarray(image.convert("L"), np.float32)[..., None]
    mixed = colours * (1 - PICTURE_SHARE + PICTURE_SHARE * grey / 255) + PICTURE_SHARE * 0.35 * grey
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


def word_strip(
    image: Image.Image, words: Sequence[str], maps: NDArray[np.floating], *, widest: int = WIDEST,
    smallest: int = SMALLEST,
) -> Image.Image:  # fmt: skip
    """The picture and, for each word, its map (W, size, size), each scaled to its own maximum; `widest` in a row."""
    shown = enlarged(image.convert("RGB"), smallest)
    cells = [("picture", shown), *((word, heatmap(shown, m)) for word, m in zip(words, maps, strict=True))]
    sheets = [
        contact_sheet([[cell for _, cell in part]], titles=[title for title, _ in part], smallest=smallest)
        for part in (cells[start : start + widest] for start in range(0, len(cells), widest))
    ]
    return stacked(sheets)
