"""Steps of learning in narrow number formats against float32: the same weights, photo, seed, noise and timesteps.

    python benchmarks/numerics.py
    python benchmarks/numerics.py --model sd15 --size 512 --device cuda --json sd15-numerics.json

It fails where a number is not finite, or where a format strays farther from float32 than TOLERANCES allow.
"""

import copy
import time
from dataclasses import dataclass
from typing import Annotated, Any

import torch
import typer
from full_size import Precision, square
from measuring import (
    Device,
    Json,
    Model,
    Size,
    Threads,
    gigabytes,
    machine,
    model_named,
    peak_bytes,
    reset_peak,
    write_json,
)
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor

from onephoto import api
from onephoto.backbone.load import Backbone
from onephoto.errors import OnephotoError, SettingError

WINDOW = 10
"""Steps whose losses are averaged before they are compared."""
TOLERANCES = {"loss": 0.01, "direction": 0.01, "length": 0.05}
"""Largest share by which a window's loss may differ from float32's; by how much the cosine of what the tokens have
moved by may be under 1; and the largest share by which its length may differ."""


@dataclass(frozen=True)
class Run:
    """Losses of the steps done, what the tokens have moved by (one row), seconds a step, peak memory, what broke."""

    losses: list[float]
    moved: Tensor
    seconds: float
    peak: float | None
    broken: str


def learned(backbone: Backbone, photo: Image.Image, *, steps: int, batch: int, size: int, device: str) -> Run:
    """A run of ours in the model's format."""
    settings = {"steps": steps, "batch_size": batch}
    learning = api.Learning(backbone, [photo], api.LearnRequest(name="v", settings=settings, size=size))
    start, losses, broken = flat(learning), [], ""
    reset_peak(device)
    began = time.perf_counter()
    try:
        losses += [report.losses["loss"] for report in learning]
    except SettingError as error:
        broken = str(error)
    seconds = (time.perf_counter() - began) / max(1, len(losses))
    return Run(losses, flat(learning) - start, seconds, peak_bytes(device), broken)


def flat(learning: api.Learning) -> Tensor:
    """All tokens as one row, float64."""
    return torch.cat([rows.flatten() for rows in learning.method.tensors().values()]).double()


def compared(run: Run, reference: Run) -> dict[str, float]:
    """How far a run is from float32's, as TOLERANCES has it; infinitely where it broke off."""
    if run.broken or not bool(run.moved.isfinite().all()):
        return dict.fromkeys(TOLERANCES, float("inf"))
    own, other = (torch.tensor(one.losses).double().split(WINDOW) for one in (run, reference))
    shares = [abs(float(a.mean() / b.mean()) - 1) for a, b in zip(own, other, strict=True)]
    lengths = run.moved.norm(), reference.moved.norm()
    cosine = float(run.moved @ reference.moved / (lengths[0] * lengths[1]))
    return {"loss": max(shares), "direction": 1 - cosine, "length": abs(float(lengths[0] / lengths[1]) - 1)}


def in_format(backbone: Backbone, dtype: torch.dtype) -> Backbone:
    """The model in another format, its weights rounded once; the one given stays as it is."""
    if dtype == torch.float32:
        return backbone
    parts = {name: copy.deepcopy(getattr(backbone.pipeline, name)) for name in ("unet", "vae", *backbone.encoder_names)}
    pipe = type(backbone.pipeline)(**{**backbone.pipeline.components, **parts})
    pipe.to(dtype)
    return Backbone(pipe, backbone.family, backbone.model_id)


def rows_of(runs: dict[str, Run]) -> list[dict[str, Any]]:
    """A row for each format."""
    reference = runs[Precision.FLOAT32]
    rows = []
    for name, run in runs.items():
        apart = compared(run, reference)
        within = all(apart[number] <= most for number, most in TOLERANCES.items())
        rows.append(
            {
                "dtype": str(name), "steps": len(run.losses), "seconds": run.seconds, "peak": run.peak, **apart,
                "last": run.losses[-1] if run.losses else None, "broken": run.broken, "within": within,
            }
        )  # fmt: skip
    return rows


def shown(result: dict[str, Any]) -> Table:
    """The rows as a table."""
    title = "{model}, {steps} steps of {batch}, {size} px".format(**result)
    table = Table("", "loss within", "1 - cosine", "length within", "s/step", "peak GB", "", title=title)
    for row in result["rows"]:
        said = "ok" if row["within"] else row["broken"] or "too far"
        table.add_row(
            row["dtype"], f"{row['loss']:.2%}", f"{row['direction']:.1e}", f"{row['length']:.2%}",
            f"{row['seconds']:.3f}", gigabytes(row["peak"]), said,
        )  # fmt: skip
    return table


def main(
    model: Model = "mini",
    size: Size = None,
    batch: Annotated[int, typer.Option(help="Samples an update.")] = 4,
    steps: Annotated[int, typer.Option(help="Updates in each format.")] = 50,
    dtype: Annotated[list[Precision] | None, typer.Option(help="Formats beside float32; both unless given.")] = None,
    device: Device = "cpu",
    threads: Threads = None,
    json: Json = None,
) -> None:
    """Compare formats."""
    torch.set_num_threads(threads or torch.get_num_threads())
    torch.manual_seed(0)
    backbone = model_named(model, device=device, dtype=torch.float32)
    size = size or backbone.image_size
    photo = square(size)
    runs: dict[str, Run] = {}
    for name in (Precision.FLOAT32, *(dtype or (Precision.BFLOAT16, Precision.FLOAT16))):
        own = in_format(backbone, getattr(torch, name))
        runs[name] = learned(own, photo, steps=steps, batch=batch, size=size, device=device)
    result: dict[str, Any] = {
        "model": backbone.model_id, "batch": batch, "size": size, "steps": steps, "tolerances": TOLERANCES,
        "machine": machine(device), "rows": rows_of(runs),
    }  # fmt: skip
    Console().print(shown(result))
    write_json(json, result)
    if not all(row["within"] for row in result["rows"]):
        raise SystemExit("a format is farther from float32 than it may be")


if __name__ == "__main__":
    try:
        typer.run(main)
    except OnephotoError as error:
        raise SystemExit(str(error)) from error
