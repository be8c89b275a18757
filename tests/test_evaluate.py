import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import tiny_backbone

from onephoto import comparison
from onephoto.errors import SettingError
from onephoto.evaluate.benchmark import Tools, run
from onephoto.evaluate.compare_page import write_page
from onephoto.evaluate.facts import looks_kept, looks_of
from onephoto.evaluate.measure import Judges, measured
from onephoto.evaluate.metrics import (
    area_under_curve,
    assigned,
    bootstrap_interval,
    copying,
    distances,
    inside,
    likeness,
    likeness_where,
    told_apart,
)
from onephoto.evaluate.people import Sitter, sitter
from onephoto.evaluate.plan import BASE, Plan, Variant, learning_settings
from onephoto.evaluate.prompt_sets import prompt_sets
from onephoto.evaluate.report import (
    floor_and_ceiling,
    gather,
    lead_of_ours,
    shared_cells,
    summary,
)
from onephoto.evaluate.rows import Cost, Row, load_rows, write_table
from onephoto.evaluate.words import notes_of
from onephoto.generate.draw import DrawSettings
from onephoto.generate.refine import Faces
from onephoto.identity.file import IdentityFile
from onephoto.methods import get_method, method_names
from onephoto.world.people import person
from onephoto.world.prompts import Prompt


class BrightJudge:
    """Calls bright pictures fitting."""

    def prompt_similarity(self, images, texts):
        return [float(np.asarray(image).mean()) / 255 for image in images]

    def prompt_passes(self, images, texts):
        return [np.asarray(image).mean() > 127 for image in images]


class OneReading:
    """Reads the same in every picture."""

    def __init__(self, **facts: object) -> None:
        self.facts = facts

    def read(self, images):
        return [self.facts for _ in images]


JUDGES = Judges(prompt=BrightJudge())


@pytest.fixture(scope="module")
def sitters() -> dict[int, Sitter]:
    return {seed: sitter(seed) for seed in (90_000, 90_001)}


COPIED, BLANK = Variant("sefi", "sefi"), Variant("textual-inversion", "textual-inversion")
PLAN = Plan(
    variants=(Variant(BASE, BASE), COPIED, BLANK), people=(90_000, 90_001), sets=("scene", "two people"),
    prompts_each=2, attention_people=0,
)  # fmt: skip


class Studio:
    """Learns and paints in no time: ours shows the photo itself, all else is white; remembers what it was asked."""

    def __init__(self, sitters: dict[int, Sitter], *, stop_at: int = 0, alone: tuple[str, ...] = ()):
        self.sitters, self.stop_at, self.alone = sitters, stop_at, alone
        self.learned: list[tuple[int, str]] = []
        self.painted: list[tuple[str, str, int]] = []

    def tools(self, judge: object = None) -> Tools:
        return Tools(
            learn=self.learn, paint=self.paint, judges=Judges(prompt=judge or BrightJudge()),
            impossible=self.impossible,
        )  # fmt: skip

    def impossible(self, variant: Variant, count: int, subject: str) -> str:
        return "it paints one at a time" if count > 1 and variant.method in self.alone else ""

    def learn(self, one: Sitter, variant: Variant) -> IdentityFile:
        self.learned.append((one.person.seed, variant.name))
        if len(self.learned) == self.stop_at:
            raise KeyboardInterrupt
        return IdentityFile("x", "person", variant.method, {}, {"person": one.person.seed, "base": {}, "seed": 0})

    def paint(self, texts: list[str], identities: list[IdentityFile], seeds: list[int]) -> list[Image.Image]:
        return [self.paint_one(text, identities, seed) for text, seed in zip(texts, seeds, strict=True)]

    def paint_one(self, text: str, identities: list[IdentityFile], seed: int) -> Image.Image:
        self.painted.append((text, "+".join(one.name for one in identities), seed))
        if not identities or identities[0].method != "sefi":
            return Image.new("RGB", (128, 128), "white")
        photos = [self.sitters[one.metadata["person"]].photo for one in identities]
        canvas = Image.new("RGB", (256 * len(photos), 256))
        for place, photo in enumerate(photos):
            canvas.paste(photo, (256 * place, 0))
        return canvas


def rows_of(folder: Path, studio: Studio, plan: Plan = PLAN, judge: object = None) -> list[Row]:
    return [row for part in run(plan, folder, sitters=studio.sitters, tools=studio.tools(judge)) for row in part]


