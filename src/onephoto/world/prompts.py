"""Prompts for the evaluation, read from prompts.toml beside this, each with the facts that a good picture shows."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from types import MappingProxyType


@dataclass(frozen=True)
class Prompt:
    """A prompt with `{}` for the person and perhaps `{other}` for a second one, and what must hold in the picture.

    facts are names and values of `picture.facts_of`, with "thing" for a kind among its things.
    """

    text: str
    facts: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, who: str, other: str | None = None) -> str:
        """The prompt about somebody, and somebody else who is called the same unless given."""
        return self.text.format(who, other=who if other is None else other)

    @property
    def people(self) -> int:
        """How many people it names."""
        return 1 + ("{other}" in self.text)


def read_sets(text: str) -> dict[str, tuple[Prompt, ...]]:
    """Sets of a TOML text: lists by name, of prompts or of tables {text, facts}."""
    return {
        name: tuple(Prompt(entry) if isinstance(entry, str) else Prompt(**entry) for entry in entries)
        for name, entries in tomllib.loads(text).items()
    }


ALL_SETS: Mapping[str, tuple[Prompt, ...]] = MappingProxyType(
    read_sets(resources.files("onephoto.world").joinpath("prompts.toml").read_text(encoding="utf-8"))
)
"""Every set of ten by name."""
SCENE, ATTRIBUTE, ACTION = (ALL_SETS[name] for name in ("scene", "attribute", "action"))
SETS: Mapping[str, tuple[Prompt, ...]] = MappingProxyType({"scene": SCENE, "attribute": ATTRIBUTE, "action": ACTION})
"""The three sets about one person, which the comparison draws unless told otherwise."""
FACE_PROMPT = "a photo of the face of {}"
"""The prompt that identities are learned with."""
