"""A person as geometry: the rest pose with its paint and hair, and the same body posed.

Lengths are decimetres; x points to the person's left, y up, z forward; at rest the eyes are near (±.33, 7.28, 1.2).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from onephoto.errors import WorldError
from onephoto.world.body import (
    BODY,
    GARMENT,
    LASHES,
    LEFT_EYE,
    RIGHT_EYE,
    TEETH,
    TONGUE,
    Transform,
    blend,
    joints_of,
    load_body,
    pose,
    rotation,
)
from onephoto.world.form import target_weights
from onephoto.world.hair import StrandSet, hair_of
from onephoto.world.people import Person
from onephoto.world.skin import beard_colour, brow_colour, hair_colour, iris_colours, paint, smoothstep
from onephoto.world.strands import surface_of

__all__ = [
    "ARM_POSES", "BODY", "EXPRESSIONS", "GARMENT", "LASHES", "LEFT_EYE", "RIGHT_EYE",
    "TEETH", "TONGUE", "Arms", "Landmarks", "Posed", "ShapedPerson", "StrandSet", "Transform", "posed", "shape",
]  # fmt: skip

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Bytes = NDArray[np.uint8]

Arms = Mapping[str, tuple[tuple[float, float, float], tuple[float, float, float]]]
"""Directions of upper arm and forearm for "L" and "R" (the person's own left and right)."""


def _both(**units: float) -> dict[str, float]:
    """Face units of both sides of the face."""
    return {name + side: weight for name, weight in units.items() for side in ("Left", "Right")}


_AWAKE = _both(eyeWide=0.2)
EXPRESSIONS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "neutral": _both(eyeWide=0.2, mouthSmile=0.3, cheekSquint=0.1),
        "smiling": _both(eyeWide=0.2, mouthSmile=0.75, cheekSquint=0.5),
        "grin": _both(mouthSmile=0.8, cheekSquint=0.6, mouthUpperUp=0.35, mouthLowerDown=0.3) | {"jawOpen": 0.12},
        "mouth open": _AWAKE | {"jawOpen": 0.6},
        "surprised": _both(browOuterUp=0.8, eyeWide=0.8) | {"jawOpen": 0.38, "browInnerUp": 0.8, "mouthFunnel": 0.25},
        "eyes closed": _both(eyeBlink=1.0, mouthSmile=0.15),
        "angry": _both(browDown=1.2, noseSneer=0.5, mouthPress=0.4, mouthFrown=0.35, eyeSquint=0.3),
        "sad": _both(mouthFrown=0.7, eyeWide=0.2) | {"browInnerUp": 0.8, "mouthShrugLower": 0.3},
        "pucker": _AWAKE | {"mouthPucker": 0.8},
    }
)
"""Expression words and the weights of their face units; even the neutral face smiles a little."""


def _mirrored(upper: tuple[float, float, float], fore: tuple[float, float, float]) -> Arms:
    """Both arms from the left one's directions."""
    return {
        "L": (upper, fore),
        "R": ((-upper[0], upper[1], upper[2]), (-fore[0], fore[1], fore[2])),
    }


_DOWN = _mirrored((0.30, -1.0, 0.02), (0.12, -0.95, 0.25))
_HOLDING = _mirrored((0.42, -0.88, 0.25), (-0.28, 0.62, 0.75))
_WAVING = _mirrored((0.55, -0.85, 0.20), (0.35, 0.90, 0.30))
ARM_POSES: Mapping[str, Arms] = MappingProxyType(
    {
        "down": _DOWN,
        "hold right": {"L": _DOWN["L"], "R": _HOLDING["R"]},
        "hold left": {"L": _HOLDING["L"], "R": _DOWN["R"]},
        "hold both": _HOLDING,
        "wave": {"L": _DOWN["L"], "R": _WAVING["R"]},
        "hips": _mirrored((0.75, -0.75, -0.15), (-0.55, -0.75, 0.35)),
        "clasped": _mirrored((0.30, -0.92, 0.25), (-0.85, 0.10, 0.55)),
    }
)
"""Arm poses by name; the "hold" poses bring a hand before the chest."""


