"""The paper's studies: each a comparison of variants of ours, and a sentence that its numbers make."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onephoto.core.tokens import class_rows
from onephoto.errors import SettingError
from onephoto.evaluate.metrics import bootstrap_interval
from onephoto.evaluate.plan import OURS, Variant
from onephoto.evaluate.report import Results, by_person
from onephoto.methods.sefi import PRESETS

SHOWN = re.compile(r"(K?V?)(\d+)")
"""Words for tokens: "K2" are the K tokens of the first two stages, "KV5" all of five, "KV0" none."""


MEASURES = MappingProxyType({"id_p": "ID(P)", "told_apart": "told apart", "passes": "shown"})


@dataclass(frozen=True, kw_only=True)
class Study:
    """One question about ours.

    variants by what they are called, in order. reference: which of them the paper finds best. set: the prompts. axis,
    steps, lines: the plot's axis, its places, and for each line the variant at every place (one line through all unless
    given). measures: what is drawn of them, fields of Row with their names. attention: whether maps are shown too.
    """

    name: str
    question: str
    axis: str
    set: str
    variants: Mapping[str, Variant]
    reference: str
    sentence: Callable[["Study", Results], str]
    steps: tuple[str, ...] = ()
    lines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    measures: Mapping[str, str] = field(default_factory=lambda: MEASURES)
    attention: bool = False

    def plotted(self) -> tuple[tuple[str, ...], Mapping[str, tuple[str, ...]]]:
        """Places and lines of the plot."""
        return self.steps or tuple(self.variants), self.lines or {"": tuple(self.variants)}

    def by_person(self, results: Results, called: str, number: str = "id_p") -> NDArray[np.float64]:
        """A variant's number by person: (P,)."""
        return by_person(results.of(self.variants[called].name), number)

    def mean(self, results: Results, called: str, number: str = "id_p") -> float:
        """Its mean over people."""
        return float(self.by_person(results, called, number).mean())

    def best(self, results: Results, number: str = "id_p") -> str:
        """The variant with the highest ID(P), or other number; the first of equal ones."""
        return max(self.variants, key=lambda called: self.mean(results, called, number))


def tokens_kept(shown: str, num_stages: int) -> Tensor:
    """Which tokens a variant shows, (S, 2) bool, K before V; raises SettingError for words that say nothing."""
    found = SHOWN.fullmatch(shown)
    if found is None or not found[1] or int(found[2]) > num_stages:
        raise SettingError(f"{shown!r} names no tokens; K, V or KV and a number of stages up to {num_stages} do")
    columns = torch.tensor(["K" in found[1], "V" in found[1]])
    return (torch.arange(num_stages) < int(found[2]))[:, None] & columns


def with_class_word(pairs: Tensor, class_vectors: Tensor, kept: Tensor) -> Tensor:
    """Pairs of tokens (S, 2, width) with the class word (n, width) in place of those that are not kept (S, 2)."""
    return torch.where(kept[..., None], pairs, class_rows(class_vectors, 1)[0].to(pairs))


def study(name: str) -> Study:
    """The study of that name; raises SettingError naming those that there are."""
    if name not in STUDIES:
        raise SettingError(f"there is no study {name!r}; choose one of {', '.join(STUDIES)}")
    return STUDIES[name]


def best_sentence(asked: Study, results: Results) -> str:
    """Which variant is best in ID(P) and tells people apart best, and how the paper's best one compares."""
    said = _best_in(asked, results, "id_p", "ID(P) is highest")
    told = asked.mean(results, asked.reference, "told_apart")
    return said if np.isnan(told) else f"{said} {_best_in(asked, results, 'told_apart', 'People are told apart best')}"


def _best_in(asked: Study, results: Results, number: str, what: str) -> str:
    best, paper = asked.best(results, number), asked.reference
    said = f"{what} with {best} ({asked.mean(results, best, number):.3f})"
    if best != paper:
        return f"{said}, not with {paper} as the paper finds; {_behind(asked, results, best, paper, number)}."
    rest = (called for called in asked.variants if called != best)
    second = max(rest, key=lambda called: asked.mean(results, called, number))
    return f"{said}, as the paper finds; {_behind(asked, results, best, second, number)}."


def _behind(asked: Study, results: Results, first: str, second: str, number: str) -> str:
    """How far the second is behind the first, people paired."""
    change = asked.by_person(results, first, number) - asked.by_person(results, second, number)
    low, high = bootstrap_interval(change)
    certainty = "excludes 0" if low > 0 or high < 0 else "includes 0, so that the order is open"
    return (
        f"{second} is {change.mean():.3f} behind, and the 95% interval over {len(change)} people, {low:+.3f} to "
        f"{high:+.3f}, {certainty}"
    )


def likeness_of(asked: Study, results: Results) -> tuple[str, str]:
    """What likeness is measured by: how well people are told apart, of one person ID; its name and field of Row.

    ID counts a clean face of nobody for a good part of a likeness, and so it is high without any token.
    """
    told = not np.isnan(asked.mean(results, asked.reference, "told_apart"))
    return ("Told apart", "told_apart") if told else ("ID", "id")


def stages_sentence(asked: Study, results: Results) -> str:
    """How likeness grows as stages are added, and which of them add most."""
    name, number = likeness_of(asked, results)
    ids = [asked.mean(results, called, number) for called in asked.variants]
    gains = np.diff(ids)
    early, late = gains[:2].sum(), gains[-2:].sum()
    return (
        f"{name} goes from {ids[0]:.3f} without tokens to {ids[-1]:.3f} with those of all stages; stage "
        f"{int(gains.argmax()) + 1} adds most ({gains.max():+.3f}). The first two stages add {early:+.3f} and the last "
        f"two {late:+.3f}: likeness comes more from the {'early' if early > late else 'late'} ones."
    )


