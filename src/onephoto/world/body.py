"""The body that all people are made from: mean mesh, shape targets, face units, skeleton.

Lengths are decimetres; x points to the person's left, y up, z forward. V vertices, T triangles.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from onephoto.errors import WorldError

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Bytes = NDArray[np.uint8]

BODY, LEFT_EYE, RIGHT_EYE, TEETH, TONGUE, GARMENT, LASHES = range(7)
"""Materials of the body's triangles; GARMENT is a layer over torso and arms, to be cut to a garment's shape."""

OPPOSITES = (("decr", "incr"), ("down", "up"), ("in", "out"), ("backward", "forward"), ("concave", "convex"),
             ("compress", "uncompress"))  # fmt: skip
"""Endings of the two targets that make one signed parameter."""


@dataclass(frozen=True)
class Target:
    """Displacements (n,3) of the vertices (n,) that a shape target moves."""

    vertices: NDArray[np.int64]
    offsets: Floats


@dataclass(frozen=True)
class Transform:
    """A rigid motion: point -> rotation (3,3) @ point + translation (3,)."""

    rotation: Floats
    translation: Floats

    def __call__(self, points: Floats) -> Floats:
        """Move points (..., 3) from the rest pose."""
        return (points @ self.rotation.T + self.translation).astype(np.float32)


@dataclass(frozen=True)
class Body:
    """The mean body: points (V,3), triangles (T,3), materials (T,) and (V,), part masks (V,) in [0,1] on the skin only;
    `targets` by "folder/name"; skinning `weights` (V, bones + 1) whose last column stays at rest.
    """

    points: Floats
    triangles: Ints
    materials: Bytes
    vertex_materials: Bytes
    lips: Floats
    lids: Floats
    ears: Floats
    inner_mouth: Floats
    targets: Mapping[str, Target]
    weights: Floats
    bones: tuple[str, ...]
    parents: Mapping[str, str]
    joint_vertices: Mapping[str, Ints]

    @property
    def skin(self) -> NDArray[np.bool_]:
        """Which vertices belong to the skin (V,)."""
        return self.vertex_materials == BODY


@dataclass(frozen=True)
class ShapeParameter:
    """A signed parameter of the face, named by its positive direction ("nose-scale-horiz-incr"): the targets (one, or
    left and right) of its two directions.
    """

    name: str
    group: str
    negative: tuple[str, ...]
    positive: tuple[str, ...]


@lru_cache(maxsize=1)
def load_body() -> Body:
    """Read data/body.npz (once); its arrays are read-only."""
    with (files("onephoto.world") / "data" / "body.npz").open("rb") as stream, np.load(stream) as archive:
        data = {name: archive[name] for name in archive.files}
    vertex_materials = np.zeros(len(data["points"]), np.uint8)
    for material in range(LASHES + 1):
        vertex_materials[np.unique(data["triangles"][data["materials"] == material])] = material
    masks = {key: data[f"mask_{key}"] / np.float32(255) * (vertex_materials == BODY)
             for key in ("lips", "lids", "ears", "inner_mouth")}  # fmt: skip
    bones = tuple(str(bone) for bone in data["bones"])
    starts = data["joint_starts"]
    joints = {bone: data["joint_vertices"][starts[k] : starts[k + 1]].astype(np.int32) for k, bone in enumerate(bones)}
    for array in (data["points"], vertex_materials, *masks.values()):
        array.setflags(write=False)
    return Body(
        points=data["points"],
        triangles=data["triangles"].astype(np.int32),
        materials=data["materials"],
        vertex_materials=vertex_materials,
        **masks,
        targets=_targets(data),
        weights=data["weights"].astype(np.float32),
        bones=bones,
        parents={bone: str(parent) for bone, parent in zip(bones, data["parents"], strict=True)},
        joint_vertices=joints,
    )


def _targets(data: Mapping[str, NDArray]) -> dict[str, Target]:
    vertices, offsets = data["target_vertices"].astype(np.int64), data["target_offsets"].astype(np.float32)
    starts = data["target_starts"]
    spans = zip(data["target_names"], starts[:-1], starts[1:], strict=True)
    return {str(name): Target(vertices[first:last], offsets[first:last]) for name, first, last in spans}


@lru_cache(maxsize=1)
def shape_parameters() -> tuple[ShapeParameter, ...]:
    """The signed parameters of face and neck, in a fixed order; parts that come in twos move together."""
    targets = load_body().targets
    found = []
    for full in targets:
        group, name = full.split("/")
        if group in ("asym", "macrodetails", "face") or name.startswith("r-"):
            continue
        for low, high in OPPOSITES:
            stem = name.removesuffix("-" + low)
            if stem != name and f"{group}/{stem}-{high}" in targets:
                sides = (stem, "r-" + stem[2:]) if stem.startswith("l-") else (stem,)
                negative = tuple(f"{group}/{side}-{low}" for side in sides)
                positive = tuple(f"{group}/{side}-{high}" for side in sides)
                found.append(ShapeParameter(f"{stem.removeprefix('l-')}-{high}", group, negative, positive))
                break
    return tuple(found)


@lru_cache(maxsize=1)
def head_targets() -> tuple[str, ...]:
    """Targets of whole head shapes (oval, round, square...)."""
    shapes = ("diamond", "invertedtriangular", "oval", "rectangular", "round", "square", "triangular")
    return tuple(f"head/head-{shape}" for shape in shapes)


@lru_cache(maxsize=1)
def asymmetry_targets() -> tuple[str, ...]:
    """Targets that push a feature to the left; the same name with "-r" pushes it to the right."""
    return tuple(name for name in load_body().targets if name.startswith("asym/") and name.endswith("-l"))


def blend(weights: Mapping[str, float]) -> Floats:
    """Sum of weighted shape targets: displacements (V,3); raises WorldError for a target that does not exist."""
    body = load_body()
    offsets = np.zeros_like(body.points)
    for name, weight in weights.items():
        if name not in body.targets:
            raise WorldError(f"no shape target {name!r} in the body file")
        target = body.targets[name]
        offsets[target.vertices] += target.offsets * np.float32(weight)
    return offsets


def vertex_normals(points: Floats, triangles: Ints) -> Floats:
    """Area-weighted unit normals (V,3)."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    total = np.empty_like(points)
    for axis in range(3):
        weights = np.repeat(face[:, axis], 3)
        total[:, axis] = np.bincount(triangles.ravel(), weights, len(points))
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9)


