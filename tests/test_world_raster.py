from dataclasses import replace

import numpy as np

from onephoto.world.drawing import Camera, Cloth, Drawing, Eyes, Figure, Light, Material, Mesh, Skin, Strands
from onephoto.world.garment import garment_cover
from onephoto.world.raster import draw

THING = Material.FIRST_THING


def vector(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float32)


def square(depth: float, side: float, colour: float, material: int = THING) -> Mesh:
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32) * side + vector(0, 0, depth)
    attributes = np.tile(vector(1, 0, 0, 0.9), (4, 1))
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    return Mesh(
        corners, corners, np.full((4, 3), colour, np.float32), attributes, triangles, np.full(2, material, np.uint8)
    )


def figure(mesh: Mesh, strands: Strands | None = None) -> Figure:
    grey = vector(0.3, 0.3, 0.3)
    skin = Skin(grey, 0.05, 0.0, 0.1, 0.5, 7.5, 0.0, 0.0, 0.0, grey, grey)
    return Figure(mesh, strands or Strands.none(), skin, Eyes(grey, grey), Cloth(grey, grey), vector(0, 0, -1))


def shown(*figures: Figure, key: np.ndarray | None = None) -> Drawing:
    key = vector(0, 0, 1) if key is None else key
    white, dim = vector(1, 1, 1), vector(0.1, 0.1, 0.1)
    light = Light(key, white, dim, dim, vector(0, 0, 1), vector(0, 0, 0))
    camera = Camera(vector(0, 0, 10), vector(1, 0, 0), vector(0, 1, 0), vector(0, 0, -1), 160.0)
    backdrop = np.zeros((64, 64, 3), np.float32)
    return draw(figures, light, camera, backdrop, shadow_center=vector(0, 0, 0), shadow_radius=4.0)


def test_a_square_covers_the_pixels_that_it_must() -> None:
    drawing = shown(figure(square(0, 1, 0.5)))
    covered = drawing.ids == THING
    assert covered[16:48, 16:48].all() and covered.sum() == 32 * 32
    assert np.allclose(drawing.depth[covered], 10, atol=1e-3) and np.isinf(drawing.depth[~covered]).all()
    assert (drawing.rgb[~covered] == 0).all() and (drawing.rgb[covered] > 0.1).all()


def test_the_nearer_wins_in_either_order() -> None:
    near, far = figure(square(1, 0.5, 0.9, THING)), figure(square(0, 1, 0.2, THING + 1))
    for drawing in (shown(near, far), shown(far, near)):
        assert drawing.ids[32, 32] == THING and drawing.ids[17, 17] == THING + 1


def test_what_stands_in_the_light_throws_a_shadow() -> None:
    wall, cap = figure(square(0, 1.5, 0.5)), figure(square(1, 0.3, 0.5))
    slanting = vector(0.5, 0, 1)
    alone, shaded = shown(wall, key=slanting), shown(wall, cap, key=slanting)
    place = (32, 24)
    assert shaded.ids[place] == alone.ids[place] == THING
    assert shaded.rgb[place].sum() < 0.5 * alone.rgb[place].sum()


def test_the_same_input_gives_the_same_pixels() -> None:
    first, second = (shown(figure(square(0, 1, 0.5, Material.SKIN))) for _ in range(2))
    assert np.array_equal(first.rgb, second.rgb) and np.array_equal(first.ids, second.ids)


def test_hair_and_beards_are_told_apart() -> None:
    points = np.array([[[x, y, 1] for y in (-0.5, 0, 0.5)] for x in (-0.5, 0.5)], np.float32)
    kinds = np.array([Material.HAIR, Material.BEARD], np.uint8)
    strands = Strands(points, np.full((2, 3), 0.5, np.float32), np.full((2, 3), 0.1, np.float32), kinds)
    ids = shown(figure(square(0, 1, 0.5), strands)).ids
    assert (ids[:, :32] == Material.HAIR).any() and not (ids[:, 32:] == Material.HAIR).any()
    assert (ids[:, 32:] == Material.BEARD).any()


def test_fine_hair_covers_by_its_width() -> None:
    points = np.array([[[x, y, 1] for y in np.linspace(-0.9, 0.9, 9)] for x in np.linspace(-0.9, 0.9, 40)], np.float32)
    colours, kinds = np.full((40, 3), 0.5, np.float32), np.full(40, Material.HAIR, np.uint8)
    light = []
    for width in (0.002, 0.004, 0.008):
        strands = Strands(points, colours, np.full((40, 9), width, np.float32), kinds)
        light.append(shown(figure(square(0, 0.1, 0.5), strands)).rgb[18:28].sum())
    assert 1.5 < light[1] / light[0] < 2.6 and 1.4 < light[2] / light[1] < 2.6


def test_what_is_cut_away_is_not_drawn() -> None:
    mesh = square(0, 1, 0.5)
    cut = replace(
        mesh, attributes=np.where(np.arange(4) == 0, -1, mesh.attributes[:, 0] * 0 + -1)[:, None] * vector(1, 0, 0, 0)
    )
    assert (shown(figure(cut)).ids == Material.BACKGROUND).all()


def test_necks_cover_in_their_order() -> None:
    throat, chest, arm = [0, 5.9, 0.9], [0, 4.0, 1.0], [3.0, 4.6, 0.1]
    points = np.array([throat, chest, arm], np.float32)
    assert garment_cover(points, "turtle", "long").tolist() > [0, 0, 0]
    crew = garment_cover(points, "crew", "short")
    assert crew[0] < 0 < crew[1] and crew[2] < 0
