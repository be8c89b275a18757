"""Light on what is seen: paint of skin, eyes and cloth, soft shadows, ambient occlusion; compiled, pixel by pixel.

Numbers without a name are looks chosen by eye, in decimetres of the paint coordinates (see figure.py).
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from onephoto.world.garment import cover_at
from onephoto.world.noise import COMPILE, clamp, lattice, smooth, value_noise

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Colour = tuple[float, float, float]

# Columns of a figure's row of numbers; raster.py fills it.
BROW, BROW_SHAPE, FRECKLES, SCALP, BEARD_TINT, SUBSURFACE, SHINE, AGE, SEED = 0, 3, 10, 11, 14, 17, 18, 19, 20
IRIS, IRIS_RADIUS, PUPIL_RADIUS, IRIS_INNER, HAIR_GLOSS = 21, 24, 25, 26, 29
CLOTH_ONE, CLOTH_TWO, PATTERN, SCALE, WRINKLES, NECK, SLEEVE, HEAD, ROW = 30, 33, 36, 37, 38, 39, 40, 41, 44


@njit(**COMPILE)
def mix(first: Colour, row: Floats, column: int, share: float) -> Colour:
    """Blend a colour with the colour at a column of the figure's row."""
    keep = 1 - share
    return (
        first[0] * keep + row[column] * share,
        first[1] * keep + row[column + 1] * share,
        first[2] * keep + row[column + 2] * share,
    )


@njit(**COMPILE)
def scaled(colour: Colour, r: float, g: float, b: float) -> Colour:
    """Colour times three factors."""
    return colour[0] * r, colour[1] * g, colour[2] * b


@njit(**COMPILE)
def freckled(colour: Colour, x: float, y: float, z: float, row: Floats) -> Colour:
    """Freckles over nose and cheeks."""
    zone = math.exp(-(x * x) / 0.25 - (y - 7.08) ** 2 / 0.06) * row[FRECKLES]
    if zone < 0.05:
        return colour
    qx, qy, qz = x * 26, y * 26, z * 26
    for corner in range(8):
        i = math.floor(qx) + (corner & 1)
        j = math.floor(qy) + ((corner >> 1) & 1)
        k = math.floor(qz) + (corner >> 2)
        if lattice(i + int(row[SEED] * 260), j, k) < 0.45 * zone:
            dx = qx - i - 0.6 * (lattice(i, j, k + 5) - 0.5)
            dy = qy - j - 0.6 * (lattice(i, j + 5, k) - 0.5)
            dz = qz - k - 0.5 * (lattice(i + 5, j, k) - 0.5)
            spot = 0.5 * smooth(0.62, 0.2, math.sqrt(dx * dx + dy * dy + dz * dz))
            colour = scaled(colour, 1 - 0.38 * spot, 1 - 0.55 * spot, 1 - 0.64 * spot)
    return colour


@njit(**COMPILE)
def browed(colour: Colour, x: float, y: float, row: Floats) -> Colour:
    """Eyebrows drawn as an arc of fine strokes."""
    thickness, density, inner, outer = row[3], row[4], row[5], row[6]
    height, arch, tilt = row[7], row[8], row[9]
    along = (abs(x) - inner) / (outer - inner)
    if along < -0.1 or along > 1.1 or density <= 0:
        return colour
    u = clamp(along)
    center = height + arch * math.sin(math.pi * u**1.25 * 0.85) + tilt * (u - 0.5)
    half = thickness * (0.65 + 1.2 * u * (1 - u)) * (1 - 0.55 * u * u)
    strokes = value_noise(abs(x) * 34 - y * 12, y * 12, row[SEED] * 13)
    edge = smooth(1.15, 0.45, abs(y - center) / half + 0.22 * (strokes - 0.5))
    ends = smooth(-0.08, 0.1, along) * smooth(1.1, 0.8, along)
    return mix(colour, row, BROW, clamp(edge * ends * density * (0.88 + 0.24 * strokes)))


