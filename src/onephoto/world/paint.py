"""Procedural paint of skin, eyes and cloth in paint coordinates; compiled, pixel by pixel.

Numbers without a name are looks chosen by eye, in decimetres of the paint coordinates (see figure.py).
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from onephoto.world.drawing import CLOTH_PATTERNS, NECKS, SLEEVES, Figure
from onephoto.world.garment import cover_at
from onephoto.world.noise import lattice, noise_slope, value_noise
from onephoto.world.vectors import INLINED, Triple, clamp, mix, part3, plus, scaled, smooth, times, unit

Floats = NDArray[np.float32]

# Columns of a figure's row of numbers: colours take three.
BROW, THICKNESS, DENSITY, INNER, OUTER, HEIGHT, ARCH, TILT = 0, 3, 4, 5, 6, 7, 8, 9
FRECKLES, SCALP, BEARD_TINT, SUBSURFACE, SHINE, AGE, SEED = 10, 11, 14, 17, 18, 19, 20
IRIS, IRIS_RADIUS, PUPIL_RADIUS, IRIS_INNER, HAIR_GLOSS = 21, 24, 25, 26, 29
CLOTH_ONE, CLOTH_TWO, PATTERN, SCALE, WRINKLES, NECK, SLEEVE, HEAD, ROW = 30, 33, 36, 37, 38, 39, 40, 41, 44
PLAIN, STRIPES, PINSTRIPES, CHECK, JACKET, LOGO, DOTS, YOKE = range(8)

MOLE, SPOT = (-0.75, -0.83, -0.86), (-0.38, -0.55, -0.64)
"""What a mole and a freckle add to a factor on the skin's colour."""
LINE = (-1.0, -1.1, -1.15)
"""What a line of age adds to it."""
WHITE_OF_EYE, PUPIL = (0.86, 0.83, 0.80), (0.008, 0.007, 0.007)
NOTHING_CHANGED = (1.0, 1.0, 1.0)


def figure_row(figure: Figure) -> Floats:
    """The numbers of a figure's skin, eyes, hair and cloth as one row (ROW,) for the compiled code."""
    skin, eyes, cloth = figure.skin, figure.eyes, figure.cloth
    row = np.zeros(ROW, np.float32)
    row[THICKNESS : FRECKLES + 1] = (
        skin.brow_thickness, skin.brow_density, skin.brow_inner, skin.brow_outer,
        skin.brow_height, skin.brow_arch, skin.brow_tilt, skin.freckles,
    )  # fmt: skip
    row[SUBSURFACE : SEED + 1] = skin.subsurface, skin.shine, skin.age, skin.seed
    row[IRIS_RADIUS], row[PUPIL_RADIUS], row[HAIR_GLOSS] = eyes.iris_radius, eyes.pupil_radius, figure.hair_gloss
    row[PATTERN : WRINKLES + 1] = CLOTH_PATTERNS.index(cloth.pattern), cloth.scale, cloth.wrinkles
    row[NECK], row[SLEEVE] = NECKS.index(cloth.neck), SLEEVES.index(cloth.sleeve)
    colours = {
        BROW: skin.brow_color, SCALP: skin.scalp_color, BEARD_TINT: skin.beard_color, IRIS: eyes.iris,
        IRIS_INNER: eyes.iris_inner, CLOTH_ONE: cloth.color, CLOTH_TWO: cloth.second_color, HEAD: figure.head_center,
    }  # fmt: skip
    for column, colour in colours.items():
        row[column : column + 3] = colour
    return row


@njit(**INLINED)
def _freckled(colour: Triple, x: float, y: float, z: float, row: Floats) -> Triple:
    """Freckles over nose and cheeks: in each cell of a grid perhaps one, off its centre."""
    zone = math.exp(-(x * x) / 0.25 - (y - 7.08) ** 2 / 0.06) * row[FRECKLES]
    if zone < 0.05:
        return colour
    x, y, z = x * 26, y * 26, z * 26
    for corner in range(8):
        i = math.floor(x) + (corner & 1)
        j = math.floor(y) + ((corner >> 1) & 1)
        k = math.floor(z) + (corner >> 2)
        if lattice(i + int(row[SEED] * 260), j, k) < 0.45 * zone:
            dx = x - i - 0.6 * (lattice(i, j, k + 5) - 0.5)
            dy = y - j - 0.6 * (lattice(i, j + 5, k) - 0.5)
            dz = z - k - 0.5 * (lattice(i + 5, j, k) - 0.5)
            spot = 0.5 * smooth(0.62, 0.2, math.sqrt(dx * dx + dy * dy + dz * dz))
            colour = times(colour, plus(NOTHING_CHANGED, SPOT, spot))
    return colour


