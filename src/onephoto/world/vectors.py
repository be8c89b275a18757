"""Arithmetic of points, directions and colours as three scalars, for compiled code: no small arrays in inner loops."""

import math
import zlib
from pathlib import Path
from typing import Any

from numba import njit
from numpy.typing import NDArray

Triple = tuple[float, float, float]

COMPILED_FILES = (
    "vectors", "noise", "garment", "visibility", "fibres", "shadow", "paint", "shading", "raster",
)  # fmt: skip
SOURCES = zlib.crc32(b"".join(Path(__file__).with_name(f"{name}.py").read_bytes() for name in COMPILED_FILES))
"""Fingerprint of all compiled code. Kernels take it as a last argument that nobody passes: defaults are part of the
signature under which Numba caches a kernel, and of the sources it only watches the kernel's own file.
"""

COMPILE = {"cache": True, "error_model": "numpy"}
"""Of kernels that Python calls."""
INLINED = {"error_model": "numpy"}
"""Of pieces that only kernels call: they end up in the kernel's cached code and need none of their own."""


@njit(**INLINED)
def dot(a: Triple, b: Triple) -> float:
    """Inner product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@njit(**INLINED)
def plus(a: Triple, b: Triple, share: float = 1.0) -> Triple:
    """`a` plus a share of `b`."""
    return a[0] + b[0] * share, a[1] + b[1] * share, a[2] + b[2] * share


@njit(**INLINED)
def times(a: Triple, b: Triple) -> Triple:
    """Product by component."""
    return a[0] * b[0], a[1] * b[1], a[2] * b[2]


@njit(**INLINED)
def scaled(a: Triple, factor: float) -> Triple:
    """`a` times a number."""
    return a[0] * factor, a[1] * factor, a[2] * factor


@njit(**INLINED)
def mix(a: Triple, b: Triple, share: float) -> Triple:
    """From `a` at share 0 to `b` at share 1."""
    keep = 1 - share
    return a[0] * keep + b[0] * share, a[1] * keep + b[1] * share, a[2] * keep + b[2] * share


@njit(**INLINED)
def unit(a: Triple) -> Triple:
    """Direction of `a`; of nothing, some direction."""
    length = math.sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2])
    return (a[0] / length, a[1] / length, a[2] / length) if length > 1e-12 else (0.0, 0.0, 1.0)


@njit(**INLINED)
def clamp(value: float, low: float = 0.0, high: float = 1.0) -> float:
    """Value kept within [low, high]."""
    return low if value < low else (high if value > high else value)


@njit(**INLINED)
def smooth(start: float, end: float, value: float) -> float:
    """Smooth step from 0 at `start` to 1 at `end` (start may be the larger)."""
    t = clamp((value - start) / (end - start))
    return t * t * (3 - 2 * t)


@njit(**INLINED)
def point3(rows: NDArray[Any], index: int) -> Triple:
    """Row `index` of an (n, >=3) array, in double precision like every other scalar."""
    return 1.0 * rows[index, 0], 1.0 * rows[index, 1], 1.0 * rows[index, 2]


@njit(**INLINED)
def part3(row: NDArray[Any], first: int) -> Triple:
    """Three numbers of a flat array, from `first` on."""
    return 1.0 * row[first], 1.0 * row[first + 1], 1.0 * row[first + 2]


@njit(**INLINED)
def corners3(triangles: NDArray[Any], index: int) -> tuple[int, int, int]:
    """The three vertices of a triangle."""
    return triangles[index, 0], triangles[index, 1], triangles[index, 2]


@njit(**INLINED)
def within(rows: NDArray[Any], corners: tuple[int, int, int], wb: float, wc: float) -> Triple:
    """Value of an (n, >=3) array inside a triangle, by the weights of its second and third corner."""
    return (
        within1(rows, corners, wb, wc, 0),
        within1(rows, corners, wb, wc, 1),
        within1(rows, corners, wb, wc, 2),
    )


@njit(**INLINED)
def within1(rows: NDArray[Any], corners: tuple[int, int, int], wb: float, wc: float, column: int) -> float:
    """One column of an (n, columns) array inside a triangle."""
    a, b, c = corners
    return (1 - wb - wc) * rows[a, column] + wb * rows[b, column] + wc * rows[c, column]
