"""Painted and furred parts of things, and the figures that the rasteriser draws of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onephoto.world.drawing import Bytes, Cloth, Eyes, Figure, Floats, Mesh, Skin, Strands
from onephoto.world.sculpt import Lump, sculpted
from onephoto.world.skin import linear
from onephoto.world.solids import Solid
from onephoto.world.thing_phrases import COLOUR_RGB, KINDS
from onephoto.world.visibility import vertex_normals

FIRST_NUMBER = 64
"""Number on the id map of the first part; those of props are lower."""
PARTS = (
    *KINDS, "head", "ears", "legs", "tail", "trunk", "belly", "chest", "mask", "paws", "markings", "bow", "scarf",
    "collar", "eyes", "nose", "roof", "sides", "stripe", "wheels", "lights", "windows", "spare wheel", "luggage",
    "spoiler", "back", "armrests", "cushion", "buttons",
)  # fmt: skip
"""What a pixel of a thing shows; what belongs to no part is the kind itself."""
NUMBERS: Mapping[str, int] = MappingProxyType({name: FIRST_NUMBER + number for number, name in enumerate(PARTS)})
"""Number of each part on the id map."""

FUR_POINTS = 4
SHORT = 0.5
FUR_SHADE = 0.25
"""Spread of brightness from strand to strand."""
NOBODY = np.full(3, 0.2, np.float32)


def rgb(word: str) -> Floats:
    """Linear RGB (3,) of a colour word."""
    return linear(COLOUR_RGB[word])


@dataclass(frozen=True)
class Feature:
    """Something that can be said of a thing: a word of `thing_phrases.FEATURES`, the part of PARTS that must be seen,
    and the colour word, where there is one.
    """

    word: str
    part: str
    colour: str | None = None


def by_size(value: float, limits: tuple[float, float], words: tuple[str, str], name: str) -> list[Feature]:
    """The first word below both limits, the second above both, none between."""
    if limits[0] <= value <= limits[1]:
        return []
    return [Feature(words[value > limits[1]], name)]


@dataclass(frozen=True)
class Fur:
    """Hair on a part.

    `density` in strands a square decimetre, `length` and half `width` in decimetres; how far hairs `lie` down (0
    upright to 1 flat) towards `along` (3,), and how much they curl; `centres` (C,3) inside the part decide which way
    is out; on the parts `short_on` hairs have SHORT of their length.
    """

    density: float
    length: float
    width: float
    lie: float
    along: ArrayLike
    curl: float
    centres: NDArray
    gloss: float = 0.3
    short_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """A solid with a colour (3,) or colours (V,3) in linear RGB and numbers (V,) of PARTS; perhaps furred."""

    solid: Solid
    colours: ArrayLike
    numbers: ArrayLike
    roughness: float = 0.6
    gloss: float = 0.04
    fur: Fur | None = None


def part(solid: Solid, colour: ArrayLike, name: str, *, roughness: float = 0.6, gloss: float = 0.04) -> Part:
    """A part of one number."""
    return Part(solid, colour, NUMBERS[name], roughness, gloss)


@dataclass(frozen=True)
class Dab:
    """A lump of a soft body with its colour (3,) and the part of PARTS it belongs to."""

    lump: Lump
    colour: ArrayLike
    name: str


def soft_body(dabs: Sequence[Dab], *, blend: float, cell: float) -> tuple[Solid, Floats, Bytes]:
    """The surface of dabs flowing together: the solid, its colours (V,3) and numbers (V,), those of the nearest dab."""
    solid = sculpted([dab.lump for dab in dabs], blend=blend, cell=cell)
    points = solid.points.astype(np.float32)
    nearest = np.argmin([dab.lump.distance(points) for dab in dabs], 0)
    colours = np.array([dab.colour for dab in dabs], np.float32)[nearest]
    return solid, colours, np.array([NUMBERS[dab.name] for dab in dabs], np.uint8)[nearest]


def middles(dabs: Sequence[Dab]) -> NDArray:
    """Middle (n,3) of every dab."""
    return np.array([(np.asarray(dab.lump.start) + np.asarray(dab.lump.end)) / 2 for dab in dabs])


def _mesh(parts: Sequence[Part]) -> Mesh:
    """All parts as one mesh."""
    points = np.concatenate([p.solid.points for p in parts]).astype(np.float32)
    counts = [len(p.solid.points) for p in parts]
    starts = np.cumsum([0, *counts])[:-1]
    numbers = [np.broadcast_to(np.asarray(p.numbers, np.uint8), len(p.solid.points)) for p in parts]
    attributes = np.zeros((len(points), 4), np.float32)
    attributes[:, 0] = 1
    attributes[:, 1] = np.repeat([p.gloss for p in parts], counts)
    attributes[:, 3] = np.repeat([p.roughness for p in parts], counts)
    return Mesh(
        positions=points,
        paint_points=points,
        albedo=np.concatenate(
            [np.broadcast_to(np.asarray(p.colours, np.float32), p.solid.points.shape) for p in parts]
        ),
        attributes=attributes,
        triangles=np.concatenate([p.solid.triangles + s for p, s in zip(parts, starts, strict=True)]).astype(np.int32),
        materials=np.concatenate([n[p.solid.triangles[:, 0]] for n, p in zip(numbers, parts, strict=True)]),
    )


def _roots(solid: Solid, density: float, rng: np.random.Generator) -> tuple[NDArray, NDArray, Floats, Floats]:
    """Random points on a solid: triangle (n,), its first vertex (n,), place (n,3) and normal (n,3)."""
    points = np.ascontiguousarray(solid.points, np.float32)
    a, b, c = (points[solid.triangles[:, k]] for k in range(3))
    area = 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)
    chosen = rng.choice(len(area), int(density * area.sum()), p=area / area.sum())
    shares = rng.dirichlet((1, 1, 1), len(chosen)).astype(np.float32)
    corners = solid.triangles[chosen]
    normals = vertex_normals(points, solid.triangles)
    place = np.einsum("nk,nkd->nd", shares, points[corners])
    return chosen, corners[:, 0], place, np.einsum("nk,nkd->nd", shares, normals[corners])


def _grown(furred: Part, fur: Fur, rng: np.random.Generator) -> tuple[Strands, NDArray]:
    """Strands on a part, and for each the nearest of the fur's centres (N,)."""
    _, vertex, place, normal = _roots(furred.solid, fur.density, rng)
    colours = np.broadcast_to(np.asarray(furred.colours, np.float32), furred.solid.points.shape)[vertex]
    numbers = np.broadcast_to(np.asarray(furred.numbers, np.uint8), len(furred.solid.points))[vertex]
    along = np.asarray(fur.along, float)
    flat = along - (normal @ along)[:, None] * normal + 0.35 * rng.normal(size=normal.shape)
    cut = np.where(np.isin(numbers, [NUMBERS[name] for name in fur.short_on]), SHORT, 1.0)
    length = fur.length * cut * rng.uniform(0.6, 1.15, len(place))
    step = np.linspace(0, 1, FUR_POINTS)[None, :, None]
    bent = fur.lie * step
    points = place[:, None] + length[:, None, None] * step * (normal[:, None] * (1 - bent) + flat[:, None] * bent)
    points = points + fur.curl * step * rng.normal(size=points.shape)
    widths = fur.width * np.array([1.0, 0.95, 0.7, 0.2])[None] * rng.uniform(0.8, 1.2, (len(place), 1))
    shade = 1 + FUR_SHADE * (rng.random((len(place), 1)) - 0.5)
    owner = np.argmin(np.linalg.norm(place[:, None] - fur.centres[None], axis=2), 1)
    strands = Strands(
        points.astype(np.float32), (colours * shade).astype(np.float32), widths.astype(np.float32), numbers
    )
    return strands, owner