@njit(**INLINED)
def _browed(colour: Triple, x: float, y: float, row: Floats) -> Triple:
    """Eyebrows drawn as an arc of fine strokes."""
    along = (abs(x) - row[INNER]) / (row[OUTER] - row[INNER])
    if along < -0.1 or along > 1.1 or row[DENSITY] <= 0:
        return colour
    u = clamp(along)
    middle = row[HEIGHT] + row[ARCH] * math.sin(math.pi * u**1.25 * 0.85) + row[TILT] * (u - 0.5)
    half = row[THICKNESS] * (0.65 + 1.2 * u * (1 - u)) * (1 - 0.55 * u * u)
    if abs(y - middle) > 1.3 * half:
        return colour
    strokes = value_noise(abs(x) * 34 - y * 12, y * 12, row[SEED] * 13)
    edge = smooth(1.15, 0.45, abs(y - middle) / half + 0.22 * (strokes - 0.5))
    ends = smooth(-0.08, 0.1, along) * smooth(1.1, 0.8, along)
    return mix(colour, part3(row, BROW), clamp(edge * ends * row[DENSITY] * (0.88 + 0.24 * strokes)))


@njit(**INLINED)
def _age_line(x: float, y: float, row: Floats) -> float:
    """Darkness of the lines of age: brow, from nose to mouth, beside the eyes."""
    across = abs(x)
    forehead = math.exp(-((y - 7.86) ** 2) / 0.03) * smooth(0.75, 0.4, across)
    waves = math.sin(y * 58 + 2.2 * value_noise(x * 2.5, y * 3, row[SEED])) * forehead
    fold = math.exp(-(((across - (0.20 + 0.42 * (6.98 - y))) / 0.028) ** 2))
    fold *= smooth(6.60, 6.70, y) * smooth(7.0, 6.9, y) * 1.2
    fan = math.sin(math.atan2(y - 7.28, across - 0.40) * 16)
    fan *= math.exp(-((across - 0.56) ** 2) / 0.006 - (y - 7.28) ** 2 / 0.012)
    return row[AGE] * (max(0.0, waves) * 0.30 + fold * 0.33 + max(0.0, fan) * 0.3)


@njit(**INLINED)
def skin_paint(colour: Triple, point: Triple, hair: float, row: Floats, moles: Floats) -> Triple:
    """Albedo of skin: mottling, freckles, moles, brows, shaved hair and stubble, lines.

    `hair` is painted hair: scalp where positive, beard where negative; `moles` (M,4) are place and radius.
    """
    x, y, z = point
    blotch = value_noise(x * 5, y * 5, z * 5) - 0.5
    grain = value_noise(x * 17, y * 17, z * 17) - 0.5
    tone = 1 + 0.10 * blotch + 0.07 * grain
    colour = times(colour, (tone * (1 + 0.03 * grain), tone * (1 - 0.03 * blotch), tone))
    face = z > 0.5 and y > 6
    if face and row[FRECKLES] > 0:
        colour = _freckled(colour, x, y, z, row)
    for m in range(len(moles)):
        radius = moles[m, 3]
        distance = math.sqrt((x - moles[m, 0]) ** 2 + (y - moles[m, 1]) ** 2 + (z - moles[m, 2]) ** 2)
        if radius > 0 and distance < radius * 1.3:
            colour = times(colour, plus(NOTHING_CHANGED, MOLE, smooth(radius * 1.3, radius * 0.6, distance)))
    if face and z > 0.9:
        colour = _browed(colour, x, y, row)
    if hair > 0.01:
        dense = clamp(hair * (0.65 + 0.7 * value_noise(x * 40, y * 40, z * 40)))
        colour = mix(colour, part3(row, SCALP), dense)
    elif hair < -0.01:
        dense = clamp(-hair * (0.55 + 0.9 * value_noise(x * 55, y * 55, z * 55)))
        colour = mix(colour, part3(row, BEARD_TINT), dense)
    if face and z > 0.6 and row[AGE] > 0.02:
        colour = times(colour, plus(NOTHING_CHANGED, LINE, _age_line(x, y, row)))
    return colour


