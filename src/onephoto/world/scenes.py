"""Where pictures are taken: backdrops in linear light, each with the light that belongs to it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onephoto.errors import WorldError
from onephoto.world import indoors, outdoors
from onephoto.world.canvas import SIZE, Canvas

Floats = NDArray[np.float32]
Vector = tuple[float, float, float]

VARIANTS = 32
"""Paintings of each scene; crops, flips and tints make every backdrop differ."""


@dataclass(frozen=True)
class SceneLight:
    """Light in the frame of the picture (x right, y up, z towards the camera): where the main light comes from and its
    colour, the light from above and from below, and how soft the shadows are (a radius in pixels of the shadow map).
    """

    direction: Vector
    key: Vector
    sky: Vector
    ground: Vector
    softness: float


@dataclass(frozen=True)
class Backdrop:
    """A backdrop (n, n, 3) in linear RGB, its light, and the colour word of its wall, where it has one."""

    image: Floats
    light: SceneLight
    colour: str | None


@dataclass(frozen=True)
class Scene:
    """How a scene is painted, how far out of focus it is (pixels of the canvas), and its light from the left."""

    paint: Callable[[Canvas, np.random.Generator], str | None]
    blur: float
    light: SceneLight


_DAY = SceneLight((-0.6, 0.6, 0.75), (2.0, 1.9, 1.75), (0.55, 0.60, 0.68), (0.28, 0.25, 0.22), 5.0)

SCENES: Mapping[str, Scene] = MappingProxyType(
    {
        "studio": Scene(indoors.paint_studio, 1.0, replace(_DAY, softness=9.0)),
        "sunset": Scene(
            outdoors.paint_sunset,
            1.2,
            SceneLight((-0.8, 0.30, 0.6), (2.4, 1.5, 0.85), (0.46, 0.40, 0.54), (0.30, 0.20, 0.20), 5.0),
        ),
        "beach": Scene(
            outdoors.paint_beach,
            0.9,
            SceneLight((-0.5, 0.8, 0.75), (2.3, 2.15, 1.9), (0.60, 0.72, 0.86), (0.50, 0.44, 0.34), 4.0),
        ),
        "forest": Scene(
            outdoors.paint_forest,
            1.1,
            SceneLight((-0.5, 0.8, 0.7), (1.8, 1.85, 1.45), (0.42, 0.52, 0.38), (0.22, 0.23, 0.14), 6.0),
        ),
        "city": Scene(outdoors.paint_city, 1.0, _DAY),
        "snow": Scene(
            outdoors.paint_snow,
            1.0,
            SceneLight((-0.6, 0.6, 0.8), (2.1, 2.1, 2.0), (0.62, 0.72, 0.88), (0.62, 0.66, 0.74), 6.0),
        ),
        "brick wall": Scene(indoors.paint_brick_wall, 0.6, _DAY),
        "room": Scene(
            indoors.paint_room,
            0.8,
            SceneLight((-0.9, 0.4, 0.6), (1.9, 1.85, 1.8), (0.44, 0.42, 0.40), (0.28, 0.25, 0.22), 8.0),
        ),
        "night": Scene(
            outdoors.paint_night,
            0.8,
            SceneLight((-0.6, 0.5, 0.7), (1.7, 1.35, 1.0), (0.24, 0.24, 0.40), (0.18, 0.14, 0.16), 5.0),
        ),
        "field": Scene(
            outdoors.paint_field,
            1.0,
            SceneLight((-0.5, 0.75, 0.75), (2.2, 2.1, 1.85), (0.55, 0.66, 0.82), (0.26, 0.30, 0.16), 4.0),
        ),
        "garage": Scene(indoors.paint_garage, 0.7, _DAY),
    }
)
"""All scenes by name; the light's colours are relative, exposure makes them right."""


@lru_cache(maxsize=len(SCENES) * VARIANTS)
def _painting(scene: str, variant: int) -> tuple[NDArray[np.float16], str | None]:
    """One of a scene's paintings, kept in half precision to spare memory."""
    rng = np.random.default_rng([list(SCENES).index(scene), variant])
    canvas = Canvas()
    colour = SCENES[scene].paint(canvas, rng)
    return canvas.blurred(SCENES[scene].blur).astype(np.float16), colour


def _enlarged(image: Floats, size: int) -> Floats:
    channels = [Image.fromarray(np.ascontiguousarray(image[..., k])) for k in range(3)]
    return np.stack([np.asarray(c.resize((size, size), Image.Resampling.BILINEAR)) for c in channels], -1)


def _light(light: SceneLight, rng: np.random.Generator, side: float) -> SceneLight:
    """The scene's light, moved a little; `side` -1 leaves it on the left, 1 mirrors it to the right."""
    x, y, z = light.direction
    across = -side * x * rng.uniform(0.4, 1.3)
    direction = (across, y * rng.uniform(0.7, 1.4), z * rng.uniform(0.9, 1.3))
    return replace(light, direction=direction, softness=light.softness * rng.uniform(0.7, 1.3))


def backdrop(scene: str, rng: np.random.Generator, size: int) -> Backdrop:
    """A backdrop of `size` pixels and its light; raises WorldError for a scene that does not exist."""
    if scene not in SCENES:
        raise WorldError(f"no scene {scene!r}; known: {', '.join(SCENES)}")
    painting, colour = _painting(scene, int(rng.integers(VARIANTS)))
    width = int(SIZE * rng.uniform(0.76, 1.0))
    left, top = int(rng.integers(SIZE - width + 1)), int((SIZE - width) * rng.uniform(0.3, 0.9))
    crop = painting[top : top + width, left : left + width].astype(np.float32)
    side = float(rng.choice((-1, 1)))
    tint = rng.uniform(0.86, 1.12) * (1 + 0.05 * rng.normal(size=3)).clip(0.9, 1.1)
    image = _enlarged((crop[:, ::-1] if side > 0 else crop) * tint.astype(np.float32), size)
    return Backdrop(np.ascontiguousarray(image), _light(SCENES[scene].light, rng, side), colour)
