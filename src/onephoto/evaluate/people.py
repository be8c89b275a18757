"""People of the world as users meet them: a photo to learn from, and another one that nobody learns."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onephoto.errors import PhotoError
from onephoto.identity.faces import face_vector
from onephoto.world.people import Person, person
from onephoto.world.picture import take_picture
from onephoto.world.shots import sample_shot

PHOTO_SIZE = 256
DEVELOPMENT, FINAL = 90_000, 100_000
"""First seeds of people for choices, and of people for final measurements."""
TRIES = 20


@dataclass(frozen=True)
class Sitter:
    """Somebody of the world with a photo and a second picture, PHOTO_SIZE a side, and the face vector of each."""

    person: Person
    photo: Image.Image
    second: Image.Image
    photo_vector: NDArray[np.float64]
    second_vector: NDArray[np.float64]


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


def saved_photo(one: Sitter, folder: Path) -> Path:
    """The photo as a file, as a user would have it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{one.person.seed}.png"
    one.photo.save(path)
    return path


def save_sitter(one: Sitter, folder: Path) -> None:
    """Photo, second picture and face vectors; the vectors come last, so that they are there only with the rest."""
    saved_photo(one, folder)
    one.second.save(folder / f"{one.person.seed}-second.png")
    vectors = {"photo": one.photo_vector.tolist(), "second": one.second_vector.tolist()}
    (folder / f"{one.person.seed}.json").write_text(json.dumps(vectors))


def load_sitter(seed: int, folder: Path) -> Sitter | None:
    """A saved sitter, or None where there is none."""
    if not (folder / f"{seed}.json").exists():
        return None
    vectors = json.loads((folder / f"{seed}.json").read_text())
    images = []
    for name in (f"{seed}.png", f"{seed}-second.png"):
        with Image.open(folder / name) as image:
            images.append(image.convert("RGB"))
    return Sitter(person(seed), images[0], images[1], np.array(vectors["photo"]), np.array(vectors["second"]))
