import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from onephoto.backbone.prompts import is_name
from onephoto.cli import app
from onephoto.cli.sittings import name_from
from onephoto.errors import IdentityFileError, SettingError
from onephoto.identity.file import load
from onephoto.identity.thumbnail import thumbnail_image, thumbnail_of
from onephoto.learn.log import read


def picture(path: Path, seed: int) -> Path:
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (80, 80, 3), np.uint8)).save(path)
    return path


def learn(model: Path, *arguments: object) -> Any:
    options = ("--model", model, "--no-crop", "--method", "textual-inversion", "--steps", 2)
    return CliRunner().invoke(app, ["learn", *(str(argument) for argument in (*arguments, *options))])


def test_each_photo_becomes_a_person_and_a_broken_one_costs_no_other(model: Path, tmp_path: Path) -> None:
    photos = [picture(tmp_path / "Anna Müller.png", 1), tmp_path / "broken.jpg", picture(tmp_path / "Bob.png", 2)]
    photos[1].write_bytes(b"no picture")
    out = tmp_path / "people"
    result = learn(model, "--each", *photos, "--out", out, "--consent", "all gave theirs")
    assert result.exit_code == 2
    assert [line for line in result.stderr.splitlines() if line.startswith("onephoto:")] == [
        f"onephoto: {photos[1]}: not a whole picture that can be read; save it as JPEG or PNG again"
    ]
    assert sorted(file.name for file in out.glob("*.safetensors")) == ["anna-muller.safetensors", "bob.safetensors"]
    anna, bob = load(out / "anna-muller.safetensors"), load(out / "bob.safetensors")
    assert (anna.name, bob.name, bob.metadata["consent"]) == ("anna-muller", "bob", "all gave theirs")
    assert not anna.tensors["tokens.text_encoder"].equal(bob.tensors["tokens.text_encoder"])
    assert not list(out.glob("*.checkpoint"))


def test_what_is_learned_is_left_as_it_is(model: Path, tmp_path: Path) -> None:
    photos = [picture(tmp_path / "anna.png", 1), picture(tmp_path / "bob.png", 2)]
    out = tmp_path / "people"
    assert learn(model, "--each", photos[0], "--out", out).exit_code == 0
    before = (out / "anna.safetensors").stat().st_mtime_ns
    result = learn(model, "--each", *photos, "--out", out)
    assert result.exit_code == 0
    assert f"{out / 'anna.safetensors'}: there already" in result.stdout
    assert (out / "anna.safetensors").stat().st_mtime_ns == before and (out / "bob.safetensors").exists()


def test_alone_and_among_others_a_person_comes_out_the_same(model: Path, tmp_path: Path) -> None:
    photos = [picture(tmp_path / "anna.png", 1), picture(tmp_path / "bob.png", 2)]
    learn(model, "--each", *photos, "--out", tmp_path)
    learn(model, photos[1], "--name", "bob", "--out", tmp_path / "alone.safetensors")
    among, alone = load(tmp_path / "bob.safetensors"), load(tmp_path / "alone.safetensors")
    assert among.tensors["tokens.text_encoder"].equal(alone.tensors["tokens.text_encoder"])


def test_together_people_come_out_as_one_by_one_and_a_broken_photo_costs_no_other(model: Path, tmp_path: Path) -> None:
    photos = [picture(tmp_path / "anna.png", 1), tmp_path / "broken.jpg", picture(tmp_path / "bob.png", 2)]
    photos[1].write_bytes(b"no picture")
    for count in (1, 3):
        result = learn(model, "--each", *photos, "--out", tmp_path / str(count), "--together", count)
        assert result.exit_code == 2 and "broken.jpg: not a whole picture" in result.stderr
    for name in ("anna", "bob"):
        alone, among = (load(tmp_path / str(count) / f"{name}.safetensors") for count in (1, 3))
        rows = "tokens.text_encoder"
        torch.testing.assert_close(among.tensors[rows], alone.tensors[rows], rtol=1e-3, atol=1e-4)
        assert among.metadata["seed"] == alone.metadata["seed"] and among.metadata["steps"] == 2
        records = [read(tmp_path / str(count) / f"{name}.log.jsonl") for count in (1, 3)]
        assert [record["step"] for record in records[1]] == [record["step"] for record in records[0]] == [1, 2]