@njit(**COMPILE)
def age_line(x: float, y: float, row: Floats) -> float:
    """Darkness of the lines of age: brow, from nose to mouth, beside the eyes."""
    across = abs(x)
    forehead = math.exp(-((y - 7.86) ** 2) / 0.03) * smooth(0.75, 0.4, across)
    waves = math.sin(y * 58 + 2.2 * value_noise(x * 2.5, y * 3, row[SEED])) * forehead
    fold = math.exp(-(((across - (0.20 + 0.42 * (6.98 - y))) / 0.028) ** 2))
    fold *= smooth(6.60, 6.70, y) * smooth(7.0, 6.9, y) * 1.2
    fan = math.sin(math.atan2(y - 7.28, across - 0.40) * 16)
    fan *= math.exp(-((across - 0.56) ** 2) / 0.006 - (y - 7.28) ** 2 / 0.012)
    return row[AGE] * (max(0.0, waves) * 0.30 + fold * 0.33 + max(0.0, fan) * 0.3)


@njit(**COMPILE)
def skin_paint(colour: Colour, x: float, y: float, z: float, hair: float, row: Floats, moles: Floats) -> Colour:
    """Albedo of skin: mottling, freckles, moles, brows, shaved hair and stubble, lines."""
    blotch = value_noise(x * 5, y * 5, z * 5) - 0.5
    grain = value_noise(x * 17, y * 17, z * 17) - 0.5
    tone = 1 + 0.10 * blotch + 0.07 * grain
    colour = scaled(colour, tone * (1 + 0.03 * grain), tone * (1 - 0.03 * blotch), tone)
    face = z > 0.5 and y > 6
    if face and row[FRECKLES] > 0:
        colour = freckled(colour, x, y, z, row)
    for m in range(len(moles)):
        radius = moles[m, 3]
        distance = math.sqrt((x - moles[m, 0]) ** 2 + (y - moles[m, 1]) ** 2 + (z - moles[m, 2]) ** 2)
        if radius > 0 and distance < radius * 1.3:
            dark = smooth(radius * 1.3, radius * 0.6, distance)
            colour = scaled(colour, 1 - 0.75 * dark, 1 - 0.83 * dark, 1 - 0.86 * dark)
    if face and z > 0.9:
        colour = browed(colour, x, y, row)
    if hair > 0.01:
        colour = mix(colour, row, SCALP, clamp(hair * (0.65 + 0.7 * value_noise(x * 40, y * 40, z * 40))))
    elif hair < -0.01:
        colour = mix(colour, row, BEARD_TINT, clamp(-hair * (0.55 + 0.9 * value_noise(x * 55, y * 55, z * 55))))
    if face and z > 0.6 and row[AGE] > 0.02:
        line = age_line(x, y, row)
        colour = scaled(colour, 1 - line, 1 - 1.1 * line, 1 - 1.15 * line)
    return colour


@njit(**COMPILE)
def eye_paint(x: float, y: float, z: float, row: Floats) -> Colour:
    """Albedo of an eyeball by direction from its centre in the gaze's frame: white, iris, pupil."""
    length = math.sqrt(x * x + y * y + z * z) + 1e-9
    x, y, z = x / length, y / length, z / length
    angle = math.acos(clamp(z, -1.0, 1.0))
    rays = value_noise(math.atan2(y, x) * 5, angle * 14, row[SEED] * 7)
    dull = 1 - 0.45 * smooth(0.5, 1.15, angle)
    veins = value_noise(x * 9, y * 9, z * 9)
    white = scaled((0.86, 0.83, 0.80), dull, dull * (1 - 0.08 * veins), dull * (1 - 0.1 * veins))
    iris_radius, pupil_radius = row[IRIS_RADIUS], row[PUPIL_RADIUS]
    rim = clamp(smooth(pupil_radius, iris_radius * 0.75, angle) * 0.6 + 0.4 * rays - 0.1)
    iris = mix((row[IRIS_INNER], row[IRIS_INNER + 1], row[IRIS_INNER + 2]), row, IRIS, rim)
    shade = (0.75 + 0.5 * rays) * (1 - 0.75 * smooth(iris_radius * 0.8, iris_radius, angle))
    on_iris = smooth(iris_radius + 0.05, iris_radius - 0.04, angle)
    on_pupil = smooth(pupil_radius + 0.04, pupil_radius - 0.04, angle)
    return (
        (white[0] * (1 - on_iris) + iris[0] * shade * on_iris) * (1 - on_pupil) + 0.008 * on_pupil,
        (white[1] * (1 - on_iris) + iris[1] * shade * on_iris) * (1 - on_pupil) + 0.007 * on_pupil,
        (white[2] * (1 - on_iris) + iris[2] * shade * on_iris) * (1 - on_pupil) + 0.007 * on_pupil,
    )


