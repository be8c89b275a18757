"""Where a garment covers the body: one function for the kernel and for whoever dresses a figure."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from onephoto.world.drawing import NECKS, SLEEVES
from onephoto.world.noise import COMPILE

CREW, V_NECK, SCOOP, TURTLE = range(4)
SHORT, LONG, TANK = range(3)


@njit(**COMPILE)
def cover_at(x: float, y: float, z: float, neck: int, sleeve: int) -> float:
    """Signed cover at a paint point: positive under cloth, 0 at the hem, negative on bare skin (decimetres)."""
    across = abs(x)
    depth = (z - 0.25) * (0.9 if z < 0.25 else 0.5)
    ring = math.sqrt(x * x + depth * depth) - (1.0 if neck == SCOOP else 0.8)
    shoulder = -0.8 * (y - (5.46 + (0.75 - z) * 0.40))
    # The two surfaces are blended where they meet, or the neckline shows a notch.
    blend = max(0.22 - abs(ring - shoulder), 0.0) / 0.22
    cover = max(ring, shoulder) - 0.055 * blend * blend + 0.04
    if neck == V_NECK and z > 0.2:
        cover = min(cover, -0.65 * (y - (4.85 + 1.1 * across)))
    elif neck == SCOOP and z > 0.2:
        cover = min(cover, -(y - (5.0 + 0.6 * across * across)))
    elif neck == TURTLE:
        cover = min(0.3, 6.16 - y)
    if sleeve == TANK:
        return min(cover, 1.28 + 0.25 * min(2.0, max(0.0, 5.6 - y)) - across)
    return min(cover, (2.55 if sleeve == SHORT else 4.12) - across)


@njit(**COMPILE)
def _cover(points: NDArray[np.float32], neck: int, sleeve: int) -> NDArray[np.float32]:
    cover = np.empty(len(points), np.float32)
    for row in range(len(points)):
        cover[row] = cover_at(points[row, 0], points[row, 1], points[row, 2], neck, sleeve)
    return cover


def garment_cover(paint_points: NDArray[np.float32], neck: str, sleeve: str) -> NDArray[np.float32]:
    """Signed cover of paint points: (V,3) -> (V,), positive where the garment covers the body."""
    return _cover(np.ascontiguousarray(paint_points, np.float32), NECKS.index(neck), SLEEVES.index(sleeve))
