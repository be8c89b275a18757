"""Who is in a picture, and where: people there, missing, blended with one another, or in one another's places.

Only faces are compared, with photos that the user gives: identity files hold none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onephoto.backbone.places import Region, places_of
from onephoto.core.regions import Place, in_shares, meets
from onephoto.errors import PhotoError
from onephoto.evaluate.metrics import assigned

SAME = 0.6
"""Distance of dlib's vectors up to which two photos count as of one person, as its author has it."""
BETWEEN = 1 / 3
"""How near to the middle between two people, from -1 at one to 1 at the other, a face counts as a blend of them."""

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """A face: its middle (x, y) in shares of the picture, and its vector."""

    middle: tuple[float, float]
    vector: Vector


@dataclass(frozen=True)
class Finding:
    """What became of one person: "there", "missing", "blended" or "swapped", the latter two with whom; ID, 0 to 1."""

    name: str
    verdict: str
    likeness: float
    other: str | None = None

    def __str__(self) -> str:
        with_whom = f" with <{self.other}>" if self.other else ""
        return f"<{self.name}> {self.verdict}{with_whom} (ID {self.likeness:.2f})"


def check(
    image: Image.Image, photos: Mapping[str, Vector], regions: Mapping[str, Region] | None = None
) -> list[Finding]:  # fmt: skip
    """Who of the people of these face vectors is in a picture; regions, boxes or masks, are their places.

    Raises PhotoError where there is no face detector, PromptError for a mask that is none.
    """
    from onephoto.identity.faces import known_faces

    places = places_of(regions or {}, image.size)
    faces = []
    for face, vector in known_faces(image):
        left, top, right, bottom = in_shares(tuple(map(float, face.box)), *image.size)
        faces.append(Seen(((left + right) / 2, (top + bottom) / 2), vector))
    return findings(photos, faces, places)


def findings(photos: Mapping[str, Vector], faces: Sequence[Seen], places: Mapping[str, Place]) -> list[Finding]:
    """The verdict on each person, from the faces of a picture and the places that people should have.

    Faces go to people such that all are likest. A person is missing whose face is farther than SAME; blended whose face
    lies about half way to somebody else of them; swapped whose face lies in the other's place and not in their own.
    """
    known = np.stack(list(photos.values()))
    vectors = np.array([face.vector for face in faces]).reshape(-1, known.shape[1])
    owners = dict(zip(photos, assigned(known, vectors), strict=True))
    return [_finding(name, None if place is None else faces[place], photos, places) for name, place in owners.items()]


def _finding(name: str, face: Seen | None, photos: Mapping[str, Vector], places: Mapping[str, Place]) -> Finding:
    if face is None:
        return Finding(name, "missing", 0.0)
    distance = float(np.linalg.norm(face.vector - photos[name]))
    likeness = min(max(1 - distance, 0.0), 1.0)
    others = [other for other in photos if other != name]
    blended = [other for other in others if abs(between(face.vector, photos[name], photos[other])) < BETWEEN]
    # A blend is farther from either than one person's photos are, so it is looked for first.
    if blended and distance < SAME + BETWEEN / 2:
        return Finding(name, "blended", likeness, blended[0])
    if distance > SAME:
        return Finding(name, "missing", likeness)
    in_own = name not in places or meets(places[name], face.middle)
    visited = [other for other in others if other in places and meets(places[other], face.middle)]
    if not in_own and visited:
        return Finding(name, "swapped", likeness, visited[0])
    return Finding(name, "there", likeness)


def between(vector: Vector, own: Vector, other: Vector) -> float:
    """Where a face stands between two people: 1 at its own, -1 at the other, 0 in the middle, whatever else it differs
    in: (|v - other|^2 - |v - own|^2) / |own - other|^2.
    """
    apart = float(np.square(own - other).sum())
    return float((np.square(vector - other).sum() - np.square(vector - own).sum()) / max(apart, 1e-12))


def photo_vector(path: Path) -> Vector:
    """The face vector of a photo; raises PhotoError where it shows no face."""
    from onephoto.identity.faces import face_vector
    from onephoto.identity.photo import open_upright

    vector = face_vector(open_upright(path))
    if vector is None:
        raise PhotoError(f"{path}: no face found to compare with; give a photo from the front")
    return vector
