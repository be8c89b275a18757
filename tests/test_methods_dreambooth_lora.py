from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from safetensors.torch import load_file
from tiny import drawn, seeded, tiny_backbone, tiny_pipeline

from onephoto import api
from onephoto.backbone.load import Backbone
from onephoto.backbone.prompts import encode_plain
from onephoto.errors import IdentityFileError, SettingError
from onephoto.generate.draw import DrawSettings
from onephoto.identity.file import IdentityFile, save
from onephoto.methods import get_method
from onephoto.methods.dreambooth_lora import DreamBoothLora, DreamBoothLoraSettings
from onephoto.methods.recipe import denoising


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return tiny_backbone("sd1")


def learner(backbone: Backbone, **settings: object) -> DreamBoothLora:
    chosen = DreamBoothLoraSettings(**{"steps": 2, "class_steps": 1, "rank": 2, "alpha": 3.0, **settings})
    return DreamBoothLora(backbone, subject="person", settings=chosen, seed=1)


def spread(method: DreamBoothLora) -> DreamBoothLora:
    """Any B, as if learned."""
    for number, weight in enumerate(method.trained().values()):
        weight.data = 0.1 * torch.randn(weight.shape, generator=seeded(number))
    return method


def test_the_published_settings_are_the_defaults() -> None:
    settings = DreamBoothLoraSettings()
    assert (settings.steps, settings.batch_size, settings.learning_rate, settings.rank) == (500, 1, 1e-4, 4)
    assert learner(tiny_backbone("sd1"), alpha=None).scale == 1


def test_every_map_of_attention_is_adapted_from_a_zero_update(backbone: Backbone) -> None:
    method = learner(backbone, rank=16)
    attentions = [name for name, _ in backbone.unet.named_modules() if name.endswith(("attn1", "attn2"))]
    assert set(method.layers) == {
        f"{name}.{end}" for name in attentions for end in ("to_q", "to_k", "to_v", "to_out.0")
    }
    down = torch.cat([layer.lora_A["v"].weight.flatten() for layer in method.layers.values()])
    assert down.std().item() == pytest.approx(1 / 16, rel=0.05)
    assert not any(layer.lora_B["v"].weight.any() for layer in method.layers.values())


def test_the_merged_weights_are_w_plus_scale_b_a(backbone: Backbone) -> None:
    method = spread(learner(backbone))
    gains = get_method("dreambooth-lora").change(method.tensors(), {})
    for name, layer in method.layers.items():
        expected = layer.base_layer.weight + 1.5 * layer.lora_B["v"].weight @ layer.lora_A["v"].weight
        torch.testing.assert_close(backbone.unet.get_parameter(f"{name}.weight") + gains[f"{name}.weight"], expected)
    batch, conditioning = drawn(backbone), encode_plain(backbone, "a dog")
    with method.patched():
        learned = denoising(backbone, batch, conditioning)
    with api.shifted(backbone.unet, gains):
        torch.testing.assert_close(denoising(backbone, batch, conditioning), learned)


def test_only_a_and_b_learn(backbone: Backbone) -> None:
    method = spread(learner(backbone))
    method.loss(drawn(backbone))["loss"].backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in method.trained().values())
    assert len(method.trained()) == 2 * len(method.layers) == len(method.parameters())


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_the_weights_in_the_file_load_in_diffusers_too(family: str, tmp_path: Path) -> None:
    backbone = tiny_backbone(family)
    method = spread(learner(backbone))
    alice = IdentityFile(
        "alice", "person", method.name, method.tensors(),
        {"base": {"model_id": "", "fingerprint": api.fingerprint(backbone)}},
    )  # fmt: skip
    save(tmp_path / "alice.safetensors", alice)
    settings = DrawSettings(steps=2)
    text = "a photo of <alice>"
    ours = api.generate(backbone, text, [alice], seeds=[1], settings=settings)[0]
    pipe = tiny_pipeline(family)
    tensors = load_file(tmp_path / "alice.safetensors")
    pipe.load_lora_weights({name: tensor for name, tensor in tensors.items() if name.startswith("unet.")})
    tables, classes = api.tables_of(backbone, [alice])
    with api.hooked(pipe, tables, classes) as people:
        call = {"num_inference_steps": 2, "guidance_scale": settings.guidance, "generator": [seeded(1)]}
        theirs = pipe(**people.prompt(text), **call).images[0]
    assert abs(np.asarray(ours, int) - np.asarray(theirs, int)).max() <= 1
    plain = api.generate(backbone, "a photo of sks person", [], seeds=[1], settings=settings)[0]
    assert abs(np.asarray(ours, int) - np.asarray(plain, int)).max() > 1


def test_a_model_with_adapters_is_refused() -> None:
    backbone = tiny_backbone("sd1")
    inject_adapter_in_model(LoraConfig(r=2, target_modules=["to_q"]), backbone.unet)
    with pytest.raises(SettingError, match="carries adapters"):
        learner(backbone)


def test_other_weights_and_senseless_settings_are_refused() -> None:
    with pytest.raises(IdentityFileError, match="low rank"):
        get_method("dreambooth-lora").change({"unet.a.weight": torch.zeros(2, 2)}, {})
    with pytest.raises(SettingError, match="rank is 0"):
        DreamBoothLoraSettings(rank=0)
