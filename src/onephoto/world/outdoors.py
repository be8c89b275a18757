"""Painted backdrops under the open sky; each painter fills a canvas and returns a word for what varies, or None."""

import numpy as np

from onephoto.world.canvas import COARSE, FINE, MEDIUM, SIZE, Canvas, noise, skyline
from onephoto.world.skin import linear, smoothstep

CLOUD = linear((248, 249, 250))
HOUSE_WALLS = linear([(150, 140, 132), (176, 150, 124), (120, 128, 140), (160, 96, 80), (196, 190, 180), (90, 96, 110)])
GLASS, LIT_WINDOW = linear((70, 86, 104)), linear((240, 220, 160))
FLOWERS = linear([(230, 60, 60), (240, 210, 60), (220, 120, 200), (240, 240, 236), (150, 100, 210)])
NIGHT_LAMPS = linear([(255, 190, 90), (255, 120, 80), (120, 190, 255), (255, 90, 160), (250, 240, 210)])


def _sky(canvas: Canvas, rng: np.random.Generator, horizon: float, colours: tuple) -> None:
    """Sky from zenith to horizon with some clouds."""
    canvas.ramp(linear(colours[0]), linear(colours[1]), canvas.y / horizon)
    clouds = smoothstep(rng.uniform(0.50, 0.62), 0.76, noise(rng, COARSE))
    canvas.layer(CLOUD, 0.75 * clouds * (1 - 0.5 * np.minimum(canvas.y / horizon, 1)))


def paint_sunset(canvas: Canvas, rng: np.random.Generator) -> None:
    """A low sun over water or dark land, under burning clouds."""
    x, y = canvas.x, canvas.y
    horizon, sun_x = rng.uniform(0.48, 0.62), rng.uniform(0.14, 0.30)
    canvas.ramp(linear((74, 84, 152)), linear((250, 150, 80)), (y / horizon) ** rng.uniform(1.2, 1.9))
    canvas.layer(linear((255, 118, 92)), 0.55 * np.exp(-(((y - 0.75 * horizon) / 0.13) ** 2)))
    distance = np.hypot(x - sun_x, y - horizon + 0.06)
    canvas.layer(linear((232, 104, 104)), 0.55 * smoothstep(0.52, 0.74, noise(rng, COARSE)))
    canvas.glow(linear((255, 190, 90)), 0.9 * np.exp(-((distance / 0.2) ** 2)))
    canvas.layer((1.5, 1.15, 0.6), smoothstep(0.06, 0.045, distance))
    ground = smoothstep(-0.004, 0.004, y - horizon)
    if rng.random() < 0.6:
        ripples = noise(rng, FINE) - 0.5
        canvas.ramp(linear((210, 112, 84)), linear((54, 50, 86)), (y - horizon) / (1 - horizon), ground)
        path = smoothstep(0.16, 0.0, np.abs(x - sun_x) + 0.35 * ripples)
        canvas.layer(linear((255, 190, 110)), 0.8 * path * ground)
        return
    hills = horizon - 0.08 * skyline(rng)[None, :]
    canvas.layer(linear((52, 38, 58)), smoothstep(-0.006, 0.006, y - hills))
    canvas.ramp(linear((92, 56, 60)), linear((40, 32, 46)), (y - horizon) / 0.3, ground)


def paint_beach(canvas: Canvas, rng: np.random.Generator) -> None:
    """Sky, sea, a line of foam and sand."""
    x, y = canvas.x, canvas.y
    horizon, depth = rng.uniform(0.42, 0.54), rng.uniform(0.12, 0.2)
    _sky(canvas, rng, horizon, ((66, 138, 222), (188, 222, 242)))
    sea = smoothstep(-0.004, 0.004, y - horizon)
    ripples = 0.3 * (noise(rng, FINE) - 0.5)
    canvas.ramp(linear((20, 92, 142)), linear((84, 190, 190)), (y - horizon) / depth + ripples, sea)
    shore = y - horizon - depth - 0.02 * np.sin(9 * x + rng.uniform(0, 6)) + 0.015 * ripples
    sand = linear((224, 200, 152)) * (0.86 + 0.22 * noise(rng, FINE)[..., None])
    canvas.layer(sand, smoothstep(0.0, 0.01, shore))
    canvas.layer(linear((196, 168, 124)), 0.6 * smoothstep(0.05, 0.01, shore) * smoothstep(0.0, 0.01, shore))
    canvas.layer((0.86, 0.9, 0.9), smoothstep(0.018, 0.008, np.abs(shore)))


def paint_forest(canvas: Canvas, rng: np.random.Generator) -> None:
    """Leaves with light between them, trunks, a green floor."""
    x, y = canvas.x, canvas.y
    leaves = 1.3 * noise(rng, MEDIUM) - 0.3 + 0.3 * (1 - y)
    canvas.ramp(linear((28, 62, 26)), linear((134, 172, 78)), leaves)
    canvas.layer(linear((222, 236, 186)), 0.8 * smoothstep(0.66, 0.8, noise(rng, COARSE)) * smoothstep(0.7, 0.4, y))
    floor = rng.uniform(0.78, 0.88)
    bend = noise(rng, COARSE)
    for _ in range(int(rng.integers(6, 11))):
        middle, width, foot = rng.random(), rng.uniform(0.012, 0.045), floor + rng.uniform(-0.03, 0.06)
        across = (x - middle - 0.05 * (bend - 0.5)) / width
        trunk = smoothstep(1.0, 0.75, np.abs(across)) * smoothstep(0.01, -0.01, y - foot)
        bark = linear((64, 46, 34)) * np.clip(1.0 - 0.5 * across, 0.35, 1.7)[..., None]
        canvas.layer(bark * (0.7 + 0.6 * bend[..., None]), trunk * rng.uniform(0.7, 1))
    ground = linear((74, 96, 40)) * (0.6 + 0.7 * noise(rng, FINE)[..., None])
    canvas.layer(ground, smoothstep(-0.02, 0.02, y - floor))


