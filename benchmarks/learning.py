"""How fast a person is learned, against diffusers' own recipe of Textual Inversion and against the machine's floor.

    python benchmarks/learning.py
    python benchmarks/learning.py --dtype bfloat16 --people 8
    python benchmarks/learning.py --model sd15 --size 512 --device cuda --dtype bfloat16 --compile --json sd15.json

All learn from the same photo on the same model, in one process, a step of each in turn; numbers are medians. The floor
is a forward pass of the U-Net and a backward pass to its prompt at the rate of one large product of matrices.
"""

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import torch
import typer
from diffusers.models.attention import FeedForward
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from diffusers_recipe import DiffusersRecipe
from full_size import Precision, square
from measuring import (
    GIGA,
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
    matrix_rate,
    model_named,
    write_json,
)
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from onephoto import api
from onephoto.backbone.attention import plain_attention
from onephoto.backbone.load import Backbone
from onephoto.backbone.prompts import encode_plain
from onephoto.errors import OnephotoError
from onephoto.evaluate.plan import learning_settings
from onephoto.methods.recipe import FACE_PROMPT
from onephoto.together import Together

ENDLESS = 1_000_000
SAMPLES = 4 * learning_settings("mini")["sefi"]["steps"]
"""Samples that a person of the embedded model is learned from where no photo is redrawn, 4 a step."""
THEIRS, OURS = "diffusers' recipe", "sefi"
ALONE, TOGETHER = "one by one", "together"
COMPILED = (ResnetBlock2D, FeedForward, Upsample2D, Downsample2D)
"""What --compile compiles: the parts of a U-Net and autoencoder within which nothing is hooked."""


def ours(backbone: Backbone, photo: Image.Image, method: str, *, batch: int, size: int) -> Callable[[], Any]:
    """A run of one of our methods, a step a call."""
    settings = {"batch_size": batch, "steps": ENDLESS}
    steps: Iterator[Any] = iter(
        api.Learning(backbone, [photo], api.LearnRequest(name="v", method=method, settings=settings, size=size))
    )
    return lambda: next(steps)


def crowd(
    backbone: Backbone, photo: Image.Image, people: int, *, batch: int, size: int
) -> dict[str, Callable[[], Any]]:
    """A step of as many people, one after another and in one batch."""

    def runs() -> list[api.Learning]:
        settings = {"batch_size": batch, "steps": ENDLESS}
        return [
            api.Learning(backbone, [photo], api.LearnRequest(name="v", settings=settings, size=size, seed=seed))
            for seed in range(people)
        ]

    alone = [iter(run) for run in runs()]
    together = iter(Together(runs()))
    return {ALONE: lambda: [next(run) for run in alone], TOGETHER: lambda: next(together)}


def theirs(backbone: Backbone, photo: Image.Image, *, batch: int, size: int) -> Callable[[], Any]:
    """A run of diffusers' recipe, a step a call."""
    return DiffusersRecipe(backbone, photo, batch_size=batch, size=size, prompt=FACE_PROMPT, subject="person").step


def floor_flops(backbone: Backbone, *, batch: int, size: int) -> int:
    """FLOP of the U-Net's forward pass and of the backward pass to its prompt."""
    prompt = encode_plain(backbone, FACE_PROMPT.format("person"))
    side = size // backbone.pixels_per_latent
    noisy = torch.randn(batch, backbone.unet.config.in_channels, side, side).to(backbone.device, backbone.dtype)
    contexts = prompt.contexts.to(backbone.dtype).expand(batch, -1, -1).detach().requires_grad_()
    t = torch.full((batch,), 500, device=backbone.device)
    added = backbone.added_conditions(prompt, batch, size=(size, size))
    with plain_attention(backbone.unet, *backbone.text_encoders), FlopCounterMode(display=False) as counter:
        backbone.unet(noisy, t, encoder_hidden_states=contexts, **added).sample.float().square().mean().backward()
    return int(counter.get_total_flops())


def compile_parts(backbone: Backbone) -> None:
    """Compile what all contestants share, once for each shape of it, of which a U-Net has more than torch foresees."""
    torch._dynamo.config.recompile_limit = 64
    for model in (backbone.unet, backbone.vae):
        for module in model.modules():
            if isinstance(module, COMPILED):
                module.compile()


def rows_of(timings: dict[str, Timing], *, batch: int, clock: Clock) -> list[dict[str, Any]]:
    """A row for each contestant, with how many times as fast as diffusers' recipe it is."""
    reference = timings[THEIRS].seconds(clock)
    return [
        {
            "who": name, "seconds": timing.seconds(clock), "wall": timing.wall, "cpu": timing.cpu,
            "updates": 1 / timing.seconds(clock), "samples": batch / timing.seconds(clock),
            "ratio": reference / timing.seconds(clock), "peak": timing.peak,
            "person": SAMPLES * timing.seconds(clock) / batch,
        }
        for name, timing in timings.items()
    ]  # fmt: skip


