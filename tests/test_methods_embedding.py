"""What holds for every method that learns tokens alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_backbone

from onephoto import api
from onephoto.backbone.load import Backbone
from onephoto.errors import IdentityFileError, ModelError, SettingError
from onephoto.generate.draw import DrawSettings
from onephoto.identity.file import load, save
from onephoto.methods import celeb_basis, get_method

NAMES = ("red bear", "old man", "teddy dog")
SETTINGS: dict[str, dict[str, Any]] = {
    "xti": {},
    "neti": {"draw_stages": 10},
    "prospect": {},
    "celeb-basis": {"names": NAMES},
    "cross-initialization": {"names": NAMES},
}
"""What each method's settings need on a tiny model."""
SMALL = {"steps": 4, "batch_size": 2, "learning_rate": 0.05}


@pytest.fixture(autouse=True)
def any_picture_shows_a_face(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celeb_basis, "face_vector", lambda picture: np.linspace(-1, 1, 128))


@pytest.fixture(scope="module", params=["sd1", "sd2"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return tiny_backbone(request.param)


def photo() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8))


def learning(backbone: Backbone, method: str, path: Path | None = None, resume: bool = False) -> api.Learning:
    request = api.LearnRequest(name="alice", method=method, settings=SMALL | SETTINGS[method])
    return api.Learning(backbone, [photo()], request, checkpoint_path=path, resume=resume)


@pytest.mark.parametrize("method", SETTINGS)
def test_what_is_learned_is_kept_and_drawn(backbone: Backbone, method: str, tmp_path: Path) -> None:
    run = learning(backbone, method)
    before = run.identity()
    list(run)
    learned = run.identity()
    save(tmp_path / "alice.safetensors", learned)
    kept = load(tmp_path / "alice.safetensors")
    assert all(torch.equal(kept.tensors[name], rows) for name, rows in learned.tensors.items())
    pictures = [
        api.generate(backbone, "a photo of <alice> in a forest", [who], settings=DrawSettings(steps=2))[0]
        for who in (before, learned, kept)
    ]
    assert np.array_equal(pictures[1], pictures[2]) and not np.array_equal(pictures[0], pictures[1])


@pytest.mark.parametrize("method", SETTINGS)
def test_a_file_gives_the_learned_table_back(backbone: Backbone, method: str) -> None:
    run = learning(backbone, method)
    table, again = run.method.table(), get_method(method).table(run.method.tensors(), {})
    assert torch.equal(table.key, again.key) and torch.equal(table.value, again.value)
    torch.testing.assert_close(again.vectors["text_encoder"], table.vectors["text_encoder"])


@pytest.mark.parametrize("method", SETTINGS)
def test_a_resumed_run_repeats_the_uninterrupted_one(method: str, tmp_path: Path) -> None:
    backbone, path = tiny_backbone(), tmp_path / "alice.checkpoint"
    whole, first = learning(backbone, method), learning(backbone, method, path)
    list(whole)
    for report in first:
        if report.step == 2:
            first.save()
            break
    second = learning(backbone, method, path, resume=True)
    list(second)
    for name, rows in whole.method.tensors().items():
        assert torch.equal(second.method.tensors()[name], rows), name


@pytest.mark.parametrize("method", SETTINGS)
def test_other_models_and_files_are_refused(method: str) -> None:
    with pytest.raises(ModelError, match=r"one text encoder.*sefi"):
        get_method(method).build(
            tiny_backbone("sdxl"), subject="person", settings=replace(get_method(method).settings())
        )
    with pytest.raises(IdentityFileError):
        get_method(method).table({"tokens.text_encoder": torch.zeros(2, 2, 2, 8)}, {})


def test_all_methods_meet_in_one_prompt_and_are_looked_at() -> None:
    backbone = tiny_backbone()
    people = [replace(learning(backbone, method).identity(), name=f"p{k}") for k, method in enumerate(SETTINGS)]
    text = " ".join(f"<{who.name}>" for who in people)
    seen = api.look(backbone, text, people, settings=DrawSettings(steps=1))
    assert [word.text for word in seen.words] == text.split() and seen.maps.isfinite().all()


@pytest.mark.parametrize("method", SETTINGS)
def test_at_strength_nought_the_class_word_is_drawn(method: str) -> None:
    backbone, settings = tiny_backbone(), DrawSettings(steps=2)
    who = learning(backbone, method).identity()
    plain = api.generate(backbone, "a photo of person", [], settings=settings)[0]
    nought = api.generate(backbone, "a photo of <alice>", [who], settings=settings, strengths={"alice": 0})[0]
    assert np.abs(np.asarray(plain, int) - np.asarray(nought, int)).max() <= 1


def test_a_setting_that_a_method_does_not_have_is_refused_with_those_it_has() -> None:
    request = api.LearnRequest(name="alice", method="xti", settings={"num_stages": 3, "attention_weight": None})
    with pytest.raises(SettingError, match=r"xti has no setting num_stages; it has steps, batch_size"):
        api.Learning(tiny_backbone(), [photo()], request)
