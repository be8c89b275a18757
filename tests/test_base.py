from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, UNet2DConditionModel
from toy_base import TOY, toy_pictures

from onephoto.backbone.load import load_backbone
from onephoto.base import stages
from onephoto.base.architecture import Architecture, build_text_encoder, build_unet, build_vae, count_parameters
from onephoto.base.shipped import take_shipped, take_shipped_text
from onephoto.base.tokenizer import END, build_tokenizer
from onephoto.base.training import OptimiserSettings, Trainer, is_hidden
from onephoto.base.vae import VaeSettings, crop_corners, shift_latents
from onephoto.errors import SettingError
from onephoto.world.captions import vocabulary
from onephoto.world.names import name_of


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return toy_pictures(tmp_path / "pictures")


def test_every_word_and_name_is_one_token(tmp_path: Path) -> None:
    words = [*vocabulary(), *(name_of(seed) for seed in range(3000))]
    tokenizer = build_tokenizer(tmp_path, words, 48)
    for word in words:
        assert len(tokenizer(word, add_special_tokens=False).input_ids) == 1, word
    tokenizer.save_pretrained(tmp_path / "saved")
    again = type(tokenizer).from_pretrained(tmp_path / "saved")
    assert again(words[7]).input_ids == tokenizer(words[7]).input_ids


def test_unknown_words_fall_back_to_bytes_never_to_the_end_token(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(tmp_path, ["photo"], 48)
    ids = tokenizer("zebra ü 漢 🙂 #", add_special_tokens=False).input_ids
    assert tokenizer.convert_tokens_to_ids(END) not in ids
    assert tokenizer.decode(ids).replace(" ", "") == "zebraü漢🙂#"


@pytest.mark.parametrize("orthogonalise", [False, True])
def test_a_resumed_trainer_ends_like_a_whole_one(tmp_path: Path, orthogonalise: bool) -> None:
    def trainer() -> Trainer:
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Unflatten(1, (2, 2, 2)), torch.nn.Conv2d(2, 1, 2))
        return Trainer(module.to(torch.bfloat16), OptimiserSettings(orthogonalise=orthogonalise))

    def steps(one: Trainer, numbers: range) -> Trainer:
        for number in numbers:
            inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(number)).to(torch.bfloat16)
            one.step(one.module(inputs).float().square().mean())
        return one

    whole = steps(trainer(), range(6))
    steps(trainer(), range(3)).save(tmp_path / "t.safetensors")
    resumed = trainer()
    resumed.load(tmp_path / "t.safetensors")
    steps(resumed, range(3, 6))
    for name, average in whole.average().items():
        assert torch.equal(average, resumed.average()[name])


def test_orthogonal_updates_reach_kernels_and_spare_embeddings() -> None:
    named = {"token_embedding.weight": (8, 4), "mid.conv1.weight": (4, 4, 3, 3), "conv_in.weight": (4, 2, 3, 3),
             "norm.weight": (4,), "ff.weight": (4, 4)}  # fmt: skip
    assert [n for n, shape in named.items() if is_hidden(n, torch.zeros(shape))] == ["mid.conv1.weight", "ff.weight"]
    kernel = torch.nn.Conv2d(4, 4, 3, bias=False).to(memory_format=torch.channels_last)
    before, twin = kernel.weight.detach().flatten(1).clone(), torch.nn.Conv2d(4, 4, 3, bias=False)
    twin.load_state_dict(kernel.state_dict())
    inputs = torch.randn(2, 4, 5, 5)
    for module in (kernel, twin):
        trainer = Trainer(module, OptimiserSettings(orthogonalise=True, warmup_steps=1, weight_decay=0.0))
        trainer.step(module(inputs).square().mean())
    torch.testing.assert_close(kernel.weight, twin.weight)
    spread = torch.linalg.svdvals(kernel.weight.detach().flatten(1) - before)
    assert spread.min() > 0.3 * spread.max()


def test_the_learning_rate_falls_to_zero_at_the_end_of_a_run() -> None:
    trainer = Trainer(torch.nn.Linear(2, 2), OptimiserSettings(learning_rate=1.0, warmup_steps=1, decay_share=0.5))
    assert [trainer.learning_rate(p) for p in (0.0, 0.5, 0.75, 1.0)] == [1.0, 1.0, 0.5, 0.0]


