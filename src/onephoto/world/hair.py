"""Hair styles and beards: what each asks of its guide strands, and all the strands of a person."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onephoto.world.drawing import Material
from onephoto.world.people import Beard, Hair, Person
from onephoto.world.skin import beard_colour, beard_mask, hair_colour, scalp_mask, smoothstep
from onephoto.world.strands import POINTS, Array, Growth, Roots, Style, Surface, Tips, strands_of, unit

WIDTH = 0.0135
BEARD_WIDTH = 0.0065
"""Half widths of strands at their thickest."""
SIDEWAYS, UP, FORWARD = np.eye(3)


@dataclass(frozen=True)
class StrandSet:
    """Hair strands at rest, in random order: points (N,K,3) from root to tip, linear colours (N,3), half widths (N,K),
    kinds (N,) Material.HAIR or Material.BEARD. N may be 0.
    """

    points: NDArray[np.float32]
    colours: NDArray[np.float32]
    widths: NDArray[np.float32]
    kinds: NDArray[np.uint8]


def _buzz(hair: Hair, surface: Surface) -> Style:
    def style(roots: Roots, rng: np.random.Generator) -> Growth:
        chance = 0.3 * rng.normal(size=(len(roots), 3))
        lengths = rng.uniform(0.05, 0.08, len(roots)) * hair.length
        return Growth(
            lengths, lambda tips: roots.normals + chance - 0.3 * UP, np.zeros(len(roots)), clump=0.0, strands=3000
        )

    return style


def _cropped(hair: Hair, surface: Surface) -> Style:
    """Short hair: combed forward, up and back (quiff), or to one side."""
    length_factor = {"short": 0.9, "quiff": 1.2, "side parting": 1.35}[hair.style]
    to_side = 1.0 if hair.parting >= 0 else -1.0

    def style(roots: Roots, rng: np.random.Generator) -> Growth:
        count, mean = len(roots), roots.mean_positions
        top = smoothstep(7.6, 8.1, mean[:, 1])[:, None]
        front = smoothstep(0.6, 1.2, mean[:, 2])[:, None] * top
        chance = 0.10 * rng.normal(size=(count, 3))

        def field(tips: Tips) -> Array:
            t = tips.grown
            if hair.style == "quiff":
                course = 0.5 * roots.normals + 0.9 * (1 - t) * front * UP - (0.5 + 0.8 * t) * top * FORWARD
                return course - 0.7 * (1 - top) * UP + chance
            if hair.style == "side parting":
                across = 0.9 * to_side * top * SIDEWAYS + 0.25 * top * FORWARD
                return 0.35 * (1 - t) * roots.normals + across - (0.75 * (1 - top) + 0.3 * t) * UP + chance
            down = 0.75 * (1 - top) + 0.45 * t * top
            return 0.22 * (1 - t) * roots.normals + 0.55 * top * FORWARD - down * UP + chance

        lengths = (0.16 + 0.30 * top[:, 0] * length_factor * hair.length) * rng.uniform(0.85, 1.15, count)
        height = 0.02 + (0.12 * rng.random(count) * top[:, 0] + 0.05 * rng.random(count)) * hair.volume
        return Growth(lengths, field, height, hug=0.5, clump=0.3, strands=5200)

    return style


@dataclass(frozen=True)
class Drape:
    """How hair hangs: the height its tips reach, waviness, thickness of the whole, and a fixed length for curls;
    `turns` radians of wave from root to tip.
    """

    tips_at: float
    wave: float = 0.0
    volume: float = 0.07
    length: float | None = None
    clump: float = 0.55
    bangs: bool = False
    turns: float = 16.0


DRAPES: Mapping[str, Drape] = {
    "bob": Drape(6.25),
    "bob with bangs": Drape(6.35, bangs=True),
    "long straight": Drape(4.7),
    "long with bangs": Drape(4.6, bangs=True),
    "wavy": Drape(5.0, wave=0.7, volume=0.10, clump=0.5),
    "long curly": Drape(5.2, wave=1.6, volume=0.17, clump=0.5, turns=20.0),
    "curly": Drape(6.9, wave=2.2, volume=0.2, length=0.62, clump=0.5, turns=11.0),
}


def _hanging(hair: Hair, surface: Surface) -> Style:
    """Hair that falls from the parting over the head to both sides, around the face, and down."""
    drape = DRAPES[hair.style]
    short = drape.length is not None

    def style(roots: Roots, rng: np.random.Generator) -> Growth:
        count, mean = len(roots), roots.mean_positions
        bangs = (mean[:, 2] > 0.85) & (np.abs(mean[:, 0]) < 0.52) & drape.bangs
        layer = rng.random(count)
        side = np.where(mean[:, 0] > 0.8 * hair.parting + 0.03 * rng.normal(size=count), 1.0, -1.0)
        chance = 0.06 * rng.normal(size=(count, 3))
        phase = rng.uniform(0, 2 * np.pi, count)
        reach = 0.88 + 2.5 * drape.volume * hair.volume * layer

        def field(tips: Tips) -> Array:
            t, from_centre = tips.grown, tips.points - surface.centre
            course = (0.8 if short else 0.25) * (1 - t) * roots.normals + 0.45 * tips.heading + chance
            course += _falling(from_centre, mean, side, bangs)
            course += _kept_near(from_centre, reach) + _off_the_face(from_centre, bangs)
            return course + _waving(phase, t, drape)

        margin = 0.05 + drape.volume * hair.volume * layer * (1.0 if drape.wave else 0.4)
        lengths = _hanging_lengths(hair, mean, bangs, rng)
        return Growth(
            lengths,
            field,
            margin,
            hug=0.4 if short else 0.92,
            clump=drape.clump,
            stray=0.03 if drape.wave else 0.016,
            strands=5600,
            one_guide=drape.wave > 1,
        )

    return style


def _hanging_lengths(hair: Hair, mean: Array, bangs: NDArray[np.bool_], rng: np.random.Generator) -> Array:
    drape, count = DRAPES[hair.style], len(mean)
    if drape.length is not None:
        return rng.uniform(0.8, 1.25, count) * drape.length * hair.length
    drop = (mean[:, 1] - drape.tips_at) * hair.length + 0.35 * smoothstep(7.6, 8.4, mean[:, 1])
    lengths = np.maximum(0.5, drop + 0.05 * rng.normal(size=count))
    over_brow = rng.uniform(0.56, 0.66, count) + 0.35 * np.clip(1.3 - mean[:, 2], 0, 0.5)
    return np.where(bangs, over_brow, lengths)


def _falling(from_centre: Array, mean: Array, side: Array, bangs: NDArray[np.bool_]) -> Array:
    """On top of the head to its side (bangs: to the front), then down."""
    x, y, z = from_centre.T
    on_top = smoothstep(0.06, 0.96, y)
    outwards = 1.15 * side * on_top * smoothstep(0.80, 0.40, x * side)
    backwards = 0.45 * on_top * (mean[:, 2] > 0.6) + 0.5 * on_top * (mean[:, 2] < 0.1) * smoothstep(-0.8, -0.4, z)
    down = 0.25 + 1.5 * np.maximum(1 - on_top, smoothstep(0.35, 0.75, np.hypot(x, 0.75 * np.minimum(z, 0))))
    forwards = np.where(bangs, 0.9 * on_top, -backwards)
    return np.stack([np.where(bangs, 0, outwards), -down, forwards], 1)


def _kept_near(from_centre: Array, reach: Array) -> Array:
    """A pull back to the head's upright axis on what strays beyond `reach` (n,)."""
    x, _, z = from_centre.T
    beyond = np.maximum(0, np.hypot(x, 0.85 * z) - reach)
    return -2.2 * beyond[:, None] * np.stack([x, np.zeros_like(x), 0.85 * z], 1)


