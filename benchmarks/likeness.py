"""Seconds of learning to a likeness: ID(P), and how well people are told apart by the first and the second opinion, of
ours and of Textual Inversion after more and more steps.

    python benchmarks/likeness.py out/likeness
    python benchmarks/likeness.py out/likeness --people 8 --prompts 30 --json out/likeness.json

Development people, prompts and seeds are the comparison's, in whose folder a stopped run goes on. Seconds are those of
getting ready and of a step, measured in turns at the beginning, the latter times the steps.
"""

import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from full_size import Precision
from learning import ours
from measuring import Clock, ClockAsked, Dtype, Json, Threads, clock_of, in_turns, machine, write_json
from rich.console import Console
from rich.table import Table

from onephoto import api, comparison
from onephoto.backbone.load import Backbone
from onephoto.cli.compare import carried_out, names_of, opened, tables
from onephoto.errors import OnephotoError
from onephoto.evaluate.embedded import rendered_faces
from onephoto.evaluate.people import DEVELOPMENT
from onephoto.evaluate.plan import Plan, Variant
from onephoto.evaluate.report import Results, summary
from onephoto.generate.draw import DrawSettings

OURS, THEIRS = "sefi", "textual-inversion"
MEASURES = {"id_p": "ID(P)", "told": "told apart", "second_told": "told apart, second opinion"}
CURVES = {
    OURS: ((8, 0.01), (15, 0.008), (30, 0.005), (60, 0.003), (100, 0.0015)),
    THEIRS: ((70, 0.006), (140, 0.002), (140, 0.006), (140, 0.02), (280, 0.006)),
}
"""Steps and learning rates; the published rate of Textual Inversion, .002, is for runs of 3000 steps."""


def variants(curves: dict[str, tuple[tuple[int, float], ...]]) -> tuple[Variant, ...]:
    """A variant for each point of the curves."""
    return tuple(
        comparison.resolved(Variant(f"{method}-{steps}-{rate:g}", method, {"steps": steps, "learning_rate": rate}))
        for method, points in curves.items()
        for steps, rate in points
    )


def plan_of(backbone: Backbone, points: tuple[Variant, ...], names: dict[str, str], **asked: Any) -> Plan:
    """The comparison of these."""
    whole = comparison.compare_plan(backbone, (), settings=DrawSettings(), **names, attention_people=0, **asked)
    return replace(whole, variants=points, study="likeness by steps")


def seconds_of(
    points: tuple[Variant, ...], backbone: Backbone, *, rounds: int, clock: Clock
) -> dict[str, tuple[float, float]]:
    """Seconds of getting ready, and of a step with the samples of its own settings, by method."""
    photo = rendered_faces(DEVELOPMENT, 1, size=backbone.image_size)[0]
    settings = {variant.method: dict(variant.learning) for variant in points}

    def prepared(method: str) -> Callable[[], Any]:
        request = api.LearnRequest(name="v", method=method, settings=settings[method])
        return lambda: api.Learning(backbone, [photo], request)

    steps = {
        name: ours(backbone, photo, name, batch=own["batch_size"], size=backbone.image_size)
        for name, own in settings.items()
    }
    ready = in_turns({name: prepared(name) for name in settings}, rounds=rounds, device="cpu")
    taken = in_turns(steps, rounds=rounds, device="cpu")
    return {name: (ready[name].seconds(clock), taken[name].seconds(clock)) for name in settings}


def rows_of(results: Results, seconds: dict[str, tuple[float, float]]) -> list[dict[str, Any]]:
    """A row for each point."""
    lines = {line.method: line for line in summary(results)}
    return [
        {
            "method": variant.method, "steps": variant.learning["steps"], "rate": variant.learning["learning_rate"],
            "seconds": seconds[variant.method][0] + variant.learning["steps"] * seconds[variant.method][1],
            "id_p": lines[variant.name].id_p,
            "low": lines[variant.name].id_p_interval[0], "high": lines[variant.name].id_p_interval[1],
            "told": lines[variant.name].told_apart, "second_told": lines[variant.name].second_told,
        }
        for variant in results.variants
    ]  # fmt: skip


