import dataclasses
import json
import re

import numpy as np
import pytest

from onephoto.errors import WorldError
from onephoto.world import phrases
from onephoto.world.captions import DETAILS, LONGEST, Scenery, caption, captions, vocabulary
from onephoto.world.dataset import render
from onephoto.world.drawing import Material
from onephoto.world.figure import EXPRESSIONS
from onephoto.world.pair import sample_pair, take_pair
from onephoto.world.people import Person, person
from onephoto.world.picture import Picture, developed, seen_in, take_picture
from onephoto.world.prompts import ALL_SETS, FACE_PROMPT
from onephoto.world.props import COLOURS, HELD, MATERIALS, WORN, Thing, make_thing
from onephoto.world.scenes import SCENES, backdrop
from onephoto.world.shots import Shot, as_shown, sample_shot
from onephoto.world.wardrobe import COLOUR_RGB, GARMENTS

EVERYTHING = Scenery(frozenset(MATERIALS) | {"hair", "beard", "clothes", "eyes"}, "red")
WORDS_OF_THINGS = {
    "glasses": "glasses|eyeglasses", "sunglasses": "sunglasses|dark glasses", "cap": "cap", "earrings": "earrings",
    "scarf": "scarf", "red ball": "ball", "cup": "cup", "umbrella": "umbrella", "book": "book", "guitar": "guitar",
    "chair": "chair",
}  # fmt: skip


def shot_of(seed: int, somebody: Person, **fixed: object) -> Shot:
    return sample_shot(np.random.default_rng(seed), somebody, **fixed)


def small(somebody: Person, shot: Shot) -> Picture:
    return take_picture(somebody, shot, size=64, supersample=1)


