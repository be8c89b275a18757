"""Colours of skin, lips, hair and eyes: linear RGB painted on the vertices of the body.

Places are given in paint coordinates, those of the mean body in decimetres, so that paint follows every shape and pose.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onephoto.world.body import load_body
from onephoto.world.looks import beard_colour_word
from onephoto.world.people import Person

Floats = NDArray[np.float32]

PALEST_TO_DARKEST = (
    (222, 182, 158), (217, 172, 143), (204, 154, 121), (184, 132, 97), (153, 101, 71), (115, 75, 53), (80, 52, 39),
)  # fmt: skip
"""Skin at evenly spaced melanin, sRGB; the palest stays clear of white so that bright light does not clip it."""
BRIGHTEST = 0.78
"""No albedo exceeds this."""

HAIR_RGB = {
    "black": (34, 28, 27), "dark brown": (54, 38, 29), "brown": (90, 60, 40), "chestnut": (112, 64, 38),
    "auburn": (132, 58, 32), "red": (184, 88, 38), "dark blond": (150, 114, 70), "blond": (204, 168, 106),
    "platinum blond": (228, 210, 172), "grey": (132, 130, 128), "white": (212, 210, 206), "blue": (50, 84, 170),
    "pink": (214, 96, 140), "green": (58, 134, 92),
}  # fmt: skip
EYE_RGB = {
    "dark brown": ((52, 30, 18), (70, 42, 24)), "brown": ((92, 56, 30), (120, 74, 38)),
    "hazel": ((112, 92, 48), (130, 84, 40)), "green": ((84, 118, 74), (120, 120, 60)),
    "blue": ((84, 130, 180), (110, 150, 190)), "grey": ((122, 134, 142), (150, 156, 160)),
    "light blue": ((138, 178, 206), (170, 200, 215)),
}  # fmt: skip
"""Inner and outer colour of the iris, sRGB."""
LIPSTICK_RGB = {"red": (172, 44, 52), "pink": (206, 100, 124), "plum": (120, 42, 62), "coral": (206, 100, 84)}
LID_TINT = {"brown": (0.50, 0.38, 0.36), "grey": (0.45, 0.44, 0.52), "rose": (0.64, 0.42, 0.46)}

CHEEK_RED = (1.02, 0.74, 0.72)
LIP_RED = (0.90, 0.52, 0.52)
LID_RED = (0.80, 0.66, 0.64)
EYE_SHADOW = (0.68, 0.60, 0.62)
TEAR_DUCT = (1.0, 0.60, 0.58)
"""Factors on the skin's own colour."""
MOUTH_INSIDE = (0.22, 0.05, 0.05)

HAIRLINE_ANGLES = np.radians([0, 25, 45, 62, 78, 95, 115, 140, 180])
HAIRLINE_HEIGHTS = np.array([8.02, 8.04, 7.98, 7.62, 7.42, 7.35, 6.98, 6.72, 6.60])
HAIRLINE_MOVES = np.array([1.0, 1.0, 0.8, 0.3, 0, 0, 0, 0, 0])
"""Height of the hairline about the head, from the front (0) over the ears to the nape; how far recession lifts it."""


@dataclass(frozen=True)
class Paint:
    """What is painted on a person's V vertices: albedo (V,3); gloss, scalp, beard and lips (V,), see ShapedPerson."""

    albedo: Floats
    gloss: Floats
    scalp: Floats
    beard: Floats
    lips: Floats


def linear(rgb: ArrayLike) -> Floats:
    """sRGB in 0 to 255 as linear light in [0, 1] (IEC 61966-2-1)."""
    c = np.asarray(rgb, np.float32) / 255
    return np.where(c < 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4).astype(np.float32)