def joints_of(points: Floats) -> dict[str, Floats]:
    """Joint positions (3,) of a shaped body by bone."""
    return {bone: points[vertices].mean(0) for bone, vertices in load_body().joint_vertices.items()}


def rotation(axis: tuple[float, float, float] | Floats, angle: float) -> Floats:
    """Rotation matrix (3,3) about an axis, radians (Rodrigues' formula)."""
    x, y, z = np.asarray(axis, np.float64) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return (np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross).astype(np.float32)


def aligning_rotation(start: Floats, end: Floats) -> Floats:
    """The shortest rotation (3,3) that turns one direction into another."""
    a, b = start / np.linalg.norm(start), end / np.linalg.norm(end)
    axis = np.cross(a, b)
    sine = float(np.linalg.norm(axis))
    return np.eye(3, dtype=np.float32) if sine < 1e-6 else rotation(axis, float(np.arctan2(sine, a @ b)))


def bone_motions(
    joints: Mapping[str, Floats],
    turns: Mapping[str, Floats],
    aims: Mapping[str, tuple[str, tuple[float, float, float]]],
) -> dict[str, Transform]:
    """Motion of every bone from rest.

    `turns` gives rotations (3,3) about bones' own joints; `aims` gives bone -> (next bone, direction in space): the
    bone is turned until its next joint lies in that direction. Other bones follow their parents.
    """
    body = load_body()
    motions = {"": Transform(np.eye(3, dtype=np.float32), np.zeros(3, np.float32))}
    for bone in body.bones:
        parent, joint = motions[body.parents[bone]], joints[bone]
        turn = np.asarray(turns.get(bone, np.eye(3)), np.float32)
        if bone in aims:
            following, direction = aims[bone]
            local = parent.rotation.T @ np.asarray(direction, np.float32)
            turn = aligning_rotation(joints[following] - joint, local)
        whole = (parent.rotation @ turn).astype(np.float32)
        motions[bone] = Transform(whole, parent(joint) - whole @ joint)
    return motions


def skinned(points: Floats, motions: Mapping[str, Transform]) -> Floats:
    """Linear blend skinning: points (V,3) at rest moved by their bones."""
    body = load_body()
    order = [*body.bones, ""]
    matrices = np.stack([np.c_[motions[b].rotation, motions[b].translation].ravel() for b in order])
    blended = (body.weights @ matrices.astype(np.float32)).reshape(-1, 3, 4)
    return np.einsum("vij,vj->vi", blended[:, :, :3], points) + blended[:, :, 3]


def pose(
    points: Floats,
    *,
    turns: Mapping[str, Floats],
    aims: Mapping[str, tuple[str, tuple[float, float, float]]],
    joints: Mapping[str, Floats] | None = None,
) -> tuple[Floats, dict[str, Transform]]:
    """Pose a shaped body (V,3) about its joints (its own unless given): moved points and every bone's motion."""
    motions = bone_motions(joints_of(points) if joints is None else joints, turns, aims)
    if not turns and not aims:
        return points.copy(), motions
    return skinned(points, motions).astype(np.float32), motions
