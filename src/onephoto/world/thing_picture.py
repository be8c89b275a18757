"""Take a picture of a thing: the thing and a view of it in; pixels, id map, captions and facts out."""

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onephoto.errors import WorldError
from onephoto.world import thing_phrases
from onephoto.world.drawing import Bytes, Camera, Figure, Floats
from onephoto.world.floor import darkened, ground_of, paved
from onephoto.world.picture import BRIGHTNESS, DISTANCE, LUMA, THING_SEEN, Picture, aimed, developed, light_for
from onephoto.world.raster import draw
from onephoto.world.scenes import SCENES, SceneLight, backdrop
from onephoto.world.thing_captions import caption, captions
from onephoto.world.thing_parts import NUMBERS, Feature, figures_of
from onephoto.world.things import KINDS, Thing, features

FRONT, SIDE, BEHIND = 25.0, (60.0, 120.0), 140.0
"""Degrees of the camera about a thing: up to the first it is seen from the front, from the last on from behind."""
LOWEST, HIGHEST = 5.0, 15.0
"""Degrees of the camera above the ground's horizon."""
TIGHT, WIDE = 1.12, 1.45
"""Side of the picture, in sizes of the thing."""


@dataclass(frozen=True)
class View:
    """What happens in one picture of a thing.

    `scene` of SCENES, `pose` of its kind's; `camera` (yaw, pitch) in degrees about it; `room` the side of the picture
    in sizes of the thing; `seed` decides all that is left.
    """

    seed: int
    scene: str
    pose: str
    camera: tuple[float, float]
    room: float


def sample_view(rng: np.random.Generator, one: Thing, **fixed: Any) -> View:
    """A random view of a thing; fields of View can be fixed by name. Raises WorldError for unknown names and words."""
    kind = KINDS[one.kind]
    known = {"scene": tuple(SCENES), "pose": kind.poses}
    for name, value in fixed.items():
        if name not in [f.name for f in fields(View)]:
            raise WorldError(f"a view has no {name!r}; it has {', '.join(f.name for f in fields(View))}")
        if name in known and value not in known[name]:
            raise WorldError(f"no {name} {value!r} for a {one.kind}; known: {', '.join(known[name])}")
    # Things of different kinds and one seed are not to be seen in the same places.
    rng = np.random.default_rng([int(rng.integers(1 << 31)), list(KINDS).index(one.kind)])
    behind = rng.random() < kind.behind
    yaw = rng.uniform(110, 180) * rng.choice((-1, 1)) if behind else rng.uniform(-kind.turn, kind.turn)
    view = View(
        seed=int(rng.integers(1 << 31)),
        scene=str(rng.choice(list(SCENES))),
        pose=str(rng.choice(kind.poses)),
        camera=(float(yaw), float(rng.uniform(LOWEST, HIGHEST))),
        room=float(rng.uniform(TIGHT, WIDE)),
    )
    return replace(view, **fixed)


def side_of(view: View) -> str | None:
    """From where the thing is seen: "front", "side", "back", or None for what lies between."""
    turn = abs(view.camera[0])
    if turn <= FRONT:
        return "front"
    return "back" if turn >= BEHIND else "side" if SIDE[0] <= turn <= SIDE[1] else None


def parts_seen(ids: Bytes) -> frozenset[str]:
    """Parts that can be seen on an id map (n, n)."""
    share = np.bincount(ids.ravel(), minlength=256) / ids.size
    return frozenset(name for name, number in NUMBERS.items() if share[number] >= THING_SEEN)


def features_seen(one: Thing, ids: Bytes) -> list[Feature]:
    """The thing's features of which the id map shows the part."""
    parts = parts_seen(ids) | {one.kind}
    return [feature for feature in features(one) if feature.part in parts]


