"""The comparison's numbers: one line a method, ours against the best other one, floor and ceiling."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onephoto.errors import SettingError
from onephoto.evaluate.metrics import bootstrap_interval, copying, inside, likeness
from onephoto.evaluate.people import Sitter, load_sitter
from onephoto.evaluate.plan import BASE, OURS, Variant, recorded, recorded_variants
from onephoto.evaluate.rows import ID, Cost, Row, load_rows
from onephoto.identity.faces import detect_faces

Interval = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A method's means over people: each person's pictures are averaged first. Intervals are 95%, over people.

    seconds and bytes are nan for what learns nobody, second_id and second_told where nobody gave a second opinion,
    looks where nobody reads them and for things, told_apart of one person alone, detect for things; all numbers are for
    a method that can draw nothing of what was asked.
    """

    method: str
    prompt: float
    passes: float
    detect: float
    id: float
    id_interval: Interval
    told_apart: float
    told_interval: Interval
    second_id: float
    second_told: float
    looks: float
    id_p: float
    id_p_interval: Interval
    copy: float
    seconds: float
    bytes: float


@dataclass(frozen=True)
class Lead:
    """ID(P), or another number, of one method minus that of another over the same people, with its 95% interval."""

    first: str
    second: str
    difference: float
    interval: Interval

    @property
    def certain(self) -> bool:
        """Whether the interval excludes 0."""
        return self.interval[0] > 0 or self.interval[1] < 0


@dataclass(frozen=True)
class Results:
    """All that a comparison's folder holds, cut to the people and prompts that every variant has."""

    folder: Path
    record: dict[str, Any]
    variants: tuple[Variant, ...]
    rows: tuple[Row, ...]
    costs: tuple[Cost, ...]
    sitters: dict[int, Sitter]

    @property
    def people(self) -> tuple[int, ...]:
        """Seeds of the people, in order."""
        return tuple(dict.fromkeys(row.person for row in self.rows))

    @property
    def sets(self) -> tuple[str, ...]:
        """Prompt sets, in order."""
        return tuple(dict.fromkeys(row.set for row in self.rows))

    @property
    def likeness(self) -> str:
        """Which likeness was measured: ID of people, Image of things."""
        return self.rows[0].likeness

    def of(self, variant: str) -> list[Row]:
        """A variant's rows."""
        return [row for row in self.rows if row.method == variant]

    def counted(self, variant: str) -> list[Row]:
        """A variant's rows of the prompts that no method fails for being unable to; of one that can draw none, none.

        So all means are over the same prompts, and nobody gains or loses by what somebody cannot do.
        """
        able = {row.method for row in self.rows if not row.impossible}
        left_out = {(row.set, row.number) for row in self.rows if row.impossible and row.method in able}
        return [row for row in self.of(variant) if not row.impossible and (row.set, row.number) not in left_out]

    def unable(self) -> dict[tuple[str, str], list[str]]:
        """Which variants cannot draw what: variants by set and reason."""
        found: dict[tuple[str, str], list[str]] = {}
        for row in self.rows:
            if row.impossible:
                found.setdefault((row.set, row.impossible), []).append(row.method)
        return {key: list(dict.fromkeys(methods)) for key, methods in found.items()}


def gather(folder: Path) -> Results:
    """What the folder holds; raises SettingError where there is no comparison."""
    variants = tuple(recorded_variants(folder))
    paths = sorted((folder / "rows").glob("*.json"))
    rows = [row for path in paths for row in load_rows(path)]
    present = [variant for variant in variants if any(row.method == variant.name for row in rows)]
    kept = shared_cells(rows)
    if not kept:
        raise SettingError(f"{folder}: nobody has been drawn by every method yet; go on with the command that began it")
    order = {variant.name: place for place, variant in enumerate(variants)}
    kept.sort(key=lambda row: (order[row.method], row.person))
    people = sorted({seed for row in kept for seed in (row.person, row.second_person) if seed is not None})
    found = {seed: load_sitter(seed, folder / "people") for seed in people}
    sitters = {seed: one for seed, one in found.items() if one is not None}
    return Results(
        folder, recorded(folder), tuple(present), tuple(kept), tuple(_costs(folder, present, people)), sitters
    )


def shared_cells(rows: Sequence[Row]) -> list[Row]:
    """Rows of people and prompts that every method has: a method still being run is compared on what it has done."""
    cells: dict[tuple[int, str, int], set[str]] = {}
    for row in rows:
        cells.setdefault((row.person, row.set, row.number), set()).add(row.method)
    everyone = {row.method for row in rows}
    return [row for row in rows if cells[row.person, row.set, row.number] == everyone]


def _costs(folder: Path, variants: Sequence[Variant], people: Sequence[int]) -> list[Cost]:
    found = []
    for variant in variants:
        for person in people:
            path = folder / "identities" / f"{variant.identity}-{person}.json"
            if variant.method != BASE and path.exists():
                note = json.loads(path.read_text(encoding="utf-8"))
                found.append(Cost(variant.name, person, note["seconds"], note["bytes"]))
    return found


