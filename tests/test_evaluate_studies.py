from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_evaluate import JUDGES, BrightJudge, Studio, rows_of
from tiny import tiny_backbone
from typer.testing import CliRunner

from onephoto import comparison
from onephoto.cli import app
from onephoto.errors import SettingError
from onephoto.evaluate.people import Sitter, sitter
from onephoto.evaluate.plan import Plan
from onephoto.evaluate.report import gather
from onephoto.evaluate.studies import STUDIES, Study, best_sentence, study, tokens_kept, with_class_word
from onephoto.evaluate.study_page import write_study
from onephoto.generate.draw import DrawSettings
from onephoto.identity.file import IdentityFile
from onephoto.methods.sefi import SefiSettings


@pytest.fixture(scope="module")
def sitters() -> dict[int, Sitter]:
    return {seed: sitter(seed) for seed in (90_000, 90_001)}


class Painter(Studio):
    """Shows the photo to the variants named, white to others."""

    def __init__(self, sitters: dict[int, Sitter], good: set[str]):
        super().__init__(sitters)
        self.good = good

    def tools(self, judge: object = None) -> object:
        edited = lambda identity, variant: replace(identity, metadata=identity.metadata | {"variant": variant.name})  # noqa: E731
        return replace(super().tools(judge), edit=edited)

    def paint_one(self, text: str, identities: list[IdentityFile], seed: int) -> Image.Image:
        self.painted.append((text, identities[0].name, seed))
        photo = self.sitters[identities[0].metadata["person"]].photo
        return photo if identities[0].metadata["variant"] in self.good else Image.new("RGB", (64, 64), "white")


class EasyJudge(BrightJudge):
    def prompt_passes(self, images, texts):
        return [True] * len(images)


def studied(folder: Path, asked: Study, sitters: Mapping[int, Sitter], good: set[str]) -> Painter:
    painter = Painter(dict(sitters), good)
    plan = Plan(
        variants=tuple(asked.variants.values()), people=tuple(sitters), sets=(asked.set,), prompts_each=2,
        study=asked.name, attention_people=0,
    )  # fmt: skip
    rows_of(folder, painter, plan, EasyJudge())
    return painter


def test_tokens_are_kept_by_side_and_stage() -> None:
    assert tokens_kept("KV2", 3).tolist() == [[True, True], [True, True], [False, False]]
    assert tokens_kept("K1", 2).tolist() == [[True, False], [False, False]]
    assert tokens_kept("V2", 2).tolist() == [[False, True], [False, True]]
    assert not tokens_kept("KV0", 5).any() and tokens_kept("KV5", 5).all()
    for senseless in ("", "3", "K6", "X1"):
        with pytest.raises(SettingError, match="names no tokens"):
            tokens_kept(senseless, 5)


def test_the_class_word_stands_where_tokens_are_left_out() -> None:
    pairs, word = torch.randn(3, 2, 8), torch.randn(2, 8)
    shown = with_class_word(pairs, word, tokens_kept("V2", 3))
    assert torch.equal(shown[:2, 1], pairs[:2, 1])
    torch.testing.assert_close(shown[:, 0], word.mean(dim=0).expand(3, -1))
    torch.testing.assert_close(shown[2, 1], word.mean(dim=0))


@pytest.mark.parametrize("name", list(STUDIES))
def test_every_study_is_made_of_settings_that_ours_has(name: str) -> None:
    asked = study(name)
    assert asked.reference in asked.variants
    for variant in asked.variants.values():
        settings = SefiSettings(**variant.learning)
        assert not variant.shown or tokens_kept(variant.shown, settings.num_stages).shape == (5, 2)
    steps, lines = asked.plotted()
    assert all(len(names) == len(steps) and set(names) <= set(asked.variants) for names in lines.values())
    names = [variant.name for variant in asked.variants.values()]
    assert len(set(names)) == len(names) and not any("/" in name for name in names)


def test_the_papers_values_are_swept() -> None:
    weights = [variant.learning["attention_weight"] for variant in study("lambda").variants.values()]
    assert weights == [0, 0.0001, 0.001, 0.003, 0.01, 0.05]
    assert [v.learning["num_stages"] for v in study("pairs").variants.values()] == [1, 3, 5, 7, 9, 10]
    with pytest.raises(SettingError, match="stages, keys-values, lambda"):
        study("dreams")


