"""The benchmarks of speed and numerics at full size, one command after another, within some minutes.

    python benchmarks/suite.py out/speed --device cuda
    python benchmarks/suite.py out/speed --device cuda --minutes 9 --part sdxl
    python benchmarks/suite.py out/speed --table docs/speed-h100.md
    python benchmarks/suite.py out/rehearsal --model mini --device cpu

Each leaves a JSON file and what it printed in the folder. What is there is not measured again, so that a run that was
stopped goes on; what would not end in time is left for the next run. --model rehearses all of it on another model.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from standby import Standby

PARTS = {"sd15": 512, "sd21": 768, "sdxl": 1024}
"""Shapes, and the pixels that they are measured at; of sd21 the memory alone."""
SPARE, LEAST = 2, 120
"""By how much a command may take longer than thought before it is stopped, and the seconds that each may take on a GPU;
on a CPU it may take all that are left.
"""
TOGETHER = {"sd15": 16, "sdxl": 4}
"""People in a batch, as many as a GPU of 80 GB holds."""


@dataclass(frozen=True)
class Job:
    """One command: its name, its script and words, the seconds that it is thought to take, and its turn among all."""

    name: str
    script: str
    words: tuple[str, ...]
    seconds: float
    turn: int


def jobs(parts: Sequence[str], *, model: str | None, device: str) -> list[Job]:
    """What is measured of shapes: first what a machine that is still busy does not change, then the most wanted."""
    found = [job for part in parts for job in jobs_of(part, model=model or part, device=device)]
    return sorted(found, key=lambda job: job.turn)


def jobs_of(part: str, *, model: str, device: str) -> Iterator[Job]:
    """What is measured of one shape, or of a model in its place, at its own size."""
    large = part == "sdxl"
    scale = 2 if large else 1
    common = ("--device", device, *(("--size", str(PARTS[part])) if model == part else ()))
    if model == part:
        memory = (part, *common, "--dtype", "bfloat16", "--batch", "1")
        yield Job(f"{part}-memory", "full_size", memory, scale * 10, 0)
    if part not in TOGETHER:
        return
    named = ("--model", model, *common)
    yield Job(f"{part}-numerics", "numerics", (*named, "--batch", "1" if large else "4"), scale * 25, 1)
    for dtype, compiled, seconds, turn in (
        ("bfloat16", "", 15, 2), ("float16", "", 15, 4), ("float32", "", 20, 4), ("bfloat16", "--compile", 90, 5)
    ):  # fmt: skip
        batch = ("--batch", "1") if large and dtype == "float32" else ()  # four take more than 80 GB
        words = (*named, "--dtype", dtype, "--rounds", "7", *batch, *([compiled] if compiled else []))
        later = 2 if large and turn > 2 else 0
        yield Job(f"{part}-learning-{dtype}{compiled[1:]}", "learning", words, scale * seconds, turn + later)
    people = TOGETHER[part]
    wide = ("--dtype", "bfloat16", "--batch", str(people // 2), "--people", str(people), "--rounds", "5")
    yield Job(f"{part}-learning-bfloat16-people", "learning", (*named, *wide), scale * 90, 3)
    drawing = ("--dtype", "bfloat16", "--rounds", "3", "--batch", "1", *(() if large else ("--batch", "16")))
    yield Job(f"{part}-generation-bfloat16", "generation", (*named, *drawing), 40, 3)


def carried_out(job: Job, process: Standby, folder: Path, limit: float) -> str:
    """Run a job that has so many seconds, in a process that waits for it; how it went."""
    words = [*job.words, "--json", str(folder / f"{job.name}.json")]
    code = process.run(job.script, words, folder / f"{job.name}.txt", limit)
    if code is None:
        return f"stopped after {limit:.0f} s"
    return "done" if code == 0 else f"failed with {code}; see {job.name}.txt"


def measure(wanted: Sequence[Job], out: Path, minutes: float, *, patient: bool) -> None:
    """What is not there yet, each in a process of its own; the next one imports what it needs meanwhile."""
    end, log = time.monotonic() + 60 * minutes, out / "standby.log"
    missing = [job for job in wanted if not (out / f"{job.name}.json").exists()]
    waiting = Standby(log) if missing else None
    try:
        for job in missing:
            left, said = end - time.monotonic(), "left for the next run"
            limit = left if patient else min(left, max(LEAST, SPARE * job.seconds))
            if left >= job.seconds and waiting is not None:
                process, waiting = waiting, Standby(log) if job is not missing[-1] else None
                said = carried_out(job, process, out, limit)
            print(f"{job.name}: {said} ({end - time.monotonic():.0f} s left)", flush=True)
    finally:
        if waiting is not None:
            waiting.close()


def lines(folder: Path) -> Iterator[str]:
    """The folder's results as tables of Markdown, with device and date."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    devices = sorted({one["machine"]["device"] for one in found.values() if "machine" in one})
    yield f"# Speed on {', '.join(devices) or 'a device that was not named'}, {date.today():%Y-%m-%d}\n"
    titles = ("batch", "ms an update", "samples a second", "s a person", "x diffusers", "of the floor", "peak GB")
    yield line("learning", "who", *titles)
    yield "|" + " --- |" * 9
    for name, one in found.items():
        for row in one["rows"] if "floor" in one else ():
            yield learning_line(name, row, one)
    yield "\n| people together | who | people's updates a second | x one by one | peak GB |"
    yield "|" + " --- |" * 5
    for name, one in found.items():
        for row in one.get("crowd", ()):
            numbers = (f"{row['updates']:.1f}", f"{row['ratio']:.2f}", giga(row["peak"]))
            yield line(name, f"{row['people']} {row['who']}", *numbers)
    yield "\n| drawing | who | in a batch | s a picture | over plain | peak GB |"
    yield "|" + " --- |" * 6
    for name, one in found.items():
        for row in one["rows"] if "-generation-" in name else ():
            numbers = (f"{row['seconds']:.3f}", f"{row['overhead']:+.1%}", giga(row["peak"]))
            yield line(name, row["who"], str(row["pictures"]), *numbers)
    yield "\n| numerics | format | loss within | 1 - cosine | length within | tolerated |"
    yield "|" + " --- |" * 6
    for name, one in found.items():
        for row in one["rows"] if name.endswith("-numerics") else ():
            numbers = (f"{row['loss']:.2%}", f"{row['direction']:.1e}", f"{row['length']:.2%}")
            yield line(name, row["dtype"], *numbers, "yes" if row["within"] else row["broken"] or "no")
    yield "\n| memory | GB to learn | GB to draw |"
    yield "|" + " --- |" * 3
    for name, one in found.items():
        if name.endswith("-memory"):
            yield line(name, giga(one["learn"]["peak"]), giga(one["draw"]["peak"]))


