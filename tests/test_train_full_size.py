"""Training at full size: what is rendered, what is begun, and what is brought home."""

import importlib.util
import io
import tarfile
from pathlib import Path
from types import ModuleType

import pytest
import typer

from onephoto.base import stages


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).parents[1] / "scripts" / "train_full_size.py"
    spec = importlib.util.spec_from_file_location("train_full_size", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_people_are_rendered_in_proportion_by_as_many_processes_as_there_are_cpus(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 32)
    commands = script.rendering(tmp_path, 0.01)
    people = {name: command[command.index("--people") + 1] for name, command in commands.items()}
    assert people == {"named": "30", "strangers": "200", "extra": "40"}
    assert sum(int(command[-1]) for command in commands.values()) == 28
    other = script.rendering(tmp_path, 1.0, seed=3)["strangers"]
    assert other.count("--called") == 1 and other[other.index("--seed") + 1] == "3"


def test_every_stage_is_begun_and_waited_for(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []

    class Process:
        def __init__(self, name: str) -> None:
            self.name = name

        def wait(self) -> None:
            said.append(f"{self.name} waited for")

    def started(command: list[str], log: Path) -> Process:
        name = command[command.index("--stage") + 1]
        said.append(name)
        assert log == tmp_path / f"{name}.log" and command[-1] == "0.5"
        return Process(name)

    monkeypatch.setattr(script, "started", started)
    script.train(tmp_path, tmp_path, 0.5, "cuda")
    assert said == [*script.SECONDS, *(f"{name} waited for" for name in script.SECONDS)]


def test_stages_that_are_left_out_count_as_done_and_training_waits_for_a_file(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    class Process:
        def wait(self) -> None:
            pass

    def started(command: list[str], log: Path) -> Process:
        begun.append(command)
        return Process()

    monkeypatch.setattr(script, "started", started)
    after = tmp_path / "go"
    script.train(tmp_path, tmp_path, 0.5, "cuda", only=["diffusion"], after=after)
    ((command,), done) = begun, {path.stem for path in tmp_path.glob("*.done")}
    assert command[command.index("--stage") + 1] == "diffusion" and command[-2:] == ["--after", str(after)]
    assert done == set(script.SECONDS) - {"diffusion"}
    assert script.allowed(None) and not script.allowed(after)
    with pytest.raises(typer.BadParameter, match="--only vea: choose of vae"):
        script.main(tmp_path, tmp_path, only=["vea"])
    after.touch()
    assert script.allowed(after)


def test_nobody_waits_for_a_stage_that_failed_or_takes_an_earlier_run_for_this_one(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "vae", lambda *given, **settings: 1 / 0)
    for folder in script.RENDERS:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "0.npy").touch()
    with pytest.raises(ZeroDivisionError):
        script.run_stage("vae", tmp_path, 0.5, "cuda")
    assert (tmp_path / "vae.done").exists()
    monkeypatch.setattr(script, "SECONDS", {"vae": 1})
    monkeypatch.setattr(script, "__file__", str(tmp_path / "nothing.py"))
    script.train(tmp_path, tmp_path, 0.5, "cuda")
    assert not (tmp_path / "vae.done").exists()


def test_a_stage_has_its_share_of_the_time_and_says_when_it_is_done(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    asked = {}

    def control(pictures: list[Path], work: Path, minutes: float, *, device: str) -> list[str]:
        asked.update(pictures=pictures, minutes=minutes, device=device)
        return ["step 1"]

    monkeypatch.setattr(stages, "control", control)
    (tmp_path / "diffusion.done").touch()
    script.run_stage("control", tmp_path, 0.5, "cuda")
    assert asked == {"pictures": [tmp_path / "named"], "minutes": 0.5, "device": "cuda"}
    assert (tmp_path / "control.done").exists() and "step 1" in capsys.readouterr().out


def test_weights_come_home_in_parts_and_what_models_share_once(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("mini/vae", "mini-xl/vae", "mini-xl-own/unet", "judge"):
        (tmp_path / part).mkdir(parents=True)
        (tmp_path / part / "weights").write_bytes(b"12345" * 1000)
    monkeypatch.setattr(script, "PART", 10_000)
    out = tmp_path / "out"
    out.mkdir()
    script.keep(tmp_path, out)
    parts = sorted(out.iterdir(), key=lambda path: int(path.suffix[1:]))
    assert len(parts) > 1 and all(path.stat().st_size <= 10_000 for path in parts)
    with tarfile.open(fileobj=io.BytesIO(b"".join(path.read_bytes() for path in parts))) as tar:
        names = {name for name in tar.getnames() if name.endswith("weights")}
    assert names == {"mini/vae/weights", "mini-xl-own/unet/weights", "judge/weights"}
