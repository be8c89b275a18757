"""Things are learned and drawn where no face network is: neither dlib nor its weights are touched."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import tiny_backbone
from typer.testing import CliRunner

from onephoto.cli import app
from onephoto.identity import faces
from onephoto.identity.file import load


@pytest.fixture
def no_face_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whatever of the face networks is reached for is noted, and fails."""
    reached: list[str] = []

    def refuse(name: str) -> object:
        def fail(*args: object, **options: object) -> None:
            reached.append(name)
            raise AssertionError(f"{name} was called")

        return fail

    monkeypatch.setitem(sys.modules, "dlib", None)
    for name, value in vars(faces).items():
        if callable(value) and getattr(value, "__module__", "") == faces.__name__ and name != "Face":
            monkeypatch.setattr(faces, name, refuse(name))
    return reached


def picture(path: Path) -> Path:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 96, 3), np.uint8)).save(path)
    return path


@pytest.mark.parametrize("subject", ["dog", "car", "chair", "plush toy"])
def test_learning_and_drawing_a_thing_touch_no_face_network(
    subject: str, tmp_path: Path, no_face_network: list[str]
) -> None:
    model = tmp_path / "model"
    tiny_backbone().pipeline.save_pretrained(model)
    photo, out = picture(tmp_path / "rex.png"), tmp_path / "rex.safetensors"
    steps = ("--model", model, "--steps", "2")
    told = ("--name", "rex", "--subject", subject, "--method", "textual-inversion", "--out", out, "--thumbnail")
    draw = ("generate", "<rex> at the beach", "-i", out, "--region", "rex=0,0,.5,1", "--out", tmp_path)
    for command in (("learn", photo, *told), draw, ("look", "<rex> in a forest", "-i", out, "--out", tmp_path)):
        result = CliRunner().invoke(app, [str(word) for word in (*command, *steps)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
    assert load(out).subject == subject and not no_face_network


def test_the_guard_notices_a_face_network(tmp_path: Path, no_face_network: list[str]) -> None:
    """The same with a person fails, so the guard guards."""
    command = ["learn", picture(tmp_path / "me.png"), "--name", "me", "--model", "mini", "--steps", "1"]
    result = CliRunner().invoke(app, [str(word) for word in command])
    assert isinstance(result.exception, AssertionError) and no_face_network == ["detect_faces"]
    with pytest.raises(ImportError):
        import dlib  # noqa: F401
