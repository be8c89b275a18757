"""Render, and train the embedded models and the judge, all within some minutes on one large GPU.

    python scripts/train_full_size.py work out

Rendering goes on all the while on the CPUs, and training takes in what appears. Stages train beside one another, since
small models leave half of a GPU idle. `work` may be gone on with; `out` gets weights and logs, in parts of 15 MB.
"""

import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import torch
import typer

from onephoto.base import stages

RENDERS = {
    "named": (5, ["--people", "3000", "--shots", "8", "--pairs", "0.05", "--maps"]),
    "strangers": (7, ["--first", "10000", "--people", "20000", "--shots", "3", "--pairs", "0", "--called"]),
    "extra": (2, ["--first", "10000", "--people", "4000", "--shots", "3", "--things", "0.35", "--pairs", "0.04"]),
}
"""Processes for 16 CPUs, and what is rendered, for each folder of pictures."""
SECONDS = {"vae": 60, "diffusion": 390, "judges": 150, "sdxl": 90, "control": 60}
READING = 60
"""Seconds that the judge takes to read pictures; it reads them once, so it begins as late as it can."""
PART = 15_000_000
KEPT = ("mini", "mini-xl-own", "judge", "control", "tokenizer")
"""What is brought home of the working folder."""


def main(
    work: Annotated[Path, typer.Argument(help="Folder for pictures, checkpoints and results.")],
    out: Annotated[Path, typer.Argument(help="Folder for the weights and logs to keep.")],
    share: Annotated[float, typer.Option(help="Of the seconds that each stage has.")] = 1.0,
    rendered: Annotated[float, typer.Option(help="Of the people that are rendered.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Other pictures of the same people.")] = 0,
    only: Annotated[list[str] | None, typer.Option(help="Stages to run; all unless given.")] = None,
    after: Annotated[Path | None, typer.Option(help="Render and compile, but train when this file is there.")] = None,
    device: Annotated[str, typer.Option(help="cuda, or cpu to rehearse.")] = "cuda",
    stage: Annotated[str | None, typer.Option(help="Run this stage alone, as the script itself does.")] = None,
) -> None:
    """Train everything."""
    if unknown := set(only or ()) - SECONDS.keys():
        raise typer.BadParameter(f"--only {', '.join(sorted(unknown))}: choose of {', '.join(SECONDS)}")
    work.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    if stage is not None:
        run_stage(stage, work, share, device, after)
        return
    renders = [started(command, out / f"{name}.log") for name, command in rendering(work, rendered, seed).items()]
    wait_for(lambda: all((work / name / "settings.json").exists() for name in RENDERS))
    train(work, out, share, device, only=only, after=after)
    for process in renders:
        process.terminate()
    keep(work, out)


def rendering(work: Path, share: float, seed: int = 0) -> dict[str, list[str]]:
    """The commands that render, at low priority."""
    commands = {}
    for name, (cpus, options) in RENDERS.items():
        people = options.index("--people") + 1
        options = [*options[:people], str(int(share * int(options[people]))), *options[people + 1 :]]
        workers = max(1, cpus * (os.cpu_count() or 1) // 16)
        program = ["nice", "-n", "15", sys.executable, "-m", "onephoto", "world", "render", str(work / name)]
        commands[name] = [*program, *options, "--seed", str(seed), "--workers", str(workers)]
    return commands


def train(
    work: Path, out: Path, share: float, device: str, *, only: list[str] | None = None, after: Path | None = None
) -> None:
    """The stages, each as soon as it has what it needs; one that fails does not stop the others.

    For one that is left out, the others take what the package ships.
    """
    own = ["--device", device, "--share", str(share), *(["--after", str(after)] if after else [])]
    running = {}
    for name in SECONDS:
        done = work / f"{name}.done"
        done.unlink(missing_ok=True)
        if only and name not in only:
            done.touch()
    for name in only or SECONDS:
        command = [sys.executable, __file__, str(work), str(out), "--stage", name, *own]
        running[name] = started(command, out / f"{name}.log")
    for process in running.values():
        process.wait()


def run_stage(name: str, work: Path, share: float, device: str, after: Path | None = None) -> None:
    """One stage, to its end; a file says when it is done, or has failed, so that nobody waits for it in vain."""
    torch.backends.cudnn.benchmark = True
    try:
        for line in lines_of(name, work, share, device, after):
            print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)
    finally:
        (work / f"{name}.done").touch()


def lines_of(name: str, work: Path, share: float, device: str, after: Path | None) -> Iterator[str]:
    """What a stage says."""
    pictures, minutes = [work / folder for folder in RENDERS], share * SECONDS[name] / 60
    if name == "vae":
        wait_for(lambda: allowed(after) and all(any(folder.glob("*.npy")) for folder in pictures))
        yield from stages.vae(pictures, work, minutes, device=device)
    elif name == "diffusion":
        yield from stages.diffusion(
            pictures, work, minutes, device=device, begin=lambda: encoded(pictures, work, device, after)
        )
        yield from stages.export(work)
    elif name == "judges":
        wait_for_stage("vae", work, after)
        time.sleep(max(0, share * (SECONDS["diffusion"] - SECONDS["judges"]) - READING))
        yield from stages.judges(pictures[::-1], work, minutes, device=device)
    elif name == "sdxl":
        wait_for_stage("diffusion", work, after)
        yield from stages.sdxl(pictures, work, minutes, device=device)
        yield from stages.export_sdxl(work)
    else:
        wait_for_stage("diffusion", work, after)
        yield from stages.control(pictures[:1], work, minutes, device=device)


def allowed(after: Path | None) -> bool:
    """Whether the file that training waits for is there."""
    return after is None or after.exists()


def wait_for_stage(name: str, work: Path, after: Path | None) -> None:
    """Sleep until another stage is over, and training is allowed."""
    wait_for(lambda: allowed(after) and (work / f"{name}.done").exists())


def encoded(pictures: list[Path], work: Path, device: str, after: Path | None) -> None:
    """Wait for the autoencoder; on a CPU also for all latents, which a GPU makes in passing."""
    wait_for_stage("vae", work, after)
    if device == "cpu":
        list(stages.latents(pictures, work))


def started(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """A process whose output goes to a file."""
    with log.open("ab") as file:
        return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)


def wait_for(condition: Callable[[], bool]) -> None:
    """Sleep until something is so."""
    while not condition():
        time.sleep(0.5)


def keep(work: Path, out: Path) -> None:
    """What was made as parts of one archive: cat out/weights.tar.* | tar x."""
    archive = work / "weights.tar"
    with tarfile.open(archive, "w") as tar:
        for name in KEPT:
            if (work / name).exists():
                tar.add(work / name, name)
    data = archive.read_bytes()
    for number, start in enumerate(range(0, len(data), PART)):
        (out / f"weights.tar.{number}").write_bytes(data[start : start + PART])


if __name__ == "__main__":
    typer.run(main)
