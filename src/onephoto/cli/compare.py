"""The comparison of methods on people of the world."""

from pathlib import Path
from typing import Annotated

import typer

from onephoto.cli.people import Device, Guidance, Model, Steps, loaded, quiet


def compare(
    out: Annotated[Path, typer.Argument(help="Folder for identities, pictures and rows; one begun is gone on with.")],
    method: Annotated[list[str] | None, typer.Option(help="A method; may be repeated. All unless given.")] = None,
    people: Annotated[int, typer.Option(help="How many people.")] = 8,
    first: Annotated[
        int, typer.Option(help="Seed of the first person: 90000 for choices, 100000 to measure.")
    ] = 90_000,
    prompts: Annotated[int, typer.Option(help="Prompts of each set of ten.")] = 10,
    model: Model = "mini",
    steps: Steps = 25,
    guidance: Guidance = 5.0,
    seed: int = 0,
    device: Device = "cpu",
) -> None:
    """Learn the same people by every method, draw the same prompts with the same seeds, and measure."""
    quiet()
    from rich.progress import track

    from onephoto import api
    from onephoto.evaluate.benchmark import Plan, Row, write_table
    from onephoto.evaluate.judge import load_judge
    from onephoto.evaluate.people import sitter
    from onephoto.generate.draw import DrawSettings
    from onephoto.methods import method_names

    judge = load_judge()
    plan = Plan(
        methods=tuple(method or method_names()),
        people=tuple(range(first, first + people)),
        prompts_each=prompts,
        seed=seed,
    )
    backbone = loaded(model, device, "float32")
    sitters = {number: sitter(number) for number in track(plan.people, description="photographing people")}
    rows: list[Row] = []
    runs = api.compare(
        backbone, plan, out, settings=DrawSettings(steps=steps, guidance=guidance), sitters=sitters, judge=judge
    )
    for part in track(runs, total=len(plan.people) * len(plan.methods), description="learning and drawing"):
        rows += part
    write_table(rows, out / "rows.csv")
    _show(rows, list(sitters.values()))
    typer.echo(out / "rows.csv")


def _show(rows: list, sitters: list) -> None:
    """The summary as a table."""
    from rich.console import Console
    from rich.table import Table

    from onephoto.evaluate.report import floor_and_ceiling, summary

    table = Table("method", "Prompt", "fits", "Detect", "ID", "ID(P)", "95%", "Copy", "seconds", "KB")
    for line in summary(rows, sitters):
        low, high = line.id_p_interval
        table.add_row(
            line.method, f"{line.prompt:.3f}", f"{line.passes:.2f}", f"{line.detect:.2f}", f"{line.id:.3f}",
            f"{line.id_p:.3f}", f"{low:.3f} to {high:.3f}", f"{line.copy:+.2f}", f"{line.seconds:.0f}",
            f"{line.bytes / 1000:.0f}",
        )  # fmt: skip
    low, high = floor_and_ceiling(sitters)
    console = Console()
    console.print(table)
    console.print(f"ID of two different people {low:.3f} (floor), of two pictures of one person {high:.3f} (ceiling)")
