"""Several people in one batch: each learns what they would alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_backbone

from onephoto.api import Learning, LearnRequest
from onephoto.backbone.load import Backbone
from onephoto.backbone.method import Batch
from onephoto.methods.embedding import joint_losses
from onephoto.together import Together, groups

ROUNDING = 3e-3
"""Largest share of a token's length by which rounding may move it, where people differ by about its length.

Adam makes steps of .05 here of any gradient, however small, so a last bit that differs moves single numbers a little.
"""


def assert_alike(actual: torch.Tensor, expected: torch.Tensor) -> None:
    assert (actual - expected).norm() < ROUNDING * expected.norm()


METHODS = {
    "sefi": {"heads": 4, "attention_weight": 0.5, "attention_factors": (1, 2), "learning_rate": 0.05},
    "textual-inversion": {"learning_rate": 0.05},
    "xti": {"learning_rate": 0.05},
    "prospect": {"learning_rate": 0.05, "heads": 4},
    "neti": {"learning_rate": 0.01},
}


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return tiny_backbone("sd1")


def photo(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (16, 16, 3), np.uint8))


def run(backbone: Backbone, seed: int, method: str = "sefi", path: Path | None = None, **settings: Any) -> Learning:
    known = {"steps": 4, "batch_size": 3, "warmup": 0, **METHODS.get(method, {}), **settings}
    request = LearnRequest(name=f"p{seed}", method=method, seed=seed, settings=known)
    return Learning(backbone, [photo(seed)], request, checkpoint_path=path, resume=path is not None)


def tokens(learning: Learning) -> dict[str, torch.Tensor]:
    return learning.identity().tensors


@pytest.mark.parametrize("method", METHODS)
def test_people_learn_together_what_they_learn_alone(backbone: Backbone, method: str) -> None:
    alone, among = ([run(backbone, seed, method) for seed in range(3)] for _ in range(2))
    reports = [list(learning) for learning in alone]
    together = list(Together(among))
    assert [len(step) for step in together] == [3] * 4
    for place, (single, joint) in enumerate(zip(alone, among, strict=True)):
        for step, report in enumerate(reports[place]):
            # Adam turns the rounding of a gradient near zero into a step: 4e-4 on some processors.
            assert together[step][place].losses == pytest.approx(report.losses, rel=2e-3, abs=1e-6)
        for name, expected in tokens(single).items():
            assert_alike(tokens(joint)[name], expected)
    first, second = (next(iter(tokens(learning).values())) for learning in among[:2])
    assert not torch.allclose(first, second, atol=1e-3)


@pytest.mark.parametrize("family", ["sd2", "sdxl"])
def test_every_family_learns_together(family: str) -> None:
    backbone = tiny_backbone(family)
    alone, among = ([run(backbone, seed) for seed in range(2)] for _ in range(2))
    for learning in alone:
        list(learning)
    list(Together(among))
    for single, joint in zip(alone, among, strict=True):
        for name, expected in tokens(single).items():
            assert_alike(tokens(joint)[name], expected)


def test_one_persons_loss_has_no_gradient_of_another(backbone: Backbone) -> None:
    first, second = (run(backbone, seed, "textual-inversion").method for seed in range(2))
    batches = [run(backbone, seed).draw_batch(0, torch.Generator().manual_seed(seed)) for seed in range(2)]
    losses = joint_losses([first, second], batches)
    assert losses[0]["loss"].item() == pytest.approx(first.loss(batches[0])["loss"].item(), rel=1e-5)
    gradients = torch.autograd.grad(losses[0]["loss"], [*first.parameters(), *second.parameters()], allow_unused=True)
    assert gradients[0] is not None and gradients[0].abs().sum() > 0
    assert gradients[1] is None or not gradients[1].any()


def test_people_may_bring_batches_of_different_sizes(backbone: Backbone) -> None:
    first, second = (run(backbone, seed, "textual-inversion").method for seed in range(2))
    whole = run(backbone, 0).draw_batch(0, torch.Generator().manual_seed(5))
    part = Batch(whole.latents[:1], whole.noise[:1], whole.timesteps[:1], 0)
    losses = joint_losses([first, second], [whole, part])
    assert losses[1]["loss"].item() == pytest.approx(second.loss(part)["loss"].item(), rel=1e-5)


def test_a_run_stopped_among_others_goes_on_alone(backbone: Backbone, tmp_path: Path) -> None:
    whole = [run(backbone, seed) for seed in range(2)]
    list(Together(whole))
    stopped = [run(backbone, seed, path=tmp_path / f"{seed}.checkpoint") for seed in range(2)]
    steps = iter(Together(stopped))
    next(steps), next(steps)
    for learning in stopped:
        learning.save()
    again = [run(backbone, seed, path=tmp_path / f"{seed}.checkpoint") for seed in range(2)]
    assert [report.step for report in again[0]] == [3, 4]
    for name, expected in tokens(whole[0]).items():
        assert_alike(tokens(again[0])[name], expected)


def test_runs_share_a_batch_where_they_stand_at_one_step_and_leave_the_weights_alone(
    backbone: Backbone, tmp_path: Path
) -> None:
    begun = run(backbone, 0, path=tmp_path / "0.checkpoint")
    next(iter(begun))
    begun.save()
    going_on, new, other = run(backbone, 0, path=tmp_path / "0.checkpoint"), run(backbone, 1), run(backbone, 2)
    settings = {"steps": 2, "batch_size": 1, "prior_weight": 0.0}
    weights = [
        Learning(backbone, [photo(seed)], LearnRequest(name="w", method="dreambooth-lora", settings=settings))
        for seed in range(2)
    ]
    found = [group.learnings for group in groups([going_on, weights[0], new, other, weights[1]])]
    assert found == [[new, other], [going_on], [weights[0]], [weights[1]]]
