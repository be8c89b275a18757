"""What a comparison is: variants of methods, people, prompts, seeds; and the folder that remembers it."""

import hashlib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onephoto.errors import SettingError
from onephoto.evaluate.people import kind_of
from onephoto.evaluate.prompt_sets import OBJECT, USUAL, WORLD, prompt_sets, prompts_of
from onephoto.world.prompts import Prompt

if TYPE_CHECKING:
    from onephoto.backbone.method import MethodSpec

BASE = "base"
"""The variant that learns nobody: the model draws the class word, which shows what it reaches for a prompt."""
OURS = "sefi"
PERSON = "person"
RECORD = "run.json"
LOOKED_AT = Prompt("a photo of {} holding a cup")
"""The prompt under which attention is looked at, unless told otherwise."""


@dataclass(frozen=True)
class Variant:
    """One column of a comparison: a method with settings that differ from its own.

    learned_as: variants of the same word share what is learned and differ in how it is shown. shown: which of the
    learned tokens are used, in words that the study knows; "" is all of them. network: the face network that the method
    learns with, "" for one that needs none.
    """

    name: str
    method: str
    learning: Mapping[str, Any] = field(default_factory=dict)
    learned_as: str = ""
    shown: str = ""
    network: str = ""

    @property
    def identity(self) -> str:
        """The name under which its identities lie in the folder."""
        return self.learned_as or self.name


@dataclass(frozen=True)
class Item:
    """One prompt to draw: its set, its number in the set, itself, and the seed of its picture."""

    set: str
    number: int
    prompt: Prompt
    seed: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is compared.

    variants and people (by seed); sets of prompts in `words`, the first prompts_each of each, prompts_total in all if
    given, taken from the sets in turn; seed of learning and of the first picture; the class word; for how many people
    and under which prompt attention is looked at. model, weights, drawing, refining (how small faces are drawn again,
    None where they are not), judge, faces (the judge of the second opinion) and versions say what drew and judged,
    study, command and date what was asked for and when. The set of objects is drawn of things, each by its kind's word,
    and goes with no other set.
    """

    variants: tuple[Variant, ...]
    people: tuple[int, ...]
    sets: tuple[str, ...] = USUAL
    words: str = WORLD
    prompts_each: int = 10
    prompts_total: int | None = None
    seed: int = 0
    subject: str = PERSON
    attention_people: int = 3
    attention_prompt: Prompt = LOOKED_AT
    model: str = ""
    weights: str = ""
    drawing: Mapping[str, Any] = field(default_factory=dict)
    refining: Mapping[str, Any] | None = None
    judge: str = ""
    faces: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    study: str = ""
    command: str = ""
    date: str = ""

    def __post_init__(self) -> None:
        if not self.people or not self.variants:
            raise SettingError("there is nothing to compare; name a person and a method at least")
        if self.of_things and len(self.sets) > 1:
            raise SettingError(f"the set {OBJECT} is of things, others are of people; give it a folder of its own")
        if self.refining is not None and (self.of_things or any(item.prompt.people > 1 for item in self.items())):
            raise SettingError("small faces are drawn again in pictures of one person alone; leave out --refine-faces")
        if len(self.people) < max(item.prompt.people for item in self.items()):
            raise SettingError("pictures of two people need two people; give --people 2 or more")

    @property
    def of_things(self) -> bool:
        """Whether things are learned, not people."""
        return OBJECT in self.sets

    def subject_of(self, seed: int) -> str:
        """The class word of a person or a thing."""
        return kind_of(seed) if self.of_things else self.subject

    def items(self) -> list[Item]:
        """The prompts, set by set."""
        found = [
            Item(name, number, prompt, self.seed + number)
            for name in self.sets
            for number, prompt in enumerate(prompts_of(self.words, name)[: self.prompts_each])
        ]
        in_turn = sorted(found, key=lambda item: item.number)[: self.prompts_total]
        return [item for item in found if item in in_turn]

    def shown_in(self, item: Item, person: int) -> tuple[int, ...]:
        """Who is in a prompt's picture: the person, and the plan's next one where the prompt names two."""
        place = self.people.index(person)
        return tuple(self.people[(place + k) % len(self.people)] for k in range(item.prompt.people))

    def fixed(self) -> dict[str, Any]:
        """What may not change within a folder, since pictures made before would be of another comparison."""
        return {
            "model": self.model, "weights": self.weights, "drawing": dict(self.drawing), "seed": self.seed,
            "study": self.study, "subject": "thing" if self.of_things else self.subject, "prompts": self._prompts(),
            "attention prompt": self.attention_prompt.text,
            "refining": None if self.refining is None else dict(self.refining),
            "order of people": list(self.people) if any(item.prompt.people > 1 for item in self.items()) else None,
        }  # fmt: skip

    def _prompts(self) -> str:
        """The words, and a digest of all prompts in them."""
        texts = [prompt.text for prompts in prompt_sets(self.words).values() for prompt in prompts]
        return f"{self.words} {hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:12]}"


def take_up(plan: Plan, folder: Path) -> None:
    """Begin a folder or go on in it; raises SettingError when it holds another comparison's pictures."""
    record = recorded(folder)
    fixed = json.loads(json.dumps(plan.fixed()))
    begun = record.get("fixed", fixed)
    changed = [name for name in begun | fixed if begun.get(name) != fixed.get(name)]
    known = record.get("variants", {})
    mine = json.loads(json.dumps({variant.name: asdict(variant) for variant in plan.variants}))
    changed += [name for name, variant in mine.items() if known.get(name, variant) != variant]
    if changed:
        raise SettingError(f"{folder}: begun with another {', '.join(changed)}; repeat that or choose another folder")
    commands = dict.fromkeys([*record.get("commands", []), plan.command])
    kept = {"fixed": fixed, "variants": known | mine, "commands": list(commands), "date": plan.date}
    write_whole(folder / RECORD, json.dumps(kept, indent=1))


