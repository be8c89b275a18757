"""Take a picture: a person and a shot in; pixels, id map, captions and facts out."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onephoto.world.body import rotation
from onephoto.world.captions import Scenery, caption, captions, facing
from onephoto.world.drawing import Camera, Light, Material
from onephoto.world.dressing import figure_of, pose_of, things_of
from onephoto.world.figure import Posed, ShapedPerson, shape
from onephoto.world.people import Person, describe
from onephoto.world.props import MATERIALS
from onephoto.world.raster import draw
from onephoto.world.scenes import SceneLight, backdrop
from onephoto.world.shots import Shot, as_shown
from onephoto.world.skin import skin_colour

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Frame:
    """Height of the picture, and where its middle lies from the head's: upwards, and to the person's left; all in
    heights of the head.
    """

    height: float
    up: float = 0.0
    aside: float = 0.0


FRAMES = {"close": Frame(1.50, -0.02), "head": Frame(2.00, -0.14), "upper": Frame(2.90, -0.42)}
BUSY_FRAMES = {
    "wave": Frame(2.9, -0.30, -0.42), "hips": Frame(3.2, -0.62), "clasped": Frame(2.9, -0.62),
    "red ball": Frame(2.8, -0.42, -0.25), "cup": Frame(2.7, -0.42, -0.15), "flowers": Frame(2.7, -0.40, -0.15),
    "umbrella": Frame(3.3, 0.02, -0.22), "book": Frame(2.9, -0.50), "guitar": Frame(3.4, -0.70, 0.22),
}  # fmt: skip
"""Frames of the upper view that show what the hands do."""
DISTANCE = 17.0
"""From the camera to what it looks at, decimetres: a portrait lens."""
LUMA = np.array([0.2126, 0.7152, 0.0722])
BRIGHTNESS = {"night": 0.85, "snow": 1.3, "beach": 1.25, "field": 1.2, "sunset": 1.05, "forest": 1.05}
"""Light reaching a face that is turned to it, by scene; elsewhere 1.15."""
FAIR_SKIN, SKIN_SHARE = 0.34, 0.35
"""Exposure follows the skin's luminance, as a photographer's does, but only partly, or dark skin would turn pale."""
SHOULDER = 0.55
"""Linear light above this is pressed together below 1, so that bright skin keeps its shading."""
SEEN = {"hair": 0.01, "beard": 0.003, "clothes": 0.02, "eyes": 0.0008}
THING_SEEN = 0.0016
"""Share of the picture from which something counts as seen."""
THIN_BELOW = 160
"""Pixels below which the upper view draws half of the strands."""


@dataclass(frozen=True)
class Picture:
    """A picture (n, n, 3) uint8 sRGB; `ids` (n, n), drawing.Material or props.MATERIALS; `depth` (n, n) in decimetres,
    infinite at the backdrop; one caption and three stored ones; facts that can be written as JSON.
    """

    image: Bytes
    ids: Bytes
    depth: Floats
    caption: str
    captions: tuple[str, ...]
    facts: dict[str, Any]


def camera_for(shot: Shot, shaped: ShapedPerson, figure: Posed, size: int, rng: np.random.Generator) -> Camera:
    """A camera that frames the head as the view asks, a little off, for a picture of `size` pixels."""
    frame = FRAMES[shot.view]
    if shot.view == "upper":
        frame = BUSY_FRAMES.get(shot.held.kind if shot.held is not None else shot.arms, frame)
    low, high = shaped.landmarks.head_box
    head = float(high[1] - low[1])
    height = frame.height * head * rng.uniform(0.95, 1.07)
    target = figure.head((low + high) / 2) + np.array([frame.aside * head, frame.up * head, 0])
    target[:2] += height * rng.normal(size=2) * (0.025, 0.015)
    yaw, pitch = np.radians(shot.camera)
    back = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    right = np.cross(-back, (0, 1, 0))
    right /= np.linalg.norm(right)
    eye, up, forward, right = (
        v.astype(np.float32) for v in (target + DISTANCE * back, np.cross(right, -back), -back, right)
    )
    return Camera(eye=eye, right=right, up=up, forward=forward, focal=float(size * DISTANCE / height))


def exposure(light: SceneLight, scene: str, person: Person) -> float:
    """Factor on the light's colours that lights this person's face as bright as the scene should be."""
    key, sky, ground = (float(np.dot(LUMA, colour)) for colour in (light.key, light.sky, light.ground))
    reaching = key + 0.5 * (sky + ground)
    skin = float(np.dot(LUMA, skin_colour(person)))
    return BRIGHTNESS.get(scene, 1.15) / reaching * float(np.clip((FAIR_SKIN / skin) ** SKIN_SHARE, 0.88, 1.35))


def light_for(light: SceneLight, camera_yaw: float, factor: float) -> Light:
    """The scene's light in space: it turns with the camera (degrees), because the backdrop does."""
    turn = rotation((0, 1, 0), float(np.radians(camera_yaw)))
    side = -np.sign(light.direction[0])
    key, sky, ground = (np.float32(factor) * np.array(c, np.float32) for c in (light.key, light.sky, light.ground))
    return Light(
        key_direction=turn @ np.array(light.direction, np.float32),
        key_color=key,
        sky=sky,
        ground=ground,
        fill_direction=turn @ np.array([0.8 * side, 0.25, 0.7], np.float32),
        fill_color=0.14 * key,
        softness=0.7 * light.softness,
    )


