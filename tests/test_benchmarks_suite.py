"""The benchmarks that a GPU is for, and that of likeness by seconds, rehearsed on a tiny model."""

import importlib
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from test_evaluate import BrightJudge
from tiny import tiny_backbone

from onephoto.evaluate.measure import Judges


def numbers(module: ModuleType, model: Path, file: Path, monkeypatch: pytest.MonkeyPatch, most: float) -> list[dict]:
    monkeypatch.setattr(module, "TOLERANCES", dict.fromkeys(module.TOLERANCES, most))
    formats = [module.Precision.BFLOAT16]
    module.main(str(model), None, 2, 4, formats, "cpu", torch.get_num_threads(), file)
    return json.loads(file.read_text())["rows"]


def test_formats_are_compared_with_float32(benchmark, model: Path, tmp_path: Path, monkeypatch) -> None:
    module, file = benchmark("numerics"), tmp_path / "sd15-numerics.json"
    whole, narrow = numbers(module, model, file, monkeypatch, 0.5)
    assert (whole["dtype"], whole["loss"], whole["length"], whole["within"]) == ("float32", 0, 0, True)
    assert whole["direction"] == pytest.approx(0, abs=1e-9)
    assert 0 < narrow["loss"] < 0.5 and narrow["within"] and narrow["steps"] == 4
    with pytest.raises(SystemExit, match="farther from float32"):
        numbers(module, model, file, monkeypatch, 1e-9)
    assert not json.loads(file.read_text())["rows"][1]["within"]


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_a_model_in_another_format_leaves_the_first_as_it_is(benchmark, family: str) -> None:
    module, backbone = benchmark("numerics"), tiny_backbone(family)
    narrow = module.in_format(backbone, torch.bfloat16)
    assert narrow.dtype == torch.bfloat16 == narrow.vae.dtype and backbone.dtype == torch.float32
    assert all(encoder.dtype == torch.bfloat16 for encoder in narrow.text_encoders)
    weight, own = (next(one.unet.parameters()) for one in (backbone, narrow))
    assert torch.equal(own, weight.bfloat16()) and not own.requires_grad


def test_a_run_that_breaks_is_infinitely_far(benchmark) -> None:
    module = benchmark("numerics")
    good = module.Run([1.0, 2.0], torch.ones(3).double(), 1.0, None, "")
    assert module.compared(replace(good, losses=[1.0, 1.7]), good)["loss"] == pytest.approx(0.1)
    assert module.compared(replace(good, moved=2 * good.moved), good)["length"] == pytest.approx(1)
    for broken in (replace(good, broken="step 2"), replace(good, moved=good.moved / 0)):
        assert set(module.compared(broken, good).values()) == {float("inf")}


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_command_of_the_suite_can_be_read(benchmark, device: str) -> None:
    suite = benchmark("suite")
    whole = suite.jobs(list(suite.PARTS), model=None, device=device)
    rehearsed = suite.jobs(list(suite.PARTS), model="mini", device=device)
    assert len({job.name for job in whole}) == len(whole) == len(rehearsed) + 3
    assert [job.name for job in whole[:3]] == ["sd15-memory", "sd21-memory", "sdxl-memory"]
    for job in (*whole, *rehearsed):
        app = typer.Typer()
        app.command()(benchmark(job.script).main)
        context = typer.main.get_command(app).make_context(job.script, [*job.words, "--json", "a.json"])
        assert context.params["device"] == device


def test_the_suite_goes_on_where_it_was_stopped(benchmark, tmp_path: Path, monkeypatch, capsys) -> None:
    suite, ran = benchmark("suite"), []

    class Waiting:
        def __init__(self, log: Path) -> None:
            self.ended = False

        def run(self, script: str, words: list[str], log: Path, limit: float) -> int | None:
            ran.append(script)
            Path(words[-1]).write_text('{"rows": [], "machine": {"device": "a machine"}, "learn": {}, "draw": {}}')
            return 0

        def close(self) -> None:
            self.ended = True

    monkeypatch.setattr(suite, "Standby", Waiting)
    monkeypatch.setattr(suite, "lines", lambda folder: ["# Speed"])
    suite.main(tmp_path, device="cpu", part=["sd15"], minutes=0)
    assert ran == [] and "left for the next run" in capsys.readouterr().out
    suite.main(tmp_path, device="cpu", part=["sd15"], minutes=90)
    first = list(ran)
    assert {"learning", "numerics", "generation", "full_size"} == set(first)
    suite.main(tmp_path, device="cpu", part=["sd15", "sdxl"], minutes=90)
    assert len(ran) == 2 * len(first) and (tmp_path / "speed.md").read_text() == "# Speed\n"


def test_a_benchmark_runs_in_a_process_that_has_waited_for_it(benchmark, tmp_path: Path) -> None:
    standby, log = benchmark("standby"), tmp_path / "said.txt"
    process = standby.Standby(tmp_path / "before.log")
    assert process.run("numerics", ["--model", str(tmp_path / "nowhere")], log, 120) == 1
    said = log.read_text()
    assert said.startswith("numerics.py --model") and "nowhere" in said.splitlines()[-1]
    assert standby.Standby(tmp_path / "before.log").run("numerics", [], log, 0.01) is None


