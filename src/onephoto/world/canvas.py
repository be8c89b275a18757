"""A small picture in linear light that is painted layer by layer, and the noise that makes it look natural."""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter

Floats = NDArray[np.float32]

SIZE = 160
"""Pixels along a canvas; backdrops are out of focus, so larger pictures enlarge it."""
COARSE, MEDIUM, FINE = (4, 5), (8, 5), (32, 4)
"""Cells and octaves of the noise sheets."""


@lru_cache(maxsize=8)
def _sheet(cells: int, octaves: int) -> Floats:
    """Fractal value noise (SIZE, SIZE) in [0, 1] that tiles; each octave has half the size and half the weight."""
    rng = np.random.default_rng([cells, octaves])
    total = np.zeros((SIZE, SIZE))
    for octave in range(octaves):
        count = cells << octave
        grid = np.pad(rng.random((count, count)), ((0, 1), (0, 1)), "wrap")
        place = np.linspace(0, count, SIZE, endpoint=False)
        cell = place.astype(int)
        share = place - cell
        share = share * share * (3 - 2 * share)
        rows = grid[cell] * (1 - share[:, None]) + grid[cell + 1] * share[:, None]
        total += (rows[:, cell] * (1 - share) + rows[:, cell + 1] * share) / 2**octave
    low, high = total.min(), total.max()
    return ((total - low) / (high - low)).astype(np.float32)


def noise(rng: np.random.Generator, scale: tuple[int, int]) -> Floats:
    """Value noise (SIZE, SIZE) in [0, 1] of one of the scales above, from a random place of its sheet."""
    return np.roll(_sheet(*scale), tuple(rng.integers(SIZE, size=2)), (0, 1))


def skyline(rng: np.random.Generator) -> Floats:
    """A jagged height (SIZE,) in [0, 1] for every column: random lines of ever finer grain."""
    columns = np.linspace(0, 1, SIZE)
    grains = ((5, 1.0), (9, 0.55), (19, 0.25), (41, 0.11))
    lines = [weight * np.interp(columns, np.linspace(0, 1, n), rng.random(n)) for n, weight in grains]
    line = np.sum(lines, 0)
    return ((line - line.min()) / (line.max() - line.min())).astype(np.float32)


class Canvas:
    """Linear RGB (SIZE, SIZE, 3) under coordinates `x` to the right and `y` downwards, both (SIZE, SIZE) in [0, 1)."""

    def __init__(self) -> None:
        self.y, self.x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) / SIZE
        self.image = np.zeros((SIZE, SIZE, 3), np.float32)

    def layer(self, colour: ArrayLike, mask: ArrayLike = 1.0) -> None:
        """Paint a colour, (3,) or (SIZE, SIZE, 3), over what is there; `mask` (SIZE, SIZE) in [0, 1] or one number."""
        cover = np.broadcast_to(np.clip(mask, 0, 1), self.x.shape)[..., None]
        self.image = (self.image * (1 - cover) + np.asarray(colour, np.float32) * cover).astype(np.float32)

    def ramp(self, first: ArrayLike, last: ArrayLike, place: ArrayLike, mask: ArrayLike = 1.0) -> None:
        """Paint a mixture of two colours: `place` 0 is the first, 1 the last."""
        share = np.broadcast_to(np.clip(place, 0, 1), self.x.shape)[..., None]
        self.layer(np.asarray(first) * (1 - share) + np.asarray(last) * share, mask)

    def shade(self, factor: ArrayLike, mask: ArrayLike = 1.0) -> None:
        """Brighten or darken by a factor (SIZE, SIZE)."""
        self.layer(self.image * np.broadcast_to(factor, self.x.shape)[..., None], mask)

    def glow(self, colour: ArrayLike, amount: ArrayLike) -> None:
        """Add light of a colour (3,), `amount` (SIZE, SIZE) strong."""
        self.image = self.image + (np.asarray(colour) * np.asarray(amount)[..., None]).astype(np.float32)

    def blurred(self, pixels: float) -> Floats:
        """The picture out of focus (SIZE, SIZE, 3)."""
        return np.maximum(gaussian_filter(self.image, (pixels, pixels, 0)), 0).astype(np.float32)
