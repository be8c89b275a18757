"""The comparison as one page and its plots, made from the folder alone."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from onephoto.evaluate.blocks import NOT_POSSIBLE, Column, attention_section, first_prompts, pictures_of
from onephoto.evaluate.metrics import bootstrap_interval
from onephoto.evaluate.plan import BASE, OURS, Variant, write_whole
from onephoto.evaluate.report import (
    Line,
    Results,
    by_person,
    floor_and_ceiling,
    second_floor_and_ceiling,
    summary,
)
from onephoto.evaluate.rows import CLASS_NOTE, ID
from onephoto.evaluate.words import counted, definitions_of, formatted, notes_of, title_of, verdict_of
from onephoto.look import page as pieces
from onephoto.look.plots import Mark, bars, ranking, scatter

PAGE, TABLE, APART = "report.html", "table.md", "told-apart"
SHOWN_PROMPTS = 2
"""Prompts of each set in the picture grids."""


def write_page(results: Results) -> Path:
    """Write report.html, its plots and its table as Markdown into the comparison's folder; gives the page's path."""
    plots = plots_of(results)
    for name, (png, _) in plots.items():
        (results.folder / "plots").mkdir(exist_ok=True)
        (results.folder / "plots" / f"{name}.png").write_bytes(png)
    write_whole(results.folder / TABLE, _markdown(results))
    path = results.folder / PAGE
    write_whole(path, _page(results, {name: pieces.plot(*plot) for name, plot in plots.items()}))
    return path


def plots_of(results: Results) -> dict[str, tuple[bytes, str]]:
    """Each plot as PNG, and what it shows, by name."""
    lines, kind = summary(results), results.likeness
    learned = [line for line in lines if line.method != BASE]
    able = [line for line in lines if np.isfinite(line.id_p)]
    floor, ceiling = floor_and_ceiling(list(results.sitters.values()))
    limits = {name: value for name, value in (("floor", floor), ("ceiling", ceiling)) if np.isfinite(value)}
    told = [_mark(line.method, line.told_apart, line.told_interval) for line in able if np.isfinite(line.told_apart)]
    return {
        "ranking": (
            ranking([_mark(line.method, line.id_p, line.id_p_interval) for line in able], label=f"{kind}(P)"),
            f"{kind}(P) of every method; bars are 95% intervals over {'people' if kind == ID else 'things'}.",
        ),
        "likeness": (
            ranking([_mark(line.method, line.id, line.id_interval) for line in able], label=kind, limits=limits),
            f"{kind} alone, whatever the picture shows, between two different ones (floor) and one (ceiling).",
        ),
        "scatter": (
            scatter([_point(line, results) for line in able], labels=("Prompt", kind)),
            "Likeness against fit of the prompt: the best methods are up and to the right.",
        ),
        "seconds": (
            bars([_mark(line.method, line.seconds) for line in learned], label="seconds"),
            f"Seconds to learn one {_noun(results)}, on the machine of this run.{_shared(results)}",
        ),
        "bytes": (
            bars(
                [_mark(line.method, line.bytes / 1000) for line in learned], label="KB, logarithmic", logarithmic=True
            ),
            f"Size of one {_noun(results)}'s file.",
        ),
        **_apart(told, _noun(results)),
    } | {_set_plot(name): _of_set(results, lines, name) for name in results.sets}


def _apart(told: Sequence[Mark], noun: str) -> dict[str, tuple[bytes, str]]:
    """The plot of how well people are told apart, where anybody can be."""
    if not told:
        return {}
    said = f"How often a picture is nearer to the photo of its own {noun} than to another's."
    return {APART: (ranking(told, label="told apart", limits={"a guess": 0.5}), said)}


def _set_plot(name: str) -> str:
    return f"set-{name.replace(' ', '-')}"


def _of_set(results: Results, lines: Sequence[Line], name: str) -> tuple[bytes, str]:
    kind = f"{results.likeness}(P)"
    rows = {line.method: [row for row in results.of(line.method) if row.set == name] for line in lines}
    marks = [
        Mark(f"{title_of(method)}: {NOT_POSSIBLE}", float("nan"))
        if any(row.impossible for row in own)
        else _mark(method, float(by_person(own, "id_p").mean()))
        for method, own in rows.items()
    ]
    return bars(marks, label=kind, title=name), f"{kind} of the prompts of the set \u201c{name}\u201d."


def _noun(results: Results) -> str:
    return "person" if results.likeness == ID else "thing"


def _shared(results: Results) -> str:
    """What class pictures took, which were drawn once for everybody."""
    note = results.folder / CLASS_NOTE
    if not note.exists():
        return ""
    seconds = json.loads(note.read_text(encoding="utf-8"))["seconds"]
    return f" Class pictures, drawn once and shared by people and methods, took {seconds:.0f} seconds more."


def _mark(method: str, value: float, interval: tuple[float, float] | None = None) -> Mark:
    return Mark(title_of(method), value, interval, _role(method))


def _role(method: str) -> str:
    return {OURS: "ours", BASE: "unlearned"}.get(method, "peer")


def _point(line: Line, results: Results) -> tuple[Mark, Mark]:
    fits = by_person(results.counted(line.method), "similarity")
    return _mark(line.method, line.prompt, bootstrap_interval(fits)), _mark(line.method, line.id, line.id_interval)


def _page(results: Results, plots: dict[str, str]) -> str:
    people, prompts = len(results.people), len({(row.set, row.number) for row in results.rows})
    learned = [variant for variant in results.variants if variant.method != BASE]
    sets = [plots[name] for name in (APART, *map(_set_plot, results.sets)) if name in plots]
    lead = (
        f"{len(learned)} methods learn the same {counted(people, _noun(results))} from one photo each; each draws the "
        f"same {prompts} "
        f"prompts with the same seeds, and every picture counts."
    )
    return pieces.page(
        "onephoto: the comparison",
        pieces.heading("One photo, every method, the same prompts", lead),
        pieces.verdict(verdict_of(results)),
        pieces.section(
            "The ranking",
            _table(results),
            *(pieces.text(note, "note") for note in notes_of(results)),
            pieces.side_by_side(plots["ranking"], plots["likeness"]),
        ),
        pieces.section("Likeness and prompts", pieces.side_by_side(plots["scatter"], *sets)),
        *_pictures(results),
        *attention_section(results, _columns(results)),
        pieces.section("What it costs", pieces.side_by_side(plots["seconds"], plots["bytes"])),
        _method(results),
        pieces.footer(results.record.get("date", "")),
    )


def _table(results: Results) -> str:
    header, rows = _ranked(results)
    return pieces.table(header, [("" if kind == "peer" else kind, cells) for kind, cells in rows])


def _markdown(results: Results) -> str:
    """The table for a document, with what made it."""
    header, rows = _ranked(results)
    lines = [header, ("---", *["---:"] * (len(header) - 1)), *(cells for _, cells in rows)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    commands = "\n".join(f"    {command}" for command in results.record.get("commands", []))
    said = " ".join([*verdict_of(results), *notes_of(results)])
    return f"{results.record.get('date', '')}:\n\n{commands}\n\n{table}\n\n{said}\n"


def _ranked(results: Results) -> tuple[tuple[str, ...], list[tuple[str, tuple[str, ...]]]]:
    """The table's header, and its lines by their role: methods, then floor and ceiling."""
    kind = results.likeness
    header = (
        "method", f"{kind}(P)", "95% interval", kind, "told apart", "second ID", "second told", "looks", "Prompt",
        "shown", "Detect", "Copy", "seconds", "KB",
    )  # fmt: skip
    rows = [(_role(line.method), _cells(line)) for line in summary(results)]
    sitters = list(results.sitters.values())
    own, other = floor_and_ceiling(sitters), second_floor_and_ceiling(sitters)
    noun = _noun(results)
    names = (f"floor: {counted(2, noun)}", f"ceiling: {counted(1, noun)}")
    rows += [
        ("unlearned", (name, "", "", formatted(value, ".3f"), "", formatted(second, ".3f"), *[""] * 8))
        for name, value, second in zip(names, own, other, strict=True)
    ]
    return header, rows


