"""The comparison of methods on people, or things, of the world."""

import shlex
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onephoto.cli.people import Device, Guidance, Model, Perturbed, Precision, Steps, loaded, present, quiet

if TYPE_CHECKING:
    from onephoto.backbone.load import Backbone
    from onephoto.evaluate.measure import Judges
    from onephoto.evaluate.plan import Plan
    from onephoto.evaluate.report import Results

QUICK_METHODS, QUICK_PEOPLE, QUICK_PROMPTS = 3, 3, 10
EMBEDDED = ("mini", "mini-xl")
"""Models whose prompts are in words of the world."""

Words = Annotated[
    str | None, typer.Option(help="Words of the prompts, world or real; by the model unless given: world for mini.")
]
ClipModel = Annotated[
    str | None, typer.Option("--judge", help="CLIP that judges prompts in real words: a folder or a hub id.")
]


def compare(
    out: Annotated[Path, typer.Argument(help="Folder for identities, pictures and rows; one begun is gone on with.")],
    method: Annotated[
        list[str] | None,
        typer.Option(help="A method, or one under a preset as in sefi:fast; may be repeated. All unless given."),
    ] = None,
    people: Annotated[int, typer.Option(help="How many people.")] = 8,
    first: Annotated[
        int, typer.Option(help="Seed of the first person: 90000 for choices, 100000 to measure.")
    ] = 90_000,
    prompt_set: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A set of prompts; may be repeated: scene, attribute, action (these unless given), 'two people'; or "
            "object alone, for which toys, cars, chairs and dogs are learned.",
        ),
    ] = None,
    prompts: Annotated[int, typer.Option(help="Prompts of each set of ten.")] = 10,
    words: Words = None,
    clip: ClipModel = None,
    quick: Annotated[bool, typer.Option("--quick", help="Three methods, three people, ten prompts in all.")] = False,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Only write tables, plots and page again from the folder.")
    ] = False,
    model: Model = "mini",
    steps: Steps = 25,
    guidance: Guidance = 5.0,
    perturb: Perturbed = None,
    refine_faces: Annotated[
        bool, typer.Option("--refine-faces", help="Draw small faces again, as generate does; of one person alone.")
    ] = False,
    seed: int = 0,
    device: Device = "auto",
    dtype: Precision = "float32",
) -> None:
    """Learn the same people by every method, draw the same prompts with the same seeds, measure, and write a page."""
    if not report_only:
        quiet()
        from onephoto import comparison
        from onephoto.evaluate.prompt_sets import USUAL
        from onephoto.generate.draw import DrawSettings
        from onephoto.generate.refine import Faces
        from onephoto.methods import method_names

        words = words or words_of(model)
        backbone, judges = opened(model, device, dtype, words=words, clip=clip)
        plan = comparison.compare_plan(
            backbone, (method or method_names())[: QUICK_METHODS if quick else None],
            settings=DrawSettings(steps=steps, guidance=guidance, perturbed=perturb),
            refining=Faces() if refine_faces else None, **names_of(judges), words=words,
            people=tuple(range(first, first + (QUICK_PEOPLE if quick else people))),
            sets=tuple(prompt_set or USUAL), prompts_each=prompts,
            prompts_total=QUICK_PROMPTS if quick else None, seed=seed, **asked(),
        )  # fmt: skip
        carried_out(backbone, plan, out, judges)
    from onephoto.evaluate.compare_page import write_page

    results = tables(out)
    _show(results)
    typer.echo(write_page(results))


def words_of(model: str) -> str:
    """Which words a model knows, by its name."""
    from onephoto.evaluate.prompt_sets import REAL, WORLD

    return WORLD if model in EMBEDDED else REAL


def opened(
    model: str, device: str, dtype: str, *, words: str = "world", clip: str | None = None
) -> "tuple[Backbone, Judges]":
    """The model, and who judges: prompts CLIP for real words, else the world's judge; faces the world's, if there."""
    from onephoto.evaluate.clip_judge import USUAL_CLIP, load_clip_judge
    from onephoto.evaluate.face_judge import shipped_face_judge
    from onephoto.evaluate.judge import load_judge
    from onephoto.evaluate.measure import Judges
    from onephoto.evaluate.prompt_sets import REAL

    faces = shipped_face_judge()
    if words == REAL:
        judges = Judges(prompt=load_clip_judge(clip or USUAL_CLIP, device=present(device)), faces=faces)
    else:
        worldly = load_judge()
        judges = Judges(prompt=worldly, faces=faces, facts=worldly)
    return loaded(model, device, dtype), judges


def names_of(judges: "Judges") -> dict[str, str]:
    """What a plan remembers of the judges."""
    return {"judge": judges.prompt.name, "faces": "" if judges.faces is None else judges.faces.name}


def asked() -> dict[str, str]:
    """The command line and the day, as a plan remembers them."""
    return {"command": shlex.join(["onephoto", *sys.argv[1:]]), "date": f"{date.today():%Y-%m-%d}"}


def carried_out(backbone: "Backbone", plan: "Plan", out: Path, judges: "Judges") -> None:
    """Learn, draw and judge what the folder does not hold, with a progress bar."""
    from rich.progress import track

    from onephoto import comparison
    from onephoto.evaluate.clip_judge import ClipJudge

    if isinstance(judges.prompt, ClipJudge):
        images, texts = comparison.base_pictures(backbone, plan, out)
        judges = replace(judges, prompt=judges.prompt.calibrated(images, texts))
        plan = replace(plan, judge=judges.prompt.name)
    posing = comparison.posed(plan, out, judges)
    sitters = dict(track(posing, total=len(plan.people), description="photographing"))
    runs = comparison.compare(backbone, plan, out, sitters=sitters, judges=judges)
    for _ in track(runs, total=len(plan.people) * len(plan.variants), description="learning and drawing"):
        pass


def tables(out: Path) -> "Results":
    """What the folder holds, written to rows.csv and costs.csv."""
    from onephoto.evaluate.report import gather
    from onephoto.evaluate.rows import write_table

    results = gather(out)
    write_table(results.rows, out / "rows.csv")
    write_table(results.costs, out / "costs.csv")
    return results


def _show(results: "Results") -> None:
    """The summary as a table that fits 80 columns; the page has more."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from onephoto.evaluate.report import floor_and_ceiling, summary
    from onephoto.evaluate.words import counted, formatted, notes_of

    kind, noun = results.likeness, "person" if results.likeness == "ID" else "thing"
    table = Table(box=SIMPLE, pad_edge=False, padding=0)
    for header in ("method", f"{kind}(P)", kind, "apart", "2nd ID", "looks", "Prompt", "Detect", "s", "KB"):
        table.add_column(header, no_wrap=True, justify="left" if header == "method" else "right")
    for line in summary(results):
        table.add_row(
            line.method, formatted(line.id_p, ".3f"), formatted(line.id, ".2f"),
            formatted(line.told_apart, ".2f"), formatted(line.second_id, ".3f"),
            formatted(line.looks, ".2f"), formatted(line.prompt, ".3f"),
            formatted(line.detect, ".2f"), formatted(line.seconds, ".0f"), formatted(line.bytes / 1000, ".0f"),
        )  # fmt: skip
    low, high = floor_and_ceiling(list(results.sitters.values()))
    console = Console()
    console.print(table)
    two, one = counted(2, noun), counted(1, noun)
    console.print(f"{kind} of {two} {low:.3f} (floor), of two pictures of {one} {high:.3f} (ceiling)")
    for note in notes_of(results):
        console.print(note)
