"""Light leaving one pixel of a surface or of hair towards the eye; compiled.

Diffuse light is wrapped and shifted to red on skin (after Green, GPU Gems 2004, chapter 16), highlights follow a
microfacet lobe (GGX, Walter et al. 2007), hair follows Kajiya and Kay (SIGGRAPH 1989). Numbers without a name are
looks chosen by eye.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from onephoto.world.paint import (
    HAIR_GLOSS,
    SHINE,
    SUBSURFACE,
    cloth_normal,
    cloth_paint,
    eye_paint,
    skin_normal,
    skin_paint,
)
from onephoto.world.vectors import INLINED, Triple, clamp, dot, mix, plus, scaled, times, unit

Floats = NDArray[np.float32]

SKIN, LEFT_EYE, RIGHT_EYE, TEETH, TONGUE, CLOTH, LASHES = range(7)
FINE = 120
"""Pixels a decimetre above which pores are drawn."""
BLEED = (2.2, 1.2, 0.0)
"""How much softer shadows are on wrapping skin, by channel."""
DULL = (0.0, 0.0, 0.0)
"""Nothing wraps."""
SHEEN = 0.06
"""Share of the sky that hair mirrors: without it black hair and beards would be flat."""


class Lamps(NamedTuple):
    """Light: unit directions towards key and fill, linear colours."""

    towards_key: Triple
    key: Triple
    sky: Triple
    ground: Triple
    towards_fill: Triple
    fill: Triple


class Finish(NamedTuple):
    """How a surface answers light: reflectance straight on, roughness, wrap of diffuse light by channel."""

    gloss: float
    rough: float
    wrap: Triple


@njit(**INLINED)
def _diffuse(facing: float, reach: float, wrap: Triple) -> Triple:
    """Share of the key light by channel; red wraps further round skin and softens its shadows more."""
    return (
        clamp((facing + wrap[0]) / (1 + wrap[0])) * reach ** (1 / (1 + wrap[0] * BLEED[0])),
        clamp((facing + wrap[1]) / (1 + wrap[1])) * reach ** (1 / (1 + wrap[1] * BLEED[1])),
        clamp((facing + wrap[2]) / (1 + wrap[2])) * reach,
    )


@njit(**INLINED)
def _highlight(normal: Triple, view: Triple, finish: Finish, lamps: Lamps) -> float:
    """The key light's mirror image on a rough surface, as a share of its light."""
    half = unit(plus(lamps.towards_key, view))
    to_half = clamp(dot(normal, half))
    to_eye = clamp(dot(normal, view), 0.05, 1.0)
    alpha = finish.rough**4
    lobe = alpha / (to_half * to_half * (alpha - 1) + 1) ** 2
    grazing = (1 - clamp(dot(half, view))) ** 5
    fresnel = finish.gloss + (1 - finish.gloss) * grazing
    return min(6.0 * math.pi, lobe * fresnel * 0.25 / (0.3 + 0.7 * to_eye)) * clamp(dot(normal, lamps.towards_key))


@njit(**INLINED)
def _lit(
    albedo: Triple, normal: Triple, view: Triple, finish: Finish, reach: float, opens: Triple, lamps: Lamps
) -> Triple:
    """Light leaving a surface; `reach` is the key light's share, `opens` the open sky by channel."""
    facing = dot(normal, lamps.towards_key)
    around = mix(lamps.ground, lamps.sky, 0.5 + 0.5 * normal[1])
    around = plus(around, lamps.fill, clamp((dot(normal, lamps.towards_fill) + 0.25) / 1.25))
    direct = times(lamps.key, _diffuse(facing, reach, finish.wrap))
    colour = times(albedo, plus(direct, times(around, opens)))
    if finish.gloss <= 0:
        return colour
    if facing > 0 and reach > 0:
        colour = plus(colour, lamps.key, _highlight(normal, view, finish, lamps) * reach)
    edge = finish.gloss * (1 + 7.9 * (1 - clamp(dot(normal, view), 0.05, 1.0)) ** 4) * (1 - 0.6 * finish.rough)
    return plus(colour, mix(lamps.ground, lamps.sky, clamp(0.5 + normal[1])), edge * opens[2])


@njit(**INLINED)
def _glint(normal: Triple, view: Triple, lamps: Lamps) -> float:
    """The window's reflection in an eye, a little above the key light."""
    mirrored = plus(scaled(normal, 2 * dot(normal, view)), view, -1.0)
    return 0.9 * clamp(dot(mirrored, unit(plus(lamps.towards_key, (0.0, 0.25, 0.55))))) ** 90


