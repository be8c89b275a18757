"""Which triangle is seen at each pixel: compiled loops over triangles.

A vertex on the screen is x and y in pixels and its nearness: inverse depth towards a camera, height towards a light.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from onephoto.world.garment import cover_at
from onephoto.world.vectors import COMPILE, INLINED, SOURCES, corners3, dot, part3, plus, point3, scaled, unit, within

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Bytes = NDArray[np.uint8]

CLOTH, LASHES = 5, 6
LASH_LIFT = 1.0015
"""Lashes win over the lid they touch."""
NEAREST = 0.05
"""Depth (decimetres) before which nothing is drawn."""
EDGE = -1e-9
"""Least weight inside a triangle: neighbours both take the pixels on their common edge, so that none is missed."""


@njit(**COMPILE)
def vertex_normals(positions: Floats, triangles: Ints, sources: int = SOURCES) -> Floats:
    """Area-weighted unit normals: (V,3), (T,3) -> (V,3)."""
    normals = np.zeros_like(positions)
    for t in range(len(triangles)):
        a, b, c = corners3(triangles, t)
        origin = point3(positions, a)
        u, v = plus(point3(positions, b), origin, -1.0), plus(point3(positions, c), origin, -1.0)
        n = u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]
        for corner in (a, b, c):
            normals[corner, 0] += n[0]
            normals[corner, 1] += n[1]
            normals[corner, 2] += n[2]
    for i in range(len(normals)):
        normals[i, 0], normals[i, 1], normals[i, 2] = unit(point3(normals, i))
    return normals


@njit(**COMPILE)
def project(positions: Floats, axes: Floats, focal: float, size: tuple[int, int], sources: int = SOURCES) -> Floats:
    """Screen x, y and inverse depth (-1 behind the camera): (V,3) -> (V,3); axes (4,3): eye, right, up, forward."""
    height, width = size
    screen = np.empty_like(positions)
    for i in range(len(positions)):
        place = plus(point3(positions, i), point3(axes, 0), -1.0)
        depth = dot(place, point3(axes, 3))
        if depth < NEAREST:
            screen[i] = -1
            continue
        screen[i, 0] = width * 0.5 + focal * dot(place, point3(axes, 1)) / depth
        screen[i, 1] = height * 0.5 - focal * dot(place, point3(axes, 2)) / depth
        screen[i, 2] = 1 / depth
    return screen


@njit(**INLINED)
def box_of(screen: Floats, corners: tuple[int, int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """First and past-last row and column of pixels whose centres may lie in a triangle; empty when too small."""
    a, b, c = corners
    left = min(screen[a, 0], screen[b, 0], screen[c, 0])
    right = max(screen[a, 0], screen[b, 0], screen[c, 0])
    top = min(screen[a, 1], screen[b, 1], screen[c, 1])
    bottom = max(screen[a, 1], screen[b, 1], screen[c, 1])
    return (
        max(0, math.ceil(top - 0.5)),
        min(size[0], math.floor(bottom - 0.5) + 1),
        max(0, math.ceil(left - 0.5)),
        min(size[1], math.floor(right - 0.5) + 1),
    )


@njit(**INLINED)
def slopes(screen: Floats, corners: tuple[int, int, int]) -> tuple[float, float, float, float, bool]:
    """Change of the second and the third corner's weight by pixel along x and y; False for a triangle on edge."""
    a, b, c = corners
    ux, uy = 1.0 * screen[b, 0] - screen[a, 0], 1.0 * screen[b, 1] - screen[a, 1]
    vx, vy = 1.0 * screen[c, 0] - screen[a, 0], 1.0 * screen[c, 1] - screen[a, 1]
    area = ux * vy - vx * uy
    if abs(area) < 1e-7:
        return 0.0, 0.0, 0.0, 0.0, False
    return vy / area, -vx / area, -uy / area, ux / area, True


@njit(**INLINED)
def _cut_away(
    corners: tuple[int, int, int], wb: float, wc: float, paint: Floats, cover: Floats, garment: Ints, cloth: bool
) -> bool:
    """True where a pixel of a triangle lies outside its garment or behind its cut."""
    if cloth:
        x, y, z = within(paint, corners, wb, wc)
        return cover_at(x, y, z, garment[0], garment[1]) < 0
    a, b, c = corners
    return (1 - wb - wc) * cover[a] + wb * cover[b] + wc * cover[c] < 0


