"""Soft bodies sculpted from lumps that flow into one another: a distance field, and the mesh of its surface.

Lengths are decimetres; lumps are round limbs and ellipsoids, joined by a smooth minimum (Quilez 2013), and the surface
is found by naive surface nets (Gibson 1998).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onephoto.world.solids import Solid

Floats = NDArray[np.float32]

UNTOUCHED = 1e3
"""Distance where no lump reaches."""


@dataclass(frozen=True)
class Lump:
    """A round limb from `start` to `end` with a radius at each; `flat` (3,) stretches it about its start."""

    start: ArrayLike
    end: ArrayLike
    radii: tuple[float, float]
    flat: ArrayLike = field(default=(1.0, 1.0, 1.0))

    def distance(self, points: Floats) -> Floats:
        """Distance to the surface, negative inside: (n,3) -> (n,); rough where the lump is stretched."""
        stretch = np.asarray(self.flat, np.float32)
        first = np.asarray(self.start, np.float32)
        place = (points - first) / stretch
        axis = (np.asarray(self.end, np.float32) - first) / stretch
        square = float(axis @ axis)
        share = np.clip(place @ axis / square, 0, 1) if square > 1e-9 else np.zeros(len(points), np.float32)
        away = place - share[:, None] * axis
        length = np.sqrt(np.einsum("ij,ij->i", away, away))
        inside = length - (self.radii[0] + share * (self.radii[1] - self.radii[0]))
        steep = np.sqrt(np.einsum("ij,ij->i", away / stretch, away / stretch))
        return (inside * np.where(length > 1e-6, length / np.maximum(steep, 1e-6), stretch.min())).astype(np.float32)

    def box(self) -> NDArray:
        """Corners (2,3) of a box about the lump."""
        ends = np.stack([np.asarray(self.start, float), np.asarray(self.end, float)])
        reach = np.array(self.radii)[:, None] * np.asarray(self.flat, float)
        return np.stack([(ends - reach).min(0), (ends + reach).max(0)])


def ellipsoid(centre: ArrayLike, radii: ArrayLike) -> Lump:
    """A lump with three radii."""
    return Lump(centre, centre, (1.0, 1.0), radii)


def chain(path: ArrayLike, radii: Sequence[float]) -> list[Lump]:
    """Limbs along a path (n,3) with a radius (n,) at every point."""
    line = np.asarray(path, float)
    return [Lump(line[k], line[k + 1], (radii[k], radii[k + 1])) for k in range(len(line) - 1)]


def sculpted(lumps: Sequence[Lump], *, blend: float, cell: float) -> Solid:
    """The surface of lumps that flow together over a length `blend`, on a grid with cells of size `cell`."""
    boxes = np.stack([lump.box() for lump in lumps])
    low = boxes[:, 0].min(0) - 3 * cell
    counts = np.ceil((boxes[:, 1].max(0) + 3 * cell - low) / cell).astype(int) + 1
    values = np.full(counts, UNTOUCHED, np.float32)
    for lump, (first, last) in zip(lumps, boxes, strict=True):
        reach = 2 * cell + blend
        start = np.maximum(np.floor((first - reach - low) / cell).astype(int), 0)
        stop = np.minimum(np.ceil((last + reach - low) / cell).astype(int) + 1, counts)
        part = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        steps = [low[k] + cell * np.arange(start[k], stop[k]) for k in range(3)]
        places = np.stack(np.meshgrid(*steps, indexing="ij"), -1).astype(np.float32)
        own = lump.distance(places.reshape(-1, 3)).reshape(places.shape[:3])
        values[part] = _smooth_least(values[part], own, blend)
    return _surface_net(values, low, cell)


def _smooth_least(a: Floats, b: Floats, blend: float) -> Floats:
    """The lesser of two distances, rounded where they are within `blend` of each other."""
    near = np.maximum(blend - np.abs(a - b), 0) / blend
    return np.minimum(a, b) - near * near * (0.25 * blend)


def _surface_net(values: Floats, low: NDArray, cell: float) -> Solid:
    """Vertices amid the crossings of each cell (X,Y,Z grid of corners), joined by a quad about every crossed edge."""
    inside = values < 0
    total = np.zeros((*(n - 1 for n in values.shape), 3), np.float32)
    count = np.zeros(total.shape[:3], np.float32)
    crossed = []
    for axis in range(3):
        a, b = np.moveaxis(values, axis, 0)[:-1], np.moveaxis(values, axis, 0)[1:]
        edges = np.argwhere((a < 0) != (b < 0))
        share = a[tuple(edges.T)] / (a[tuple(edges.T)] - b[tuple(edges.T)])
        order = np.insert(np.array([1, 2]), axis, 0)
        edges = edges[:, order]
        place = edges.astype(np.float32)
        place[:, axis] += share
        _spread(total, count, edges, place, axis)
        crossed.append(edges)
    used = np.argwhere(count > 0)
    number = np.full(count.shape, -1, np.int64)
    number[tuple(used.T)] = np.arange(len(used))
    points = low + cell * (total[tuple(used.T)] / count[tuple(used.T)][:, None])
    quads = [_quads(number, edges, axis, inside) for axis, edges in enumerate(crossed)]
    return Solid(points.astype(np.float32), np.concatenate(quads).astype(np.int32))


def _around(axis: int) -> NDArray:
    """Offsets (4,3) of the cells about an edge along an axis, in turning order."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    offsets = np.zeros((4, 3), int)
    offsets[[0, 3], first] = -1
    offsets[[0, 1], second] = -1
    return offsets


def _spread(total: Floats, count: Floats, edges: NDArray, place: Floats, axis: int) -> None:
    """Add each crossing to the four cells about its edge."""
    for offset in _around(axis):
        cells = tuple((edges + offset).T)
        np.add.at(total, cells, place)
        np.add.at(count, cells, 1)


def _quads(number: NDArray, edges: NDArray, axis: int, inside: NDArray) -> NDArray:
    """Two triangles for the four cells about each crossed edge, seen from outside counter-clockwise."""
    a, b, c, d = (number[tuple((edges + offset).T)] for offset in _around(axis))
    out = inside[tuple(edges.T)]
    b, d = np.where(out, b, d), np.where(out, d, b)
    return np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
