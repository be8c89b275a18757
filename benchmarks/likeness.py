"""Seconds of learning to a likeness: ID(P) of ours and of Textual Inversion after more and more steps.

    python benchmarks/likeness.py out/likeness
    python benchmarks/likeness.py out/likeness --people 8 --prompts 30 --json out/likeness.json

Development people, prompts and seeds are the comparison's, in whose folder a stopped run goes on. Seconds are those of
a step, measured in turns at the beginning, times the steps.
"""

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from full_size import Precision, square
from learning import ours
from measuring import Clock, ClockAsked, Dtype, Json, Threads, clock_of, in_turns, machine, write_json
from rich.console import Console
from rich.table import Table

from onephoto import comparison
from onephoto.backbone.load import Backbone
from onephoto.cli.compare import carried_out, names_of, opened, tables
from onephoto.errors import OnephotoError
from onephoto.evaluate.people import DEVELOPMENT
from onephoto.evaluate.plan import Plan, Variant
from onephoto.evaluate.report import Results, summary
from onephoto.generate.draw import DrawSettings

OURS, THEIRS = "sefi", "textual-inversion"
CURVES = {
    OURS: ((8, 0.01), (15, 0.01), (30, 0.008), (60, 0.004)),
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


def seconds_a_step(backbone: Backbone, *, rounds: int, clock: Clock) -> dict[str, float]:
    """Seconds of a step of each method with the samples of its own settings."""
    photo = square(backbone.image_size)
    batches = {variant.method: variant.learning["batch_size"] for variant in variants(CURVES)}
    runs = {name: ours(backbone, photo, name, batch=batches[name], size=backbone.image_size) for name in CURVES}
    return {name: timing.seconds(clock) for name, timing in in_turns(runs, rounds=rounds, device="cpu").items()}


def rows_of(results: Results, seconds: dict[str, float]) -> list[dict[str, Any]]:
    """A row for each point."""
    lines = {line.method: line for line in summary(results)}
    return [
        {
            "method": variant.method, "steps": variant.learning["steps"], "rate": variant.learning["learning_rate"],
            "seconds": variant.learning["steps"] * seconds[variant.method], "id_p": lines[variant.name].id_p,
            "low": lines[variant.name].id_p_interval[0], "high": lines[variant.name].id_p_interval[1],
        }
        for variant in results.variants
    ]  # fmt: skip


def times_fewer(rows: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The point where Textual Inversion is best, and the quickest of ours that is no worse; None where none is."""
    best = max((row for row in rows if row["method"] == THEIRS), key=lambda row: (row["id_p"], -row["seconds"]))
    reached = [row for row in rows if row["method"] == OURS and row["id_p"] >= best["id_p"]]
    return best, min(reached, key=lambda row: row["seconds"], default=None)


def shown(rows: list[dict[str, Any]]) -> Table:
    """The rows as a table."""
    table = Table("", "steps", "rate", "s", "ID(P)", "95%")
    for row in rows:
        table.add_row(
            row["method"], str(row["steps"]), f"{row['rate']:g}", f"{row['seconds']:.1f}", f"{row['id_p']:.3f}",
            f"{row['low']:.3f} to {row['high']:.3f}",
        )  # fmt: skip
    return table


def sentence(best: dict[str, Any], reached: dict[str, Any] | None) -> str:
    """What the two points say."""
    said = f"Textual Inversion is best ({best['id_p']:.3f}) after {best['steps']} steps, {best['seconds']:.1f} s"
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
    seconds = seconds_a_step(backbone, rounds=rounds, clock=clock_of(clock, "cpu"))
    plan = plan_of(
        backbone, variants(CURVES), names_of(judges), people=tuple(range(DEVELOPMENT, DEVELOPMENT + people)),
        prompts_total=prompts, command=shlex.join(["python", *sys.argv]),
    )  # fmt: skip
    carried_out(backbone, plan, out, judges)
    rows = rows_of(tables(out), seconds)
    best, reached = times_fewer(rows)
    Console().print(shown(rows))
    print(sentence(best, reached))
    asked = {"model": backbone.model_id, "dtype": str(dtype), "people": people, "prompts": prompts}
    result: dict[str, Any] = {**asked, "machine": machine("cpu"), "rows": rows}
    write_json(json, result | {"best": best, "reached": reached})


if __name__ == "__main__":
    try:
        typer.run(main)
    except OnephotoError as error:
        raise SystemExit(str(error)) from error
