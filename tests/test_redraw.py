"""Photos unlike what the model draws: told apart from its own kind, and learned from what the model makes of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_backbone
from typer.testing import CliRunner

from onephoto import api
from onephoto.backbone.load import load_backbone
from onephoto.cli import app
from onephoto.cli.demo import portrait
from onephoto.errors import SettingError
from onephoto.evaluate.embedded import rendered_faces
from onephoto.evaluate.plan import learning_settings, preset_settings, with_asked
from onephoto.generate.redraw import redrawings
from onephoto.identity.file import load
from onephoto.identity.photo import read_photo
from onephoto.learn.strange import strangeness
from onephoto.methods import get_method
from onephoto.methods.recipe import class_prompt
from onephoto.methods.sefi import SefiSettings

PROMPT = "a photo of a person"
FEW = {"steps": 1, "batch_size": 2}


def noise(seed: int = 0, side: int = 32) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8))


def test_the_class_word_has_an_article() -> None:
    assert class_prompt("a photo of {}", "dog") == "a photo of a dog"
    assert class_prompt("a photo of a {}", "dog") == "a photo of a dog"
    assert class_prompt("the {} in oil", "dog") == "the dog in oil" and class_prompt("pizza {}", "dog") == "pizza a dog"
    assert class_prompt("the face of {}", "") == "the face of a"


def test_the_embedded_model_tells_photos_from_what_it_draws() -> None:
    backbone = load_backbone("mini", dtype=torch.bfloat16)
    above = learning_settings("mini")["sefi"]["strange_above"]
    photo = read_photo(portrait(), size=128).image
    assert strangeness(backbone, photo, PROMPT) > above
    for seed in (90_000, 90_001, 90_002):
        assert strangeness(backbone, rendered_faces(seed, 1)[0], PROMPT) < above
    again = redrawings(backbone, photo, PROMPT, count=1, seed=0)[0]
    assert strangeness(backbone, again, PROMPT) < above
    # It is the same head in the same place: far nearer to the photo than another photo would be.
    near, far = (np.abs(np.asarray(one, int) - np.asarray(photo)).mean() for one in (again, photo.rotate(180)))
    assert near < far / 2


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_redrawings_repeat_with_their_seed(family: str) -> None:
    backbone = tiny_backbone(family)
    photo = noise()
    state = torch.get_rng_state()
    first, second = redrawings(backbone, photo, PROMPT, count=2, seed=3)
    assert first.size == (backbone.image_size, backbone.image_size)
    assert torch.equal(state, torch.get_rng_state())
    assert np.array_equal(redrawings(backbone, photo, PROMPT, count=2, seed=3)[1], second)
    alone = redrawings(backbone, photo, PROMPT, count=1, seed=4)[0]
    assert abs(np.asarray(alone, int) - np.asarray(second, int)).max() <= 2
    assert not np.array_equal(first, second)


def test_strange_photos_alone_are_redrawn_and_the_others_count_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    known, strange, seen = noise(1), noise(2), []
    monkeypatch.setattr(api, "strangeness", lambda backbone, photo, prompt: float(photo is strange))
    monkeypatch.setattr(api, "redrawings", lambda backbone, photo, prompt, *, count, seed: [(prompt, seed)] * count)
    monkeypatch.setattr(
        api, "encode_photos", lambda backbone, photos, **_: seen.append(list(photos)) or torch.zeros(2, 4, 4, 4)
    )

    def learned_from(photos: list[Image.Image], **settings: float) -> tuple[list[Any], int]:
        request = api.LearnRequest(name="v", subject="man", seed=7, settings=FEW | settings)
        learning = api.Learning(tiny_backbone("sd1"), photos, request)
        assert learning.identity().metadata["strange_photos"] == learning.strange_photos
        return seen.pop(), learning.strange_photos

    prompt, both = "a photo of the face of a man", [known, strange]
    assert learned_from(both) == (both, 0)
    assert learned_from([known], redraws=2, strange_above=0.5) == ([known], 0)
    # Seeds of the second photo come after those of the first.
    again = [(prompt, 9)] * 2
    assert learned_from(both, redraws=2, strange_above=0.5) == ([known, known, *again], 1)
    # Without a bound every photo is redrawn.
    assert learned_from(both, redraws=2) == ([(prompt, 7)] * 2 + again, 2)


def test_tokens_from_redrawn_photos_have_a_length_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    known = noise(1)
    monkeypatch.setattr(api, "strangeness", lambda backbone, photo, prompt: float(photo is not known))
    backbone, asked = tiny_backbone("sd1"), FEW | {"max_norm": 0.5, "redraws": 1, "strange_above": 0.5}
    word = backbone.class_vectors("person")["text_encoder"].norm(dim=-1).mean()

    def longest(*others: Image.Image, **settings: Any) -> float:
        learning = api.Learning(backbone, [noise(), *others], api.LearnRequest(name="v", settings=asked | settings))
        assert learning.identity().metadata["settings"]["max_norm"] == learning.settings.max_norm
        return float(learning.identity().tensors["tokens.text_encoder"].norm(dim=-1).max() / word)

    assert longest() == pytest.approx(0.5)
    longer = {"strange": {"max_norm": 0.7}}
    assert longest(**longer) == pytest.approx(0.7)
    assert longest(known, **longer) == pytest.approx(0.5)
    assert longest(**longer, redraws=0) == longest(**longer, strange_above=2) == pytest.approx(0.5)


def test_slots_steps_and_rate_are_others_where_photos_are_redrawn() -> None:
    backbone = tiny_backbone("sd1")

    def learned_by(**settings: Any) -> tuple[float, int, float]:
        usual = FEW | {"redraws": 1, "learning_rate": 1e-3, "warmup": 0, "decay": 0}
        learning = api.Learning(backbone, [noise()], api.LearnRequest(name="v", settings=usual | settings))
        size = float(learning.method.modules["text_encoder"].slots.detach().square().mean().sqrt())
        *_, last = learning
        kept = learning.identity().metadata
        assert kept["steps"] == kept["settings"]["steps"] == last.step
        assert kept["settings"]["learning_rate"] == last.learning_rate
        return size, last.step, last.learning_rate

    size, steps, rate = learned_by()
    other = {"strange": {"slot_size": 3.0, "steps": 2, "learning_rate": 2e-3}}
    assert learned_by(**other) == (pytest.approx(3 / SefiSettings().slot_size * size), 2, 2 * rate)
    assert learned_by(**other, redraws=0) == (size, steps, rate) == (size, 1, 1e-3)


def test_what_was_asked_for_holds_for_strange_photos() -> None:
    chosen = {"steps": 9, "strange": {"steps": 5, "max_norm": 3}}
    assert with_asked(chosen, {"steps": 7}) == {"steps": 7, "strange": {"max_norm": 3}}
    fewer = {"steps": 7, "strange": {"steps": 3}}
    assert with_asked(chosen, fewer) == {"steps": 7, "strange": {"steps": 3, "max_norm": 3}}
    assert with_asked({"steps": 9}, fewer) == fewer
    assert with_asked(chosen, {}) == chosen and with_asked({"steps": 9}, {"steps": 7}) == {"steps": 7}


def test_redrawing_goes_with_every_method_and_leaves_the_papers_preset_alone() -> None:
    for name in ("sefi", "textual-inversion", "prospect"):
        request = api.LearnRequest(name="v", method=name, settings=FEW | {"redraws": 2})
        learning = api.Learning(tiny_backbone("sd1"), [noise()], request)
        assert [report.step for report in learning] == [1] and learning.strange_photos == 1
    assert preset_settings("mini", get_method("sefi"), "paper")["redraws"] == 0
    assert "strange" not in preset_settings("mini", get_method("sefi"), "paper")
    for preset in ("default", "fast"):
        found = preset_settings("mini", get_method("sefi"), preset)
        assert found["redraws"] > 0 and found["strange"]["max_norm"] > 0


@pytest.mark.parametrize("setting", [{"redraws": -1}, {"strange_above": float("nan")}])
def test_settings_that_make_no_sense_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(SettingError, match=f"{next(iter(setting))} is"):
        api.Learning(tiny_backbone("sd1"), [noise()], api.LearnRequest(name="v", settings=FEW | setting))


def test_the_command_says_what_it_learned_from(tmp_path: Path) -> None:
    common = ["learn", str(portrait()), "--name", "ann", "--steps", "1"]
    told = CliRunner().invoke(app, [*common, "--out", str(tmp_path / "a.safetensors")])
    assert told.exit_code == 0 and "what the model makes of" in told.stdout and "--subject woman" in told.stdout
    assert load(tmp_path / "a.safetensors").metadata["strange_photos"] == 1
    plain = CliRunner().invoke(app, [*common, "--redraws", "0", "--out", str(tmp_path / "b.safetensors")])
    assert plain.exit_code == 0 and "makes of" not in plain.stdout
