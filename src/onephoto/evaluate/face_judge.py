"""The embedded world's face judge: whether two pictures show one person; a second opinion beside dlib.

A small network of this project's own, trained on people of the world whom its models never saw (`onephoto.base.faces`).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from onephoto.errors import ModelError
from onephoto.evaluate.face_network import FaceConfig, FaceNetwork
from onephoto.evaluate.judge import BATCH, CALIBRATION, CONFIG, to_pixels
from onephoto.identity.faces import detect_faces

Floats = NDArray[np.float32]
Box = tuple[float, float, float, float]
WEIGHTS = "faces.safetensors"


@dataclass(frozen=True)
class FaceCalibration:
    """What held-out people said of a face judge: two vectors nearer than `threshold` are of one person; `auc` the
    chance that a pair of one person is nearer than a pair of two; mean and deviation of both kinds of distance.
    """

    threshold: float
    auc: float
    same: tuple[float, float]
    different: tuple[float, float]
    people: int
    pictures: int


@dataclass(frozen=True)
class FaceJudge:
    """A trained face judge; `calibration` is None while it is being made."""

    network: FaceNetwork
    calibration: FaceCalibration | None = None

    @property
    def name(self) -> str:
        """Tells this judge from another one, by what calibration said of it."""
        kept = self.calibration
        return "uncalibrated" if kept is None else f"threshold {kept.threshold:.4f}, AUC {kept.auc:.4f}"

    def face_vector(self, image: Image.Image) -> Floats | None:
        """The unit vector of the face that dlib is surest of, or None where it finds none."""
        faces = detect_faces(image)
        return self.vector(image, faces[0].box) if faces else None

    def face_vectors(self, image: Image.Image) -> Floats:
        """Unit vectors (F, width) of every face that dlib finds, the surest first."""
        vectors = [self.vector(image, face.box) for face in detect_faces(image)]
        return np.stack(vectors) if vectors else np.zeros((0, self.network.config.width), np.float32)

    def vector(self, image: Image.Image, box: Box) -> Floats:
        """The unit vector (width,) of the face in a box (left, top, right, bottom) in pixels."""
        config = self.network.config
        return self.vectors(face_crop(image, box, size=config.image_size, margin=config.margin)[None])[0]

    @torch.no_grad()
    def vectors(self, crops: NDArray[np.uint8]) -> Floats:
        """Unit vectors (B, width) of crops (B, s, s, 3) of the network's size."""
        device = self.network.vector.weight.device
        parts = to_pixels(torch.from_numpy(crops)).split(BATCH)
        return torch.cat([self.network(part.to(device)).cpu() for part in parts]).numpy()

    def is_same(self, first: Floats, second: Floats) -> bool:
        """Whether two vectors are of one person, by the calibrated threshold."""
        if self.calibration is None:
            raise ModelError("this face judge has no calibration; run onephoto base train faces to the end")
        return float(np.linalg.norm(first - second)) < self.calibration.threshold


def face_crop(image: Image.Image, box: Box, *, size: int, margin: float) -> NDArray[np.uint8]:
    """The square about a box (left, top, right, bottom), `margin` times its side, black beyond edges: (s, s, 3)."""
    left, top, right, bottom = box
    half = margin * (right - left + bottom - top) / 4
    middle = ((left + right) / 2, (top + bottom) / 2)
    corners = [round(middle[axis] + sign * half) for sign in (-1, 1) for axis in (0, 1)]
    crop = image.convert("RGB").crop(
        (corners[0], corners[1], max(corners[2], corners[0] + 1), max(corners[3], corners[1] + 1))
    )
    kind = Image.Resampling.BOX if crop.width > size else Image.Resampling.BICUBIC
    return np.array(crop.resize((size, size), kind))


def pair_distances(vectors: Floats, people: Sequence[int]) -> tuple[Floats, Floats]:
    """All distances between two vectors (n, width): of one person, and of two."""
    first, second = np.triu_indices(len(vectors), 1)
    distances = np.linalg.norm(vectors[first] - vectors[second], axis=1)
    owners = np.asarray(people)
    same = owners[first] == owners[second]
    return distances[same], distances[~same]


def save_face_judge(judge: FaceJudge, folder: Path) -> None:
    """Write configuration, calibration, and the weights as fp16."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(json.dumps(asdict(judge.network.config), indent=1) + "\n")
    if judge.calibration is not None:
        (folder / CALIBRATION).write_text(json.dumps(asdict(judge.calibration), indent=1) + "\n")
    weights = {name: value.half().contiguous().cpu() for name, value in judge.network.state_dict().items()}
    save_file(weights, folder / WEIGHTS)


def load_face_judge(folder: Path | str | None = None, *, device: str = "cpu") -> FaceJudge:
    """The face judge of a folder, the package's own unless given; raises ModelError if it is missing or broken."""
    folder = Path(str(resources.files("onephoto") / "weights" / "faces")) if folder is None else Path(folder)
    if not (folder / WEIGHTS).exists() or not (folder / CONFIG).exists():
        raise ModelError(f"{folder}: no face judge here; make one with onephoto base train faces")
    try:
        return _loaded(folder, device)
    except (SafetensorError, RuntimeError, ValueError, TypeError, OSError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{folder}: the face judge cannot be read ({line}); make it again") from error


def shipped_face_judge(*, device: str = "cpu") -> FaceJudge | None:
    """The package's own face judge, None where it has none; raises ModelError if it is broken."""
    folder = Path(str(resources.files("onephoto") / "weights" / "faces"))
    return load_face_judge(folder, device=device) if (folder / WEIGHTS).exists() else None


def _loaded(folder: Path, device: str) -> FaceJudge:
    network = FaceNetwork(FaceConfig(**_read(folder / CONFIG)))
    network.load_state_dict({name: value.float() for name, value in load_file(folder / WEIGHTS).items()})
    calibration = FaceCalibration(**_read(folder / CALIBRATION)) if (folder / CALIBRATION).exists() else None
    return FaceJudge(network.to(device).eval().requires_grad_(False), calibration)


def _read(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    return {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
