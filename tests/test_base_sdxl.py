import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image
from toy_base import TOY_XL, toy_autoencoder, toy_pictures

from onephoto import api
from onephoto.backbone import load
from onephoto.backbone.load import load_backbone
from onephoto.base import stages
from onephoto.base.architecture import XlArchitecture, count_parameters
from onephoto.base.painters import build_painter
from onephoto.base.tokenizer import build_tokenizer
from onephoto.errors import ModelError, SettingError
from onephoto.generate.draw import DrawSettings
from onephoto.world.captions import vocabulary
from onephoto.world.names import every_name

PROMPT = "a photo of a man"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder in which the stage has run once and its result is exported."""
    folder = toy_autoencoder(tmp_path_factory.mktemp("work"))
    pictures = toy_pictures(folder / "pictures")
    with pytest.raises(SettingError, match="stage sdxl first"):
        list(stages.export_sdxl(folder, arch=TOY_XL))
    list(stages.latents([pictures], folder))
    list(stages.sdxl([pictures], folder, 0.01, arch=TOY_XL))
    list(stages.export_sdxl(folder, arch=TOY_XL))
    return folder


def test_the_stage_goes_on_and_says_how_far_it_is(work: Path) -> None:
    lines = [list(stages.sdxl([work / "pictures"], work, minutes, arch=TOY_XL))[-1] for minutes in (0.0, 0.005)]
    before, after = (int(line.split()[1][:-1]) for line in lines)
    assert after > before > 0


def test_plain_diffusers_draws_with_it(work: Path) -> None:
    pipe = StableDiffusionXLPipeline.from_pretrained(work / "mini-xl")
    assert pipe.dtype == torch.float32 and not pipe.config.force_zeros_for_empty_prompt
    assert pipe(PROMPT, num_inference_steps=2).images[0].size == (64, 64)


def test_the_painter_predicts_what_its_pipeline_does(work: Path) -> None:
    backbone = load_backbone(work / "mini-xl")
    painter = build_painter(TOY_XL, backbone.tokenizers[0])
    for part in ("unet", *painter.encoders):
        getattr(painter, part).load_state_dict(getattr(backbone.pipeline, part).state_dict())
    noisy, t = torch.randn(1, 4, 8, 8), torch.tensor([300])
    ids = backbone.tokenizers[0](PROMPT, padding="max_length", return_tensors="pt").input_ids
    words, _, pooled, _ = backbone.pipeline.encode_prompt(PROMPT, do_classifier_free_guidance=False)
    with torch.no_grad():
        told = painter.conditions(noisy, t, ids)
        torch.testing.assert_close(told["encoder_hidden_states"], words)
        torch.testing.assert_close(told["added_cond_kwargs"]["text_embeds"], pooled)
        assert told["added_cond_kwargs"]["time_ids"].tolist() == [[64, 64, 0, 0, 64, 64]]
        assert painter(noisy, t, ids).shape == noisy.shape


def test_people_are_learned_and_drawn_on_it(work: Path) -> None:
    backbone = load_backbone(work / "mini-xl")
    assert backbone.family == "sdxl"
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    request = api.LearnRequest(name="alice", settings={"steps": 1})
    alice = api.learn(backbone, [photo], request)
    image = api.generate(backbone, "a photo of <alice>", [alice], settings=DrawSettings(steps=1))
    assert (image[0] if isinstance(image, list) else image).size == (64, 64)


def test_the_package_holds_one_autoencoder_for_both_models(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "embedded_model", lambda name="mini": tmp_path / name)
    with pytest.raises(ModelError, match="weights of mini-xl are not there"):
        load_backbone("mini-xl")
    shutil.copytree(work / "mini-xl", tmp_path / "mini-xl")
    shutil.move(tmp_path / "mini-xl" / "vae", tmp_path / "mini" / "vae")
    own, shared = load_backbone(work / "mini-xl"), load_backbone("mini-xl")
    assert torch.equal(own.vae.quant_conv.weight, shared.vae.quant_conv.weight)


def test_it_keeps_its_budget(tmp_path: Path) -> None:
    words = build_tokenizer(tmp_path, [*vocabulary(), *every_name()], XlArchitecture.max_length)
    assert 2.5e6 < count_parameters(build_painter(XlArchitecture(), words)) < 3.5e6
