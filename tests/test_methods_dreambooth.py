from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny import drawn, seeded, tiny_backbone
from typer.testing import CliRunner

from onephoto.backbone.load import Backbone
from onephoto.backbone.prompts import encode_plain
from onephoto.cli import app
from onephoto.errors import SettingError
from onephoto.methods import class_prior
from onephoto.methods.class_prior import class_latents
from onephoto.methods.dreambooth import DreamBooth, DreamBoothSettings
from onephoto.methods.recipe import denoising


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return tiny_backbone("sd1")


def learner(backbone: Backbone, **settings: object) -> DreamBooth:
    chosen = DreamBoothSettings(**{"steps": 4, "class_images": 3, "class_steps": 1, **settings})
    return DreamBooth(backbone, subject="person", settings=chosen, seed=1)


def test_the_published_settings_are_the_defaults() -> None:
    settings = DreamBoothSettings()
    assert (settings.steps, settings.batch_size, settings.learning_rate) == (800, 1, 5e-6)
    assert (settings.prior_weight, settings.class_images, settings.identifier) == (1.0, 200, "sks")


def test_the_loss_is_the_sum_of_both_terms_by_the_formula(backbone: Backbone) -> None:
    method, batch = learner(backbone, prior_weight=0.5), drawn(backbone, 5)
    losses = method.loss(batch)
    own = denoising(backbone, batch, encode_plain(backbone, "a photo of the face of sks person"))
    assert method.prior is not None
    pictures = method.prior.batch(5, 2, backbone.num_timesteps)
    prior = denoising(backbone, pictures, encode_plain(backbone, "a photo of a person"))
    torch.testing.assert_close(losses["denoising"], own)
    torch.testing.assert_close(losses["prior"], prior)
    torch.testing.assert_close(losses["loss"], own + 0.5 * prior)


def test_without_weight_no_class_picture_is_drawn(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_prior, "class_latents", None)
    assert set(learner(backbone, prior_weight=0).loss(drawn(backbone, 5))) == {"loss", "denoising"}


def test_class_pictures_are_what_the_base_draws_and_take_turns(backbone: Backbone) -> None:
    method = learner(backbone)
    expected = backbone.pipeline(
        "a photo of a person", num_inference_steps=1, generator=[seeded(1)], height=16, width=16, output_type="latent"
    ).images
    assert method.prior is not None
    torch.testing.assert_close(method.prior.latents[1:2], expected)
    assert method.prior.latents.shape[0] == 3
    turns = torch.cat([method.prior.batch(step, 2, 1000).latents for step in range(3)])
    assert torch.equal(turns, method.prior.latents.repeat(2, 1, 1, 1))
    first, again, other = (method.prior.batch(step, 2, 1000).noise for step in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_people_of_one_model_share_class_pictures_and_no_more_are_drawn_than_used(backbone: Backbone) -> None:
    first, second = learner(backbone), learner(backbone)
    assert first.prior is not None and second.prior is not None
    assert first.prior.latents.data_ptr() == second.prior.latents.data_ptr()
    few = learner(backbone, steps=1, batch_size=2)
    assert few.prior is not None and len(few.prior.latents) == 2
    options = {"steps": 1, "guidance": 7.5}
    assert not torch.equal(class_latents(backbone, "a dog", 1, **options), few.prior.latents[:1])


def test_every_weight_learns_and_the_words_do_not(backbone: Backbone) -> None:
    method = learner(backbone)
    method.loss(drawn(backbone, 5))["loss"].backward()
    names = {name for name, _ in backbone.unet.named_parameters()}
    assert set(method.trained()) == names
    still = [name for name, weight in method.trained().items() if weight.grad is None or not weight.grad.any()]
    assert not still
    assert not any(rows.requires_grad for rows in method.table().vectors.values())


def test_the_file_keeps_two_bytes_a_weight(backbone: Backbone) -> None:
    kept = {name: gain for name, gain in learner(backbone).tensors().items() if name.startswith("unet.")}
    assert sum(gain.nbytes for gain in kept.values()) == 2 * sum(p.numel() for p in backbone.unet.parameters())


def test_the_commands_learn_draw_and_show_it(backbone: Backbone, tmp_path: Path) -> None:
    def run(*arguments: object) -> str:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    backbone.pipeline.save_pretrained(tmp_path / "model")
    Image.linear_gradient("L").convert("RGB").resize((80, 80)).save(tmp_path / "alice.png")
    model, file = ("--model", tmp_path / "model"), tmp_path / "alice.safetensors"
    learning = ("--no-crop", "--method", "dreambooth", "--steps", 1, "--out", file)
    run("learn", tmp_path / "alice.png", "--name", "alice", *learning, *model)
    drawing = ("-i", file, "--steps", 1, "--strength", "alice=0.5", "--out", tmp_path)
    run("generate", "a photo of <alice>", *drawing, *model)
    assert (tmp_path / "a-photo-of-alice-seed0.png").exists()
    numbers = sum(weight.numel() for weight in backbone.unet.parameters())
    assert f"unet.* {len(list(backbone.unet.parameters()))} tensors, {numbers} numbers" in run("inspect", file)


@pytest.mark.parametrize("settings", [{"prior_weight": -1}, {"class_images": 0}, {"class_steps": 0}])
def test_senseless_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(SettingError):
        DreamBoothSettings(**settings)
