from dataclasses import replace

import pytest
import torch
from tiny import drawn, seeded, tiny_backbone
from torch import Tensor

from onephoto.backbone.hooks import recording
from onephoto.backbone.load import Backbone
from onephoto.core.attention_loss import attention_probs
from onephoto.errors import SettingError
from onephoto.learn.fit import fit
from onephoto.methods.attndreambooth import AttnDreamBooth, AttnDreamBoothSettings, attention_balance
from onephoto.methods.recipe import denoising

PHASES = {"word_steps": 2, "attention_steps": 1, "steps": 5, "word_rate": 0.01, "attention_rate": 0.02}


@pytest.fixture(scope="module", params=["sd1", "sd2"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return tiny_backbone(request.param)


def learner(backbone: Backbone, **settings: object) -> AttnDreamBooth:
    chosen = AttnDreamBoothSettings(**{**PHASES, **settings})
    return AttnDreamBooth(backbone, subject="person", settings=chosen)


def test_the_published_settings_are_the_defaults() -> None:
    settings = AttnDreamBoothSettings()
    assert (settings.word_steps, settings.attention_steps, settings.steps) == (60, 100, 660)
    assert (settings.word_rate, settings.attention_rate, settings.learning_rate) == (1e-3, 2e-5, 2e-6)
    assert [settings.phase(step) for step in (0, 59, 60, 159, 160, 659)] == [0, 0, 1, 1, 2, 2]


def test_each_phase_moves_exactly_its_parameters_at_its_rate(backbone: Backbone) -> None:
    method, batch = learner(backbone), drawn(backbone)
    cross = {f"attention.{name}" for name, _ in backbone.unet.named_parameters() if ".attn2." in name}
    every = {name for name, _ in backbone.unet.named_parameters()}
    before, moved = {name: value.detach().clone() for name, value in method.trained().items()}, []
    draw_batch = lambda step, generator: replace(batch, step=step)  # noqa: E731
    for report in fit(method, draw_batch, steps=5, learning_rate=0.03, generator=seeded()):
        state = report.state()
        moved.append({name for name in before if not torch.equal(before[name], state.method[name])})
        if report.step == 3:
            # Adam's first step moves each number by the rate.
            sizes = torch.cat([state.method[name].abs().flatten() for name in cross])
            assert sizes.max().item() == pytest.approx(0.02, rel=1e-3) and sizes.median().item() > 0.015
        before = state.method
    assert moved == [{"marks.text_encoder"}, {"marks.text_encoder"}, cross, every, every]
    assert [group["lr"] for group in state.optimizer["param_groups"]] == [0.01, 0.02, 0.03]


def test_the_loss_is_denoising_and_the_balance_of_all_layers(backbone: Backbone) -> None:
    method, batch = learner(backbone, mean_weights=(0.5, 2, 2), variance_weights=(3, 5, 5)), drawn(backbone)
    for rows in method.marks.values():
        rows.data += torch.randn(rows.shape, generator=seeded())
    losses = method.loss(batch)
    with recording(backbone.layers) as records:
        denoise = denoising(backbone, batch, method.conditioning())
    expected = []
    for query, key in zip(records.queries, records.keys, strict=True):
        # "a photo of the face of <v>": V* is the seventh token after the first, "person" the eighth.
        mark, word = (attention_probs(query, key)[..., column] for column in (7, 8))
        for sample in range(2):
            means, variances = mark[sample].mean() - word[sample].mean(), mark[sample].var() - word[sample].var()
            expected.append(0.5 * means**2 + 3 * variances**2)
    torch.testing.assert_close(losses["denoising"], denoise)
    torch.testing.assert_close(losses["balance"], sum(expected) / len(backbone.layers))
    torch.testing.assert_close(losses["loss"], losses["denoising"] + losses["balance"])
    assert losses["balance"].item() > 0


def test_maps_alike_in_mean_and_variance_cost_nothing() -> None:
    probs = torch.rand(2, 3, 16, 4, generator=seeded())
    probs[..., 2] = probs[..., 1].flip(2)
    weights = {"mean_weight": 2.0, "variance_weight": 5.0}
    assert attention_balance([probs], 1, 2, **weights).item() == pytest.approx(0, abs=1e-12)
    assert attention_balance([probs], 1, 3, **weights).item() > 0


def test_v_begins_at_the_class_word_and_the_file_holds_both_phases(backbone: Backbone) -> None:
    method = learner(backbone)
    person = backbone.class_vectors("person")["text_encoder"]
    assert torch.equal(method.tensors()["tokens.text_encoder"], person.repeat(2, 1))

    def fill(gains: dict[str, Tensor], number: float) -> None:
        for gain in gains.values():
            gain.data.fill_(number)

    fill(method.attention.trained, 0.25)
    fill(method.differences.trained, 0.5)
    kept = method.tensors()
    for name, own in backbone.unet.named_parameters():
        gain = 0.75 if ".attn2." in name else 0.5
        assert kept[f"unet.{name}"].unique().tolist() == [gain]
        torch.testing.assert_close(method.parts()[name], own + gain)


@pytest.mark.parametrize("settings", [{"word_steps": -1}, {"attention_rate": 0}, {"mean_weights": (1, 2)}])
def test_senseless_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(SettingError):
        AttnDreamBoothSettings(**settings)
