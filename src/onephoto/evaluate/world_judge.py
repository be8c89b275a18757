"""How networks trained on real faces see the people of the world: are faces found, and is one person told from others?

Pictures are random shots of held-out people who keep their own hair, age and beard, since these belong to identity.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onephoto.evaluate.metrics import area_under_curve
from onephoto.identity.faces import face_vector, face_vector_upsampled
from onephoto.world.captions import FULL_FACE, TURNED
from onephoto.world.people import Person, person
from onephoto.world.picture import take_picture
from onephoto.world.props import WORN
from onephoto.world.shots import Shot, sample_shot
from onephoto.world.wardrobe import Clothes

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Take = tuple[int, Person, Shot]
"""A shot of somebody, and the number that says who they are."""
Pairs = tuple[Floats, Bools, NDArray[np.intp], NDArray[np.intp]]
Vectorise = Callable[[Image.Image], Floats | None]

JUDGED = 256
"""Pixels at which pictures are shown to the detector; smaller ones are enlarged to it."""
OWN = {"hair": None, "age": None, "beard": None}
"""Nobody is shown with other hair, at another age or with another beard."""
PLAIN = Clothes("t-shirt", "crew", "short", "plain", "grey", "white")
EQUAL = {"scene": "studio", "view": "head", "clothes": PLAIN, "worn": (), "held": None, "seated": None, "arms": "down"}
"""Shots that differ in expression, pose and camera alone."""
SAME_SEED = 0
"""Backdrop and light of such shots."""


@dataclass(frozen=True)
class Sight:
    """One picture as judged: whose it is, the groups it belongs to (words by kind), its face vector (128,) or None."""

    person: int
    groups: dict[str, tuple[str, ...]]
    vector: Floats | None


@dataclass(frozen=True)
class Separation:
    """How well distances part people: means, area under the curve, error rate and distance where both errors are equal.

    Numbers are nan where there are no pairs of one kind.
    """

    same: float
    different: float
    auc: float
    eer: float
    threshold: float


@dataclass(frozen=True)
class Group:
    """One group of pictures: how many, the share with a face found, and two areas under the curve.

    `auc` takes all pairs with at least one picture of the group, `auc_within` those with both in the group.
    """

    kind: str
    word: str
    pictures: int
    found: float
    auc: float
    auc_within: float


@dataclass(frozen=True)
class Verdict:
    """What was measured on one set of pictures."""

    people: int
    pictures: int
    found: float
    separation: Separation
    groups: tuple[Group, ...]


def shot_of(somebody: Person, number: int, **fixed: Any) -> Shot:
    """The shot of somebody by number; fields can be fixed."""
    return sample_shot(np.random.default_rng([somebody.seed, number]), somebody, **(OWN | fixed))


def groups_of(facts: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """The groups of a picture with these facts: pose, thing worn, skin, sex."""
    turn = abs(facts["facing"])
    pose = "frontal" if turn < FULL_FACE else "turned" if turn > TURNED else "half turned"
    worn = tuple(kind for kind in WORN if kind in facts["things"]) or ("nothing",)
    return {"pose": (pose,), "worn": worn, "skin": (facts["skin"],), "sex": (facts["sex"],)}


def sights(takes: Sequence[Take], *, size: int, vectorise: Vectorise) -> Iterator[Sight]:
    """Render and judge shots at `size` pixels, enlarged to JUDGED."""
    for label, somebody, shot in takes:
        picture = take_picture(somebody, shot, size=size)
        image = Image.fromarray(picture.image)
        if size != JUDGED:
            image = image.resize((JUDGED, JUDGED), Image.Resampling.BICUBIC)
        yield Sight(label, groups_of(picture.facts), vectorise(image))


def alike_but_for_shape(people: Sequence[Person]) -> list[Person]:
    """The people with the skin, age, brows, eyes and hair of the first, and no beards: only bones and flesh differ.

    Seeds are made equal too, for they place strands and freckles.
    """
    model = people[0]
    bare = replace(model.beard, style="none", density=0.0)
    return [
        replace(one, seed=model.seed, age=model.age, skin=model.skin, eyes=model.eyes, brow=model.brow, hair=model.hair,
                beard=bare, moles=())
        for one in people
    ]  # fmt: skip


def pairs(people: NDArray, vectors: Floats) -> Pairs:
    """All pairs of n vectors (n,128): distances (m,), whether both are of one person, and both rows of each pair."""
    first, second = np.triu_indices(len(people), 1)
    return np.linalg.norm(vectors[first] - vectors[second], axis=1), people[first] == people[second], first, second


def equal_error(same: Floats, different: Floats) -> tuple[float, float]:
    """The rate at which as many pairs of one person are refused as others are taken for one, and its distance."""
    steps = np.sort(np.concatenate([same, different]))
    refused = 1 - np.searchsorted(np.sort(same), steps, side="right") / len(same)
    taken = np.searchsorted(np.sort(different), steps, side="right") / len(different)
    at = int(np.argmin(np.abs(refused - taken)))
    return float((refused[at] + taken[at]) / 2), float(steps[at])


def separation(distance: Floats, own: Bools) -> Separation:
    """Numbers of some pairs: distances (m,) and whether each is of one person."""
    same, different = distance[own], distance[~own]
    if not len(same) or not len(different):
        return Separation(*[float("nan")] * 5)
    return Separation(
        float(same.mean()), float(different.mean()), area_under_curve(same, different), *equal_error(same, different)
    )


def verdict(seen: Sequence[Sight]) -> Verdict:
    """Everything measured on the judged pictures, in whole and by group."""
    found = [sight for sight in seen if sight.vector is not None]
    vectors = np.array([sight.vector for sight in found]) if found else np.zeros((0, 1))
    distance, own, first, second = pairs(np.array([sight.person for sight in found]), vectors)
    return Verdict(
        people=len({sight.person for sight in seen}),
        pictures=len(seen),
        found=len(found) / len(seen),
        separation=separation(distance, own),
        groups=tuple(_group(kind, word, seen, (distance, own, first, second)) for kind, word in _kinds(seen)),
    )


def _kinds(seen: Sequence[Sight]) -> list[tuple[str, str]]:
    """Every group that occurs."""
    return sorted({(kind, word) for sight in seen for kind, words in sight.groups.items() for word in words})


def _group(kind: str, word: str, seen: Sequence[Sight], compared: Pairs) -> Group:
    """Numbers of one group among all pictures; `compared` are the pairs of those with a face."""
    distance, own, first, second = compared
    found = [sight.vector is not None for sight in seen if word in sight.groups[kind]]
    members = np.array([word in sight.groups[kind] for sight in seen if sight.vector is not None], bool)
    either, both = members[first] | members[second], members[first] & members[second]
    return Group(
        kind=kind,
        word=word,
        pictures=len(found),
        found=float(np.mean(found)),
        auc=separation(distance[either], own[either]).auc,
        auc_within=separation(distance[both], own[both]).auc,
    )


def judge(
    seeds: Sequence[int], shots: int, *, progress: Callable[[int, int], None] | None = None
) -> dict[str, Verdict]:
    """Judge people by seed, `shots` pictures each.

    "256 px" and "128 px" use dlib with one upsampling; "128 px, as in the benchmark" enlarges as `identity.faces`
    does, and its threshold is the benchmark's; "shape alone" gives everyone the same hair, skin, brows, eyes, clothes,
    scene and light, at 256 px.
    """
    people = [person(seed) for seed in seeds]
    free = [(p.seed, p, shot_of(p, k)) for p in people for k in range(shots)]
    equal = [
        (p.seed, shaped, replace(shot_of(p, k, **EQUAL), seed=SAME_SEED))
        for p, shaped in zip(people, alike_but_for_shape(people), strict=True)
        for k in range(shots)
    ]
    sets = {
        "256 px": sights(free, size=256, vectorise=face_vector_upsampled),
        "128 px": sights(free, size=128, vectorise=face_vector_upsampled),
        "128 px, as in the benchmark": sights(free, size=128, vectorise=face_vector),
        "shape alone": sights(equal, size=256, vectorise=face_vector_upsampled),
    }
    total, done, verdicts = len(sets) * len(free), 0, {}
    for name, stream in sets.items():
        seen = []
        for sight in stream:
            seen.append(sight)
            done += 1
            if progress is not None:
                progress(done, total)
        verdicts[name] = verdict(seen)
    return verdicts
