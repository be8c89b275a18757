"""Which triangle or hair ribbon is seen at each pixel, and how far the key light reaches: compiled loops.

Vertices of hair ribbons follow the mesh's: each strand point becomes two vertices, each segment two triangles, so that
one filling loop serves all. `fine` triangles (hair) narrower than a pixel are thinned out by a hash of the pixel, which
the supersampling averages to their true coverage.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from onephoto.world.garment import cover_at
from onephoto.world.noise import COMPILE, lattice, row3

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Bytes = NDArray[np.uint8]

CLOTH, LASHES, LENS = 5, 6, 9
SHADOW_SIZE = 384
LASH_LIFT = 1.0015
"""Lashes win over the lid they touch."""
THINNEST = 0.4
"""Half width in pixels below which a ribbon is widened and thinned out instead."""


@njit(**COMPILE)
def vertex_normals(positions: Floats, triangles: Ints) -> Floats:
    """Area-weighted unit normals: (V,3), (T,3) -> (V,3)."""
    normals = np.zeros_like(positions)
    for t in range(len(triangles)):
        a, b, c = row3(triangles, t)
        ax, ay, az = row3(positions, a)
        bx, by, bz = row3(positions, b)
        cx, cy, cz = row3(positions, c)
        ux, uy, uz, vx, vy, vz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for i in (a, b, c):
            normals[i, 0] += nx
            normals[i, 1] += ny
            normals[i, 2] += nz
    for i in range(len(normals)):
        length = math.sqrt(normals[i, 0] ** 2 + normals[i, 1] ** 2 + normals[i, 2] ** 2)
        if length > 1e-12:
            normals[i] /= np.float32(length)
        else:
            normals[i, 2] = 1.0
    return normals


@njit(**COMPILE)
def ribbons(points: Floats, widths: Floats, eye: Floats, direction: Floats, widest: float) -> Floats:
    """Two vertices a strand point, facing a point `eye` or, where `direction` is not zero, a direction.

    (N,P,3), (N,P) -> (2NP,3). `widest` scales the half widths.
    """
    strands, count = widths.shape
    vertices = np.empty((strands * count * 2, 3), np.float32)
    for s in range(strands):
        for k in range(count):
            px, py, pz = row3(points[s], k)
            first, last = max(0, k - 1), min(count - 1, k + 1)
            fx, fy, fz = row3(points[s], first)
            lx, ly, lz = row3(points[s], last)
            tx, ty, tz = lx - fx, ly - fy, lz - fz
            vx, vy, vz = direction[0], direction[1], direction[2]
            if vx == 0 and vy == 0 and vz == 0:
                vx, vy, vz = eye[0] - px, eye[1] - py, eye[2] - pz
            sx, sy, sz = ty * vz - tz * vy, tz * vx - tx * vz, tx * vy - ty * vx
            length = math.sqrt(sx * sx + sy * sy + sz * sz)
            scale = widest * widths[s, k] / length if length > 1e-10 else 0.0
            row = 2 * (s * count + k)
            for side, sign in ((0, -1), (1, 1)):
                vertices[row + side, 0] = px + sign * sx * scale
                vertices[row + side, 1] = py + sign * sy * scale
                vertices[row + side, 2] = pz + sign * sz * scale
    return vertices


@njit(**COMPILE)
def project(positions: Floats, axes: Floats, focal: float, size: tuple[int, int]) -> Floats:
    """Screen x, y and inverse depth of each vertex: (V,3) -> (V,3); axes (4,3) are eye, right, up, forward."""
    height, width = size
    screen = np.empty_like(positions)
    for i in range(len(positions)):
        dx, dy, dz = positions[i, 0] - axes[0, 0], positions[i, 1] - axes[0, 1], positions[i, 2] - axes[0, 2]
        depth = dx * axes[3, 0] + dy * axes[3, 1] + dz * axes[3, 2]
        if depth < 0.05:
            screen[i, 2] = -1
            continue
        screen[i, 0] = width * 0.5 + focal * (dx * axes[1, 0] + dy * axes[1, 1] + dz * axes[1, 2]) / depth
        screen[i, 1] = height * 0.5 - focal * (dx * axes[2, 0] + dy * axes[2, 1] + dz * axes[2, 2]) / depth
        screen[i, 2] = 1 / depth
    return screen


@njit(**COMPILE)
def _cut_away(
    corners: tuple[int, int, int],
    weights: tuple[float, float, float],
    paint: Floats,
    cover: Floats,
    garment: Ints,
    cloth: bool,
) -> bool:
    """True where a pixel of a triangle lies outside its garment or behind its cut."""
    a, b, c = corners
    wa, wb, wc = weights
    if cloth:
        x = wa * paint[a, 0] + wb * paint[b, 0] + wc * paint[c, 0]
        y = wa * paint[a, 1] + wb * paint[b, 1] + wc * paint[c, 1]
        z = wa * paint[a, 2] + wb * paint[b, 2] + wc * paint[c, 2]
        return cover_at(x, y, z, garment[0], garment[1]) < 0
    return wa * cover[a] + wb * cover[b] + wc * cover[c] < 0


@njit(**COMPILE)
def fill(
    screen: Floats, triangles: Ints, materials: Bytes, owners: Bytes, paint: Floats, cover: Floats, garments: Ints,
    nearest: Floats, index: Ints, weights: Floats, first: int,
) -> None:  # fmt: skip
    """Draw triangles into the visibility buffer: `nearest` (H,W) inverse depth, `index` (H,W), `weights` (H,W,2)."""
    height, width = nearest.shape
    for t in range(len(triangles)):
        a, b, c = row3(triangles, t)
        if screen[a, 2] <= 0 or screen[b, 2] <= 0 or screen[c, 2] <= 0:
            continue
        ax, ay, bx, by, cx, cy = screen[a, 0], screen[a, 1], screen[b, 0], screen[b, 1], screen[c, 0], screen[c, 1]
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if abs(area) < 1e-7:
            continue
        per_area = 1 / area
        cloth = materials[t] == CLOTH
        cut = cloth or cover[a] < 0 or cover[b] < 0 or cover[c] < 0
        if not cloth and cover[a] < 0 and cover[b] < 0 and cover[c] < 0:
            continue
        lift = LASH_LIFT if materials[t] == LASHES else 1.0
        left, right = (
            max(0, math.floor(min(ax, bx, cx) - 0.5)),
            min(width - 1, math.ceil(max(ax, bx, cx) - 0.5)),
        )
        top, bottom = (
            max(0, math.floor(min(ay, by, cy) - 0.5)),
            min(height - 1, math.ceil(max(ay, by, cy) - 0.5)),
        )
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                px, py = x + 0.5, y + 0.5
                wb = ((px - ax) * (cy - ay) - (cx - ax) * (py - ay)) * per_area
                wc = ((bx - ax) * (py - ay) - (px - ax) * (by - ay)) * per_area
                wa = 1 - wb - wc
                if wa < 0 or wb < 0 or wc < 0:
                    continue
                inverse = wa * screen[a, 2] + wb * screen[b, 2] + wc * screen[c, 2]
                if inverse * lift <= nearest[y, x]:
                    continue
                wb, wc = wb * screen[b, 2] / inverse, wc * screen[c, 2] / inverse
                if cut and _cut_away((a, b, c), (1 - wb - wc, wb, wc), paint, cover, garments[owners[t]], cloth):
                    continue
                nearest[y, x] = inverse * lift
                index[y, x] = first + t
                weights[y, x, 0], weights[y, x, 1] = wb, wc


@njit(**COMPILE)
def fill_hair(
    screen: Floats, count: int, widths: Floats, nearest: Floats, index: Ints, weights: Floats, first: int
) -> None:
    """Draw hair ribbons (two triangles a segment, numbered from `first`) into the visibility buffer."""
    height, width = nearest.shape
    flat = widths.ravel()
    for q in range(len(flat)):
        if q % count == count - 1 or (flat[q] <= 0 and flat[q + 1] <= 0):
            continue
        middle = (screen[2 * q, 0] + screen[2 * q + 1, 0]) * 0.5, (screen[2 * q, 1] + screen[2 * q + 1, 1]) * 0.5
        if middle[0] < -30 or middle[1] < -30 or middle[0] > width + 30 or middle[1] > height + 30:
            continue
        half = 0.5 * math.hypot(screen[2 * q, 0] - screen[2 * q + 1, 0], screen[2 * q, 1] - screen[2 * q + 1, 1])
        widen = max(1.0, THINNEST / max(half, 1e-4))
        for side in range(2):
            i, j, k = (2 * q, 2 * q + 1, 2 * q + 2) if side == 0 else (2 * q + 1, 2 * q + 3, 2 * q + 2)
            ax, ay = _widened(screen, i, widen)
            bx, by = _widened(screen, j, widen)
            cx, cy = _widened(screen, k, widen)
            area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
            if abs(area) < 1e-7:
                continue
            per_area = 1 / area
            left, right = (
                max(0, math.floor(min(ax, bx, cx) - 0.5)),
                min(width - 1, math.ceil(max(ax, bx, cx) - 0.5)),
            )
            top, bottom = (
                max(0, math.floor(min(ay, by, cy) - 0.5)),
                min(height - 1, math.ceil(max(ay, by, cy) - 0.5)),
            )
            for y in range(top, bottom + 1):
                for x in range(left, right + 1):
                    px, py = x + 0.5, y + 0.5
                    wb = ((px - ax) * (cy - ay) - (cx - ax) * (py - ay)) * per_area
                    wc = ((bx - ax) * (py - ay) - (px - ax) * (by - ay)) * per_area
                    wa = 1 - wb - wc
                    if wa < 0 or wb < 0 or wc < 0:
                        continue
                    inverse = wa * screen[i, 2] + wb * screen[j, 2] + wc * screen[k, 2]
                    if inverse <= nearest[y, x] or (widen > 1 and lattice(x, y, q // count) * widen > 1):
                        continue
                    nearest[y, x] = inverse
                    index[y, x] = first + 2 * q + side
                    weights[y, x, 0], weights[y, x, 1] = wb, wc


@njit(**COMPILE)
def _widened(screen: Floats, vertex: int, widen: float) -> tuple[float, float]:
    """A ribbon's vertex moved away from its partner, so that the ribbon covers at least part of a pixel."""
    partner = vertex + 1 if vertex % 2 == 0 else vertex - 1
    grow = 0.5 * (widen - 1)
    return (
        screen[vertex, 0] + grow * (screen[vertex, 0] - screen[partner, 0]),
        screen[vertex, 1] + grow * (screen[vertex, 1] - screen[partner, 1]),
    )