def _off_the_face(from_centre: Array, bangs: NDArray[np.bool_]) -> Array:
    x, y, z = from_centre.T
    before = ((z > 0.55) & (np.abs(x) < 0.62) & (y < 0.5) & ~bangs).astype(float)
    return before[:, None] * np.stack([1.2 * np.sign(x), np.zeros_like(x), np.full_like(x, -0.9)], 1)


def _waving(phase: Array, grown: float, drape: Drape) -> Array:
    turn = phase + drape.turns * grown
    wave = np.stack([np.sin(turn), 0.3 * np.sin(2 * phase + 0.8 * drape.turns * grown), np.cos(turn)], 1)
    return 0.55 * drape.wave * min(1.0, 3 * grown) * wave


KNOTS: Mapping[str, tuple[float, float, float]] = {
    "bun": (0.0, 0.35, -1.0),
    "top knot": (0.0, 1.15, -0.35),
    "ponytail": (0.0, 0.55, -0.98),
}
"""Where gathered hair is tied, from the middle of the upper head."""


def _tied(hair: Hair, surface: Surface) -> Style:
    """Hair drawn back to one place."""
    goal = surface.centre + np.array(KNOTS[hair.style])

    def style(roots: Roots, rng: np.random.Generator) -> Growth:
        chance = 0.03 * rng.normal(size=(len(roots), 3))
        lengths = 1.1 * np.linalg.norm(roots.positions - goal, axis=1)
        height = 0.02 + 0.05 * hair.volume * rng.random(len(roots))
        return Growth(lengths, lambda tips: unit(goal - tips.points) + 0.05 * roots.normals + chance, height, clump=0.4)

    return style


