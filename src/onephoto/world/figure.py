"""A person as geometry: the rest pose with its paint and hair, and the same body posed.

Lengths are decimetres; x points to the person's left, y up, z forward; at rest the eyes are near (±.33, 7.28, 1.2).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onephoto.world.people import Person

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Bytes = NDArray[np.uint8]

BODY, LEFT_EYE, RIGHT_EYE, TEETH, TONGUE, GARMENT, LASHES = range(7)
"""Materials of the body's triangles; GARMENT is a layer over torso and arms, to be cut to a garment's shape."""

SCALP_HAIR, BEARD_HAIR = range(2)
"""Kinds of strands."""

Arms = Mapping[str, tuple[tuple[float, float, float], tuple[float, float, float]]]
"""Directions of upper arm and forearm for "L" and "R" (the person's own left and right)."""

EXPRESSIONS: Mapping[str, Mapping[str, float]] = {
    "neutral": {}, "smiling": {}, "grin": {}, "mouth open": {}, "surprised": {}, "eyes closed": {}, "angry": {},
    "sad": {}, "pucker": {},
}  # fmt: skip
"""Expression words and the weights of their face units."""

ARM_POSES: Mapping[str, Arms] = {"down": {}, "hold right": {}, "hold left": {}, "hold both": {}, "wave": {}, "hips": {}}
"""Arm poses by name; the "hold" poses bring a hand before the chest."""


@dataclass(frozen=True)
class Transform:
    """A rigid motion: point -> rotation (3,3) @ point + translation (3,)."""

    rotation: Floats
    translation: Floats

    def __call__(self, points: Floats) -> Floats:
        """Move points (..., 3) from the rest pose."""
        return (points @ self.rotation.T + self.translation).astype(np.float32)


@dataclass(frozen=True)
class StrandSet:
    """Hair strands at rest: points (N,K,3) from root to tip, linear colours (N,3), half widths (N,K), kinds (N,)."""

    points: Floats
    colours: Floats
    widths: Floats
    kinds: Bytes


@dataclass(frozen=True)
class Landmarks:
    """Where props go, in the rest pose of this person; vertex tables index the person's vertices.

    `eyes` (2,3) centres, left first; `ears` (2,3) top of the root of each ear (where glasses rest); `bridge` (3,) the
    front of the nose bridge; `skull` (2,3) lowest and highest corner of the skull above the brows, ears left out;
    `skull_centre` (3,); `head_box` (2,3) corners of the head from chin to crown; `hands` (2, n) vertices of each hand.
    """

    eyes: Floats
    ears: Floats
    bridge: Floats
    skull: Floats
    skull_centre: Floats
    head_box: Floats
    hands: Ints


@dataclass(frozen=True)
class ShapedPerson:
    """One person at rest. V vertices, T triangles; colours are linear RGB.

    `positions` (V,3); `paint_points` (V,3) the same vertex on the mean body, in which paint and cloth are defined;
    `triangles` (T,3); `materials` (T,) of BODY...LASHES; `albedo` (V,3); `gloss` (V,); `scalp` (V,) and `beard` (V,)
    density of painted hair in [0,1]; `lips` (V,) in [0,1]; `visible` (V,) negative where lashes are cut away;
    `garment_vertices` (g,) those of GARMENT, `garment_nearest` (b,2) pairs (body vertex, nearest garment vertex);
    `moles` (M,4) centre in paint coordinates and radius; `joints` bone name -> (3,) at rest.
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


def shape(person: Person) -> ShapedPerson:
    """Geometry, paint and hair of a person at rest (0.1 s; the last 64 are kept)."""
    raise NotImplementedError


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
    """
    raise NotImplementedError
