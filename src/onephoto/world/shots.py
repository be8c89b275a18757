"""What happens in a picture: scene, view, pose, clothes and things, as a record drawn from a random generator."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from onephoto.errors import WorldError
from onephoto.world.figure import EXPRESSIONS
from onephoto.world.people import BEARD_STYLES, HAIR_COLOURS, HAIR_STYLES, Person
from onephoto.world.props import Thing, make_thing
from onephoto.world.scenes import SCENES
from onephoto.world.wardrobe import Clothes, pick_clothes

VIEWS = ("close", "head", "upper")
"""The face fills the picture; head and shoulders; down to the belly."""
VIEW_ODDS = (0.25, 0.35, 0.40)
EXPRESSION_ODDS = {
    "neutral": 0.28, "smiling": 0.22, "grin": 0.12, "mouth open": 0.09, "surprised": 0.06, "eyes closed": 0.09,
    "angry": 0.05, "sad": 0.05, "pucker": 0.04,
}  # fmt: skip
WORN_ODDS = {"glasses": 0.10, "sunglasses": 0.07, "cap": 0.08, "earrings": 0.09, "scarf": 0.06}
HELD_ODDS = {"red ball": 0.15, "cup": 0.17, "umbrella": 0.13, "book": 0.13, "flowers": 0.10, "guitar": 0.10}
"""How often something is held in the upper view; never in the others, which would not show it."""
ARM_ODDS = {"down": 0.55, "wave": 0.17, "hips": 0.14, "clasped": 0.14}
SEATED = 0.10
CHANGES = {"hair": 0.04, "age": 0.02, "beard": 0.01}
"""How often somebody is shown with other hair, at another age, with another beard."""


@dataclass(frozen=True)
class HairChange:
    """Other hair than the person's own: a style of HAIR_STYLES, a colour of HAIR_COLOURS."""

    style: str
    colour: str


@dataclass(frozen=True)
class Shot:
    """What happens in one picture.

    `scene` of SCENES; `view` of VIEWS; `expression` of EXPRESSIONS; `head` (yaw, pitch, roll) and `camera` (yaw, pitch)
    in degrees (positive yaw: head to the person's left, camera moved to the person's left); `eye_contact`: the eyes
    follow the camera; `arms` of ARM_ODDS, for empty hands; `worn` and `held` things; `seated` on a chair; `hair`, `age`
    (years) and `beard` replace the person's own; `seed` decides all that is left.
    """

    seed: int
    scene: str
    view: str
    expression: str
    head: tuple[float, float, float]
    camera: tuple[float, float]
    eye_contact: bool
    arms: str
    clothes: Clothes
    worn: tuple[Thing, ...] = ()
    held: Thing | None = None
    seated: Thing | None = None
    hair: HairChange | None = None
    age: float | None = None
    beard: str | None = None


_CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "scene": tuple(SCENES),
        "view": VIEWS,
        "expression": tuple(EXPRESSIONS),
        "arms": tuple(ARM_ODDS),
        "beard": BEARD_STYLES,
    }
)


def _pick(rng: np.random.Generator, odds: Mapping[str, float]) -> str:
    weights = np.array(list(odds.values()))
    return list(odds)[int(rng.choice(len(weights), p=weights / weights.sum()))]


def _angle(rng: np.random.Generator, spread: float, limit: float) -> float:
    return float(np.clip(rng.normal() * spread, -limit, limit))


def _worn(rng: np.random.Generator, person: Person) -> tuple[Thing, ...]:
    """What is worn: each kind by its odds; one thing before the eyes, earrings mostly on women."""
    kinds = [kind for kind, odds in WORN_ODDS.items() if rng.random() < odds]
    if "sunglasses" in kinds and "glasses" in kinds:
        kinds.remove("glasses")
    if "earrings" in kinds and person.sex == "man" and rng.random() < 0.5:
        kinds.remove("earrings")
    return tuple(make_thing(kind, rng) for kind in kinds)


