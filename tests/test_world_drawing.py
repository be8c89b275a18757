from dataclasses import replace

import numpy as np
import pytest

from onephoto.world.drawing import (
    Camera,
    Cloth,
    Drawing,
    Eyes,
    Figure,
    Floats,
    Light,
    Material,
    Mesh,
    Skin,
    Strands,
)
from onephoto.world.garment import garment_cover
from onephoto.world.raster import draw
from onephoto.world.visibility import vertex_normals

SIZE = 64
RED, GREEN = (0.8, 0.05, 0.05), (0.05, 0.8, 0.05)
RED_THING, GREEN_THING = Material.FIRST_THING, Material.FIRST_THING + 1


def vector(*numbers: float) -> Floats:
    return np.array(numbers, np.float32)


LIGHT = Light(
    key_direction=vector(0, 0, 1), key_color=vector(1, 1, 1), sky=vector(0.2, 0.2, 0.2), ground=vector(0.2, 0.2, 0.2),
    fill_direction=vector(0, 1, 0), fill_color=vector(0, 0, 0), softness=2.0,
)  # fmt: skip
# One decimetre is 8 pixels at the origin, which is seen in the middle of the picture.
CAMERA = Camera(vector(0, 0, 20), vector(1, 0, 0), vector(0, 1, 0), vector(0, 0, -1), 160.0)
BLACK = np.zeros((SIZE, SIZE, 3), np.float32)


def mesh(points: list[tuple[float, float, float]], color: tuple[float, ...], material: int) -> Mesh:
    """A fan of triangles about the first point."""
    count = len(points)
    triangles = [(0, k, k + 1) for k in range(1, count - 1)]
    attributes = np.tile(vector(1, 0.02, 0, 0.5), (count, 1))
    positions = np.array(points, np.float32)
    return Mesh(
        positions, positions.copy(), np.tile(vector(*color), (count, 1)), attributes,
        np.array(triangles, np.int32), np.full(len(triangles), material, np.uint8),
    )  # fmt: skip


def square(half: float, z: float, *, x: float = 0.0) -> list[tuple[float, float, float]]:
    return [(x - half, -half, z), (x + half, -half, z), (x + half, half, z), (x - half, half, z)]


def joined(*parts: Mesh) -> Mesh:
    starts = np.cumsum([0, *[len(part.positions) for part in parts[:-1]]])
    return Mesh(
        *(np.concatenate([getattr(part, name) for part in parts])
          for name in ("positions", "paint_points", "albedo", "attributes")),
        np.concatenate([part.triangles + start for part, start in zip(parts, starts, strict=True)]).astype(np.int32),
        np.concatenate([part.materials for part in parts]),
    )  # fmt: skip


def figure(shape: Mesh, strands: Strands | None = None) -> Figure:
    grey = vector(0.2, 0.2, 0.2)
    skin = Skin(grey, 0.06, 0.8, 0.12, 0.58, 7.5, 0.04, 0.0, 0.0, grey, grey)
    return Figure(shape, strands or Strands.none(), skin, Eyes(grey, grey), Cloth(grey, grey), vector(0, 0, -1))


def drawn(*figures: Figure, light: Light = LIGHT) -> Drawing:
    return draw(figures, light, CAMERA, BLACK, shadow_center=vector(0, 0, 0), shadow_radius=5.0)


def straight_hair(count: int, half_width: float, kind: int = Material.HAIR) -> Strands:
    """Upright strands side by side over x in [-2, 2]."""
    x, y = np.linspace(-2, 2, count), np.linspace(3, -3, 9)
    points = np.stack([np.repeat(x[:, None], 9, 1), np.repeat(y[None], count, 0), np.ones((count, 9))], -1)
    colors = np.tile(vector(0.5, 0.5, 0.5), (count, 1))
    return Strands(
        points.astype(np.float32), colors, np.full((count, 9), half_width, np.float32), np.full(count, kind, np.uint8)
    )