@njit(**INLINED)
def skin_normal(normal: Triple, point: Triple) -> Triple:
    """Normal bent by pores; only to be seen from near."""
    x, y, z = point
    return unit(plus(normal, noise_slope(x * 30, y * 30, z * 30), -0.05))


@njit(**INLINED)
def eye_paint(point: Triple, row: Floats) -> Triple:
    """Albedo of an eyeball by direction from its centre in the gaze's frame: white, iris, pupil."""
    x, y, z = unit(point)
    angle = math.acos(clamp(z, -1.0, 1.0))
    rays = value_noise(math.atan2(y, x) * 5, angle * 14, row[SEED] * 7)
    dull = 1 - 0.45 * smooth(0.5, 1.15, angle)
    veins = value_noise(x * 9, y * 9, z * 9)
    white = times(WHITE_OF_EYE, (dull, dull * (1 - 0.08 * veins), dull * (1 - 0.1 * veins)))
    radius, pupil = row[IRIS_RADIUS], row[PUPIL_RADIUS]
    rim = clamp(smooth(pupil, radius * 0.75, angle) * 0.6 + 0.4 * rays - 0.1)
    shade = (0.75 + 0.5 * rays) * (1 - 0.75 * smooth(radius * 0.8, radius, angle))
    iris = scaled(mix(part3(row, IRIS_INNER), part3(row, IRIS), rim), shade)
    seen = mix(white, iris, smooth(radius + 0.05, radius - 0.04, angle))
    return mix(seen, PUPIL, smooth(pupil + 0.04, pupil - 0.04, angle))


@njit(**INLINED)
def _second_share(x: float, y: float, z: float, row: Floats) -> float:
    """Share of the second colour in the cloth's pattern."""
    pattern, scale = int(row[PATTERN]), row[SCALE]
    if pattern == STRIPES:
        return smooth(-0.15, 0.15, math.sin(y * scale))
    if pattern == PINSTRIPES:
        return smooth(0.55, 0.75, math.sin(x * scale))
    if pattern == CHECK:
        return 0.5 * smooth(-0.1, 0.1, math.sin(x * scale)) + 0.5 * smooth(-0.1, 0.1, math.sin(y * scale))
    if pattern == JACKET:
        return smooth(0.01, -0.01, abs(x) - _opening(y)) if z > 0.3 else 0.0
    if pattern == LOGO:
        return smooth(0.85, 0.6, math.hypot(x, (y - 3.9) * 1.2)) if z > 0.5 else 0.0
    if pattern == DOTS:
        across, up = x * scale * 0.5, y * scale * 0.5
        return smooth(0.33, 0.25, math.hypot(across - math.floor(across + 0.5), up - math.floor(up + 0.5)))
    return smooth(4.28, 4.32, y) if pattern == YOKE else 0.0


@njit(**INLINED)
def _opening(y: float) -> float:
    """Half width of an open jacket."""
    return 0.16 + 0.16 * max(0.0, y - 3.4)


@njit(**INLINED)
def cloth_paint(point: Triple, row: Floats) -> Triple:
    """Albedo of cloth: pattern, hem, weave."""
    x, y, z = point
    base = part3(row, CLOTH_ONE)
    colour = mix(base, part3(row, CLOTH_TWO), _second_share(x, y, z, row))
    if row[PATTERN] == JACKET and z > 0.3:
        colour = mix(colour, scaled(base, 0.5), smooth(0.06, 0.04, abs(abs(x) - _opening(y))))
    hem = 1 - 0.28 * smooth(0.09, 0.05, cover_at(x, y, z, int(row[NECK]), int(row[SLEEVE])))
    return scaled(colour, hem * (0.92 + 0.16 * value_noise(x * 60, y * 60, z * 60)))


@njit(**INLINED)
def cloth_normal(normal: Triple, point: Triple, row: Floats) -> Triple:
    """Normal bent by wide folds and finer ones on them."""
    x, y, z = point
    seed, bend = row[SEED], -0.5 * row[WRINKLES]
    wide = noise_slope(x * 1.7 + seed * 3, y * 2.3, z * 1.7)
    fine = noise_slope(x * 4.1, y * 4.9 + seed, z * 4.1)
    normal = plus(normal, times(wide, (1.7, 2.3, 1.7)), bend)
    return unit(plus(normal, times(fine, (4.1, 4.9, 4.1)), 0.45 * bend))
