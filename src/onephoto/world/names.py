"""Invented names, one word each, for the first people of the world; a name says nothing about looks."""

from functools import lru_cache

import numpy as np

from onephoto.errors import WorldError

NAMED = 3000
"""People with seeds below this have a name."""

CONSONANTS = "bdfgklmnprstvz"
VOWELS = "aeiou"
CODAS = "lmnrsk"
SHAPES = ((CONSONANTS, VOWELS, CONSONANTS, VOWELS, CONSONANTS, VOWELS),
          (CONSONANTS, VOWELS, CODAS, CONSONANTS, VOWELS, CODAS))  # fmt: skip
"""Both shapes have six letters, so no name begins another."""

TAKEN = frozenset[str]()
"""Words of these shapes that mean something or that people are called."""


def _candidate(rng: np.random.Generator) -> str:
    letters = SHAPES[int(rng.integers(len(SHAPES)))]
    return "".join(choices[int(rng.integers(len(choices)))] for choices in letters)


@lru_cache(maxsize=1)
def _names() -> tuple[str, ...]:
    """The names in order of seed; any two differ in two letters or more, so that a slip does not name another."""
    rng = np.random.default_rng(20_240)
    names: list[str] = []
    near: set[str] = set()
    while len(names) < NAMED:
        name = _candidate(rng)
        masked = [name[:k] + "*" + name[k + 1 :] for k in range(len(name))]
        if name in TAKEN or name[:2] == name[2:4] or not near.isdisjoint(masked):
            continue
        near.update(masked)
        names.append(name)
    return tuple(names)


@lru_cache(maxsize=1)
def _seeds() -> dict[str, int]:
    return {name: seed for seed, name in enumerate(_names())}


def name_of(seed: int) -> str | None:
    """Name of a person, or None for the unnamed: lower case, six letters (so that none begins another)."""
    return _names()[seed] if 0 <= seed < NAMED else None


def seed_of(name: str) -> int:
    """Seed of a named person; raises WorldError for a name nobody has."""
    seed = _seeds().get(name.strip().lower())
    if seed is None:
        raise WorldError(f"nobody is called {name!r}; the named people have the seeds 0 to {NAMED - 1}")
    return seed
