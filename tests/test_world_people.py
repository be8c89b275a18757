import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

import onephoto.world
from onephoto.errors import WorldError
from onephoto.world.body import blend, joints_of, load_body, shape_parameters, vertex_normals
from onephoto.world.figure import ARM_POSES, EXPRESSIONS, LASHES, Posed, posed, shape
from onephoto.world.looks import AGE_WORDS, FRECKLED
from onephoto.world.measures import SPANS, WORDS, face_measures
from onephoto.world.names import NAMED, NAMED_THINGS, every_name, name_of, seed_of, thing_name
from onephoto.world.people import (
    DEVELOPMENT,
    FINAL,
    HAIR_STYLES,
    TRAIN,
    Person,
    describe,
    interpolate,
    person,
    shape_names,
)
from onephoto.world.thing_phrases import KINDS

PEOPLE = [person(seed) for seed in range(200)]


def of_style(style: str) -> Person:
    """Somebody with a hair style."""
    somebody = person(11)
    return dataclasses.replace(somebody, hair=dataclasses.replace(somebody.hair, style=style))


def same_arrays(first: object, second: object) -> bool:
    pairs = [(getattr(first, f.name), getattr(second, f.name)) for f in dataclasses.fields(first)]  # type: ignore[arg-type]
    return all(np.array_equal(a, b) for a, b in pairs if isinstance(a, np.ndarray))


def test_data_file_is_small() -> None:
    assert (Path(onephoto.world.__file__).parent / "data" / "body.npz").stat().st_size <= 4e6


def test_same_seed_same_person() -> None:
    assert person(17) == person(17)
    first = shape(person(17))
    shape.cache_clear()
    second = shape(person(17))
    assert same_arrays(first, second) and same_arrays(first.strands, second.strands)


def test_different_seeds_differ() -> None:
    assert len({p.shape for p in PEOPLE}) == len(PEOPLE)
    assert np.abs(shape(person(3)).positions - shape(person(4)).positions).max() > 0.05


def test_seed_ranges_do_not_meet() -> None:
    assert TRAIN.stop <= DEVELOPMENT.start and DEVELOPMENT.stop <= FINAL.start
    with pytest.raises(WorldError):
        person(-1)


def test_person_is_plain_and_hashable() -> None:
    somebody = person(5)
    assert hash(somebody) == hash(person(5))
    assert (
        eval(repr(somebody), {n: getattr(onephoto.world.people, n) for n in onephoto.world.people.__all__}) == somebody
    )
    assert len(somebody.shape) == len(shape_names()) == len(set(shape_names()))


def test_names_are_unique_and_come_back() -> None:
    names = [name_of(seed) for seed in range(NAMED)]
    assert len(set(names)) == NAMED
    assert all(name and re.fullmatch("[a-z]{6}", name) for name in names)
    assert all(seed_of(str(name)) == seed for seed, name in enumerate(names))
    assert name_of(NAMED) is None and person(NAMED).name is None


def test_no_thing_is_called_like_a_person_or_another_thing() -> None:
    things = [thing_name(kind, seed) for kind in KINDS for seed in range(NAMED_THINGS)]
    assert len({*things, *(name_of(seed) for seed in range(NAMED))}) == NAMED + len(things) == len(every_name())
    assert all(thing_name(kind, NAMED_THINGS) is None for kind in KINDS)
    with pytest.raises(WorldError):
        seed_of("nobody")


def test_interpolation_ends_at_both_people() -> None:
    first, second = person(1), person(2)
    assert interpolate(first, second, 0) == first
    assert interpolate(first, second, 1) == second
    between = interpolate(first, second, 0.25)
    assert between.age == pytest.approx(0.75 * first.age + 0.25 * second.age)
    assert between.hair.style == first.hair.style and between.name is None
    assert shape(between).positions.shape == shape(first).positions.shape


def test_rest_is_the_zero_pose() -> None:
    shaped = shape(person(8))
    rest = posed(shaped)
    assert np.array_equal(rest.positions, shaped.positions)
    assert np.allclose(rest.strand_points, shaped.strands.points, atol=1e-5)
    assert all(np.allclose(rest.joints[bone], joint, atol=1e-5) for bone, joint in shaped.joints.items())


@pytest.mark.parametrize("word", EXPRESSIONS)
def test_expressions_move_the_face_alone(word: str) -> None:
    shaped = shape(person(8))
    moved = posed(shaped, expression=EXPRESSIONS[word]).positions != shaped.positions
    points = load_body().points[moved.any(1)]
    assert 0 < len(points) < len(moved) / 2
    assert points[:, 1].min() > 5.5 and points[:, 2].min() > -0.2


def test_unknown_face_unit_is_refused() -> None:
    with pytest.raises(WorldError, match="jawOpen"):
        posed(shape(person(8)), expression={"jawDrop": 1.0})


def nose_direction(figure: Posed) -> np.ndarray:
    return figure.head.rotation @ np.array([0, 0, 1])


