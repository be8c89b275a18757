from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import tiny_backbone

from onephoto import api
from onephoto.evaluate.benchmark import Plan, Row, run, write_table
from onephoto.evaluate.metrics import (
    area_under_curve,
    bootstrap_interval,
    copying,
    distances,
    likeness,
    likeness_where,
)
from onephoto.evaluate.people import Sitter, sitter
from onephoto.evaluate.report import floor_and_ceiling, summary
from onephoto.generate.draw import DrawSettings
from onephoto.identity.file import IdentityFile


class BrightJudge:
    """Calls bright pictures fitting."""

    def prompt_similarity(self, images, texts):
        return [float(np.asarray(image).mean()) / 255 for image in images]

    def prompt_passes(self, images, texts):
        return [np.asarray(image).mean() > 127 for image in images]


@pytest.fixture(scope="module")
def sitters() -> dict[int, Sitter]:
    return {seed: sitter(seed) for seed in (90_000, 90_001)}


PLAN = Plan(methods=("sefi", "textual-inversion"), people=(90_000, 90_001), sets=("scene", "action"), prompts_each=2)


def test_a_face_that_is_not_found_counts_as_unlike() -> None:
    vectors = np.stack([np.zeros(128), np.full(128, np.nan), np.full(128, 1.0)])
    assert likeness(distances(np.zeros(128), vectors)).tolist() == [1.0, 0.0, 0.0]
    assert likeness_where(np.array([True, False]), np.array([0.5, 0.9])).tolist() == [0.5, 0.0]


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
    learned, painted = [], []

    def learn(one: Sitter, method: str) -> IdentityFile:
        learned.append((one.person.seed, method))
        if len(learned) == 3:
            raise KeyboardInterrupt
        return IdentityFile("sitter", "person", method, {}, {"person": one.person.seed, "base": {}})

    def paint(text: str, identity: IdentityFile, seed: int) -> Image.Image:
        assert "<sitter>" in text
        painted.append(text)
        one = sitters[identity.metadata["person"]]
        return one.photo if identity.method == "sefi" else Image.new("RGB", (128, 128), "white")

    options = {"sitters": sitters, "learn": learn, "paint": paint, "judge": BrightJudge()}
    with pytest.raises(KeyboardInterrupt):
        list(run(PLAN, tmp_path, **options))
    rows = [row for part in run(PLAN, tmp_path, **options) for row in part]
    assert len(learned) == 5 and len(painted) == 16 == len(rows)
    again = [row for part in run(PLAN, tmp_path, **options) for row in part]
    assert len(learned) == 5 and len(painted) == 16
    np.testing.assert_equal([vars(row) for row in again], [vars(row) for row in rows])

    copied, blank = sorted(summary(rows, list(sitters.values())), key=lambda line: line.method)
    assert copied.detect == 1 and copied.id == pytest.approx(1) and copied.copy > 0
    assert blank.detect == 0 and blank.id == blank.id_p == 0 and blank.passes == 1
    write_table(rows, tmp_path / "rows.csv")
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 17


def test_both_methods_learn_and_draw_through_the_product(tmp_path: Path, sitters: dict[int, Sitter]) -> None:
    plan = Plan(methods=PLAN.methods, people=(90_000,), sets=("scene",), prompts_each=1)
    options = {method: {"steps": 1} for method in plan.methods}
    parts = api.compare(
        tiny_backbone("sd1"), plan, tmp_path, settings=DrawSettings(steps=1), sitters=sitters, judge=BrightJudge(),
        learning=options,
    )  # fmt: skip
    rows: list[Row] = [row for part in parts for row in part]
    assert [row.method for row in rows] == list(plan.methods)
    assert all(row.bytes > 1000 and row.seconds > 0 for row in rows)
    assert len(list((tmp_path / "pictures").rglob("*.png"))) == 2
