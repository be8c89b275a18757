"""Learned people as other programs' embeddings, and back."""

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from adapters import pipeline, seeded, somebody
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import onephoto
from onephoto import api, exchange
from onephoto.backbone.load import wrap_pipeline
from onephoto.cli import app, main
from onephoto.core.denoising import add_noise, clean_and_noise, denoising_target
from onephoto.core.plain import is_plain, plain_vectors
from onephoto.errors import IdentityFileError, SettingError
from onephoto.evaluate import downgrade
from onephoto.identity import faces
from onephoto.identity.embeddings import PROGRAMS, read_embedding
from onephoto.identity.file import IdentityFile
from onephoto.methods import get_method
from onephoto.methods.embedding import single_table
from onephoto.methods.sefi import pair_table

FAMILIES = ("sd1", "sdxl")


def photo() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8))


def embedded(pipe: Any, vectors: int) -> IdentityFile:
    """A person of a plain embedding of some different vectors."""
    one = somebody(pipe)
    rows = {name.removeprefix("tokens."): pairs.flatten(0, 1)[:vectors] for name, pairs in one.tensors.items()}
    return exchange.embedded_identity(one, rows)


def loaded_into(pipe: Any, path: Path) -> None:
    """The file in a pipeline by diffusers' own loader."""
    if getattr(pipe, "text_encoder_2", None) is None:
        pipe.load_textual_inversion(str(path))
        return
    # One tokenizer serves both encoders of the tiny pipeline; real ones have two.
    pipe.tokenizer_2 = type(pipe.tokenizer).from_pretrained(path.parent / "tokenizer")
    state = load_file(path)
    for key, end in (("clip_l", ""), ("clip_g", "_2")):
        parts = {"text_encoder": getattr(pipe, f"text_encoder{end}"), "tokenizer": getattr(pipe, f"tokenizer{end}")}
        pipe.load_textual_inversion(state[key], "<alice>", **parts)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("vectors", [1, 3])
