"""The software rasteriser of the synthetic people: figures, light and a backdrop in; picture, id map and depth out.

Visibility buffer, then deferred shading: a shadow map of the key light, screen-space ambient occlusion, wrapped and
red-shifted diffuse light on skin (after Green, GPU Gems 2004), a microfacet highlight (GGX), and Kajiya and Kay's hair
(SIGGRAPH 1989). Compiled with Numba without fast-math, so that the same input gives the same pixels.
"""

import math
from collections.abc import Sequence

import numpy as np
from numba import njit

from onephoto.world.drawing import (
    CLOTH_PATTERNS,
    NECKS,
    SLEEVES,
    Bytes,
    Camera,
    Drawing,
    Figure,
    Floats,
    Ints,
    Light,
    Material,
)
from onephoto.world.noise import COMPILE, clamp, lattice, row3
from onephoto.world.shading import (
    AGE,
    BROW,
    BROW_SHAPE,
    CLOTH_ONE,
    HAIR_GLOSS,
    HEAD,
    IRIS,
    ROW,
    SHINE,
    SUBSURFACE,
    Colour,
    cloth_paint,
    eye_paint,
    light_reaching,
    occlusion,
    skin_paint,
    wrinkled,
)
from onephoto.world.visibility import (
    SHADOW_SIZE,
    fill,
    fill_hair,
    fill_shadow,
    light_axes,
    project,
    ribbons,
    vertex_normals,
)

KEY, SKY, GROUND, FILL_DIRECTION, FILL, KEY_DIRECTION = 0, 3, 6, 9, 12, 15
SKIN, TEETH, TONGUE, CLOTH, LASHES = 0, 3, 4, 5, 6


@njit(**COMPILE)
def _unit(x: float, y: float, z: float) -> Colour:
    length = math.sqrt(x * x + y * y + z * z) + 1e-12
    return x / length, y / length, z / length


@njit(**COMPILE)
def _lit(
    albedo: Colour, normal: Colour, view: Colour, wrap: Colour, gloss: float, rough: float, reach: float,
    sky_open: Colour, light: Floats,
) -> Colour:  # fmt: skip
    """Light leaving a surface towards the eye."""
    facing = normal[0] * light[15] + normal[1] * light[16] + normal[2] * light[17]
    filled = clamp((normal[0] * light[9] + normal[1] * light[10] + normal[2] * light[11] + 0.25) / 1.25)
    up = 0.5 + 0.5 * normal[1]
    hx, hy, hz = _unit(light[15] + view[0], light[16] + view[1], light[17] + view[2])
    to_half = clamp(normal[0] * hx + normal[1] * hy + normal[2] * hz)
    to_eye = clamp(normal[0] * view[0] + normal[1] * view[1] + normal[2] * view[2], 0.05, 1.0)
    alpha = rough**4
    lobe = alpha / (math.pi * (to_half * to_half * (alpha - 1) + 1) ** 2)
    fresnel = gloss + (1 - gloss) * (1 - clamp(hx * view[0] + hy * view[1] + hz * view[2])) ** 5 if gloss > 0 else 0.0
    highlight = min(6.0, lobe * fresnel * 0.25 / (0.3 + 0.7 * to_eye)) * clamp(facing) * reach * math.pi
    edge = (gloss + 7.9 * gloss * (1 - to_eye) ** 4) * (1 - 0.6 * rough) if gloss > 0 else 0.0
    mirror = clamp(0.5 + normal[1])
    return (
        _channel(albedo[0], wrap[0], 2.2, facing, reach, sky_open[0], up, filled, light, 0)
        + light[0] * highlight + (light[6] * (1 - mirror) + light[3] * mirror) * edge * sky_open[2],
        _channel(albedo[1], wrap[1], 1.2, facing, reach, sky_open[1], up, filled, light, 1)
        + light[1] * highlight + (light[7] * (1 - mirror) + light[4] * mirror) * edge * sky_open[2],
        _channel(albedo[2], wrap[2], 0.0, facing, reach, sky_open[2], up, filled, light, 2)
        + light[2] * highlight + (light[8] * (1 - mirror) + light[5] * mirror) * edge * sky_open[2],
    )  # fmt: skip


