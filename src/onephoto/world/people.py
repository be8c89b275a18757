"""People of the synthetic world as records of plain numbers and words, drawn from a seed."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from onephoto.errors import WorldError
from onephoto.world.body import asymmetry_targets, head_targets, shape_parameters
from onephoto.world.looks import AGE_WORDS, Looks, describe
from onephoto.world.names import name_of

__all__ = [
    "AGE_WORDS", "BEARD_STYLES", "DEVELOPMENT", "EYE_COLOURS", "FINAL", "HAIR_COLOURS", "HAIR_STYLES", "SEXES", "TRAIN",
    "Beard", "Brow", "Hair", "Looks", "Mole", "Person", "SkinTone", "asymmetry_names", "describe", "head_names",
    "interpolate", "person", "shape_names",
]  # fmt: skip

TRAIN = range(0, 90_000)
"""Seeds of people that the base may be trained on."""
DEVELOPMENT = range(90_000, 100_000)
"""Seeds of people for choosing settings; no model and no judge is trained on them."""
FINAL = range(100_000, 1_000_000)
"""Seeds of people for final numbers."""

SEXES = ("woman", "man")
HAIR_STYLES = (
    "bald", "buzz cut", "short", "quiff", "side parting", "bob", "bob with bangs", "long straight", "long with bangs",
    "wavy", "bun", "top knot", "ponytail", "curly", "afro", "long curly",
)  # fmt: skip
BEARD_STYLES = ("none", "stubble", "moustache", "goatee", "full beard", "short beard")
HAIR_COLOURS = (
    "black", "dark brown", "brown", "chestnut", "auburn", "red", "dark blond", "blond", "platinum blond", "grey",
    "white", "blue", "pink", "green",
)  # fmt: skip
EYE_COLOURS = ("dark brown", "brown", "hazel", "green", "blue", "grey", "light blue")


@dataclass(frozen=True)
class Brow:
    """Eyebrows; lengths in decimetres of the mean body."""

    thickness: float
    density: float
    inner: float
    outer: float
    height: float
    arch: float
    tilt: float
    shade: float


@dataclass(frozen=True)
class Hair:
    """Hair of the head: `style` from HAIR_STYLES, `colour` from HAIR_COLOURS; the rest are amounts about their mean."""

    style: str
    colour: str
    shade: float
    hairline: float
    parting: float
    length: float
    volume: float


@dataclass(frozen=True)
class Beard:
    """Facial hair: `style` from BEARD_STYLES; its colour follows the hair, `shade` times as bright."""

    style: str
    shade: float
    density: float
    length: float


@dataclass(frozen=True)
class SkinTone:
    """Skin: `melanin` 0 (palest) to 1 (darkest); the others are strengths, mostly 0 to 1."""

    melanin: float
    redness: float
    yellowness: float
    blush: float
    eye_shadow: float
    freckles: float
    gloss: float
    lipstick: str
    lid_colour: str


@dataclass(frozen=True)
class Mole:
    """A mole on the face at (x, y) of the mean face, in decimetres."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Person:
    """All that makes somebody who they are, printable and comparable; `person(seed)` draws one.

    `age` is in years, 18 to 80; `african`, `asian`, `european` sum to 1; `masculinity`, `weight` and `muscle` are in
    [0, 1]; `shape` holds one number in [-1, 1] for each of `shape_names()`, `head` the weights of `head_names()`,
    `asymmetry` one number for each of `asymmetry_names()`.
    """

    seed: int
    name: str | None
    sex: str
    age: float
    masculinity: float
    african: float
    asian: float
    european: float
    weight: float
    muscle: float
    shape: tuple[float, ...]
    head: tuple[float, ...]
    asymmetry: tuple[float, ...]
    skin: SkinTone
    eyes: str
    brow: Brow
    hair: Hair
    beard: Beard
    moles: tuple[Mole, ...]


