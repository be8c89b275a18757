"""The comparison's summary: one line a method, with floor and ceiling."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from onephoto.evaluate.benchmark import Row
from onephoto.evaluate.metrics import bootstrap_interval, copying, likeness
from onephoto.evaluate.people import Sitter


@dataclass(frozen=True)
class Line:
    """A method's means over people: each person's pictures are averaged first. Intervals are 95%, over people."""

    method: str
    prompt: float
    passes: float
    detect: float
    id: float
    id_interval: tuple[float, float]
    id_p: float
    id_p_interval: tuple[float, float]
    copy: float
    seconds: float
    bytes: float


def summary(rows: Sequence[Row], sitters: Sequence[Sitter]) -> list[Line]:
    """One line a method, best ID(P) first."""
    methods = list(dict.fromkeys(row.method for row in rows))
    lines = [_line(method, [row for row in rows if row.method == method], sitters) for method in methods]
    return sorted(lines, key=lambda line: -line.id_p)


def _line(method: str, rows: Sequence[Row], sitters: Sequence[Sitter]) -> Line:
    people = list(dict.fromkeys(row.person for row in rows))

    def by_person(values: Sequence[float]) -> np.ndarray:
        who, numbers = np.array([row.person for row in rows]), np.array(values, float)
        return np.array([numbers[who == seed].mean() for seed in people])

    ids, fitting = by_person([row.id for row in rows]), by_person([row.id_p for row in rows])
    second = by_person(likeness(np.array([row.to_second for row in rows])).tolist())
    own = {one.person.seed: one for one in sitters}
    between = [1 - float(np.linalg.norm(own[s].photo_vector - own[s].second_vector)) for s in people]
    copies = [copying(a, b, c) for a, b, c in zip(ids, second, between, strict=True)]
    return Line(
        method=method,
        prompt=float(by_person([row.similarity for row in rows]).mean()),
        passes=float(by_person([row.passes for row in rows]).mean()),
        detect=float(np.mean([not np.isnan(row.distance) for row in rows])),
        id=float(ids.mean()),
        id_interval=bootstrap_interval(ids),
        id_p=float(fitting.mean()),
        id_p_interval=bootstrap_interval(fitting),
        copy=float(np.mean(copies)),
        seconds=float(np.mean([row.seconds for row in rows])),
        bytes=float(np.mean([row.bytes for row in rows])),
    )


def floor_and_ceiling(sitters: Sequence[Sitter]) -> tuple[float, float]:
    """Likeness of photos of two different people, and of two pictures of one person."""
    same = [np.linalg.norm(one.photo_vector - one.second_vector) for one in sitters]
    different = [np.linalg.norm(a.photo_vector - b.second_vector) for a, b in combinations(sitters, 2)]
    return float(likeness(np.array(different)).mean()) if different else float("nan"), float(
        likeness(np.array(same)).mean()
    )
