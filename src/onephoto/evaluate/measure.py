"""What is measured on one picture of people or of a thing, by the networks at hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onephoto.evaluate.facts import looks_kept
from onephoto.evaluate.metrics import assigned, likeness, told_apart
from onephoto.evaluate.people import Sitter
from onephoto.identity.faces import face_vectors
from onephoto.world.people import Person

NAN = float("nan")
NOTHING: Mapping[str, Any] = {
    "faces": 0, "detect": 0.0, "distance": NAN, "to_second": NAN, "id": 0.0, "told_apart": NAN, "second_id": NAN,
    "second_told": NAN, "looks": NAN, "similarity": NAN, "passes": False, "id_p": 0.0,
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


class FactReader(Protocol):
    """Says what a picture shows."""

    def read(self, images: Sequence[Image.Image]) -> Sequence[Mapping[str, Any]]:
        """The facts of each picture, as `facts.record_of` has them."""


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
    """Who judges pictures: their prompts and, as a second opinion, their faces; who reads what they show of the world.
    None where nobody is at hand.
    """

    prompt: PromptJudge
    faces: SecondJudge | None = None
    facts: FactReader | None = None


def measured(
    images: Sequence[Image.Image], texts: Sequence[str], shown: Sequence[Sequence[Sitter]], judges: Judges, *,
    asked: Sequence[Mapping[str, str]] = (), everybody: Sequence[Sitter] = (), second: bool = True,
) -> list[dict[str, Any]]:  # fmt: skip
    """The numbers of pictures, fields of `rows.Row`: prompts in the judge's words, and who should be in each picture.

    asked: the facts that each prompt asks for, which are nobody's looks. everybody: whom to tell the people of a
    picture from. second: whether the second opinion is asked at all; its numbers are nan otherwise.
    """
    if not images:
        return []
    similarity = np.asarray(judges.prompt.prompt_similarity(images, texts), float).tolist()
    passes = np.asarray(judges.prompt.prompt_passes(images, texts), bool).tolist()
    looks = _looks(images, shown, asked or [{}] * len(images), reader=judges.facts)
    found = []
    for image, fit, passed, sitters, kept in zip(images, similarity, passes, shown, looks, strict=True):
        others = [one for one in everybody if all(one is not sitter for sitter in sitters)]
        if sitters[0].is_thing:
            own = _of_thing(image, sitters[0], others, judges.prompt)
        else:
            own = _of_people(image, sitters, others)
            own |= _second_opinion(image, sitters, others, judges.faces if second else None)
        found.append(own | {"similarity": fit, "passes": passed, "id_p": own["id"] if passed else 0.0, "looks": kept})
    return found


def _looks(
    images: Sequence[Image.Image], shown: Sequence[Sequence[Sitter]], asked: Sequence[Mapping[str, str]], *,
    reader: FactReader | None,
) -> list[float]:  # fmt: skip
    """What is kept of the looks of each picture's person; nan of things and of several people, and without a reader."""
    kept = [NAN] * len(images)
    alone = {
        place: sitters[0].person
        for place, sitters in enumerate(shown)
        if len(sitters) == 1 and isinstance(sitters[0].person, Person)
    }
    if reader is not None and alone:
        for (place, whom), read in zip(alone.items(), reader.read([images[k] for k in alone]), strict=True):
            kept[place] = looks_kept(whom, read, asked[place])
    return kept


def _of_people(image: Image.Image, shown: Sequence[Sitter], others: Sequence[Sitter]) -> dict[str, Any]:
    """What a picture's faces say of the people who should be in it; somebody without a face has likeness 0."""
    vectors = face_vectors(image)
    places = assigned(np.stack([one.photo_vector for one in shown]), vectors)
    pairs = list(zip(shown, places, strict=True))
    to_photo = _distances([(one.photo_vector, place) for one, place in pairs], vectors)
    to_second = _distances([(one.second_vector, place) for one, place in pairs], vectors)
    return {
        "faces": len(vectors), "detect": float(np.isfinite(to_photo).mean()), "distance": float(to_photo.mean()),
        "to_second": float(to_second.mean()), "id": float(likeness(to_photo).mean()),
        "told_apart": _told_apart(to_photo, places, vectors, [one.photo_vector for one in others]),
    }  # fmt: skip


def _distances(pairs: Sequence[tuple[NDArray, int | None]], vectors: NDArray) -> NDArray[np.float64]:
    """Distance of each vector to the face at its place, nan without one."""
    return np.array([np.nan if place is None else np.linalg.norm(vector - vectors[place]) for vector, place in pairs])


def _told_apart(
    own: NDArray, places: Sequence[int | None], vectors: NDArray, photos: Sequence[NDArray]
) -> float:  # fmt: skip
    """Share of others' photos that are farther from each face than its own person's is: the mean over people."""
    apart = [
        told_apart(distance, _distances([(photo, place) for photo in photos], vectors))
        for distance, place in zip(own.tolist(), places, strict=True)
    ]
    return float(np.mean(apart))


def _second_opinion(
    image: Image.Image, shown: Sequence[Sitter], others: Sequence[Sitter], faces: SecondJudge | None
) -> dict[str, Any]:
    """What the second judge says, of unit vectors: ID is their cosine to the photo's, 0 where no face is found."""
    photos, theirs = (
        [one.second_opinion[0] for one in people if one.second_opinion is not None] for people in (shown, others)
    )
    if faces is None or len(photos) < len(shown):
        return {"second_id": NAN, "second_told": NAN}
    vectors = np.asarray(faces.face_vectors(image))
    places = assigned(np.stack(photos), vectors)
    to_photo = _distances(list(zip(photos, places, strict=True)), vectors)
    cosines = np.nan_to_num(np.clip(1 - to_photo**2 / 2, 0, 1))
    return {"second_id": float(cosines.mean()), "second_told": _told_apart(to_photo, places, vectors, theirs)}


def _of_thing(image: Image.Image, one: Sitter, others: Sequence[Sitter], judge: PromptJudge) -> dict[str, Any]:
    """How near a picture is to a thing's photo and to its second picture; nothing is looked for in it."""
    vector = np.asarray(judge.image_vectors([image]), float)[0]
    to_photo, to_second = one.distance(vector, one.photo_vector), one.distance(vector, one.second_vector)
    return {
        "faces": 0, "detect": NAN, "distance": to_photo, "to_second": to_second,
        "id": float(likeness(np.array([to_photo]))[0]), "second_id": NAN, "second_told": NAN,
        "told_apart": told_apart(to_photo, np.array([other.distance(vector, other.photo_vector) for other in others])),
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