SPREAD = {
    "head": 0.25, "eyes": 0.31, "nose": 0.38, "mouth": 0.30, "chin": 0.32, "cheek": 0.36, "ears": 0.40,
    "forehead": 0.28, "eyebrows": 0.26, "neck": 0.16, "torso": 0.20,
}  # fmt: skip
"""Standard deviation of the shape parameters of each group."""

SPREAD_FACTORS = {
    "nose-trans-out": 0.3, "mouth-trans-out": 0.3, "eye-bag-incr": 0.6, "eye-bag-out": 0.6,
    "mouth-laugh-lines-out": 0.6, "mouth-scale-depth-incr": 0.7, "mouth-trans-forward": 0.6,
    "chin-prognathism-incr": 0.6, "chin-jaw-drop-incr": 0.7, "mouth-upperlip-volume-incr": 0.8,
    "mouth-lowerlip-volume-incr": 0.8, "neck-double-incr": 0.6,
}  # fmt: skip
"""Narrower spread for what soon looks wrong: features off the middle line, bags, folds, a jaw out of line."""

WOMAN_SPREAD = 0.88
WOMAN_MEAN = {
    "chin-bones-incr": -0.28, "chin-width-incr": -0.25, "chin-prominent-incr": -0.12, "chin-height-incr": -0.12,
    "mouth-upperlip-volume-incr": 0.18, "mouth-lowerlip-volume-incr": 0.15, "mouth-upperlip-height-incr": 0.10,
    "mouth-angles-up": 0.30, "eye-scale-incr": 0.30, "eye-height2-incr": 0.15, "nose-scale-horiz-incr": -0.15,
    "nose-scale-depth-incr": -0.12, "nose-hump-incr": -0.15, "head-age-incr": -0.25, "neck-scale-horiz-incr": -0.25,
    "cheek-bones-incr": 0.10, "head-fat-incr": -0.10, "measure-shoulder-dist-incr": -0.25,
    "measure-bust-circ-incr": 0.25, "eyebrows-trans-up": 0.15,
}  # fmt: skip
MAN_SPREAD = 0.92
MAN_MEAN = {"mouth-angles-up": 0.18, "head-age-incr": -0.1, "chin-bones-incr": 0.08, "eye-scale-incr": 0.10}
"""Means of shape parameters, where they are not zero."""

PALE_HAIR = np.array([0.6, 1.3, 1.6, 1, 0.8, 0.9, 1.2, 1.6, 0.6])
DARK_HAIR = np.array([5, 3, 1, 0.4, 0.15, 0.05, 0.05, 0.08, 0.05])
"""How common the undyed, ungreyed colours are at European ancestry 1 and 0, in the order of HAIR_COLOURS."""
PALE_EYES = np.array([0.3, 0.9, 1, 1, 1.6, 0.8, 0.6])
DARK_EYES = np.array([4, 3, 0.6, 0.12, 0.06, 0.04, 0.02])
DYED = 0.05

MEN_STYLES = {
    "bald": 0.9, "buzz cut": 1, "short": 2, "quiff": 1.3, "side parting": 1.5, "curly": 1, "afro": 0.6,
    "long straight": 0.4, "bun": 0.1, "top knot": 0.3, "wavy": 0.4,
}  # fmt: skip
WOMEN_STYLES = {
    "short": 0.4, "bob": 1.3, "bob with bangs": 1, "long straight": 1.4, "long with bangs": 1, "wavy": 1.3, "bun": 1,
    "top knot": 0.6, "ponytail": 1, "curly": 0.8, "afro": 0.6, "long curly": 1, "buzz cut": 0.1, "side parting": 0.3,
}  # fmt: skip
BEARDS = {"none": 0.42, "stubble": 0.2, "moustache": 0.07, "goatee": 0.1, "full beard": 0.09, "short beard": 0.12}
LIPSTICKS = {"none": 0.62, "red": 0.12, "pink": 0.12, "plum": 0.07, "coral": 0.07}
LIDS = {"none": 0.72, "brown": 0.12, "grey": 0.08, "rose": 0.08}


def shape_names() -> tuple[str, ...]:
    """Names of the numbers in `Person.shape`, each by its positive direction."""
    return tuple(parameter.name for parameter in shape_parameters())