def _afro(hair: Hair, surface: Surface) -> Style:
    def style(roots: Roots, rng: np.random.Generator) -> Growth:
        count = len(roots)
        phase = rng.uniform(0, 2 * np.pi, (count, 3))
        chance = 0.1 * rng.normal(size=(count, 3))

        def field(tips: Tips) -> Array:
            outward = 0.75 * unit(tips.points - surface.centre) + 0.3 * roots.normals
            return outward + 0.9 * np.sin(phase + 22 * tips.grown) + chance

        lengths = rng.uniform(0.8, 1.0, count) * 0.85 * hair.volume
        return Growth(lengths, field, np.full(count, 0.03), clump=0.5, stray=0.03, strands=6000)

    return style


STYLES: Mapping[str, Callable[[Hair, Surface], Style]] = {
    "buzz cut": _buzz,
    "short": _cropped,
    "quiff": _cropped,
    "side parting": _cropped,
    "afro": _afro,
    **dict.fromkeys(DRAPES, _hanging),
    **dict.fromkeys(KNOTS, _tied),
}
"""All styles that grow strands; "bald" grows none."""


def _tail(hair: Hair, knot: Array, rng: np.random.Generator) -> Array:
    """The free part of a ponytail: strands (n, POINTS, 3) that leave the knot backwards and fall."""
    count = 900
    points = [knot + 0.06 * rng.normal(size=(count, 3))]
    spread = rng.normal(size=(count, 3)) * [0.14, 0.08, 0.14]
    step = rng.uniform(1.7, 2.1, (count, 1)) * hair.length / (POINTS - 1)
    for k in range(1, POINTS):
        t = k / (POINTS - 1)
        course = np.array([0, 0.5 - 2.6 * t, t - 1.0])
        points.append(points[-1] + unit(course + spread * (1.2 if t < 0.5 else -0.5)) * step)
    return np.stack(points, 1)


def _coil(hair: Hair, knot: Array, rng: np.random.Generator) -> Array:
    """A ball of strands (n, POINTS, 3) wound about the knot."""
    count = 900
    centre = knot + (np.array([0, 0, -0.12]) if hair.style == "bun" else np.array([0, 0.12, 0]))
    first = unit(rng.normal(size=(count, 1, 3)))
    second = unit(np.cross(first, rng.normal(size=(count, 1, 3))))
    radius = 0.34 * hair.volume * rng.uniform(0.75, 1.05, (count, 1, 1))
    turn = np.linspace(0, 2.2, POINTS)[None, :, None]
    return centre + radius * (first * np.cos(turn) + second * np.sin(turn)) * [1, 0.9, 0.85]


