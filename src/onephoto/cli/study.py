"""The paper's studies of our method, and tuning of any, on development people of the world."""

from pathlib import Path
from typing import Annotated

import typer

from onephoto.cli.compare import asked, carried_out, names_of, opened, tables
from onephoto.cli.people import Device, Guidance, Model, Perturbed, Precision, Steps, quiet
from onephoto.errors import OnephotoError, SettingError


def study(
    name: Annotated[str, typer.Argument(help="stages, keys-values, lambda, pairs, loss, split or steps.")],
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
    perturb: Perturbed = None,
    seed: int = 0,
    device: Device = "auto",
    dtype: Precision = "float32",
) -> None:
    """Learn and draw variants of our method, and say in a page what came out."""
    from onephoto.evaluate.studies import study as found

    question = found(name)
    if not report_only:
        quiet()
        from onephoto import comparison
        from onephoto.generate.draw import DrawSettings

        backbone, judges = opened(model, device, dtype)
        drawing = DrawSettings(steps=steps, guidance=guidance, perturbed=perturb)
        plan = comparison.study_plan(
            backbone, question, settings=drawing, **names_of(judges),
            people=tuple(range(first, first + people)), prompts_each=prompts, seed=seed, **asked(),
        )  # fmt: skip
        carried_out(backbone, plan, out, judges)
    from onephoto.evaluate.study_page import write_study

    results = tables(out)
    page = write_study(question, results)
    typer.echo(question.sentence(question, results))
    typer.echo(page)


def tune(
    method: Annotated[str, typer.Argument(help="The method to tune.")],
    out: Annotated[Path, typer.Argument(help="Folder for what is tried; one begun is gone on with.")],
    people: Annotated[int, typer.Option(help="How many people.")] = 4,
    first: Annotated[int, typer.Option(help="Seed of the first person.")] = 90_000,
    prompts: Annotated[int, typer.Option(help="Prompts in all, from the three sets about a person in turn.")] = 10,
    rate: Annotated[
        list[float] | None,
        typer.Option(help="A factor on the learning rates to try; may be repeated. The usual grid unless given."),
    ] = None,
    minutes: Annotated[float, typer.Option(help="Nothing is begun that would not end within these.")] = 30.0,
    model: Model = "mini",
    steps: Steps = 25,
    guidance: Guidance = 5.0,
    perturb: Perturbed = None,
    seed: int = 0,
    device: Device = "auto",
    dtype: Precision = "float32",
) -> None:
    """Try a method with other steps and learning rates on development people, and write the best to tuned.toml."""
    quiet()
    import time
    from dataclasses import replace

    from onephoto import comparison
    from onephoto.evaluate.plan import take_up
    from onephoto.evaluate.tuning import fits, forget, seconds_spent, spend, write_choice
    from onephoto.generate.draw import DrawSettings

    for factor in rate or ():
        if not 0 < factor < float("inf"):
            raise SettingError(f"--rate {factor:g}: give a number above 0")
    backbone, judges = opened(model, device, dtype)
    plan = comparison.tuning_plan(
        backbone, method, settings=DrawSettings(steps=steps, guidance=guidance, perturbed=perturb), rates=rate or (),
        **names_of(judges), people=tuple(range(first, first + people)), prompts_total=prompts, seed=seed, **asked(),
    )  # fmt: skip
    take_up(plan, out)
    known = seconds_spent(out)
    for variant in (one for one in plan.variants if one.name not in known):
        if not fits(out, minutes):
            typer.echo(f"{variant.name} and what follows are left out: {minutes:g} minutes would not do")
            break
        typer.echo(variant.name)
        started = time.monotonic()
        try:
            carried_out(backbone, replace(plan, variants=(variant,)), out, judges)
        except OnephotoError as error:
            # A rate that is too high is an answer too.
            typer.echo(f"{variant.name}: {error}")
            forget(out, variant, plan.people)
        spend(out, variant.name, time.monotonic() - started)
    path = write_choice(tables(out), backbone.model_id)
    typer.echo(path.read_text(encoding="utf-8") + str(path))
