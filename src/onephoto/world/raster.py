"""The software rasteriser of the synthetic people: figures, light and a backdrop in; picture, id map and depth out.

A visibility buffer is filled with triangles, hair is laid over it by coverage, then every pixel is shaded once, or
twice where skin or backdrop shows between strands. Compiled with Numba on one thread and without fast-math, so that
the same input gives the same pixels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from onephoto.world.drawing import Bytes, Camera, Drawing, Figure, Floats, Ints, Light, Material, Strands
from onephoto.world.fibres import Fibres, fill_fibres, no_fibres
from onephoto.world.noise import hashed, lattice
from onephoto.world.paint import HEAD, NECK, SLEEVE, figure_row
from onephoto.world.shading import Lamps, hair_light, surface_light
from onephoto.world.shadow import Shadow, light_reaching, occlusion, shadow_map
from onephoto.world.vectors import (
    COMPILE,
    INLINED,
    SOURCES,
    Triple,
    corners3,
    mix,
    part3,
    plus,
    point3,
    unit,
    within,
    within1,
)
from onephoto.world.visibility import facing_normals, fill, project, vertex_normals

SHOWING = 0.02
"""Share of a pixel below which hair, or what is behind it, is not worth shading."""
HAIR_LIFT = 0.02
"""Decimetres that hair is lifted off the head when it asks for its shadow."""
BOLDER = 0.03
"""A covering strand hides a faint one that is up to this much nearer (decimetres)."""


class Surfaces(NamedTuple):
    """Meshes of all figures: (V,3), (V,3), (V,4), (T,3), (T,), figure (T,)."""

    paint_points: Floats
    albedo: Floats
    attributes: Floats
    triangles: Ints
    materials: Bytes
    owners: Bytes


class Hair(NamedTuple):
    """Strands of all figures: (N,P,3), (N,3), kinds (N,), figure (N,)."""

    points: Floats
    colors: Floats
    kinds: Bytes
    owners: Bytes


class Seen(NamedTuple):
    """Of the surfaces at every pixel: inverse depth, triangle (-1 for none), its weights (H,W,2), normal (H,W,3)."""

    nearest: Floats
    triangle: Ints
    weights: Floats
    normals: Floats


class People(NamedTuple):
    """Numbers of each figure (F,ROW) and moles (F,M,4)."""

    rows: Floats
    moles: Floats


class View(NamedTuple):
    """The camera: `axes` (4,3) are eye, right, up, forward; `focal` in pixels."""

    axes: Floats
    focal: float


@njit(**INLINED)
def _point_at(x: int, y: int, near: float, size: tuple[int, int], view: View) -> Triple:
    """Point in space seen at the middle of a pixel at inverse depth `near`."""
    depth = 1.0 / near
    right = (x + 0.5 - size[1] * 0.5) / view.focal * depth
    up = (size[0] * 0.5 - y - 0.5) / view.focal * depth
    flat = plus(plus(point3(view.axes, 0), point3(view.axes, 1), right), point3(view.axes, 2), up)
    return plus(flat, point3(view.axes, 3), depth)


@njit(**INLINED)
def _surface_at(
    x: int, y: int, sky: float, seen: Seen, surfaces: Surfaces, people: People, shadow: Shadow, lamps: Lamps, view: View
) -> Triple:
    """Light of the surface at a pixel."""
    t, wb, wc = seen.triangle[y, x], 1.0 * seen.weights[y, x, 0], 1.0 * seen.weights[y, x, 1]
    corners, owner = corners3(surfaces.triangles, t), surfaces.owners[t]
    point = _point_at(x, y, seen.nearest[y, x], seen.triangle.shape, view)
    normal = point3(seen.normals[y], x)
    looks = (
        within1(surfaces.attributes, corners, wb, wc, 1),
        within1(surfaces.attributes, corners, wb, wc, 2),
        within1(surfaces.attributes, corners, wb, wc, 3),
    )
    return surface_light(
        int(surfaces.materials[t]), within(surfaces.albedo, corners, wb, wc),
        within(surfaces.paint_points, corners, wb, wc), normal, unit(plus(point3(view.axes, 0), point, -1.0)), looks,
        view.focal * seen.nearest[y, x], light_reaching(point, normal, hashed(x, y, 9) & 31, shadow), sky,
        people.rows[owner], people.moles[owner], lamps,
    )  # fmt: skip


@njit(**INLINED)
def _hair_at(
    x: int, y: int, sky: float, fibres: Fibres, hair: Hair, people: People, shadow: Shadow, lamps: Lamps, view: View
) -> Triple:
    """Light of the strand at a pixel."""
    count = hair.points.shape[1]
    strand, k = fibres.segment[y, x] // count, fibres.segment[y, x] % count
    row = people.rows[hair.owners[strand]]
    point = _point_at(x, y, fibres.nearest[y, x], fibres.segment.shape, view)
    tangent = unit(plus(point3(hair.points[strand], k + 1), point3(hair.points[strand], k), -1.0))
    away = unit(plus(point, part3(row, HEAD), -1.0))
    reach = light_reaching(plus(point, away, HAIR_LIFT), away, hashed(x, y, 9) & 31, shadow)
    along = (k + fibres.along[y, x]) / (count - 1)
    return hair_light(
        point3(hair.colors, strand), tangent, away, unit(plus(point3(view.axes, 0), point, -1.0)), along,
        lattice(strand, 7, 3), reach, sky, row, lamps,
    )  # fmt: skip


@njit(**COMPILE)
def _shade(
    seen: Seen, fibres: Fibres, opens: Floats, surfaces: Surfaces, hair: Hair, people: People, shadow: Shadow,
    lamps: Lamps, view: View, rgb: Floats, sources: int = SOURCES,
) -> None:  # fmt: skip
    """Colour every covered pixel of `rgb` (H,W,3), which holds the backdrop; `opens` (H/2,W/2) is the open sky."""
    height, width = seen.triangle.shape
    for y in range(height):
        for x in range(width):
            clear = 1.0 * fibres.clear[y, x]
            on_hair = clear < 1 - SHOWING
            if seen.triangle[y, x] < 0 and not on_hair:
                continue
            sky = 1.0 * opens[min(y // 2, opens.shape[0] - 1), min(x // 2, opens.shape[1] - 1)]
            colour = point3(rgb[y], x)
            if seen.triangle[y, x] >= 0 and not (on_hair and clear < SHOWING):
                colour = _surface_at(x, y, sky, seen, surfaces, people, shadow, lamps, view)
            if on_hair:
                strand = _hair_at(x, y, sky, fibres, hair, people, shadow, lamps, view)
                colour = mix(strand, colour, clear if clear > SHOWING else 0.0)
            rgb[y, x, 0], rgb[y, x, 1], rgb[y, x, 2] = colour


def _joined(arrays: Sequence[NDArray], dtype: type) -> NDArray:
    """Arrays one after the other, as compiled code wants them."""
    return np.ascontiguousarray(np.concatenate(arrays), dtype)


def _owners(counts: Sequence[int]) -> Bytes:
    """Number of the figure that each of its things belongs to."""
    return np.repeat(np.arange(len(counts)), counts).astype(np.uint8)


def _surfaces(figures: Sequence[Figure]) -> tuple[Floats, Surfaces]:
    """Positions (V,3) and the rest of all figures' meshes in one."""
    meshes = [figure.mesh for figure in figures]
    starts = np.cumsum([0, *[len(mesh.positions) for mesh in meshes[:-1]]])
    return _joined([mesh.positions for mesh in meshes], np.float32), Surfaces(
        _joined([mesh.paint_points for mesh in meshes], np.float32),
        _joined([mesh.albedo for mesh in meshes], np.float32),
        _joined([mesh.attributes for mesh in meshes], np.float32),
        _joined([mesh.triangles + start for mesh, start in zip(meshes, starts, strict=True)], np.int32),
        _joined([mesh.materials for mesh in meshes], np.uint8),
        _owners([len(mesh.triangles) for mesh in meshes]),
    )


