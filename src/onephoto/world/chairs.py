"""Chairs of wood, cloth or metal, each from its seed."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onephoto.world.body import rotation
from onephoto.world.names import thing_name
from onephoto.world.skin import linear
from onephoto.world.solids import Solid, joined, surface, tube
from onephoto.world.thing_parts import NUMBERS, Feature, Part, by_size, part, rgb

KIND = "chair"
FORMS = ("wooden chair", "armchair", "garden chair")
FORM_ODDS = (0.46, 0.34, 0.20)
BACKS = ("ladder back", "slatted back", "solid back", "round back")
WOODS = {"brown": (140, 92, 52), "dark brown": (78, 50, 34), "beige": (206, 170, 122), "golden": (190, 134, 70)}
PAINTS = ("white", "black", "red", "blue", "green", "yellow", "teal", "grey", "pink", "orange")
CLOTHS = (
    "red",
    "blue",
    "green",
    "yellow",
    "grey",
    "purple",
    "pink",
    "orange",
    "teal",
    "beige",
    "brown",
    "navy",
    "white",
)
PATTERNS = ("plain", "stripes", "spots")
PATTERN_ODDS = (0.6, 0.22, 0.18)
IRON = linear((44, 46, 50))


@dataclass(frozen=True)
class Chair:
    """A chair: `form` of FORMS, `back` of BACKS, `pattern` of PATTERNS on its cloth in the colour `second`.

    `cushion` is the colour of one on the seat or None; lengths are decimetres, `lean` of the back in radians, `splay`
    how far the feet stand out; `bars` are counted in the back.
    """

    seed: int
    name: str | None
    form: str
    colour: str
    second: str
    pattern: str
    back: str
    armrests: bool
    cushion: str | None
    bars: int
    seat: float
    width: float
    depth: float
    height: float
    leg: float
    lean: float
    splay: float
    round: float

    kind = KIND


def chair(seed: int) -> Chair:
    """Draw the chair of a seed."""
    rng = np.random.default_rng([seed, 501])
    form = str(rng.choice(FORMS, p=FORM_ODDS))
    wood, paint, cloth = (str(rng.choice(words)) for words in (list(WOODS), PAINTS, CLOTHS))
    natural = rng.random() < 0.55
    colour = {"wooden chair": wood if natural else paint, "garden chair": paint, "armchair": cloth}[form]
    soft = form == "armchair"
    return Chair(
        seed=seed,
        name=thing_name(KIND, seed),
        form=form,
        colour=colour,
        second=str(rng.choice([word for word in CLOTHS if word != colour])),
        pattern=str(rng.choice(PATTERNS, p=PATTERN_ODDS)),
        back=str(rng.choice(BACKS if not soft else ("solid back", "round back"))),
        armrests=soft or bool(rng.random() < 0.4),
        cushion=str(rng.choice([word for word in CLOTHS if word != colour])) if rng.random() < 0.45 else None,
        bars=int(rng.integers(3, 7)),
        seat=float(rng.uniform(1.5, 1.9) if soft else rng.uniform(1.8, 2.3)),
        width=float(rng.uniform(2.3, 3.0) if soft else rng.uniform(1.8, 2.4)),
        depth=float(rng.uniform(1.9, 2.3) if soft else rng.uniform(1.7, 2.1)),
        height=float(rng.uniform(1.7, 3.1)),
        leg=float(rng.uniform(0.09, 0.20)),
        lean=float(rng.uniform(0.06, 0.26)),
        splay=float(rng.uniform(0.0, 0.28)),
        round=float(rng.uniform(2.4, 6.0)),
    )


def features(one: Chair) -> list[Feature]:
    """What can be said of its shape and cloth."""
    soft = one.form == "armchair"
    found = [] if soft and one.back == "solid back" else [Feature(one.back, "back")]
    if not soft:
        found.append(Feature("armrests", "armrests") if one.armrests else Feature("no armrests", KIND))
        found += by_size(one.leg, (0.125, 0.165), ("thin legs", "thick legs"), "legs")
    found += by_size(one.height, (2.05, 2.65), ("low back", "high back"), "back")
    found += [Feature("cushion", "cushion", one.cushion)] if one.cushion else []
    found += [Feature(one.pattern, "markings", one.second)] if one.pattern != "plain" and (soft or one.cushion) else []
    found += [Feature("buttons", "buttons")] if _buttoned(one) else []
    found += [Feature("wooden legs", "legs")] if soft else []
    return found


def _buttoned(one: Chair) -> bool:
    return one.form == "armchair" and one.bars > 4


def material(one: Chair) -> NDArray:
    """Linear RGB (3,) of frame or cloth."""
    natural = one.form == "wooden chair" and one.colour in WOODS
    return linear(WOODS[one.colour]) if natural else rgb(one.colour)


@lru_cache(maxsize=2)
def _cube(steps: int) -> Solid:
    """The surface of the cube from -1 to 1, each side a grid; sides share their edges."""
    side = surface(lambda u, v: np.stack([2 * u - 1, 2 * v - 1, np.ones_like(u)], 1), steps, steps, wrap=False)
    turns = [np.roll(np.eye(3), k, 1) * sign for k in range(3) for sign in (-1, 1)]
    sides = joined(*(side.moved(turn, (0, 0, 0)) for turn in turns))
    points, place = np.unique(np.round(sides.points, 6), axis=0, return_inverse=True)
    return Solid(points, place.reshape(-1)[sides.triangles].astype(np.int32))


def pillow(centre: ArrayLike, half: ArrayLike, exponent: float, *, steps: int = 12) -> Solid:
    """A rounded box: an ellipsoid at exponent 2, a box with soft edges at 6; `steps` points along each side."""
    cube = _cube(steps)
    length = (np.abs(cube.points) ** exponent).sum(1, keepdims=True) ** (1 / exponent)
    return Solid(np.asarray(centre) + np.asarray(half) * cube.points / length, cube.triangles)


def _covered(one: Chair, solid: Solid, colour: NDArray, name: str) -> Part:
    """A piece of cloth in the chair's pattern; the pattern's second colour is light on dark and dark on light."""
    colours = np.tile(colour, (len(solid.points), 1)).astype(np.float32)
    numbers = np.full(len(solid.points), NUMBERS[name], np.uint8)
    x, y, z = solid.points.T
    if one.pattern == "stripes":
        across = x + z if name == "armrests" else x
        marked = np.sin(across * (5 + one.bars)) > 0.2
    elif one.pattern == "spots":
        pitch = 0.26 + 0.03 * one.bars
        across, along = x / pitch, (y + z) / pitch
        marked = np.hypot(across - np.round(across), along - np.round(along)) < 0.30
    else:
        return Part(solid, colours, numbers, 0.85, 0.0)
    colours[marked], numbers[marked] = rgb(one.second), NUMBERS["markings"]
    return Part(solid, colours, numbers, 0.85, 0.0)


def _legs(one: Chair, *, height: float, inset: float) -> Solid:
    """Four legs under the seat, wider below where they splay."""
    legs = []
    for side in (-1, 1):
        for front in (-1, 1):
            top = np.array([side * (0.5 * one.width - inset), height, front * (0.5 * one.depth - inset)])
            foot = top * (1, 0, 1) + one.splay * np.array([side, 0, front])
            legs.append(tube([foot, 0.5 * (foot + top), top], (0.7 * one.leg, 0.9 * one.leg, one.leg)))
    return joined(*legs)


def _leaning(one: Chair, solid: Solid) -> Solid:
    """A piece of the back, built upright at the seat's height above z = 0, set at the seat's rear and leant."""
    return solid.moved(rotation((1, 0, 0), -one.lean), (0, one.seat, -0.5 * one.depth + 0.12))


def _arch(wide: float, high: float, power: float) -> NDArray:
    """A hoop (n,3) standing on its ends."""
    angle = np.linspace(0, np.pi, 25)
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([wide * np.sign(c) * np.abs(c) ** (2 / power), high * np.abs(s) ** (2 / power), 0 * angle], 1)


def _frame_back(one: Chair) -> Solid:
    """The back of a wooden or metal chair."""
    wide, high, thick = 0.5 * one.width - 0.12, one.height, 0.8 * one.leg
    posts = [tube([(s * wide, -0.1, 0), (s * wide, 0.5 * high, 0), (s * wide, high, 0)], thick) for s in (-1, 1)]
    steps = np.linspace(0, 1, one.bars)
    if one.back == "round back":
        power = 2.0 + 0.25 * one.round
        places = np.linspace(-0.72, 0.72, one.bars)
        tops = 0.98 * high * (1 - np.abs(places) ** power) ** (1 / power)
        bars = [tube([(x * wide, 0, 0), (x * wide, top, 0)], 0.55 * thick) for x, top in zip(places, tops, strict=True)]
        return joined(tube(_arch(wide, high, power), thick), *bars)
    if one.back == "ladder back":
        rails = [pillow((0, high * (0.25 + 0.70 * t), 0), (wide, 0.42 * high / (one.bars + 1), 0.07), 5) for t in steps]
        return joined(*posts, *rails)
    top = pillow((0, high - 0.12, 0), (wide + 0.08, 0.17, 0.09), 5)
    if one.back == "slatted back":
        low = pillow((0, 0.35, 0), (wide, 0.09, 0.07), 5)
        slats = [tube([(x, 0.35, 0), (x, high - 0.15, 0)], 0.6 * thick)
                 for x in np.linspace(-0.72 * wide, 0.72 * wide, one.bars)]  # fmt: skip
        return joined(*posts, top, low, *slats)
    return joined(*posts, top, pillow((0, 0.58 * high, 0), (wide, 0.36 * high, 0.06), 6))


def _frame_arms(one: Chair) -> list[Part]:
    """Armrests on posts."""
    if not one.armrests:
        return []
    height, wide, arms = one.seat + 0.85, 0.5 * one.width + 0.02, []
    for side in (-1, 1):
        front = np.array([side * wide, height, 0.5 * one.depth - 0.25])
        back = np.array([side * (wide - 0.1), height + 0.05, -0.5 * one.depth + 0.12 - 0.85 * np.tan(one.lean)])
        arms += [tube([back, 0.5 * (back + front), front, front + np.array([0, -0.08, 0.12])], 0.75 * one.leg + 0.03),
                 tube([front * (1, 0, 1) + np.array([0, one.seat - 0.05, -0.05]), front], 0.75 * one.leg)]  # fmt: skip
    return [part(joined(*arms), material(one), "armrests", roughness=0.45)]


def _framed(one: Chair) -> list[Part]:
    """A chair of wood or metal."""
    colour = material(one)
    rough = 0.35 if one.form == "garden chair" else 0.5
    seat = pillow((0, one.seat, 0), (0.5 * one.width, 0.11, 0.5 * one.depth), one.round)
    parts = [part(_legs(one, height=one.seat, inset=0.16), colour, "legs", roughness=rough),
             part(seat, 0.95 * colour, KIND, roughness=rough),
             part(_leaning(one, _frame_back(one)), colour, "back", roughness=rough), *_frame_arms(one)]  # fmt: skip
    if one.form == "wooden chair":
        inside, low = 0.5 * one.width - 0.16 + 0.5 * one.splay, 0.45 * one.seat
        rungs = [
            tube([(s * inside, low, -0.42 * one.depth), (s * inside, low, 0.42 * one.depth)], 0.05) for s in (-1, 1)
        ]
        parts.append(part(joined(*rungs), colour, "legs", roughness=rough))
    if one.cushion:
        cover = pillow((0, one.seat + 0.20, 0.05), (0.44 * one.width, 0.15, 0.43 * one.depth), 3.2)
        parts.append(_covered(one, cover, rgb(one.cushion), "cushion"))
    return parts


def _upholstered(one: Chair) -> list[Part]:
    """An armchair."""
    colour, wide, arm = material(one), 0.5 * one.width, 0.20 + 0.6 * one.leg
    foot, exponent = 0.42, one.round
    base = pillow(
        (0, 0.5 * (foot + one.seat) - 0.05, 0), (wide, 0.5 * (one.seat - foot) + 0.05, 0.5 * one.depth), exponent
    )
    high = 0.5 * one.height + 0.15
    shape = 2.3 if one.back == "round back" else exponent + 1
    back = _leaning(one, pillow((0, high - 0.35, 0.0), (wide * 0.97, high, 0.30), shape))
    sides = [pillow((s * (wide + 0.5 * arm), 0.5 * (foot + one.seat + 0.62), 0.05),
                    (arm, 0.5 * (one.seat + 0.62 - foot), 0.5 * one.depth), exponent) for s in (-1, 1)]  # fmt: skip
    seat = pillow((0, one.seat + 0.10, 0.12), (wide - 0.06, 0.22, 0.5 * one.depth - 0.05), 4.5)
    soft = rgb(one.cushion) if one.cushion else 1.0 * colour
    wood = linear(WOODS["dark brown" if one.seed % 2 else "brown"])
    parts = [_covered(one, base, colour, KIND), _covered(one, back, colour, "back"),
             *(_covered(one, side, colour, "armrests") for side in sides),
             _covered(one, seat, soft, "cushion" if one.cushion else KIND),
             part(_legs(one, height=0.6, inset=0.25), wood, "legs")]  # fmt: skip
    if _buttoned(one):
        dots = [pillow((x * wide, high + y, 0.29), (0.07, 0.07, 0.05), 2)
                for x in (-0.5, 0, 0.5) for y in (0.05, 0.55)]  # fmt: skip
        parts.append(part(_leaning(one, joined(*dots)), rgb(one.second), "buttons", roughness=0.4))
    return parts


def parts_of(one: Chair, pose: str) -> list[Part]:
    """The chair on the ground at height 0, facing along z."""
    return _upholstered(one) if one.form == "armchair" else _framed(one)
