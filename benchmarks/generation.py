"""What a learned person costs in drawing: the plain pipeline against `onephoto.use`, alone and in batches.

    python benchmarks/generation.py
    python benchmarks/generation.py --dtype bfloat16 --batch 1 --batch 16
    python benchmarks/generation.py --model sd15 --device cuda --dtype bfloat16 --json sd15.json

The plain pipeline draws the same prompt with the class word in the name's place. Both draw in turns in one process.
At the end, unless the model is a shape with random weights, a new shell command draws one picture from nothing.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from full_size import Precision, Shape, square
from measuring import (
    Clock,
    ClockAsked,
    Device,
    Dtype,
    Json,
    Model,
    Size,
    Threads,
    Timing,
    clock_of,
    gigabytes,
    in_turns,
    machine,
    model_named,
    write_json,
)
from rich.console import Console
from rich.table import Table

import onephoto
from onephoto import api
from onephoto.backbone.load import Backbone
from onephoto.errors import OnephotoError
from onephoto.generate.draw import DrawSettings, call_arguments
from onephoto.identity.file import IdentityFile, save

PROMPT = "a photo of {} at the beach"
PLAIN, OURS, MAPS = "plain pipeline", "onephoto.use", "with heat maps"


def contestants(
    backbone: Backbone, person: IdentityFile, settings: DrawSettings, count: int
) -> dict[str, Callable[[], Any]]:
    """Ways to draw `count` pictures in one call, by name; heat maps are of one picture at a time."""
    pipe = backbone.pipeline

    def arguments() -> dict[str, Any]:
        return call_arguments(backbone, settings, range(count)) | {"output_type": "np"}

    def plain() -> None:
        pipe(PROMPT.format(person.subject), **arguments())

    def used() -> None:
        with onephoto.use(pipe, **{person.name: person}) as people:
            pipe(**people.prompt(PROMPT.format(f"<{person.name}>")), **arguments())

    def looked() -> None:
        onephoto.look(backbone, PROMPT.format(f"<{person.name}>"), [person], settings=settings)

    return {PLAIN: plain, OURS: used} | ({MAPS: looked} if count == 1 else {})


def rows_of(timings: dict[str, Timing], *, count: int, clock: Clock) -> list[dict[str, Any]]:
    """A row for each way, with its overhead over the plain pipeline."""
    plain = timings[PLAIN].seconds(clock)
    return [
        {
            "who": name, "pictures": count, "seconds": timing.seconds(clock) / count, "wall": timing.wall / count,
            "cpu": timing.cpu / count, "overhead": timing.seconds(clock) / plain - 1, "peak": timing.peak,
        }
        for name, timing in timings.items()
    ]  # fmt: skip


def first_picture(model: str, person: IdentityFile, *, device: str, dtype: str, steps: int) -> dict[str, float]:
    """Seconds from a shell command to its picture, by the wall and of CPU time."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{person.name}.safetensors"
        save(file, person)
        command = [
            sys.executable, "-m", "onephoto", "generate", PROMPT.format(f"<{person.name}>"), "-i", str(file),
            "--model", model, "--device", device, "--dtype", dtype, "--steps", str(steps), "--out", folder,
        ]  # fmt: skip
        before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=os.environ)
        wall, after = time.perf_counter() - wall, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"wall": wall, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def shown(result: dict[str, Any]) -> Table:
    """The rows as a table."""
    title = "{model}, {dtype}, {steps} steps, {size} px, {threads} threads, {clock} time".format(
        **result, threads=result["machine"]["threads"]
    )
    table = Table("", "in a batch", "s/picture", "over plain", "peak GB", title=title)
    for row in result["rows"]:
        overhead = "" if row["who"] == PLAIN else f"{row['overhead']:+.1%}"
        table.add_row(row["who"], str(row["pictures"]), f"{row['seconds']:.3f}", overhead, gigabytes(row["peak"]))
    return table


def main(
    model: Model = "mini",
    size: Size = None,
    steps: Annotated[int, typer.Option(help="Denoising steps.")] = 25,
    batch: Annotated[list[int] | None, typer.Option(help="Pictures in a batch; may be repeated. 1 and 16.")] = None,
    rounds: Annotated[int, typer.Option(help="Calls of each that count.")] = 5,
    device: Device = "cpu",
    dtype: Dtype = Precision.FLOAT32,
    threads: Threads = None,
    clock: ClockAsked = None,
    json: Json = None,
) -> None:
    """Measure drawing."""
    torch.set_num_threads(threads or torch.get_num_threads())
    backbone = model_named(model, device=device, dtype=getattr(torch, dtype))
    size, clock = size or backbone.image_size, clock_of(clock, device)
    request = api.LearnRequest(name="alice", settings={"steps": 1, "batch_size": 1}, size=size)
    person = api.learn(backbone, [square(size)], request)
    settings = DrawSettings(steps=steps, size=size)
    rows = []
    for count in batch or (1, 16):
        works = contestants(backbone, person, settings, count)
        rows += rows_of(in_turns(works, rounds=rounds, device=device), count=count, clock=clock)
    result: dict[str, Any] = {
        "model": backbone.model_id, "dtype": str(dtype), "size": size, "steps": steps, "clock": str(clock),
        "rounds": rounds, "machine": machine(device), "rows": rows,
    }  # fmt: skip
    Console().print(shown(result))
    if model not in list(Shape):
        first = first_picture(model, person, device=device, dtype=str(dtype), steps=steps)
        print(f"first picture from the shell: {first['wall']:.1f} s, {first['cpu']:.1f} s of CPU time")
        result["first_picture"] = first
    write_json(json, result)


if __name__ == "__main__":
    try:
        typer.run(main)
    except OnephotoError as error:
        raise SystemExit(str(error)) from error
