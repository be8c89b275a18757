"""Dogs: seven builds and everything between, each dog from its seed."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from onephoto.world.names import thing_name
from onephoto.world.sculpt import Lump, chain, ellipsoid
from onephoto.world.skin import linear
from onephoto.world.solids import ball, tube
from onephoto.world.thing_parts import NUMBERS, Dab, Feature, Fur, Part, by_size, middles, part, rgb, soft_body

KIND = "dog"
POSES = ("standing", "sitting")
COATS = ("brown", "black", "white", "golden", "grey", "beige", "dark brown")
COLLARS = ("red", "blue", "green", "yellow", "purple", "pink", "orange", "black")
MARKS = ("plain", "chest", "spots", "patches", "saddle", "mask", "paws")
MARK_ODDS = (0.22, 0.16, 0.14, 0.14, 0.14, 0.10, 0.10)
BLACK, DARK_EYE, WHITE = linear((18, 15, 15)), linear((34, 20, 14)), linear((240, 240, 238))
TONGUE = linear((206, 96, 104))
CELL, FLOW = 0.07, 0.18
CLOSE = ("head", "mask", "legs", "paws")
"""Where a long coat is shorter."""


@dataclass(frozen=True)
class Build:
    """The build of a kind of dog: height of the legs, length and girth of the body, size of the head, length of the
    muzzle; `ears` "floppy" or "pointed", `tail` "long", "curled" or "short", `coat` "short", "long" or "curly".
    """

    legs: float
    length: float
    girth: float
    head: float
    muzzle: float
    ears: str
    tail: str
    coat: str
    colours: tuple[str, ...]


BUILDS: Mapping[str, Build] = MappingProxyType(
    {
        "short-legged dog": Build(0.55, 2.9, 0.58, 0.60, 0.62, "floppy", "long", "short", COATS),
        "shaggy dog": Build(1.15, 2.1, 0.72, 0.74, 0.42, "floppy", "long", "long", COATS),
        "sheepdog": Build(1.45, 2.5, 0.68, 0.66, 0.62, "pointed", "long", "long", ("black", "brown", "grey", "golden")),
        "hound": Build(1.75, 2.5, 0.60, 0.62, 0.66, "floppy", "long", "short", COATS),
        "poodle": Build(1.50, 2.0, 0.62, 0.66, 0.55, "floppy", "short", "curly", ("white", "black", "grey", "beige")),
        "terrier": Build(1.05, 1.9, 0.56, 0.62, 0.45, "pointed", "short", "short", COATS),
        "spitz": Build(1.10, 1.8, 0.78, 0.66, 0.42, "pointed", "curled", "long", ("white", "golden", "black", "beige")),
    }
)


@dataclass(frozen=True)
class Dog:
    """A dog: `build` of BUILDS and its proportions after it in decimetres; `mark` of MARKS in the colour `second`;
    `collar` a colour or None. `ears` and `fur` are amounts about 1, `seed` also places spots and hair.
    """

    seed: int
    name: str | None
    build: str
    colour: str
    second: str
    mark: str
    collar: str | None
    legs: float
    length: float
    girth: float
    head: float
    muzzle: float
    ears: float
    fur: float

    kind = KIND

    @property
    def form(self) -> str:
        """The closer word for it."""
        return self.build


def dog(seed: int) -> Dog:
    """Draw the dog of a seed."""
    rng = np.random.default_rng([seed, 401])
    word = str(rng.choice(list(BUILDS)))
    build = BUILDS[word]
    colour = str(rng.choice(build.colours))
    others = ("black", "dark brown", "brown", "grey") if colour in ("white", "beige", "golden") else ("white", "beige")
    vary = rng.uniform(0.85, 1.18, 7)
    return Dog(
        seed=seed,
        name=thing_name(KIND, seed),
        build=word,
        colour=colour,
        second=str(rng.choice([other for other in others if other != colour])),
        mark=str(rng.choice(MARKS, p=MARK_ODDS)),
        collar=str(rng.choice(COLLARS)) if rng.random() < 0.45 else None,
        legs=float(1.2 * build.legs * vary[0]),
        length=float(build.length * vary[1]),
        girth=float(build.girth * vary[2]),
        head=float(build.head * vary[3]),
        muzzle=float(build.muzzle * vary[4]),
        ears=float(vary[5]),
        fur=float(vary[6]),
    )


def features(one: Dog) -> list[Feature]:
    """What can be said of its shape and coat."""
    build = BUILDS[one.build]
    parts = {"chest": "chest", "mask": "mask", "paws": "paws"}
    found = [Feature(one.mark, parts.get(one.mark, "markings"), one.second)] if one.mark != "plain" else []
    found += [Feature(f"{build.ears} ears", "ears"), Feature(f"{build.coat} fur", KIND)]
    found += [Feature(f"{build.tail} tail", "tail")]
    found += [Feature("collar", "collar", one.collar)] if one.collar else []
    found += by_size(one.legs, (0.9, 1.8), ("short legs", "long legs"), "legs")
    return found + by_size(one.muzzle, (0.44, 0.60), ("short nose", "long nose"), "head")


@dataclass(frozen=True)
class Stance:
    """Where a pose puts the joints (3,): hips, chest and head; the paws of fore and hind legs, at x to the left."""

    hips: NDArray
    chest: NDArray
    head: NDArray
    fore: NDArray
    hind: NDArray


def _stance(one: Dog, pose: str) -> Stance:
    body, neck = one.length - 0.6, 0.55 + 0.12 * one.legs
    if pose == "sitting":
        chest = np.array([0, one.legs + 0.55 * one.girth + 0.35, 0.32 * body])
        return Stance(
            hips=np.array([0, 0.75 * one.girth, -0.32 * body]),
            chest=chest,
            head=chest + np.array([0, neck + 0.35 * one.girth + 0.1, 0.30]),
            fore=np.array([0.42 * one.girth, 0.1, 0.32 * body + 0.25]),
            hind=np.array([0.95 * one.girth, 0.12, 0.10 * body]),
        )
    height = one.legs + 0.45 * one.girth
    chest = np.array([0, height, 0.5 * body])
    return Stance(
        hips=np.array([0, height + 0.03, -0.5 * body]),
        chest=chest,
        head=chest + np.array([0, neck + 0.45 * one.girth, 0.62]),
        fore=np.array([0.48 * one.girth, 0.1, 0.5 * body]),
        hind=np.array([0.50 * one.girth, 0.1, -0.52 * body]),
    )


def _torso(one: Dog, stance: Stance, colour: NDArray) -> list[Dab]:
    """Chest, belly, hips and neck."""
    girth = one.girth
    middle = 0.5 * (stance.chest + stance.hips) + np.array([0, 0.04, 0])
    dabs = [Dab(lump, colour, KIND) for lump in chain(
        [stance.chest, middle, stance.hips], (girth, 0.84 * girth, 0.86 * girth))]  # fmt: skip
    neck = 0.55 * one.head + 0.12 * girth
    dabs.append(Dab(Lump(stance.chest + np.array([0, 0.25 * girth, 0.12]), stance.head, (0.72 * girth, neck)),
                    colour, KIND))  # fmt: skip
    if one.mark == "chest":
        front = stance.chest + np.array([0, 0.0, 0.28 * girth])
        dabs.append(Dab(ellipsoid(front, (0.66 * girth, 1.0 * girth, 0.80 * girth)), rgb(one.second), "chest"))
    return dabs


def _legs(one: Dog, stance: Stance, pose: str, colour: NDArray) -> list[Dab]:
    """Four legs with their paws."""
    thick, dabs = 0.10 + 0.11 * one.girth, []
    sole = rgb(one.second) if one.mark == "paws" else colour
    for side in (-1, 1):
        mirror = np.array([side, 1, 1])
        paw, back = stance.fore * mirror, stance.hind * mirror
        shoulder = np.array([side * 0.5 * one.girth, stance.chest[1] - 0.15 * one.girth, stance.chest[2]])
        elbow = 0.5 * (shoulder + paw) + np.array([0, 0.05, -0.08])
        limbs = chain([shoulder, elbow, paw], (1.5 * thick, thick, 0.85 * thick))
        thigh = np.array([side * 0.5 * one.girth, stance.hips[1] - 0.05, stance.hips[2]])
        if pose == "sitting":
            knee = thigh + np.array([side * 0.35 * one.girth, 0.25, 0.35 * one.length])
            limbs += chain([thigh, knee, back], (2.0 * thick, 1.5 * thick, 0.9 * thick))
        else:
            knee = thigh * (1, 0.55, 1) + np.array([0, 0, 0.10])
            hock = np.array([back[0], 0.42 * one.legs, back[2] - 0.16])
            limbs += chain([thigh, knee, hock, back], (2.1 * thick, 1.35 * thick, 0.85 * thick, 0.85 * thick))
        dabs += [Dab(lump, colour, "legs") for lump in limbs]
        for place in (paw, back):
            toes = ellipsoid(place + np.array([0, 0.0, 0.10]), (0.95 * thick, 0.8 * thick, 1.25 * thick))
            dabs.append(Dab(toes, sole, "paws"))
            if one.mark == "paws":
                dabs.append(Dab(Lump(place, place + np.array([0, 0.25, 0]), (thick, thick)), sole, "paws"))
    return dabs


def _head(one: Dog, stance: Stance, colour: NDArray) -> list[Dab]:
    """Skull, brow, muzzle and jaw."""
    r, centre, snout = one.head, stance.head, rgb(one.second) if one.mark == "mask" else colour
    name = "mask" if one.mark == "mask" else "head"
    start, tip = centre + r * np.array([0, -0.15, 0.45]), centre + np.array([0, -0.30 * r, 0.75 * r + one.muzzle])
    return [
        Dab(ellipsoid(centre, r * np.array([0.95, 0.86, 0.98])), colour, "head"),
        Dab(Lump(start, tip, (0.55 * r, 0.34 * r), (1, 0.85, 1)), snout, name),
        Dab(Lump(start + np.array([0, -0.22 * r, 0]), tip + np.array([0, -0.22 * r, -0.12]), (0.40 * r, 0.22 * r)),
            snout, name),
        *(Dab(ellipsoid(centre + r * np.array([s * 0.52, -0.30, 0.35]), r * np.array([0.42, 0.42, 0.45])), snout, name)
          for s in (-1, 1)),
    ]  # fmt: skip


def _ears(one: Dog, stance: Stance, colour: NDArray) -> list[Dab]:
    """Ears that hang beside the head or stand upon it."""
    r, size, dabs = one.head, one.ears, []
    for side in (-1, 1):
        if BUILDS[one.build].ears == "pointed":
            root = stance.head + r * np.array([side * 0.52, 0.62, -0.10])
            tip = root + r * size * np.array([side * 0.22, 0.95, 0.0])
            dabs.append(Dab(Lump(root, tip, (0.34 * r, 0.04), (1, 1, 0.6)), colour, "ears"))
        else:
            root = stance.head + r * np.array([side * 0.78, 0.45, -0.05])
            bend = root + r * np.array([side * 0.30, -0.15, 0.05])
            tip = bend + r * size * np.array([side * 0.08, -0.95, 0.10])
            dabs += [Dab(Lump(root, bend, (0.18 * r, 0.20 * r)), colour, "ears"),
                     Dab(Lump(bend, tip, (0.24 * r, 0.30 * r), (0.5, 1, 1)), colour, "ears")]  # fmt: skip
    return dabs


def _tail(one: Dog, stance: Stance, pose: str, colour: NDArray) -> list[Dab]:
    """The tail behind the hips."""
    root = stance.hips + np.array([0, 0.45 * one.girth, -0.72 * one.girth])
    if pose == "sitting":
        root = stance.hips + np.array([0.1, -0.35 * one.girth, -0.70 * one.girth])
    shapes = {
        "long": [(0, 0, 0), (0.05, 0.15, -0.45), (0.12, 0.50, -0.80), (0.2, 1.0, -0.95)],
        "curled": [(0, 0, 0), (0, 0.45, -0.15), (0.05, 0.68, 0.20), (0.1, 0.48, 0.48)],
        "short": [(0, 0, 0), (0, 0.18, -0.14), (0, 0.34, -0.20)],
    }
    path = root + np.array(shapes[BUILDS[one.build].tail])
    if pose == "sitting":
        path[:, 1] = np.maximum(path[:, 1] * 0.6, 0.14)
    return [Dab(lump, colour, "tail") for lump in chain(path, np.linspace(0.17, 0.09, len(path)).tolist())]


def _marked(one: Dog, stance: Stance, points: NDArray, colours: NDArray, numbers: NDArray) -> None:
    """Paint spots, patches or a saddle in the second colour."""
    rng = np.random.default_rng([one.seed, 402])
    if one.mark == "saddle":
        line = stance.hips - stance.chest
        above = (points - 0.5 * (stance.chest + stance.hips)) @ np.array([0, 1, 0]) - 0.2 * one.girth
        along = (points - stance.chest) @ line / (line @ line)
        wave = 0.10 * np.sin(4 * points[:, 2] + one.seed)
        marked = (above > wave) & (along > 0.0) & (along < 1.15) & (points[:, 2] < stance.head[2] - 0.5 * one.head)
    elif one.mark in ("spots", "patches"):
        count, radius = (46, 0.15) if one.mark == "spots" else (6, 0.58)
        centres = points[rng.choice(len(points), count)]
        reach = radius * rng.uniform(0.6, 1.25, count)
        marked = (np.linalg.norm(points[:, None] - centres[None], axis=2) < reach).any(1)
    else:
        return
    colours[marked] = rgb(one.second)
    numbers[marked] = NUMBERS["markings"]


def _face(one: Dog, stance: Stance) -> list[Part]:
    """Eyes, nose, mouth."""
    r, centre = one.head, stance.head
    tip = centre + np.array([0, -0.14 * r, 0.75 * r + one.muzzle + 0.26 * r])
    lift = 1.0 if BUILDS[one.build].coat == "short" else 1.06
    parts = [part(ball(tip, r * np.array([0.21, 0.16, 0.15])), BLACK, "nose", roughness=0.25)]
    for side in (-1, 1):
        eye = centre + lift * r * np.array([side * 0.40, 0.20, 0.85])
        parts += [part(ball(eye, 0.145 * r), DARK_EYE, "eyes", roughness=0.15, gloss=0.06),
                  part(ball(eye + r * np.array([0.04, 0.06, 0.115]), 0.038 * r), WHITE, "eyes")]  # fmt: skip
    mouth = [tip + r * np.array([x, -0.30 - 0.25 * abs(x), -0.10 - 0.9 * x * x]) for x in np.linspace(-0.35, 0.35, 9)]
    parts.append(part(tube(mouth, 0.022), BLACK, "head", roughness=0.7))
    if one.seed % 3 == 0:
        hanging = ball(tip + r * np.array([0, -0.52, -0.10]), r * np.array([0.15, 0.24, 0.06]))
        parts.append(part(hanging, TONGUE, "head", roughness=0.4))
    return parts


def _collar(one: Dog, stance: Stance) -> list[Part]:
    """A ring about the neck with a tag."""
    if one.collar is None:
        return []
    low = stance.chest + np.array([0, 0.25 * one.girth, 0.12])
    axis = stance.head - low
    middle, turn = low + 0.50 * axis, axis / np.linalg.norm(axis)
    radius = 0.5 * (0.72 * one.girth + 0.55 * one.head + 0.12 * one.girth) + (
        0.04 if BUILDS[one.build].coat == "short" else 0.12)  # fmt: skip
    front = np.cross((1.0, 0, 0), turn)
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)[:, None]
    ring = middle + radius * (np.sin(angle) * np.array([1.0, 0, 0]) + np.cos(angle) * front)
    tag = ball(middle + radius * front * (1 if front[2] > 0 else -1) + np.array([0, -0.12, 0.08]), (0.09, 0.11, 0.03))
    return [part(tube(ring, 0.085, closed=True), rgb(one.collar), "collar", roughness=0.5),
            part(tag, linear((214, 170, 80)), "collar", roughness=0.3, gloss=0.2)]  # fmt: skip


def _fur(one: Dog, dabs: list[Dab]) -> Fur:
    """The coat."""
    along, centres = (0, -0.7, -1.0), middles(dabs)
    coats = {
        "short": Fur(420, 0.07 * one.fur, 0.012, 0.85, along, 0.0, centres, 0.30),
        "long": Fur(250, 0.28 * one.fur, 0.014, 0.82, along, 0.012, centres, 0.30, CLOSE),
        "curly": Fur(330, 0.18 * one.fur, 0.016, 0.35, along, 0.05, centres, 0.15, CLOSE),
    }
    return coats[BUILDS[one.build].coat]


def parts_of(one: Dog, pose: str) -> list[Part]:
    """The dog on the ground at height 0, looking along z, in a pose of POSES."""
    stance, colour = _stance(one, pose), rgb(one.colour)
    dabs = [*_torso(one, stance, colour), *_legs(one, stance, pose, colour), *_head(one, stance, colour),
            *_ears(one, stance, colour), *_tail(one, stance, pose, colour)]  # fmt: skip
    solid, colours, numbers = soft_body(dabs, blend=FLOW, cell=CELL)
    _marked(one, stance, solid.points, colours, numbers)
    body = Part(solid, colours, numbers, 0.8, 0.0, _fur(one, dabs))
    return [body, *_face(one, stance), *_collar(one, stance)]