def test_its_tables_are_made_of_what_the_benchmarks_write(benchmark, model: Path, tmp_path: Path, monkeypatch) -> None:
    threads = torch.get_num_threads()
    learning, file = benchmark("learning"), tmp_path / "sd15-learning-float32.json"
    learning.main(str(model), None, 2, 1, "cpu", learning.Precision.FLOAT32, threads, False, 64, 2, 1, None, file)
    numbers(benchmark("numerics"), model, tmp_path / "sd15-numerics.json", monkeypatch, 0.5)
    generation = benchmark("generation")
    monkeypatch.setattr(generation, "first_picture", lambda *_, **__: {"wall": 1.0, "cpu": 1.0})
    drawn = tmp_path / "sd15-generation-bfloat16.json"
    generation.main(str(model), None, 1, [1], 1, "cpu", generation.Precision.FLOAT32, threads, None, drawn)
    (tmp_path / "sd15-memory.json").write_text('{"learn": {"peak": 5e9}, "draw": {"peak": 4e9}}')
    text = "\n".join(benchmark("suite").lines(tmp_path))
    for said in ("sefi", "diffusers' recipe", "2 together", "onephoto.use", "bfloat16", "5.0 | 4.0"):
        assert f"| {said} |" in text, said


def test_which_points_of_the_curves_are_compared(benchmark) -> None:
    likeness = benchmark("likeness")
    names = ("method", "steps", "rate", "seconds", "id_p")
    points = [
        ("sefi", 14, 0.01, 3.0, 0.1), ("sefi", 29, 0.01, 6.0, 0.3), ("sefi", 58, 0.01, 12.0, 0.31),
        ("textual-inversion", 140, 0.006, 24.0, 0.28), ("textual-inversion", 280, 0.006, 48.0, 0.27),
    ]  # fmt: skip
    rows = [dict(zip(names, point, strict=True)) for point in points]
    best, reached = likeness.times_fewer(rows, "id_p")
    assert (best["steps"], reached["steps"]) == (140, 29)
    assert likeness.sentence("id_p", best, reached).endswith("4.0 times fewer")
    best, reached = likeness.times_fewer([rows[0], rows[3]], "id_p")
    assert likeness.sentence("id_p", best, reached).endswith("ours does not come there")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_likeness_is_measured_by_seconds_of_learning(benchmark, tmp_path: Path, monkeypatch, capsys) -> None:
    likeness, backbone = benchmark("likeness"), replace(tiny_backbone("sd1"), model_id="tiny")
    judges = Judges(prompt=type("Named", (BrightJudge,), {"name": "bright"})())
    monkeypatch.setattr(likeness, "opened", lambda *_: (backbone, judges))
    monkeypatch.setattr(likeness, "CURVES", {"sefi": ((1, 0.01), (2, 0.01)), "textual-inversion": ((1, 0.006),)})
    monkeypatch.setattr(likeness, "DrawSettings", lambda: importlib.import_module("onephoto.api").DrawSettings(steps=1))
    measure, found = likeness.seconds_of, []
    monkeypatch.setattr(likeness, "seconds_of", lambda *a, **k: found.append(measure(*a, **k)) or found[-1])
    for _ in range(2):
        file = tmp_path / "likeness.json"
        likeness.main(tmp_path, 2, 3, "tiny", 1, likeness.Precision.FLOAT32, torch.get_num_threads(), None, file)
    result = json.loads((tmp_path / "likeness.json").read_text())
    assert [(row["method"], row["steps"]) for row in result["rows"]] == [
        ("sefi", 1), ("sefi", 2), ("textual-inversion", 1),
    ]  # fmt: skip
    first, second, _ = result["rows"]
    ready, step = found[-1]["sefi"]
    assert min(ready, step) > 0
    assert (first["seconds"], second["seconds"]) == pytest.approx((ready + step, ready + 2 * step))
    told = capsys.readouterr().out
    assert "ID(P): Textual Inversion is best" in told and "told apart: Textual Inversion is best" in told
    # Nobody gave a second opinion.
    assert "second opinion" not in told and set(result["fewer"]) == {"id_p", "told"}
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 1 + 3 * 2 * 3


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_people_are_told_apart_by_what_is_drawn_of_them(benchmark, tmp_path: Path, monkeypatch, capsys) -> None:
    module, backbone = benchmark("who_is_who"), replace(tiny_backbone("sd1"), model_id="tiny")
    assert module.settings_of(backbone, "sefi", ["steps=3", "start=null"]) == {"steps": 3, "start": None}
    with pytest.raises(module.SettingError, match="--set steps: give name=value"):
        module.settings_of(backbone, "sefi", ["steps"])
    monkeypatch.setattr(module, "DrawSettings", lambda: importlib.import_module("onephoto.api").DrawSettings(steps=1))
    settings = {"steps": 1, "batch_size": 1}
    images = module.faces_of(backbone, 90_000, 2, method="textual-inversion", settings=settings)
    assert len(images) == 2

    def shades(seed: int, count: int) -> list[Image.Image]:
        return [Image.new("RGB", (8, 8), (40 * (seed - 90_000) + number, 0, 0)) for number in range(count)]

    monkeypatch.setattr(module, "opened", lambda *_: (backbone, Judges(prompt=BrightJudge())))
    monkeypatch.setattr(module, "rendered_faces", shades)
    monkeypatch.setattr(module, "faces_of", lambda backbone, seed, pictures, **_: shades(seed, pictures))
    monkeypatch.setattr(module, "face_vector", lambda image: np.asarray(image, float)[0, 0])
    module.main(3, 2, "sefi", ["steps=1"], "tiny", module.Precision.FLOAT32, tmp_path / "who.json")
    (row,) = json.loads((tmp_path / "who.json").read_text())["rows"]
    assert (row["judge"], row["auc"], row["found"]) == ("dlib", 1.0, 1.0)
    assert "dlib" in capsys.readouterr().out