def _cells(line: Line) -> tuple[str, ...]:
    low, high = line.id_p_interval
    if not np.isfinite(line.id_p):
        return (title_of(line.method), NOT_POSSIBLE, *[""] * 10, *_cost_cells(line))
    return (
        title_of(line.method), f"{line.id_p:.3f}", f"{low:.3f} to {high:.3f}", f"{line.id:.3f}",
        formatted(line.told_apart, ".2f"), formatted(line.second_id, ".3f"), formatted(line.second_told, ".2f"),
        formatted(line.looks, ".2f"), f"{line.prompt:.3f}", f"{line.passes:.0%}", formatted(line.detect, ".0%"),
        formatted(line.copy, "+.2f"), *_cost_cells(line),
    )  # fmt: skip


def _cost_cells(line: Line) -> tuple[str, str]:
    return (formatted(line.seconds, ".0f"), formatted(line.bytes / 1000, ",.0f"))


def _pictures(results: Results) -> list[str]:
    """A section with a grid for the first prompts of each set."""
    grids = [
        pictures_of(results, row, _columns(results))
        for name in results.sets
        for row in first_prompts(results, name, SHOWN_PROMPTS)
    ]
    note = (
        f"Below each picture its {results.likeness}, and a tick where it shows what the prompt says. Along a row the "
        "seed is the same."
    )
    return [pieces.section("The pictures", pieces.text(note, "note"), *grids)]


def _columns(results: Results) -> list[Column]:
    """Variants as the table ranks them."""
    known = {variant.name: variant for variant in results.variants}
    ranked = [known[line.method] for line in summary(results)]
    return [Column(variant, title_of(variant.name), "ours" * (variant.name == OURS)) for variant in ranked]


def _method(results: Results) -> str:
    """Definitions, and what is needed to do it again."""
    first, commands = results.rows[0], "\n           ".join(results.record.get("commands", []))
    seeds = f"{min(results.people)} to {max(results.people)}"
    facts = (
        f"command    {commands}\nmodel      {first.model} (weights {first.weights})\ndrawing    {first.drawing}\n"
        f"people     seeds {seeds}\njudge      {first.judge}\n"
        f"face judge {first.face_judge or 'none'}\nversions   {first.versions}"
    )
    recipes = "\n".join(f"{title_of(variant.name)}: {_recipe(results, variant)}" for variant in results.variants)
    return pieces.section(
        "How it is measured", pieces.definitions(definitions_of(results)), pieces.folded("To do it again", facts),
        pieces.folded("Settings of learning, by method", recipes),
    )  # fmt: skip


def _recipe(results: Results, variant: Variant) -> str:
    learning = json.loads(results.of(variant.name)[0].learning)
    return ", ".join(f"{key} {value}" for key, value in learning.get("settings", {}).items()) or "learns nobody"
