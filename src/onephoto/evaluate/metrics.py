"""What is measured on pictures of a learned person, as pure functions of numbers.

Likeness (ID) is 1 minus the distance of dlib's face vectors: about .62 for two renders of one person of the embedded
world, .38 for two people. A picture without a face has distance nan and likeness 0, never "left out".
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def distances(vector: Floats, others: Floats) -> Floats:
    """Distances (n,) of a face vector (128,) to others (n, 128); rows of nan stay nan."""
    return np.linalg.norm(others - vector, axis=1)


def assigned(photos: Floats, faces: Floats) -> list[int | None]:
    """Which of a picture's faces (F, 128) is whom of photos (P, 128): the face of each, so that all are likest.

    Every face counts, not only the first one; nobody is two faces, and no face is two people. None where none is left.
    """
    if not len(faces):
        return [None] * len(photos)
    cost = np.linalg.norm(photos[:, None] - faces[None], axis=-1)
    matched = dict(zip(*(indices.tolist() for indices in linear_sum_assignment(cost)), strict=True))
    return [matched.get(number) for number in range(len(photos))]


def likeness(distance: Floats) -> Floats:
    """ID of each picture, 0 to 1; 0 where no face was found."""
    return np.nan_to_num(np.clip(1 - distance, 0, 1), nan=0.0)


def likeness_where(passes: Bools, ids: Floats) -> Floats:
    """ID(P) of each picture: its likeness where it shows what the prompt says, else 0."""
    return np.where(passes, ids, 0.0)


def copying(to_photo: float, to_second: float, between: float) -> float:
    """Copy: how much liker the pictures are to the photo than to another picture of that person; about 0 is right.

    All three are likenesses: of the pictures to the photo, to the second picture, and of those two to each other.
    """
    return (to_photo - to_second) / max(between, 1e-9)


def area_under_curve(same: Floats, different: Floats) -> float:
    """Share of pairs in which a distance of the same person is the smaller one; ties count half."""
    smaller = (same[:, None] < different[None]).mean()
    return float(smaller + 0.5 * (same[:, None] == different[None]).mean())


def told_apart(own: float, others: Floats) -> float:
    """Share of other people (P,) who are farther from a face than its own person is; who is as far counts half.

    Without a face (own is nan) that is a guess, .5; without others it is nan. Its mean is the area under the curve.
    """
    if not len(others):
        return float("nan")
    return area_under_curve(np.array([own]), others) if np.isfinite(own) else 0.5


def bootstrap_interval(
    by_person: Floats, *, seed: int = 0, draws: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Interval of the mean over people (P,): people are drawn with replacement, since their pictures hang together.

    Of nobody it is nan.
    """
    if not len(by_person):
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    means = by_person[rng.integers(0, len(by_person), (draws, len(by_person)))].mean(axis=1)
    low, high = np.quantile(means, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def inside(word_map: NDArray[np.floating], box: tuple[float, float, float, float]) -> float:
    """Share of a map's (size, size) sum in a box, which is left, top, right, bottom as shares of the picture's side."""
    size = len(word_map)
    left, top, right, bottom = (round(min(max(edge, 0), 1) * size) for edge in box)
    return float(word_map[top:bottom, left:right].sum() / max(word_map.sum(), 1e-12))
