"""Tuning of a method on development people: a small grid about its settings, and which of it is best."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from onephoto.evaluate.plan import Variant, write_whole
from onephoto.evaluate.report import Line, Results, summary
from onephoto.evaluate.rows import rows_path

STEPS = ("steps", "word_steps", "attention_steps")
RATES = ("learning_rate", "word_rate", "attention_rate")
"""Settings that are scaled, all of a kind together, where a method has them."""
GRID = ((1.0, 1.0), (1.0, 10.0), (1.0, 30.0), (1.0, 100.0), (1.0, 3.0), (1.0, 1 / 3), (0.5, 10.0))
"""Factors on steps and on rates, in the order in which they are tried: rates are published for runs that are many times
longer, and more steps would take too long."""
NOTE, CHOICE = "tuning.json", "tuned.toml"


def scaled(learning: Mapping[str, Any], steps: float, rate: float) -> dict[str, Any]:
    """The settings with other steps and rates, rates to three digits."""
    found = dict(learning)
    found |= {name: max(1, round(found[name] * steps)) for name in STEPS if name in found}
    return found | {name: float(f"{found[name] * rate:.3g}") for name in RATES if name in found}


def variants_to_try(variant: Variant, rates: Sequence[float] = ()) -> tuple[Variant, ...]:
    """The variant, whose settings must be said in full, and others about it, with the rates scaled by these factors or
    else by GRID; none twice.
    """
    tried: dict[str, Variant] = {}
    for steps, rate in ((1.0, 1.0), *((1.0, rate) for rate in rates)) if rates else GRID:
        learning = scaled(variant.learning, steps, rate)
        name = f"{variant.method}-{learning['steps']}-steps-at-{learning['learning_rate']:g}"
        tried.setdefault(name, replace(variant, name=name, learning=learning))
    return tuple(tried.values())


def seconds_spent(folder: Path) -> dict[str, float]:
    """What each variant that was tried took, by name, over all runs of this tuning."""
    path = folder / NOTE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def fits(folder: Path, minutes: float) -> bool:
    """Whether another variant, if it takes as long as others did, ends within the minutes; the first always does."""
    spent = seconds_spent(folder).values()
    return not spent or sum(spent) + sum(spent) / len(spent) <= 60 * minutes


def spend(folder: Path, variant: str, seconds: float) -> None:
    """Note what a variant took."""
    write_whole(folder / NOTE, json.dumps(seconds_spent(folder) | {variant: seconds}))


def forget(folder: Path, variant: Variant, people: Sequence[int]) -> None:
    """Take a variant that failed out of the table."""
    for person in people:
        rows_path(folder, variant.name, person).unlink(missing_ok=True)


def best_line(results: Results) -> Line:
    """The variant that tells people apart best in pictures that show their prompts; of one person the highest ID(P).

    Not ID(P) in all: faces of nobody in particular reach more of it than a likeness that is found less often.
    """
    return max(summary(results), key=lambda line: (np.nan_to_num(line.told_apart) * line.passes, line.id_p))


def write_choice(results: Results, model: str) -> Path:
    """Write the best variant's steps and rates as they stand in learning.toml, with the numbers of all; its path."""
    best = best_line(results)
    variant = next(variant for variant in results.variants if variant.name == best.method)
    numbers = [
        f"# {line.method}: told apart {line.told_apart:.3f} ({line.told_interval[0]:.3f} to "
        f"{line.told_interval[1]:.3f}), ID(P) {line.id_p:.4f}, Prompt {line.prompt:.4f}, {line.seconds:.0f} s"
        for line in summary(results)
    ]
    chosen = [f"{name} = {variant.learning[name]}" for name in (*STEPS, *RATES) if name in variant.learning]
    people = f"# People {min(results.people)} to {max(results.people)}, {len(results.of(best.method))} pictures each."
    path = results.folder / CHOICE
    write_whole(path, "\n".join([people, *numbers, f"[{json.dumps(model)}.{variant.method}]", *chosen]) + "\n")
    return path