@njit(**COMPILE)
def _channel(
    albedo: float, wrap: float, bleed: float, facing: float, reach: float, sky_open: float, up: float, filled: float,
    light: Floats, channel: int,
) -> float:  # fmt: skip
    """Diffuse light of one channel; red wraps further round skin and softens its shadows more."""
    diffuse = clamp((facing + wrap) / (1 + wrap)) * reach ** (1 / (1 + wrap * bleed))
    ambient = light[GROUND + channel] * (1 - up) + light[SKY + channel] * up
    return albedo * (light[KEY + channel] * diffuse + (ambient + light[FILL + channel] * filled) * sky_open)


@njit(**COMPILE)
def _hair(
    albedo: Colour, tangent: Colour, away: Colour, view: Colour, along: float, tint: float, gloss: float,
    reach: float, sky_open: float, light: Floats,
) -> Colour:  # fmt: skip
    """Kajiya and Kay's hair with two highlights; `away` points out of the head, `along` runs from root to tip."""
    on_light = tangent[0] * light[15] + tangent[1] * light[16] + tangent[2] * light[17]
    on_eye = tangent[0] * view[0] + tangent[1] * view[1] + tangent[2] * view[2]
    sines = math.sqrt(max(0.0, 1 - on_light * on_light)) * math.sqrt(max(0.0, 1 - on_eye * on_eye))
    wrapped = clamp((away[0] * light[15] + away[1] * light[16] + away[2] * light[17] + 0.45) / 1.45)
    diffuse = (0.35 + 0.65 * math.sqrt(max(0.0, 1 - on_light * on_light))) * wrapped * (0.25 + 0.75 * reach)
    white = clamp(sines - (on_light + 0.12) * on_eye) ** 40 * 0.22 * gloss * wrapped * reach * (0.3 + tint)
    tinted = clamp(sines - (on_light - 0.15) * on_eye) ** 14 * 0.5 * gloss * wrapped * reach
    filled = clamp((away[0] * light[9] + away[1] * light[10] + away[2] * light[11] + 0.5) / 1.5) * sky_open * 0.8
    up = 0.5 + 0.5 * away[1]
    shade = (0.75 + 0.5 * tint) * (0.55 + 0.45 * along) * 0.95
    red = (
        albedo[0]
        * shade
        * (light[0] * diffuse + (light[6] * (1 - up) + light[3] * up) * sky_open * 0.9 + light[12] * filled)
    )
    green = (
        albedo[1]
        * shade
        * (light[1] * diffuse + (light[7] * (1 - up) + light[4] * up) * sky_open * 0.9 + light[13] * filled)
    )
    blue = (
        albedo[2]
        * shade
        * (light[2] * diffuse + (light[8] * (1 - up) + light[5] * up) * sky_open * 0.9 + light[14] * filled)
    )
    return (
        red + light[0] * (white + albedo[0] * tinted),
        green + light[1] * (white + albedo[1] * tinted),
        blue + light[2] * (white + albedo[2] * tinted),
    )


@njit(**COMPILE)
def _glint(normal: Colour, view: Colour, reach: float, light: Floats) -> float:
    """The window's reflection in an eye."""
    twice = 2 * (normal[0] * view[0] + normal[1] * view[1] + normal[2] * view[2])
    kx, ky, kz = _unit(light[15], light[16] + 0.25, light[17] + 0.55)
    along = (normal[0] * twice - view[0]) * kx + (normal[1] * twice - view[1]) * ky + (normal[2] * twice - view[2]) * kz
    return clamp(along) ** 90 * 0.9 * (0.3 + 0.7 * reach)