@dataclass(frozen=True)
class Landmarks:
    """Where props go, in the rest pose of this person; vertex tables index the person's vertices.

    `eyes` (2,3) centres, left first; `ears` (2,3) top of the root of each ear (where glasses rest); `bridge` (3,) the
    front of the nose bridge; `skull` (2,3) lowest and highest corner of the skull above the brows, ears left out;
    `skull_centre` (3,); `head_box` (2,3) corners of the head from chin to crown; `hands` each hand's vertices (n,).
    """

    eyes: Floats
    ears: Floats
    bridge: Floats
    skull: Floats
    skull_centre: Floats
    head_box: Floats
    hands: tuple[Ints, Ints]


@dataclass(frozen=True)
class ShapedPerson:
    """One person at rest. V vertices, T triangles; colours are linear RGB.

    `positions` (V,3); `paint_points` (V,3) the same vertex on the mean body, in which paint and cloth are defined;
    `triangles` (T,3); `materials` (T,) of BODY...LASHES; `albedo` (V,3); `gloss` (V,); `scalp` (V,) and `beard` (V,)
    density of painted hair in [0,1]; `lips` (V,) in [0,1]; `visible` (V,) negative where lashes are cut away;
    `garment_vertices` (g,) those of GARMENT, `garment_nearest` (b,2) pairs (body vertex, nearest garment vertex);
    `moles` (M,4) centre in paint coordinates and radius; `joints` bone name -> (3,) at rest; `age_lines` 0 to 1;
    `iris` and `iris_ring` (3,) the colours at the iris's rim and about the pupil.
    """

    person: Person
    positions: Floats
    paint_points: Floats
    triangles: Ints
    materials: Bytes
    albedo: Floats
    gloss: Floats
    scalp: Floats
    beard: Floats
    lips: Floats
    visible: Floats
    garment_vertices: Ints
    garment_nearest: Ints
    moles: Floats
    strands: StrandSet
    joints: Mapping[str, Floats]
    landmarks: Landmarks
    scalp_colour: Floats
    beard_colour: Floats
    brow_colour: Floats
    iris: Floats
    iris_ring: Floats
    age_lines: float


@dataclass(frozen=True)
class Posed:
    """One person in a pose: `positions` (V,3), `paint_points` (V,3) with gaze directions at the eyes' vertices,
    `strand_points` (N,K,3), `joints` bone name -> (3,), `head` and `bones` motions from the rest pose, `eyes` (2,3)
    centres, `hands` (2,3) centres, left first.
    """

    positions: Floats
    paint_points: Floats
    strand_points: Floats
    joints: Mapping[str, Floats]
    bones: Mapping[str, Transform]
    head: Transform
    eyes: Floats
    hands: Floats


NECK_BONES = ("neck01", "neck02", "neck03", "head")
"""A turn of the head is shared evenly among these."""
FIRST_LINES = 40.0
"""Age in years at which lines begin to show; they are full 30 years later."""
LASH_LENGTH = 0.045
"""Upper lashes are cut at this distance from the lid; the mesh's are far longer."""


@lru_cache(maxsize=1)
def _lash_visibility() -> Floats:
    """Vertices (V,): 1, but for lashes a value that falls through 0 where they end; lower lashes are left out."""
    body = load_body()
    lashes = np.flatnonzero(body.vertex_materials == LASHES)
    from_lid, _ = cKDTree(body.points[body.skin]).query(body.points[lashes])
    eye_height = body.points[body.vertex_materials == LEFT_EYE][:, 1]
    upper = body.points[lashes, 1] >= (eye_height.max() + eye_height.min()) / 2
    visible = np.ones(len(body.points), np.float32)
    visible[lashes] = np.where(upper, LASH_LENGTH - from_lid, -1)
    return visible