def head_names() -> tuple[str, ...]:
    """Names of the weights in `Person.head`."""
    return tuple(name.removeprefix("head/head-") for name in head_targets())


def asymmetry_names() -> tuple[str, ...]:
    """Names of the numbers in `Person.asymmetry`; positive pushes to the left."""
    return tuple(name.removeprefix("asym/").removesuffix("-l") for name in asymmetry_targets())


def person(seed: int) -> Person:
    """Draw the person of a seed: one seed, one record, for ever. Raises WorldError for a negative seed."""
    if seed < 0:
        raise WorldError(f"people have seeds from 0 upwards, not {seed}")
    # One stream for each part: a change to how one is drawn leaves the others as they were.
    build, face, tone, eyes, brow, hair, beard, moles = (np.random.default_rng([seed, part]) for part in range(8))
    woman = bool(build.random() < 0.5)
    age = 18.0 + 62.0 * float(build.beta(1.0, 2.8))
    african, asian, european = (float(share) for share in build.dirichlet([0.35] * 3))
    skin = _skin(tone, woman, african, asian, european)
    crown = _hair(hair, woman, age, european)
    return Person(
        seed=seed,
        name=name_of(seed),
        sex="woman" if woman else "man",
        age=age,
        masculinity=float(
            np.clip(build.normal(0.0, 0.05), 0, 0.12) if woman else np.clip(build.normal(0.92, 0.08), 0, 1)
        ),
        african=african,
        asian=asian,
        european=european,
        weight=float(np.clip(build.normal(0.48, 0.2), 0.1, 0.95)),
        muscle=float(np.clip(build.normal(0.42 if woman else 0.52, 0.16), 0.1, 0.9)),
        shape=_shape(face, woman),
        head=tuple(float(x) for x in face.dirichlet([0.3] * len(head_targets())) * face.uniform(0.1, 0.55)),
        asymmetry=tuple(float(np.clip(x, -0.5, 0.5)) for x in face.normal(0, 0.2, len(asymmetry_targets()))),
        skin=skin if crown.colour in ("red", "auburn") else replace(skin, freckles=max(0.0, skin.freckles - 0.6)),
        eyes=_mixed(eyes, EYE_COLOURS, DARK_EYES, PALE_EYES, european),
        brow=_brow(brow, woman, crown.colour),
        hair=crown,
        beard=Beard("none", 1.0, 0.0, 1.0) if woman else _beard(beard),
        moles=_moles(moles),
    )


def _pick(rng: np.random.Generator, choices: Mapping[str, float]) -> str:
    odds = np.array(list(choices.values()), float)
    return list(choices)[int(rng.choice(len(odds), p=odds / odds.sum()))]


def _mixed(rng: np.random.Generator, words: tuple[str, ...], dark: Any, pale: Any, *shares: float) -> str:
    odds = dark * (1 - shares[0]) + pale * shares[0]
    return words[int(rng.choice(len(odds), p=odds / odds.sum()))]


def _shape(rng: np.random.Generator, woman: bool) -> tuple[float, ...]:
    means, width = (WOMAN_MEAN, WOMAN_SPREAD) if woman else (MAN_MEAN, MAN_SPREAD)
    values = []
    for parameter in shape_parameters():
        spread = SPREAD[parameter.group] * width * SPREAD_FACTORS.get(parameter.name, 1.0)
        values.append(float(np.clip(means.get(parameter.name, 0.0) + rng.normal() * spread, -1, 1)))
    return tuple(values)


def _skin(rng: np.random.Generator, woman: bool, african: float, asian: float, european: float) -> SkinTone:
    melanin = 0.80 * african + 0.36 * asian + 0.14 * european + rng.normal() * 0.10
    melanin = float(np.clip(melanin, 0.02, 0.98))
    return SkinTone(
        melanin=melanin,
        redness=float(rng.random()),
        yellowness=float(rng.random()),
        blush=float(rng.uniform(0.25, 0.9)),
        eye_shadow=float(rng.uniform(0.1, 0.5)),
        freckles=float(np.clip(rng.normal(0.5, 0.5), 0, 1.5)) if melanin < 0.4 else 0.0,
        gloss=float(rng.uniform(0.7, 1.4)),
        lipstick=_pick(rng, LIPSTICKS) if woman else "none",
        lid_colour=_pick(rng, LIDS) if woman else "none",
    )


