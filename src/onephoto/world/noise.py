"""Hashed value noise for procedural paint, and the hashed turns of sampling patterns; compiled."""

import math

import numpy as np
from numba import njit

from onephoto.world.vectors import INLINED, Triple

TURNS = np.stack([np.cos(np.arange(32) * np.pi / 16), np.sin(np.arange(32) * np.pi / 16)], 1)
"""Cosine and sine of 32 turns: a table, because sines would cost more than the samples they place."""
GOLDEN_ANGLE = 2.4
"""Radians between taps, so that they fill a disc evenly."""


def spiral(taps: int, power: float) -> np.ndarray:
    """Offsets (taps, 2) in the unit disc along a spiral; `power` .5 spreads them evenly, 1 gathers them inside."""
    k = np.arange(taps)
    radius = ((k + 0.5) / taps) ** power
    return np.stack([radius * np.cos(GOLDEN_ANGLE * k), radius * np.sin(GOLDEN_ANGLE * k)], 1)


@njit(**INLINED)
def hashed(x: int, y: int, z: int) -> np.uint32:
    """32 random bits of a lattice point."""
    h = np.uint32(x * 374761393 + y * 668265263 + z * 2147483647)
    h = np.uint32((h ^ (h >> np.uint32(13))) * np.uint32(1274126177))
    h = np.uint32((h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    return np.uint32(h ^ (h >> np.uint32(13)))


@njit(**INLINED)
def lattice(x: int, y: int, z: int) -> float:
    """Hash of a lattice point in [0, 1)."""
    return (hashed(x, y, z) & np.uint32(0xFFFFFF)) / 16777216.0


@njit(**INLINED)
def value_noise(x: float, y: float, z: float) -> float:
    """Smooth noise in [0, 1] with one cell a unit."""
    i, j, k = math.floor(x), math.floor(y), math.floor(z)
    u, v, w = x - i, y - j, z - k
    u, v, w = u * u * (3 - 2 * u), v * v * (3 - 2 * v), w * w * (3 - 2 * w)
    a = lattice(i, j, k) * (1 - u) + lattice(i + 1, j, k) * u
    b = lattice(i, j + 1, k) * (1 - u) + lattice(i + 1, j + 1, k) * u
    c = lattice(i, j, k + 1) * (1 - u) + lattice(i + 1, j, k + 1) * u
    d = lattice(i, j + 1, k + 1) * (1 - u) + lattice(i + 1, j + 1, k + 1) * u
    return (a * (1 - v) + b * v) * (1 - w) + (c * (1 - v) + d * v) * w


@njit(**INLINED)
def noise_slope(x: float, y: float, z: float) -> Triple:
    """Gradient of `value_noise` at a point, exact: one look at the cell's corners instead of four noises."""
    i, j, k = math.floor(x), math.floor(y), math.floor(z)
    u, v, w = x - i, y - j, z - k
    du, dv, dw = 6 * u * (1 - u), 6 * v * (1 - v), 6 * w * (1 - w)
    u, v, w = u * u * (3 - 2 * u), v * v * (3 - 2 * v), w * w * (3 - 2 * w)
    a, b = lattice(i, j, k), lattice(i + 1, j, k)
    c, d = lattice(i, j + 1, k), lattice(i + 1, j + 1, k)
    e, f = lattice(i, j, k + 1), lattice(i + 1, j, k + 1)
    g, h = lattice(i, j + 1, k + 1), lattice(i + 1, j + 1, k + 1)
    near, far = a + (b - a) * u, c + (d - c) * u
    near_up, far_up = e + (f - e) * u, g + (h - g) * u
    along_x = ((b - a) * (1 - v) + (d - c) * v) * (1 - w) + ((f - e) * (1 - v) + (h - g) * v) * w
    along_y = (far - near) * (1 - w) + (far_up - near_up) * w
    along_z = (near_up + (far_up - near_up) * v) - (near + (far - near) * v)
    return along_x * du, along_y * dv, along_z * dw
