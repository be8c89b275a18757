"""Perturbed guidance: what it does to which half of a batch and when, and that nothing of it stays."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import tiny_backbone
from torch import Tensor

from onephoto import api
from onephoto.backbone.load import Backbone
from onephoto.backbone.perturbed import perturbed_guidance
from onephoto.generate.draw import DrawSettings, as_drawn, guided, is_perturbed

TEXT = "a photo of a person"


def predictions(backbone: Backbone, *, calls: int = 1, tuples: bool = False) -> list[Tensor]:
    """Of a batch of two negatives and two prompts on the same two latents."""
    drawn = torch.Generator().manual_seed(0)
    latents = torch.randn(2, 4, 8, 8, generator=drawn).repeat(2, 1, 1, 1)
    prompts = torch.randn(4, 16, backbone.layers[0].width, generator=drawn)
    with torch.no_grad():
        given = {"encoder_hidden_states": prompts, "return_dict": not tuples}
        return [backbone.unet(latents, torch.tensor(500), **given)[0] for _ in range(calls)]


def self_attention(backbone: Backbone) -> torch.nn.Module:
    return backbone.unet.down_blocks[0].attentions[0].transformer_blocks[0].attn1


@pytest.mark.parametrize("tuples", [False, True])
def test_every_other_call_is_perturbed_in_the_negative_half_alone(tuples: bool) -> None:
    backbone = tiny_backbone("sd1")
    (plain,) = predictions(backbone)
    with perturbed_guidance(backbone.unet):
        first, second, third = predictions(backbone, calls=3, tuples=tuples)
    assert torch.equal(first[2:], plain[2:])
    assert not torch.allclose(first[:2], plain[:2], atol=1e-3)
    assert torch.equal(second, plain) and torch.equal(third, first)
    assert torch.equal(predictions(backbone)[0], plain)


def test_guidance_is_half_as_strong_away_from_a_pass_in_which_no_place_sees_another() -> None:
    backbone = tiny_backbone("sd1")
    (plain,) = predictions(backbone)
    with perturbed_guidance(backbone.unet, within="nowhere"):
        (found,) = predictions(backbone)
    torch.testing.assert_close(found[2:] - found[:2], (plain[2:] - plain[:2]) / 2)
    layer = self_attention(backbone)
    states = torch.randn(4, 9, layer.to_q.in_features, generator=torch.Generator().manual_seed(1))
    other = states.clone()
    other[:, 4] += 1
    with perturbed_guidance(backbone.unet), torch.no_grad():
        predictions(backbone)
        change = (layer(other) - layer(states)).abs().amax(-1)
    assert not change[:2, :4].any() and not change[:2, 5:].any() and change[:2, 4].all()
    assert change[2:].all()


def test_nothing_stays_also_on_error() -> None:
    backbone = tiny_backbone("sd1")

    def hooks() -> int:
        return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in backbone.unet.modules())

    before = hooks()
    with pytest.raises(RuntimeError, match="on the way"), perturbed_guidance(backbone.unet):
        assert hooks() > before
        raise RuntimeError("on the way")
    assert hooks() == before


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_pictures_are_perturbed_where_asked_and_by_default_on_embedded_models(family: str) -> None:
    backbone = tiny_backbone(family)

    def drawn(model: Backbone, **options: object) -> np.ndarray:
        return np.asarray(api.generate(model, TEXT, [], settings=DrawSettings(steps=2, **options))[0])

    plain, perturbed = drawn(backbone), drawn(backbone, perturbed=True)
    assert not np.array_equal(plain, perturbed)
    embedded = replace(backbone, model_id="mini")
    assert np.array_equal(drawn(embedded), perturbed)
    assert np.array_equal(drawn(embedded, perturbed=False), plain)
    assert np.array_equal(drawn(embedded), perturbed), "a picture begins with a perturbed step, whatever came before"
    assert np.array_equal(drawn(embedded, guidance=1.0), drawn(embedded, guidance=1.0, perturbed=False))
    seen = api.look(embedded, TEXT, [], settings=DrawSettings(steps=2)).image
    assert np.array_equal(seen, perturbed)


def test_models_of_larger_pictures_are_perturbed_in_the_middle_block_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone("sd1")
    asked = DrawSettings(steps=2, perturbed=True)
    small = np.asarray(api.generate(backbone, TEXT, [], settings=asked)[0])
    monkeypatch.setattr(importlib.import_module("onephoto.generate.draw"), "SMALL", backbone.latent_size - 1)
    middle = backbone.unet.mid_block.attentions[0].transformer_blocks[0].attn1
    with guided(backbone, asked):
        assert middle._forward_hooks and not self_attention(backbone)._forward_hooks
    assert not np.array_equal(api.generate(backbone, TEXT, [], settings=asked)[0], small)


def test_settings_say_whether_guidance_is_perturbed() -> None:
    backbone = tiny_backbone("sd1")
    assert not is_perturbed(backbone, DrawSettings())
    assert is_perturbed(backbone, DrawSettings(perturbed=True))
    assert is_perturbed(replace(backbone, model_id="mini-xl"), DrawSettings())
    assert as_drawn(replace(backbone, model_id="mini"), DrawSettings(steps=3)) == DrawSettings(steps=3, perturbed=True)
    assert not is_perturbed(backbone, DrawSettings(perturbed=True, guidance=1))
