"""What the rasteriser draws: plain arrays and numbers, no code of its own.

Lengths are decimetres, colours linear RGB; V vertices, T triangles, N strands of P points, H x W pixels.
"""

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Bytes = NDArray[np.uint8]

CLOTH_PATTERNS = ("plain", "stripes", "pinstripes", "check", "jacket", "logo", "dots", "yoke")
NECKS = ("crew", "v", "scoop", "turtle")
SLEEVES = ("short", "long", "tank")


class Material(IntEnum):
    """What a pixel of the id map shows; 32 and above are things worn or held, one number a kind."""

    SKIN = 0
    LEFT_EYE = 1
    RIGHT_EYE = 2
    TEETH = 3
    TONGUE = 4
    CLOTH = 5
    LASHES = 6
    PROP = 8
    HAIR = 10
    BEARD = 11
    FIRST_THING = 32
    BACKGROUND = 255


@dataclass(frozen=True)
class Mesh:
    """Triangles with paint.

    `positions` (V,3) posed; `paint_points` (V,3) the coordinates that procedural paint follows; `albedo` (V,3);
    `attributes` (V,4): cover (cut away where negative), gloss, painted hair (scalp positive, beard negative),
    lips on skin or roughness on things; `triangles` (T,3); `materials` (T,) of Material.
    """

    positions: Floats
    paint_points: Floats
    albedo: Floats
    attributes: Floats
    triangles: Ints
    materials: Bytes


@dataclass(frozen=True)
class Strands:
    """Hair: `points` (N,P,3), `colors` (N,3), half `widths` (N,P), `kinds` (N,) Material.HAIR or Material.BEARD."""

    points: Floats
    colors: Floats
    widths: Floats
    kinds: Bytes

    @classmethod
    def none(cls) -> "Strands":
        """No hair at all."""
        return cls(
            np.zeros((0, 2, 3), np.float32),
            np.zeros((0, 3), np.float32),
            np.zeros((0, 2), np.float32),
            np.zeros(0, np.uint8),
        )


@dataclass(frozen=True)
class Skin:
    """Paint of a face, in paint coordinates; brows begin at x `brow_inner` and end at `brow_outer`."""

    brow_color: Floats
    brow_thickness: float
    brow_density: float
    brow_inner: float
    brow_outer: float
    brow_height: float
    brow_arch: float
    brow_tilt: float
    freckles: float
    scalp_color: Floats
    beard_color: Floats
    subsurface: float = 1.0
    shine: float = 1.0
    age: float = 0.0
    moles: Floats = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    seed: float = 0.0


@dataclass(frozen=True)
class Eyes:
    """Irises: colour at the rim and about the pupil, angular radii in radians."""

    iris: Floats
    iris_inner: Floats
    iris_radius: float = 0.43
    pupil_radius: float = 0.17


@dataclass(frozen=True)
class Cloth:
    """The garment's cut and pattern."""

    color: Floats
    second_color: Floats
    pattern: str = "plain"
    scale: float = 10.0
    wrinkles: float = 0.055
    neck: str = "crew"
    sleeve: str = "long"


@dataclass(frozen=True)
class Light:
    """A key light, a fill light and a sky over a ground; directions point to the light; `softness` in shadow texels."""

    key_direction: Floats
    key_color: Floats
    sky: Floats
    ground: Floats
    fill_direction: Floats
    fill_color: Floats
    softness: float = 5.0


@dataclass(frozen=True)
class Camera:
    """A pinhole: position, unit axes, focal length in pixels of the drawn (supersampled) picture."""

    eye: Floats
    right: Floats
    up: Floats
    forward: Floats
    focal: float


@dataclass(frozen=True)
class Figure:
    """One person with what is worn and held."""

    mesh: Mesh
    strands: Strands
    skin: Skin
    eyes: Eyes
    cloth: Cloth
    head_center: Floats
    hair_gloss: float = 0.55


@dataclass(frozen=True)
class Drawing:
    """`rgb` (H,W,3) linear light, `ids` (H,W) of Material, `depth` (H,W) along the view, infinite at the backdrop."""

    rgb: Floats
    ids: Bytes
    depth: Floats
