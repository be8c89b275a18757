"""Take a picture: a person and a shot in; pixels, id map, captions and facts out."""

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, shift

from onephoto.world.body import rotation
from onephoto.world.captions import Scenery, caption, captions, facing, looks_of
from onephoto.world.drawing import Camera, Drawing, Figure, Light, Material
from onephoto.world.dressing import figure_of, pose_of, things_of
from onephoto.world.figure import Posed, ShapedPerson, shape
from onephoto.world.people import Person
from onephoto.world.points import Points, face_box, on_picture, points_of
from onephoto.world.props import MATERIALS
from onephoto.world.raster import draw
from onephoto.world.scenes import Backdrop, SceneLight, backdrop
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
    "umbrella": Frame(3.4, 0.06, -0.22), "book": Frame(2.9, -0.50), "guitar": Frame(3.4, -0.70, 0.22),
}  # fmt: skip
"""Frames of the upper view that show what the hands do."""
DISTANCE = 17.0
"""From the camera to what it looks at, decimetres: a portrait lens."""
LUMA = np.array([0.2126, 0.7152, 0.0722])
BRIGHTNESS = {"night": 0.85, "snow": 1.3, "beach": 1.25, "field": 1.2, "sunset": 1.05, "forest": 1.05}
"""Light reaching a face that is turned to it, by scene; elsewhere 1.15."""
FAIR_SKIN, SKIN_SHARE = 0.34, 0.42
"""Exposure follows the skin's luminance, as a photographer's does, but only partly, or dark skin would turn pale."""
LOW = 0.06
"""Height of a low light's direction."""
SHOULDER = 0.55
"""Linear light above this is pressed together below 1, so that bright skin keeps its shading."""
ENCODING_STEPS = 8192
SHADOW_REACH = 3.8
"""Radius of what the shadow map covers about one person, decimetres."""
WALLS = ("studio", "brick wall", "room")
"""Scenes in which people stand near a wall."""
WALL_SHADOW, WALL_DARKENED = 0.09, 0.45
"""How far the shadow on the wall moves away, as a share of the picture, and how dark it is."""
SEEN = {"hair": 0.01, "beard": 0.003, "clothes": 0.02, "eyes": 0.0008}
THING_SEEN = 0.0016
"""Share of the picture from which something counts as seen."""
THINNED = {"close": 1, "head": 2, "upper": 3}
"""In small pictures only each n-th strand is drawn, but thicker."""
SMALL = 160
"""Pixels up to which a picture is small."""


@dataclass(frozen=True)
class Picture:
    """A picture (n, n, 3) uint8 sRGB; `ids` (n, n), drawing.Material or props.MATERIALS; `depth` (n, n) in decimetres,
    infinite at the backdrop; one caption and those that are stored; facts that can be written as JSON; the points of
    each person.
    """

    image: Bytes
    ids: Bytes
    depth: Floats
    caption: str
    captions: tuple[str, ...]
    facts: dict[str, Any]
    points: tuple[Points, ...] = ()


def aimed(target: NDArray, angles: tuple[float, float], *, height: float, size: int) -> Camera:
    """A camera at (yaw, pitch) degrees about a target (3,) that sees `height` decimetres on `size` pixels."""
    yaw, pitch = np.radians(angles)
    back = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    right = np.cross(-back, (0, 1, 0))
    right /= np.linalg.norm(right)
    axes = (target + DISTANCE * back, right, np.cross(right, -back), -back)
    eye, right, up, forward = (axis.astype(np.float32) for axis in axes)
    return Camera(eye=eye, right=right, up=up, forward=forward, focal=float(size * DISTANCE / height))


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
    return aimed(target, shot.camera, height=height, size=size)


def exposure(light: SceneLight, scene: str, person: Person) -> float:
    """Factor on the light's colours that lights this person's face as bright as the scene should be."""
    key, sky, ground = (float(np.dot(LUMA, colour)) for colour in (light.key, light.sky, light.ground))
    reaching = key + 0.5 * (sky + ground)
    skin = float(np.dot(LUMA, skin_colour(person)))
    return BRIGHTNESS.get(scene, 1.15) / reaching * float(np.clip((FAIR_SKIN / skin) ** SKIN_SHARE, 0.88, 1.6))


def light_for(light: SceneLight, camera_yaw: float, factor: float, *, low: bool = False) -> Light:
    """The scene's light in space: it turns with the camera (degrees), because the backdrop does. `low` lets it come
    from the side, so that an umbrella does not keep it from the face.
    """
    turn = rotation((0, 1, 0), float(np.radians(camera_yaw)))
    side = -np.sign(light.direction[0])
    direction = np.array(light.direction, np.float32)
    if low:
        direction[1] = LOW
    key, sky, ground = (np.float32(factor) * np.array(c, np.float32) for c in (light.key, light.sky, light.ground))
    return Light(
        key_direction=turn @ direction,
        key_color=key,
        sky=sky,
        ground=ground,
        fill_direction=turn @ np.array([0.8 * side, 0.25, 0.7], np.float32),
        fill_color=0.14 * key,
        softness=0.7 * light.softness,
    )