def test_a_face_that_is_not_found_counts_as_unlike() -> None:
    vectors = np.stack([np.zeros(128), np.full(128, np.nan), np.full(128, 1.0)])
    assert likeness(distances(np.zeros(128), vectors)).tolist() == [1.0, 0.0, 0.0]
    assert likeness_where(np.array([True, False]), np.array([0.5, 0.9])).tolist() == [0.5, 0.0]


def test_told_apart_is_the_share_of_others_who_are_farther_and_half_without_a_face() -> None:
    assert told_apart(0.4, np.array([0.3, 0.4, 0.5, 0.6])) == 2.5 / 4
    assert told_apart(float("nan"), np.array([0.3])) == 0.5
    assert np.isnan(told_apart(0.4, np.array([])))


def test_looks_that_are_kept_are_a_share_of_what_the_prompt_leaves_to_the_person() -> None:
    bearded = (one for one in map(person, range(200)) if one.beard.style == "full beard")
    somebody = next(one for one in bearded if one.hair.style == "short")
    read = looks_of(somebody)
    assert read == {"sex": "man", "hair_length": "short", "hair_colour": somebody.hair.colour, "beard": "yes"}
    assert looks_kept(somebody, read, {}) == 1
    assert looks_kept(somebody, read | {"sex": "woman"}, {}) == 0.75
    assert looks_kept(somebody, read | {"beard": "no"}, {"thing": "cap"}) == 0.5
    assert looks_kept(somebody, read | {"beard": "no"}, {"beard": "no", "hair_colour": "red"}) == 1
    assert looks_kept(somebody, read | {"hair_colour": "white"}, {"age": "old"}) == 1


def test_stubble_is_neither_a_beard_nor_none_and_the_bald_have_no_colour() -> None:
    stubbly = next(one for one in map(person, range(200)) if one.beard.style == "stubble")
    assert "beard" not in looks_of(stubbly)
    bald = next(one for one in map(person, range(200)) if one.hair.style == "bald")
    assert looks_of(bald)["hair_length"] == "bald" and "hair_colour" not in looks_of(bald)
    dyed = looks_of(bald) | {"hair_length": "short", "hair_colour": "red"}
    assert looks_kept(bald, dyed, {"hair_colour": "red"}) == 1 and looks_kept(bald, dyed, {}) < 1


def test_looks_are_read_in_pictures_of_one_person_alone(sitters: dict[int, Sitter]) -> None:
    first, second = sitters.values()
    judges = replace(JUDGES, facts=OneReading(**looks_of(first.person)))
    shown = [[first], [first, second], [second]]
    kept = [row["looks"] for row in measured([first.photo] * 3, ["a"] * 3, shown, judges)]
    assert kept[0] == 1 and np.isnan(kept[1]) and kept[2] < 1
    assert np.isnan(measured([first.photo], ["a"], [[first]], JUDGES)[0]["looks"])


def test_looks_are_read_again_where_a_folder_does_not_have_them(tmp_path: Path, sitters: dict[int, Sitter]) -> None:
    rows_of(tmp_path, Studio(sitters))
    assert np.isnan(summary(gather(tmp_path))[0].looks)
    studio = Studio(sitters)
    tools = replace(studio.tools(), judges=replace(JUDGES, facts=OneReading(**looks_of(sitters[90_000].person))))
    for _ in range(2):
        list(run(PLAN, tmp_path, sitters=sitters, tools=tools))
    # Pictures of two people are among the rows, and say nothing of looks.
    assert 0.5 < summary(gather(tmp_path))[0].looks < 1 and not studio.painted


def test_copying_is_zero_when_the_pictures_are_as_like_to_both() -> None:
    assert copying(0.5, 0.5, 0.6) == 0
    assert copying(0.9, 0.5, 0.5) == pytest.approx(0.8)


def test_the_area_under_the_curve_counts_pairs() -> None:
    assert area_under_curve(np.array([0.1, 0.2]), np.array([0.3, 0.4])) == 1
    assert area_under_curve(np.array([0.1, 0.4]), np.array([0.3])) == 0.5
    assert area_under_curve(np.array([0.3]), np.array([0.3])) == 0.5


