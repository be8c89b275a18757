"""The ground that things stand on: painted into the backdrop, with the shadow that the thing casts on it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from onephoto.world.canvas import FINE, SIZE, noise
from onephoto.world.drawing import Camera, Floats, Light
from onephoto.world.skin import linear, smoothstep
from onephoto.world.visibility import fill_nearest

PAVED = {
    "city": (98, 98, 102), "brick wall": (150, 142, 134), "garage": (150, 146, 140), "night": (52, 50, 62),
    "room": (150, 112, 78),
}  # fmt: skip
"""Colour of the ground, sRGB, where the backdrop has none to stand on."""
FAR = 3.4
"""How far behind the thing such ground ends, decimetres."""
MAP, REACH = 160, 7.0
"""Texels along the maps of shadow, and what they cover to each side."""
CONTACT_BLUR, CONTACT_DARK, CAST_DARK = 5.0, 0.55, 0.62
LOWEST_LIGHT = 0.35
"""A light lower than this would cast shadows out of the picture."""


@dataclass(frozen=True)
class Ground:
    """Where each pixel sees the plane at height 0: `x` and `z` (H,W), and `seen` (H,W) where it does."""

    x: Floats
    z: Floats
    seen: NDArray[np.bool_]


def ground_of(camera: Camera, size: int) -> Ground:
    """The plane at height 0 under every pixel."""
    step = (np.arange(size) + 0.5 - size / 2) / camera.focal
    rays = camera.forward + step[None, :, None] * camera.right - step[:, None, None] * camera.up
    down = -rays[..., 1]
    seen = down > 1e-4
    reach = np.where(seen, camera.eye[1] / np.where(seen, down, 1), 0)
    return Ground(camera.eye[0] + reach * rays[..., 0], camera.eye[2] + reach * rays[..., 2], seen)


def paved(image: Floats, scene: str, ground: Ground, camera: Camera, rng: np.random.Generator) -> Floats:
    """The backdrop (H,W,3) with ground before its wall, where the scene has none of its own."""
    if scene not in PAVED:
        return image
    ahead = np.array([camera.forward[0], camera.forward[2]]) / np.hypot(camera.forward[0], camera.forward[2])
    depth = ground.x * ahead[0] + ground.z * ahead[1]
    cover = (ground.seen * smoothstep(FAR, FAR - 0.35, depth)).astype(np.float32)[..., None]
    grain = noise(rng, FINE)
    place = [(np.clip(c, -90, 90) * 12 % SIZE).astype(int) for c in (ground.z, ground.x)]
    tone = 0.85 + 0.28 * grain[tuple(place)]
    if scene == "room":
        boards = np.floor(np.clip(ground.x, -90, 90) / 0.7).astype(int)
        tone = tone * (0.82 + 0.3 * rng.random(97)[boards % 97])
    tone = tone * (0.75 + 0.25 * smoothstep(FAR, 0, depth))
    colour = linear(PAVED[scene]) * rng.uniform(0.75, 1.2)
    return (image * (1 - cover) + cover * colour * tone[..., None]).astype(np.float32)


def _fallen(points: Floats, triangles: NDArray[np.int32], slope: tuple[float, float]) -> Floats:
    """Texels (MAP,MAP) of the ground that a mesh covers as it falls along `slope`: x and z for each unit of height."""
    flat = np.empty_like(points)
    for column, axis in enumerate((0, 2)):
        flat[:, column] = ((points[:, axis] - points[:, 1] * slope[column]) / REACH * 0.5 + 0.5) * MAP
    flat[:, 2] = 1
    covered = np.zeros((MAP, MAP), np.float32)
    fill_nearest(np.ascontiguousarray(flat, np.float32), triangles, np.ones(len(points), np.float32), covered)
    return covered


def darkened(image: Floats, points: Floats, triangles: NDArray[np.int32], light: Light, ground: Ground) -> Floats:
    """The backdrop (H,W,3) with a thing's shadow: dark where it stands, softer where it keeps the light away."""
    towards = np.asarray(light.key_direction, float)
    height = max(towards[1], LOWEST_LIGHT * float(np.linalg.norm(towards)))
    cast = gaussian_filter(_fallen(points, triangles, (towards[0] / height, towards[2] / height)), 0.5 * light.softness)
    low = points.copy()
    low[:, 1] = np.maximum(low[:, 1], 0)
    near = triangles[points[triangles, 1].max(1) < 1.2]
    contact = gaussian_filter(_fallen(low, near, (0.0, 0.0)), CONTACT_BLUR)
    place = [(np.clip(c / REACH, -1, 1) * 0.5 + 0.5) * MAP - 0.5 for c in (ground.z, ground.x)]
    dark = [map_coordinates(m, place, order=1, mode="constant") for m in (cast, contact)]
    kept = (1 - CAST_DARK * dark[0]) * (1 - CONTACT_DARK * np.clip(1.5 * dark[1], 0, 1))
    return (image * np.where(ground.seen, kept, 1)[..., None]).astype(np.float32)
