"""Faces in pictures, found and compared by dlib's published networks; nothing here takes part in learning.

Used to propose a crop and to measure likeness: histogram-of-gradients detector, 5-point landmarks, and the ResNet whose
128 numbers are closer than about 0.6 for photos of one person. The 68-point landmarks, not free for commercial use, are
left alone.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onephoto.errors import PhotoError

LANDMARKS = "shape_predictor_5_face_landmarks.dat"
NETWORK = "dlib_face_recognition_resnet_model_v1.dat"
SMALL = 400
"""Pictures with a shorter side are enlarged: the detector finds faces from 80 pixels."""
LARGE = 1200
"""Pictures with a longer side are reduced, for speed."""

ALIGNED = 150
"""Side of the aligned face that the network takes, pixels."""


@dataclass(frozen=True)
class Face:
    """A face: its box (left, top, right, bottom) in the picture's pixels, and the detector's score."""

    box: tuple[int, int, int, int]
    score: float


@lru_cache(maxsize=1)
def _dlib() -> Any:
    try:
        import dlib
    except ImportError as error:
        raise PhotoError("no face detector here (pip install dlib-bin); pass --box or --no-crop instead") from error
    return dlib


def _weights(name: str) -> str:
    """A weight file of the package face_recognition_models, which is found but not imported."""
    spec = find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        raise PhotoError("no face networks here (pip install face_recognition_models); pass --box or --no-crop instead")
    return str(Path(spec.origin).parent / "models" / name)


@lru_cache(maxsize=1)
def _detector() -> Any:
    return _dlib().get_frontal_face_detector()


@lru_cache(maxsize=1)
def _networks() -> tuple[Any, Any]:
    dlib = _dlib()
    return dlib.shape_predictor(_weights(LANDMARKS)), dlib.face_recognition_model_v1(_weights(NETWORK))


def _sized(image: Image.Image) -> tuple[NDArray[np.uint8], float]:
    """The picture at a size that suits the detector, and the factor it was resized by."""
    factor = max(1.0, SMALL / min(image.size)) if max(image.size) <= LARGE else LARGE / max(image.size)
    size = (round(image.width * factor), round(image.height * factor))
    resized = image.convert("RGB").resize(size, Image.Resampling.BICUBIC) if factor != 1 else image.convert("RGB")
    return np.ascontiguousarray(resized), factor


def detect_faces(image: Image.Image) -> list[Face]:
    """All faces in a picture, the surest first."""
    pixels, factor = _sized(image)
    boxes, scores, _ = _detector().run(pixels, 0, 0.0)
    faces = []
    for box, score in zip(boxes, scores, strict=True):
        corners = (box.left(), box.top(), box.right(), box.bottom())
        left, top, right, bottom = (round(corner / factor) for corner in corners)
        faces.append(Face((left, top, right, bottom), float(score)))
    return sorted(faces, key=lambda face: -face.score)


def face_vector(image: Image.Image) -> NDArray[np.float64] | None:
    """The 128 numbers of the surest face in a picture, or None where no face is found."""
    return _surest_vector(_sized(image)[0], upsampling=0)


def face_points(image: Image.Image) -> NDArray[np.float64] | None:
    """Landmarks of the surest face in a picture, in its pixels: both corners of each eye, and below the nose (5, 2)."""
    pixels, factor = _sized(image)
    boxes, scores, _ = _detector().run(pixels, 0, 0.0)
    if not boxes:
        return None
    found = _networks()[0](pixels, boxes[int(np.argmax(scores))])
    return np.array([(point.x, point.y) for point in found.parts()]) / factor


def face_vectors(image: Image.Image) -> NDArray[np.float64]:
    """The 128 numbers of every face in a picture, the surest first: (F, 128)."""
    pixels = _sized(image)[0]
    boxes, scores, _ = _detector().run(pixels, 0, 0.0)
    order = np.argsort(-np.array(scores)).tolist()
    return np.array([_vector(pixels, boxes[place]) for place in order]).reshape(-1, 128)


def known_faces(image: Image.Image) -> list[tuple[Face, NDArray[np.float64]]]:
    """Every face in a picture with its 128 numbers, the surest first."""
    return list(zip(detect_faces(image), face_vectors(image), strict=True))


def face_vector_upsampled(image: Image.Image, upsampling: int = 1) -> NDArray[np.float64] | None:
    """As `face_vector`, but of the picture as it is, which dlib's detector doubles `upsampling` times.

    This is how published measurements with dlib are made.
    """
    return _surest_vector(np.ascontiguousarray(image.convert("RGB")), upsampling=upsampling)


def _surest_vector(pixels: NDArray[np.uint8], *, upsampling: int) -> NDArray[np.float64] | None:
    boxes, scores, _ = _detector().run(pixels, upsampling, 0.0)
    if not boxes:
        return None
    return _vector(pixels, boxes[int(np.argmax(scores))])


def _vector(pixels: NDArray[np.uint8], box: Any) -> NDArray[np.float64]:
    """Of the face and its mirror image the mean: half of what is chance in a vector goes, which brings pictures of one
    person nearer (docs/LOG.md has how much).
    """
    landmarks, network = _networks()
    face = _dlib().get_face_chip(pixels, landmarks(pixels, box), ALIGNED)
    both = (face, np.ascontiguousarray(face[:, ::-1]))
    return np.mean([network.compute_face_descriptor(one) for one in both], axis=0)