@njit(**COMPILE)
def pattern_share(x: float, y: float, z: float, row: Floats) -> float:
    """Share of the second colour in the cloth's pattern."""
    pattern, scale = int(row[PATTERN]), row[SCALE]
    if pattern == 1:
        return smooth(-0.15, 0.15, math.sin(y * scale))
    if pattern == 2:
        return smooth(0.55, 0.75, math.sin(x * scale))
    if pattern == 3:
        return (0.5 if math.sin(x * scale) > 0 else 0.0) + (0.5 if math.sin(y * scale) > 0 else 0.0)
    if pattern == 4:
        return 1.0 if z > 0.3 and abs(x) < 0.16 + 0.16 * max(0.0, y - 3.4) else 0.0
    if pattern == 5:
        return smooth(0.85, 0.6, math.hypot(x, (y - 3.9) * 1.2)) if z > 0.5 else 0.0
    if pattern == 6:
        qx, qy = x * scale * 0.5, y * scale * 0.5
        return smooth(0.33, 0.25, math.hypot(qx - math.floor(qx + 0.5), qy - math.floor(qy + 0.5)))
    if pattern == 7:
        return 1.0 if y > 4.3 else 0.0
    return 0.0


@njit(**COMPILE)
def cloth_paint(x: float, y: float, z: float, row: Floats) -> Colour:
    """Albedo of cloth: pattern, seam, weave."""
    base = (row[CLOTH_ONE], row[CLOTH_ONE + 1], row[CLOTH_ONE + 2])
    colour = mix(base, row, CLOTH_TWO, pattern_share(x, y, z, row))
    if row[PATTERN] == 4 and z > 0.3 and abs(abs(x) - (0.16 + 0.16 * max(0.0, y - 3.4))) < 0.05:
        colour = scaled(base, 0.5, 0.5, 0.5)
    seam = 0.72 if cover_at(x, y, z, int(row[NECK]), int(row[SLEEVE])) < 0.07 else 1.0
    tone = seam * (0.92 + 0.16 * value_noise(x * 60, y * 60, z * 60))
    return scaled(colour, tone, tone, tone)


@njit(**COMPILE)
def folds(x: float, y: float, z: float, seed: float) -> float:
    """Height of the cloth's folds."""
    wide = value_noise(x * 1.7 + seed * 3, y * 2.3, z * 1.7)
    return wide + 0.45 * value_noise(x * 4.1, y * 4.9 + seed, z * 4.1)


@njit(**COMPILE)
def wrinkled(normal: Colour, x: float, y: float, z: float, row: Floats) -> Colour:
    """Normal bent by the folds."""
    e = 0.05
    here, bend = folds(x, y, z, row[SEED]), 0.5 * row[WRINKLES] / e
    nx = normal[0] - bend * (folds(x + e, y, z, row[SEED]) - here)
    ny = normal[1] - bend * (folds(x, y + e, z, row[SEED]) - here)
    nz = normal[2] - bend * (folds(x, y, z + e, row[SEED]) - here)
    length = math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
    return nx / length, ny / length, nz / length


