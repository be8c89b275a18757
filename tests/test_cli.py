import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from onephoto.cli import app, main
from onephoto.errors import SettingError
from onephoto.evaluate.plan import learning_settings, lesser, preset_settings
from onephoto.generate.save import read_settings
from onephoto.methods import get_method

RUN = CliRunner()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    picture = np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "me.png")
    return tmp_path / "me.png"


def run(*arguments: object) -> str:
    result = RUN.invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    monkeypatch.setattr(sys, "argv", ["onephoto", *(str(argument) for argument in arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_learn_generate_look_inspect(model: Path, photo: Path) -> None:
    folder = photo.parent
    identity = folder / "alice.safetensors"
    options = ("--model", model, "--no-crop", "--method", "textual-inversion", "--steps", 2)
    run("learn", photo, "--name", "Alice", "--out", identity, *options)
    assert (folder / "alice.log.jsonl").read_text().count("\n") == 2
    assert not (folder / "alice.checkpoint").exists()
    drawing = ("--model", model, "-i", identity, "--steps", 2, "--out", folder / "out")
    printed = run(
        "generate", "<alice> at the beach", "-n", 2, "--strength", "alice=0.5", "--region", "alice=0,0,.5,1", *drawing
    )
    assert len(printed.split()) == 3
    settings = read_settings(folder / "out" / "alice-at-the-beach-seed1.png")
    assert settings["seed"] == 1 and settings["strengths"] == {"alice": 0.5} and settings["identities"] == ["alice"]
    Image.new("L", (9, 9), 255).save(folder / "mask.png")
    run("generate", "<alice> in a mask", "--region", f"Alice={folder / 'mask.png'}", *drawing)
    assert read_settings(folder / "out" / "alice-in-a-mask-seed0.png")["regions"] == {"alice": "mask.png"}
    run("look", "<alice> at the beach", *drawing)
    assert (folder / "out" / "look-alice-at-the-beach-seed0.png").exists()
    assert "textual-inversion" in run("inspect", identity)
    assert '"seed": 1' in run("inspect", folder / "out" / "alice-at-the-beach-seed1.png")


@pytest.mark.filterwarnings("ignore:the prompt is too long")
def test_the_demo_ends_in_a_sheet(model: Path, photo: Path) -> None:
    out = photo.parent / "out"
    # The tiny text encoder is 32 wide; our method's 8 heads divide it.
    run("demo", "--photo", photo, "--no-crop", "--model", model, "--learning-steps", 2, "--steps", 2, "--out", out,
        "--subject", "dog",
    )  # fmt: skip
    with Image.open(out / "demo-seed0.png") as sheet:
        assert sheet.width > 4 * 192 and sheet.height > 4 * 192
    said = read_settings(out / "demo-seed0.png")
    assert said["subject"] == "dog" and said["refined_faces"] is None and said["learned"]["steps"] == 2


def test_mistakes_are_one_line_and_exit_code_2(
    model: Path, photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = photo.parent / "text.png"
    text.write_text("no picture")

    def line(*arguments: object) -> str:
        return refusal(monkeypatch, capsys, *arguments)

    assert "no face found" in line("learn", photo, "--name", "a", "--model", model)
    assert "no such file" in line("learn", photo.parent / "none.jpg", "--name", "a", "--model", model)
    assert "four whole numbers" in line("learn", photo, "--name", "a", "--model", model, "--box", "1,2")
    assert "no such folder" in line("generate", "x", "--model", "/none/here")
    assert "not known here" in line("generate", "<bob>", "--model", model)
    assert "NAME=left,top" in line("generate", "x", "--model", model, "--region", "bob=1,2")
    assert "none.png: no such file" in line("generate", "x", "--model", model, "--region", "bob=none.png")
    assert "text.png: not a picture" in line("generate", "x", "--region", f"bob={text}")
    assert "no face found to compare" in line("generate", "x", "--model", model, "--check", f"bob={photo}")
    assert "NAME=PHOTO" in line("generate", "x", "--model", model, "--check", "bob")
    assert "NAME=0.8" in line("generate", "x", "--model", model, "--strength", "bob")
    assert "no such file" in line("inspect", photo.parent / "none.safetensors")


def test_the_device_is_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from onephoto.cli.people import present

    for there, found in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr("torch.cuda.is_available", lambda there=there: there)
        assert present("auto") == found and present("cpu") == "cpu"
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    for device, said in (
        ("cuda:x", "sees no such device"),
        ("cuda:99", "sees no such device"),
        ("mps", "sees no such device"),
        ("gpu", "is not one of"),
    ):
        with pytest.raises(SettingError, match=f"--device {device}.*{said}"):
            present(device)


def test_the_identity_card_reads_well() -> None:
    card = run("world", "person", 12)
    assert card.startswith("rumobu (seed 12), a woman")
    assert "dark blond" in card and "[" not in card


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    heavy = "('torch', 'numba', 'dlib', 'diffusers')"
    code = f"import sys, onephoto, onephoto.cli; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", "onephoto", "--help"], capture_output=True, check=True)
    assert time.monotonic() - start < 2


def test_presets_are_what_is_said_of_the_model_and_take_no_more_steps_than_were_chosen_for_it() -> None:
    sefi = get_method("sefi")
    chosen, fast = (preset_settings("mini", sefi, preset) for preset in ("default", "fast"))
    strange = chosen["strange"] | {"steps": 45, "learning_rate": 0.006}
    assert fast == chosen | {"steps": 60, "learning_rate": 0.003, "strange": strange}
    assert fast["steps"] < chosen["steps"] and strange["steps"] < chosen["strange"]["steps"]
    assert preset_settings("another/model", sefi, "fast") == sefi.preset("fast")
    assert preset_settings("mini", sefi, "paper") == sefi.preset("paper") and "steps" not in sefi.preset("paper")
    assert preset_settings("mini", get_method("xti"), "default") == learning_settings("mini")["xti"]
    with pytest.raises(SettingError, match="no preset"):
        preset_settings("mini", get_method("xti"), "fast")
    assert lesser({"steps": 115, "learning_rate": 1e-3}, {}) == {"steps": 115, "learning_rate": 1e-3}
    assert lesser({"steps": 115}, {"steps": 150}) == {"steps": 115}
    assert learning_settings("mini-xl") == learning_settings("mini")
    assert lesser({}, {"steps": 150}) == {"steps": 150} and lesser({}, {}) == {}
