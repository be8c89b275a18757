from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler
from PIL import Image
from tiny import tiny_backbone

from onephoto import api
from onephoto.backbone.load import Backbone
from onephoto.errors import IdentityFileError, ModelError, SettingError
from onephoto.generate.draw import DrawSettings
from onephoto.generate.samplers import SAMPLERS, sampler
from onephoto.generate.save import read_settings, save_picture
from onephoto.identity.file import IdentityFile, load, save
from onephoto.look.heatmap import coloured, heatmap, word_strip
from onephoto.look.sheet import contact_sheet

FEW = DrawSettings(steps=2)
TEXT = "a photo of <alice> at the beach"


@pytest.fixture(scope="module", params=["sd1", "sd2", "sdxl"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return tiny_backbone(request.param)


def photo() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8))


def learned(backbone: Backbone, **options: object) -> IdentityFile:
    request = api.LearnRequest(name="Alice", settings={"steps": 3, "heads": 4, "learning_rate": 0.05}, **options)
    return api.learn(backbone, [photo()], request)


def test_one_photo_to_pictures(backbone: Backbone, tmp_path: Path) -> None:
    identity = learned(backbone)
    save(tmp_path / "alice.safetensors", identity)
    again = load(tmp_path / "alice.safetensors")
    first = api.generate(backbone, TEXT, [identity], seeds=[1, 2], settings=FEW)
    second = api.generate(backbone, TEXT, [again], seeds=[1, 2], settings=FEW)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], first[1])


def test_prompts_drawn_together_are_as_alone(backbone: Backbone) -> None:
    people, settings = [learned(backbone)], FEW
    texts = ["a photo of <alice>", "<alice> on a beach at night", "a dog"]
    together = api.generate(backbone, texts, people, seeds=[3, 4, 5], settings=settings)
    for text, seed, image in zip(texts, (3, 4, 5), together, strict=True):
        (alone,) = api.generate(backbone, text, people, seeds=[seed], settings=settings)
        assert np.abs(np.asarray(image, int) - np.asarray(alone, int)).max() <= 2
    with pytest.raises(SettingError, match="2 prompts for 3 seeds"):
        api.generate(backbone, texts[:2], people, seeds=[3, 4, 5], settings=settings)


def test_strength_nought_is_the_class_word(backbone: Backbone) -> None:
    identity = learned(backbone)
    draw = {"seeds": [1], "settings": FEW}
    plain = api.generate(backbone, TEXT.replace("<alice>", "person"), [], **draw)[0]
    nothing = api.generate(backbone, TEXT, [identity], strengths={"alice": 0}, **draw)[0]
    person = api.generate(backbone, TEXT, [identity], **draw)[0]
    assert abs(np.asarray(nothing, int) - np.asarray(plain, int)).max() <= 1
    assert not np.array_equal(person, plain)
    with pytest.raises(SettingError, match="bob"):
        api.generate(backbone, TEXT, [identity], strengths={"bob": 1}, **draw)


def test_looking_changes_no_picture_and_maps_every_word(backbone: Backbone) -> None:
    identity = learned(backbone)
    seen = api.look(backbone, TEXT, [identity], seed=1, settings=FEW)
    assert np.array_equal(seen.image, api.generate(backbone, TEXT, [identity], seeds=[1], settings=FEW)[0])
    assert [word.text for word in seen.words] == TEXT.split()
    assert seen.maps.shape == (7, backbone.latent_size, backbone.latent_size)
    assert (seen.maps >= 0).all() and (seen.maps.sum(0) < 1).all()


def test_both_methods_pass_through_the_same_door(backbone: Backbone) -> None:
    request = api.LearnRequest(name="bob", method="textual-inversion", settings={"steps": 2})
    bob = api.learn(backbone, [photo()], request)
    pictures = api.generate(backbone, "<alice> and <bob>", [learned(backbone), bob], seeds=[3], settings=FEW)
    assert len(pictures) == 1
    with pytest.raises(SettingError, match="two identities"):
        api.tables_of(backbone, [bob, bob])


def test_a_file_of_another_model_is_refused() -> None:
    with pytest.raises(IdentityFileError, match=r"tiny-sd1.*tiny-sdxl"):
        api.tables_of(tiny_backbone("sdxl"), [learned(tiny_backbone("sd1"))])


def test_an_interrupted_run_ends_like_a_whole_one(tmp_path: Path) -> None:
    backbone, path = tiny_backbone("sd1"), tmp_path / "run.checkpoint"
    request = api.LearnRequest(name="alice", settings={"steps": 4, "heads": 4})
    broken = api.Learning(backbone, [photo()], request, checkpoint_path=path)
    for report in broken:
        if report.step == 2:
            broken.save()
            break
    resumed = api.Learning(backbone, [photo()], request, checkpoint_path=path, resume=True)
    steps = [report.step for report in resumed]
    whole = api.learn(backbone, [photo()], request)
    assert steps == [3, 4]
    assert torch.equal(resumed.identity().tensors["tokens.text_encoder"], whole.tensors["tokens.text_encoder"])
    other = api.LearnRequest(name="alice", settings={"steps": 5, "heads": 4})
    with pytest.raises(SettingError, match="another run"):
        api.Learning(backbone, [photo()], other, checkpoint_path=path, resume=True)


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_numbers_learn_and_draw_at_any_size(family: str, dtype: torch.dtype) -> None:
    backbone = tiny_backbone(family)
    backbone.pipeline.to(dtype=dtype)
    request = api.LearnRequest(name="alice", settings={"steps": 2, "heads": 4}, size=24)
    identity = api.learn(backbone, [photo()], request)
    assert all(rows.isfinite().all() for rows in identity.tensors.values())
    image = api.generate(backbone, TEXT, [identity], seeds=[0], settings=DrawSettings(steps=2, size=24))[0]
    assert image.size == (24, 24) and np.asarray(image).std() > 0
    assert backbone.vae.dtype == dtype