def smoothstep(low: ArrayLike, high: ArrayLike, x: ArrayLike) -> NDArray:
    """0 at `low`, 1 at `high`, a cubic between; `low` above `high` makes it fall."""
    low, high, x = np.asarray(low), np.asarray(high), np.asarray(x)
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def skin_colour(person: Person) -> Floats:
    """The skin's main colour (3,)."""
    tones = linear(PALEST_TO_DARKEST)
    place = np.linspace(0, 1, len(tones))
    base = np.array([np.interp(person.skin.melanin, place, tones[:, k]) for k in range(3)])
    red, yellow = person.skin.redness - 0.5, person.skin.yellowness - 0.5
    return np.minimum(base * [1, 1 - 0.07 * red + 0.02 * yellow, 1 - 0.07 * red - 0.14 * yellow], BRIGHTEST).astype(
        np.float32
    )


def hair_colour(person: Person) -> Floats:
    """Mean colour of the strands on the head (3,)."""
    return np.clip(linear(HAIR_RGB[person.hair.colour]) * person.hair.shade, 0.006, BRIGHTEST).astype(np.float32)


def beard_colour(person: Person) -> Floats:
    """Mean colour of the beard's strands (3,), never quite black, so that dark beards keep their shading."""
    colour = linear(HAIR_RGB[beard_colour_word(person.hair.colour)]) * person.beard.shade
    return np.clip(colour, 0.02, BRIGHTEST).astype(np.float32)


def brow_colour(person: Person) -> Floats:
    """Colour of the eyebrows (3,), always darker than the skin."""
    colour = linear(HAIR_RGB[beard_colour_word(person.hair.colour)]) * person.brow.shade
    return np.minimum(colour, skin_colour(person) * 0.6).astype(np.float32)


def iris_colours(person: Person) -> tuple[Floats, Floats]:
    """Colours of the iris at its rim and about the pupil, (3,) each."""
    inner, outer = EYE_RGB[person.eyes]
    return linear(inner), linear(outer)


class _Canvas:
    """Vertex colours that are painted over, layer by layer, with tints of a base colour."""

    def __init__(self, base: Floats) -> None:
        self.base = base
        x, y, z = load_body().points.T
        self.side, self.height, self.depth = np.abs(x), y, z
        self.colours = np.repeat(base[None], len(y), 0)

    def spot(self, side: float, height: float, depth: float, radius: float) -> Floats:
        """A soft round mask (V,) on both sides of the face."""
        squared = (self.side - side) ** 2 + (self.height - height) ** 2 + (self.depth - depth) ** 2
        return np.exp(-squared / radius**2)

    def layer(self, mask: NDArray, colour: ArrayLike) -> None:
        """Blend a colour in."""
        amount = np.clip(mask, 0, 1)[:, None]
        self.colours = self.colours * (1 - amount) + np.asarray(colour, np.float32) * amount

    def tint(self, mask: NDArray, factors: ArrayLike) -> None:
        """Blend in the base colour times some factors."""
        self.layer(mask, self.base * np.asarray(factors, np.float32))


def _albedo(person: Person) -> Floats:
    body, skin = load_body(), person.skin
    canvas = _Canvas(skin_colour(person))
    blush = skin.blush * (1 - 0.45 * skin.melanin)
    for mask, amount in (
        (canvas.spot(0.50, 6.98, 1.20, 0.26), 1.0),
        (canvas.spot(0.00, 6.93, 1.66, 0.16), 0.8),
        (body.ears, 0.35),
        (canvas.spot(0.00, 6.33, 1.50, 0.20), 0.4),
    ):
        canvas.tint(mask * (blush * amount), CHEEK_RED)
    under_eyes = canvas.spot(0.33, 7.14, 1.38, 0.10) + 0.7 * canvas.spot(0.22, 7.2, 1.4, 0.08)
    canvas.tint(under_eyes * skin.eye_shadow, EYE_SHADOW)
    canvas.tint(body.lids * (0.2 + 0.6 * skin.eye_shadow), LID_RED)
    if skin.lid_colour != "none":
        canvas.tint((body.lids + 0.4 * canvas.spot(0.32, 7.40, 1.36, 0.10)) * 0.6, LID_TINT[skin.lid_colour])
    if skin.lipstick == "none":
        canvas.tint(body.lips * (0.55 + 0.25 * skin.redness), np.array(LIP_RED) * (1 - 0.1 * skin.melanin))
    else:
        canvas.layer(body.lips * 0.9, linear(LIPSTICK_RGB[skin.lipstick]) * (1 - 0.35 * skin.melanin))
    canvas.layer(body.inner_mouth, MOUTH_INSIDE)
    canvas.tint(canvas.spot(0.118, 7.23, 1.42, 0.035), TEAR_DUCT)
    return np.minimum(canvas.colours, BRIGHTEST).astype(np.float32)