@njit(**COMPILE)
def _surface(
    material: int, albedo: Colour, paint: Colour, normal: Colour, view: Colour, attributes: Colour, hair: float,
    reach: float, sky_open: float, row: Floats, moles: Floats, light: Floats,
) -> Colour:  # fmt: skip
    """Paint and light of one pixel that is not hair; `attributes` are gloss, lips or roughness, and nothing."""
    x, y, z = paint
    gloss, rough, wrap = attributes[0], attributes[1], (0.0, 0.0, 0.0)
    opens = (sky_open, sky_open, sky_open)
    if material == SKIN:
        albedo = skin_paint(albedo, x, y, z, hair, row, moles)
        gloss = 0.017 * row[SHINE] * (0.6 + attributes[0]) * (1.6 if attributes[1] > 0.3 else 1.0)
        rough = 0.47 - 0.12 * attributes[1]
        wrap = (0.38 * row[SUBSURFACE], 0.16 * row[SUBSURFACE], 0.11 * row[SUBSURFACE])
        opens = (sky_open**0.7, sky_open, sky_open)
    elif material == 1 or material == 2:
        albedo, gloss, rough, wrap = eye_paint(x, y, z, row), 0.04, 0.10, (0.2, 0.2, 0.2)
        length = math.sqrt(x * x + y * y + z * z) + 1e-9
        lid = clamp((0.75 - (y + 0.35 * abs(x)) / length) / 0.85)
        opens = (sky_open * (0.55 + 0.45 * lid), sky_open * (0.55 + 0.45 * lid), sky_open * (0.55 + 0.45 * lid))
    elif material == TEETH:
        albedo, gloss, rough = (0.84, 0.80, 0.72), 0.03, 0.25
        opens = (0.45 + 0.5 * sky_open, 0.45 + 0.5 * sky_open, 0.45 + 0.5 * sky_open)
    elif material == TONGUE:
        albedo, gloss, rough = (0.42, 0.12, 0.10), 0.03, 0.35
    elif material == CLOTH:
        albedo, normal = cloth_paint(x, y, z, row), wrinkled(normal, x, y, z, row)
        gloss, rough, wrap = 0.012, 0.7, (0.12, 0.12, 0.12)
    elif material == LASHES:
        albedo, gloss = (albedo[0] * 0.5, albedo[1] * 0.5, albedo[2] * 0.5), 0.0
    colour = _lit(albedo, normal, view, wrap, gloss, rough, reach, opens, light)
    if material == 1 or material == 2:
        glint = _glint(normal, view, reach, light)
        colour = (colour[0] + light[0] * glint, colour[1] + light[1] * glint, colour[2] + light[2] * glint)
    return colour


@njit(**COMPILE)
def _interpolate(rows: Floats, corners: tuple[int, int, int], wb: float, wc: float) -> Colour:
    a, b, c = corners
    wa = 1 - wb - wc
    return (
        wa * rows[a, 0] + wb * rows[b, 0] + wc * rows[c, 0],
        wa * rows[a, 1] + wb * rows[b, 1] + wc * rows[c, 1],
        wa * rows[a, 2] + wb * rows[b, 2] + wc * rows[c, 2],
    )


@njit(**COMPILE)
def _pixel_normals(index: Ints, weights: Floats, triangles: Ints, normals: Floats, axes: Floats) -> Floats:
    """Normal of every pixel (H,W,3), turned to the eye; hair faces the eye."""
    height, width = index.shape
    result = np.zeros((height, width, 3), np.float32)
    fx, fy, fz = -axes[3, 0], -axes[3, 1], -axes[3, 2]
    for y in range(height):
        for x in range(width):
            t = index[y, x]
            if t < 0:
                continue
            n = (fx, fy, fz)
            if t < len(triangles):
                n = _interpolate(normals, row3(triangles, t), weights[y, x, 0], weights[y, x, 1])
                n = _unit(n[0], n[1], n[2])
                if n[0] * fx + n[1] * fy + n[2] * fz < 0:
                    n = (-n[0], -n[1], -n[2])
            result[y, x, 0], result[y, x, 1], result[y, x, 2] = n
    return result