def pieces(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+|[^\sa-z]+", text))


@pytest.fixture(scope="module")
def taken() -> list[tuple[Person, Shot, Picture]]:
    people = [person(seed) for seed in (5, 4000)]
    shots = [(p, shot_of(seed, p, hair=None, age=None, beard=None)) for p in people for seed in range(12)]
    return [(p, shot, small(p, shot)) for p, shot in shots]


def test_same_shot_same_pixels() -> None:
    somebody = person(7)
    shot = shot_of(1, somebody)
    first, second = small(somebody, shot), small(somebody, shot)
    assert np.array_equal(first.image, second.image) and first.captions == second.captions
    assert first.facts == second.facts
    other = small(somebody, dataclasses.replace(shot, seed=shot.seed + 1))
    assert not np.array_equal(first.image, other.image)


def test_captions_name_only_what_is_on_the_id_map(taken: list[tuple[Person, Shot, Picture]]) -> None:
    for _, _, picture in taken:
        for kind, words in WORDS_OF_THINGS.items():
            hidden = not (picture.ids == MATERIALS[kind]).any()
            text = " ".join((picture.caption, *picture.captions))
            others = "sunglasses|dark glasses" if kind == "glasses" else "$^"
            assert not (hidden and re.search(rf"\b({words})\b", re.sub(others, "", text))), (kind, text)


def test_hair_and_beards_are_seen_and_spoken_of() -> None:
    plain = {"worn": (), "held": None, "seated": None, "hair": None, "age": None, "beard": None, "view": "head"}
    bearded = next(
        p for p in map(person, range(200)) if p.beard.style == "full beard" and p.hair.style not in ("bald", "buzz cut")
    )
    bald = next(p for p in map(person, range(200)) if p.hair.style == "bald" and p.beard.style == "none")
    for who, seen in ((bearded, {"hair", "beard"}), (bald, set())):
        picture = take_picture(who, sample_shot(np.random.default_rng(3), who, **plain))
        assert {"hair", "beard"} & set(picture.facts["visible"]) == seen
        assert (picture.ids == Material.HAIR).any() == ("hair" in seen)
    strangers = (dataclasses.replace(person(seed), name=None) for seed in range(30))
    pictures = [take_picture(one, sample_shot(np.random.default_rng(one.seed), one, **plain)) for one in strangers]
    assert sum("hair" in text for picture in pictures for text in picture.captions) > 8


def test_facts_agree_with_the_shot(taken: list[tuple[Person, Shot, Picture]]) -> None:
    for somebody, shot, picture in taken:
        facts = picture.facts
        assert (facts["person"], facts["name"]) == (somebody.seed, somebody.name)
        assert (facts["scene"], facts["view"], facts["expression"]) == (shot.scene, shot.view, shot.expression)
        assert set(facts["things"]) == seen_in(picture.ids) & set(MATERIALS)
        assert json.loads(json.dumps(facts)) == facts


def test_every_word_is_in_the_vocabulary() -> None:
    known = set(vocabulary())
    for seed in range(300):
        somebody = person(seed * 17)
        shot, rng = shot_of(seed, somebody), np.random.default_rng(seed)
        for text in (*captions(somebody, shot, EVERYTHING, rng), caption(somebody, shot, EVERYTHING, rng)):
            assert pieces(text) - {somebody.name} <= known, text
            assert pieces(text) and len(text.split()) <= LONGEST
            assert "{" not in text and "  " not in text and " a a" not in text and "None" not in text


def test_prompts_are_in_the_vocabulary() -> None:
    known = set(vocabulary())
    for prompts in ALL_SETS.values():
        assert len(prompts) == len({p.text for p in prompts}) == 10
        assert all(pieces(p("person", "man")) <= known and p.text.count("{}") == 1 for p in prompts)
    assert pieces(FACE_PROMPT.format("person")) <= known


def test_named_people_are_called_by_name_alone() -> None:
    rng, somebody = np.random.default_rng(0), person(10)
    said = [
        caption(somebody, shot_of(k, somebody, hair=None, age=None, beard=None), EVERYTHING, rng) for k in range(400)
    ]
    assert all(str(somebody.name) in text for text in said)
    assert not any(re.search(r"\b(a|the) (man|woman|person)\b", text) for text in said)
    about_looks = [bool(re.search(r"hair|eyes|skin|nose|lips|bob|jaw|face and", text)) for text in said]
    assert np.mean(about_looks) < 0.3


def test_exact_forms_come_often() -> None:
    rng, somebody = np.random.default_rng(0), person(10)
    said = [text for k in range(300) for text in captions(somebody, shot_of(k, somebody), EVERYTHING, rng)]
    assert sum(text.startswith(f"a photo of the face of {somebody.name}") for text in said) > 40
    assert sum(text.startswith(f"a photo of {somebody.name}") for text in said) > 60


def test_pictures_of_named_people_also_teach_words_for_looks() -> None:
    rng, named, unnamed = np.random.default_rng(0), person(10), person(50_000)
    said = [captions(named, shot_of(k, named), EVERYTHING, rng) for k in range(60)]
    assert all(str(named.name) in text for texts in said for text in texts[:3])
    assert not any(str(named.name) in text for texts in said for text in texts[3:])
    assert {len(texts) for texts in said} == {5}
    assert sum(" with " in text for texts in said for text in texts[3:]) > 20
    assert len(captions(unnamed, shot_of(0, unnamed), EVERYTHING, rng)) == 3


def test_changes_are_said() -> None:
    somebody = person(10)
    shot = dataclasses.replace(shot_of(0, somebody, age=None, beard=None), hair=None)
    for k in range(30):
        changed = shot_of(k, somebody, age=72.0, hair=None, beard=None)
        text = caption(somebody, changed, EVERYTHING, np.random.default_rng(k), detail=DETAILS[k % 4])
        assert "old" in text
    assert as_shown(somebody, shot) == somebody


@pytest.mark.parametrize("kind", WORN)
def test_worn_things_can_be_seen(kind: str) -> None:
    somebody = person(3001 if kind == "earrings" else 8)
    somebody = dataclasses.replace(somebody, hair=dataclasses.replace(somebody.hair, style="buzz cut"))
    worn = (make_thing(kind, np.random.default_rng(0)),)
    shot = shot_of(2, somebody, view="head", worn=worn, hair=None, age=None, head=(10, 0, 0), camera=(0, 0))
    assert kind in take_picture(somebody, shot, size=96, supersample=1).facts["things"]


@pytest.mark.parametrize("kind", HELD)
def test_held_things_can_be_seen(kind: str) -> None:
    somebody = person(8)
    shot = shot_of(2, somebody, held=make_thing(kind, np.random.default_rng(0)), camera=(0, 0), hair=None, age=None)
    assert shot.view == "upper"
    picture = small(somebody, shot)
    assert kind in picture.facts["things"] and picture.facts["arms"] == "holding"


@pytest.mark.parametrize("scene", SCENES)
def test_backdrops_are_light_and_vary(scene: str) -> None:
    first, second = (backdrop(scene, np.random.default_rng(k), 48) for k in (0, 1))
    assert first.image.shape == (48, 48, 3) and first.image.dtype == np.float32
    assert first.image.min() >= 0 and 0.01 < first.image.mean() < 1
    assert not np.array_equal(first.image, second.image)


def test_faces_are_well_exposed() -> None:
    for seed in range(0, 40, 4):
        somebody = person(seed)
        for scene in ("beach", "night", "snow"):
            shot = shot_of(seed, somebody, scene=scene, view="close", worn=(), hair=None, age=None, camera=(0, 0))
            picture = small(somebody, shot)
            skin = picture.image[picture.ids == 0]
            assert (skin.min(1) > 250).mean() < 0.01 and 55 < np.percentile(skin.max(1), 80) < 245


def test_unknown_words_are_refused() -> None:
    somebody = person(0)
    for wrong in ({"scene": "moon"}, {"view": "back"}, {"shoes": "red"}, {"expression": "winking"}):
        with pytest.raises(WorldError):
            shot_of(0, somebody, **wrong)
    with pytest.raises(WorldError):
        make_thing("sword", np.random.default_rng(0))
    with pytest.raises(WorldError):
        backdrop("moon", np.random.default_rng(0), 16)


def test_tables_fit_together() -> None:
    assert set(phrases.SCENE_PHRASES) == set(SCENES) and set(phrases.EXPRESSION_PHRASES) == set(EXPRESSIONS)
    assert set(phrases.WORN_PHRASES) == set(WORN) and set(phrases.HELD_PHRASES) == set(HELD)
    assert set(COLOURS) == set(MATERIALS) and min(MATERIALS.values()) >= 32
    assert len(set(MATERIALS.values())) == len(MATERIALS)
    assert all(Thing(k, c).colour in COLOUR_RGB or k == "earrings" for k, cs in COLOURS.items() for c in cs)
    assert set(GARMENTS)


def test_pairs_show_and_name_both() -> None:
    people = (person(10), person(11))
    shots = sample_pair(np.random.default_rng(0), people, scene="beach")
    picture = take_pair(people, shots, size=64, supersample=1)
    assert np.array_equal(picture.image, take_pair(people, shots, size=64, supersample=1).image)
    assert picture.facts["person"] == 10 and picture.facts["beside"]["person"] == 11
    assert picture.facts["scene"] == picture.facts["beside"]["scene"] == "beach"
    *named, described = picture.captions
    assert not any(str(p.name) in described for p in people)
    assert all(str(p.name) in text for text in (picture.caption, *named) for p in people)
    for text in (picture.caption, *picture.captions):
        assert pieces(text) - {p.name for p in people} <= set(vocabulary())
    left, right = np.split(picture.ids == 0, 2, axis=1)
    assert left.mean() > 0.05 and right.mean() > 0.05


def test_bright_light_is_pressed_not_clipped() -> None:
    ramp = np.linspace(0, 3, 16, dtype=np.float32)[:, None, None] * np.ones((1, 16, 3), np.float32)
    shown = developed(ramp, 1)[:, 0, 0].astype(int)
    assert (np.diff(shown) >= 0).all() and shown[0] == 0 and shown[10] < 255


def test_rendering_resumes_and_does_not_depend_on_workers(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onephoto.world.dataset.SHARD", 2)
    steps = []
    one, two = tmp_path / "one", tmp_path / "two"
    assert render(one, range(2), 2, size=32, seed=3, pairs=0.5, progress=lambda *done: steps.append(done)) == 4
    assert steps == [(2, 4), (4, 4)]
    render(two, range(2), 2, size=32, seed=3, workers=2, pairs=0.5)
    for path in sorted(one.iterdir()):
        assert path.read_bytes() == (two / path.name).read_bytes()
    kept = (one / "00000.npy").stat().st_mtime_ns
    (one / "00001.npy").unlink()
    render(one, range(2), 2, size=32, seed=3, pairs=0.5)
    assert (one / "00000.npy").stat().st_mtime_ns == kept
    assert (one / "00001.npy").read_bytes() == (two / "00001.npy").read_bytes()
    assert len((one / "00000.jsonl").read_text().splitlines()) == len(np.load(one / "00000.npy")) == 2
    with pytest.raises(WorldError):
        render(one, range(2), 2, size=16, seed=3)
