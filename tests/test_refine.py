"""Small faces drawn again: only around them does a picture change, by their own person, and the same for a seed."""

import importlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from adapters import somebody
from PIL import Image
from tiny import tiny_backbone
from typer.testing import CliRunner

import onephoto
from onephoto import api
from onephoto.backbone.load import Backbone
from onephoto.cli import app, people
from onephoto.cli.demo import portrait
from onephoto.errors import SettingError
from onephoto.generate import refine
from onephoto.generate.draw import DrawSettings
from onephoto.generate.redraw import holding, image_to_image, redrawn
from onephoto.generate.refine import Faces, face_text, pasted, soft_mask
from onephoto.generate.samplers import sampler
from onephoto.generate.save import read_settings
from onephoto.identity.faces import Face
from onephoto.identity.photo import around, inside

SETTINGS, TEXT = DrawSettings(steps=2, size=48), "a photo of <alice>"
BOX = (30, 30, 36, 36)
CLASSES = {"alice": "person", "bob": "man"}


@pytest.fixture(params=["sd1", "sdxl"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return tiny_backbone(request.param)


def found(monkeypatch: pytest.MonkeyPatch, *boxes: tuple[int, int, int, int]) -> None:
    """As if the detector found these faces; noise shows none."""
    monkeypatch.setattr(refine, "detect_faces", lambda image: [Face(box, 1.0) for box in boxes])


def drawn(backbone: Backbone, faces: Faces | None, *, seed: int = 0, text: str = TEXT, **options: Any) -> np.ndarray:
    identities = [somebody(backbone.pipeline), somebody(backbone.pipeline, 1, "bob")]
    (image,) = api.generate(backbone, text, identities, seeds=[seed], settings=SETTINGS, faces=faces, **options)
    return np.asarray(image, int)


def square() -> tuple[slice, slice]:
    left, top, right, bottom = inside(around(BOX), (48, 48))
    return slice(top, bottom), slice(left, right)


def test_only_the_face_changes_and_a_seed_repeats_it(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch, BOX)
    before = backbone.pipeline.scheduler
    plain, again = drawn(backbone, None), drawn(backbone, Faces())
    changed = abs(again - plain).max(-1)
    assert changed[square()].max() > 2
    changed[square()] = 0
    assert not changed.any()
    assert np.array_equal(drawn(backbone, Faces()), again)
    assert np.array_equal(drawn(backbone, None), plain) and backbone.pipeline.scheduler is before


def test_a_face_is_drawn_as_its_person_by_its_seed_and_strength(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone()
    identities = [somebody(backbone.pipeline)]
    found(monkeypatch, BOX)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8))
    tables, classes = api.tables_of(backbone, identities)

    def again(text: str = TEXT, seed: int = 0, **options: float) -> np.ndarray:
        (made,) = refine.refined(
            backbone, [image], [text], tables, classes=classes, seeds=[seed], settings=DrawSettings(steps=5, size=48),
            faces=Faces(**options),
        )  # fmt: skip
        return np.asarray(made)[square()]

    variants = [again(), again("a photo of person"), again(seed=1), again(strength=0.9)]
    assert all(not np.array_equal(a, b) for number, a in enumerate(variants) for b in variants[:number])


@pytest.mark.parametrize("name", ["ddim", "euler-a", "dpm++", "heun", "pndm", "unipc", "lcm"])
def test_what_is_held_is_the_picture_at_the_noise_of_the_next_step(name: str) -> None:
    backbone = tiny_backbone()
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8))
    pipe = image_to_image(backbone.pipeline)
    latents = backbone.encode_image(pipe.image_processor.preprocess(image), mean=True)
    left = torch.zeros(latents.shape[2:], dtype=torch.bool)
    left[:, : left.shape[1] // 2] = True
    hold, held, given = holding(latents, left, [0]), [], []

    def after(pipe: Any, step: int, timestep: Any, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        changed = hold(pipe, step, timestep, tensors)
        assert torch.equal(changed["latents"][..., left], tensors["latents"][..., left])
        held.append(changed["latents"][..., ~left])
        return changed

    def scaled(sample: torch.Tensor, timestep: Any, *args: Any) -> torch.Tensor:
        given.append(timestep)
        return scale(sample, timestep, *args)

    with sampler(pipe, name):
        scale = pipe.scheduler.scale_model_input
        pipe.scheduler.scale_model_input = scaled
        redrawn(
            pipe, [image], {"prompt": ["a photo"]}, strength=0.5, steps=6, guidance=2.0, seeds=[0],
            after_step=after,
        )  # fmt: skip
        kept = latents[..., ~left]
        assert len(held) == len(given) >= 3 and torch.equal(held[-1], kept)
        # Away from the picture by as much noise as there is at the timestep that comes next.
        for one, timestep in zip(held, given[1:], strict=False):
            signal, noise = scales_at(pipe.scheduler, timestep)
            assert float((one - signal * kept).std()) == pytest.approx(noise, rel=0.35)


def scales_at(scheduler: Any, timestep: Any) -> tuple[float, float]:
    """How large picture and noise are in latents at a timestep; schedulers of sigmas leave the picture as it is."""
    share = float(scheduler.alphas_cumprod[int(timestep)])
    signal, noise = math.sqrt(share), math.sqrt(1 - share)
    return (1.0, noise / signal) if float(scheduler.init_noise_sigma) > 1 else (signal, noise)


def test_parts_of_a_batch_are_guided_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch, BOX)
    backbone = tiny_backbone()
    images = [Image.fromarray(np.random.default_rng(k).integers(0, 255, (48, 48, 3), np.uint8)) for k in range(2)]
    settings = DrawSettings(steps=13, size=48, perturbed=True)

    def again() -> np.ndarray:
        made = refine.refined(backbone, images, ["a photo"] * 2, {}, classes={}, seeds=[0, 1], settings=settings)
        return np.stack([np.asarray(one, int) for one in made])

    together = again()
    monkeypatch.setattr(importlib.import_module("onephoto.generate.draw"), "BATCH_PIXELS", 1)
    assert abs(again() - together).max() <= 2


def test_faces_of_several_pictures_are_drawn_together_as_each_alone(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(monkeypatch, BOX, (4, 4, 10, 10))
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 255, (48, 48, 3), np.uint8)) for _ in range(3)]
    texts, seeds = ["a photo of <alice>", "a photo of person", "<alice> in oil"], [0, 1, 2]
    tables, classes = api.tables_of(backbone, [somebody(backbone.pipeline)])

    def again(*places: int) -> np.ndarray:
        images_, texts_, seeds_ = ([one[place] for place in places] for one in (images, texts, seeds))
        made = refine.refined(backbone, images_, texts_, tables, classes=classes, seeds=seeds_, settings=SETTINGS)
        return np.stack([np.asarray(one, int) for one in made])

    together, alone = again(0, 1, 2), np.concatenate([again(place) for place in range(3)])
    assert abs(together - alone).max() <= 2
    assert all(abs(together[place] - np.asarray(images[place], int)).max() > 5 for place in range(3))