def crowd_rows(timings: dict[str, Timing], *, people: int, clock: Clock) -> list[dict[str, Any]]:
    """A row for each way to learn many people."""
    alone = timings[ALONE].seconds(clock)
    return [
        {
            "who": name, "people": people, "seconds": timing.seconds(clock), "wall": timing.wall, "cpu": timing.cpu,
            "updates": people / timing.seconds(clock), "ratio": alone / timing.seconds(clock), "peak": timing.peak,
        }
        for name, timing in timings.items()
    ]  # fmt: skip


def shown_crowd(result: dict[str, Any]) -> Table:
    """These rows as a table."""
    rows = result["crowd"]
    table = Table("", "s/round", "people's updates/s", "x one by one", "peak GB", title=f"{rows[0]['people']} people")
    for row in rows:
        table.add_row(
            row["who"], f"{row['seconds']:.3f}", f"{row['updates']:.2f}", f"{row['ratio']:.2f}", gigabytes(row["peak"])
        )  # fmt: skip
    return table


def shown(result: dict[str, Any]) -> Table:
    """The rows as a table."""
    title = "{model}, {dtype}, batch {batch}, {size} px, {threads} threads, {clock} time".format(
        **result, threads=result["machine"]["threads"]
    )
    person = f"s/{SAMPLES} samples"
    table = Table("", "s/update", "updates/s", "samples/s", person, "x diffusers", "x floor", "peak GB", title=title)
    for row in result["rows"]:
        table.add_row(
            row["who"], f"{row['seconds']:.3f}", f"{row['updates']:.2f}", f"{row['samples']:.2f}",
            f"{row['person']:.1f}", f"{row['ratio']:.2f}", f"{row['seconds'] / result['floor']:.2f}",
            gigabytes(row["peak"]),
        )  # fmt: skip
    table.add_row(
        "floor", f"{result['floor']:.3f}", f"{1 / result['floor']:.2f}", f"{result['batch'] / result['floor']:.2f}",
        f"{SAMPLES * result['floor'] / result['batch']:.1f}",
        f"{result['rows'][0]['seconds'] * result['rows'][0]['ratio'] / result['floor']:.2f}", "1.00", "",
    )  # fmt: skip
    return table


def main(
    model: Model = "mini",
    size: Size = None,
    batch: Annotated[int, typer.Option(help="Samples an update.")] = 4,
    rounds: Annotated[int, typer.Option(help="Steps of each that count.")] = 9,
    device: Device = "cpu",
    dtype: Dtype = Precision.FLOAT32,
    threads: Threads = None,
    compiled: Annotated[bool, typer.Option("--compile", help="Compile the parts that nothing is hooked in.")] = False,
    cube: Annotated[int, typer.Option(help="Side of the matrices whose product is the machine's rate.")] = 0,
    people: Annotated[int, typer.Option(help="People to learn together, against one by one; 0 leaves it out.")] = 0,
    person_batch: Annotated[int, typer.Option(help="Samples an update of each of them.")] = 1,
    clock: ClockAsked = None,
    json: Json = None,
) -> None:
    """Measure a step of learning."""
    torch.set_num_threads(threads or torch.get_num_threads())
    backbone = model_named(model, device=device, dtype=getattr(torch, dtype))
    size, clock = size or backbone.image_size, clock_of(clock, device)
    photo = square(size)
    flops = floor_flops(backbone, batch=batch, size=size)
    if compiled:
        compile_parts(backbone)
    runs = {
        OURS: ours(backbone, photo, "sefi", batch=batch, size=size),
        "textual-inversion": ours(backbone, photo, "textual-inversion", batch=batch, size=size),
        THEIRS: theirs(backbone, photo, batch=batch, size=size),
    }
    timings = in_turns(runs, rounds=rounds, device=device, warmup=2)
    cube = cube or (2048 if device == "cpu" else 8192)
    rate = matrix_rate(cube, device=device, dtype=backbone.dtype, clock=clock)
    result: dict[str, Any] = {
        "model": backbone.model_id, "dtype": str(dtype), "batch": batch, "size": size, "clock": str(clock),
        "compiled": compiled, "rounds": rounds, "machine": machine(device), "flops": flops, "rate": rate,
        "floor": flops / rate, "rows": rows_of(timings, batch=batch, clock=clock),
    }  # fmt: skip
    Console().print(shown(result))
    print(f"floor: {flops / GIGA:.1f} GFLOP at {rate / GIGA:.0f} GFLOP/s (a product of {cube} x {cube} matrices)")
    if people:
        begun = json and json.with_suffix(".part.json")
        write_json(begun, result)
        many = crowd(backbone, photo, people, batch=person_batch, size=size)
        result["crowd"] = crowd_rows(in_turns(many, rounds=rounds, device=device, warmup=1), people=people, clock=clock)
        Console().print(shown_crowd(result))
        if begun:
            begun.unlink()
    write_json(json, result)


if __name__ == "__main__":
    try:
        typer.run(main)
    except OnephotoError as error:
        raise SystemExit(str(error)) from error
