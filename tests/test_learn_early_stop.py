"""Learning that ends early: when, where it is taken up again, and that to look changes nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_backbone

from onephoto.api import Learning, LearnRequest
from onephoto.backbone.load import Backbone
from onephoto.errors import SettingError
from onephoto.learn.early_stop import EarlyStop
from onephoto.methods.embedding import EmbeddingMethod
from onephoto.methods.held_out import HeldOut
from onephoto.methods.sefi import PRESETS, SefiSettings
from onephoto.together import Together, groups


def ended(losses: list[float], patience: int, gain: float = 0.1) -> int | None:
    """At which look a run of these held-out losses ends, from 1."""
    coming = iter(losses)
    stop = EarlyStop(lambda: next(coming), patience, 1, gain)
    for look in range(1, len(losses) + 1):
        stop.look(look)
        if stop.over:
            return look
    return None


def test_it_is_over_after_looks_in_a_row_without_a_gain() -> None:
    assert ended([1.0, 0.8, 0.6, 0.4], 1) is None
    assert ended([1.0, 0.8, 0.9, 0.6, 0.7, 0.7], 2) == 6
    # Each is lower than the one before, but not by a tenth of the best.
    assert ended([1.0, 0.95, 0.91], 2) == 3
    assert ended([1.0, 0.95, 0.89], 2) is None


def test_it_looks_when_it_is_time_and_says_what_it_saw() -> None:
    stop = EarlyStop(lambda: 0.5, 2, 10, 0.0)
    assert stop.state() == {} and stop.look(9) == {} and stop.look(10) == {"held_out": 0.5}
    again = EarlyStop(lambda: 0.5, 2, 10, 0.0)
    again.resume(stop.state())
    assert (again.best, again.waited) == (0.5, 0) and again.state() == stop.state()


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return tiny_backbone("sd1")


def run(backbone: Backbone, seed: int = 0, path: Path | None = None, subject: str = "person", **given: Any) -> Learning:
    photo = Image.fromarray(np.random.default_rng(seed).integers(0, 255, (16, 16, 3), np.uint8))
    settings = {
        "steps": 30, "batch_size": 2, "warmup": 0, "decay": 0.0, "average": 0.0, 
        "heads": 4, "attention_factors": (1, 2),
        "learning_rate": 0.05, "early_stop": 2, "look_every": 2, "least_gain": 0.02, **given,
    }  # fmt: skip
    request = LearnRequest(name=f"p{seed}", subject=subject, seed=seed, settings=settings)
    return Learning(backbone, [photo], request, checkpoint_path=path, resume=path is not None)


def tokens(learning: Learning) -> torch.Tensor:
    return learning.identity().tensors["tokens.text_encoder"]


def test_looking_changes_nothing_but_where_it_ends(backbone: Backbone) -> None:
    stopped = run(backbone)
    reports = list(stopped)
    done = len(reports)
    assert 4 < done < 30 and stopped.over and stopped.identity().metadata["steps"] == done
    whole = run(backbone, early_stop=0, steps=done)
    plain = list(whole)
    assert torch.equal(tokens(whole), tokens(stopped)) and whole.early_stop is None
    assert [report.step for report in reports if "held_out" in report.losses] == list(range(2, done + 1, 2))
    assert all(one.losses.items() <= other.losses.items() for one, other in zip(plain, reports, strict=True))


@pytest.mark.parametrize("left_at", [3, 4])
def test_a_resumed_run_ends_where_the_uninterrupted_one_does(backbone: Backbone, tmp_path: Path, left_at: int) -> None:
    whole = run(backbone)
    done = [report.losses for report in whole]
    path = tmp_path / "p0.checkpoint"
    first = run(backbone, path=path)
    for report in first:
        if report.step == left_at:
            break
    first.save()
    second = run(backbone, path=path)
    assert [report.losses for report in second] == done[left_at:]
    assert torch.equal(tokens(second), tokens(whole))
    second.save()
    ended = run(backbone, path=path)
    assert ended.over and list(ended) == [] and torch.equal(tokens(ended), tokens(whole))
    assert ended.identity().metadata["steps"] == len(done)


def test_people_together_end_each_where_they_end_alone(backbone: Backbone) -> None:
    eager = {"look_every": 1, "least_gain": 0.001}
    alone, among = ([run(backbone, seed, **eager) for seed in range(3)] for _ in range(2))
    ends = [len(list(learning)) for learning in alone]
    assert len(set(ends)) > 1
    (group,) = groups(among)
    reports = list(group)
    assert len(reports) == max(ends) and [report.step for report in reports[-1]] == ends
    for single, joint in zip(alone, among, strict=True):
        assert (tokens(joint) - tokens(single)).norm() < 3e-3 * tokens(single).norm()


def test_who_is_over_does_not_keep_others(backbone: Backbone, tmp_path: Path) -> None:
    over = run(backbone, path=tmp_path / "0.checkpoint")
    list(over)
    over.save()
    ended, new = run(backbone, path=tmp_path / "0.checkpoint"), run(backbone, 1)
    assert {len(group.learnings) for group in groups([ended, new])} == {1}
    assert list(Together([ended])) == []


@pytest.mark.parametrize("subject", ["person", "dog"])
def test_the_held_out_loss_is_the_same_each_time_and_leaves_no_gradient(backbone: Backbone, subject: str) -> None:
    learning = run(backbone, subject=subject)
    assert isinstance(learning.method, EmbeddingMethod)
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    held_out = HeldOut(learning.method, latents, num_stages=5)
    assert held_out() == held_out() > 0
    stages = [batch.timesteps * 5 // backbone.num_timesteps for batch in held_out.batches]
    assert [sorted(own.tolist()) for own in stages] == [[0, 1, 2, 3, 4]] * 2
    assert not torch.equal(held_out.batches[0].timesteps, held_out.batches[1].timesteps)
    assert all(parameter.grad is None for parameter in learning.method.parameters())


def test_it_is_off_unless_asked_for() -> None:
    assert SefiSettings().early_stop == 0 == PRESETS["paper"]["early_stop"]
    for senseless in ({"early_stop": -1}, {"look_every": 0}):
        with pytest.raises(SettingError, match="early_stop must be"):
            SefiSettings(**senseless)
