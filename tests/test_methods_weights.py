"""What holds for every method that changes weights."""

from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_backbone

import onephoto
from onephoto import api
from onephoto.backbone.load import Backbone
from onephoto.backbone.method import Batch, Method
from onephoto.backbone.prompts import encode_plain
from onephoto.errors import IdentityFileError, SettingError
from onephoto.generate.draw import DrawSettings
from onephoto.identity.file import IdentityFile, load, save
from onephoto.learn import checkpoint
from onephoto.learn.data import batch_drawer
from onephoto.learn.fit import State, fit
from onephoto.methods import get_method, method_names

METHODS = [name for name in method_names() if get_method(name).change is not None]
CASES = [(method, family) for method in METHODS for family in ("sd1", "sdxl")]
FEW = DrawSettings(steps=2)
TEXT = "a photo of <alice> at the beach"
QUICK = {
    "dreambooth": {"class_steps": 1},
    "dreambooth-lora": {"class_steps": 1},
    "custom-diffusion": {"class_steps": 1},
    "attndreambooth": {"word_steps": 1, "attention_steps": 1, "word_rate": 0.01, "attention_rate": 0.01},
}  # fmt: skip

backbone_of = lru_cache(maxsize=None)(tiny_backbone)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(backbone: Backbone, step: int = 0) -> Batch:
    latents = torch.randn(1, 4, backbone.latent_size, backbone.latent_size, generator=seeded(7))
    return batch_drawer(latents, batch_size=2, num_stages=2, num_timesteps=backbone.num_timesteps)(step, seeded(8))


def learner(backbone: Backbone, method: str, **settings: Any) -> Method:
    spec = get_method(method)
    chosen = replace(spec.settings(), **{"steps": 4, "learning_rate": 0.01, **QUICK[method], **settings})
    return spec.build(backbone, subject="person", settings=chosen, seed=3)


def run(method: Method, steps: int, start: State | None = None) -> State:
    latents = torch.randn(1, 4, 8, 8, generator=seeded(7))
    draw_batch = batch_drawer(latents, batch_size=2, num_stages=2, num_timesteps=1000)
    reports = fit(
        method, draw_batch, steps=steps, learning_rate=0.01, weight_decay=0.01, generator=seeded(), start=start
    )
    return list(reports)[-1].state()


@cache
def identity(method: str, family: str = "sd1", name: str = "alice") -> IdentityFile:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8))
    settings = {"steps": 3, "learning_rate": 0.01, **QUICK.get(method, {"heads": 4})}
    return api.learn(backbone_of(family), [photo], api.LearnRequest(name=name, method=method, settings=settings))


def traces(backbone: Backbone) -> list[tuple[str, int, int]]:
    """Which tensors and modules stand where, and how often each tensor was written to."""
    unet = backbone.unet
    tensors = [(name, id(value), value._version) for name, value in unet.state_dict(keep_vars=True).items()]
    return tensors + [(name, id(module), len(vars(module))) for name, module in unet.named_modules()]


def prediction(backbone: Backbone) -> torch.Tensor:
    batch = drawn(backbone)
    with torch.no_grad():
        return backbone.predict(batch.latents, batch.timesteps, encode_plain(backbone, "a photo of a dog"))


@pytest.mark.parametrize(("name", "family"), CASES)
def test_changed_weights_leave_no_trace_also_on_error(name: str, family: str) -> None:
    backbone = backbone_of(family)
    before, plain = traces(backbone), prediction(backbone)
    method = learner(backbone, name)
    run(method, 4)
    assert traces(backbone) == before and torch.equal(prediction(backbone), plain)
    with pytest.raises(KeyError), method.patched():
        assert not torch.equal(prediction(backbone), plain)
        raise KeyError
    assert traces(backbone) == before and torch.equal(prediction(backbone), plain)
    assert not any(weight.requires_grad or weight.grad is not None for weight in backbone.unet.parameters())


@pytest.mark.parametrize("name", METHODS)
def test_learning_begins_at_the_base_bit_for_bit(name: str) -> None:
    backbone = backbone_of("sd1")
    plain = prediction(backbone)
    with learner(backbone, name).patched():
        assert torch.equal(prediction(backbone), plain)


@pytest.mark.parametrize("name", METHODS)
def test_a_resumed_run_repeats_the_uninterrupted_one(name: str, tmp_path: Path) -> None:
    whole, first, second = (learner(backbone_of("sd1"), name) for _ in range(3))
    run(whole, 4)
    checkpoint.save(tmp_path / "half", run(first, 2), {})
    run(second, 4, checkpoint.load(tmp_path / "half")[0])
    expected, got = whole.state_dict(), second.state_dict()
    assert list(expected) == list(got) and all(torch.equal(expected[key], got[key]) for key in expected)


