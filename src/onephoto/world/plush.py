"""Plush toys: sewn animals that sit, each from its seed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onephoto.world.names import thing_name
from onephoto.world.sculpt import Lump, chain, ellipsoid
from onephoto.world.skin import linear
from onephoto.world.solids import ball, tube
from onephoto.world.thing_parts import NUMBERS, Dab, Feature, Fur, Part, by_size, middles, part, rgb, soft_body

KIND = "plush toy"
ANIMALS = ("bear", "rabbit", "cat", "mouse", "elephant")
COLOURS = ("brown", "beige", "white", "grey", "pink", "blue", "yellow", "black", "green", "purple", "orange", "teal",
           "golden", "dark brown", "light blue", "light green", "red")  # fmt: skip
PALE = ("white", "beige", "pink", "yellow", "light blue", "light green", "golden")
EXTRA = ("red", "blue", "green", "yellow", "purple", "pink", "orange", "white", "black", "teal")
PATTERNS = ("plain", "belly", "spots", "stripes", "patches")
PATTERN_ODDS = (0.34, 0.30, 0.12, 0.12, 0.12)
BLACK, THREAD, WHITE = linear((16, 14, 14)), linear((40, 28, 24)), linear((240, 240, 238))
CELL, SEAM = 0.075, 0.10
"""Grid and roundness of the seams, decimetres."""


@dataclass(frozen=True)
class Plush:
    """A plush toy: `animal` of ANIMALS, `pattern` of PATTERNS; `tie` is "bow", "scarf" or None, of colour `extra`.

    Amounts are about 1: of head, ears, girth, limbs, muzzle, eyes and the gap between them, and length of the fur;
    `seed` also places spots and hair.
    """

    seed: int
    name: str | None
    animal: str
    colour: str
    second: str
    pattern: str
    tie: str | None
    extra: str
    head: float
    ears: float
    girth: float
    limbs: float
    muzzle: float
    eyes: float
    gap: float
    fur: float

    kind = KIND

    @property
    def form(self) -> str:
        """The closer word for it."""
        return self.animal


def plush(seed: int) -> Plush:
    """Draw the plush toy of a seed."""
    rng = np.random.default_rng([seed, 201])
    colour = str(rng.choice(COLOURS))
    second = str(rng.choice([word for word in PALE if word != colour]))
    ties = ("bow", "scarf", "")
    return Plush(
        seed=seed,
        name=thing_name(KIND, seed),
        animal=str(rng.choice(ANIMALS, p=(0.36, 0.2, 0.16, 0.12, 0.16))),
        colour=colour,
        second=second,
        pattern=str(rng.choice(PATTERNS, p=PATTERN_ODDS)),
        tie=str(rng.choice(ties, p=(0.25, 0.2, 0.55))) or None,
        extra=str(rng.choice([word for word in EXTRA if word not in (colour, second)])),
        head=float(rng.uniform(0.85, 1.2)),
        ears=float(rng.uniform(0.75, 1.3)),
        girth=float(rng.uniform(0.78, 1.2)),
        limbs=float(rng.uniform(0.8, 1.25)),
        muzzle=float(rng.uniform(0.75, 1.25)),
        eyes=float(rng.uniform(0.75, 1.45)),
        gap=float(rng.uniform(0.8, 1.2)),
        fur=float(rng.choice([0.0, rng.uniform(0.5, 1.6)], p=(0.25, 0.75))),
    )


def features(toy: Plush) -> list[Feature]:
    """What can be said of its shape and pattern."""
    marks = "belly" if toy.pattern == "belly" else "markings"
    found = [Feature(toy.pattern, marks, toy.second)] if toy.pattern != "plain" else []
    shapes = {"bear": ("round ears", "small ears"), "mouse": ("round ears", "round ears"),
              "rabbit": ("long ears", "long ears"), "cat": ("pointed ears", "pointed ears")}  # fmt: skip
    if toy.animal == "elephant":
        found.append(Feature("trunk", "trunk"))
    else:
        found.append(Feature(shapes[toy.animal][toy.ears < 1], "ears"))
    found += [Feature(toy.tie, toy.tie, toy.extra)] if toy.tie else []
    found += by_size(toy.head, (0.92, 1.12), ("small head", "big head"), "head")
    return found + by_size(toy.girth, (0.85, 1.10), ("thin", "chubby"), KIND)


def _head_centre(toy: Plush) -> NDArray:
    return np.array([0.0, 2.0 + 0.72 * toy.head, 0.15])


def _ears(toy: Plush, centre: NDArray) -> list[Dab]:
    """Both ears with their inner side."""
    coat, inner = rgb(toy.colour), rgb(toy.second)
    size, dabs = toy.ears, []
    for side in (-1, 1):
        shapes = {
            "bear": [(ellipsoid(_at(centre, toy, side * 0.66, 0.62, -0.05), (0.30 * size, 0.30 * size, 0.15)), coat),
                     (ellipsoid(_at(centre, toy, side * 0.66, 0.60, 0.08), (0.19 * size, 0.19 * size, 0.08)), inner)],
            "mouse": [(ellipsoid(_at(centre, toy, side * 0.78, 0.72, -0.1), (0.50 * size, 0.50 * size, 0.12)), coat),
                      (ellipsoid(_at(centre, toy, side * 0.78, 0.72, 0.0), (0.36 * size, 0.36 * size, 0.09)), inner)],
            "rabbit": [(Lump(_at(centre, toy, side * 0.32, 0.70, -0.05),
                             _at(centre, toy, side * 0.52, 1.0 + 0.85 * size, -0.15), (0.20, 0.24), (1, 1, 0.6)), coat),
                       (Lump(_at(centre, toy, side * 0.35, 0.80, 0.08),
                             _at(centre, toy, side * 0.52, 0.95 + 0.85 * size, 0), (0.10, 0.13), (1, 1, 0.6)), inner)],
            "cat": [(Lump(_at(centre, toy, side * 0.52, 0.55, 0),
                          _at(centre, toy, side * 0.66, 0.75 + 0.35 * size, 0), (0.30, 0.05), (1, 1, 0.6)), coat),
                    (Lump(_at(centre, toy, side * 0.52, 0.58, 0.12),
                          _at(centre, toy, side * 0.63, 0.68 + 0.30 * size, 0.1), (0.17, 0.03), (1, 1, 0.6)), inner)],
            "elephant": [(ellipsoid(_at(centre, toy, side * 1.05, 0.05, -0.1), (0.58 * size, 0.66 * size, 0.12)), coat),
                         (ellipsoid(_at(centre, toy, side * 1.08, 0.02, 0.0),
                                    (0.42 * size, 0.50 * size, 0.08)), inner)],
        }[toy.animal]  # fmt: skip
        dabs += [Dab(lump, colour, "ears") for lump, colour in shapes]
    return dabs


def _at(centre: NDArray, toy: Plush, x: float, y: float, z: float) -> NDArray:
    """A place on the head in units of its size."""
    return centre + toy.head * np.array([x, y, z])


def _snout(toy: Plush, centre: NDArray) -> list[Dab]:
    """Muzzle, or trunk."""
    size = toy.muzzle * toy.head
    if toy.animal == "elephant":
        path = [_at(centre, toy, 0, -0.15, 0.65), _at(centre, toy, 0, -0.45, 1.0), _at(centre, toy, 0, -0.95, 1.05),
                _at(centre, toy, 0, -1.15 - 0.2 * toy.muzzle, 1.25)]  # fmt: skip
        return [Dab(lump, rgb(toy.colour), "trunk") for lump in chain(path, (0.30, 0.23, 0.18, 0.15))]
    depth = 0.5 if toy.animal == "mouse" else 0.32
    lump = ellipsoid(_at(centre, toy, 0, -0.22, 0.70), (0.36 * size, 0.28 * size, depth * size))
    return [Dab(lump, rgb(toy.second if toy.pattern != "plain" else toy.colour), "head")]


def _body(toy: Plush) -> list[Dab]:
    """Body, arms, legs and soles."""
    coat, sole, wide, limb = rgb(toy.colour), rgb(toy.second), toy.girth, toy.limbs
    dabs = [Dab(ellipsoid((0, 1.1, 0), (0.82 * wide, 1.08, 0.72 * wide)), coat, KIND)]
    if toy.pattern == "belly":
        dabs.append(Dab(ellipsoid((0, 1.05, 0.3 * wide), (0.55 * wide, 0.75, 0.50 * wide)), sole, "belly"))
    for side in (-1, 1):
        shoulder, hip = np.array([side * 0.66 * wide, 1.72, 0.1]), np.array([side * 0.52 * wide, 0.38, 0.25])
        hand = shoulder + limb * np.array([side * 0.42, -0.82, 0.38])
        foot = hip + limb * np.array([side * 0.28, 0.0, 1.15])
        dabs += [
            Dab(Lump(shoulder, hand, (0.27, 0.30)), coat, "legs"),
            Dab(Lump(hip, foot, (0.38, 0.34)), coat, "legs"),
            Dab(ellipsoid(foot + np.array([0, 0.12, 0.1]), (0.36, 0.46, 0.28)), coat, "legs"),
            Dab(ellipsoid(foot + np.array([0, 0.14, 0.27]), (0.24, 0.32, 0.15)), sole, "paws"),
        ]
    if toy.animal in ("cat", "mouse"):
        thin = 0.07 if toy.animal == "mouse" else 0.14
        path = [(0, 0.4, -0.6), (0.5, 0.25, -1.0), (1.1, 0.35, -0.8), (1.5 * limb, 0.6, -0.4)]
        dabs += [Dab(lump, coat, "tail") for lump in chain(path, [thin] * 4)]
    return dabs


def _patterned(toy: Plush, points: NDArray, colours: NDArray, numbers: NDArray) -> None:
    """Paint spots, stripes or patches in the second colour on what has the first."""
    rng = np.random.default_rng([toy.seed, 202])
    plain = np.abs(colours - rgb(toy.colour)).max(1) < 1e-6
    marks = {
        "spots": lambda: _near(points, rng, 26, 0.20),
        "stripes": lambda: np.sin(points[:, 1] * rng.uniform(7, 11) + 0.3 * np.sin(3 * points[:, 0])) > 0.35,
        "patches": lambda: _near(points, rng, 5, 0.62),
    }
    if toy.pattern in marks:
        marked = plain & marks[toy.pattern]()
        colours[marked] = rgb(toy.second)
        numbers[marked] = NUMBERS["markings"]


def _near(points: NDArray, rng: np.random.Generator, count: int, radius: float) -> NDArray:
    """Which points lie near one of `count` random ones of them, (V,)."""
    centres = points[rng.choice(len(points), count)]
    reach = radius * rng.uniform(0.7, 1.2, count)
    return (np.linalg.norm(points[:, None] - centres[None], axis=2) < reach).any(1)


def _face(toy: Plush, centre: NDArray) -> list[Part]:
    """Button eyes, nose and a sewn mouth."""
    size, gap = 0.085 * toy.eyes, 0.30 * toy.gap
    place = [_at(centre, toy, side * gap, 0.12, 0.93 - 0.35 * gap * gap) for side in (-1, 1)]
    parts = [part(ball(p, (size, size, 0.6 * size)), BLACK, "eyes", roughness=0.2) for p in place]
    parts += [part(ball(p + size * np.array([0.35, 0.4, 0.55]), 0.22 * size), WHITE, "eyes", roughness=0.3)
              for p in place]  # fmt: skip
    if toy.animal == "elephant":
        return parts
    depth = 0.70 + (0.5 if toy.animal == "mouse" else 0.32) * toy.muzzle
    nose = _at(centre, toy, 0, -0.10, depth - 0.03)
    colour = rgb("pink") if toy.animal in ("rabbit", "mouse", "cat") and toy.colour != "pink" else BLACK
    parts.append(part(ball(nose, np.array([0.15, 0.10, 0.09]) * toy.head), colour, "nose", roughness=0.35))
    line = [_at(centre, toy, 0, -0.16, depth + 0.01), _at(centre, toy, 0, -0.30, depth - 0.03)]
    smile = [_at(centre, toy, x, -0.30 - 0.5 * (0.17**2 - x * x), depth - 0.04 - 1.2 * x * x)
             for x in np.linspace(-0.17, 0.17, 7)]  # fmt: skip
    parts += [part(tube(path, 0.022), THREAD, "head", roughness=0.8) for path in (line, smile)]
    return parts


def _tie(toy: Plush, centre: NDArray) -> list[Part]:
    """A bow or a scarf at the neck."""
    colour, neck = rgb(toy.extra), np.array([0.0, 2.02, 0.1])
    if toy.tie == "bow":
        front = neck + np.array([0, -0.1, 0.62 + 0.1 * toy.girth])
        wings = [Dab(Lump(front, front + np.array([s * 0.42, 0.0, -0.02]), (0.07, 0.24), (1, 1, 0.5)), colour, "bow")
                 for s in (-1, 1)]  # fmt: skip
        knot = Dab(ellipsoid(front + np.array([0, 0, 0.06]), (0.12, 0.13, 0.1)), 0.8 * colour, "bow")
        solid, colours, numbers = soft_body([*wings, knot], blend=0.04, cell=0.04)
        return [Part(solid, colours, numbers, 0.5)]
    if toy.tie != "scarf":
        return []
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = neck + np.stack([0.62 * np.sin(angle), 0 * angle, 0.58 * np.cos(angle)], 1)
    hanging = neck + np.array([[0.28, 0, 0.62], [0.36, -0.4, 0.78], [0.42, -0.85, 0.82]])
    return [part(tube(ring, 0.19, closed=True), colour, "scarf", roughness=0.8),
            part(tube(hanging, 0.16), 0.92 * colour, "scarf", roughness=0.8)]  # fmt: skip


def parts_of(toy: Plush, pose: str) -> list[Part]:
    """The toy, sitting on the ground at height 0 and looking along z."""
    centre = _head_centre(toy)
    head = Dab(ellipsoid(centre, toy.head * np.array([0.90, 0.82, 0.80])), rgb(toy.colour), "head")
    dabs = [*_body(toy), head, *_ears(toy, centre), *_snout(toy, centre)]
    solid, colours, numbers = soft_body(dabs, blend=SEAM, cell=CELL)
    _patterned(toy, solid.points, colours, numbers)
    fur = None
    if toy.fur:
        fur = Fur(330 / toy.fur, 0.16 * toy.fur, 0.014, 0.55, (0, -1, 0.2), 0.015, middles(dabs), 0.12)
    return [Part(solid, colours, numbers, 0.85, 0.0, fur), *_face(toy, centre), *_tie(toy, centre)]