@lru_cache(maxsize=1)
def _garment_pairs() -> Ints:
    """Each skin vertex with the garment vertex nearest to it, (b, 2)."""
    body = load_body()
    skin, garment = np.flatnonzero(body.skin), np.flatnonzero(body.vertex_materials == GARMENT)
    _, nearest = cKDTree(body.points[garment]).query(body.points[skin])
    return np.stack([skin, garment[nearest]], 1).astype(np.int32)


def _middle(points: Floats) -> Floats:
    """The middle (3,) of the box about points."""
    return (points.max(0) + points.min(0)) / 2


def _corners(points: Floats) -> Floats:
    return np.stack([points.min(0), points.max(0)])


def _eyes(positions: Floats) -> Floats:
    materials = load_body().vertex_materials
    return np.stack([_middle(positions[materials == material]) for material in (LEFT_EYE, RIGHT_EYE)])


def _hands() -> tuple[Ints, Ints]:
    body = load_body()
    of_wrist = (body.weights[:, body.bones.index(f"wrist.{side}")] for side in "LR")
    left, right = (np.flatnonzero(weights > 0.9).astype(np.int32) for weights in of_wrist)
    return left, right


def _ear_tops(positions: Floats) -> Floats:
    """Where the arms of glasses lie: beside the head, a little before the ear's middle."""
    body = load_body()
    tops = []
    for sign in (1, -1):
        ear = positions[(body.ears > 0.5) & (sign * body.points[:, 0] > 0)]
        reach = 0.86 * np.abs(ear[:, 0]).max()
        tops.append([sign * reach, ear[:, 1].max() - 0.1, ear[:, 2].mean()])
    return np.array(tops, np.float32)


def landmarks(positions: Floats, skull_centre: Floats) -> Landmarks:
    """Landmarks of a shaped body (V,3)."""
    body = load_body()
    x, y, z = body.points.T
    bridge = positions[body.skin & (np.abs(x) < 0.06) & (np.abs(y - 7.28) < 0.08) & (z > 1.3)]
    return Landmarks(
        eyes=_eyes(positions),
        ears=_ear_tops(positions),
        bridge=bridge[bridge[:, 2].argmax()],
        skull=_corners(positions[body.skin & (y > 7.75) & (body.ears < 0.1)]),
        skull_centre=skull_centre,
        head_box=_corners(positions[body.skin & (y > 6.2)]),
        hands=_hands(),
    )


def _mole_table(person: Person) -> Floats:
    """Moles (M,4): the skin vertex nearest to each, in paint coordinates, and its radius; none on lips or eyes."""
    body = load_body()
    face = body.points[body.skin & (body.points[:, 2] > 1.0) & (body.lips < 0.1) & (body.lids < 0.3)]
    rows = []
    for mole in person.moles:
        distance = np.hypot(face[:, 0] - mole.x, face[:, 1] - mole.y)
        if distance.min() < 0.08:
            rows.append([*face[distance.argmin()], mole.radius])
    return np.array(rows, np.float32).reshape(-1, 4)


@lru_cache(maxsize=64)
def shape(person: Person) -> ShapedPerson:
    """Geometry, paint and hair of a person at rest (0.1 s; the last 64 are kept)."""
    body = load_body()
    positions = body.points + blend(target_weights(person))
    surface, painted = surface_of(positions), paint(person)
    iris, iris_ring = iris_colours(person)
    lashes = body.vertex_materials == LASHES
    painted.albedo[lashes] = 0.4 * brow_colour(person)
    return ShapedPerson(
        person=person,
        positions=positions,
        paint_points=body.points,
        triangles=body.triangles,
        materials=body.materials,
        albedo=painted.albedo,
        gloss=painted.gloss,
        scalp=painted.scalp,
        beard=painted.beard,
        lips=painted.lips,
        visible=_lash_visibility(),
        garment_vertices=np.flatnonzero(body.vertex_materials == GARMENT).astype(np.int32),
        garment_nearest=_garment_pairs(),
        moles=_mole_table(person),
        strands=hair_of(person, surface),
        joints=joints_of(positions),
        landmarks=landmarks(positions, surface.centre),
        scalp_colour=0.6 * hair_colour(person),
        beard_colour=0.7 * beard_colour(person),
        brow_colour=brow_colour(person),
        iris=iris,
        iris_ring=iris_ring,
        age_lines=min(max((person.age - FIRST_LINES) / 30, 0.0), 1.0),
    )


