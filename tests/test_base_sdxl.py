import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image
from safetensors.torch import load_file
from toy_base import TOY, TOY_XL, toy_autoencoder, toy_pictures
from typer.testing import CliRunner

from onephoto import api
from onephoto.backbone import load
from onephoto.backbone.grown import WEIGHTS, is_own
from onephoto.backbone.load import Backbone, embedded_model, load_backbone
from onephoto.base import stages
from onephoto.base.architecture import XlArchitecture, build_scheduler, count_parameters
from onephoto.base.diffusion import diffusion_loss
from onephoto.base.growing import TwiceTold, begin_own, nearest_map, take_shipped_xl, taken_over
from onephoto.base.latents import Batch, token_ids
from onephoto.base.painters import SdPainter, XlPainter, build_painter, load_painter
from onephoto.base.pictures import PictureSet
from onephoto.base.training import OptimiserSettings, Trainer
from onephoto.cli import app
from onephoto.errors import ModelError, SettingError
from onephoto.generate.draw import DrawSettings

PROMPT = "a photo of a man"
shipped = pytest.mark.skipif(
    not embedded_model("mini-xl").exists(), reason="the embedded model's weights are not there"
)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a model in Stable Diffusion's format, and one in SDXL's grown out of it."""
    folder = toy_autoencoder(tmp_path_factory.mktemp("work"))
    pictures = toy_pictures(folder / "pictures")
    list(stages.latents([pictures], folder))
    list(stages.diffusion([pictures], folder, 0.005, arch=TOY))
    list(stages.export(folder, arch=TOY))
    with pytest.raises(SettingError, match="stage sdxl first"):
        list(stages.export_sdxl(folder, arch=TOY_XL))
    list(stages.sdxl([pictures], folder, 0.01, arch=TOY_XL, lessons=2))
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


def test_only_its_own_weights_learn_and_the_second_encoder_is_heard(work: Path) -> None:
    torch.manual_seed(0)
    painter, words = taken_over(TOY_XL, work / "mini")
    begin_own(painter, work / "mini", token_ids(words, [PROMPT, "a man"]), lessons=1)
    # Silenced branches pass no gradients on.
    with torch.no_grad():
        for parameter in painter.unet.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    before = {name: value.clone() for name, value in painter.state_dict().items()}
    trainer, generator = Trainer(painter, OptimiserSettings(warmup_steps=1)), torch.Generator().manual_seed(0)
    told = (torch.randint(0, 99, (2, 12)), torch.tensor([True, False]))
    for _ in range(3):
        batch = Batch(torch.randn(2, 4, 8, 8, generator=generator), told, torch.ones(2, 1, 8, 8))
        alphas = build_scheduler().alphas_cumprod
        trainer.step(diffusion_loss(painter, batch, alphas, generator=generator, snr_limit=5.0))
    changed = {name for name, value in painter.state_dict().items() if not torch.equal(value, before[name])}
    assert all(name.startswith(("unet.add_embedding.", "text_encoder_2.")) for name in changed)
    for part in ("linear_1", "linear_2", "text_projection", "token_embedding"):
        assert any(part in name for name in changed)


def test_it_begins_near_the_model_that_it_grows_out_of_and_both_encoders_say_half(work: Path) -> None:
    mini = load_painter(work / "mini")
    painter, words = taken_over(TOY_XL, work / "mini")
    ids = token_ids(words, [PROMPT, "a man", "a photo", "a red ball", "two people in a park"])
    before = nearest_error(painter, mini, ids)
    begin_own(painter, work / "mini", ids, lessons=100)
    layer = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
    with torch.no_grad():
        wanted = mini.unet.get_submodule(layer)(mini.text_encoder(ids).last_hidden_state)
        states = painter.conditions(torch.zeros(5, 4, 8, 8), ids[:, 0], ids)["encoder_hidden_states"]
        weight = painter.unet.get_submodule(layer).weight
        halves = [
            half @ own.T for half, own in zip(states.split([32, 16], -1), weight.split([32, 16], -1), strict=True)
        ]
    for said in (2 * halves[0], 2 * halves[1], sum(halves)):
        assert (said - wanted).square().mean() < 0.1 * wanted.square().mean()
    assert nearest_error(painter, mini, ids) < 0.5 * before


def test_it_goes_on_from_a_trained_one_with_keys_and_values_of_the_model_as_it_is_now(work: Path) -> None:
    torch.manual_seed(0)
    painter, words = taken_over(TOY_XL, work / "mini")
    ids = token_ids(words, [PROMPT, "a man", "a photo", "a red ball", "two people in a park"])
    assert take_shipped_xl(painter, words, work / "mini-xl-own", work / "mini")
    added = {name: value.clone() for name, value in painter.unet.add_embedding.state_dict().items()}
    before = nearest_error(painter, load_painter(work / "mini"), ids)
    keys = painter.unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn2.to_k").weight
    old = keys.detach().clone()
    begin_own(painter, work / "mini", ids, lessons=100, goes_on=True)
    assert all(torch.equal(value, added[name]) for name, value in painter.unet.add_embedding.state_dict().items())
    assert nearest_error(painter, load_painter(work / "mini"), ids) < before and not torch.equal(keys, old)


def test_the_stage_goes_on_from_what_is_shipped(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {}

    def begin(painter: XlPainter, *given: object, goes_on: bool, **options: object) -> None:
        told.update(goes_on=goes_on, table=painter.text_encoder_2.get_input_embeddings()(torch.tensor([5])))
        raise InterruptedError

    shutil.copytree(work / "mini", tmp_path / "mini")
    shutil.copytree(work / "latents", tmp_path / "latents")
    shipped = {"mini": work / "mini", "mini-xl": work / "mini-xl-own"}
    monkeypatch.setattr(stages, "embedded_model", lambda name="mini": shipped[name])
    monkeypatch.setattr(stages, "begin_own", begin)
    with pytest.raises(InterruptedError):
        list(stages.sdxl([work / "pictures"], tmp_path, 0.0, arch=TOY_XL))
    encoder = load_file(work / "mini-xl-own" / "text_encoder_2" / "model.safetensors")
    (table,) = (value for name, value in encoder.items() if name.endswith("token_embedding.weight"))
    assert told["goes_on"]
    torch.testing.assert_close(told["table"][0], table[5].float(), atol=1e-3, rtol=1e-3)
    (tmp_path / "sdxl").mkdir()
    (tmp_path / "sdxl" / "sdxl.safetensors").touch()
    with pytest.raises(SettingError, match=r"empty .*sdxl to begin anew"):
        list(stages.sdxl([work / "pictures"], tmp_path, 0.0, arch=TOY_XL))


@torch.no_grad()
def nearest_error(painter: XlPainter, mini: SdPainter, ids: torch.Tensor) -> float:
    """How far the second encoder is from what the other model's says, at best."""
    best = nearest_map(painter.text_encoder, painter.text_encoder_2, ids)
    said = painter.text_encoder_2(ids, output_hidden_states=True).hidden_states[-2] @ best.T
    return float((said - mini.text_encoder(ids).last_hidden_state).square().mean())


