"""People and things of the world as users meet them: a photo to learn from, and another one that nobody learns."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onephoto.errors import PhotoError
from onephoto.identity.faces import face_vector
from onephoto.world.people import Person, person
from onephoto.world.picture import take_picture
from onephoto.world.shots import sample_shot
from onephoto.world.thing_picture import sample_view, take_thing
from onephoto.world.things import KINDS, Thing, thing

PHOTO_SIZE = 256
DEVELOPMENT, FINAL = 90_000, 100_000
"""First seeds of people for choices, and of people for final measurements."""
TRIES = 20
UNSEEN = np.zeros(0)
"""The vector of a thing that no judge has seen yet."""


@dataclass(frozen=True)
class Sitter:
    """Somebody, or a thing, of the world with a photo and a second picture, PHOTO_SIZE a side, and a vector of each.

    The vectors are dlib's of the face, of a thing the prompt judge's of the picture. second_opinion: the face judge's
    of photo and second picture.
    """

    person: Person | Thing
    photo: Image.Image
    second: Image.Image
    photo_vector: NDArray[np.float64]
    second_vector: NDArray[np.float64]
    second_opinion: tuple[NDArray[Any], NDArray[Any]] | None = None

    @property
    def is_thing(self) -> bool:
        """Whether it is no person."""
        return not isinstance(self.person, Person)

    def distance(self, first: NDArray[Any], second: NDArray[Any]) -> float:
        """How far apart two vectors are, 0 for equal ones: as dlib's faces are compared, of things 1 minus cosine."""
        return float(1 - first @ second) if self.is_thing else float(np.linalg.norm(first - second))


def sitter(seed: int) -> Sitter:
    """The photo is a plain portrait from the front; the second picture is anywhere, with another expression."""
    somebody = person(seed)
    plain = {"view": "head", "worn": (), "held": None, "seated": None, "hair": None, "age": None, "beard": None}
    portrait = plain | {"scene": "studio", "expression": "neutral", "head": (0.0, 0.0, 0.0), "camera": (0.0, 0.0)}
    photo, photo_vector = _with_face(somebody, portrait, 0)
    second, second_vector = _with_face(somebody, plain, 1)
    return Sitter(somebody, photo, second, photo_vector, second_vector)


def _with_face(somebody: Person, fixed: dict, number: int) -> tuple[Image.Image, NDArray[np.float64]]:
    """The first picture of a fixed sequence in which a face is found."""
    for attempt in range(TRIES):
        rng = np.random.default_rng([somebody.seed, number, attempt])
        image = Image.fromarray(take_picture(somebody, sample_shot(rng, somebody, **fixed), size=PHOTO_SIZE).image)
        vector = face_vector(image)
        if vector is not None:
            return image, vector
    raise PhotoError(f"person {somebody.seed}: no face found in {TRIES} pictures; choose another seed")


def kind_of(seed: int) -> str:
    """What a thing to be compared is: the kinds take turns from seed to seed. It is also its class word."""
    return list(KINDS)[seed % len(KINDS)]


def thing_sitter(seed: int) -> Sitter:
    """A thing from the front in a studio, and anywhere from any side; no judge has seen it yet."""
    one = thing(kind_of(seed), seed)
    views: tuple[dict[str, Any], ...] = ({"scene": "studio", "camera": (15.0, 10.0)}, {})
    photo, second = (
        Image.fromarray(
            take_thing(one, sample_view(np.random.default_rng([seed, n]), one, **fixed), size=PHOTO_SIZE).image
        )
        for n, fixed in enumerate(views)
    )
    return Sitter(one, photo, second, UNSEEN, UNSEEN)


def saved_photo(one: Sitter, folder: Path) -> Path:
    """The photo as a file, as a user would have it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{one.person.seed}.png"
    one.photo.save(path)
    return path


def save_sitter(one: Sitter, folder: Path) -> None:
    """Photo, second picture and vectors; the vectors come last, so that they are there only with the rest."""
    saved_photo(one, folder)
    one.second.save(folder / f"{one.person.seed}-second.png")
    kept: dict[str, Any] = {"photo": one.photo_vector.tolist(), "second": one.second_vector.tolist()}
    if one.second_opinion is not None:
        kept["second opinion"] = [vector.tolist() for vector in one.second_opinion]
    (folder / f"{one.person.seed}.json").write_text(json.dumps(kept | {"thing": one.is_thing}))


def saved_image(path: Path) -> Image.Image:
    """A picture of a comparison's folder as RGB, its file closed again."""
    with Image.open(path) as image:
        return image.convert("RGB")


def load_sitter(seed: int, folder: Path) -> Sitter | None:
    """A saved sitter, or None where there is none."""
    if not (folder / f"{seed}.json").exists():
        return None
    kept = json.loads((folder / f"{seed}.json").read_text())
    images = [saved_image(folder / name) for name in (f"{seed}.png", f"{seed}-second.png")]
    opinion = [np.array(vector) for vector in kept.get("second opinion", [])]
    whom = thing(kind_of(seed), seed) if kept.get("thing") else person(seed)
    return Sitter(
        whom, images[0], images[1], np.array(kept["photo"]), np.array(kept["second"]),
        (opinion[0], opinion[1]) if opinion else None,
    )  # fmt: skip