@pytest.mark.parametrize(("name", "family"), CASES)
def test_the_file_draws_the_person_and_the_base_stays(name: str, family: str, tmp_path: Path) -> None:
    backbone, draw = backbone_of(family), {"seeds": [1], "settings": FEW}
    plain = api.generate(backbone, TEXT.replace("<alice>", "person"), [], **draw)[0]
    learned = identity(name, family)
    save(tmp_path / "alice.safetensors", learned)
    first = api.generate(backbone, TEXT, [learned], **draw)[0]
    assert np.array_equal(first, api.generate(backbone, TEXT, [tmp_path / "alice.safetensors"], **draw)[0])
    assert np.array_equal(first, api.look(backbone, TEXT, [learned], seed=1, settings=FEW).image)
    nothing = api.generate(backbone, TEXT, [learned], strengths={"Alice": 0}, **draw)[0]
    half = api.generate(backbone, TEXT, [learned], strengths={"Alice": 0.5}, **draw)[0]
    assert abs(np.asarray(nothing, int) - np.asarray(plain, int)).max() <= 1
    assert not any(np.array_equal(one, other) for one, other in ((first, plain), (first, half), (half, plain)))
    assert np.array_equal(plain, api.generate(backbone, TEXT.replace("<alice>", "person"), [learned], **draw)[0])
    saved = load(tmp_path / "alice.safetensors").tensors
    assert all(
        torch.equal(saved[key], kept) and saved[key].dtype == kept.dtype for key, kept in learned.tensors.items()
    )


@pytest.mark.parametrize("name", METHODS)
def test_a_pipeline_of_ones_own_draws_the_same(name: str) -> None:
    pipe, learned = backbone_of("sd1").pipeline, identity(name)
    expected = api.generate(pipe, TEXT, [learned], seeds=[1], settings=FEW)[0]
    call = {"num_inference_steps": 2, "guidance_scale": FEW.guidance}
    before = traces(backbone_of("sd1"))
    with onephoto.use(pipe, alice=learned) as people:
        image = pipe(**people.prompt(TEXT), generator=[seeded(1)], **call).images[0]
    assert np.array_equal(image, expected) and traces(backbone_of("sd1")) == before


def test_two_who_change_weights_cannot_share_a_picture_and_others_can() -> None:
    backbone, alice, bob = backbone_of("sd1"), identity("dreambooth"), identity(METHODS[-1], name="bob")
    draw = {"seeds": [1], "settings": FEW}
    bob = replace(bob, name="bob")
    with pytest.raises(SettingError, match="<alice> and <bob> each change the model's weights"):
        api.generate(backbone, "<alice> and <bob>", [alice, bob], **draw)
    pipe = backbone.pipeline
    with pytest.raises(SettingError, match="draw them apart"), onephoto.use(pipe, alice=alice, bob=bob):
        pass
    alone = api.generate(backbone, TEXT, [alice], **draw)[0]
    assert np.array_equal(api.generate(backbone, TEXT, [alice, bob], **draw)[0], alone)
    sefi = identity("sefi", name="bob")
    assert not np.array_equal(api.generate(backbone, "<alice> and <bob>", [alice, sefi], **draw)[0], alone)


@pytest.mark.parametrize("name", METHODS)
def test_narrow_numbers_learn_and_draw(name: str) -> None:
    backbone = tiny_backbone("sd1")
    backbone.pipeline.to(dtype=torch.bfloat16)
    method = learner(backbone, name)
    run(method, 3)
    assert all(parameter.dtype == torch.float32 for parameter in method.state_dict().values())
    learned = replace(identity(name), tensors=method.tensors())
    assert np.asarray(api.generate(backbone, TEXT, [learned], settings=FEW)[0]).std() > 0


@pytest.mark.parametrize("name", METHODS)
def test_other_tensors_are_refused(name: str) -> None:
    spec = get_method(name)
    assert spec.change is not None
    with pytest.raises(IdentityFileError, match="no weights"):
        spec.change({"tokens.text_encoder": torch.zeros(1, 8)}, {})
    with pytest.raises(IdentityFileError, match="no plain embeddings"):
        spec.table({"tokens.text_encoder": torch.zeros(5, 2, 8)}, {})