def test_an_embedding_reads_the_same_through_diffusers_own_loader(family: str, vectors: int, tmp_path: Path) -> None:
    pipe = pipeline(family)
    pipe.tokenizer.save_pretrained(tmp_path / "tokenizer")
    pipe.tokenizer = type(pipe.tokenizer).from_pretrained(tmp_path / "tokenizer")
    identity = embedded(pipe, vectors)
    made = exchange.export(identity, tmp_path / "alice.safetensors", to="diffusers")
    assert made.way == "itself" and "nothing is lost" in made.message
    with onephoto.use(pipe, alice=identity) as people:
        own = people.prompt("a photo of <alice>")["prompt_embeds"][:, :16]
    loaded_into(pipe, tmp_path / "alice.safetensors")
    theirs = pipe.encode_prompt(
        "a photo of <alice>", device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
    )[0]
    # SDXL's pooled vector is not compared: ours is the class word's.
    assert torch.allclose(own, theirs, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("to", PROGRAMS)
def test_ours_becomes_the_mean_and_says_so(to: str, family: str, tmp_path: Path) -> None:
    pipe = pipeline(family)
    identity, out = somebody(pipe), tmp_path / "alice.safetensors"
    made = exchange.export(identity, out, to=to)
    one = "<alice>" if to == "diffusers" else "emb_params"
    tensors = load_file(out)
    assert set(tensors) == ({"clip_l", "clip_g"} if family == "sdxl" else {one})
    first = tensors["clip_l" if family == "sdxl" else one]
    assert torch.allclose(first, identity.tensors["tokens.text_encoder"].mean(dim=(0, 1))[None], atol=1e-6)
    with safe_open(out, "pt") as file:
        note = json.loads(file.metadata()["onephoto"])
    assert note["export"] == made.message and note["export"].startswith("a downgrade") and note["way"] == "mean"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_says_which_embedding_is_nearest(family: str, tmp_path: Path) -> None:
    pipe = pipeline(family)
    made = exchange.export(somebody(pipe), tmp_path / "a.safetensors", to="comfyui", model=pipe)
    assert set(made.moved) == {"mean", "values", "keys", "both"}
    assert made.way == min(made.moved, key=lambda way: made.moved[way]) and "predictions move" in made.message
    backbone = wrap_pipeline(pipe)
    word = backbone.class_vectors("person")
    table = single_table({name: torch.randn(rows.shape, generator=seeded()) for name, rows in word.items()})
    ways = {"word": word, "own": plain_vectors(table)["itself"]}
    moved = downgrade.nearness(backbone, table, ways, subject="person", steps=2)
    assert moved["own"] == 0 and moved["word"] == pytest.approx(1)


def test_the_mean_is_the_nearest_single_embedding() -> None:
    pairs = {"text_encoder": torch.randn(5, 2, 8, generator=seeded())}
    ways = plain_vectors(pair_table(pairs))
    assert not is_plain(pair_table(pairs)) and next(iter(ways)) == "mean"

    def error(way: str) -> float:
        return float((pairs["text_encoder"] - ways[way]["text_encoder"][0]).square().sum())

    assert error("mean") < min(error("values"), error("keys"))
    assert torch.allclose(ways["values"]["text_encoder"][0], pairs["text_encoder"][:, 1].mean(0))
    assert ways["both"]["text_encoder"].shape == (2, 8)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_what_a_prediction_says_is_solved_for(kind: str) -> None:
    clean, noise = torch.randn(2, 2, 4, 8, 8, generator=seeded())
    alphas, t = torch.linspace(0.99, 0.01, 1000), torch.tensor([20, 900])
    noisy = add_noise(clean, noise, alphas, t)
    target = denoising_target(clean, noise, alphas, t, kind)
    found = clean_and_noise(target, noisy, alphas, t, kind)
    assert all(torch.allclose(a, b, atol=1e-3) for a, b in zip(found, (clean, noise), strict=True))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("to", PROGRAMS)
def test_a_file_comes_back_as_an_identity(to: str, family: str, tmp_path: Path) -> None:
    pipe = pipeline(family)
    identity, out = embedded(pipe, 2), tmp_path / "alice.safetensors"
    exchange.export(identity, out, to=to)
    again = exchange.import_embedding(out, "Alice", pipe)
    assert again.name == "alice" and again.tensors.keys() == identity.tensors.keys()
    assert all(torch.equal(again.tensors[name], rows) for name, rows in identity.tensors.items())
    with onephoto.use(pipe, alice=again) as people:
        assert people.prompt("a photo of <alice>")["prompt_embeds"].shape[1] == 17


@pytest.mark.parametrize("method", ["sefi", "textual-inversion"])
def test_learning_begins_at_a_files_embedding(method: str, tmp_path: Path) -> None:
    pipe = pipeline()
    backbone, out = wrap_pipeline(pipe), tmp_path / "alice.safetensors"
    save_file({"anything": torch.randn(2, 32, generator=seeded())}, out)
    spec = get_method(method)
    heads = {"heads": 4} if method == "sefi" else {}
    learning = spec.build(backbone, subject="person", settings=spec.settings(start=str(out), **heads))
    rows, given = learning.table().vectors["text_encoder"], load_file(out)["anything"]
    assert torch.allclose(rows, given.mean(0).expand(10, 1, -1) if method == "sefi" else given[None], atol=1e-6)
    settings = {"steps": 1, "start": str(out), **heads}
    assert api.learn(pipe, [photo()], api.LearnRequest(name="alice", method=method, settings=settings)).name == "alice"
    with pytest.raises(SettingError, match="xti has no setting start"):
        api.learn(pipe, [photo()], api.LearnRequest(name="a", method="xti", settings={"start": str(out)}))


def test_files_that_are_no_embeddings_are_refused_in_one_line(tmp_path: Path) -> None:
    old, other, wide = tmp_path / "old.pt", tmp_path / "other.safetensors", tmp_path / "wide.safetensors"
    old.write_bytes(pickle.dumps({"string_to_param": {}}))
    save_file({"a.lora_down.weight": torch.zeros(4, 8), "a.lora_up.weight": torch.zeros(8, 4)}, other)
    save_file({"emb_params": torch.zeros(1, 768)}, wide)
    for path, words in (
        (old, "a pickle"), (other, "not a textual-inversion"), (wide, "768, and the model's is 32"),
        (tmp_path / "none.safetensors", "no such file"),
    ):  # fmt: skip
        with pytest.raises(IdentityFileError, match=words) as refusal:
            read_embedding(path, {"text_encoder": 32})
        assert "\n" not in str(refusal.value)


def test_methods_that_change_weights_cannot_be_exported(tmp_path: Path) -> None:
    identity = IdentityFile("bob", "person", "dreambooth", {}, {})
    with pytest.raises(SettingError, match="changes the model's weights"):
        exchange.export(identity, tmp_path / "bob.safetensors", to="diffusers")


class Brightness:
    """A judge by whom every picture fits by its brightness."""

    def prompt_similarity(self, images: list[Image.Image], texts: list[str]) -> np.ndarray:
        assert texts == ["a person in a forest"]
        return np.array([np.asarray(image).mean() for image in images])


def test_the_loss_is_measured_on_the_same_prompts_and_seeds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pipe = pipeline()
    identity = somebody(pipe)
    made = exchange.export(identity, tmp_path / "a.safetensors", to="diffusers")
    monkeypatch.setattr(faces, "face_vectors", lambda image: np.full((2, 128), np.asarray(image).mean() / 1e5))
    loss = exchange.measured_loss(
        pipe, identity, made, photo_vector=np.zeros(128), judge=Brightness(), texts=["{} in a forest"],
        settings=api.DrawSettings(steps=2),
    )  # fmt: skip
    assert loss.full_prompt != loss.plain_prompt and 0 < loss.full_id < 1
    assert loss.full_id == pytest.approx(1 - 128**0.5 * loss.full_prompt / 1e5)
    monkeypatch.setattr(faces, "face_vectors", lambda image: np.zeros((0, 128)))
    assert downgrade.nearest_likeness(photo(), np.zeros(128)) == 0


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = pipeline()
    pipe.save_pretrained(tmp_path / "model")
    onephoto.save_identity(tmp_path / "alice.safetensors", somebody(pipe))

    def run(*words: object) -> str:
        result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    out = tmp_path / "plain.safetensors"
    assert "a downgrade" in run("export", tmp_path / "alice.safetensors", "--to", "automatic1111", "--out", out)
    taken = run("import", out, "--name", "Bob", "--model", tmp_path / "model", "--out", tmp_path / "bob.safetensors")
    assert "<bob> taken in" in taken
    assert onephoto.load_identity(tmp_path / "bob.safetensors").method == "textual-inversion"
    arguments = ["onephoto", "export", str(tmp_path / "alice.safetensors"), "--to", "midjourney", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2 and "choose one of diffusers" in capsys.readouterr().err