def test_some_pictures_are_told_by_the_second_encoder_alone(work: Path) -> None:
    painter, words = taken_over(TOY_XL, work / "mini")
    data = TwiceTold(PictureSet(work / "pictures"), work / "latents" / "64", words)
    (heard,) = data.beside(torch.zeros(1000).long(), torch.Generator().manual_seed(0))
    assert 0.85 < heard.float().mean() < 0.95
    ids = token_ids(words, [PROMPT] * 2)
    told = painter.conditions(torch.zeros(2, 4, 8, 8), torch.zeros(2), ids, torch.tensor([True, False]))
    both, alone = told["encoder_hidden_states"].split(1)
    width = TOY_XL.text_width
    assert both[..., :width].any() and not alone[..., :width].any()
    torch.testing.assert_close(both[..., width:], alone[..., width:])


def test_what_the_package_takes_becomes_the_same_model(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "embedded_model", lambda name="mini": tmp_path / name)
    with pytest.raises(ModelError, match="weights of mini-xl are not there"):
        load_backbone("mini-xl")
    shutil.copytree(work / "mini-xl-own", tmp_path / "mini-xl")
    with pytest.raises(ModelError, match="needs the weights of mini"):
        load_backbone("mini-xl")
    shutil.copytree(work / "mini", tmp_path / "mini")
    whole, composed = load_backbone(work / "mini-xl"), load_backbone("mini-xl")
    for part in ("unet", "vae", *whole.encoder_names):
        pairs = zip(*(getattr(one.pipeline, part).state_dict().items() for one in (whole, composed)), strict=True)
        assert all(name == same and torch.equal(value, other) for (name, value), (same, other) in pairs)
    assert all(is_own(name) for name in load_file(work / "mini-xl-own" / WEIGHTS))
    painter, words = taken_over(TOY_XL, work / "mini")
    assert take_shipped_xl(painter, words, work / "mini-xl-own", work / "mini")
    assert not take_shipped_xl(painter, words, work / "mini", work / "mini")
    (tmp_path / "mini-xl" / WEIGHTS).write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="not a whole safetensors file"):
        load_backbone("mini-xl")