def _figure(mesh: Mesh, strands: Strands, centre: Floats, gloss: float) -> Figure:
    """A figure without a person in it."""
    skin = Skin(NOBODY, 0.06, 0.0, 0.12, 0.58, 7.5, 0.0, 0.0, 0.0, NOBODY, NOBODY)
    return Figure(mesh, strands, skin, Eyes(NOBODY, NOBODY), Cloth(NOBODY, NOBODY), centre, gloss)


def figures_of(parts: Sequence[Part], rng: np.random.Generator) -> list[Figure]:
    """Figures that together are the thing: one with all surfaces, one for the fur about each centre."""
    mesh = _mesh(parts)
    middle = (mesh.positions.max(0) + mesh.positions.min(0)) / 2
    figures = [_figure(mesh, Strands.none(), middle, 0.3)]
    bare = Mesh(
        positions=mesh.positions[:0],
        paint_points=mesh.paint_points[:0],
        albedo=mesh.albedo[:0],
        attributes=mesh.attributes[:0],
        triangles=mesh.triangles[:0],
        materials=mesh.materials[:0],
    )
    for furred in parts:
        if furred.fur is None:
            continue
        strands, owner = _grown(furred, furred.fur, rng)
        for number, centre in enumerate(furred.fur.centres):
            own = owner == number
            if own.any():
                some = Strands(strands.points[own], strands.colors[own], strands.widths[own], strands.kinds[own])
                figures.append(_figure(bare, some, centre.astype(np.float32), furred.fur.gloss))
    return figures