def facts_of(one: Thing, view: View, seen: list[Feature], parts: frozenset[str], wall: str | None) -> dict[str, Any]:
    """What is true of a picture, as plain values."""
    return {
        "kind": one.kind,
        "thing": one.seed,
        "name": one.name,
        "form": one.form,
        "colour": one.colour,
        "features": {feature.word: feature.colour for feature in seen},
        "visible": sorted(parts),
        "scene": view.scene,
        "wall": wall,
        "pose": view.pose,
        "side": side_of(view),
        "camera": list(view.camera),
        "seed": view.seed,
    }


def _exposure(light: SceneLight, scene: str) -> float:
    """Factor on the light's colours that makes the scene as bright as it should be."""
    key, sky, ground = (float(np.dot(LUMA, colour)) for colour in (light.key, light.sky, light.ground))
    return BRIGHTNESS.get(scene, 1.15) / (key + 0.5 * (sky + ground))


def _camera(points: Floats, view: View, size: int) -> Camera:
    """A camera that sees the whole thing, which stands a little below the middle of the picture."""
    middle = (points.max(0) + points.min(0)) / 2
    turned = aimed(middle, view.camera, height=1.0, size=size)
    away = points - middle
    larger = DISTANCE / (DISTANCE + away @ turned.forward)
    extent = 2 * float(np.abs(np.stack([away @ turned.right, away @ turned.up]) * larger).max())
    rng = np.random.default_rng([view.seed, 2])
    height = view.room * extent
    aside = (view.room - 1) * extent * np.array([rng.uniform(-0.3, 0.3), rng.uniform(0.0, 0.3)])
    return aimed(middle + aside[0] * turned.right + aside[1] * turned.up, view.camera, height=height, size=size)


@lru_cache(maxsize=16)
def _figures(one: Thing, pose: str) -> list[Figure]:
    """The thing in a pose, its hair the same in every picture; kept, because most have several pictures taken."""
    return figures_of(KINDS[one.kind].parts_of(one, pose), np.random.default_rng([one.seed, 101]))


def _seen(one: Thing, view: View, size: int) -> tuple[NDArray[np.float32], Bytes, Floats, str | None]:
    """Linear light (H,W,3), id map and depth (H,W) at `size` pixels, and the colour word of the wall."""
    scene_rng, floor_rng = (np.random.default_rng([view.seed, k]) for k in range(2))
    place = backdrop(view.scene, scene_rng, size)
    figures = _figures(one, view.pose)
    points, triangles = figures[0].mesh.positions, figures[0].mesh.triangles
    camera = _camera(points, view, size)
    light = light_for(place.light, view.camera[0], _exposure(place.light, view.scene))
    ground = ground_of(camera, size)
    behind = darkened(paved(place.image, view.scene, ground, camera, floor_rng), points, triangles, light, ground)
    middle = (points.max(0) + points.min(0)) / 2
    reach = 1.05 * float(np.linalg.norm(points - middle, axis=1).max())
    drawing = draw(figures, light, camera, behind, shadow_center=middle, shadow_radius=reach)
    return drawing.rgb, drawing.ids, drawing.depth, place.colour


def take_thing(one: Thing, view: View, *, size: int = 128, supersample: int = 2) -> Picture:
    """Take a picture of a thing, `size` pixels wide; the same thing and view give the same pixels for ever."""
    rgb, ids, depth, wall = _seen(one, view, size * supersample)
    middle = slice(supersample // 2, None, supersample)
    ids, depth = ids[middle, middle].copy(), depth[middle, middle].copy()
    seen, side = features_seen(one, ids), side_of(view)
    doing = (*thing_phrases.POSES[view.pose], *(thing_phrases.SIDES[side] if side else ()))
    word_rng, place = np.random.default_rng([view.seed, 3]), (view.scene, wall)
    return Picture(
        image=developed(rgb, supersample),
        ids=ids,
        depth=depth,
        caption=caption(one, seen, doing, place, word_rng),
        captions=captions(one, replace(one, name=None), seen, doing, place, word_rng),
        facts=facts_of(one, view, seen, parts_seen(ids), wall),
    )