def _lengthened(strands: Strands, count: int) -> tuple[Floats, Floats]:
    """Points and half widths of strands with `count` points: the tip repeated, without a width."""
    missing = count - strands.points.shape[1]
    return (
        np.pad(strands.points, ((0, 0), (0, missing), (0, 0)), "edge") if missing else strands.points,
        np.pad(strands.widths, ((0, 0), (0, missing))) if missing else strands.widths,
    )


def _hair(figures: Sequence[Figure]) -> tuple[Floats, Hair]:
    """Half widths (N,P) and the rest of all figures' strands in one."""
    strands = [figure.strands for figure in figures if len(figure.strands.points)] or [Strands.none()]
    long = [_lengthened(s, max(s.points.shape[1] for s in strands)) for s in strands]
    return _joined([widths for _, widths in long], np.float32), Hair(
        _joined([points for points, _ in long], np.float32),
        _joined([s.colors for s in strands], np.float32),
        _joined([s.kinds for s in strands], np.uint8),
        _owners([len(figure.strands.points) for figure in figures]),
    )


def _people(figures: Sequence[Figure]) -> People:
    """Numbers of all figures."""
    moles = np.zeros((len(figures), max(len(figure.skin.moles) for figure in figures), 4), np.float32)
    for own, figure in zip(moles, figures, strict=True):
        own[: len(figure.skin.moles)] = figure.skin.moles
    return People(np.stack([figure_row(figure) for figure in figures]), moles)