def developed(rgb: Floats, supersample: int) -> Bytes:
    """Linear light (H,W,3) as an sRGB picture: soft shoulder, then the mean of each block of pixels, then sRGB."""
    room = 1 - SHOULDER
    pressed = np.where(rgb < SHOULDER, rgb, 1 - room * np.exp(-(rgb - SHOULDER) / room))
    size = len(rgb) // supersample
    mean = pressed.reshape(size, supersample, size, supersample, 3).mean((1, 3))
    encoded = np.where(mean < 0.0031308, 12.92 * mean, 1.055 * np.maximum(mean, 1e-6) ** (1 / 2.4) - 0.055)
    return (np.clip(encoded, 0, 1) * 255 + 0.5).astype(np.uint8)


def seen_in(ids: Bytes) -> frozenset[str]:
    """What can be seen on an id map (n, n): kinds of things, and "hair", "beard", "clothes", "eyes"."""
    share = np.bincount(ids.ravel(), minlength=256) / ids.size
    parts = {
        "hair": share[Material.HAIR],
        "beard": share[Material.BEARD],
        "clothes": share[Material.CLOTH],
        "eyes": share[Material.LEFT_EYE] + share[Material.RIGHT_EYE],
    }
    things = {kind for kind, number in MATERIALS.items() if share[number] >= THING_SEEN}
    return frozenset(things | {part for part, amount in parts.items() if amount >= SEEN[part]})


def facts_of(person: Person, shot: Shot, scenery: Scenery) -> dict[str, Any]:
    """What is true of a picture, as plain values."""
    looks = describe(as_shown(person, shot))
    return {
        "person": person.seed,
        "name": person.name,
        "scene": shot.scene,
        "wall": scenery.colour,
        "view": shot.view,
        "expression": shot.expression,
        "head": list(shot.head),
        "camera": list(shot.camera),
        "facing": facing(shot),
        "arms": shot.arms if shot.held is None else "holding",
        "clothes": asdict(shot.clothes),
        "things": {thing.kind: thing.colour for thing in things_of(shot) if thing.kind in scenery.visible},
        "visible": sorted(scenery.visible),
        "sex": looks.sex,
        "age": looks.age,
        "hair": [looks.hair_style, looks.hair_colour],
        "beard": looks.beard,
        "skin": looks.skin,
        "eyes": looks.eyes,
        "changed": [name for name in ("hair", "age", "beard") if getattr(shot, name) is not None],
        "seed": shot.seed,
    }


def take_picture(person: Person, shot: Shot, *, size: int = 128, supersample: int = 2) -> Picture:
    """Take the picture of a shot, `size` pixels wide; the same person and shot give the same pixels for ever."""
    scene_rng, pose_rng, dress_rng, camera_rng, word_rng = (np.random.default_rng([shot.seed, k]) for k in range(5))
    pixels = size * supersample
    place = backdrop(shot.scene, scene_rng, pixels)
    shown = as_shown(person, shot)
    shaped = shape(shown)
    figure = pose_of(shaped, shot, pose_rng)
    every = 2 if shot.view == "upper" and size <= THIN_BELOW else 1
    drawing = draw(
        [figure_of(shaped, figure, shot, rng=dress_rng, every=every)],
        light_for(place.light, shot.camera[0], exposure(place.light, shot.scene, shown)),
        camera_for(shot, shaped, figure, pixels, camera_rng),
        place.image,
        shadow_center=figure.head(shaped.landmarks.skull_centre) - np.array([0, 1.2, 0], np.float32),
        shadow_radius=3.8,
    )
    middle = slice(supersample // 2, None, supersample)
    ids = drawing.ids[middle, middle].copy()
    scenery = Scenery(seen_in(ids), place.colour)
    return Picture(
        image=developed(drawing.rgb, supersample),
        ids=ids,
        depth=drawing.depth[middle, middle].copy(),
        caption=caption(person, shot, scenery, word_rng),
        captions=captions(person, shot, scenery, word_rng),
        facts=facts_of(person, shot, scenery),
    )