def test_the_interval_holds_the_mean_and_narrows_with_people() -> None:
    rng = np.random.default_rng(0)
    few, many = rng.normal(0.5, 0.1, 8), rng.normal(0.5, 0.1, 200)
    low, high = bootstrap_interval(few)
    assert low < few.mean() < high
    assert np.diff(bootstrap_interval(many)) < np.diff((low, high)) / 2
    assert bootstrap_interval(few) == bootstrap_interval(few)


def test_a_sitter_is_liker_to_the_own_second_picture_than_to_others(sitters: dict[int, Sitter]) -> None:
    floor, ceiling = floor_and_ceiling(list(sitters.values()))
    assert floor < ceiling


def test_the_benchmark_goes_on_where_it_was_and_counts_every_picture(
    tmp_path: Path, sitters: dict[int, Sitter]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        rows_of(tmp_path, Studio(sitters, stop_at=3))
    studio = Studio(sitters)
    rows = rows_of(tmp_path, studio)
    assert studio.learned == [(90_000, "textual-inversion"), (90_001, "textual-inversion")] and len(rows) == 24
    # The base's four pictures serve everybody; its first and ours were drawn before the interruption.
    assert len(studio.painted) == 4 + 4 + 4
    again = Studio(sitters)
    np.testing.assert_equal([vars(row) for row in rows_of(tmp_path, again)], [vars(row) for row in rows])
    assert not again.learned and not again.painted

    results = gather(tmp_path)
    copied, blank, base = summary(results)
    assert (copied.method, blank.method, base.method) == ("sefi", "textual-inversion", BASE)
    assert copied.detect == 1 and copied.id > 0.95 and copied.copy > 0 and copied.bytes > 0
    assert blank.detect == 0 and blank.id == blank.id_p == 0 and blank.passes == 1
    assert np.isnan(base.seconds) and np.isnan(blank.copy)
    lead = lead_of_ours(results)
    assert lead is not None and lead.second == "textual-inversion"
    assert lead.difference == pytest.approx(copied.id_p) and lead.certain == (copied.id_p > 0)


def test_prompts_of_the_base_name_the_class_and_others_the_people(tmp_path: Path, sitters: dict[int, Sitter]) -> None:
    studio = Studio(sitters)
    rows_of(tmp_path, studio)
    assert studio.painted[0] == ("a photo of a person at the beach", "", 0)
    assert ("a photo of a person and a person at the beach", "", 0) in studio.painted
    assert ("a photo of <sitter> with the sunset as backdrop", "sitter", 1) in studio.painted
    assert ("a photo of <sitter> and <other> at the beach", "sitter+other", 0) in studio.painted


def test_two_people_are_each_measured_on_a_face_of_their_own(tmp_path: Path, sitters: dict[int, Sitter]) -> None:
    rows = [row for row in rows_of(tmp_path, Studio(sitters)) if row.method == "sefi" and row.set == "two people"]
    assert all(row.faces == 2 and row.detect == 1 and row.id > 0.9 for row in rows)
    assert {(row.person, row.second_person) for row in rows} == {(90_000, 90_001), (90_001, 90_000)}


def test_what_a_method_cannot_draw_is_not_drawn_and_counts_for_nobody(
    tmp_path: Path, sitters: dict[int, Sitter]
) -> None:
    studio = Studio(sitters, alone=("textual-inversion",))
    rows = [row for row in rows_of(tmp_path, studio) if row.method == "textual-inversion"]
    failed = [row for row in rows if row.set == "two people"]
    assert len(failed) == 4 and all(row.impossible and np.isnan(row.similarity) and row.id_p == 0 for row in failed)
    assert len(studio.painted) == 4 + 2 * 2 + 2 * 4
    results = gather(tmp_path)
    # Everybody's means are over the set that all can draw.
    assert {(row.set, row.impossible) for name in ("sefi", "textual-inversion") for row in results.counted(name)} == {
        ("scene", "")
    }
    assert results.unable() == {("two people", "it paints one at a time"): ["textual-inversion"]}
    assert any("Textual Inversion in the set" in note for note in notes_of(results))
    html = write_page(results).read_text()
    assert "not possible" in html


def test_a_method_that_can_draw_nothing_has_no_numbers_and_costs_nobody_any(
    tmp_path: Path, sitters: dict[int, Sitter]
) -> None:
    plan = replace(PLAN, sets=("two people",))
    studio = Studio(sitters, alone=("textual-inversion",))
    rows_of(tmp_path, studio, plan)
    assert {name for _, name in studio.learned} == {"sefi"}
    results = gather(tmp_path)
    copied, unable, base = summary(results)
    assert copied.id > 0.9 and np.isnan([unable.id_p, unable.id, unable.prompt]).all() and base.method == BASE
    assert len(results.counted("sefi")) == 4 and lead_of_ours(results) is None
    assert "not possible" in write_page(results).read_text()


def test_another_comparison_is_refused_and_a_larger_one_goes_on(tmp_path: Path, sitters: dict[int, Sitter]) -> None:
    rows_of(tmp_path, Studio(sitters))
    for other in ({"seed": 1}, {"weights": "other"}, {"drawing": {"steps": 3}}):
        with pytest.raises(SettingError, match=next(iter(other))):
            rows_of(tmp_path, Studio(sitters), replace(PLAN, **other))
    other = replace(PLAN, variants=(replace(COPIED, learning={"steps": 3}),))
    with pytest.raises(SettingError, match="sefi"):
        rows_of(tmp_path, Studio(sitters), other)
    alone = replace(PLAN, sets=("scene",))
    rows_of(tmp_path / "alone", Studio(sitters), alone)
    with pytest.raises(SettingError, match="begun with another refining"):
        rows_of(tmp_path / "alone", Studio(sitters), replace(alone, refining={"strength": 0.5}))
    studio = Studio(sitters)
    larger = rows_of(tmp_path, studio, replace(PLAN, prompts_each=3))
    assert not studio.learned and len(studio.painted) == 2 + 2 * 2 * 2 and len(larger) == 36


def test_another_judge_judges_the_same_pictures_anew(tmp_path: Path, sitters: dict[int, Sitter]) -> None:
    class DarkJudge(BrightJudge):
        def prompt_passes(self, images, texts):
            return [False] * len(images)

    before = rows_of(tmp_path, Studio(sitters))
    studio = Studio(sitters)
    after = rows_of(tmp_path, studio, replace(PLAN, judge="dark"), DarkJudge())
    assert not studio.painted and any(row.passes for row in before) and not any(row.passes for row in after)
    assert all(row.id_p == 0 for row in after) and [row.id for row in after] == [row.id for row in before]


def test_tables_of_two_runs_are_equal(tmp_path: Path, sitters: dict[int, Sitter]) -> None:
    for name in ("first", "second"):
        write_table(rows_of(tmp_path / name, Studio(sitters)), tmp_path / f"{name}.csv")
    assert (tmp_path / "first.csv").read_bytes() == (tmp_path / "second.csv").read_bytes()
    header, *lines = (tmp_path / "first.csv").read_text().splitlines()
    assert len(lines) == 24
    assert {"seed", "prompt", "learning", "drawing", "weights", "judge", "versions"} <= set(header.split(","))
    write_table([Cost("sefi", 1, 2.5, 3)], tmp_path / "costs.csv")
    assert (tmp_path / "costs.csv").read_text() == "method,person,seconds,bytes\nsefi,1,2.5,3\n"


def test_a_method_still_under_way_is_compared_on_what_it_has_done(tmp_path: Path, sitters: dict[int, Sitter]) -> None:
    rows_of(tmp_path, Studio(sitters))
    (tmp_path / "rows" / "textual-inversion-90001.json").unlink()
    results = gather(tmp_path)
    assert results.people == (90_000,) and len(results.rows) == 12
    assert shared_cells(load_rows(tmp_path / "rows" / "sefi-90001.json")) != []


def test_prompts_are_taken_from_the_sets_in_turn() -> None:
    plan = Plan(variants=(COPIED,), people=(1,), prompts_total=10)
    assert [sum(item.set == name for item in plan.items()) for name in plan.sets] == [4, 3, 3]
    assert [item.seed for item in plan.items()] == [0, 1, 2, 3, 0, 1, 2, 0, 1, 2]
    with pytest.raises(SettingError, match="two people"):
        Plan(variants=(COPIED,), people=(1,), sets=("two people",))
    with pytest.raises(SettingError, match="no prompt set"):
        Plan(variants=(COPIED,), people=(1,), sets=("dreams",))


def test_both_kinds_of_words_have_the_same_sets() -> None:
    world, real = prompt_sets("world"), prompt_sets("real")
    assert list(world) == list(real) == ["scene", "attribute", "action", "two people", "object"]
    for sets in (world, real):
        assert all(len(prompts) == len({p.text for p in prompts}) == 10 for prompts in sets.values())
        assert {p.people for p in sets["two people"]} == {2} and {p.people for p in sets["action"]} == {1}
    with pytest.raises(SettingError, match="world or real"):
        prompt_sets("latin")


def test_settings_of_the_comparison_are_settings_of_their_methods() -> None:
    settings = learning_settings("mini")
    assert set(settings) <= set(method_names()) and not learning_settings("another/model")
    for method, known in settings.items():
        get_method(method).settings(**known)


def test_faces_are_matched_so_that_all_are_likest() -> None:
    photos, faces = np.array([[0.0, 0], [1, 0]]), np.array([[0.9, 0], [0.2, 0], [5, 5]])
    assert assigned(photos, faces) == [1, 0]
    assert assigned(photos, faces[:1]) == [None, 0]
    assert assigned(photos, np.zeros((0, 2))) == [None, None]


def test_the_share_of_a_map_inside_a_box() -> None:
    word_map = np.zeros((8, 8))
    word_map[2:4, 2:4] = 1
    assert inside(word_map, (0.25, 0.25, 0.5, 0.5)) == 1
    assert inside(word_map, (0.25, 0.25, 0.375, 1.2)) == 0.5
    assert inside(np.zeros((8, 8)), (0, 0, 1, 1)) == 0


def test_both_methods_learn_and_draw_through_the_product(tmp_path: Path, sitters: dict[int, Sitter]) -> None:
    backbone = tiny_backbone("sd1")
    plan = comparison.compare_plan(
        backbone, ("sefi", "textual-inversion"), settings=DrawSettings(steps=1), people=(90_000,), sets=("scene",),
        prompts_each=1, attention_prompt=Prompt("a photo of {}"),
    )  # fmt: skip
    assert plan.variants[1].learning["num_stages"] == 5
    short = tuple(replace(v, learning=dict(v.learning) | {"steps": 1} if v.learning else {}) for v in plan.variants)
    plan = replace(plan, variants=short)
    rows = [
        row for part in comparison.compare(backbone, plan, tmp_path, sitters=sitters, judges=JUDGES) for row in part
    ]
    assert [row.method for row in rows] == [BASE, "sefi", "textual-inversion"]
    recipe = json.loads(rows[1].learning)
    assert recipe["settings"]["steps"] == 1 and recipe["seed"] == 0 and rows[1].model == "tiny-sd1"
    assert len(list((tmp_path / "pictures").rglob("*.png"))) == 3
    assert len(list((tmp_path / "attention").glob("*.npz"))) == 3


def test_small_faces_are_drawn_again_where_asked_in_pictures_of_one_person(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sitters: dict[int, Sitter]
) -> None:
    asked: list[Faces | None] = []

    def generate(backbone, texts, identities, *, seeds, settings, faces):
        asked.append(faces)
        return [Image.new("RGB", (48, 48))] * len(texts)

    monkeypatch.setattr(comparison, "generate", generate)
    backbone, given = (
        tiny_backbone("sd1"),
        {"settings": DrawSettings(steps=1), "people": (90_000,), "attention_people": 0},
    )
    plan = comparison.compare_plan(backbone, (), refining=Faces(strength=0.3), sets=("scene",), prompts_each=1, **given)
    (rows,) = comparison.compare(backbone, plan, tmp_path, sitters=sitters, judges=JUDGES)
    assert asked == [Faces(strength=0.3)] and json.loads(rows[0].drawing)["refining"]["strength"] == 0.3
    for name in ("object", "two people"):
        with pytest.raises(SettingError, match="--refine-faces"):
            comparison.compare_plan(backbone, (), refining=Faces(), sets=(name,), **given)
    plain = comparison.compare_plan(backbone, (), sets=("scene",), prompts_each=1, **given)
    list(comparison.compare(backbone, plain, tmp_path / "plain", sitters=sitters, judges=JUDGES))
    assert asked[1:] == [None]


def test_weights_are_told_apart() -> None:
    first, second = (comparison.weights_digest(tiny_backbone("sd1")) for _ in range(2))
    assert first == second != comparison.weights_digest(tiny_backbone("sd2"))
