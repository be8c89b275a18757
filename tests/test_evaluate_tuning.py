import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from test_evaluate import BrightJudge
from tiny import tiny_backbone
from typer.testing import CliRunner

from onephoto import comparison
from onephoto.cli import app
from onephoto.cli import compare as compare_command
from onephoto.cli import study as study_command
from onephoto.errors import SettingError
from onephoto.evaluate import plan
from onephoto.evaluate.measure import Judges
from onephoto.evaluate.people import sitter
from onephoto.evaluate.plan import Variant
from onephoto.evaluate.report import Results
from onephoto.evaluate.rows import Row
from onephoto.evaluate.tuning import GRID, best_line, fits, scaled, seconds_spent, spend, variants_to_try
from onephoto.generate.draw import DrawSettings
from onephoto.methods import get_method, method_names


class NamedJudge(BrightJudge):
    name = "bright"


def test_all_rates_and_all_steps_are_scaled_together() -> None:
    learning = {"steps": 100, "word_steps": 10, "learning_rate": 0.002, "word_rate": 0.1, "batch_size": 8}
    assert scaled(learning, 0.5, 3) == {
        "steps": 50, "word_steps": 5, "learning_rate": 0.006, "word_rate": 0.3, "batch_size": 8,
    }  # fmt: skip


@pytest.mark.parametrize("method", method_names())
def test_what_is_tried_are_settings_of_the_method(method: str) -> None:
    tuning = comparison.tuning_plan(tiny_backbone("sd1"), method, settings=DrawSettings(steps=1), people=(1,))
    assert len({variant.name for variant in tuning.variants}) == len(tuning.variants) == len(GRID)
    for variant in tuning.variants:
        get_method(method).settings(**variant.learning)
    assert tuning.variants[0].learning == comparison.resolved(Variant(method, method)).learning


def test_settings_that_come_out_equal_are_tried_once() -> None:
    assert len(variants_to_try(Variant("sefi", "sefi", {"steps": 1, "learning_rate": 0.001}))) == 6


def test_rates_can_be_scaled_by_given_factors_alone() -> None:
    variant = Variant("sefi", "sefi", {"steps": 6, "learning_rate": 0.003})
    tried = variants_to_try(variant, [1 / 3, 1.0, 3.0])
    assert [one.learning["learning_rate"] for one in tried] == [0.003, 0.001, 0.009]
    assert {one.learning["steps"] for one in tried} == {6}


def test_a_factor_that_is_none_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["tune", "sefi", str(tmp_path), "--rate", "3", "--rate", "0"])
    assert isinstance(result.exception, SettingError) and str(result.exception) == "--rate 0: give a number above 0"


def test_nothing_is_begun_that_would_not_end_in_time(tmp_path: Path) -> None:
    assert fits(tmp_path, 0)
    spend(tmp_path, "a", 100)
    spend(tmp_path, "b", 50)
    assert seconds_spent(tmp_path) == {"a": 100, "b": 50}
    assert fits(tmp_path, 3.75) and not fits(tmp_path, 3.7)


def test_who_is_told_apart_counts_more_than_clean_faces_of_nobody() -> None:
    row = Row(
        method="a", person=1, second_person=None, set="scene", number=0, prompt="", seed=0, faces=1, detect=1.0,
        distance=0.5, to_second=0.5, id=0.5, similarity=0.3, passes=True, id_p=0.5, subject="person", model="",
        weights="", learning="", drawing="", judge="", versions="", told_apart=0.5,
    )  # fmt: skip
    told, hidden = (
        replace(row, method="b", id_p=0.4, told_apart=0.8),
        replace(row, method="c", told_apart=0.9, passes=False),
    )
    variants = tuple(Variant(name, "sefi") for name in "abc")
    results = Results(Path(), {}, variants, (row, told, hidden), (), {1: sitter(90_000)})
    assert best_line(results).method == "b"


@pytest.fixture
def tiny_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that open the tiny model, and learn one or two steps."""
    backbone = replace(tiny_backbone("sd1"), model_id="tiny")
    opened = lambda *_, **__: (backbone, Judges(prompt=NamedJudge()))  # noqa: E731
    for module in (compare_command, study_command):
        monkeypatch.setattr(module, "opened", opened)
    few = {name: {"steps": 2} for name in method_names()}
    monkeypatch.setattr(plan, "_learning", lambda model: few)


def ran(*words: str) -> str:
    return CliRunner().invoke(app, [*words, "--steps", "1"], catch_exceptions=False).output


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.usefixtures("tiny_command")
def test_a_tuning_is_stopped_in_time_goes_on_and_names_its_best(tmp_path: Path) -> None:
    asked = ("tune", "textual-inversion", str(tmp_path), "--people", "2", "--prompts", "3")
    assert "left out" in ran(*asked, "--minutes", "0")
    tried = seconds_spent(tmp_path)
    assert list(tried) == ["textual-inversion-2-steps-at-0.002"]
    ran(*asked, "--minutes", "1000")
    assert len(seconds_spent(tmp_path)) == 7 and seconds_spent(tmp_path).items() >= tried.items()
    text = (tmp_path / "tuned.toml").read_text()
    chosen = tomllib.loads(text)["tiny"]["textual-inversion"]
    assert set(chosen) == {"steps", "learning_rate"} and text.count("# textual-inversion-") == 7
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 1 + 7 * 2 * 3


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.usefixtures("tiny_command")
def test_settings_that_fail_are_told_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learning = comparison.Learning

    def failing(*given, **options):
        if given[2].settings["learning_rate"] > 0.01:
            raise SettingError("not finite")
        return learning(*given, **options)

    monkeypatch.setattr(comparison, "Learning", failing)
    asked = ("tune", "textual-inversion", str(tmp_path), "--people", "1", "--prompts", "2")
    assert "at-0.06: not finite" in ran(*asked, "--minutes", "1000")
    assert (tmp_path / "tuned.toml").read_text().count("# textual-inversion-") == 3
    with pytest.raises(SettingError, match="begun with another"):
        ran(*asked, "--seed", "1")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.usefixtures("tiny_command")
def test_two_quick_runs_give_the_same_table(tmp_path: Path) -> None:
    for name in ("first", "second"):
        assert "report.html" in ran("compare", str(tmp_path / name), "--quick").replace("\n", "")
    first, second = ((tmp_path / name / "rows.csv").read_bytes() for name in ("first", "second"))
    assert first == second and len(first.splitlines()) == 1 + 4 * 3 * 10
    record = json.loads((tmp_path / "first" / "run.json").read_text())
    assert list(record["variants"]) == ["base", *method_names()[:3]]


def test_a_method_is_compared_under_a_preset() -> None:
    methods = ("sefi", "sefi:fast", "sefi:paper")
    backbone = replace(tiny_backbone("sd1"), model_id="mini")
    found = comparison.compare_plan(backbone, methods, settings=DrawSettings(steps=1), people=(1,)).variants[1:]
    assert [variant.name for variant in found] == ["sefi", "sefi-fast", "sefi-paper"]
    assert [variant.method for variant in found] == ["sefi"] * 3
    assert [variant.learning["steps"] for variant in found] == [100, 60, 500]
