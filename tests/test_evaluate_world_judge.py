import numpy as np
import pytest

from onephoto.evaluate.world_judge import (
    Sight,
    alike_but_for_shape,
    equal_error,
    groups_of,
    judge,
    pairs,
    separation,
    verdict,
)
from onephoto.world.people import person


def sight(who: int, place: float | None, *, sex: str = "woman") -> Sight:
    return Sight(who, {"sex": (sex,)}, None if place is None else np.array([place, 0.0]))


def test_pairs_are_all_and_know_their_people() -> None:
    distance, own, first, second = pairs(np.array([1, 1, 2]), np.array([[0.0, 0], [3, 4], [0, 1]]))
    assert distance.tolist() == pytest.approx([5, 1, 18**0.5])
    assert own.tolist() == [True, False, False]
    assert (first.tolist(), second.tolist()) == ([0, 0, 1], [1, 2, 2])


def test_errors_are_equal_at_the_threshold() -> None:
    same, different = np.linspace(0, 0.6, 100), np.linspace(0.4, 1, 100)
    rate, threshold = equal_error(same, different)
    assert rate == pytest.approx(1 / 6, abs=0.02) and threshold == pytest.approx(0.5, abs=0.01)
    assert equal_error(np.array([0.1, 0.2]), np.array([0.7, 0.8])) == (0.0, 0.2)


def test_separation_of_nothing_is_not_a_number() -> None:
    assert np.isnan(separation(np.array([0.1]), np.array([True])).auc)
    assert separation(np.array([0.1, 0.9]), np.array([True, False])).auc == 1.0


def test_verdict_counts_faces_and_groups() -> None:
    seen = [
        sight(1, 0.0),
        sight(1, 0.1),
        sight(2, 1.0),
        sight(2, None),
        sight(3, 2.0, sex="man"),
        sight(3, 2.1, sex="man"),
    ]
    found = verdict(seen)
    assert (found.people, found.pictures) == (3, 6) and found.found == pytest.approx(5 / 6)
    assert found.separation.same == pytest.approx(0.1) and found.separation.auc == 1.0
    man, woman = found.groups
    assert (man.word, man.pictures, man.found) == ("man", 2, 1.0) and np.isnan(man.auc_within) and man.auc == 1.0
    assert (woman.pictures, woman.found, woman.auc_within) == (4, 0.75, 1.0)


def test_verdict_without_any_face_is_honest() -> None:
    found = verdict([sight(1, None), sight(2, None)])
    assert found.found == 0 and np.isnan(found.separation.auc)


def test_groups_come_from_the_facts() -> None:
    facts = {"facing": -30.0, "things": {"cap": "red", "cup": "blue"}, "skin": "tan", "sex": "man"}
    assert groups_of(facts) == {"pose": ("turned",), "worn": ("cap",), "skin": ("tan",), "sex": ("man",)}
    assert groups_of(facts | {"facing": 3.0, "things": {}})["worn"] == ("nothing",)


def test_only_shape_is_left() -> None:
    first, second = alike_but_for_shape([person(90_000), person(90_001)])
    assert first.shape != second.shape
    for name in ("skin", "hair", "brow", "eyes", "beard", "moles", "age", "seed"):
        assert getattr(first, name) == getattr(second, name)


def test_judging_counts_every_picture() -> None:
    pytest.importorskip("dlib")
    steps = []
    verdicts = judge([90_000], 1, progress=lambda *done: steps.append(done))
    assert steps == [(k + 1, 4) for k in range(4)]
    assert all((v.people, v.pictures) == (1, 1) for v in verdicts.values())
