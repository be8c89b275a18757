from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_evaluate_judge import tiny_judge
from tiny import tiny_backbone

from onephoto.cli.make_base import FITTED, one_token
from onephoto.evaluate import embedded
from onephoto.evaluate.embedded import (
    Drawn,
    Score,
    fact_scores,
    named_scores,
    probe_sheet,
    probes,
    rendered_faces,
    unseen_score,
)
from onephoto.evaluate.facts import CHOICES
from onephoto.generate.draw import DrawSettings
from onephoto.world.names import name_of
from onephoto.world.props import FURNITURE, HELD, WORN


def test_every_scene_thing_and_expression_is_asked_for_once() -> None:
    asked = Counter(value for probe in probes() for value in probe.prompt.facts.values() if value != "yes")
    for value in (*CHOICES["scene"], *CHOICES["expression"], *WORN, *HELD, *FURNITURE):
        assert asked[value] == 1
    texts = [probe.prompt("a person") for probe in probes()]
    assert len(set(texts)) == len(texts) and not any("{" in text for text in texts)


def test_limits_are_reached_from_above_and_targets_from_below() -> None:
    assert Score("seconds alone", 1.4, 1.5, 1).reached and not Score("seconds alone", 1.6, 1.5, 1).reached
    assert Score("scene right", 0.96, 0.95, 1).reached and not Score("scene right", 0.94, 0.95, 1).reached


def test_facts_count_where_the_judge_reads_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    judge = tiny_judge(tmp_path)
    drawn = [Drawn(probe, Image.new("RGB", (64, 64))) for probe in probes() if probe.kind == "scene"]
    read = [{"scene": drawn[0].probe.prompt.facts["scene"], "things": ()} for _ in drawn]
    monkeypatch.setattr(type(judge), "read", lambda self, images: read)
    (score,) = fact_scores(judge, drawn)
    assert score.value == pytest.approx(1 / len(drawn)) and score.pictures == len(drawn)


def test_whoever_is_drawn_as_rendered_is_recognised() -> None:
    names = {name_of(seed): seed for seed in range(3)}
    ratio, auc = named_scores(lambda name, count: rendered_faces(names[name], count), 3, shots=3)
    # Each drawn picture is one of the rendered, so distances of zero are among them.
    assert ratio.value < 1 and auc.value > 0.9


def test_whoever_is_met_and_drawn_as_rendered_counts_as_reached() -> None:
    met: list[int] = []

    def meet(images: Sequence[Image.Image], shots: int) -> list[Image.Image]:
        met.append(len(images))
        return list(images[:shots])

    score = unseen_score(meet, 3, photos=3, shots=3)
    assert met == [3, 3, 3] and score.pictures == 9
    assert score.reached and score.value > 0.7
    stranger = rendered_faces(7, 3)
    assert unseen_score(lambda images, shots: stranger, 2, photos=3, shots=3).value > score.value


def test_a_model_is_measured_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "face_vector", lambda image: np.asarray(image.resize((8, 16)), float)[..., 0].ravel())
    monkeypatch.setattr(embedded, "rendered_faces", lambda seed, count: _noise(seed, count))
    settings, backbone = DrawSettings(steps=1), tiny_backbone()
    monkeypatch.setitem(FITTED, "steps", 2)
    scores, drawn = embedded.evaluate(
        backbone, tiny_judge(tmp_path), meet=one_token(backbone, settings), each=3, named=2, unseen=2, settings=settings
    )
    names = [score.name for score in scores]
    assert {*names} == {*embedded.TARGETS, *embedded.LIMITS} - {"control: landmark error against without"}
    assert all(np.isfinite(score.value) for score in scores)
    assert probe_sheet(drawn).height > 192 * len(probes()) / 7


def _noise(seed: int, count: int) -> list[Image.Image]:
    rng = np.random.default_rng(seed)
    return [Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)) for _ in range(count)]