@njit(**COMPILE)
def _shade(
    seen: tuple[Floats, Ints, Floats, Floats, Floats], mesh: tuple[Floats, Floats, Floats, Ints, Bytes, Bytes],
    hair: tuple[Floats, Floats, Bytes, Bytes], rows: Floats, moles: Floats, light: Floats, axes: Floats, focal: float,
    shadow: tuple[Floats, Floats, Floats, float], rgb: Floats, ids: Bytes,
) -> None:  # fmt: skip
    """Colour every covered pixel of `rgb` (H,W,3), which holds the backdrop, and write the id map."""
    nearest, index, weights, normals, sky_opens = seen
    paint, albedos, attributes, triangles, materials, owners = mesh
    points, strand_colors, kinds, strand_owners = hair
    shadow_axes, place, shadow_map, softness = shadow
    height, width = index.shape
    for y in range(height):
        for x in range(width):
            t = index[y, x]
            if t < 0:
                continue
            depth = 1 / nearest[y, x]
            u, v = (x + 0.5 - width * 0.5) / focal * depth, -(y + 0.5 - height * 0.5) / focal * depth
            px = axes[0, 0] + axes[1, 0] * u + axes[2, 0] * v + axes[3, 0] * depth
            py = axes[0, 1] + axes[1, 1] * u + axes[2, 1] * v + axes[3, 1] * depth
            pz = axes[0, 2] + axes[1, 2] * u + axes[2, 2] * v + axes[3, 2] * depth
            view = _unit(axes[0, 0] - px, axes[0, 1] - py, axes[0, 2] - pz)
            opens = sky_opens[min(y // 2, len(sky_opens) - 1), min(x // 2, sky_opens.shape[1] - 1)]
            if t < len(triangles):
                corners = row3(triangles, t)
                wb, wc = weights[y, x, 0], weights[y, x, 1]
                material, row = int(materials[t]), rows[owners[t]]
                normal = row3(normals[y], x)
                reach = light_reaching((px, py, pz), normal, (x, y), shadow_axes, place, shadow_map, softness)
                looks = _interpolate(attributes, corners, wb, wc)
                gloss = (looks[1], _fourth(attributes, corners, wb, wc), 0.0)
                colour = _surface(
                    material, _interpolate(albedos, corners, wb, wc), _interpolate(paint, corners, wb, wc), normal,
                    view, gloss, looks[2], reach, opens, row, moles[owners[t]], light,
                )  # fmt: skip
            else:
                flat = (t - len(triangles)) // 2
                strand, place_on = flat // points.shape[1], flat % points.shape[1]
                row = rows[strand_owners[strand]]
                a, b = row3(points[strand], place_on), row3(points[strand], place_on + 1)
                tangent = _unit(b[0] - a[0], b[1] - a[1], b[2] - a[2])
                away = _unit(px - row[HEAD], py - row[HEAD + 1], pz - row[HEAD + 2])
                lifted = (px + away[0] * 0.02, py + away[1] * 0.02, pz + away[2] * 0.02)
                reach = light_reaching(lifted, away, (x, y), shadow_axes, place, shadow_map, softness)
                along, tint = place_on / (points.shape[1] - 1), lattice(strand, 7, 3)
                material = int(kinds[strand])
                colour = _hair(
                    row3(strand_colors, strand), tangent, away, view, along, tint, row[HAIR_GLOSS], reach, opens, light
                )
            rgb[y, x, 0], rgb[y, x, 1], rgb[y, x, 2] = colour
            ids[y, x] = material


@njit(**COMPILE)
def _fourth(rows: Floats, corners: tuple[int, int, int], wb: float, wc: float) -> float:
    return (1 - wb - wc) * rows[corners[0], 3] + wb * rows[corners[1], 3] + wc * rows[corners[2], 3]


def figure_row(figure: Figure) -> Floats:
    """The numbers of a figure's skin, eyes, hair and cloth as one row (ROW,) for the compiled code."""
    skin, eyes, cloth = figure.skin, figure.eyes, figure.cloth
    shape = (
        skin.brow_thickness, skin.brow_density, skin.brow_inner, skin.brow_outer,
        skin.brow_height, skin.brow_arch, skin.brow_tilt, skin.freckles,
    )  # fmt: skip
    row = np.zeros(ROW, np.float32)
    row[BROW : BROW + 3] = skin.brow_color
    row[BROW_SHAPE : BROW_SHAPE + 8] = shape
    row[11:14], row[14:17] = skin.scalp_color, skin.beard_color
    row[SUBSURFACE], row[SHINE], row[AGE], row[20] = skin.subsurface, skin.shine, skin.age, skin.seed
    row[IRIS : IRIS + 3], row[24], row[25] = eyes.iris, eyes.iris_radius, eyes.pupil_radius
    row[26:29], row[HAIR_GLOSS] = eyes.iris_inner, figure.hair_gloss
    row[CLOTH_ONE : CLOTH_ONE + 3], row[33:36] = cloth.color, cloth.second_color
    row[36], row[37], row[38] = CLOTH_PATTERNS.index(cloth.pattern), cloth.scale, cloth.wrinkles
    row[39], row[40] = NECKS.index(cloth.neck), SLEEVES.index(cloth.sleeve)
    row[HEAD : HEAD + 3] = figure.head_center
    return row


def _padded(array: Floats, count: int, *, repeat: bool) -> Floats:
    """Strand points or widths (N,P,...) lengthened to `count` points, the tip repeated or with no width."""
    missing = count - array.shape[1]
    if not missing:
        return array
    tail = array[:, -1:] if repeat else np.zeros_like(array[:, -1:])
    return np.concatenate([array, *[tail] * missing], 1)


def _join(figures: Sequence[Figure]) -> tuple[tuple, tuple]:
    """Mesh arrays and strand arrays of all figures in one, each row knowing its owner."""
    meshes, strands = [f.mesh for f in figures], [f.strands for f in figures]
    starts = np.cumsum([0, *[len(m.positions) for m in meshes[:-1]]])
    count = max(s.points.shape[1] for s in strands)
    mesh = (
        np.concatenate([m.positions for m in meshes]).astype(np.float32),
        np.concatenate([m.paint_points for m in meshes]).astype(np.float32),
        np.concatenate([m.albedo for m in meshes]).astype(np.float32),
        np.concatenate([m.attributes for m in meshes]).astype(np.float32),
        np.concatenate([m.triangles + s for m, s in zip(meshes, starts, strict=True)]).astype(np.int32),
        np.concatenate([m.materials for m in meshes]).astype(np.uint8),
        np.repeat(np.arange(len(meshes)), [len(m.triangles) for m in meshes]).astype(np.uint8),
    )
    hair = (
        np.concatenate([_padded(s.points, count, repeat=True) for s in strands]).astype(np.float32),
        np.concatenate([_padded(s.widths, count, repeat=False) for s in strands]).astype(np.float32),
        np.concatenate([s.colors for s in strands]).astype(np.float32),
        np.concatenate([s.kinds for s in strands]).astype(np.uint8),
        np.repeat(np.arange(len(strands)), [len(s.points) for s in strands]).astype(np.uint8),
    )
    return mesh, hair


def _shadow_map(mesh: tuple, hair: tuple, key: Floats, place: Floats) -> tuple[Floats, Floats]:
    """Axes of the key light's view and the height (size,size) at which it is stopped; every second strand suffices."""
    axes = light_axes(key)
    shadow = np.full((SHADOW_SIZE, SHADOW_SIZE), -1e9, np.float32)
    positions, _, _, attributes, triangles, materials, _ = mesh
    opaque = triangles[materials != Material.LASHES]
    fill_shadow(positions, opaque, np.ascontiguousarray(attributes[:, 0]), axes, place[:3], place[3], shadow)
    points, widths = hair[0][::2, ::2], hair[1][::2, ::2]
    if points.size:
        points, widths = np.ascontiguousarray(points), np.ascontiguousarray(widths)
        vertices = ribbons(points, widths, key, key, 2.0)
        covered = np.ones(len(vertices), np.float32)
        fill_shadow(vertices, _ribbon_triangles(widths), covered, axes, place[:3], place[3], shadow)
    return axes, shadow


def _ribbon_triangles(widths: Floats) -> Ints:
    """Two triangles for each segment (T,3) of strands with a width."""
    strands, count = widths.shape
    flat = np.arange(strands * count, dtype=np.int32).reshape(strands, count)[:, :-1][widths[:, :-1] > 0] * 2
    return np.concatenate([np.stack([flat, flat + 1, flat + 2], 1), np.stack([flat + 1, flat + 3, flat + 2], 1)])


def draw(
    figures: Sequence[Figure], light: Light, camera: Camera, background: Floats, *, shadow_center: Floats,
    shadow_radius: float,
) -> Drawing:  # fmt: skip
    """Draw figures before a backdrop (H,W,3) in linear light; all share one depth buffer and one shadow map."""
    mesh, hair = _join(figures)
    positions, paint, albedo, attributes, triangles, materials, owners = mesh
    points, widths, colors, kinds, strand_owners = hair
    size = background.shape[:2]
    axes = np.stack([camera.eye, camera.right, camera.up, camera.forward]).astype(np.float32)
    key = (np.asarray(light.key_direction) / np.linalg.norm(light.key_direction)).astype(np.float32)
    fill_direction = np.asarray(light.fill_direction) / np.linalg.norm(light.fill_direction)
    lights = np.concatenate([light.key_color, light.sky, light.ground, fill_direction, light.fill_color, key])
    place = np.array([*shadow_center, shadow_radius], np.float32)
    shadow_axes, shadow = _shadow_map(mesh, hair, key, place)
    rows = np.stack([figure_row(figure) for figure in figures])
    moles = np.zeros((len(figures), max(len(f.skin.moles) for f in figures), 4), np.float32)
    for own, figure in zip(moles, figures, strict=True):
        own[: len(figure.skin.moles)] = figure.skin.moles
    nearest, index = np.zeros(size, np.float32), np.full(size, -1, np.int32)
    weights = np.zeros((*size, 2), np.float32)
    fill(
        project(positions, axes, camera.focal, size), triangles, materials, owners, paint,
        np.ascontiguousarray(attributes[:, 0]), rows[:, 39:41].astype(np.int32), nearest, index, weights, 0,
    )  # fmt: skip
    if len(points):
        vertices = ribbons(points, widths, axes[0], np.zeros(3, np.float32), 1.0)
        screen = project(vertices, axes, camera.focal, size)
        fill_hair(screen, points.shape[1], widths, nearest, index, weights, len(triangles))
    normals = _pixel_normals(index, weights, triangles, vertex_normals(positions, triangles), axes)
    rgb, ids = np.array(background, np.float32), np.full(size, Material.BACKGROUND, np.uint8)
    opens = occlusion(nearest, normals, axes, camera.focal)
    _shade(
        (nearest, index, weights, normals, opens), (paint, albedo, attributes, triangles, materials, owners),
        (points, colors, kinds, strand_owners), rows, moles, lights.astype(np.float32), axes, camera.focal,
        (shadow_axes, place, shadow, light.softness), rgb, ids,
    )  # fmt: skip
    with np.errstate(divide="ignore"):
        return Drawing(rgb, ids, (1 / nearest).astype(np.float32))