def test_all_stages_end_in_a_folder_that_plain_diffusers_draws_with(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "embedded_model", lambda: tmp_path / "nothing shipped")
    work = tmp_path / "work"
    work.mkdir()
    with pytest.raises(SettingError, match="stage vae first"):
        list(stages.latents([pictures], work))
    lines = list(stages.vae([pictures], work, 0.02, arch=TOY))
    assert "dB" in lines[-1]
    encoder = AutoencoderKL.from_pretrained(work / "vae").encoder.state_dict()
    assert "dB" in list(stages.decoder([pictures], work, 0.01))[-1]
    after = AutoencoderKL.from_pretrained(work / "vae")
    assert all(torch.equal(value, encoder[name]) for name, value in after.encoder.state_dict().items())
    list(stages.latents([pictures], work))
    done = (work / "latents" / "64" / pictures.name / "0000.npy").stat().st_mtime_ns
    list(stages.latents([pictures], work))
    assert (work / "latents" / "64" / pictures.name / "0000.npy").stat().st_mtime_ns == done
    list(stages.latents([pictures], work, size=32))
    assert np.load(work / "latents" / "32" / pictures.name / "0000.npy").shape[-2:] == (4, 4)
    list(stages.diffusion([pictures], work, 0.005, size=32, arch=TOY))
    first = list(stages.diffusion([pictures], work, 0.02, arch=TOY))[-1]
    warmed: list[UNet2DConditionModel] = []
    monkeypatch.setattr(UNet2DConditionModel, "compile", lambda unet: warmed.append(unet))
    second = list(stages.diffusion([pictures], work, 0.02, arch=TOY, compiled=True))[-1]
    assert len(warmed) == 1
    assert int(second.split()[1][:-1]) > int(first.split()[1][:-1]) > 0
    list(stages.export(work, arch=TOY))
    assert str(tmp_path) not in (work / "mini" / "vae" / "config.json").read_text()
    pipe = DiffusionPipeline.from_pretrained(work / "mini")
    image = pipe("a photo of a man", num_inference_steps=2).images[0]
    assert image.size == (64, 64)
    assert load_backbone(work / "mini").family == "sd1"


def test_the_unet_keeps_its_budget() -> None:
    assert 10e6 < count_parameters(build_unet(Architecture())) < 13e6


def test_training_goes_on_from_shipped_weights_though_the_vocabulary_grew(tmp_path: Path) -> None:
    old, new = (build_tokenizer(tmp_path / str(k), words, 12) for k, words in enumerate((["man"], ["man", "robot"])))
    torch.manual_seed(0)
    before, after = build_text_encoder(TOY, old), build_text_encoder(TOY, new)
    before.save_pretrained(tmp_path / "mini" / "text_encoder")
    old.save_pretrained(tmp_path / "mini" / "tokenizer")
    fresh = after.get_input_embeddings().weight.detach().clone()
    assert take_shipped_text(after, new, folder=tmp_path / "mini")
    ids = {word: new(word, add_special_tokens=False).input_ids[0] for word in ("man", "robot")}
    rows = after.get_input_embeddings().weight
    assert torch.equal(rows[ids["man"]], before.get_input_embeddings().weight[old("man").input_ids[1]])
    assert torch.equal(rows[ids["robot"]], fresh[ids["robot"]])
    with torch.no_grad():
        said = [model(words("a man", return_tensors="pt").input_ids) for model, words in ((before, old), (after, new))]
    torch.testing.assert_close(said[0].last_hidden_state, said[1].last_hidden_state)


def test_weights_of_other_shapes_are_left_alone(tmp_path: Path) -> None:
    build_unet(TOY).save_pretrained(tmp_path / "unet")
    assert take_shipped(build_unet(TOY), "unet", folder=tmp_path)
    other = build_unet(replace(TOY, unet_channels=(32, 64)))
    before = {name: value.clone() for name, value in other.state_dict().items()}
    assert not take_shipped(other, "unet", folder=tmp_path)
    assert not take_shipped(other, "vae", folder=tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


def test_an_untrained_unet_predicts_nothing() -> None:
    unet = build_unet(TOY)
    noisy, words = torch.randn(1, 4, 8, 8), torch.randn(1, 3, 32)
    assert unet(noisy, 5, encoder_hidden_states=words).sample.abs().max() == 0


def test_crops_stay_inside_and_seek_faces() -> None:
    rng, face = np.random.default_rng(0), np.tile([0.5, 0.25, 0.75, 0.5], (500, 1))
    seeking, anywhere = VaeSettings(face_share=1.0), VaeSettings(face_share=0.0)
    about = crop_corners(face, 128, rng, seeking)
    # The face's middle lies at (48, 80), so a centred crop begins at (16, 48).
    assert about.min(0).tolist() == [0, 32] and about.max(0).tolist() == [32, 64]
    for corners in (crop_corners(face, 128, rng, anywhere), crop_corners(np.full((500, 4), np.nan), 128, rng, seeking)):
        assert corners.min() == 0 and corners.max() == 64


def test_latents_are_shifted_and_pictures_stay() -> None:
    torch.manual_seed(0)
    vae, pixels, shift = build_vae(TOY).eval(), torch.rand(1, 3, 32, 32), torch.randn(4)
    with torch.no_grad():
        before = vae.encode(pixels).latent_dist.mean
        shown = vae.decode(before).sample
        shift_latents(vae, shift)
        after = vae.encode(pixels).latent_dist.mean
        torch.testing.assert_close(after - before, shift[:, None, None].expand_as(after))
        torch.testing.assert_close(vae.decode(after).sample, shown)
