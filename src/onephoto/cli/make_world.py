"""Commands on the synthetic people and things: render, sheet, person, thing, judge."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)
SUBJECT = "Who or what is shown: person, plush toy, car, chair or dog; seeds are then those of the things."


@app.command()
def render(
    folder: Annotated[Path, typer.Argument(help="Where the pictures go; a folder begun earlier is gone on with.")],
    people: Annotated[int, typer.Option(help="How many people.")] = 1000,
    first: Annotated[int, typer.Option(help="Seed of the first person.")] = 0,
    shots: Annotated[int, typer.Option(help="Pictures a person.")] = 8,
    size: Annotated[int, typer.Option(help="Side in pixels.")] = 128,
    workers: Annotated[int, typer.Option(help="Processes.")] = 1,
    pairs: Annotated[float, typer.Option(min=0, max=1, help="Share of pictures that show two people.")] = 0.05,
    things: Annotated[
        float, typer.Option(min=0, max=1, help="Share of pictures that show a plush toy, car, chair or dog instead.")
    ] = 0.0,
    subject: Annotated[str, typer.Option(help=SUBJECT)] = "person",
    called: Annotated[
        bool,
        typer.Option("--called", help="Call people without a name somebody, so that training can tell who is meant."),
    ] = False,
    maps: Annotated[
        bool, typer.Option("--maps", help="Depth and pose beside each picture, also of pictures that are there.")
    ] = False,
    seed: int = 0,
) -> None:
    """Render pictures of people, or of things, with their captions and facts."""
    from rich.progress import Progress

    from onephoto.world.dataset import render as render_set

    with Progress() as bar:
        task = bar.add_task("rendering", total=None)
        render_set(
            folder, range(first, first + people), shots, size=size, workers=workers, pairs=pairs, things=things,
            subject=subject, called=called, seed=seed, maps=maps,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip
    typer.echo(folder)


@app.command()
def sheet(
    out: Annotated[Path, typer.Argument(help="Picture to write, PNG or WebP.")],
    people: Annotated[int, typer.Option(help="How many people.")] = 6,
    first: Annotated[int, typer.Option(help="Seed of the first person.")] = 0,
    shots: Annotated[int, typer.Option(help="Pictures a person.")] = 8,
    across: Annotated[int, typer.Option(min=1, help="How many people share a row.")] = 1,
    size: Annotated[int, typer.Option(help="Side of a picture in pixels.")] = 128,
    enlarge: Annotated[int, typer.Option(help="How many times larger the sheet shows it.")] = 1,
    subject: Annotated[str, typer.Option(help=SUBJECT)] = "person",
    seed: int = 0,
) -> None:
    """Draw a contact sheet of people, or of things, and shots."""
    from onephoto.world.sheet import contact_sheet

    seeds = range(first, first + people)
    drawn = contact_sheet(seeds, shots, size=size, seed=seed, enlarge=enlarge, subject=subject, across=across)
    drawn.save(out)
    typer.echo(out)


@app.command()
def person(seed: Annotated[int, typer.Argument(help="Seed of the person; the first 3000 have names.")]) -> None:
    """Print a person's identity card."""
    from dataclasses import fields

    from onephoto.world.people import describe
    from onephoto.world.people import person as person_of

    somebody = person_of(seed)
    looks = describe(somebody)
    typer.echo(f"{somebody.name or 'unnamed'} (seed {seed}), a {looks.sex} of {somebody.age:.0f}")
    for field in fields(looks):
        value = getattr(looks, field.name)
        if field.name != "sex" and value not in (None, False, ()):
            text = ", ".join(value) if isinstance(value, tuple) else ("yes" if value is True else value)
            typer.echo(f"  {field.name.replace('_', ' '):12} {text}")


@app.command()
def thing(
    kind: Annotated[str, typer.Argument(help="plush toy, car, chair or dog.")],
    seed: Annotated[int, typer.Argument(help="Seed of the thing; the first 64 of each kind have names.")],
) -> None:
    """Print a thing's identity card."""
    from dataclasses import asdict

    from onephoto.world.thing_captions import words_for
    from onephoto.world.things import thing as thing_of

    one = thing_of(kind, seed)
    typer.echo(f"{one.name or 'unnamed'} (seed {seed}), {words_for(one)}")
    for name, value in asdict(one).items():
        if name not in ("seed", "name") and value not in (None, False):
            text = f"{value:.2f}" if isinstance(value, float) else "yes" if value is True else value
            typer.echo(f"  {name:10} {text}")


@app.command()
def judge(
    people: Annotated[int, typer.Option(help="How many people.")] = 40,
    first: Annotated[
        int, typer.Option(help="Seed of the first person: 90000 for choices, 100000 to measure.")
    ] = 100_000,
    shots: Annotated[int, typer.Option(help="Pictures a person.")] = 6,
    out: Annotated[Path | None, typer.Option(help="JSON file for the numbers.")] = None,
) -> None:
    """Measure how dlib, which was trained on real faces, sees the people."""
    import json
    from dataclasses import asdict

    from rich.console import Console
    from rich.progress import Progress

    from onephoto.cli.world_tables import tables
    from onephoto.evaluate.world_judge import judge as judged

    with Progress() as bar:
        task = bar.add_task("judging", total=None)
        verdicts = judged(
            range(first, first + people), shots,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip
    for table in tables(verdicts):
        Console().print(table)
    if out is not None:
        settings = {"people": people, "first": first, "shots": shots}
        out.write_text(json.dumps(settings | {name: asdict(v) for name, v in verdicts.items()}, indent=1) + "\n")
        typer.echo(out)