def paint_city(canvas: Canvas, rng: np.random.Generator) -> None:
    """Three rows of tall houses in haze above a street."""
    canvas.ramp(linear((132, 172, 216)), linear((222, 226, 226)), canvas.y)
    for row in range(3):
        left = -rng.uniform(0, 0.1)
        while left < 1:
            width = rng.uniform(0.09, 0.22)
            _house(canvas, rng, left, width, top=rng.uniform(0.16, 0.62) - 0.06 * row, haze=0.5 - 0.22 * row)
            left += width + rng.uniform(0, 0.03)
    street = linear((94, 94, 98)) * (0.9 + 0.2 * noise(rng, FINE)[..., None])
    canvas.layer(street, smoothstep(-0.01, 0.01, canvas.y - 0.88))


def _house(canvas: Canvas, rng: np.random.Generator, left: float, width: float, *, top: float, haze: float) -> None:
    """A house front with its grid of windows, fading into the haze."""
    x, y = canvas.x, canvas.y
    column, floor = ((x - left) / 0.028) % 1, ((y - top) / 0.04) % 1
    windows = (column > 0.25) & (column < 0.8) & (floor > 0.25) & (floor < 0.75)
    wall = HOUSE_WALLS[rng.integers(len(HOUSE_WALLS))] * (0.85 + 0.25 * noise(rng, MEDIUM)[..., None])
    pane = LIT_WINDOW if rng.random() < 0.3 else GLASS * (1 + 0.8 * noise(rng, FINE)[..., None])
    front = np.where(windows[..., None], pane, wall)
    front = front * (1 - haze) + linear((205, 212, 220)) * haze
    canvas.layer(front, (x >= left) & (x < left + width) & (y > top))


def paint_snow(canvas: Canvas, rng: np.random.Generator) -> None:
    """Rocky mountains behind a field of snow."""
    y, horizon = canvas.y, rng.uniform(0.5, 0.62)
    _sky(canvas, rng, horizon, ((92, 150, 214), (206, 226, 242)))
    ridge = skyline(rng)
    height = horizon - rng.uniform(0.3, 0.4) * ridge[None, :] + 0.02 * noise(rng, MEDIUM)
    slope = np.convolve(np.gradient(ridge), np.ones(5) / 5, "same")[None, :] * SIZE * 0.12
    lit = smoothstep(0.3, 0.7, noise(rng, MEDIUM) + slope)
    mountain = linear((120, 140, 178)) * (1 - lit[..., None]) + linear((244, 247, 251)) * lit[..., None]
    above = smoothstep(-0.005, 0.005, y - height)
    canvas.layer(mountain, above)
    canvas.layer(linear((86, 84, 92)), 0.7 * above * smoothstep(0.66, 0.78, noise(rng, FINE) + 0.5 * (y - height)))
    field = linear((230, 237, 246)) * (0.88 + 0.16 * noise(rng, MEDIUM)[..., None])
    canvas.layer(field, smoothstep(-0.02, 0.03, y - horizon - 0.06 * noise(rng, COARSE)))


def paint_night(canvas: Canvas, rng: np.random.Generator) -> None:
    """Dark blue with the round, blurred lights of a town."""
    canvas.ramp(linear((12, 14, 38)), linear((44, 32, 64)), canvas.y + 0.2 * noise(rng, COARSE))
    for _ in range(36):
        radius = rng.uniform(0.012, 0.045)
        distance = np.hypot(canvas.x - rng.random(), canvas.y - rng.uniform(0.2, 0.95))
        lamp = NIGHT_LAMPS[rng.integers(len(NIGHT_LAMPS))] * rng.uniform(0.3, 0.85)
        canvas.glow(lamp, smoothstep(radius, 0.8 * radius, distance))


def paint_field(canvas: Canvas, rng: np.random.Generator) -> None:
    """A meadow with flowers below a hill."""
    x, y, horizon = canvas.x, canvas.y, rng.uniform(0.45, 0.6)
    _sky(canvas, rng, horizon, ((84, 148, 224), (204, 226, 242)))
    hill = y - horizon + 0.07 * np.sin(5 * x + rng.uniform(0, 6)) + 0.02
    grass = 0.7 + 0.5 * noise(rng, FINE)[..., None]
    tone = noise(rng, MEDIUM)[..., None]
    meadow = (linear((58, 108, 40)) * (1 - tone) + linear((150, 182, 70)) * tone) * grass
    canvas.layer(meadow, smoothstep(-0.006, 0.006, hill))
    blooming = smoothstep(0.68, 0.78, noise(rng, FINE)) * smoothstep(0.06, 0.2, hill)
    canvas.layer(FLOWERS[rng.integers(len(FLOWERS))], blooming)