@njit(**COMPILE)
def light_reaching(
    point: Colour, normal: Colour, pixel: tuple[int, int], axes: Floats, place: Floats, shadow: Floats, softness: float
) -> float:
    """Share of the key light that reaches a point: 8 taps of the shadow map in a disc turned by the pixel's hash."""
    size = len(shadow)
    dx = point[0] + normal[0] * 0.035 - place[0]
    dy = point[1] + normal[1] * 0.035 - place[1]
    dz = point[2] + normal[2] * 0.035 - place[2]
    u = ((dx * axes[0, 0] + dy * axes[0, 1] + dz * axes[0, 2]) / place[3] * 0.5 + 0.5) * size
    v = ((dx * axes[1, 0] + dy * axes[1, 1] + dz * axes[1, 2]) / place[3] * 0.5 + 0.5) * size
    height = dx * axes[2, 0] + dy * axes[2, 1] + dz * axes[2, 2] + 0.03
    turn = lattice(pixel[0], pixel[1], 9) * 2 * math.pi
    total = 0.0
    for tap in range(8):
        radius, angle = softness * math.sqrt((tap + 0.5) / 8), turn + tap * 2.4
        x, y = int(u + radius * math.cos(angle)), int(v + radius * math.sin(angle))
        if x < 0 or y < 0 or x >= size or y >= size:
            total += 1
        else:
            total += clamp(1 + (height - shadow[y, x]) / 0.04)
    return total / 8


@njit(**COMPILE)
def occlusion(nearest: Floats, normals: Floats, axes: Floats, focal: float) -> Floats:
    """Screen-space ambient occlusion at half resolution: (H,W) inverse depth -> (H/2,W/2) in [.15, 1]."""
    height, width = nearest.shape
    open_sky = np.ones((height // 2, width // 2), np.float32)
    reach = 0.45
    for y in range(height // 2):
        for x in range(width // 2):
            inverse = nearest[2 * y, 2 * x]
            if inverse <= 0:
                continue
            radius = min(60.0, focal * reach * inverse)
            px = (2 * x + 0.5 - width * 0.5) / focal / inverse
            py = -(2 * y + 0.5 - height * 0.5) / focal / inverse
            turn = lattice(x, y, 1) * 2 * math.pi
            n = normals[2 * y, 2 * x]
            blocked = 0.0
            for tap in range(14):
                r, angle = radius * (tap + 0.5) / 14, turn + tap * 2.4
                sx, sy = int(2 * x + r * math.cos(angle)), int(2 * y + r * math.sin(angle))
                if sx < 0 or sy < 0 or sx >= width or sy >= height or nearest[sy, sx] <= 0:
                    continue
                depth = 1 / nearest[sy, sx]
                u = (sx + 0.5 - width * 0.5) / focal * depth - px
                v = -(sy + 0.5 - height * 0.5) / focal * depth - py
                w = depth - 1 / inverse
                dx = axes[1, 0] * u + axes[2, 0] * v + axes[3, 0] * w
                dy = axes[1, 1] * u + axes[2, 1] * v + axes[3, 1] * w
                dz = axes[1, 2] * u + axes[2, 2] * v + axes[3, 2] * w
                distance = math.sqrt(dx * dx + dy * dy + dz * dz)
                if distance > 1e-4:
                    rise = max(0.0, (dx * n[0] + dy * n[1] + dz * n[2]) / distance - 0.12)
                    blocked += rise / (1 + (distance / reach) ** 2 * 1.5)
            open_sky[y, x] = clamp(1 - 1.9 * blocked / 14, 0.15, 1.0)
    return _smoothed(open_sky, nearest)


@njit(**COMPILE)
def _smoothed(values: Floats, nearest: Floats) -> Floats:
    """3 x 3 mean over neighbours of about the same depth."""
    result = values.copy()
    for y in range(1, len(values) - 1):
        for x in range(1, values.shape[1] - 1):
            here = nearest[2 * y, 2 * x]
            if here <= 0:
                continue
            total, count = 0.0, 0
            for j in range(y - 1, y + 2):
                for i in range(x - 1, x + 2):
                    if abs(nearest[2 * j, 2 * i] / here - 1) < 0.02:
                        total += values[j, i]
                        count += 1
            result[y, x] = total / count
    return result
