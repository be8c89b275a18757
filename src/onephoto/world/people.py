"""People of the synthetic world as records of plain numbers and words, drawn from a seed."""

from dataclasses import dataclass

TRAIN = range(0, 90_000)
"""Seeds of people that the base may be trained on."""
DEVELOPMENT = range(90_000, 100_000)
"""Seeds of people for choosing settings; no model and no judge is trained on them."""
FINAL = range(100_000, 1_000_000)
"""Seeds of people for final numbers."""

SEXES = ("woman", "man")
AGE_WORDS = ("young", "middle-aged", "old")
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


@dataclass(frozen=True)
class Looks:
    """What can be said of somebody in words, all of it true.

    `age` is one of AGE_WORDS, `skin` for example "fair" (as in "fair skin"), `hair` a whole phrase ("long wavy red hair",
    "a grey buzz cut", "a bald head"), `hair_colour` None for the bald, `hair_length` "bald", "short", "medium" or "long";
    `beard` a phrase ("a full black beard", "stubble") or None; `eyes` a colour; `lipstick` a colour or None;
    `features` phrases about shape, the most striking first ("a wide nose", "thin lips"), possibly none.
    """

    sex: str
    age: str
    skin: str
    hair: str
    hair_colour: str | None
    hair_length: str
    hair_style: str
    beard: str | None
    eyes: str
    freckles: bool
    lipstick: str | None
    features: tuple[str, ...]


def person(seed: int) -> Person:
    """Draw the person of a seed: the same seed gives the same record for ever; raises WorldError for a negative seed."""
    raise NotImplementedError


def interpolate(first: Person, second: Person, t: float) -> Person:
    """Somebody between two people: numbers mixed linearly, words from the nearer; t 0 is `first`, 1 is `second`."""
    raise NotImplementedError


def describe(person: Person) -> Looks:
    """Words for a person's looks; see Looks."""
    raise NotImplementedError