def test_an_autoencoder_that_overflows_in_float16_computes_in_float32() -> None:
    backbone = tiny_backbone("sdxl")
    backbone.vae.half()
    seen: list[torch.dtype] = []
    backbone.vae.encoder.conv_in.register_forward_pre_hook(lambda module, args: seen.append(args[0].dtype))
    pixels = torch.zeros(1, 3, 16, 16)
    backbone.encode_image(pixels)
    backbone.vae.register_to_config(force_upcast=False)
    backbone.encode_image(pixels)
    assert seen == [torch.float32, torch.float16] and backbone.vae.dtype == torch.float16


def test_the_u_net_hears_the_size_that_is_learned_at() -> None:
    backbone = tiny_backbone("sdxl")
    heard: list[list[float]] = []
    backbone.unet.register_forward_pre_hook(
        lambda module, args, kwargs: heard.append(kwargs["added_cond_kwargs"]["time_ids"][0].tolist()), with_kwargs=True
    )
    api.learn(backbone, [photo()], api.LearnRequest(name="a", settings={"steps": 1, "heads": 4}, size=24))
    assert heard and all(size == [24, 24, 0, 0, 24, 24] for size in heard)


@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_a_picture_that_is_no_numbers_is_refused() -> None:
    backbone = tiny_backbone("sd1")
    backbone.vae.decoder.conv_out.bias.fill_(torch.nan)
    with pytest.raises(ModelError, match="--dtype float32"):
        api.generate(backbone, "a dog", [], seeds=[0], settings=FEW)


def test_a_size_that_no_model_takes_is_refused() -> None:
    with pytest.raises(SettingError, match="multiple of 8"):
        api.LearnRequest(name="alice", size=100)


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_draw_and_are_taken_out_again(name: str) -> None:
    backbone = tiny_backbone("sd1")
    before = backbone.pipeline.scheduler
    settings = DrawSettings(steps=3, sampler=name)
    assert np.asarray(api.generate(backbone, "a dog", [], seeds=[0], settings=settings)[0]).std() > 0
    assert backbone.pipeline.scheduler is before


@pytest.mark.parametrize(
    ("name", "steps", "guidance"), [("lcm", 4, 1.0), ("euler-trailing", 4, 0.0), ("euler-a", 1, 0.0)]
)
def test_few_steps_without_guidance_draw_the_person(backbone: Backbone, name: str, steps: int, guidance: float) -> None:
    """The settings of distilled models, LCM, Lightning and Turbo: no negative prompt is beside the prompt then."""
    settings = DrawSettings(steps=steps, guidance=guidance, sampler=name)
    person = api.generate(backbone, TEXT, [learned(backbone)], settings=settings)[0]
    plain = api.generate(backbone, TEXT.replace("<alice>", "person"), [], settings=settings)[0]
    assert np.asarray(person).std() > 0 and not np.array_equal(person, plain)


def test_few_steps_begin_at_the_last_timestep_where_the_sampler_is_a_trailing_one() -> None:
    pipe = tiny_backbone("sdxl").pipeline
    pipe.scheduler = EulerDiscreteScheduler(timestep_spacing="leading", steps_offset=1)  # as XL's base has it
    for name, first in (("euler-trailing", 999), ("euler", 751)):
        with sampler(pipe, name):
            pipe.scheduler.set_timesteps(4)
            assert int(pipe.scheduler.timesteps[0]) == first


def test_an_unknown_sampler_is_refused_with_those_known() -> None:
    backbone = tiny_backbone("sd1")
    with pytest.raises(SettingError, match="euler-a"), sampler(backbone.pipeline, "magic"):
        pass


def test_pictures_keep_their_settings_and_overwrite_nothing(tmp_path: Path) -> None:
    settings = {"prompt": TEXT, "seed": 42, "model": "mini", "negative_prompt": "ünscharf"}
    first, second = (save_picture(tmp_path, photo(), settings) for _ in range(2))
    assert first.name == "a-photo-of-alice-at-the-beach-seed42.png"
    assert second.name == "a-photo-of-alice-at-the-beach-seed42-2.png"
    assert read_settings(first) == settings
    assert len(list(tmp_path.iterdir())) == 2
    photo().save(tmp_path / "other.png")
    with pytest.raises(SettingError, match="not made by onephoto"):
        read_settings(tmp_path / "other.png")


def test_heat_is_where_the_map_is_high() -> None:
    word_map = np.zeros((8, 8), np.float32)
    word_map[2, 6] = 1
    hot = np.asarray(heatmap(Image.new("RGB", (64, 64), (90, 90, 90)), word_map), np.float32).sum(-1)
    row, column = np.unravel_index(hot.argmax(), hot.shape)
    assert abs(row - 20) < 5 and abs(column - 52) < 5
    assert coloured(np.array([[0.0, 1.0]])).sum(-1).ravel().tolist() == [4, 671]


def test_sheets_hold_all_their_pictures() -> None:
    red, blue = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "blue")
    sheet = contact_sheet([[red, blue], [blue, red]], titles=["one", "a very long title indeed"], labels=["x", "y"])
    colours = dict((colour, count) for count, colour in sheet.getcolors(100_000))
    assert colours[(255, 0, 0)] == colours[(0, 0, 255)] == 2 * 192 * 192
    assert word_strip(red, list("abcdefg"), np.ones((7, 4, 4))).height > 2 * 192