@njit(**COMPILE)
def fill(
    screen: Floats, triangles: Ints, materials: Bytes, owners: Bytes, paint: Floats, cover: Floats, garments: Ints,
    nearest: Floats, index: Ints, weights: Floats, sources: int = SOURCES,
) -> None:  # fmt: skip
    """Draw triangles into the visibility buffer: `nearest` (H,W) inverse depth, `index` (H,W), `weights` (H,W,2).

    `garments` (F,2) are neck and sleeve of each figure, `owners` (T,) the figure of each triangle.
    """
    for t in range(len(triangles)):
        corners = corners3(triangles, t)
        a, b, c = corners
        if screen[a, 2] <= 0 or screen[b, 2] <= 0 or screen[c, 2] <= 0:
            continue
        cloth = materials[t] == CLOTH
        if not cloth and cover[a] < 0 and cover[b] < 0 and cover[c] < 0:
            continue
        top, bottom, left, right = box_of(screen, corners, nearest.shape)
        if top >= bottom or left >= right:
            continue
        wb_x, wb_y, wc_x, wc_y, flat = slopes(screen, corners)
        if not flat:
            continue
        cut = cloth or cover[a] < 0 or cover[b] < 0 or cover[c] < 0
        lift = LASH_LIFT if materials[t] == LASHES else 1.0
        for y in range(top, bottom):
            dx, dy = left + 0.5 - screen[a, 0], y + 0.5 - screen[a, 1]
            row_b, row_c = dx * wb_x + dy * wb_y, dx * wc_x + dy * wc_y
            for x in range(left, right):
                wb, wc = row_b + (x - left) * wb_x, row_c + (x - left) * wc_x
                if wb < EDGE or wc < EDGE or wb + wc > 1 - EDGE:
                    continue
                near = (1 - wb - wc) * screen[a, 2] + wb * screen[b, 2] + wc * screen[c, 2]
                if near * lift <= nearest[y, x]:
                    continue
                wb, wc = wb * screen[b, 2] / near, wc * screen[c, 2] / near
                if cut and _cut_away(corners, wb, wc, paint, cover, garments[owners[t]], cloth):
                    continue
                nearest[y, x] = near * lift
                index[y, x] = t
                weights[y, x, 0], weights[y, x, 1] = wb, wc


@njit(**COMPILE)
def fill_nearest(screen: Floats, triangles: Ints, cover: Floats, nearest: Floats, sources: int = SOURCES) -> None:
    """Keep the greatest nearness of all triangles at each pixel of `nearest` (H,W); for shadow maps."""
    for t in range(len(triangles)):
        corners = corners3(triangles, t)
        a, b, c = corners
        if cover[a] < 0 and cover[b] < 0 and cover[c] < 0:
            continue
        top, bottom, left, right = box_of(screen, corners, nearest.shape)
        if top >= bottom or left >= right:
            continue
        wb_x, wb_y, wc_x, wc_y, flat = slopes(screen, corners)
        if not flat:
            continue
        for y in range(top, bottom):
            dx, dy = left + 0.5 - screen[a, 0], y + 0.5 - screen[a, 1]
            row_b, row_c = dx * wb_x + dy * wb_y, dx * wc_x + dy * wc_y
            for x in range(left, right):
                wb, wc = row_b + (x - left) * wb_x, row_c + (x - left) * wc_x
                if wb < EDGE or wc < EDGE or wb + wc > 1 - EDGE:
                    continue
                wa = 1 - wb - wc
                if wa * cover[a] + wb * cover[b] + wc * cover[c] >= 0:
                    near = wa * screen[a, 2] + wb * screen[b, 2] + wc * screen[c, 2]
                    nearest[y, x] = max(nearest[y, x], near)


@njit(**COMPILE)
def facing_normals(
    index: Ints, weights: Floats, triangles: Ints, normals: Floats, forward: Floats, sources: int = SOURCES
) -> Floats:
    """Unit normal (H,W,3) of the surface at every pixel, turned to the eye; zero at the backdrop."""
    height, width = index.shape
    result = np.zeros((height, width, 3), np.float32)
    ahead = part3(forward, 0)
    for y in range(height):
        for x in range(width):
            if index[y, x] < 0:
                continue
            corners = corners3(triangles, index[y, x])
            n = unit(within(normals, corners, 1.0 * weights[y, x, 0], 1.0 * weights[y, x, 1]))
            n = scaled(n, -1.0 if dot(n, ahead) > 0 else 1.0)
            result[y, x, 0], result[y, x, 1], result[y, x, 2] = n
    return result
