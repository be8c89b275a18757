"""Hashed value noise for procedural paint, compiled."""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

COMPILE = {"cache": True, "error_model": "numpy", "inline": "never"}


@njit(**COMPILE)
def clamp(value: float, low: float = 0.0, high: float = 1.0) -> float:
    """Value kept within [low, high]."""
    return low if value < low else (high if value > high else value)


@njit(**COMPILE)
def smooth(start: float, end: float, value: float) -> float:
    """Smooth step from 0 at `start` to 1 at `end` (start may be the larger)."""
    t = clamp((value - start) / (end - start))
    return t * t * (3 - 2 * t)


@njit(**COMPILE)
def lattice(x: int, y: int, z: int) -> float:
    """Hash of a lattice point in [0, 1)."""
    h = np.uint32(x * 374761393 + y * 668265263 + z * 2147483647)
    h = np.uint32((h ^ (h >> np.uint32(13))) * np.uint32(1274126177))
    h = np.uint32((h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    h = np.uint32(h ^ (h >> np.uint32(13)))
    return (h & np.uint32(0xFFFFFF)) / 16777216.0


@njit(**COMPILE)
def value_noise(x: float, y: float, z: float) -> float:
    """Smooth noise in [0, 1] with one cell a unit."""
    i, j, k = math.floor(x), math.floor(y), math.floor(z)
    u, v, w = x - i, y - j, z - k
    u, v, w = u * u * (3 - 2 * u), v * v * (3 - 2 * v), w * w * (3 - 2 * w)
    low = 0.0
    high = 0.0
    for b in range(2):
        weight = v if b else 1 - v
        low += weight * (lattice(i, j + b, k) * (1 - u) + lattice(i + 1, j + b, k) * u)
        high += weight * (lattice(i, j + b, k + 1) * (1 - u) + lattice(i + 1, j + b, k + 1) * u)
    return low * (1 - w) + high * w


@njit(**COMPILE)
def row3(rows: NDArray[Any], index: int) -> tuple[float, float, float]:
    """One row of an (n,3) array as three scalars; compiled code cannot unpack arrays."""
    return rows[index, 0], rows[index, 1], rows[index, 2]