def sides_sentence(asked: Study, results: Results) -> str:
    """How much of the likeness K tokens bring alone, and V tokens alone."""
    name, number = likeness_of(asked, results)
    none, keys, values, both = (asked.mean(results, called, number) for called in ("none", "K 1-5", "V 1-5", "both"))
    said = (
        f"{name} is {none:.3f} with the class word alone, {keys:.3f} with the K tokens, {values:.3f} with the V tokens "
        f"and {both:.3f} with both"
    )
    gains = f"({max(keys, values) - none:+.3f} against {min(keys, values) - none:+.3f})"
    if max(keys, values) <= none:
        return f"{said}: neither side alone brings any likeness {gains}."
    more, less = ("V", "K") if values > keys else ("K", "V")
    return f"{said}: {more} tokens alone carry more of the likeness than {less} tokens alone {gains}."


def steps_sentence(asked: Study, results: Results) -> str:
    """What the steps of the fast preset lose against the best number; its target is at most 2%."""
    best, fast = asked.best(results), asked.reference
    highest = asked.mean(results, best)
    if highest <= 0:
        return f"No number of steps brings a likeness: ID(P) is at most {highest:.3f}."
    loss = 1 - asked.mean(results, fast) / highest
    said = f"ID(P) is highest with {best} ({highest:.3f}); {fast}, as in --preset fast, lose {loss:.0%} of it"
    return f"{said}, {'within' if loss <= 0.02 else 'more than'} the 2% that they may."


def _showing(shown: Mapping[str, str]) -> dict[str, Variant]:
    """Variants that share what is learned and show the tokens named."""
    return {called: Variant(words, OURS, {"num_stages": 5}, OURS, words) for called, words in shown.items()}


def _set_to(setting: str, values: Mapping[str, float | bool]) -> dict[str, Variant]:
    """Variants by the value of one setting."""
    return {called: Variant(f"{setting}-{value}", OURS, {setting: value}) for called, value in values.items()}


FAST_STEPS = int(PRESETS["fast"]["steps"])
UP_TO = ("1", "1-2", "1-3", "1-4", "1-5")
SIDES = {"K": tuple(f"K {stages}" for stages in UP_TO), "V": tuple(f"V {stages}" for stages in UP_TO)}
ALL_STUDIES = (
    Study(
        name="stages",
        question="What do the tokens of each stage add?",
        axis="stages whose tokens are used; the class word in the others",
        set="scene",
        variants=_showing({"none": "KV0", **{stages: f"KV{n}" for n, stages in enumerate(UP_TO, 1)}}),
        reference="1-5",
        sentence=stages_sentence,
    ),
    Study(
        name="keys-values",
        question="What do K tokens carry, and what V tokens?",
        axis="stages whose tokens are used; the class word in the others",
        set="scene",
        variants=_showing(
            {"none": "KV0"}
            | {called: f"{side}{n}" for side, names in SIDES.items() for n, called in enumerate(names, 1)}
            | {"both": "KV5"}
        ),
        reference="both",
        sentence=sides_sentence,
        steps=("none", *UP_TO, "both"),
        lines={f"{side} tokens": ("none", *names, "both") for side, names in SIDES.items()},
        measures={"told_apart": "told apart"},
    ),
    Study(
        name="lambda",
        question="How heavy should the attention loss be?",
        axis="\u03bb",
        set="attribute",
        variants=_set_to(
            "attention_weight", {f"\u03bb = {value:g}": value for value in (0.0, 0.0001, 0.001, 0.003, 0.01, 0.05)}
        ),
        reference="\u03bb = 0.003",
        sentence=best_sentence,
        attention=True,
    ),
    Study(
        name="pairs",
        question="How many pairs of tokens?",
        axis="stages, each with a pair of K and V tokens",
        set="attribute",
        variants=_set_to("num_stages", {f"{n} pair{'s' * (n > 1)}": n for n in (1, 3, 5, 7, 9, 10)}),
        reference="5 pairs",
        sentence=best_sentence,
    ),
    Study(
        name="loss",
        question="Which attention loss, on which words?",
        axis="attention loss",
        set="action",
        variants={
            "no loss": Variant("none", OURS, {"attention_weight": 0.0}),
            # The weight that this loss was published with.
            "mask on V*": Variant("mask", OURS, {"attention_words": "mask", "attention_weight": 0.01}),
            "ours on V*": Variant("subject", OURS, {"attention_words": "subject"}),
            "ours on all words": Variant("all", OURS, {"attention_words": "all"}),
        },
        reference="ours on all words",
        sentence=best_sentence,
        attention=True,
    ),
    Study(
        name="split",
        question="Do K and V need tokens of their own?",
        axis="tokens of a stage",
        set="attribute",
        variants=_set_to("shared_tokens", {"one for K and V": True, "a pair": False}),
        reference="a pair",
        sentence=best_sentence,
    ),
    Study(
        name="steps",
        question="How many steps of learning?",
        axis="steps",
        set="scene",
        variants=_set_to("steps", {f"{n} steps": n for n in (50, FAST_STEPS, 300, 500)}),
        reference=f"{FAST_STEPS} steps",
        sentence=steps_sentence,
    ),
)
STUDIES: Mapping[str, Study] = MappingProxyType({found.name: found for found in ALL_STUDIES})
"""The paper's studies by name."""