def by_person(rows: Sequence[Row], field: str) -> NDArray[np.float64]:
    """Mean of a number over each person's pictures, by seed of person: (P,)."""
    people = sorted({row.person for row in rows})
    return np.array([np.mean([float(getattr(row, field)) for row in rows if row.person == seed]) for seed in people])


def summary(results: Results) -> list[Line]:
    """One line a method, best ID(P) first; the base, which learns nobody, stands last."""
    lines = [_line(variant.name, results) for variant in results.variants]
    bases = {variant.name for variant in results.variants if variant.method == BASE}
    return sorted(lines, key=lambda line: (line.method in bases, bool(np.isnan(line.id_p)), -line.id_p))


def _line(method: str, results: Results) -> Line:
    rows = results.counted(method)
    ids, fitting, told = by_person(rows, "id"), by_person(rows, "id_p"), by_person(rows, "told_apart")
    costs = [cost for cost in results.costs if cost.method == method]
    return Line(
        method=method,
        prompt=_mean(by_person(rows, "similarity")),
        passes=_mean(by_person(rows, "passes")),
        detect=_mean(by_person(rows, "detect")),
        id=_mean(ids),
        id_interval=bootstrap_interval(ids),
        told_apart=_mean(told),
        told_interval=bootstrap_interval(told),
        second_id=_mean(by_person(rows, "second_id")),
        second_told=_mean(by_person(rows, "second_told")),
        looks=_mean(by_person([row for row in rows if row.second_person is None], "looks")),
        id_p=_mean(fitting),
        id_p_interval=bootstrap_interval(fitting),
        copy=_copy(rows, results.sitters),
        seconds=_mean([cost.seconds for cost in costs]),
        bytes=_mean([cost.bytes for cost in costs]),
    )


def _mean(values: Sequence[float] | NDArray[np.float64]) -> float:
    """The mean, nan of nothing."""
    return float(np.mean(values)) if len(values) else float("nan")


def _copy(rows: Sequence[Row], sitters: dict[int, Sitter]) -> float:
    """Mean Copy over people, on pictures of one person in which a face was found, or of a thing; nan where none is."""
    found = []
    for seed in sorted({row.person for row in rows}):
        own = [row for row in rows if row.person == seed and row.second_person is None and np.isfinite(row.distance)]
        if own:
            photo, second = (likeness(np.array([getattr(row, f) for row in own])) for f in ("distance", "to_second"))
            found.append(copying(float(photo.mean()), float(second.mean()), _between(sitters[seed])))
    return _mean(found)


def _between(one: Sitter) -> float:
    return 1 - one.distance(one.photo_vector, one.second_vector)


def lead_of_ours(results: Results, number: str = "id_p", *, ours: str = OURS) -> Lead | None:
    """Ours minus the other method that is best in a number, people paired; None where one of them is missing."""
    ranked = [line for line in summary(results) if not np.isnan([line.bytes, getattr(line, number)]).any()]
    others = [line for line in ranked if line.method != ours]
    if not others or len(others) == len(ranked):
        return None
    best = max(others, key=lambda line: float(getattr(line, number))).method
    first, second = (by_person(results.counted(method), number) for method in (ours, best))
    return Lead(ours, best, float((first - second).mean()), bootstrap_interval(first - second))


def floor_and_ceiling(sitters: Sequence[Sitter]) -> tuple[float, float]:
    """Likeness of photos of two different people or things, and of two pictures of one."""
    same = [one.distance(one.photo_vector, one.second_vector) for one in sitters]
    different = [a.distance(a.photo_vector, b.second_vector) for a, b in combinations(sitters, 2)]
    return _mean(likeness(np.array(different))), _mean(likeness(np.array(same)))


def second_floor_and_ceiling(sitters: Sequence[Sitter]) -> tuple[float, float]:
    """The same in the second opinion, nan where there is none."""
    seen = [one.second_opinion for one in sitters if one.second_opinion is not None]
    same = [max(0.0, float(photo @ second)) for photo, second in seen]
    different = [max(0.0, float(a[0] @ b[1])) for a, b in combinations(seen, 2)]
    return _mean(different), _mean(same)


@dataclass(frozen=True)
class Attention:
    """A picture, the map (size, size) of the learned word, and the share of it that lies on the face; nan without."""

    image: Image.Image
    map: NDArray[np.float32]
    on_face: float


def attention_of(results: Results) -> dict[tuple[str, int], Attention]:
    """What attention was looked at, by variant and person."""
    found = {}
    for variant in results.variants:
        for person in results.people:
            path = results.folder / "attention" / f"{variant.name}-{person}.npz"
            if path.exists():
                with np.load(path) as kept:
                    found[variant.name, person] = _attention(
                        Image.fromarray(kept["image"]), kept["map"], of_people=results.likeness == ID
                    )
    return found


def _attention(image: Image.Image, word_map: NDArray[np.float32], *, of_people: bool) -> Attention:
    faces = detect_faces(image) if of_people else []
    if not faces:
        return Attention(image, word_map, float("nan"))
    left, top, right, bottom = faces[0].box
    box = (left / image.width, top / image.height, right / image.width, bottom / image.height)
    return Attention(image, word_map, inside(word_map, box))
