"""The paper's studies of our method, on development people of the world."""

from pathlib import Path
from typing import Annotated

import typer

from onephoto.cli.compare import asked, carried_out, names_of, opened, tables
from onephoto.cli.people import Device, Guidance, Model, Steps, quiet


def study(
    name: Annotated[str, typer.Argument(help="stages, keys-values, lambda, pairs, loss or split.")],
    out: Annotated[Path, typer.Argument(help="Folder for the study; one begun is gone on with.")],
    people: Annotated[int, typer.Option(help="How many people.")] = 4,
    first: Annotated[int, typer.Option(help="Seed of the first person.")] = 90_000,
    prompts: Annotated[int, typer.Option(help="Prompts of the study's set of ten.")] = 10,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Only write tables, plot and page again from the folder.")
    ] = False,
    model: Model = "mini",
    steps: Steps = 25,
    guidance: Guidance = 5.0,
    seed: int = 0,
    device: Device = "cpu",
) -> None:
    """Learn and draw variants of our method, and say in a page what came out."""
    from onephoto.evaluate.studies import study as found

    question = found(name)
    if not report_only:
        quiet()
        from onephoto import comparison
        from onephoto.generate.draw import DrawSettings

        backbone, judges = opened(model, device)
        plan = comparison.study_plan(
            backbone, question, settings=DrawSettings(steps=steps, guidance=guidance), **names_of(judges),
            people=tuple(range(first, first + people)), prompts_each=prompts, seed=seed, **asked(),
        )  # fmt: skip
        carried_out(backbone, plan, out, judges)
    from onephoto.evaluate.study_page import write_study

    results = tables(out)
    page = write_study(question, results)
    typer.echo(question.sentence(question, results))
    typer.echo(page)