@njit(**COMPILE)
def light_axes(key: Floats) -> Floats:
    """Axes (3,3) of the key light's view: right, up, towards the light."""
    up = np.array([0.0, 1.0, 0.0], np.float32) if abs(key[1]) < 0.95 else np.array([1.0, 0.0, 0.0], np.float32)
    right = np.cross(up, key)
    right /= np.sqrt((right * right).sum())
    axes = np.empty((3, 3), np.float32)
    axes[0], axes[1], axes[2] = right, np.cross(key, right), key
    return axes


@njit(**COMPILE)
def fill_shadow(
    positions: Floats, triangles: Ints, cover: Floats, axes: Floats, center: Floats, radius: float, shadow: Floats
) -> None:
    """Draw triangles into the shadow map (size,size): height towards the light of what the light meets first."""
    size = len(shadow)
    for t in range(len(triangles)):
        a, b, c = row3(triangles, t)
        if cover[a] < 0 and cover[b] < 0 and cover[c] < 0:
            continue
        ax, ay, az = _on_map(row3(positions, a), axes, center, radius, size)
        bx, by, bz = _on_map(row3(positions, b), axes, center, radius, size)
        cx, cy, cz = _on_map(row3(positions, c), axes, center, radius, size)
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if abs(area) < 1e-7:
            continue
        per_area = 1 / area
        left, right = max(0, math.floor(min(ax, bx, cx))), min(size - 1, math.ceil(max(ax, bx, cx)))
        top, bottom = max(0, math.floor(min(ay, by, cy))), min(size - 1, math.ceil(max(ay, by, cy)))
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                px, py = x + 0.5, y + 0.5
                wb = ((px - ax) * (cy - ay) - (cx - ax) * (py - ay)) * per_area
                wc = ((bx - ax) * (py - ay) - (px - ax) * (by - ay)) * per_area
                wa = 1 - wb - wc
                if wa < 0 or wb < 0 or wc < 0 or wa * cover[a] + wb * cover[b] + wc * cover[c] < 0:
                    continue
                shadow[y, x] = max(shadow[y, x], wa * az + wb * bz + wc * cz)


@njit(**COMPILE)
def _on_map(
    point: tuple[float, float, float], axes: Floats, center: Floats, radius: float, size: int
) -> tuple[float, float, float]:
    """Place of a point on the shadow map (texels) and its height towards the light."""
    dx, dy, dz = point[0] - center[0], point[1] - center[1], point[2] - center[2]
    u = dx * axes[0, 0] + dy * axes[0, 1] + dz * axes[0, 2]
    v = dx * axes[1, 0] + dy * axes[1, 1] + dz * axes[1, 2]
    w = dx * axes[2, 0] + dy * axes[2, 1] + dz * axes[2, 2]
    return (u / radius * 0.5 + 0.5) * size, (v / radius * 0.5 + 0.5) * size, w
