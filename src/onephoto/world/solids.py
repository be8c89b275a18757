"""Triangle meshes of simple solids, made of whole arrays."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Solid:
    """Points (V,3) and triangles (T,3)."""

    points: Array
    triangles: NDArray[np.int32]

    def moved(self, rotation: ArrayLike, translation: ArrayLike) -> "Solid":
        """The solid turned by a matrix (3,3), then shifted by (3,)."""
        return Solid(self.points @ np.asarray(rotation).T + np.asarray(translation), self.triangles)


def joined(*solids: Solid) -> Solid:
    """Several solids as one."""
    starts = np.cumsum([0, *(len(solid.points) for solid in solids)])
    triangles = [solid.triangles + start for solid, start in zip(solids, starts[:-1], strict=True)]
    return Solid(np.concatenate([solid.points for solid in solids]), np.concatenate(triangles).astype(np.int32))


def _grid_triangles(columns: int, rows: int, wrap: bool) -> NDArray[np.int32]:
    """Two triangles for every cell of a grid whose points run along the columns first."""
    column, row = (a.ravel() for a in np.meshgrid(np.arange(columns if wrap else columns - 1), np.arange(rows - 1)))
    a = row * columns + column
    b = row * columns + (column + 1) % columns
    first, second = np.stack([a, b, a + columns], 1), np.stack([b, b + columns, a + columns], 1)
    return np.concatenate([first, second]).astype(np.int32)


def surface(place: Callable[[Array, Array], Array], columns: int, rows: int, *, wrap: bool = True) -> Solid:
    """A surface over u and v in [0, 1]: `place` maps both (n,) to points (n,3); `wrap` closes it along u."""
    u = np.arange(columns) / (columns if wrap else columns - 1)
    v = np.linspace(0, 1, rows)
    across, along = (a.ravel() for a in np.meshgrid(u, v))
    return Solid(place(across, along), _grid_triangles(columns, rows, wrap))


def tube(path: ArrayLike, radius: ArrayLike, *, sides: int = 8, closed: bool = False) -> Solid:
    """A tube about a path (n,3); `radius` one number or (n,)."""
    line = np.asarray(path, float)
    tangent = np.roll(line, -1, 0) - np.roll(line, 1, 0)
    if not closed:
        tangent[0], tangent[-1] = line[1] - line[0], line[-1] - line[-2]
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    least = np.eye(3)[np.abs(tangent).sum(0).argmin()]
    side = np.cross(tangent, least)
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
    other = np.cross(tangent, side)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    width = np.broadcast_to(np.asarray(radius, float), len(line))[:, None, None]
    ring = side[:, None] * np.cos(angle)[None, :, None] + other[:, None] * np.sin(angle)[None, :, None]
    points = line[:, None] + width * ring
    if closed:
        points = np.concatenate([points, points[:1]])
    return Solid(points.reshape(-1, 3), _grid_triangles(sides, len(points), True))


def ball(centre: ArrayLike, radius: ArrayLike) -> Solid:
    """A sphere, or an ellipsoid with three radii."""

    def place(u: Array, v: Array) -> Array:
        angle, height = 2 * np.pi * u, np.pi * v
        unit = np.stack([np.cos(angle) * np.sin(height), np.cos(height), np.sin(angle) * np.sin(height)], 1)
        return np.asarray(centre) + np.asarray(radius) * unit

    return surface(place, 24, 14)


def turned(profile: ArrayLike, *, sides: int = 24) -> Solid:
    """A shape turned about the y axis: profile (n,2) of radius and height."""
    line = np.asarray(profile, float)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    around = np.stack([np.cos(angle), np.zeros(sides), np.sin(angle)], 1)
    points = line[:, None, :1] * around[None] + np.array([0, 1, 0]) * line[:, None, 1:]
    return Solid(points.reshape(-1, 3), _grid_triangles(sides, len(line), True))


def box(half: ArrayLike) -> Solid:
    """A box about the origin with half edge lengths (3,); every face has its own corners, so edges stay sharp."""
    faces = []
    for axis in range(3):
        for sign in (-1, 1):
            corners = np.zeros((4, 3))
            corners[:, axis] = sign
            corners[:, (axis + 1) % 3] = [-1, 1, 1, -1]
            corners[:, (axis + 2) % 3] = [-1, -1, 1, 1]
            faces.append(Solid(corners * np.asarray(half), np.array([[0, 1, 2], [0, 2, 3]], np.int32)))
    return joined(*faces)


def plate(outline: ArrayLike, centre: ArrayLike) -> Solid:
    """A flat fan from a centre (3,) to a closed outline (n,3)."""
    rim = np.asarray(outline, float)
    place = np.arange(len(rim))
    triangles = np.stack([np.zeros_like(place), 1 + place, 1 + (place + 1) % len(rim)], 1)
    return Solid(np.concatenate([np.asarray(centre, float)[None], rim]), triangles.astype(np.int32))
