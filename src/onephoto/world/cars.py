"""Cars: six bodies and everything between, each car from its seed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onephoto.world.body import rotation
from onephoto.world.names import thing_name
from onephoto.world.skin import linear
from onephoto.world.solids import Array, Solid, ball, box, joined, surface, tube, turned
from onephoto.world.thing_parts import NUMBERS, Feature, Part, by_size, part, rgb

KIND = "car"
COLOURS = ("red", "blue", "green", "yellow", "white", "black", "grey", "orange", "purple", "teal", "silver", "navy",
           "light blue", "pink", "beige", "brown")  # fmt: skip
PATTERNS = ("plain", "roof", "one stripe", "lower half")
PATTERN_ODDS = (0.5, 0.18, 0.18, 0.14)
GLASS, TYRE, DARK = linear((52, 64, 76)), linear((26, 26, 28)), linear((20, 20, 22))
CHROME, LAMP, TAIL, PLATE = (
    linear((196, 200, 204)),
    linear((246, 244, 226)),
    linear((190, 20, 24)),
    linear((236, 236, 230)),
)
HEIGHT_OF_SILL = 0.30
"""Decimetres from the ground to the body."""


@dataclass(frozen=True)
class Body:
    """A kind of body, lengths in decimetres (a car is about 5 long): `length`, `width`, `belt` height of bonnet and
    doors, `roof` height; where along the body (-1 rear to 1 front) the windows end at the belt (`rear`, `front`) and
    at the roof (`rear_top`, `front_top`); how much the bonnet and the boot slope down (`nose`, `tail`); wheel radius;
    `square` is the exponent of its sections, 2 round to 8 boxy.
    """

    length: float
    width: float
    belt: float
    roof: float
    rear: float
    front: float
    rear_top: float
    front_top: float
    nose: float
    tail: float
    wheel: float
    square: float


BODIES: Mapping[str, Body] = MappingProxyType(
    {
        "small car": Body(3.7, 1.72, 1.02, 1.62, -0.92, 0.52, -0.72, 0.14, 0.20, 0.02, 0.36, 4.0),
        "sedan": Body(4.8, 1.84, 1.00, 1.52, -0.66, 0.44, -0.40, 0.10, 0.14, 0.08, 0.38, 4.5),
        "sports car": Body(4.5, 1.96, 0.86, 1.26, -0.62, 0.30, -0.26, 0.00, 0.30, 0.05, 0.40, 3.2),
        "van": Body(4.7, 1.92, 1.15, 2.10, -0.98, 0.80, -0.93, 0.56, 0.15, 0.00, 0.38, 6.0),
        "pickup": Body(5.2, 1.92, 1.12, 1.78, -0.10, 0.46, -0.04, 0.20, 0.08, 0.00, 0.46, 5.5),
        "off-road car": Body(4.1, 1.88, 1.22, 1.92, -0.94, 0.36, -0.90, 0.26, 0.05, 0.00, 0.48, 7.0),
    }
)


@dataclass(frozen=True)
class Car:
    """A car: `body` of BODIES and its proportions after it; `pattern` of PATTERNS in the colour `second`.

    `lamps` "round" or "square"; `spokes` of the wheels; `extra` "luggage", "spoiler", "spare wheel" or None.
    """

    seed: int
    name: str | None
    body: str
    colour: str
    second: str
    pattern: str
    lamps: str
    spokes: int
    extra: str | None
    length: float
    width: float
    belt: float
    roof: float
    wheel: float
    nose: float
    square: float
    slant: float

    kind = KIND

    @property
    def form(self) -> str:
        """The closer word for it."""
        return self.body


def car(seed: int) -> Car:
    """Draw the car of a seed."""
    rng = np.random.default_rng([seed, 301])
    word = str(rng.choice(list(BODIES)))
    body = BODIES[word]
    colour = str(rng.choice(COLOURS))
    pale = colour in ("white", "yellow", "silver", "light blue", "beige", "pink")
    second = ("black", "red", "navy", "blue") if pale else ("white", "black", "silver", "yellow")
    extras = {"van": "luggage", "off-road car": "spare wheel", "sports car": "spoiler", "small car": "luggage"}
    vary = rng.uniform(-1, 1, 8)
    return Car(
        seed=seed,
        name=thing_name(KIND, seed),
        body=word,
        colour=colour,
        second=str(rng.choice([other for other in second if other != colour])),
        pattern=str(rng.choice(PATTERNS, p=PATTERN_ODDS)),
        lamps=str(rng.choice(("round", "square"))),
        spokes=int(rng.integers(4, 9)),
        extra=extras.get(word) if rng.random() < 0.45 else None,
        length=float(body.length * (1 + 0.09 * vary[0])),
        width=float(body.width * (1 + 0.05 * vary[1])),
        belt=float(body.belt * (1 + 0.06 * vary[2])),
        roof=float(body.roof * (1 + 0.06 * vary[3])),
        wheel=float(body.wheel * (1 + 0.14 * vary[4])),
        nose=float(max(0.02, body.nose + 0.08 * vary[5])),
        square=float(body.square * (1 + 0.3 * vary[6])),
        slant=float(0.07 * vary[7]),
    )


def features(one: Car) -> list[Feature]:
    """What can be said of its shape and paint."""
    parts = {"roof": "roof", "one stripe": "stripe", "lower half": "sides"}
    found = [Feature(one.pattern, parts[one.pattern], one.second)] if one.pattern != "plain" else []
    found += [Feature(one.extra, one.extra)] if one.extra else []
    found.append(Feature(f"{one.lamps} lights", "lights"))
    wheel, length = one.wheel / BODIES[one.body].wheel, one.length / BODIES[one.body].length
    found += by_size(wheel, (0.92, 1.08), ("small wheels", "big wheels"), "wheels")
    return found + by_size(length, (0.95, 1.05), ("short", "long"), KIND)


def _rounded(angle: Array, exponent: float) -> tuple[Array, Array]:
    """A superellipse: round at exponent 2, boxy at 8."""
    c, s = np.cos(angle), np.sin(angle)
    return np.sign(c) * np.abs(c) ** (2 / exponent), np.sign(s) * np.abs(s) ** (2 / exponent)


def _ends(along: Array, roundness: float) -> Array:
    """Width along the body in [-1, 1], as a share: drawn in at both ends."""
    return (1 - np.minimum(np.abs(along), 1) ** 18) ** 0.35 * (1 - roundness * along**2)


def _skin(one: Car, x: Array, y: Array, along: Array) -> Array:
    """Places (n,3) of the body below the windows: x and y in [-1, 1] on a section, `along` from tail to nose."""
    body = BODIES[one.body]
    bonnet = np.clip((along - body.front + 0.15) / (1.15 - body.front), 0, 1)
    boot = np.clip((body.rear + 0.15 - along) / (1.15 + body.rear), 0, 1)
    half = 0.5 * (one.belt - one.nose * bonnet**1.5 - body.tail * boot**1.5 - HEIGHT_OF_SILL)
    narrow = _ends(along, 0.10)
    return np.stack([0.5 * one.width * narrow * x * (1 - 0.05 * np.maximum(y, 0)),
                     HEIGHT_OF_SILL + half + half * y * (0.35 + 0.65 * narrow),
                     0.5 * one.length * along], 1)  # fmt: skip


def _lower(one: Car) -> Callable[[Array, Array], Array]:
    """The body below the windows: u goes around it, v from tail to nose."""

    def place(u: Array, v: Array) -> Array:
        x, y = _rounded(2 * np.pi * u, one.square)
        return _skin(one, x, y, np.sin(np.pi * (v - 0.5)))

    return place


def _stripe(one: Car) -> Solid:
    """A band over bonnet and boot, just above the body."""

    def place(u: Array, v: Array) -> Array:
        x = 0.28 * (2 * u - 1)
        y = (1 - np.abs(x) ** one.square) ** (1 / one.square)
        return _skin(one, x, y, 0.995 * np.sin(np.pi * (v - 0.5))) + np.array([0, 0.008, 0])

    return surface(place, 9, 40, wrap=False)


def _cabin(one: Car, *, swell: float = 1.0) -> Callable[[Array, Array], Array]:
    """The part with windows: u goes around it (from the right side to the front), v from belt to roof."""
    body = BODIES[one.body]
    low, high = one.belt - 0.06, one.roof

    def place(u: Array, v: Array) -> Array:
        x, z = _rounded(2 * np.pi * u, 5.0)
        front = (1 - v) * body.front + v * (body.front_top + one.slant)
        rear = (1 - v) * body.rear + v * body.rear_top
        middle, half = 0.5 * (front + rear), 0.5 * (front - rear)
        wide = 0.5 * one.width * (0.93 - 0.17 * v**1.5) * swell
        return np.stack([wide * x, low + (high - low) * v, 0.5 * one.length * (middle + half * z * swell)], 1)

    return place


def _patch(place: Callable[[Array, Array], Array], u: tuple[float, float], v: tuple[float, float]) -> Solid:
    """A part of a surface, from and to these u and v."""
    return surface(lambda a, b: place(u[0] + a * (u[1] - u[0]), v[0] + b * (v[1] - v[0])), 14, 6, wrap=False)


def _windows(one: Car) -> Solid:
    """Windscreen, rear window and the side windows between pillars."""
    glass = _cabin(one, swell=1.012)
    rows = (0.16, 0.88)
    side = [(0.885, 0.995), (0.005, 0.115)] if one.body != "pickup" else [(0.89, 1.11)]
    panes = [_patch(glass, (a, b), rows) for a, b in side]
    panes += [_patch(glass, (0.5 - b, 0.5 - a), rows) for a, b in side]
    panes += [_patch(glass, (0.135, 0.365), rows), _patch(glass, (0.635, 0.865), rows)]
    return joined(*panes)


def _roof(one: Car) -> Solid:
    """The roof, a little domed."""
    edge = _cabin(one)

    def place(u: Array, v: Array) -> Array:
        rim = edge(u, np.ones_like(u))
        middle = rim.mean(0)
        return middle + (rim - middle) * v[:, None] + np.array([0, 0.07, 0]) * (1 - v[:, None] ** 3)

    return surface(place, 48, 8)


def _roof_stripe(one: Car) -> Solid:
    """The band over the roof."""
    body = BODIES[one.body]
    ends = 0.5 * one.length * np.array([body.rear_top, body.front_top + one.slant])

    def place(u: Array, v: Array) -> Array:
        return np.stack([0.14 * one.width * (2 * u - 1), one.roof + 0.082 - 0.06 * (2 * v - 1) ** 4,
                         ends[0] + (ends[1] - ends[0]) * v], 1)  # fmt: skip

    return surface(place, 5, 14, wrap=False)


def _wheel(one: Car) -> tuple[Solid, Solid]:
    """Tyre and rim about the origin, its outer face along x."""
    r = one.wheel
    side = rotation((0, 0, 1), -np.pi / 2)
    tyre = turned([(0.64 * r, -0.2), (0.92 * r, -0.2), (r, -0.13), (r, 0.03), (0.94 * r, 0.1), (0.66 * r, 0.1),
                   (0.62 * r, 0.04)])  # fmt: skip
    hub = turned([(0.0, 0.08), (0.18 * r, 0.08), (0.2 * r, 0.03)])
    ring = turned([(0.56 * r, 0.03), (0.66 * r, 0.09), (0.66 * r, 0.03)])
    turn = 2 * np.pi * np.arange(one.spokes) / one.spokes
    ends = 0.62 * r * np.stack([np.cos(turn), 0 * turn, np.sin(turn)], 1) + np.array([0, 0.05, 0])
    spokes = [tube([(0, 0.05, 0), end], 0.6 * r / one.spokes, sides=5) for end in ends]
    return tyre.moved(side, (0, 0, 0)), joined(hub, ring, *spokes).moved(side, (0, 0, 0))


def _half_turned(profile: ArrayLike) -> Solid:
    """The upper half of a shape turned about the x axis: profile (n,2) of radius and x."""
    line = np.asarray(profile, float)

    def place(u: Array, v: Array) -> Array:
        angle = np.pi * (1.1 * u - 0.05)
        step = v * (len(line) - 1)
        radius, x = (np.interp(step, np.arange(len(line)), column) for column in line.T)
        return np.stack([x, radius * np.sin(angle), radius * np.cos(angle)], 1)

    return surface(place, 25, len(line), wrap=False)


def _wheels(one: Car) -> list[Part]:
    """Four wheels under dark arches in mudguards."""
    tyre, rim = _wheel(one)
    flat = rotation((0, 0, 1), -np.pi / 2)
    well = turned([(0.0, 0.0), (0.62 * one.wheel, 0.0)]).moved(flat, (0, 0, 0))
    r, split = one.wheel, one.pattern == "lower half"
    guard, name = rgb(one.second if split else one.colour), "sides" if split else KIND
    arch = _half_turned([(0.0, 0.012), (1.14 * r, 0.012)])
    guards = _half_turned([(1.1 * r, 0.008), (1.22 * r, 0.0), (1.30 * r, -0.06), (1.30 * r, -0.5), (0.0, -0.5)])
    parts = []
    for side in (-1, 1):
        turn = np.eye(3) if side > 0 else rotation((0, 1, 0), np.pi)
        for along in (-0.60, 0.63):
            x = side * 0.5 * one.width * float(_ends(np.array(along), 0.10))
            place = np.array([x, one.wheel, 0.5 * one.length * along])
            parts += [
                part(guards.moved(turn, place), guard, name, roughness=0.25, gloss=0.06),
                part(arch.moved(turn, place), DARK, "wheels", roughness=0.9, gloss=0.0),
                part(tyre.moved(turn, place), TYRE, "wheels", roughness=0.8),
                part(well.moved(turn, place), DARK, "wheels", roughness=0.9, gloss=0.0),
                part(rim.moved(turn, place), CHROME, "wheels", roughness=0.3, gloss=0.15),
            ]
    return parts


def _lamp(one: Car, place: ArrayLike, size: float) -> Solid:
    """A round or a square lamp."""
    if one.lamps == "round":
        return ball(place, (size, size, 0.4 * size))
    return box((1.35 * size, 0.62 * size, 0.3 * size)).moved(np.eye(3), place)


def _face(one: Car) -> list[Part]:
    """Lamps, grille, bumpers, plates."""
    nose, tail = 0.5 * one.length, -0.5 * one.length
    height = 0.5 * (HEIGHT_OF_SILL + one.belt - one.nose) + 0.10
    wide, size = 0.36 * one.width, 0.13 * one.width / 1.8
    rear = 0.5 * (HEIGHT_OF_SILL + one.belt) + 0.06
    lamps = [_lamp(one, (s * wide, height, 0.975 * nose), size) for s in (-1, 1)]
    lights = [box((0.10, 0.15, 0.05)).moved(np.eye(3), (s * (wide - 0.08), rear, 0.985 * tail)) for s in (-1, 1)]
    grille = box((0.20 * one.width, 0.09, 0.04)).moved(np.eye(3), (0, height - 0.02, nose - 0.02))
    bumpers = [box((0.46 * one.width, 0.085, 0.08)).moved(np.eye(3), (0, HEIGHT_OF_SILL + 0.11, z))
               for z in (nose - 0.05, tail + 0.05)]  # fmt: skip
    plates = [box((0.24, 0.06, 0.02)).moved(np.eye(3), (0, HEIGHT_OF_SILL + 0.12 + d, z))
              for z, d in ((nose + 0.03, 0.0), (tail - 0.01, 0.30))]  # fmt: skip
    return [part(joined(*lamps), LAMP, "lights", roughness=0.2, gloss=0.1),
            part(joined(*lights), TAIL, "lights", roughness=0.3, gloss=0.06),
            part(grille, DARK, KIND, roughness=0.5),
            part(joined(*bumpers), CHROME if one.seed % 2 else DARK, KIND, roughness=0.4, gloss=0.08),
            part(joined(*plates), PLATE, KIND, roughness=0.6)]  # fmt: skip


def _doors(one: Car) -> list[Part]:
    """Lines of the doors, handles and mirrors."""
    body, lines, handles = BODIES[one.body], [], []
    places = [body.front - 0.10, 0.5 * (body.front + max(body.rear, -0.6)) - 0.05]
    for side in (-1, 1):
        for along in places:
            x = side * (0.5 * one.width * float(_ends(np.array(along), 0.10)) + 0.004)
            z = 0.5 * one.length * along
            lines.append(tube([(x, HEIGHT_OF_SILL + 0.16, z), (x, one.belt - 0.13, z)], 0.014, sides=5))
            handles.append(box((0.02, 0.025, 0.09)).moved(np.eye(3), (x, one.belt - 0.24, z - 0.22)))
    mirrors = [ball((s * (0.47 * one.width + 0.06), one.belt + 0.06, 0.5 * one.length * (body.front - 0.06)),
                    (0.12, 0.085, 0.06)) for s in (-1, 1)]  # fmt: skip
    return [part(joined(*lines), DARK, KIND, roughness=0.8, gloss=0.0),
            part(joined(*handles), CHROME, KIND, roughness=0.3, gloss=0.15),
            part(joined(*mirrors), rgb(one.colour), KIND, roughness=0.3)]  # fmt: skip


def _extra(one: Car) -> list[Part]:
    """Luggage on the roof, a wing, or a wheel on the tail."""
    body = BODIES[one.body]
    if one.extra == "luggage":
        middle = 0.25 * one.length * (body.rear_top + body.front_top)
        bars = [tube([(-0.6, one.roof + 0.10, middle + z), (0.6, one.roof + 0.10, middle + z)], 0.035)
                for z in (-0.5, 0.5)]  # fmt: skip
        cases = [box((0.45, 0.15, 0.30)).moved(np.eye(3), (0, one.roof + 0.30, middle - 0.35)),
                 box((0.32, 0.11, 0.25)).moved(np.eye(3), (0.1, one.roof + 0.26, middle + 0.35))]  # fmt: skip
        return [part(joined(*bars), DARK, "luggage"), part(cases[0], linear((120, 76, 44)), "luggage"),
                part(cases[1], linear((172, 60, 48)), "luggage")]  # fmt: skip
    z = -0.5 * one.length
    if one.extra == "spoiler":
        wing = box((0.46 * one.width, 0.025, 0.14)).moved(np.eye(3), (0, one.belt + 0.26, z + 0.22))
        posts = [box((0.03, 0.15, 0.06)).moved(np.eye(3), (s * 0.55, one.belt + 0.12, z + 0.24)) for s in (-1, 1)]
        return [part(joined(wing, *posts), rgb(one.second), "spoiler", roughness=0.3)]
    if one.extra == "spare wheel":
        back = rotation((0, 1, 0), np.pi / 2)
        return [part(solid.moved(back, (0, one.belt - 0.15, z - 0.16)), colour, "spare wheel", roughness=rough)
                for solid, colour, rough in zip(_wheel(one), (TYRE, CHROME), (0.8, 0.3), strict=True)]  # fmt: skip
    return []


def _bed(one: Car) -> list[Part]:
    """The open bed of a pickup."""
    if one.body != "pickup":
        return []
    inside = box((0.40 * one.width, 0.01, 0.19 * one.length)).moved(
        np.eye(3), (0, one.belt + 0.004, -0.29 * one.length)
    )
    return [part(inside, DARK, KIND, roughness=0.9, gloss=0.0)]


def _painted(one: Car, solid: Solid) -> tuple[NDArray, NDArray]:
    """Colours (V,3) and numbers (V,) of the body or roof in the car's pattern."""
    colours = np.tile(rgb(one.colour), (len(solid.points), 1))
    numbers = np.full(len(solid.points), NUMBERS[KIND], np.uint8)
    middle = 0.5 * (HEIGHT_OF_SILL + one.belt)
    if one.pattern == "lower half":
        marked = solid.points[:, 1] < middle
        colours[marked], numbers[marked] = rgb(one.second), NUMBERS["sides"]
    return colours, numbers


