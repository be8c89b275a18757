"""Commands that train the embedded model; each stage goes on from where it was stopped."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from onephoto.cli.people import quiet

app = typer.Typer(no_args_is_help=True)


class Stage(StrEnum):
    """Stages of training, in order; the judges need pictures alone."""

    VAE = "vae"
    LATENTS = "latents"
    DIFFUSION = "diffusion"
    EXPORT = "export"
    JUDGES = "judges"


@app.callback()
def base() -> None:
    """Train the embedded model."""


@app.command()
def train(
    stage: Annotated[Stage, typer.Argument(help="What to train; render pictures first with onephoto world render.")],
    pictures: Annotated[Path, typer.Option(help="Folder of rendered pictures.")],
    work: Annotated[Path, typer.Option(help="Folder for checkpoints and results.")],
    minutes: Annotated[float, typer.Option(help="How long to train.")] = 30.0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Train one stage for some minutes; run it again to go on."""
    quiet()
    from onephoto.base import stages

    work.mkdir(parents=True, exist_ok=True)
    if stage is Stage.VAE:
        lines = stages.vae(pictures, work, minutes, device=device)
    elif stage is Stage.LATENTS:
        lines = stages.latents(pictures, work, device=device)
    elif stage is Stage.DIFFUSION:
        lines = stages.diffusion(pictures, work, minutes, device=device)
    elif stage is Stage.JUDGES:
        lines = stages.judges(pictures, work, minutes, device=device)
    else:
        lines = stages.export(work)
    for line in lines:
        typer.echo(line)