def test_it_keeps_its_budget() -> None:
    painter, _ = taken_over(XlArchitecture(), embedded_model())
    unet = sum(value.numel() for name, value in painter.unet.state_dict().items() if is_own(name))
    assert 2 * (unet + count_parameters(painter.text_encoder_2)) < 4.6e6


@pytest.fixture(scope="module")
def mini_xl() -> Backbone:
    return load_backbone("mini-xl")


@shipped
def test_the_shipped_model_saved_whole_draws_the_same_in_plain_diffusers(mini_xl: Backbone, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["base", "save", str(tmp_path / "whole")])
    assert result.exit_code == 0, result.output
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]
    pipe = StableDiffusionXLPipeline.from_pretrained(tmp_path / "whole")
    pipe.set_progress_bar_config(disable=True)
    call = {"num_inference_steps": 2, "output_type": "np"}
    pictures = [
        one(PROMPT, generator=torch.Generator().manual_seed(0), **call).images[0] for one in (pipe, mini_xl.pipeline)
    ]
    np.testing.assert_array_equal(*pictures)


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(SettingError, match="there already"):
        CliRunner().invoke(app, ["base", "save", str(tmp_path)], catch_exceptions=False)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@shipped
@torch.no_grad()
def test_both_encoders_and_the_pooled_text_say_what_is_drawn(mini_xl: Backbone) -> None:
    def states(text: str) -> tuple[torch.Tensor, torch.Tensor]:
        words, _, pooled, _ = mini_xl.pipeline.encode_prompt(text, do_classifier_free_guidance=False)
        return words, pooled

    (words, pooled), (others, other) = states(PROMPT), states("a photo of a dog")
    first = mini_xl.text_encoders[0].config.hidden_size
    sizes = torch.tensor([[128.0, 128, 0, 0, 128, 128]])
    noisy, t = torch.randn(1, 16, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor([200])

    def predicted(words: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        added = {"text_embeds": pooled, "time_ids": sizes}
        return mini_xl.unet(noisy, t, encoder_hidden_states=words, added_cond_kwargs=added).sample

    plain = predicted(words, pooled)
    first_else = torch.cat([others[..., :first], words[..., first:]], dim=-1)
    second_else = torch.cat([words[..., :first], others[..., first:]], dim=-1)
    heard = (
        (predicted(first_else, pooled), 1e-5),
        (predicted(second_else, pooled), 1e-5),
        (predicted(words, other), 1e-6),
    )
    for changed, least in heard:
        assert (changed - plain).square().mean() > least * plain.square().mean()


@shipped
def test_its_trunk_is_minis(mini_xl: Backbone) -> None:
    mini = load_backbone("mini")
    for name, value in mini.unet.state_dict().items():
        if not is_own(name):
            assert torch.equal(value, mini_xl.unet.state_dict()[name])