def parts_of(one: Car, pose: str) -> list[Part]:
    """The car on the ground at height 0, its nose along z."""
    lower, roof = surface(_lower(one), 96, 44), _roof(one)
    tails = joined(*(Solid(*_cap(one, end)) for end in (0.0, 1.0)))
    cabin = surface(_cabin(one), 72, 8)
    parts = [Part(solid, *_painted(one, solid), 0.25, 0.06) for solid in (lower, tails)]
    top = rgb(one.second) if one.pattern == "roof" else rgb(one.colour)
    roof_part = Part(roof, *_painted(one, roof), 0.25, 0.06)
    if one.pattern == "roof":
        roof_part = part(roof, top, "roof", roughness=0.25, gloss=0.06)
    parts += [part(cabin, top, "roof" if one.pattern == "roof" else KIND, roughness=0.25, gloss=0.06), roof_part]
    if one.pattern == "one stripe":
        parts.append(
            part(joined(_stripe(one), _roof_stripe(one)), rgb(one.second), "stripe", roughness=0.25, gloss=0.06)
        )
    parts.append(part(_windows(one), GLASS, "windows", roughness=0.15, gloss=0.12))
    return [*parts, *_wheels(one), *_face(one), *_doors(one), *_bed(one), *_extra(one)]


def _cap(one: Car, end: float) -> tuple[Array, NDArray[np.int32]]:
    """A fan that closes the body at tail or nose."""
    count = 96
    rim = _lower(one)(np.arange(count) / count, np.full(count, end))
    place = np.arange(count)
    triangles = np.stack([np.full(count, count), place, (place + 1) % count], 1).astype(np.int32)
    return np.concatenate([rim, rim.mean(0)[None]]), triangles