def test_large_faces_and_pictures_without_one_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone()
    plain = drawn(backbone, None)
    assert np.array_equal(drawn(backbone, Faces()), plain)
    found(monkeypatch, (10, 10, 17, 17))
    assert np.array_equal(drawn(backbone, Faces(largest=0.4)), plain)
    assert not np.array_equal(drawn(backbone, Faces(largest=0.5)), plain)


def test_of_several_people_regions_say_whose_face_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, text = tiny_backbone(), "<alice> and <bob>"
    found(monkeypatch, BOX)
    assert np.array_equal(drawn(backbone, Faces(), text=text), drawn(backbone, None, text=text))
    regions = {"alice": (0.0, 0.0, 0.5, 1.0), "bob": (24.0, 0.0, 48.0, 48.0)}
    plain = drawn(backbone, None, text=text, regions=regions)
    assert not np.array_equal(drawn(backbone, Faces(), text=text, regions=regions), plain)


def test_looking_shows_the_refined_picture_and_the_maps_of_the_first(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(monkeypatch, BOX)
    people = [somebody(backbone.pipeline)]
    plain, again = (api.look(backbone, TEXT, people, settings=SETTINGS, faces=faces) for faces in (None, Faces()))
    assert torch.equal(plain.maps, again.maps)
    assert not np.array_equal(np.asarray(plain.image), np.asarray(again.image))
    assert np.array_equal(np.asarray(again.image, int), drawn(backbone, Faces()))


def test_the_words_for_a_face() -> None:
    left, right = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
    places, both = {"alice": left, "bob": right}, "<Alice> and <bob> in oil"
    assert face_text(both, CLASSES, places, (0.2, 0.5)) == "<Alice> and man in oil"
    assert face_text(both, CLASSES, places, (0.8, 0.5)) == "person and <bob> in oil"
    assert face_text(both, CLASSES, places, (0.5, 0.5)) is None and face_text(both, CLASSES, {}, (0.2, 0.5)) is None
    for alone in ("<alice> in oil", "a <cat-toy>", "a dog"):
        assert face_text(alone, CLASSES, {}, (0.2, 0.5)) == alone


def test_the_mask_is_whole_at_the_face_and_nothing_at_the_edge() -> None:
    mask = soft_mask(80, 80)
    assert mask[40, 40] == 1 and mask[40, 12] == 1 and mask[0].max() < 0.01 and mask[:, 0].max() < 0.01
    image, new = Image.new("RGB", (10, 10), "red"), Image.new("RGB", (8, 8), "blue")
    half_outside = np.asarray(pasted(image, new, (-4, -4, 4, 4)))
    assert half_outside[0, 0].tolist() == [0, 0, 255] and half_outside[4:, 4:, 0].min() == 255


@pytest.mark.parametrize("strength", [0, 1.2, -1])
def test_a_strength_that_makes_no_sense_is_refused(strength: float) -> None:
    with pytest.raises(SettingError, match="strength of refining faces"):
        Faces(strength=strength)


def test_a_small_face_is_found_where_it_is() -> None:
    picture = Image.new("RGB", (400, 400), "grey")
    with Image.open(portrait()) as photo:
        picture.paste(photo.convert("RGB").resize((200, 200)), (180, 40))
    (again,) = refine.refined(
        tiny_backbone(), [picture], ["a photo of person"], {}, classes={}, seeds=[0], settings=SETTINGS,
        faces=Faces(largest=10),
    )  # fmt: skip
    changed = abs(np.asarray(again, int) - np.asarray(picture, int)).max(-1)
    assert changed[40:240, 180:380].max() > 5 and not changed[:, :120].any() and not changed[320:].any()


def test_the_command(tmp_path: Path) -> None:
    backbone = tiny_backbone()
    backbone.pipeline.save_pretrained(tmp_path / "model")
    onephoto.save_identity(tmp_path / "alice.safetensors", somebody(backbone.pipeline))
    words = ["generate", "<alice>", "-i", "alice.safetensors", "--model", "model", "--steps", "2", "--refine-faces"]
    words = [str(tmp_path / word) if word in ("alice.safetensors", "model") else word for word in words]
    result = CliRunner().invoke(app, [*words, "--out", str(tmp_path)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert read_settings(tmp_path / "alice-seed0.png")["refined_faces"] == {"strength": 0.4, "largest": 0.4}


def test_faces_are_refined_on_embedded_models_unless_told_otherwise() -> None:
    other = tiny_backbone()
    mini = replace(other, model_id="mini")
    assert people.faces_asked(None, other) is None and people.faces_asked(None, mini) == Faces()
    assert people.faces_asked(True, other) == Faces() and people.faces_asked(False, mini) is None
    assert people.faces_asked(None, mini, ["dog"]) is None and people.faces_asked(None, mini, ["dog", "man"]) == Faces()