def _hair_change(rng: np.random.Generator, person: Person) -> HairChange:
    """Other hair: most often both style and colour are others."""
    style = str(rng.choice([s for s in HAIR_STYLES if s != "bald"]))
    colour = str(rng.choice([c for c in HAIR_COLOURS if c != person.hair.colour]))
    return HairChange(person.hair.style if rng.random() < 0.25 and person.hair.style != "bald" else style, colour)


def _other_age(rng: np.random.Generator, person: Person) -> float:
    """An age that is called by another word."""
    return float(rng.uniform(66, 78) if person.age < 55 else rng.uniform(19, 28))


def sample_shot(rng: np.random.Generator, person: Person, **fixed: Any) -> Shot:
    """A random shot of somebody; any field of Shot can be fixed by name. Raises WorldError for unknown names and words.

    What follows from a fixed field is made to fit: whoever is to hold something is shown down to the belly.
    """
    checked(fixed)
    scene, worn = str(rng.choice(list(SCENES))), _worn(rng, person)
    view = str(rng.choice(VIEWS, p=VIEW_ODDS))
    if (fixed.get("held") or fixed.get("seated") or fixed.get("arms", "down") != "down") and "view" not in fixed:
        view = "upper"
    upper = fixed.get("view", view) == "upper"
    held = _pick(rng, HELD_ODDS | {"": 1 - sum(HELD_ODDS.values())}) if upper else ""
    arms = _pick(rng, ARM_ODDS)
    seated = upper and rng.random() < SEATED
    shot = Shot(
        seed=int(rng.integers(1 << 31)),
        scene=scene,
        view=view,
        expression=_pick(rng, EXPRESSION_ODDS),
        head=(_angle(rng, 14, 34), _angle(rng, 5, 12), _angle(rng, 4, 12)),
        camera=(_angle(rng, 14, 36), _angle(rng, 5, 12)),
        eye_contact=bool(rng.random() < 0.7),
        arms=arms if upper else "down",
        clothes=pick_clothes(rng),
        worn=worn,
        held=make_thing(held, rng) if held else None,
        seated=make_thing("chair", rng) if seated else None,
        hair=_hair_change(rng, person) if rng.random() < CHANGES["hair"] else None,
        age=_other_age(rng, person) if rng.random() < CHANGES["age"] else None,
        beard=_pick(rng, dict.fromkeys(BEARD_STYLES[2:], 1.0)) if _grows_beard(rng, person) else None,
    )
    return replace(shot, **fixed)


def _grows_beard(rng: np.random.Generator, person: Person) -> bool:
    return bool(rng.random() < CHANGES["beard"]) and person.sex == "man" and person.beard.style == "none"


def checked(fixed: Mapping[str, Any]) -> None:
    """Raises WorldError when a fixed field does not exist or its word is unknown."""
    names = [f.name for f in fields(Shot)]
    for name, value in fixed.items():
        if name not in names:
            raise WorldError(f"a shot has no {name!r}; it has {', '.join(names)}")
        if value is not None and value not in _CHOICES.get(name, (value,)):
            raise WorldError(f"no {name} {value!r}; known: {', '.join(_CHOICES[name])}")


def as_shown(person: Person, shot: Shot) -> Person:
    """The person as the shot shows them: with its hair, age and beard. The record keeps seed and name."""
    shown = person
    if shot.age is not None:
        old = shot.age > 60 and shot.hair is None
        hair = replace(person.hair, colour="grey" if shot.seed % 2 else "white") if old else person.hair
        shown = replace(shown, age=shot.age, hair=hair)
    if shot.hair is not None:
        shown = replace(shown, hair=replace(shown.hair, style=shot.hair.style, colour=shot.hair.colour))
    if shot.beard is not None:
        beard = replace(shown.beard, style=shot.beard, density=1.0 if shot.beard != "none" else 0.05)
        shown = replace(shown, beard=beard)
    return shown
