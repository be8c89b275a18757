"""Hair finer than a pixel: each segment of a strand is walked along its longer side, and every pixel it touches gets
the share of it that the segment covers, so that hair has soft edges without noise.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from onephoto.world.vectors import COMPILE, INLINED, SOURCES, clamp

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

OPAQUE = 0.004
"""Share of what is behind that may still show where hair counts as closed."""


class Fibres(NamedTuple):
    """What a pixel shows of hair: `clear` (H,W) the share of what is behind that shows between the strands; of the
    strand that is most to be seen its nearness `nearest`, its `segment` (point it begins with, of N*P; -1 for none)
    and the place `along` the segment in [0, 1].
    """

    clear: Floats
    nearest: Floats
    segment: Ints
    along: Floats


def no_fibres(size: tuple[int, int], far: float) -> Fibres:
    """Buffers for (H,W) pixels without hair; nothing has a nearness as low as `far`."""
    return Fibres(
        np.ones(size, np.float32),
        np.full(size, far, np.float32),
        np.full(size, -1, np.int32),
        np.zeros(size, np.float32),
    )


@njit(**INLINED)
def _covered(distance: float, half: float) -> float:
    """Share of a pixel, `distance` from the middle of a band of half width `half`, that the band covers."""
    return clamp(min(half, distance + 0.5) - max(-half, distance - 0.5))


@njit(**COMPILE)
def fill_fibres(
    screen: Floats, halves: Floats, behind: Floats, favour: float, clear: Floats, nearest: Floats, segment: Ints,
    along: Floats, sources: int = SOURCES,
) -> None:  # fmt: skip
    """Lay strands over what is at nearness `behind` (H,W): points `screen` (N*P,3), half widths `halves` (N,P) pixels.

    Negative widths are not drawn. Of two strands the nearer is seen; `favour` is how much nearness a fully covering
    one gains over a faint one.
    """
    height, width = clear.shape
    strands, count = halves.shape
    for s in range(strands):
        for k in range(count - 1):
            q = s * count + k
            wide = max(halves[s, k], halves[s, k + 1])
            if wide <= 0 or min(halves[s, k], halves[s, k + 1]) < 0:
                continue
            ax, ay, az = 1.0 * screen[q, 0], 1.0 * screen[q, 1], 1.0 * screen[q, 2]
            dx, dy, dz = screen[q + 1, 0] - ax, screen[q + 1, 1] - ay, screen[q + 1, 2] - az
            steep = abs(dy) > abs(dx)
            start, run = (ay, dy) if steep else (ax, dx)
            side, drift = (ax, dx) if steep else (ay, dy)
            if run == 0:
                continue
            steps, lanes = (height, width) if steep else (width, height)
            tilt = abs(run) / math.hypot(dx, dy)
            reach = (wide + 0.5) / tilt
            if max(side, side + drift) + reach < 0 or min(side, side + drift) - reach > lanes:
                continue
            first = max(0, math.ceil(min(start, start + run) - 0.5))
            last = min(steps, math.ceil(max(start, start + run) - 0.5))
            for i in range(first, last):
                t = (i + 0.5 - start) / run
                middle, near = side + t * drift, az + t * dz
                half = (1 - t) * halves[s, k] + t * halves[s, k + 1]
                for j in range(max(0, math.ceil(middle - reach - 0.5)), min(lanes, math.floor(middle + reach + 0.5))):
                    y, x = (i, j) if steep else (j, i)
                    if near <= behind[y, x] or (clear[y, x] < OPAQUE and near + favour <= nearest[y, x]):
                        continue
                    share = _covered(abs(j + 0.5 - middle) * tilt, half)
                    if share <= 0:
                        continue
                    clear[y, x] *= 1 - share
                    if near + favour * share > nearest[y, x]:
                        nearest[y, x] = near + favour * share
                        segment[y, x] = q
                        along[y, x] = t
