"""Prompt sets by the words that a model knows: the embedded world's, or those of models of real photos."""

from collections.abc import Mapping
from importlib import resources

from onephoto.errors import SettingError
from onephoto.world.prompts import ALL_SETS, SETS, Prompt, read_sets

WORLD, REAL = "world", "real"
OBJECT = "object"
"""The set that is drawn of things."""
USUAL = tuple(SETS)
"""Sets that are drawn unless told otherwise."""


def prompt_sets(words: str) -> Mapping[str, tuple[Prompt, ...]]:
    """Every set in words "world" or "real"."""
    if words == WORLD:
        return ALL_SETS
    if words != REAL:
        raise SettingError(f"there are no prompts in words {words!r}; choose {WORLD} or {REAL}")
    return read_sets(resources.files("onephoto.evaluate").joinpath("real_prompts.toml").read_text(encoding="utf-8"))


def prompts_of(words: str, name: str) -> tuple[Prompt, ...]:
    """The prompts of one set; raises SettingError naming those that there are."""
    sets = prompt_sets(words)
    if name not in sets:
        raise SettingError(f"there is no prompt set {name!r}; choose one of {', '.join(sets)}")
    return sets[name]