def scalp_mask(person: Person) -> Floats:
    """Where hair grows on the head (V,), soft at the hairline."""
    body = load_body()
    x, y, z = body.points.T
    angle = np.arctan2(np.abs(x), z - 0.45)
    line = np.interp(angle, HAIRLINE_ANGLES, HAIRLINE_HEIGHTS + HAIRLINE_MOVES * person.hair.hairline)
    mask = smoothstep(-0.03, 0.12, y - line) * (body.ears < 0.3) * body.skin * (np.abs(x) < 0.80) * (y > 6.5)
    return mask.astype(np.float32)


def beard_masks() -> tuple[Floats, Floats, Floats]:
    """Where a full beard, a moustache and a goatee grow (V,) each."""
    body = load_body()
    x, y, z = body.points.T
    side = np.abs(x)
    skin = body.skin * (body.lips < 0.05) * (body.inner_mouth < 0.3)
    cheek_line = np.interp(z, [0.3, 0.75, 1.05, 1.3, 1.5, 1.7], [7.05, 7.05, 6.80, 6.62, 6.55, 6.5])
    below_cheek = smoothstep(-0.04, 0.14, cheek_line - y)
    above_throat = smoothstep(6.04, 6.20, y - 0.33 * np.clip(1.2 - z, 0, 0.9))
    full = below_cheek * above_throat * smoothstep(0.40, 0.62, z) * skin
    over_lip = smoothstep(6.69, 6.73, y) * smoothstep(6.88, 6.83, y)
    moustache = smoothstep(0.38, 0.30, side) * over_lip * (z > 1.32) * skin
    goatee = np.maximum(moustache * (side < 0.36), smoothstep(0.34, 0.26, side) * smoothstep(6.66, 6.60, y) * full)
    return full.astype(np.float32), moustache.astype(np.float32), goatee.astype(np.float32)


def beard_mask(person: Person) -> Floats:
    """Density (V,) of the person's facial hair; men's shaved chins keep a shade of it."""
    full, moustache, goatee = beard_masks()
    area = {"moustache": moustache, "goatee": goatee}.get(person.beard.style, np.maximum(full, moustache))
    return (area * person.beard.density).astype(np.float32)


PAINTED = {"none": 1.0, "stubble": 1.0, "moustache": 0.55, "goatee": 0.55, "full beard": 0.6, "short beard": 0.75}
"""How dark the skin under a beard is painted; strands do the rest."""
SHAVED_SCALP = {"bald": 0.12, "buzz cut": 0.85}


def paint(person: Person) -> Paint:
    """Paint a person's skin."""
    body = load_body()
    canvas = _Canvas(skin_colour(person))
    gloss = 0.3 + 0.7 * canvas.spot(0, 7.9, 1.4, 0.35) + 0.9 * canvas.spot(0, 7.0, 1.65, 0.14)
    gloss += 0.4 * canvas.spot(0.45, 7.0, 1.3, 0.2)
    scalp = scalp_mask(person)
    return Paint(
        albedo=_albedo(person),
        gloss=gloss.astype(np.float32),
        scalp=scalp * np.float32(SHAVED_SCALP.get(person.hair.style, 0.95)),
        beard=beard_mask(person) * np.float32(PAINTED[person.beard.style]) * (scalp < 0.02),
        lips=body.lips,
    )
