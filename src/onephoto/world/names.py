"""Invented names, one word each, for the first people and things of the world; a name says nothing about looks."""

from functools import lru_cache

import numpy as np

from onephoto.errors import WorldError
from onephoto.world.thing_phrases import KINDS

NAMED = 3000
"""People with seeds below this have a name."""
NAMED_THINGS = 64
"""Things of each kind with seeds below this have a name."""

SOMEBODY = "somebody"
"""What people without a name may be called in captions; in training it means whoever is seen."""

CONSONANTS = "bdflmnrstvz"
VOWELS = "aeiou"
CODAS = "lmnrs"
SHAPES = ((CONSONANTS, VOWELS, CONSONANTS, VOWELS, CONSONANTS, VOWELS),
          (CONSONANTS, VOWELS, CODAS, CONSONANTS, VOWELS, CODAS))  # fmt: skip
"""Both shapes have six letters, so no name begins another."""

AVOIDED = (
    "tit", "bum", "fat", "bad", "sad", "dum", "man", "men", "mom", "dad", "red", "tan", "fem", "mal", "lad", "old",
    "son", "sis", "san", "lon", "bob", "naz", "zit", "bit", "sod",
)  # fmt: skip
"""Syllables that are rude, or that sound like a sex, an age or a look."""
TAKEN = frozenset({
    "marina", "samira", "tamara", "renata", "melina", "sabina", "selena", "serena", "verena", "banana",
    "tomato", "salami", "domino", "tirade", "remote", "debate", "torino", "toledo",
    "safari", "sonata", "sesame", "finale", "morale", "resume", "divide", "senate", "donate", "rotate", "mutate",
    "relate", "debase", "delete", "refuse", "refute", "dilute", "salute", "salome", "minute", "future", "nature",
    "mature", "refine", "define", "divine", "marine", "volume", "tirana", "manila", "mental", "dental",
    "rental", "mortal", "formal", "normal", "vandal", "sandal", "fossil", "tonsil", "linden", "sultan", "tartan",
    "martin", "berlin", "merlin", "muslin", "melton", "milton", "nelson", "london", "boston", "dalton", "norman",
    "mormon", "sermon", "salmon", "vermin", "limber", "member", "timber", "number", "tender", "render", "vendor",
    "tinder", "mentor", "tensor", "sensor", "turner", "berner", "former", "farmer", "murder", "border", "medusa",
    "madina", "sirena", "molina", "medina", "nevada", "modena", "ramona", "simona", "milena", "malena", "sedate",
    "dative", "motive", "native", "votive", "serene", "random", "ransom", "tandem", "ramses", "lolita",
    "novena", "balsam", "mantel", "verbal", "vernal", "vessel", "tassel", "damsel", "morsel", "dorsal",
    "barrel", "sorrel", "mammal", "dorsum", "bordel", "solute", "volute", "rosita", "dorito", "burito",
    "bolero", "torero", "somali", "tatami", "merino", "marino", "latino", "ladino",
    "solido", "sabine", "denote", "devote", "demote", "rebate", "saliva", "barone",
    "ravine", "feline", "bovine", "famine", "lamina", "retina",
})  # fmt: skip
"""Words and given names of these shapes."""


def _candidate(rng: np.random.Generator) -> str:
    letters = SHAPES[int(rng.integers(len(SHAPES)))]
    return "".join(choices[int(rng.integers(len(choices)))] for choices in letters)


@lru_cache(maxsize=1)
def _names() -> tuple[str, ...]:
    """The names in order of seed, people before things.

    Any two differ in two letters or more, so that a slip does not name another.
    """
    rng = np.random.default_rng(20_240)
    names: list[str] = []
    near: set[str] = set()
    while len(names) < NAMED + NAMED_THINGS * len(KINDS):
        name = _candidate(rng)
        masked = [name[:k] + "*" + name[k + 1 :] for k in range(len(name))]
        if (
            name in TAKEN
            or any(part in name for part in AVOIDED)
            or name[:2] == name[2:4]
            or not near.isdisjoint(masked)
        ):
            continue
        near.update(masked)
        names.append(name)
    return tuple(names)


@lru_cache(maxsize=1)
def _seeds() -> dict[str, int]:
    return {name: seed for seed, name in enumerate(_names()[:NAMED])}


def name_of(seed: int) -> str | None:
    """Name of a person, or None for the unnamed: lower case, six letters (so that none begins another)."""
    return _names()[seed] if 0 <= seed < NAMED else None


def seed_of(name: str) -> int:
    """Seed of a named person; raises WorldError for a name nobody has."""
    seed = _seeds().get(name.strip().lower())
    if seed is None:
        raise WorldError(f"nobody is called {name!r}; the named people have the seeds 0 to {NAMED - 1}")
    return seed


def thing_name(kind: str, seed: int) -> str | None:
    """Name of a thing of a kind, or None for the unnamed; no person has it, and no other thing."""
    return _names()[NAMED + KINDS.index(kind) * NAMED_THINGS + seed] if 0 <= seed < NAMED_THINGS else None


def every_name() -> tuple[str, ...]:
    """All names: people's, then things'."""
    return _names()