def gathered_strands(hair: Hair, surface: Surface, rng: np.random.Generator) -> Array:
    """The knot, ball or tail (n, POINTS, 3) of styles that gather the hair; n is 0 for the others."""
    if hair.style not in KNOTS:
        return np.zeros((0, POINTS, 3))
    knot = surface.centre + np.array(KNOTS[hair.style])
    return (_tail if hair.style == "ponytail" else _coil)(hair, knot, rng)


BEARD_LENGTHS = {"moustache": 0.10, "goatee": 0.17, "full beard": 0.24, "short beard": 0.085}
BEARD_STRANDS = {"moustache": 800, "goatee": 1900, "full beard": 4600, "short beard": 3800}


def _beard(beard: Beard) -> Style:
    """A beard: outwards and down, the moustache to both sides."""

    def style(roots: Roots, rng: np.random.Generator) -> Growth:
        x, y, _ = roots.mean_positions.T
        moustache = (y > 6.68) & (np.abs(x) < 0.4)
        sideways = 1.2 * np.where(moustache, np.sign(x), 0)[:, None] * SIDEWAYS
        chance = 0.12 * rng.normal(size=(len(roots), 3))
        lengths = rng.uniform(0.7, 1.1, len(roots)) * BEARD_LENGTHS[beard.style] * beard.length

        def field(tips: Tips) -> Array:
            return 0.28 * roots.normals - (0.7 + tips.grown) * UP + sideways + chance

        return Growth(
            lengths=np.where(moustache, np.minimum(lengths, 0.07), lengths),
            field=field,
            margin=0.008 + 0.03 * rng.random(len(roots)),
            clump=0.25,
            stray=0.02,
            strands=BEARD_STRANDS[beard.style],
        )

    return style


def _coloured(
    points: Array, colour: NDArray[np.float32], width: float, *, kind: int, varied: float, rng: np.random.Generator
) -> StrandSet:
    count = len(points)
    shades = np.clip(1 + varied * rng.normal(size=(count, 1)), 0.45, 1.8)
    taper = np.interp(np.linspace(0, 1, POINTS), [0, 0.15, 0.7, 1], [0.9, 1, 0.9, 0.3])
    return StrandSet(
        points.astype(np.float32),
        np.clip(colour * shades, 0.004, 1.0).astype(np.float32),
        np.repeat((width * taper)[None], count, 0).astype(np.float32),
        np.full(count, kind, np.uint8),
    )


def _joined(parts: list[StrandSet], rng: np.random.Generator) -> StrandSet:
    """All strands in one set, shuffled: every second one is then a thinner version of the whole."""
    order = rng.permutation(sum(len(part.points) for part in parts))
    return StrandSet(
        np.concatenate([part.points for part in parts])[order],
        np.concatenate([part.colours for part in parts])[order],
        np.concatenate([part.widths for part in parts])[order],
        np.concatenate([part.kinds for part in parts])[order],
    )


NO_STRANDS = StrandSet(
    np.zeros((0, POINTS, 3), np.float32), np.zeros((0, 3), np.float32), np.zeros((0, POINTS), np.float32),
    np.zeros(0, np.uint8),
)  # fmt: skip


def hair_of(person: Person, surface: Surface) -> StrandSet:
    """All strands of a person's head and beard."""
    parts = [NO_STRANDS]
    rng = np.random.default_rng([person.seed, 100])
    colour = hair_colour(person)
    if person.hair.style != "bald":
        style = STYLES[person.hair.style](person.hair, surface)
        points = strands_of(surface, scalp_mask(person), style, rng)
        parts.append(_coloured(points, colour, WIDTH, kind=Material.HAIR, varied=0.16, rng=rng))
        gathered = gathered_strands(person.hair, surface, rng)
        parts.append(_coloured(gathered, colour, 1.3 * WIDTH, kind=Material.HAIR, varied=0.16, rng=rng))
    if person.beard.style in BEARD_LENGTHS:
        points = strands_of(surface, beard_mask(person), _beard(person.beard), rng)
        parts.append(_coloured(points, beard_colour(person), BEARD_WIDTH, kind=Material.BEARD, varied=0.3, rng=rng))
    return _joined(parts, rng)
