"""Where a garment covers the body: one function for the kernel and for whoever dresses a figure."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from onephoto.world.drawing import NECKS, SLEEVES
from onephoto.world.vectors import COMPILE

CREW, V_NECK, SCOOP, TURTLE = range(4)
SHORT, LONG, TANK = range(3)

SHORT_SLEEVE, LONG_SLEEVE = 1.25, 2.05
"""Length of sleeves: along the upper arm from the shoulder, along the forearm from the elbow (decimetres)."""


@njit(**COMPILE)
def _neckline(x: float, y: float, z: float, scoop: bool) -> float:
    """Signed cover about the neck: the line sinks from nape and sides to the front, and rises away from the neck."""
    depth = z - 0.2
    radius = math.sqrt(x * x + depth * depth) + 1e-6
    front = depth / radius
    height = 5.72 - 0.30 * front - 0.42 * front * front if scoop else 5.78 - 0.20 * front - 0.20 * front * front
    return (height - y + 0.6 * (radius - (0.92 if scoop else 0.70))) / 1.17


@njit(**COMPILE)
def _sleeve(across: float, y: float, z: float, sleeve: int) -> float:
    """Signed cover about the arm at rest: cut across upper arm or forearm; a tank top has none."""
    if sleeve == TANK:
        return 1.28 + 0.25 * min(2.0, max(0.0, 5.6 - y)) - across
    if sleeve == LONG:
        return LONG_SLEEVE - (0.52 * (across - 3.13) + 0.46 * (3.49 - y) + 0.72 * (z - 0.13))
    along = 0.638 * (across - 1.68) + 0.770 * (5.25 - y)
    below = -0.770 * (across - 1.68) - 0.638 * (y - 5.25)
    # Far below the arm's axis lies the trunk, which sleeves do not end.
    return max(SHORT_SLEEVE - along, below - 0.75)


@njit(**COMPILE)
def cover_at(x: float, y: float, z: float, neck: int, sleeve: int) -> float:
    """Signed cover at a paint point: positive under cloth, 0 at the hem, negative on bare skin (decimetres)."""
    across = abs(x)
    cover = 6.16 - y if neck == TURTLE else _neckline(x, y, z, neck == SCOOP)
    if neck == V_NECK and z > 0.2:
        cover = min(cover, -0.65 * (y - (4.85 + 1.1 * across)))
    return min(0.3, cover, _sleeve(across, y, z, sleeve))


@njit(**COMPILE)
def _cover(points: NDArray[np.float32], neck: int, sleeve: int) -> NDArray[np.float32]:
    cover = np.empty(len(points), np.float32)
    for row in range(len(points)):
        cover[row] = cover_at(points[row, 0], points[row, 1], points[row, 2], neck, sleeve)
    return cover


def garment_cover(paint_points: NDArray[np.float32], neck: str, sleeve: str) -> NDArray[np.float32]:
    """Signed cover of paint points: (V,3) -> (V,), positive where the garment covers the body."""
    return _cover(np.ascontiguousarray(paint_points, np.float32), NECKS.index(neck), SLEEVES.index(sleeve))
