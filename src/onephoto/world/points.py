"""Joints and face points of posed people, in space and on the picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from onephoto.world.body import load_body
from onephoto.world.drawing import Camera
from onephoto.world.figure import Posed

Floats = NDArray[np.float32]

JOINTS: Mapping[str, str] = MappingProxyType(
    {"neck": "neck01"}
    | {f"{side} {joint}": f"{bone}.{side[0].upper()}" for side in ("left", "right")
       for joint, bone in (("shoulder", "upperarm01"), ("elbow", "lowerarm01"), ("wrist", "wrist"))}
)  # fmt: skip
"""Joints and the bones that begin there; sides are the person's own."""
_EYE = {
    "outer corner": (0.451, 7.281, 1.347), "upper lid": (0.311, 7.332, 1.411), "inner corner": (0.168, 7.258, 1.389),
    "lower lid": (0.311, 7.240, 1.405),
}  # fmt: skip
FACE: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {f"{side} {part}": (sign * x, y, z) for side, sign in (("left", 1), ("right", -1))
     for part, (x, y, z) in _EYE.items()}
    | {"nose": (0.0, 6.94, 1.68), "left mouth corner": (0.25, 6.615, 1.374), "upper lip": (0.0, 6.70, 1.60),
       "right mouth corner": (-0.25, 6.615, 1.374), "lower lip": (0.0, 6.489, 1.557), "chin": (0.0, 6.23, 1.45)}
)  # fmt: skip
"""Points of the face and where they lie on the mean body (decimetres); the skin's nearest vertex is the point."""
NAMES = (*JOINTS, *FACE)
"""All points, in the order of every table of them."""
BEFORE = 0.3
"""What is nearer than a face's point by more than this hides it (decimetres); lashes and spectacles do not."""


@dataclass(frozen=True)
class Points:
    """Points of NAMES on a picture: `where` (P,2) as x and y in pixels from the upper left corner, also outside of it;
    `seen` (P,): within the picture and, if they are of the face, not hidden.
    """

    where: Floats
    seen: NDArray[np.bool_]

    def named(self, name: str) -> Floats:
        """Where one point is (2,)."""
        return self.where[NAMES.index(name)]


@lru_cache(maxsize=1)
def _face_vertices() -> NDArray[np.int64]:
    """The vertex of each point of FACE."""
    body = load_body()
    skin = np.flatnonzero(body.skin)
    _, nearest = cKDTree(body.points[skin]).query(np.array(list(FACE.values())))
    return skin[nearest]


def points_of(figure: Posed) -> Floats:
    """The points of a posed person in space (P,3)."""
    joints = np.stack([figure.joints[bone] for bone in JOINTS.values()])
    return np.concatenate([joints, figure.positions[_face_vertices()]]).astype(np.float32)


def on_picture(points: Floats, camera: Camera, depth: Floats, supersample: int) -> Points:
    """Points in space (P,3) as a camera sees them that drew `depth` (n,n), but `supersample` times as large."""
    size = len(depth)
    away = points - camera.eye
    own = away @ camera.forward
    flat = np.stack([away @ camera.right, -(away @ camera.up)], axis=1)
    where = flat / own[:, None] * (camera.focal / supersample) + size / 2
    inside = ((where >= 0) & (where < size)).all(axis=1)
    column, row = np.clip(where, 0, size - 1).astype(np.int64).T
    hidden = depth[row, column] < own - BEFORE
    hidden[: len(JOINTS)] = False
    return Points(where.astype(np.float32), inside & ~hidden)


BOX_DOWN, BOX_SIDE = 0.24, 1.5
"""Middle of a face's box on the way from eyes to chin, and its side, both as shares of that way: dlib's, on average."""


def face_box(points: Points) -> tuple[float, float, float, float] | None:
    """The face's square (left, top, right, bottom) in pixels, much as dlib would draw it; None if no nose is seen."""
    if not points.seen[NAMES.index("nose")]:
        return None
    corners = [f"{side} {end} corner" for side in ("left", "right") for end in ("outer", "inner")]
    eyes = np.mean([points.named(name) for name in corners], axis=0)
    down = points.named("chin") - eyes
    (x, y), half = eyes + BOX_DOWN * down, BOX_SIDE / 2 * float(np.hypot(*down))
    return float(x - half), float(y - half), float(x + half), float(y + half)