@njit(**INLINED)
def surface_light(
    material: int, albedo: Triple, point: Triple, normal: Triple, view: Triple, looks: Triple, scale: float,
    reach: float, sky: float, row: Floats, moles: Floats, lamps: Lamps,
) -> Triple:  # fmt: skip
    """Paint and light of a surface: `point` in paint coordinates, `scale` in pixels a decimetre.

    `looks` are gloss, painted hair, and lips or roughness; `reach` and `sky` the shares of key light and sky that come.
    """
    gloss, hair, other = looks
    finish, opens = Finish(gloss, other, DULL), (sky, sky, sky)
    if material == SKIN:
        albedo = skin_paint(albedo, point, hair, row, moles)
        normal = skin_normal(normal, point) if scale > FINE else normal
        shine = 0.017 * row[SHINE] * (0.6 + gloss) * (1.6 if other > 0.3 else 1.0)
        finish = Finish(shine, 0.47 - 0.12 * other, scaled((0.38, 0.16, 0.11), 1.0 * row[SUBSURFACE]))
        opens = (sky**0.7, sky, sky)
    elif material == CLOTH:
        albedo, normal = cloth_paint(point, row), cloth_normal(normal, point, row)
        finish = Finish(0.012, 0.7, (0.12, 0.12, 0.12))
    elif material in (LEFT_EYE, RIGHT_EYE):
        albedo, finish = eye_paint(point, row), Finish(0.04, 0.10, (0.2, 0.2, 0.2))
        lid = clamp((0.75 - dot(unit(point), (0.35 if point[0] > 0 else -0.35, 1.0, 0.0))) / 0.85)
        opens = scaled(opens, 0.55 + 0.45 * lid)
    elif material == TEETH:
        albedo, finish = (0.84, 0.80, 0.72), Finish(0.03, 0.25, DULL)
        opens = (0.45 + 0.5 * sky, 0.45 + 0.5 * sky, 0.45 + 0.5 * sky)
    elif material == TONGUE:
        albedo, finish = (0.42, 0.12, 0.10), Finish(0.03, 0.35, DULL)
    elif material == LASHES:
        albedo, finish = scaled(albedo, 0.5), Finish(0.0, 0.5, DULL)
    colour = _lit(albedo, normal, view, finish, reach, opens, lamps)
    if material in (LEFT_EYE, RIGHT_EYE):
        colour = plus(colour, lamps.key, _glint(normal, view, lamps) * (0.3 + 0.7 * reach))
    return colour


@njit(**INLINED)
def hair_light(
    albedo: Triple, tangent: Triple, away: Triple, view: Triple, along: float, tint: float, reach: float, sky: float,
    row: Floats, lamps: Lamps,
) -> Triple:  # fmt: skip
    """Light of hair; `away` points out of the head; in [0, 1] are `along`, root to tip, and a strand's own `tint`."""
    on_key, on_eye = dot(tangent, lamps.towards_key), dot(tangent, view)
    sine = math.sqrt(max(0.0, 1 - on_key * on_key))
    sines = sine * math.sqrt(max(0.0, 1 - on_eye * on_eye))
    wrapped = clamp((dot(away, lamps.towards_key) + 0.45) / 1.45)
    direct = (0.35 + 0.65 * sine) * wrapped * (0.25 + 0.75 * reach)
    filled = 0.8 * sky * clamp((dot(away, lamps.towards_fill) + 0.5) / 1.5)
    around = plus(scaled(mix(lamps.ground, lamps.sky, 0.5 + 0.5 * away[1]), 0.9 * sky), lamps.fill, filled)
    shade = 0.95 * (0.75 + 0.5 * tint) * (0.55 + 0.45 * along)
    shine = row[HAIR_GLOSS] * wrapped * reach
    white = 0.22 * shine * (0.3 + tint) * clamp(sines - (on_key + 0.12) * on_eye) ** 40
    tinted = 0.5 * shine * clamp(sines - (on_key - 0.15) * on_eye) ** 14
    colour = times(albedo, plus(scaled(around, shade), lamps.key, shade * direct + tinted))
    sheen = SHEEN * row[HAIR_GLOSS] * (0.3 + tint) * (1 - on_eye * on_eye)
    return plus(plus(colour, lamps.key, white), around, sheen)