def _brow(rng: np.random.Generator, woman: bool, hair_colour: str) -> Brow:
    pale = hair_colour in ("blond", "platinum blond", "white", "grey")
    return Brow(
        thickness=float(rng.uniform(0.026, 0.085) if woman else rng.uniform(0.050, 0.105)),
        density=float(rng.uniform(0.50 if woman else 0.55, 1.0) * (0.75 if pale else 1.0)),
        inner=float(rng.uniform(0.09, 0.18)),
        outer=float(rng.uniform(0.52, 0.63)),
        height=float(7.515 + rng.normal() * (0.026 if woman else 0.018)),
        arch=float(rng.uniform(0.01, 0.095) if woman else rng.uniform(0.0, 0.06)),
        tilt=float(rng.normal(-0.03, 0.025 if woman else 0.02)),
        shade=float(rng.uniform(0.4, 0.8)),
    )


def _hair(rng: np.random.Generator, woman: bool, age: float, european: float) -> Hair:
    old = max(0.0, age - 40.0) / 40.0
    if rng.random() < min(0.9, 1.6 * old):
        colour = "white" if rng.random() < 1.3 * (old - 0.3) else "grey"
    elif rng.random() < DYED * (1.6 if woman else 0.6):
        colour = HAIR_COLOURS[11 + int(rng.integers(3))]
    else:
        colour = _mixed(rng, HAIR_COLOURS[: len(PALE_HAIR)], DARK_HAIR, PALE_HAIR, european)
    recession = 0.0 if woman else 0.16 * old * float(rng.random())
    return Hair(
        style=_pick(rng, WOMEN_STYLES if woman else MEN_STYLES),
        colour=colour,
        shade=float(np.clip(1 + 0.12 * rng.normal(), 0.7, 1.35)),
        hairline=float(rng.normal() * 0.06) + recession,
        parting=float(rng.choice([-0.35, -0.25, 0.0, 0.25, 0.35])),
        length=float(rng.uniform(0.9, 1.12)),
        volume=float(rng.uniform(0.75, 1.3)),
    )


def _beard(rng: np.random.Generator) -> Beard:
    style = _pick(rng, BEARDS)
    density = rng.uniform(0.3, 0.55) if style == "stubble" else rng.uniform(0.0, 0.16) if style == "none" else 1.0
    return Beard(style, float(rng.uniform(0.75, 1.15)), float(density), float(rng.uniform(0.75, 1.25)))


def _moles(rng: np.random.Generator) -> tuple[Mole, ...]:
    count = int(rng.choice(4, p=[0.5, 0.3, 0.15, 0.05]))
    return tuple(
        Mole(float(rng.uniform(-0.5, 0.5)), float(rng.uniform(6.3, 7.9)), float(rng.uniform(0.014, 0.028)))
        for _ in range(count)
    )


def interpolate(first: Person, second: Person, t: float) -> Person:
    """Somebody between two people: numbers mixed linearly, words from the nearer; t 0 is `first`, 1 is `second`."""
    if t in (0, 1):
        return second if t else first
    mixed: Person = _between(first, second, t)
    return replace(mixed, name=None)


def _between(a: Any, b: Any, t: float) -> Any:
    """Mix two values of the same kind; what cannot be mixed comes from the nearer."""
    if is_dataclass(a) and not isinstance(a, type):
        return replace(a, **{f.name: _between(getattr(a, f.name), getattr(b, f.name), t) for f in fields(a)})
    if isinstance(a, tuple) and len(a) == len(b):
        return tuple(_between(x, y, t) for x, y in zip(a, b, strict=True))
    if isinstance(a, float):
        return (1 - t) * a + t * b
    return a if t < 0.5 else b
