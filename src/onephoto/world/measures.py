"""Lengths on a person's face, and the words for those that stand out.

A length between two vertices is linear in the shape targets' weights, so no mesh has to be shaped to know it.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onephoto.world.body import load_body
from onephoto.world.form import target_weights

if TYPE_CHECKING:
    from onephoto.world.people import Person

Point = tuple[float, float, float]


def _across(x: float, y: float, z: float) -> tuple[Point, Point, int]:
    """From the right to the left half of the face at one height."""
    return (-x, y, z), (x, y, z), 0


SPANS: Mapping[str, tuple[Point, Point, int]] = {
    "nose width": _across(0.173, 6.89, 1.48),
    "nose length": ((0.0, 6.805, 1.573), (0.0, 7.322, 1.506), 1),
    "lip height": ((0.0, 6.488, 1.556), (0.0, 6.696, 1.597), 1),
    "mouth width": _across(0.25, 6.615, 1.374),
    "eye width": ((0.182, 7.28, 1.384), (0.439, 7.287, 1.358), 0),
    "eye opening": ((0.32, 7.20, 1.395), (0.346, 7.362, 1.44), 1),
    "eye distance": _across(0.182, 7.28, 1.384),
    "cheek width": _across(0.692, 6.953, 0.711),
    "jaw width": _across(0.538, 6.526, 0.909),
    "chin width": _across(0.281, 6.339, 1.333),
    "face height": ((0.0, 6.201, 1.434), (0.0, 8.014, 1.395), 1),
}
"""Lengths by name: two places on the mean body and the axis along which they are apart."""

WORDS: Mapping[str, tuple[float, float, str, str]] = {
    "nose width": (0.359, 0.054, "a narrow nose", "a wide nose"),
    "nose length": (0.453, 0.040, "a short nose", "a long nose"),
    "lip height": (0.218, 0.035, "thin lips", "full lips"),
    "mouth width": (0.446, 0.047, "a small mouth", "a wide mouth"),
    "eye size": (0.429, 0.036, "small eyes", "large eyes"),
    "eye distance": (0.327, 0.040, "close-set eyes", "wide-set eyes"),
    "face slimness": (1.329, 0.097, "a round face", "a long face"),
    "jaw breadth": (0.800, 0.037, "a narrow jaw", "a wide jaw"),
    "chin width": (0.493, 0.067, "a narrow chin", "a broad chin"),
    "brow strength": (0.047, 0.017, "thin eyebrows", "thick eyebrows"),
}
"""For each measure its mean and deviation over people, and the phrases for little and much of it."""

STRIKING = 1.1
"""Deviations from the mean from which a feature is spoken of."""


@lru_cache(maxsize=1)
def _span_table() -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Spans (n,) of the mean body, and what each shape target adds to them (n,)."""
    body = load_body()
    skin = np.flatnonzero(body.skin)
    ends = np.array([[low, high] for low, high, _ in SPANS.values()])
    gaps = np.linalg.norm(body.points[skin][None] - ends.reshape(-1, 1, 3), axis=2)
    vertices = skin[gaps.argmin(1)].reshape(-1, 2)
    axes = np.array([axis for *_, axis in SPANS.values()])
    rest = body.points[vertices[:, 1], axes] - body.points[vertices[:, 0], axes]
    added = {}
    for name, target in body.targets.items():
        moved = np.zeros_like(body.points)
        moved[target.vertices] = target.offsets
        added[name] = (moved[vertices[:, 1], axes] - moved[vertices[:, 0], axes]).astype(np.float64)
    return rest.astype(np.float64), added


def face_measures(person: "Person") -> dict[str, float]:
    """Lengths on the neutral face in decimetres by name of SPANS, and three made of them."""
    rest, added = _span_table()
    total = rest + sum(weight * added[name] for name, weight in target_weights(person).items())
    spans = {name: float(value) for name, value in zip(SPANS, total, strict=True)}
    spans["eye size"] = spans["eye width"] + spans["eye opening"]
    spans["face slimness"] = spans["face height"] / spans["cheek width"]
    spans["jaw breadth"] = spans["jaw width"] / spans["cheek width"]
    spans["brow strength"] = person.brow.thickness * person.brow.density
    return spans


def striking_features(person: "Person", *, limit: int = 3) -> tuple[str, ...]:
    """Phrases for what is unusual in a face, the most unusual first, at most `limit`."""
    measures = face_measures(person)
    found = []
    for name, (mean, deviation, little, much) in WORDS.items():
        score = (measures[name] - mean) / deviation
        if abs(score) >= STRIKING:
            found.append((abs(score), much if score > 0 else little))
    return tuple(phrase for _, phrase in sorted(found, reverse=True)[:limit])
