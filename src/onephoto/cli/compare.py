"""The comparison of methods on people of the world."""

import shlex
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onephoto.cli.people import Device, Guidance, Model, Steps, loaded, quiet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onephoto.backbone.load import Backbone
    from onephoto.evaluate.judge import Judge
    from onephoto.evaluate.people import Sitter
    from onephoto.evaluate.plan import Plan
    from onephoto.evaluate.report import Results

QUICK_METHODS, QUICK_PEOPLE, QUICK_PROMPTS = 3, 3, 10


def compare(
    out: Annotated[Path, typer.Argument(help="Folder for identities, pictures and rows; one begun is gone on with.")],
    method: Annotated[list[str] | None, typer.Option(help="A method; may be repeated. All unless given.")] = None,
    people: Annotated[int, typer.Option(help="How many people.")] = 8,
    first: Annotated[
        int, typer.Option(help="Seed of the first person: 90000 for choices, 100000 to measure.")
    ] = 90_000,
    prompt_set: Annotated[
        list[str] | None, typer.Option("--set", help="A set of prompts; may be repeated. scene, attribute, action.")
    ] = None,
    prompts: Annotated[int, typer.Option(help="Prompts of each set of ten.")] = 10,
    quick: Annotated[bool, typer.Option("--quick", help="Three methods, three people, ten prompts in all.")] = False,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Only write tables, plots and page again from the folder.")
    ] = False,
    model: Model = "mini",
    steps: Steps = 25,
    guidance: Guidance = 5.0,
    seed: int = 0,
    device: Device = "cpu",
) -> None:
    """Learn the same people by every method, draw the same prompts with the same seeds, measure, and write a page."""
    if not report_only:
        quiet()
        from onephoto import api
        from onephoto.evaluate.judge import load_judge
        from onephoto.evaluate.prompt_sets import USUAL
        from onephoto.generate.draw import DrawSettings
        from onephoto.methods import method_names

        judge, backbone = load_judge(), loaded(model, device, "float32")
        plan = api.compare_plan(
            backbone, (method or method_names())[: QUICK_METHODS if quick else None],
            settings=DrawSettings(steps=steps, guidance=guidance), judge=judge.name,
            people=tuple(range(first, first + (QUICK_PEOPLE if quick else people))),
            sets=tuple(prompt_set or USUAL), prompts_each=prompts,
            prompts_total=QUICK_PROMPTS if quick else None, seed=seed, **asked(),
        )  # fmt: skip
        carried_out(backbone, plan, out, judge)
    from onephoto.evaluate.compare_page import write_page

    results = tables(out)
    _show(results)
    typer.echo(write_page(results))


def asked() -> dict[str, str]:
    """The command line and the day, as a plan remembers them."""
    return {"command": shlex.join(["onephoto", *sys.argv[1:]]), "date": f"{date.today():%Y-%m-%d}"}


def carried_out(backbone: "Backbone", plan: "Plan", out: Path, judge: "Judge") -> None:
    """Learn, draw and judge what the folder does not hold, with a progress bar."""
    from rich.progress import track

    from onephoto import api

    sitters = dict(track(_photographed(plan, out), total=len(plan.people), description="photographing people"))
    runs = api.compare(backbone, plan, out, sitters=sitters, judge=judge)
    for _ in track(runs, total=len(plan.people) * len(plan.variants), description="learning and drawing"):
        pass


def _photographed(plan: "Plan", out: Path) -> "Iterator[tuple[int, Sitter]]":
    """The plan's people, from the folder where they are there."""
    from onephoto.evaluate.people import load_sitter, sitter

    for seed in plan.people:
        yield seed, load_sitter(seed, out / "people") or sitter(seed)


def tables(out: Path) -> "Results":
    """What the folder holds, written to rows.csv and costs.csv."""
    from onephoto.evaluate.report import gather
    from onephoto.evaluate.rows import write_table

    results = gather(out)
    write_table(results.rows, out / "rows.csv")
    write_table(results.costs, out / "costs.csv")
    return results


def _show(results: "Results") -> None:
    """The summary as a table."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from onephoto.evaluate.report import floor_and_ceiling, summary

    table = Table("method", "ID(P)", "95%", "ID", "Prompt", "Detect", "Copy", "s", "KB", box=SIMPLE, pad_edge=False)
    for line in summary(results):
        low, high = line.id_p_interval
        table.add_row(
            line.method, f"{line.id_p:.3f}", f"{low:.2f}-{high:.2f}", f"{line.id:.3f}", f"{line.prompt:.3f}",
            f"{line.detect:.2f}", f"{line.copy:+.2f}", f"{line.seconds:.0f}", f"{line.bytes / 1000:.0f}",
        )  # fmt: skip
    low, high = floor_and_ceiling(list(results.sitters.values()))
    console = Console()
    console.print(table)
    console.print(f"ID of two different people {low:.3f} (floor), of two pictures of one person {high:.3f} (ceiling)")