def _lamps(light: Light) -> Lamps:
    """The light with directions of length one, as scalars."""

    def triple(vector: Floats) -> Triple:
        return float(vector[0]), float(vector[1]), float(vector[2])

    towards_key, towards_fill = (d / np.linalg.norm(d) for d in (light.key_direction, light.fill_direction))
    key, sky, ground, fill = (triple(c) for c in (light.key_color, light.sky, light.ground, light.fill_color))
    return Lamps(triple(towards_key), key, sky, ground, triple(towards_fill), fill)


def _see(positions: Floats, surfaces: Surfaces, people: People, view: View, size: tuple[int, int]) -> Seen:
    """The surfaces that show at each pixel."""
    nearest, index = np.zeros(size, np.float32), np.full(size, -1, np.int32)
    weights = np.zeros((*size, 2), np.float32)
    garments = people.rows[:, [NECK, SLEEVE]].astype(np.int32)
    fill(
        project(positions, view.axes, view.focal, size), surfaces.triangles, surfaces.materials, surfaces.owners,
        surfaces.paint_points, np.ascontiguousarray(surfaces.attributes[:, 0]), garments, nearest, index, weights,
    )  # fmt: skip
    normals = vertex_normals(positions, surfaces.triangles)
    facing = facing_normals(index, weights, surfaces.triangles, normals, view.axes[3])
    return Seen(nearest, index, weights, facing)


def _lay_hair(hair: Hair, widths: Floats, behind: Floats, view: View) -> Fibres:
    """The strands that show at each pixel before the surfaces at inverse depth `behind` (H,W)."""
    fibres = no_fibres(behind.shape, 0.0)
    if widths.size:
        screen = project(hair.points.reshape(-1, 3), view.axes, view.focal, behind.shape)
        near = screen[:, 2].reshape(widths.shape)
        fill_fibres(screen, widths * near * np.float32(view.focal), behind, BOLDER * float(near.max()) ** 2, *fibres)
    return fibres


def _ids(seen: Seen, fibres: Fibres, surfaces: Surfaces, hair: Hair) -> Bytes:
    """Material (H,W) of what takes most of each pixel."""
    materials = np.append(surfaces.materials, np.uint8(Material.BACKGROUND))
    kinds = np.append(hair.kinds, np.uint8(Material.HAIR))
    return np.where(fibres.clear < 0.5, kinds[fibres.segment // hair.points.shape[1]], materials[seen.triangle])


def draw(
    figures: Sequence[Figure], light: Light, camera: Camera, background: Floats, *, shadow_center: Floats,
    shadow_radius: float,
) -> Drawing:  # fmt: skip
    """Draw one or more figures before a backdrop (H,W,3) of linear light.

    All share one depth buffer and one shadow map, which covers `shadow_radius` about `shadow_center` (3,).
    """
    positions, surfaces = _surfaces(figures)
    widths, hair = _hair(figures)
    people, lamps = _people(figures), _lamps(light)
    view = View(np.stack([camera.eye, camera.right, camera.up, camera.forward]).astype(np.float32), float(camera.focal))
    opaque = surfaces.triangles[surfaces.materials != Material.LASHES]
    shadow = shadow_map(
        (positions, opaque, np.ascontiguousarray(surfaces.attributes[:, 0])), (hair.points, widths),
        np.asarray(light.key_direction), center=shadow_center, radius=shadow_radius, softness=light.softness,
    )  # fmt: skip
    seen = _see(positions, surfaces, people, view, background.shape[:2])
    fibres = _lay_hair(hair, widths, seen.nearest, view)
    closed = fibres.clear < 0.5
    nearest = np.where(closed, fibres.nearest, seen.nearest)
    opens = occlusion(nearest, np.where(closed[..., None], np.float32(0), seen.normals), view.axes, view.focal)
    rgb = np.array(background, np.float32)
    _shade(seen, fibres, opens, surfaces, hair, people, shadow, lamps, view, rgb)
    with np.errstate(divide="ignore"):
        return Drawing(rgb, _ids(seen, fibres, surfaces, hair), np.reciprocal(nearest))
