"""Things people wear and hold, as meshes for the rasteriser; each kind has its own number on the id map."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onephoto.errors import WorldError
from onephoto.world import held, worn
from onephoto.world.drawing import Material, Mesh
from onephoto.world.figure import Posed, ShapedPerson
from onephoto.world.held import Piece
from onephoto.world.skin import linear
from onephoto.world.wardrobe import COLOUR_RGB

WORN = ("glasses", "sunglasses", "cap", "earrings", "scarf")
HELD = ("red ball", "cup", "umbrella", "book", "flowers", "guitar")
FURNITURE = ("chair",)
MATERIALS: Mapping[str, int] = MappingProxyType(
    {kind: Material.FIRST_THING + number for number, kind in enumerate(WORN + HELD + FURNITURE)}
)
"""Number of each kind of thing on the id map."""

COLOURS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "glasses": ("black", "brown", "red", "navy", "grey", "beige"),
        "sunglasses": ("black", "brown", "red", "white"),
        "cap": ("red", "blue", "green", "black", "white", "yellow", "orange", "purple", "pink", "navy", "grey"),
        "earrings": ("gold", "silver"),
        "scarf": ("red", "blue", "green", "yellow", "orange", "purple", "pink", "grey", "white", "teal", "brown"),
        "red ball": ("red",),
        "cup": ("red", "blue", "green", "white", "yellow", "orange", "pink", "purple", "black", "teal"),
        "umbrella": ("red", "blue", "green", "yellow", "orange", "purple", "pink", "black", "white"),
        "book": ("red", "blue", "green", "yellow", "black", "brown", "purple", "orange"),
        "flowers": ("red", "yellow", "white", "pink", "purple", "orange", "blue"),
        "guitar": ("brown", "red", "black", "orange", "blue"),
        "chair": ("brown", "white", "black", "red", "green"),
    }
)
"""Colours a kind of thing comes in."""
METAL_RGB = {"gold": (214, 170, 80), "silver": (190, 194, 200)}
GLOSS, METAL_GLOSS = 0.04, 0.25
DARK_GLASS = (0.012, 0.012, 0.014)


@dataclass(frozen=True)
class Thing:
    """Something worn or held: a kind of MATERIALS and a colour of COLOURS."""

    kind: str
    colour: str


def make_thing(kind: str, rng: np.random.Generator, colour: str | None = None) -> Thing:
    """A thing of a kind in one of its colours; raises WorldError for a kind that does not exist."""
    if kind not in COLOURS:
        raise WorldError(f"no thing {kind!r}; known: {', '.join(COLOURS)}")
    drawn = str(rng.choice(COLOURS[kind]))
    return Thing(kind, colour or drawn)


def colour_of(thing: Thing) -> NDArray[np.float32]:
    """Linear RGB (3,) of a thing."""
    return linear(METAL_RGB.get(thing.colour) or COLOUR_RGB[thing.colour])


def _glasses(shaped: ShapedPerson, colour: ArrayLike, rng: np.random.Generator) -> tuple[Piece, ...]:
    size = (0.265, float(rng.uniform(0.18, 0.25)))
    rim = worn.frame(shaped, size, squareness=rng.uniform(2, 4.5), radius=rng.uniform(0.020, 0.034))
    return (Piece(rim, colour, 0.35),)


def _sunglasses(shaped: ShapedPerson, colour: ArrayLike, rng: np.random.Generator) -> tuple[Piece, ...]:
    size, squareness = (0.285, float(rng.uniform(0.20, 0.26))), rng.uniform(2.2, 3.6)
    rim = worn.frame(shaped, size, squareness=squareness, radius=0.032)
    return Piece(rim, colour, 0.35), Piece(worn.lenses(shaped, size, squareness=squareness), DARK_GLASS, 0.5)


def _cap(shaped: ShapedPerson, colour: ArrayLike, _: np.random.Generator) -> tuple[Piece, ...]:
    shade = 0.8 * np.asarray(colour)
    return Piece(worn.cap_dome(shaped), colour, 0.75), Piece(worn.cap_visor(shaped), shade, 0.75)


def _earrings(shaped: ShapedPerson, colour: ArrayLike, rng: np.random.Generator) -> tuple[Piece, ...]:
    return (Piece(worn.earring_pair(shaped, rng.uniform(0.22, 0.36)), colour, 0.25),)


def _scarf(shaped: ShapedPerson, colour: ArrayLike, rng: np.random.Generator) -> tuple[Piece, ...]:
    return (Piece(worn.scarf_roll(shaped, rng.uniform(0.20, 0.27)), colour, 0.8),)


_FITTED: Mapping[str, Callable[[ShapedPerson, ArrayLike, np.random.Generator], tuple[Piece, ...]]] = {
    "glasses": _glasses,
    "sunglasses": _sunglasses,
    "cap": _cap,
    "earrings": _earrings,
    "scarf": _scarf,
}
_PLACED: Mapping[str, Callable[[Posed, ArrayLike], tuple[Piece, ...]]] = {
    "red ball": held.red_ball,
    "cup": held.cup,
    "umbrella": held.umbrella,
    "book": held.book,
    "flowers": held.flowers,
    "guitar": held.guitar,
    "chair": held.chair,
}


def pieces_of(thing: Thing, shaped: ShapedPerson, figure: Posed, rng: np.random.Generator) -> tuple[Piece, ...]:
    """The coloured solids of a thing where this posed person wears or holds it."""
    if thing.kind in _PLACED:
        return _PLACED[thing.kind](figure, colour_of(thing))
    fitted = _FITTED[thing.kind](shaped, colour_of(thing), rng)
    if thing.kind == "scarf":
        return fitted
    motion = figure.head
    return tuple(Piece(p.solid.moved(motion.rotation, motion.translation), p.colour, p.roughness) for p in fitted)


def mesh_of(thing: Thing, pieces: tuple[Piece, ...]) -> Mesh:
    """The pieces of a thing as one mesh whose triangles carry the thing's number."""
    points = np.concatenate([piece.solid.points for piece in pieces]).astype(np.float32)
    counts = [len(piece.solid.points) for piece in pieces]
    starts = np.cumsum([0, *counts])[:-1]
    triangles = [piece.solid.triangles + start for piece, start in zip(pieces, starts, strict=True)]
    attributes = np.zeros((len(points), 4), np.float32)
    attributes[:, 0] = 1
    attributes[:, 1] = METAL_GLOSS if thing.colour in METAL_RGB else GLOSS
    attributes[:, 3] = np.repeat([piece.roughness for piece in pieces], counts)
    albedo = np.repeat([np.asarray(piece.colour, np.float32) for piece in pieces], counts, 0)
    return Mesh(
        positions=points,
        paint_points=points,
        albedo=albedo.astype(np.float32),
        attributes=attributes,
        triangles=np.concatenate(triangles).astype(np.int32),
        materials=np.full(sum(map(len, triangles)), MATERIALS[thing.kind], np.uint8),
    )


def joined_mesh(meshes: list[Mesh]) -> Mesh:
    """Several meshes as one."""
    starts = np.cumsum([0, *(len(mesh.positions) for mesh in meshes)])[:-1]
    return Mesh(
        positions=np.concatenate([mesh.positions for mesh in meshes]),
        paint_points=np.concatenate([mesh.paint_points for mesh in meshes]),
        albedo=np.concatenate([mesh.albedo for mesh in meshes]),
        attributes=np.concatenate([mesh.attributes for mesh in meshes]),
        triangles=np.concatenate([m.triangles + s for m, s in zip(meshes, starts, strict=True)]).astype(np.int32),
        materials=np.concatenate([mesh.materials for mesh in meshes]),
    )