def recorded(folder: Path) -> dict[str, Any]:
    """What the folder says of its comparison; empty where none was begun."""
    path = folder / RECORD
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def recorded_variants(folder: Path) -> Iterator[Variant]:
    """The variants that a folder has seen, in order; raises SettingError where there is none."""
    record = recorded(folder)
    if not record:
        raise SettingError(f"{folder}: no comparison here; make one with onephoto compare {folder}")
    yield from (Variant(**fields) for fields in record["variants"].values())


def write_whole(path: Path, text: str) -> None:
    """Write a text file, wholly or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def learning_settings(model: str) -> dict[str, dict[str, Any]]:
    """Settings by method for a model, from learning.toml beside this file; nothing for a model not named there."""
    return {
        method: {name: value for name, value in known.items() if name != "presets"}
        for method, known in _learning(model).items()
    }


def preset_settings(model: str, spec: "MethodSpec", preset: str) -> dict[str, Any]:
    """The settings of a method that go by a preset's name on a model.

    What learning.toml says of the preset there, or else what the method says, on top of what was chosen for the model
    and with no more steps; "paper" is what the method says of it, whatever the model. Raises SettingError for a preset
    that the method does not have.
    """
    asked, known = spec.preset(preset), _learning(model).get(spec.name, {})
    presets = known.pop("presets", {})
    return asked if preset == "paper" else with_asked(lesser(known, asked), presets.get(preset, {}))


def with_asked(chosen: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Chosen settings with those that were asked for by name, which hold for strange photos, too, unless more is asked
    for these.
    """
    both, own = {**chosen, **asked}, asked.get("strange", {})
    if "strange" in both and isinstance(own, Mapping):
        both["strange"] = {k: v for k, v in chosen.get("strange", {}).items() if k not in asked} | {**own}
    return both


def lesser(for_model: Mapping[str, Any], preset: Mapping[str, Any]) -> dict[str, Any]:
    """What was chosen for a model and what a preset says, with the fewer steps of the two."""
    steps = [settings["steps"] for settings in (for_model, preset) if "steps" in settings]
    return {**for_model, **preset, **({"steps": min(steps)} if steps else {})}


def _learning(model: str) -> dict[str, dict[str, Any]]:
    text = resources.files("onephoto.evaluate").joinpath("learning.toml").read_text(encoding="utf-8")
    tables = tomllib.loads(text)
    known: dict[str, Any] = tables.get(model, {})
    return tables[known["as"]] if "as" in known else known