def times_fewer(rows: list[dict[str, Any]], measure: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The point where Textual Inversion is best, and the quickest of ours that is no worse; None where none is."""
    best = max((row for row in rows if row["method"] == THEIRS), key=lambda row: (row[measure], -row["seconds"]))
    reached = [row for row in rows if row["method"] == OURS and row[measure] >= best[measure]]
    return best, min(reached, key=lambda row: row["seconds"], default=None)


def shown(rows: list[dict[str, Any]]) -> Table:
    """The rows as a table."""
    table = Table("", "steps", "rate", "s", "ID(P)", "95%", "told apart", "second")
    for row in rows:
        table.add_row(
            row["method"], str(row["steps"]), f"{row['rate']:g}", f"{row['seconds']:.1f}", f"{row['id_p']:.3f}",
            f"{row['low']:.3f} to {row['high']:.3f}", f"{row['told']:.2f}", f"{row['second_told']:.2f}",
        )  # fmt: skip
    return table


def sentence(measure: str, best: dict[str, Any], reached: dict[str, Any] | None) -> str:
    """What the two points say."""
    said = (
        f"{MEASURES[measure]}: Textual Inversion is best ({best[measure]:.3f}) after {best['steps']} steps, "
        f"{best['seconds']:.1f} s"
    )
    if reached is None:
        return f"{said}; ours does not come there"
    ratio = best["seconds"] / reached["seconds"]
    return f"{said}; ours is there after {reached['steps']} steps, {reached['seconds']:.1f} s: {ratio:.1f} times fewer"


def main(
    out: Annotated[Path, typer.Argument(help="Folder for identities, pictures and rows; one begun is gone on with.")],
    people: Annotated[int, typer.Option(help="How many people.")] = 4,
    prompts: Annotated[int, typer.Option(help="Prompts in all, of the three sets in turn.")] = 10,
    model: Annotated[str, typer.Option(help="mini, or a folder of the same words.")] = "mini",
    rounds: Annotated[int, typer.Option(help="Steps of each that are timed.")] = 7,
    dtype: Dtype = Precision.FLOAT32,
    threads: Threads = None,
    clock: ClockAsked = None,
    json: Json = None,
) -> None:
    """Measure likeness by seconds of learning."""
    torch.set_num_threads(threads or torch.get_num_threads())
    backbone, judges = opened(model, "cpu", dtype)
    points = variants(CURVES)
    seconds = seconds_of(points, backbone, rounds=rounds, clock=clock_of(clock, "cpu"))
    plan = plan_of(
        backbone, points, names_of(judges), people=tuple(range(DEVELOPMENT, DEVELOPMENT + people)),
        prompts_total=prompts, command=shlex.join(["python", *sys.argv]),
    )  # fmt: skip
    carried_out(backbone, plan, out, judges)
    rows = rows_of(tables(out), seconds)
    known = [measure for measure in MEASURES if all(isfinite(row[measure]) for row in rows)]
    fewer = {measure: times_fewer(rows, measure) for measure in known}
    Console().print(shown(rows))
    for measure, (best, reached) in fewer.items():
        print(sentence(measure, best, reached))
    asked: dict[str, Any] = {"model": backbone.model_id, "dtype": str(dtype), "people": people, "prompts": prompts}
    result: dict[str, Any] = {**asked, "machine": machine("cpu"), "rows": rows}
    found = {name: {"best": best, "reached": reached} for name, (best, reached) in fewer.items()}
    write_json(json, result | {"fewer": found})


if __name__ == "__main__":
    try:
        typer.run(main)
    except OnephotoError as error:
        raise SystemExit(str(error)) from error
