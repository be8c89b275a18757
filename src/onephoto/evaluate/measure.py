"""What is measured on one picture of people or of a thing, by the networks at hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onephoto.evaluate.metrics import assigned, likeness
from onephoto.evaluate.people import Sitter
from onephoto.identity.faces import face_vectors

NAN = float("nan")
NOTHING: Mapping[str, Any] = {
    "faces": 0, "detect": 0.0, "distance": NAN, "to_second": NAN, "id": 0.0, "second_id": NAN, "similarity": NAN,
    "passes": False, "id_p": 0.0,
}  # fmt: skip
"""What is said of a picture that a method cannot make."""


class PromptJudge(Protocol):
    """Says how well pictures fit texts, from which similarity on they fit, and how near pictures are to each other."""

    @property
    def name(self) -> str:
        """Tells this judge from another one."""

    def prompt_similarity(self, images: Sequence[Image.Image], texts: Sequence[str]) -> Any:
        """Similarities (B,)."""

    def prompt_passes(self, images: Sequence[Image.Image], texts: Sequence[str]) -> Any:
        """True where a picture fits (B,)."""

    def image_vectors(self, images: Sequence[Image.Image]) -> Any:
        """Unit vectors (B, width)."""


class SecondJudge(Protocol):
    """Another network's opinion of faces; a method may learn from it too."""

    @property
    def name(self) -> str:
        """Tells this judge from another one."""

    def face_vector(self, image: Image.Image) -> Any:
        """The unit vector of the surest face, or None where there is none."""

    def face_vectors(self, image: Image.Image) -> Any:
        """Unit vectors of every face in a picture (F, width)."""


@dataclass(frozen=True, kw_only=True)
class Judges:
    """Who judges pictures: their prompts and, as a second opinion, their faces; None where nobody is at hand."""

    prompt: PromptJudge
    faces: SecondJudge | None = None


def measured(
    images: Sequence[Image.Image], texts: Sequence[str], shown: Sequence[Sequence[Sitter]], judges: Judges, *,
    second: bool = True,
) -> list[dict[str, Any]]:  # fmt: skip
    """The numbers of pictures, fields of `rows.Row`: prompts in the judge's words, and who should be in each picture.

    second: whether the second opinion is asked at all; its numbers are nan otherwise.
    """
    if not images:
        return []
    similarity = np.asarray(judges.prompt.prompt_similarity(images, texts), float).tolist()
    passes = np.asarray(judges.prompt.prompt_passes(images, texts), bool).tolist()
    found = []
    for image, fit, passed, sitters in zip(images, similarity, passes, shown, strict=True):
        if sitters[0].is_thing:
            own = _of_thing(image, sitters[0], judges.prompt)
        else:
            own = _of_people(image, sitters) | {"second_id": _second_id(image, sitters, judges.faces, asked=second)}
        found.append(own | {"similarity": fit, "passes": passed, "id_p": own["id"] if passed else 0.0})
    return found


def _of_people(image: Image.Image, shown: Sequence[Sitter]) -> dict[str, Any]:
    """What a picture's faces say of the people who should be in it; somebody without a face has likeness 0."""
    vectors = face_vectors(image)
    places = assigned(np.stack([one.photo_vector for one in shown]), vectors)
    pairs = list(zip(shown, places, strict=True))
    to_photo = _distances([(one.photo_vector, place) for one, place in pairs], vectors)
    to_second = _distances([(one.second_vector, place) for one, place in pairs], vectors)
    return {
        "faces": len(vectors), "detect": float(np.isfinite(to_photo).mean()), "distance": float(to_photo.mean()),
        "to_second": float(to_second.mean()), "id": float(likeness(to_photo).mean()),
    }  # fmt: skip


def _distances(pairs: Sequence[tuple[NDArray, int | None]], vectors: NDArray) -> NDArray[np.float64]:
    """Distance of each vector to the face at its place, nan without one."""
    return np.array([np.nan if place is None else np.linalg.norm(vector - vectors[place]) for vector, place in pairs])


def _second_id(image: Image.Image, shown: Sequence[Sitter], faces: SecondJudge | None, *, asked: bool) -> float:
    """Cosine of each person's face to the photo's by the second judge, 0 where none is found: the mean over people."""
    photos = [one.second_opinion[0] for one in shown if one.second_opinion is not None]
    if faces is None or not asked or len(photos) < len(shown):
        return NAN
    vectors = np.asarray(faces.face_vectors(image))
    places = assigned(np.stack(photos), vectors)
    pairs = zip(photos, places, strict=True)
    return float(np.mean([0.0 if place is None else max(0.0, vector @ vectors[place]) for vector, place in pairs]))


def _of_thing(image: Image.Image, one: Sitter, judge: PromptJudge) -> dict[str, Any]:
    """How near a picture is to a thing's photo and to its second picture; nothing is looked for in it."""
    vector = np.asarray(judge.image_vectors([image]), float)[0]
    to_photo, to_second = one.distance(vector, one.photo_vector), one.distance(vector, one.second_vector)
    return {
        "faces": 0, "detect": NAN, "distance": to_photo, "to_second": to_second,
        "id": float(likeness(np.array([to_photo]))[0]), "second_id": NAN,
    }  # fmt: skip


def with_second_opinion(one: Sitter, faces: SecondJudge | None) -> Sitter:
    """The sitter with the second judge's vectors of both pictures, without them where it is None or sees no face."""
    if faces is None or one.is_thing:
        return one
    seen = [np.asarray(faces.face_vectors(image)) for image in (one.photo, one.second)]
    if not all(len(vectors) for vectors in seen):
        return one
    return replace(one, second_opinion=(seen[0][0], seen[1][0]))


def as_thing_seen_by(one: Sitter, judge: PromptJudge) -> Sitter:
    """A thing with the judge's vectors of both its pictures."""
    photo, second = np.asarray(judge.image_vectors([one.photo, one.second]), float)
    return replace(one, photo_vector=photo, second_vector=second)