def test_a_triangle_covers_the_pixels_whose_centres_lie_in_it() -> None:
    corners = [(-3.013, -2.527, 0.0), (3.137, -1.919, 0.0), (0.431, 3.317, 0.0)]
    result = drawn(figure(mesh(corners, RED, RED_THING)))
    y, x = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    inside = np.ones((SIZE, SIZE), bool)
    screen = [(32 + 8 * px, 32 - 8 * py) for px, py, _ in corners]
    for (ax, ay), (bx, by) in zip(screen, screen[1:] + screen[:1], strict=True):
        inside &= (bx - ax) * (y - ay) - (by - ay) * (x - ax) <= 0
    assert np.array_equal(result.ids == RED_THING, inside)
    assert np.array_equal(np.isfinite(result.depth), inside)
    assert (result.rgb[~inside] == 0).all() and (result.rgb[inside, 0] > 0.3).all()
    assert np.allclose(result.depth[inside], 20, atol=1e-4)


def test_neighbouring_triangles_leave_no_gap() -> None:
    rng = np.random.default_rng(0)
    middle = [(*rng.uniform(-1, 1, 2), 0.0)]
    rim = [(3 * np.cos(a), 3 * np.sin(a), 0.0) for a in np.linspace(0, 2 * np.pi, 30)]
    ids = drawn(figure(mesh(middle + rim, RED, RED_THING))).ids
    y, x = np.mgrid[0:SIZE, 0:SIZE] + 0.5 - SIZE / 2
    assert (ids[np.hypot(x, y) < 23] == RED_THING).all()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_nearer_wins(order: tuple[int, int]) -> None:
    parts = mesh(square(3, 0), RED, RED_THING), mesh(square(1, 1), GREEN, GREEN_THING)
    result = drawn(figure(joined(*(parts[k] for k in order))))
    assert result.ids[32, 32] == GREEN_THING and result.ids[32, 12] == RED_THING
    assert result.depth[32, 32] == pytest.approx(19, abs=1e-3)
    assert result.rgb[32, 32, 1] > result.rgb[32, 32, 0]


def test_two_figures_share_depth_and_keep_their_own_paint() -> None:
    behind = replace(figure(mesh(square(2, 0, x=-1), RED, Material.CLOTH)), cloth=Cloth(vector(*RED), vector(0, 0, 0)))
    before = replace(
        figure(mesh(square(2, 1, x=1), GREEN, Material.CLOTH)), cloth=Cloth(vector(*GREEN), vector(0, 0, 0))
    )
    low = vector(0, 3.5, 0)  # paint points of a chest, so that the garment covers them
    people = [replace(f, mesh=replace(f.mesh, paint_points=0.2 * f.mesh.paint_points + low)) for f in (behind, before)]
    for pair in (people, people[::-1]):
        rgb = drawn(*pair).rgb
        assert rgb[32, 14, 0] > 3 * rgb[32, 14, 1] and rgb[32, 34, 1] > 3 * rgb[32, 34, 0]


def test_shadow_darkens() -> None:
    wall, roof = mesh(square(4, 0), (0.5, 0.5, 0.5), RED_THING), mesh(square(1, 2), RED, GREEN_THING)
    aslant = replace(LIGHT, key_direction=vector(1, 0, 1))
    bare, under = drawn(figure(wall), light=aslant), drawn(figure(joined(wall, roof)), light=aslant)
    # The roof's shadow falls two decimetres to the left of the roof, where the camera sees it.
    assert under.ids[32, 16] == RED_THING
    assert (under.rgb[32, 16] < 0.5 * bare.rgb[32, 16]).all()
    assert np.allclose(under.rgb[32, 56], bare.rgb[32, 56], rtol=0.1)


def test_same_input_same_pixels() -> None:
    someone = figure(joined(mesh(square(3, 0), RED, Material.SKIN)), straight_hair(50, 0.01))
    first, second = drawn(someone), drawn(someone)
    for name in ("rgb", "ids", "depth"):
        assert np.array_equal(getattr(first, name), getattr(second, name))