def test_when_one_of_a_batch_fails_the_others_are_learned_alone(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = [picture(tmp_path / f"{name}.png", seed) for seed, name in enumerate(("anna", "bob"))]

    def broken(*arguments: object) -> None:
        raise SettingError("step 1: loss is not finite")

    monkeypatch.setattr("onephoto.together.joint_losses", broken)
    result = learn(model, "--each", *photos, "--out", tmp_path / "people", "--together", 2)
    assert result.exit_code == 0
    assert sorted(file.name for file in (tmp_path / "people").glob("*.safetensors")) == [
        "anna.safetensors", "bob.safetensors",
    ]  # fmt: skip


def test_a_preset_gives_way_to_what_is_said_and_is_refused_where_there_is_none(model: Path, tmp_path: Path) -> None:
    photo, out = picture(tmp_path / "anna.png", 1), tmp_path / "anna.safetensors"
    options = ("--model", model, "--no-crop", "--name", "anna", "--out", out, "--preset", "fast")
    result = CliRunner().invoke(app, ["learn", str(photo), *map(str, options), "--steps", "1"])
    assert result.exit_code == 0 and load(out).metadata["settings"]["steps"] == 1
    with pytest.raises(SettingError, match="textual-inversion has no preset 'fast'; it has default"):
        raise learn(model, photo, "--name", "anna", "--preset", "fast").exception


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("Alice", "alice"), ("IMG_1234", "img_1234"), ("1234", "photo-1234"), ("Zoë & Co.", "zoe-co"), ("_x-", "x"),
    ],
)  # fmt: skip
def test_names_come_from_files(stem: str, name: str) -> None:
    assert name_from(Path(f"{stem}.jpg")) == name
    assert is_name(name)


def test_what_makes_no_sense_together_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    first, second = tmp_path / "anna.png", tmp_path / "Anna.jpg"
    for arguments, words in (
        (("--each", first, second), r"anna\.png and .*Anna\.jpg would both be <anna>"),
        (("--each", first, "--name", "x"), "leave --name and --box out"),
        (("--each", first, "--box", "1,2,3,4"), "leave --name and --box out"),
        (("--each", tmp_path / "北.png"), "no name can be made"),
        ((first,), "--name alice, or --each"),
    ):
        error = learn(Path("/none"), *arguments).exception
        assert isinstance(error, SettingError)
        assert "\n" not in str(error)
        with pytest.raises(SettingError, match=words):
            raise error
    (tmp_path / "file").touch()
    with pytest.raises(SettingError, match="--out is a folder"):
        raise learn(Path("/none"), "--each", first, "--out", tmp_path / "file").exception


def test_a_thumbnail_is_kept_only_when_asked_for(model: Path, tmp_path: Path) -> None:
    photo = picture(tmp_path / "anna.png", 1)
    plain, shown = tmp_path / "plain.safetensors", tmp_path / "shown.safetensors"
    assert learn(model, photo, "--name", "anna", "--out", plain).exit_code == 0
    assert learn(model, photo, "--name", "anna", "--out", shown, "--thumbnail").exit_code == 0
    assert "thumbnail" not in load(plain).metadata
    kept = thumbnail_image(load(shown).metadata["thumbnail"])
    assert kept.size == (64, 64)
    assert shown.stat().st_size - plain.stat().st_size < 8000
    words = {path: CliRunner().invoke(app, ["inspect", str(path)]).stdout for path in (plain, shown)}
    assert "thumbnail none" in words[plain] and "thumbnail 64 x 64" in words[shown]
    assert json.loads(words[shown][words[shown].index("{") :]).get("thumbnail") is None


def test_a_thumbnail_looks_like_the_photo_and_a_damaged_one_is_refused() -> None:
    photo = Image.linear_gradient("L").convert("RGB")
    kept = np.asarray(thumbnail_image(thumbnail_of(photo)), float)
    assert abs(kept - np.asarray(photo.resize((64, 64)), float)).mean() < 4
    for text in ("not base64!", "AAAA", thumbnail_of(photo)[:40]):
        with pytest.raises(IdentityFileError, match="damaged"):
            thumbnail_image(text)