def test_a_study_learns_once_what_it_shows_in_parts(tmp_path: Path, sitters: dict[int, Sitter]) -> None:
    painter = studied(tmp_path, study("stages"), sitters, {"KV4", "KV5"})
    assert len(painter.learned) == 2 and len(painter.painted) == 2 * 6 * 2
    said = study("stages").sentence(study("stages"), gather(tmp_path))
    assert "stage 4 adds most" in said and "from the late ones" in said


def test_sides_are_compared_truly(tmp_path: Path, sitters: dict[int, Sitter]) -> None:
    studied(tmp_path, study("keys-values"), sitters, {"V4", "V5", "KV5"})
    assert "V tokens alone carry more" in study("keys-values").sentence(study("keys-values"), gather(tmp_path))


def test_where_neither_side_brings_likeness_the_sentence_says_so(tmp_path: Path, sitters: dict[int, Sitter]) -> None:
    studied(tmp_path, study("keys-values"), sitters, {"KV5"})
    assert "neither side alone" in study("keys-values").sentence(study("keys-values"), gather(tmp_path))


@pytest.mark.parametrize(
    ("good", "words"), [("split", "as the paper finds"), ("shared", "not with a pair as the paper")]
)
def test_the_sentence_says_who_is_best(tmp_path: Path, sitters: dict[int, Sitter], good: str, words: str) -> None:
    asked = study("split")
    name = f"shared_tokens-{good == 'shared'}"
    studied(tmp_path, asked, sitters, {name})
    said = best_sentence(asked, gather(tmp_path))
    assert words in said and "excludes 0" in said and asked.best(gather(tmp_path)) in said


@pytest.mark.parametrize(
    ("good", "words"),
    [
        ({"steps-500"}, "lose 100% of it, more than"), ({"steps-150", "steps-500"}, "lose 0% of it, within"),
        (set(), "No number of steps brings a likeness"),
    ],
)  # fmt: skip
def test_the_sentence_says_what_the_fast_preset_loses(
    tmp_path: Path, sitters: dict[int, Sitter], good: set[str], words: str
) -> None:
    asked = study("steps")
    studied(tmp_path, asked, sitters, good)
    assert words in asked.sentence(asked, gather(tmp_path))


def test_a_page_comes_out_of_the_folder_alone(tmp_path: Path, sitters: dict[int, Sitter]) -> None:
    asked = study("split")
    studied(tmp_path, asked, sitters, {"shared_tokens-False"})
    before = write_study(asked, gather(tmp_path)).read_bytes()
    assert b"http" not in before and asked.sentence(asked, gather(tmp_path)).encode() in before
    with Image.open(tmp_path / "strip.png") as strip:
        assert strip.width > 3 * 128 and strip.height > 2 * 128
    (tmp_path / "study.html").unlink()
    result = CliRunner().invoke(app, ["study", "split", str(tmp_path), "--report-only"], catch_exceptions=False)
    assert result.exit_code == 0 and (tmp_path / "study.html").read_bytes() == before
    with pytest.raises(SettingError, match="holds no study lambda"):
        write_study(study("lambda"), gather(tmp_path))
    with pytest.raises(SettingError, match="study"):
        studied(tmp_path, study("stages"), sitters, set())


def test_a_study_runs_through_the_product(tmp_path: Path, sitters: dict[int, Sitter]) -> None:
    backbone, asked = tiny_backbone("sd1"), study("keys-values")
    plan = comparison.study_plan(backbone, asked, settings=DrawSettings(steps=1), people=(90_000,), prompts_each=1)
    assert plan.sets == ("scene",) and all(variant.learning["steps"] == 500 for variant in plan.variants)
    quick = {"steps": 1, "learning_rate": 0.05}
    some = [variant for variant in plan.variants if variant.name in ("KV0", "K5", "V5", "KV5")]
    plan = replace(plan, variants=tuple(replace(v, learning={**v.learning, **quick}) for v in some))
    rows = [
        row for part in comparison.compare(backbone, plan, tmp_path, sitters=sitters, judges=JUDGES) for row in part
    ]
    assert len(rows) == 4 and len(list((tmp_path / "identities").glob("*.safetensors"))) == 1
    drawn = {path.parent.name: np.asarray(Image.open(path)) for path in (tmp_path / "pictures").rglob("*.png")}
    assert not np.array_equal(drawn["KV0-90000"], drawn["KV5-90000"])
    assert not np.array_equal(drawn["K5-90000"], drawn["V5-90000"])
