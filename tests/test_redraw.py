"""Photos unlike what the model draws: told apart from its own kind, and learned from what the model makes of them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_backbone
from typer.testing import CliRunner

from onephoto import api
from onephoto.backbone.load import Backbone, load_backbone
from onephoto.cli import app
from onephoto.cli.demo import portrait
from onephoto.errors import SettingError
from onephoto.evaluate.embedded import rendered_faces
from onephoto.evaluate.plan import learning_settings
from onephoto.generate.redraw import redrawn
from onephoto.identity.file import load
from onephoto.identity.photo import read_photo
from onephoto.learn.strange import strangeness
from onephoto.methods.recipe import class_prompt

PROMPT = "a photo of a person"
FEW = {"steps": 1, "batch_size": 2}


def noise(side: int = 32) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8))


def test_the_class_word_has_an_article() -> None:
    assert class_prompt("a photo of {}", "dog") == "a photo of a dog"
    assert class_prompt("a photo of a {}", "dog") == "a photo of a dog"
    assert class_prompt("the face of {}", "") == "the face of a"


def test_the_embedded_model_tells_photos_from_what_it_draws() -> None:
    backbone = load_backbone("mini", dtype=torch.bfloat16)
    above = learning_settings("mini")["sefi"]["strange_above"]
    photo = read_photo(portrait(), size=128).image
    assert strangeness(backbone, photo, PROMPT) > above
    for seed in (90_000, 90_001, 90_002):
        assert strangeness(backbone, rendered_faces(seed, 1)[0], PROMPT) < above
    again = redrawn(backbone, photo, PROMPT, count=1, seed=0)[0]
    assert strangeness(backbone, again, PROMPT) < above
    # It is the same head in the same place: far nearer to the photo than another photo would be.
    near, far = (np.abs(np.asarray(one, int) - np.asarray(photo)).mean() for one in (again, photo.rotate(180)))
    assert near < far / 2


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_redrawings_repeat_with_their_seed(family: str) -> None:
    backbone = tiny_backbone(family)
    photo = noise()
    state = torch.get_rng_state()
    first, second = redrawn(backbone, photo, PROMPT, count=2, seed=3)
    assert first.size == (backbone.image_size, backbone.image_size)
    assert torch.equal(state, torch.get_rng_state())
    assert np.array_equal(redrawn(backbone, photo, PROMPT, count=1, seed=4)[0], second)
    assert not np.array_equal(first, second)


def learning(backbone: Backbone, **settings: float) -> api.Learning:
    return api.Learning(backbone, [noise()], api.LearnRequest(name="v", settings=FEW | settings))


def test_strange_photos_alone_are_redrawn() -> None:
    backbone = tiny_backbone("sd1")
    assert learning(backbone).redrawn == learning(backbone, redraws=2, strange_above=9.0).redrawn == 0
    plain, near = learning(backbone), learning(backbone, redraws=2, strange_above=0.0)
    assert near.redrawn == near.identity().metadata["redrawn"] == 1
    batches = [one.draw_batch(0, torch.Generator().manual_seed(0)).latents for one in (plain, near)]
    assert not torch.allclose(*batches)


def test_a_negative_number_of_redrawings_is_refused() -> None:
    with pytest.raises(SettingError, match="redraws is -1"):
        learning(tiny_backbone("sd1"), redraws=-1)


def test_the_command_says_what_it_learned_from(tmp_path: Path) -> None:
    common = ["learn", str(portrait()), "--name", "ann", "--steps", "1"]
    told = CliRunner().invoke(app, [*common, "--out", str(tmp_path / "a.safetensors")])
    assert told.exit_code == 0 and "what the model makes of" in told.stdout
    assert load(tmp_path / "a.safetensors").metadata["redrawn"] == 1
    plain = CliRunner().invoke(app, [*common, "--redraws", "0", "--out", str(tmp_path / "b.safetensors")])
    assert plain.exit_code == 0 and "makes of" not in plain.stdout