def test_every_material_is_drawn_and_finite() -> None:
    materials = [m for m in Material if m not in (Material.HAIR, Material.BEARD, Material.BACKGROUND)]
    for material in materials:
        result = drawn(figure(replace(mesh(square(2, 0), RED, material), paint_points=vector(*[[0, 3.5, 0.5]] * 4))))
        assert np.isfinite(result.rgb).all() and (result.rgb >= 0).all()
        assert set(np.unique(result.ids)) == {material, Material.BACKGROUND}


def test_strands_cover_what_their_width_covers() -> None:
    """Below a pixel too: the light of 40 strands of .01 to .2 pixels grows with their width."""
    light = [
        drawn(figure(mesh(square(0.1, -9), RED, RED_THING), straight_hair(40, w))).rgb.sum() for w in (0.002, 0.004)
    ]
    assert light[0] > 0 and light[1] / light[0] == pytest.approx(2, rel=0.1)


def test_thick_hair_closes_and_names_itself() -> None:
    for kind in (Material.HAIR, Material.BEARD):
        result = drawn(figure(mesh(square(3, 0), RED, RED_THING), straight_hair(60, 0.06, kind)))
        assert (result.ids[16:48, 20:44] == kind).all()
        assert np.allclose(result.depth[20:44, 20:44], 19, atol=0.1)


def test_hair_behind_a_surface_is_hidden() -> None:
    shape = mesh(square(3.5, 2), RED, RED_THING)
    aslant = replace(LIGHT, key_direction=vector(0, 0, 1))
    assert not (drawn(figure(shape, straight_hair(60, 0.06)), light=aslant).ids == Material.HAIR).any()


def test_no_strands_and_strands_without_width_look_alike() -> None:
    shape = mesh(square(3, 0), RED, RED_THING)
    bare, thin = drawn(figure(shape)), drawn(figure(shape, straight_hair(20, 0.0)))
    assert np.array_equal(bare.rgb, thin.rgb) and not (bare.ids == Material.HAIR).any()


def test_figures_with_strands_of_other_lengths_share_a_picture() -> None:
    short = straight_hair(30, 0.05)
    short = replace(short, points=short.points[:, :4] + vector(0, 0, 1), widths=short.widths[:, :4])
    result = drawn(
        figure(mesh(square(1, 0), RED, RED_THING)),
        figure(mesh(square(1, -1), RED, RED_THING), straight_hair(30, 0.05)),
        figure(mesh(square(1, -2), RED, RED_THING), replace(short, kinds=np.full(30, Material.BEARD, np.uint8))),
    )
    assert {Material.HAIR, Material.BEARD} <= set(np.unique(result.ids))


def test_cover_below_zero_is_cut_away() -> None:
    shape = mesh(square(3, 0), RED, RED_THING)
    cover = shape.attributes.copy()
    cover[:, 0] = (-1, 1, 1, -1)
    ids = drawn(figure(replace(shape, attributes=cover))).ids
    assert (ids[20:44, 9:31] == Material.BACKGROUND).all() and (ids[20:44, 33:55] == RED_THING).all()


def test_garments_leave_the_head_bare_and_cover_the_chest() -> None:
    head, chest, hand = (0, 7, 1), (0, 3.8, 1), (6, 1, 1.5)
    points = np.array([head, chest, hand], np.float32)
    for neck in ("crew", "v", "scoop", "turtle"):
        for sleeve in ("short", "long", "tank"):
            assert (np.sign(garment_cover(points, neck, sleeve)) == (-1, 1, -1)).all()


def test_vertex_normals_are_unit_and_follow_the_triangles() -> None:
    shape = mesh(square(1, 0), RED, RED_THING)
    assert np.allclose(vertex_normals(shape.positions, shape.triangles), (0, 0, 1))