@lru_cache(maxsize=1)
def _encoding() -> Bytes:
    """sRGB bytes of evenly spaced linear values from 0 to 1 (IEC 61966-2-1)."""
    linear_values = np.linspace(0, 1, ENCODING_STEPS)
    curve = 1.055 * np.maximum(linear_values, 1e-6) ** (1 / 2.4) - 0.055
    encoded = np.where(linear_values < 0.0031308, 12.92 * linear_values, curve)
    return (encoded * 255 + 0.5).astype(np.uint8)


def developed(rgb: Floats, supersample: int) -> Bytes:
    """Linear light (H,W,3) as an sRGB picture: soft shoulder, then the mean of each block of pixels, then sRGB."""
    room = np.float32(1 - SHOULDER)
    excess = np.maximum(rgb - np.float32(SHOULDER), 0)
    pressed = np.minimum(rgb, np.float32(SHOULDER)) + room * (1 - np.exp(-excess / room))
    offsets = range(supersample)
    total = sum((pressed[i::supersample, j::supersample] for i in offsets for j in offsets), np.float32(0))
    scale = np.float32((ENCODING_STEPS - 1) / supersample**2)
    return _encoding()[np.clip(total * scale + np.float32(0.5), 0, ENCODING_STEPS - 1).astype(np.int32)]


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
    looks = looks_of(as_shown(person, shot))
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


def face_of(points: Points, size: int) -> list[float] | None:
    """The face's box in shares of a picture of `size` pixels, as a fact."""
    box = face_box(points)
    return None if box is None else [round(side / size, 4) for side in box]


def shadowed(drawing: Drawing, light: SceneLight) -> Floats:
    """The drawing's light (H,W,3) with the soft shadow that people cast on a wall behind them."""
    figure = drawing.ids[::2, ::2] != Material.BACKGROUND
    size = len(figure)
    across, up, towards = light.direction
    reach = WALL_SHADOW * size / max(towards, 0.2)
    moved = shift(figure.astype(np.float32), (reach * up, -reach * across), order=0, mode="nearest")
    dark = gaussian_filter(moved, size * 0.004 * light.softness).repeat(2, 0).repeat(2, 1)
    behind = (drawing.ids == Material.BACKGROUND).astype(np.float32)
    return drawing.rgb * (1 - WALL_DARKENED * dark * behind)[..., None]


def photograph(
    figures: list[Figure], place: Backdrop, light: Light, camera: Camera, *, supersample: int, wall: bool
) -> tuple[Bytes, Bytes, Floats]:
    """Draw figures before a backdrop; picture (n,n,3), id map (n,n) and depth (n,n), smaller by `supersample`."""
    centres = np.mean([figure.head_center for figure in figures], 0, dtype=np.float32)
    radius = SHADOW_REACH + 1.5 * (len(figures) - 1)
    below = np.array([0, 1.2, 0], np.float32)
    drawing = draw(figures, light, camera, place.image, shadow_center=centres - below, shadow_radius=radius)
    rgb = shadowed(drawing, place.light) if wall else drawing.rgb
    middle = slice(supersample // 2, None, supersample)
    return developed(rgb, supersample), drawing.ids[middle, middle].copy(), drawing.depth[middle, middle].copy()


def take_picture(person: Person, shot: Shot, *, size: int = 128, supersample: int = 2) -> Picture:
    """Take the picture of a shot, `size` pixels wide; the same person and shot give the same pixels for ever."""
    scene_rng, pose_rng, dress_rng, camera_rng, word_rng = (np.random.default_rng([shot.seed, k]) for k in range(5))
    pixels = size * supersample
    place = backdrop(shot.scene, scene_rng, pixels)
    shown = as_shown(person, shot)
    shaped = shape(shown)
    figure = pose_of(shaped, shot, pose_rng)
    camera = camera_for(shot, shaped, figure, pixels, camera_rng)
    under_umbrella = shot.held is not None and shot.held.kind == "umbrella"
    image, ids, depth = photograph(
        [figure_of(shaped, figure, shot, rng=dress_rng, every=THINNED[shot.view] if size <= SMALL else 1)],
        place,
        light_for(place.light, shot.camera[0], exposure(place.light, shot.scene, shown), low=under_umbrella),
        camera,
        supersample=supersample,
        wall=shot.scene in WALLS,
    )
    scenery = Scenery(seen_in(ids), place.colour)
    points = on_picture(points_of(figure), camera, depth, supersample)
    return Picture(
        image=image,
        ids=ids,
        depth=depth,
        caption=caption(person, shot, scenery, word_rng),
        captions=captions(person, shot, scenery, word_rng),
        facts=facts_of(person, shot, scenery) | {"face": face_of(points, size)},
        points=(points,),
    )
