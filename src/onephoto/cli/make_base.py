"""Commands that train the embedded model, each stage going on from where it was stopped, and that measure it."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onephoto.cli.people import Device, Guidance, Model, Steps, loaded, present, quiet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image
    from rich.table import Table

    from onephoto.backbone.load import Backbone
    from onephoto.evaluate.embedded import Meet, Score
    from onephoto.generate.draw import DrawSettings

app = typer.Typer(no_args_is_help=True)


class Stage(StrEnum):
    """Stages of training, in order; the decoder alone can go on at any time; the judges need pictures alone. The SDXL
    format and the ControlNet are grown out of work/mini, or the package's own model; the ControlNet needs maps beside
    the pictures, faces people 30000 to 89999 to learn from, and some of 90000 to 99999.
    """

    VAE = "vae"
    DECODER = "decoder"
    LATENTS = "latents"
    DIFFUSION = "diffusion"
    EXPORT = "export"
    SDXL = "sdxl"
    EXPORT_SDXL = "export-sdxl"
    CONTROL = "control"
    JUDGES = "judges"
    FACES = "faces"


@app.callback()
def base() -> None:
    """Train the embedded model."""


@app.command()
def train(
    stage: Annotated[Stage, typer.Argument(help="What to train; render pictures first with onephoto world render.")],
    pictures: Annotated[list[Path], typer.Option(help="Folder of rendered pictures; may be repeated.")],
    work: Annotated[Path, typer.Option(help="Folder for checkpoints and results.")],
    minutes: Annotated[float, typer.Option(help="How long to train.")] = 30.0,
    size: Annotated[
        int | None,
        typer.Option(help="Side of the pictures that latents and diffusion see; the model's own unless given."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: cuda where there is one.")] = "cpu",
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the U-Net on a CPU too: 2 minutes, worth it where that has AMX.")
    ] = False,
) -> None:
    """Train one stage for some minutes; run it again to go on."""
    quiet()
    from onephoto.base import stages

    device = present(device)
    work.mkdir(parents=True, exist_ok=True)
    runs = {
        Stage.VAE: lambda: stages.vae(pictures, work, minutes, device=device),
        Stage.DECODER: lambda: stages.decoder(pictures, work, minutes, device=device),
        Stage.LATENTS: lambda: stages.latents(pictures, work, size=size, device=device),
        Stage.DIFFUSION: lambda: stages.diffusion(pictures, work, minutes, size=size, device=device, compiled=compiled),
        Stage.EXPORT: lambda: stages.export(work),
        Stage.SDXL: lambda: stages.sdxl(pictures, work, minutes, size=size, device=device, compiled=compiled),
        Stage.EXPORT_SDXL: lambda: stages.export_sdxl(work),
        Stage.CONTROL: lambda: stages.control(pictures, work, minutes, size=size, device=device),
        Stage.JUDGES: lambda: stages.judges(pictures, work, minutes, device=device),
        Stage.FACES: lambda: stages.faces(pictures, work, minutes, device=device),
    }
    for line in runs[stage]():
        typer.echo(line)


@app.command()
def save(
    folder: Annotated[Path, typer.Argument(help="Folder to write.")],
    model: Model = "mini-xl",
) -> None:
    """Write a model as a folder in fp16 that plain diffusers loads; in the package mini-xl shares parts with mini."""
    quiet()
    from tempfile import TemporaryDirectory

    from onephoto.base.painters import save_pipeline
    from onephoto.errors import SettingError

    if folder.exists():
        raise SettingError(f"{folder}: there already, so left as it is; give a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent) as unfinished:
        save_pipeline(loaded(model, "cpu", "float32").pipeline, Path(unfinished) / folder.name)
        (Path(unfinished) / folder.name).rename(folder)
    typer.echo(folder)


@app.command()
def evaluate(
    out: Annotated[Path, typer.Argument(help="Folder for the numbers and a sheet of pictures.")],
    model: Model = "mini",
    control: Annotated[
        Path | None,
        typer.Option(help="Folder of a ControlNet to measure too; for mini the package's own, if it is there."),
    ] = None,
    each: Annotated[int, typer.Option(min=3, help="Pictures of each scene, thing, expression and word for hair.")] = 12,
    named: Annotated[int, typer.Option(min=2, help="People with names, four pictures each.")] = 20,
    unseen: Annotated[
        int, typer.Option(min=0, help="People to fit one token to, by 20 renders each; about a minute a person.")
    ] = 0,
    steps: Steps = 25,
    guidance: Guidance = 5.0,
    seed: int = 0,
    perturb: Annotated[
        bool, typer.Option("--perturb/--no-perturb", help="Guide away from what is drawn without self-attention, too.")
    ] = True,
    device: Device = "auto",
) -> None:
    """Measure how well the embedded model draws what it is asked for, and whom."""
    quiet()
    import json
    from dataclasses import asdict

    from rich.console import Console
    from rich.progress import Progress, TextColumn

    from onephoto.backbone.control import control_folder, load_control
    from onephoto.evaluate.embedded import evaluate as evaluated
    from onephoto.evaluate.embedded import probe_sheet
    from onephoto.evaluate.judge import load_judge
    from onephoto.generate.draw import DrawSettings, as_drawn

    judge, backbone = load_judge(), loaded(model, device, "float32")
    own = control_folder() if model == "mini" and control_folder().exists() else None
    steering = load_control(backbone.unet, control or own) if control or own else None
    settings = DrawSettings(steps=steps, guidance=guidance, perturbed=perturb)
    with Progress(TextColumn("{task.description}"), transient=True) as bar:
        task = bar.add_task("")
        scores, drawn = evaluated(
            backbone, judge, control=steering, meet=one_token(backbone, settings), each=each, named=named,
            unseen=unseen, seed=seed, settings=settings, progress=lambda line: bar.update(task, description=line),
        )  # fmt: skip
    Console().print(score_table(scores))
    out.mkdir(parents=True, exist_ok=True)
    facts = {"model": backbone.model_id, "seed": seed} | asdict(as_drawn(backbone, settings))
    content = facts | {"scores": [asdict(score) | {"reached": score.reached} for score in scores]}
    (out / "scores.json").write_text(json.dumps(content, indent=1) + "\n")
    probe_sheet(drawn).save(out / "sheet.png")
    typer.echo(out / "sheet.png")


FITTED = {"steps": 200, "batch_size": 8, "learning_rate": 1e-2, "decay": 0.7}
"""For one token and twenty pictures."""


def one_token(backbone: "Backbone", settings: "DrawSettings") -> "Meet":
    """Somebody learned as one token by Textual Inversion, and drawn."""
    from onephoto.api import LearnRequest, generate, learn
    from onephoto.world.prompts import FACE_PROMPT

    request = LearnRequest(name="unseen", method="textual-inversion", settings=FITTED)

    def meet(images: "Sequence[Image]", shots: int) -> "list[Image]":
        identity = learn(backbone, images, request)
        return generate(backbone, FACE_PROMPT.format("<unseen>"), [identity], seeds=range(shots), settings=settings)

    return meet


def score_table(scores: "list[Score]") -> "Table":
    """Every score beside what is wanted."""
    from rich.table import Table

    from onephoto.evaluate.embedded import LIMITS

    table = Table("", "measured", "wanted", "", "pictures")
    for score in scores:
        sign = "at most" if score.name in LIMITS else "at least"
        reached = "yes" if score.reached else "no"
        table.add_row(score.name, f"{score.value:.3f}", f"{sign} {score.wanted:g}", reached, str(score.pictures))
    return table
