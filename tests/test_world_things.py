import dataclasses
import json
import re

import numpy as np
import pytest

from onephoto.errors import WorldError
from onephoto.evaluate.facts import visible_facts
from onephoto.world import thing_phrases
from onephoto.world.captions import LONGEST, vocabulary
from onephoto.world.dataset import pictures_of, render, shards_of
from onephoto.world.drawing import Material
from onephoto.world.names import NAMED_THINGS
from onephoto.world.picture import Picture
from onephoto.world.props import MATERIALS
from onephoto.world.sculpt import Lump, chain, ellipsoid, sculpted
from onephoto.world.sheet import contact_sheet
from onephoto.world.thing_parts import NUMBERS, figures_of
from onephoto.world.thing_picture import features_seen, sample_view, side_of, take_thing
from onephoto.world.things import KINDS, Thing, features, thing

EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


def small(one: Thing, seed: int = 0, **fixed: object) -> Picture:
    return take_thing(one, sample_view(np.random.default_rng(seed), one, **fixed), size=64, supersample=1)


def pieces(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+|[^\sa-z]+", text))


@EVERY_KIND
def test_a_thing_follows_from_its_seed(kind: str) -> None:
    assert thing(kind, 5) == thing(kind, 5) and hash(thing(kind, 5)) == hash(thing(kind, 5))
    drawn = [dataclasses.replace(thing(kind, seed), seed=0, name=None) for seed in range(3000)]
    assert len(set(drawn)) == 3000
    assert thing(kind, 0).name and thing(kind, NAMED_THINGS).name is None
    assert f"seed={5}" in repr(thing(kind, 5))


@EVERY_KIND
def test_colour_form_and_pattern_alone_tell_many_things_apart(kind: str) -> None:
    words = set()
    for seed in range(2000):
        one = thing(kind, seed)
        words.add((one.form, one.colour, *sorted((f.word, f.colour or "") for f in features(one))))
    assert len(words) > 1000


@EVERY_KIND
def test_same_view_same_pixels_and_another_thing_looks_otherwise(kind: str) -> None:
    one, other = thing(kind, 1), thing(kind, 2)
    first, second = small(one, 3), small(one, 3)
    assert np.array_equal(first.image, second.image) and np.array_equal(first.ids, second.ids)
    assert first.captions == second.captions and first.facts == second.facts
    assert not np.array_equal(first.image, small(other, 3).image)


@EVERY_KIND
def test_a_thing_is_seen_whole_and_large(kind: str) -> None:
    for seed in range(8):
        picture = small(thing(kind, seed), seed)
        shown = picture.ids != Material.BACKGROUND
        assert 0.08 < shown.mean() < 0.75
        assert not shown[0].any() and not shown[:, 0].any() and not shown[:, -1].any()
        assert np.array_equal(np.isfinite(picture.depth), shown)
        assert set(np.unique(picture.ids)) - {Material.BACKGROUND} <= set(NUMBERS.values())


@EVERY_KIND
def test_captions_say_only_what_is_on_the_id_map(kind: str) -> None:
    for seed in range(12):
        one = thing(kind, 70 + seed)
        picture = small(one, seed)
        shown = {feature.word for feature in features_seen(one, picture.ids)}
        text = " ".join((picture.caption, *picture.captions))
        for feature in features(one):
            alone = feature.word in ("collar", "scarf", "cushion", "belly", "spoiler", "spare wheel", "trunk", "bow")
            if alone and feature.word not in shown:
                assert not re.search(rf"\b{feature.word}\b", text), text
        assert picture.facts["features"].keys() == shown
        assert json.loads(json.dumps(picture.facts)) == picture.facts


@EVERY_KIND
def test_every_word_is_in_the_vocabulary(kind: str) -> None:
    known = set(vocabulary())
    for seed in range(60):
        one = thing(kind, 3 * seed)
        picture = small(one, seed) if seed < 6 else None
        for text in (picture.caption, *picture.captions) if picture else ():
            assert pieces(text) - {one.name} <= known, text
            assert len(text.split()) <= LONGEST and "{" not in text and "None" not in text
            assert not re.search(r"\ba [aeiou]", text), text
        assert {feature.word for feature in features(one)} <= set(thing_phrases.FEATURES)
        assert one.form in thing_phrases.FORM_NOUNS and one.colour in thing_phrases.COLOUR_RGB


@EVERY_KIND
def test_things_with_names_are_called_by_them(kind: str) -> None:
    named, unnamed = small(thing(kind, 3)), small(thing(kind, 3000))
    assert all(str(thing(kind, 3).name) in text for text in (named.caption, *named.captions[:3]))
    assert not any(str(thing(kind, 3).name) in text for text in named.captions[3:])
    assert (len(named.captions), len(unnamed.captions)) == (5, 3)


def test_a_collar_behind_the_frame_is_not_spoken_of() -> None:
    one = next(d for d in (thing("dog", seed) for seed in range(50)) if any(f.word == "collar" for f in features(d)))
    ids = np.full((8, 8), NUMBERS["dog"], np.uint8)
    assert "collar" not in {feature.word for feature in features_seen(one, ids)}
    ids[0] = NUMBERS["collar"]
    assert "collar" in {feature.word for feature in features_seen(one, ids)}


def test_numbers_of_parts_are_their_own() -> None:
    assert not set(NUMBERS.values()) & set(MATERIALS.values())
    assert len(set(NUMBERS.values())) == len(NUMBERS) and max(NUMBERS.values()) < 255


def test_of_things_only_the_scene_is_a_fact_about_people() -> None:
    assert visible_facts(small(thing("car", 0), scene="beach").facts) == {"scene": "beach"}


def test_unknown_words_are_refused() -> None:
    with pytest.raises(WorldError, match="known: plush toy"):
        thing("boat", 0)
    with pytest.raises(WorldError):
        thing("car", -1)
    for wrong in ({"scene": "moon"}, {"pose": "flying"}, {"lens": 3}):
        with pytest.raises(WorldError):
            sample_view(np.random.default_rng(0), thing("dog", 0), **wrong)


def test_sides_are_named_by_where_the_camera_is() -> None:
    view = sample_view(np.random.default_rng(0), thing("car", 0))
    turned = {yaw: side_of(dataclasses.replace(view, camera=(yaw, 9.0))) for yaw in (0, -20, 40, 90, -90, 170)}
    assert turned == {0: "front", -20: "front", 40: None, 90: "side", -90: "side", 170: "back"}


def test_sculpted_surfaces_are_closed_and_face_outwards() -> None:
    lumps = [ellipsoid((0, 1, 0), (1, 0.8, 1.2)), Lump((0, 1.5, 0), (0, 2.5, 0.4), (0.5, 0.3)),
             *chain([(0.5, 1, 0), (0.6, 0.5, 0), (0.6, 0, 0.2)], (0.2, 0.15, 0.1))]  # fmt: skip
    solid = sculpted(lumps, blend=0.2, cell=0.08)
    edges = np.concatenate([solid.triangles[:, [k, (k + 1) % 3]] for k in range(3)])
    _, shared = np.unique(np.sort(edges, axis=1), axis=0, return_counts=True)
    assert (shared == 2).all()
    a, b, c = (solid.points[solid.triangles[:, k]] for k in range(3))
    assert np.einsum("ij,ij->", a, np.cross(b, c)) / 6 > 0
    away = np.min([lump.distance(solid.points) for lump in lumps], 0)
    assert np.abs(away[away < 0.05]).max() < 0.08


def test_a_ball_has_the_volume_of_a_ball() -> None:
    solid = sculpted([ellipsoid((0.3, 0.1, 0), (1, 1, 1))], blend=0.1, cell=0.06)
    a, b, c = (solid.points[solid.triangles[:, k]].astype(float) for k in range(3))
    assert np.einsum("ij,ij->", a, np.cross(b, c)) / 6 == pytest.approx(4 / 3 * np.pi, rel=0.01)


@EVERY_KIND
def test_things_stand_on_the_ground(kind: str) -> None:
    for seed in range(5):
        for pose in KINDS[kind].poses:
            parts = KINDS[kind].parts_of(thing(kind, seed), pose)
            lowest = figures_of(parts, np.random.default_rng(0))[0].mesh.positions[:, 1].min()
            assert -0.12 < lowest < 0.1


def test_a_share_of_things_leaves_the_other_pictures_as_they_are() -> None:
    plain, mixed = (shards_of(range(2), 4, size=32, seed=1, things=share)[0] for share in (0.0, 0.5))
    both = list(zip(pictures_of(plain), pictures_of(mixed), strict=True))
    shown = ["kind" in second.facts for _, second in both]
    assert 0 < sum(shown) < len(both)
    for thing_shown, (first, second) in zip(shown, both, strict=True):
        assert thing_shown or np.array_equal(first.image, second.image)


def test_a_folder_of_things_and_its_settings(tmp_path) -> None:
    assert render(tmp_path, range(2), 1, size=32, subject="chair") == 2
    lines = (tmp_path / "00000.jsonl").read_text().splitlines()
    assert [json.loads(line)["facts"]["kind"] for line in lines] == ["chair", "chair"]
    with pytest.raises(WorldError, match="other settings"):
        render(tmp_path, range(2), 1, size=32)
    with pytest.raises(WorldError, match="known: person"):
        render(tmp_path / "other", range(2), 1, subject="boat")
    assert contact_sheet(range(2), 3, size=32, subject="dog").size == (96, 64)


def test_people_can_share_a_row_of_a_sheet() -> None:
    narrow, wide = (np.asarray(contact_sheet(range(3), 2, size=32, subject="car", across=n)) for n in (1, 2))
    assert narrow.shape == (96, 64, 3) and wide.shape == (64, 128, 3)
    assert np.array_equal(narrow[32:64], wide[:32, 64:]) and not wide[32:, 64:].any()
