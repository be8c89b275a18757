"""The key light's shadow map and ambient occlusion."""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from onephoto.world.fibres import fill_fibres, no_fibres
from onephoto.world.noise import TURNS, hashed, spiral
from onephoto.world.vectors import COMPILE, INLINED, SOURCES, Triple, clamp, dot, part3, plus, point3
from onephoto.world.visibility import fill_nearest

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

SHADOW_SIZE = 384
"""Texels along the shadow map."""
UNLIT = -1e9
"""Height of nothing."""
LIFT, SLACK, FADE = 0.035, 0.03, 0.04
"""Decimetres: a point is tested this far off its surface and this much nearer to the light; shadows fade over FADE."""
KEY_TAPS = spiral(8, 0.5)
SKY_TAPS = spiral(14, 1.0)
SKY_REACH = 0.45
"""Decimetres within which surfaces keep the sky from each other."""


class Shadow(NamedTuple):
    """`heights` (S,S) at which the key light is stopped; `axes` (3,3): right, up, to the light; `center` (3,) and
    `radius` of what the map covers; `softness` in texels.
    """

    heights: Floats
    axes: Floats
    center: Floats
    radius: float
    softness: float


def light_axes(key: Floats) -> Floats:
    """Axes (3,3) of the view from a light in direction `key` (3,): right, up, towards the light."""
    towards = key / np.linalg.norm(key)
    right = np.cross((0.0, 1.0, 0.0) if abs(towards[1]) < 0.95 else (1.0, 0.0, 0.0), towards)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(towards, right), towards]).astype(np.float32)


def _on_map(points: Floats, axes: Floats, center: Floats, radius: float) -> Floats:
    """Texel x, y and height of points (V,3) -> (V,3)."""
    seen = (points - center) @ axes.T
    seen[:, :2] = (seen[:, :2] / radius * 0.5 + 0.5) * SHADOW_SIZE
    return np.ascontiguousarray(seen, np.float32)


def shadow_map(
    mesh: tuple[Floats, Ints, Floats], hair: tuple[Floats, Floats], key: Floats, *, center: Floats, radius: float,
    softness: float,
) -> Shadow:  # fmt: skip
    """Look from the light: mesh is positions (V,3), triangles, cover (V,); hair is points (N,P,3) and half widths.

    Every second strand with twice the width stops as much light as all.
    """
    axes, center = light_axes(key), np.asarray(center, np.float32)
    positions, triangles, cover = mesh
    heights = np.full((SHADOW_SIZE, SHADOW_SIZE), UNLIT, np.float32)
    fill_nearest(_on_map(positions, axes, center, radius), triangles, cover, heights)
    points, widths = hair[0][::2, ::2], hair[1][::2, ::2]
    if points.size:
        fibres = no_fibres(heights.shape, UNLIT)
        halves = np.ascontiguousarray(widths * np.float32(SHADOW_SIZE / radius))
        fill_fibres(_on_map(points.reshape(-1, 3), axes, center, radius), halves, heights, 0.0, *fibres)
        heights = np.where(fibres.clear < 0.5, fibres.nearest, heights)
    return Shadow(heights, axes, center, float(radius), float(softness))


@njit(**INLINED)
def light_reaching(point: Triple, normal: Triple, turn: int, shadow: Shadow) -> float:
    """Share of the key light that reaches a point: taps of the shadow map in a disc, turned by 1/32 `turn`."""
    size = len(shadow.heights)
    place = plus(plus(point, normal, LIFT), part3(shadow.center, 0), -1.0)
    scale = 0.5 * size / shadow.radius
    u = dot(place, point3(shadow.axes, 0)) * scale + 0.5 * size
    v = dot(place, point3(shadow.axes, 1)) * scale + 0.5 * size
    height = dot(place, point3(shadow.axes, 2)) + SLACK
    cosine, sine = shadow.softness * TURNS[turn, 0], shadow.softness * TURNS[turn, 1]
    total = 0.0
    for tap in range(len(KEY_TAPS)):
        x = int(u + cosine * KEY_TAPS[tap, 0] - sine * KEY_TAPS[tap, 1])
        y = int(v + sine * KEY_TAPS[tap, 0] + cosine * KEY_TAPS[tap, 1])
        if x < 0 or y < 0 or x >= size or y >= size:
            total += 1
        else:
            total += clamp(1 + (height - shadow.heights[y, x]) / FADE)
    return total / len(KEY_TAPS)


@njit(**COMPILE)
def occlusion(nearest: Floats, normals: Floats, axes: Floats, focal: float, sources: int = SOURCES) -> Floats:
    """Screen-space ambient occlusion at half resolution: (H,W) inverse depth -> (H/2,W/2) open sky in [.15, 1].

    A normal of zero (hair) is taken to face the eye.
    """
    height, width = nearest.shape
    open_sky = np.ones((height // 2, width // 2), np.float32)
    for y in range(height // 2):
        for x in range(width // 2):
            inverse = nearest[2 * y, 2 * x]
            if inverse <= 0:
                continue
            # In the camera's axes; lengths and angles are the same there.
            n = point3(normals[2 * y], 2 * x)
            n = dot(n, point3(axes, 1)), dot(n, point3(axes, 2)), dot(n, point3(axes, 3))
            if n[0] == 0 and n[1] == 0 and n[2] == 0:
                n = 0.0, 0.0, -1.0
            here = _seen_at(2 * x, 2 * y, nearest, focal)
            turn = hashed(x, y, 1) & 31
            radius = min(60.0, focal * SKY_REACH * inverse)
            cosine, sine = radius * TURNS[turn, 0], radius * TURNS[turn, 1]
            blocked = 0.0
            for tap in range(len(SKY_TAPS)):
                sx = int(2 * x + cosine * SKY_TAPS[tap, 0] - sine * SKY_TAPS[tap, 1])
                sy = int(2 * y + sine * SKY_TAPS[tap, 0] + cosine * SKY_TAPS[tap, 1])
                if sx < 0 or sy < 0 or sx >= width or sy >= height or nearest[sy, sx] <= 0:
                    continue
                away = plus(_seen_at(sx, sy, nearest, focal), here, -1.0)
                square = dot(away, away)
                if square > 1e-8:
                    rise = max(0.0, dot(away, n) / math.sqrt(square) - 0.12)
                    blocked += rise / (1 + square * (1.5 / SKY_REACH**2))
            open_sky[y, x] = clamp(1 - 1.9 * blocked / len(SKY_TAPS), 0.15, 1.0)
    return _smoothed(open_sky, nearest)


@njit(**INLINED)
def _seen_at(x: int, y: int, nearest: Floats, focal: float) -> Triple:
    """Point seen at a pixel, in the camera's axes: right, up, forward."""
    depth = 1.0 / nearest[y, x]
    scale = depth / focal
    return (x + 0.5 - nearest.shape[1] * 0.5) * scale, (nearest.shape[0] * 0.5 - y - 0.5) * scale, depth


@njit(**INLINED)
def _smoothed(values: Floats, nearest: Floats) -> Floats:
    """3 x 3 mean over neighbours of about the same depth."""
    result = values.copy()
    for y in range(1, len(values) - 1):
        for x in range(1, values.shape[1] - 1):
            here = nearest[2 * y, 2 * x]
            if here <= 0:
                continue
            total, count = 0.0, 0
            for j in range(y - 1, y + 2):
                for i in range(x - 1, x + 2):
                    if abs(nearest[2 * j, 2 * i] - here) < 0.02 * here:
                        total += values[j, i]
                        count += 1
            result[y, x] = total / count
    return result