def learning_line(name: str, row: dict[str, Any], result: dict[str, Any]) -> str:
    """A row of learning."""
    return line(
        name, row["who"], str(result["batch"]), f"{1000 * row['seconds']:.0f}", f"{row['samples']:.1f}",
        f"{row['person']:.1f}",
        f"{row['ratio']:.2f}", f"{result['floor'] / row['seconds']:.0%}", giga(row["peak"]),
    )  # fmt: skip


def line(*cells: str) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"


def giga(number: float | None) -> str:
    """Bytes in GB."""
    return "?" if number is None else f"{number / 1e9:.1f}"


def main(
    out: Annotated[Path, typer.Argument(help="Folder for the results; one begun is gone on with.")],
    device: Annotated[str, typer.Option(help="cuda, or cpu to rehearse.")] = "cuda",
    part: Annotated[list[str] | None, typer.Option(help="sd15, sd21 or sdxl; all unless given.")] = None,
    minutes: Annotated[float, typer.Option(help="Nothing is begun that would not end within these.")] = 9.0,
    model: Annotated[str | None, typer.Option(help="Measure this model in the shapes' place, at its own size.")] = None,
    table: Annotated[Path | None, typer.Option(help="Only write the tables here.")] = None,
) -> None:
    """Measure what is not measured yet."""
    out.mkdir(parents=True, exist_ok=True)
    if table is None:
        measure(jobs(part or list(PARTS), model=model, device=device), out, minutes, patient=device == "cpu")
    text = "\n".join(lines(out)) + "\n"
    (table or out / "speed.md").write_text(text)
    print(text)


if __name__ == "__main__":
    typer.run(main)
