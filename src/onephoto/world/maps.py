"""What a ControlNet is given beside a picture: its depth, and its people's pose, as pictures themselves."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from onephoto.world.picture import Picture
from onephoto.world.points import FACE, JOINTS, NAMES, Points

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

FARTHEST = 0.2
"""Depth map's value at the farthest point of a figure; 1 at the nearest, 0 at the backdrop."""
LIMBS = (
    ("right shoulder", "neck", (255, 85, 0)), ("neck", "left shoulder", (85, 255, 0)),
    ("right shoulder", "right elbow", (255, 170, 0)), ("right elbow", "right wrist", (255, 255, 0)),
    ("left shoulder", "left elbow", (0, 255, 0)), ("left elbow", "left wrist", (0, 255, 85)),
    ("neck", "chin", (0, 85, 255)), ("chin", "nose", (255, 0, 85)),
)  # fmt: skip
OUTLINES = (
    (tuple(name for name in FACE if name.startswith("left") and "mouth" not in name), (170, 0, 255)),
    (tuple(name for name in FACE if name.startswith("right") and "mouth" not in name), (0, 170, 255)),
    (("left mouth corner", "upper lip", "right mouth corner", "lower lip"), (255, 0, 0)),
)
"""Both eyes and the mouth."""
LIMB, LINE, JOINT, DOT = 0.016, 0.009, 0.02, 0.011
"""Widths of limbs and outlines, radii of joints and face points, as shares of the picture."""
SUPERSAMPLE = 4


def depth_map(depth: Floats) -> Floats:
    """Depth along the view (n,n) as a map in [0, 1]: each picture's nearest point is 1, its backdrop 0."""
    shown = np.isfinite(depth)
    if not shown.any():
        return np.zeros(depth.shape, np.float32)
    near, far = depth[shown].min(), depth[shown].max()
    closeness = (far - np.where(shown, depth, far)) / max(float(far - near), 1e-6)
    return np.where(shown, FARTHEST + (1 - FARTHEST) * closeness, 0).astype(np.float32)


def pose_map(people: Sequence[Points], size: int) -> Bytes:
    """Limbs, joints, eyes, mouth and chin in colours on black: (size, size, 3)."""
    canvas = Image.new("RGB", (SUPERSAMPLE * size,) * 2)
    for points in people:
        _draw(ImageDraw.Draw(canvas), points, SUPERSAMPLE, SUPERSAMPLE * size)
    return np.asarray(canvas.resize((size, size), Image.Resampling.BOX))


def _draw(pen: ImageDraw.ImageDraw, points: Points, scale: int, size: int) -> None:
    """One person on a canvas of `size` pixels."""
    place = {name: tuple((scale * where).tolist()) for name, where in zip(NAMES, points.where, strict=True)}
    seen = {name for name, shown in zip(NAMES, points.seen, strict=True) if shown}
    for first, second, colour in LIMBS:
        if {first, second} & seen and ({first, second} - seen <= JOINTS.keys()):
            pen.line([place[first], place[second]], colour, round(LIMB * size))
    for names, colour in OUTLINES:
        shown = [place[name] for name in names if name in seen]
        if len(shown) > 1:
            pen.line([*shown, shown[0]], colour, round(LINE * size), joint="curve")
    for name in NAMES:
        if name in seen:
            radius = (JOINT if name in JOINTS else DOT) * size
            pen.circle(place[name], radius, _colour(name))


def _colour(name: str) -> tuple[int, int, int]:
    """The colour of a point: pale, and of the line to which it belongs."""
    lines = [colour for *ends, colour in LIMBS if name in ends]
    red, green, blue = next((colour for names, colour in OUTLINES if name in names), lines[0] if lines else (255,) * 3)
    return (red + 255) // 2, (green + 255) // 2, (blue + 255) // 2


def maps_of(picture: Picture) -> Bytes:
    """The pose map's three channels and the depth map of a picture: (n, n, 4)."""
    size = len(picture.image)
    closeness = (depth_map(picture.depth) * 255 + 0.5).astype(np.uint8)
    return np.concatenate([pose_map(picture.points, size), closeness[..., None]], axis=2)


Maps = TypeVar("Maps")


def hint(maps: Maps, *, pose: bool = True, depth: bool = True) -> Maps:
    """What a ControlNet sees of maps (..., n, n, 4): grey depth, the pose before it, or one alone: (..., n, n, 3).

    Of arrays and tensors alike.
    """
    lines, grey = maps[..., :3], maps[..., 3:]  # type: ignore[index]
    if not pose:
        return grey + 0 * lines
    return lines + grey * ~(lines > 0).any(-1)[..., None] if depth else lines