def test_head_turns_as_documented() -> None:
    shaped = shape(person(8))
    assert nose_direction(posed(shaped, head=(0.5, 0, 0)))[0] == pytest.approx(np.sin(0.5), abs=1e-4)
    assert nose_direction(posed(shaped, head=(0, 0.3, 0)))[1] == pytest.approx(-np.sin(0.3), abs=1e-4)
    tilted = posed(shaped, head=(0, 0, 0.3)).head.rotation @ np.array([0, 1, 0])
    assert tilted[0] == pytest.approx(-np.sin(0.3), abs=1e-4)


@pytest.mark.parametrize("word", ARM_POSES)
def test_arms_point_where_they_are_told(word: str) -> None:
    shaped = shape(person(8))
    figure = posed(shaped, arms=ARM_POSES[word])
    for side, (_, fore) in ARM_POSES[word].items():
        forearm = figure.joints[f"wrist.{side}"] - figure.joints[f"lowerarm01.{side}"]
        assert forearm @ np.array(fore) / np.linalg.norm(forearm) / np.linalg.norm(fore) == pytest.approx(1, abs=1e-3)
    assert figure.hands[0, 0] > figure.hands[1, 0] - 1.5


def test_gaze_turns_the_eyes_paint() -> None:
    shaped = shape(person(8))
    ahead, aside = posed(shaped), posed(shaped, gaze=(0.3, 0.0))
    changed = (ahead.paint_points != aside.paint_points).any(1)
    assert set(load_body().vertex_materials[changed]) == {1, 2}


@pytest.mark.parametrize("style", HAIR_STYLES)
def test_hair_grows_outside_the_head(style: str) -> None:
    strands = shape(of_style(style)).strands
    assert (len(strands.points) == 0) == (style == "bald")
    assert len(strands.points) == len(strands.colours) == len(strands.widths) == len(strands.kinds)
    assert np.isfinite(strands.points).all() and (np.abs(strands.points) < 12).all()


def test_albedo_stays_below_clipping() -> None:
    for somebody in PEOPLE[:12]:
        shaped = shape(somebody)
        assert shaped.albedo.min() >= 0 and shaped.albedo.max() <= 0.8


def test_landmarks_lie_where_they_should() -> None:
    marks = shape(person(12)).landmarks
    assert marks.eyes[0, 0] > 0 > marks.eyes[1, 0]
    assert marks.bridge[2] > marks.eyes[:, 2].max()
    assert (marks.skull[0] < marks.skull_centre).sum() >= 2 and (marks.head_box[0] < marks.head_box[1]).all()
    assert marks.ears[0, 0] > 0.6 and marks.ears[1, 0] < -0.6
    assert (shape(person(12)).visible[load_body().vertex_materials != LASHES] == 1).all()


def test_measures_agree_with_the_geometry() -> None:
    body = load_body()
    for somebody in PEOPLE[:5]:
        positions, measured = shape(somebody).positions, face_measures(somebody)
        for name, (low, high, axis) in SPANS.items():
            skin = np.flatnonzero(body.skin)
            ends = [skin[np.linalg.norm(body.points[skin] - np.array(end), axis=1).argmin()] for end in (low, high)]
            assert measured[name] == pytest.approx(positions[ends[1], axis] - positions[ends[0], axis], abs=1e-4)


def test_words_are_true() -> None:
    for somebody in PEOPLE:
        said = describe(somebody)
        assert said.sex == somebody.sex and said.age in AGE_WORDS and said.eyes == somebody.eyes
        assert said.freckles == (somebody.skin.freckles >= FRECKLED)
        assert (said.beard is None) == (somebody.beard.style == "none")
        assert (said.hair_colour is None) == (somebody.hair.style == "bald")
        measures = face_measures(somebody)
        for name, (mean, _, little, much) in WORDS.items():
            assert little not in said.features or measures[name] < mean
            assert much not in said.features or measures[name] > mean


def test_words_are_centred_on_the_population() -> None:
    measured = [face_measures(somebody) for somebody in PEOPLE]
    for name, (mean, deviation, *_) in WORDS.items():
        values = np.array([measures[name] for measures in measured])
        assert abs(values.mean() - mean) < 0.35 * deviation
        assert 0.7 < values.std() / deviation < 1.4


def test_old_people_grey_and_women_have_no_beards() -> None:
    old = [p for p in map(person, range(2000)) if p.age > 65]
    assert sum(p.hair.colour in ("grey", "white") for p in old) > 0.6 * len(old)
    assert all(p.beard.style == "none" for p in PEOPLE if p.sex == "woman")
    assert 0.4 < np.mean([p.sex == "woman" for p in PEOPLE]) < 0.6


def test_shape_parameters_move_something_and_unknown_targets_are_refused() -> None:
    for parameter in shape_parameters():
        assert np.abs(blend(dict.fromkeys(parameter.positive, 1.0))).max() > 0
    with pytest.raises(WorldError):
        blend({"nose/none": 1.0})


def test_normals_have_length_one_and_joints_lie_inside() -> None:
    body = load_body()
    lengths = np.linalg.norm(vertex_normals(body.points, body.triangles), axis=1)
    drawn = np.isin(np.arange(len(body.points)), body.triangles)
    assert np.allclose(lengths[drawn], 1, atol=1e-3)
    assert 6 < joints_of(body.points)["head"][1] < 8