def _face_offsets(expression: Mapping[str, float]) -> Floats:
    """Displacements (V,3) of a weighted sum of face units; raises WorldError for a unit that does not exist."""
    targets = load_body().targets
    for unit in expression:
        if f"face/{unit}" not in targets:
            known = ", ".join(sorted(name.removeprefix("face/") for name in targets if name.startswith("face/")))
            raise WorldError(f"no face unit {unit!r}; known: {known}")
    return blend({f"face/{unit}": weight for unit, weight in expression.items() if weight})


def _head_turns(head: tuple[float, float, float]) -> dict[str, Floats]:
    if not any(head):
        return {}
    yaw, pitch, roll = (angle / len(NECK_BONES) for angle in head)
    turn = rotation((0, 1, 0), yaw) @ rotation((1, 0, 0), pitch) @ rotation((0, 0, 1), roll)
    return dict.fromkeys(NECK_BONES, turn.astype(np.float32))


def _arm_motions(arms: Arms) -> tuple[dict[str, Floats], dict[str, tuple[str, tuple[float, float, float]]]]:
    """Turns and aims of the arm bones; the collar bones sink a little as arms hang."""
    turns, aims = {}, {}
    for side, (upper, fore) in arms.items():
        turns[f"clavicle.{side}"] = rotation((0, 0, 1), -0.06 if side == "L" else 0.06)
        aims[f"upperarm01.{side}"] = (f"lowerarm01.{side}", upper)
        aims[f"lowerarm01.{side}"] = (f"wrist.{side}", fore)
    return turns, aims


def _gazing(shaped: ShapedPerson, gaze: tuple[float, float]) -> Floats:
    """Paint points with, at the eyes' vertices, directions from the eye's centre in the frame of its gaze."""
    paint_points = shaped.paint_points.copy()
    looking = rotation((0, 1, 0), gaze[0]) @ rotation((1, 0, 0), gaze[1])
    materials = load_body().vertex_materials
    for material, centre in zip((LEFT_EYE, RIGHT_EYE), shaped.landmarks.eyes, strict=True):
        eye = materials == material
        paint_points[eye] = (shaped.positions[eye] - centre) @ looking
    return paint_points


def _moved_strands(points: Floats, head: Transform) -> Floats:
    """Strands (N,K,3) go with the head; what hangs below the chin mostly stays."""
    hanging = 0.9 * smoothstep(6.5, 5.2, points[..., 1:2])
    return (head(points) * (1 - hanging) + points * hanging).astype(np.float32)


def posed(
    shaped: ShapedPerson,
    *,
    expression: Mapping[str, float] | None = None,
    head: tuple[float, float, float] = (0.0, 0.0, 0.0),
    arms: Arms | None = None,
    gaze: tuple[float, float] = (0.0, 0.0),
) -> Posed:
    """Pose a person: face unit weights, head (yaw, pitch, roll) in radians, arms, gaze (yaw, pitch) against the head.

    Positive yaw turns to the person's left, positive pitch bows forward, positive roll tilts to the person's right.
    No arms given leaves them as at rest. Raises WorldError for a face unit that does not exist.
    """
    turns, aims = _arm_motions(arms or {})
    face = shaped.positions + _face_offsets(expression or {})
    positions, bones = pose(face, turns=turns | _head_turns(head), aims=aims, joints=shaped.joints)
    left, right = shaped.landmarks.hands
    return Posed(
        positions=positions,
        paint_points=_gazing(shaped, gaze),
        strand_points=_moved_strands(shaped.strands.points, bones["head"]),
        joints={bone: bones[bone](joint) for bone, joint in shaped.joints.items()},
        bones=bones,
        head=bones["head"],
        eyes=bones["head"](shaped.landmarks.eyes),
        hands=np.stack([positions[left].mean(0), positions[right].mean(0)]),
    )
