from pathlib import Path

import numpy as np
import pytest

from onephoto.errors import WorldError
from onephoto.world.dataset import render
from onephoto.world.drawing import Material
from onephoto.world.maps import FARTHEST, depth_map, hint, maps_of, pose_map
from onephoto.world.pair import sample_pair, take_pair
from onephoto.world.people import person
from onephoto.world.picture import Picture, take_picture
from onephoto.world.points import NAMES, Points
from onephoto.world.shots import sample_shot

SIZE = 128
FRONT = {"head": (0.0, 0.0, 0.0), "camera": (0.0, 0.0), "worn": (), "held": None, "seated": None}


def portrait(**fixed: object) -> Picture:
    somebody = person(40_001)
    shot = sample_shot(
        np.random.default_rng(1), somebody, **(FRONT | {"view": "close", "expression": "neutral"} | fixed)
    )
    return take_picture(somebody, shot, size=SIZE)


@pytest.fixture(scope="module")
def front() -> Picture:
    return portrait()


def test_eyes_lie_on_the_eyes_and_the_nose_between_them(front: Picture) -> None:
    (points,) = front.points
    assert points.seen[[NAMES.index(name) for name in NAMES if "lid" in name or name in ("nose", "chin")]].all()
    for side, material in (("left", Material.LEFT_EYE), ("right", Material.RIGHT_EYE)):
        rows, columns = np.nonzero(front.ids == material)
        corners = [points.named(f"{side} {end} corner")[0] for end in ("inner", "outer")]
        assert min(corners) - 2 < columns.min() and columns.max() < max(corners) + 2
        assert points.named(f"{side} upper lid")[1] < rows.mean() + 1 < points.named(f"{side} lower lid")[1] + 2
    x = {name: points.named(name)[0] for name in NAMES}
    assert x["right inner corner"] < x["nose"] < x["left inner corner"]


def test_the_far_eye_is_hidden_in_profile() -> None:
    (points,) = portrait(head=(55.0, 0.0, 0.0), camera=(-25.0, 0.0)).points
    seen = dict(zip(NAMES, points.seen, strict=True))
    assert seen["right outer corner"] and not seen["left outer corner"]


def test_the_nearest_is_white_and_the_backdrop_black(front: Picture) -> None:
    shown = depth_map(front.depth)
    assert shown.dtype == np.float32 and shown.max() == 1
    backdrop = ~np.isfinite(front.depth)
    assert (shown[backdrop] == 0).all() and shown[~backdrop].min() == pytest.approx(FARTHEST)
    order = np.argsort(front.depth[~backdrop])
    assert (np.diff(shown[~backdrop][order]) <= 0).all()
    assert depth_map(np.full((4, 4), np.inf, np.float32)).max() == 0


def test_the_pose_is_drawn_where_the_points_are(front: Picture) -> None:
    drawn = pose_map(front.points, SIZE)
    rows, columns = np.nonzero(drawn.any(-1))
    where = front.points[0].where[front.points[0].seen]
    assert columns.min() >= where[:, 0].min() - 4 and rows.min() >= where[:, 1].min() - 4
    for x, y in where.astype(int):
        assert drawn[y, x].any()
    nobody = Points(np.zeros((len(NAMES), 2), np.float32), np.zeros(len(NAMES), np.bool_))
    assert not pose_map([nobody], SIZE).any() and not pose_map([], SIZE).any()


def test_a_hint_is_pose_before_depth_or_one_of_them(front: Picture) -> None:
    maps = maps_of(front)
    assert maps.shape == (SIZE, SIZE, 4) and maps.dtype == np.uint8
    both, pose, depth = hint(maps), hint(maps, depth=False), hint(maps, pose=False)
    lines = maps[..., :3].any(-1)
    assert np.array_equal(both[lines], maps[lines][:, :3]) and np.array_equal(both[~lines], depth[~lines])
    assert np.array_equal(pose, maps[..., :3]) and (depth == maps[..., 3:]).all()


def test_both_people_of_a_picture_have_their_points() -> None:
    people = (person(40_001), person(40_002))
    picture = take_pair(people, sample_pair(np.random.default_rng(0), people), size=SIZE)
    left, right = (points.named("nose")[0] for points in picture.points)
    assert left < SIZE / 2 < right


def rendered(folder: Path, **options: object) -> dict[str, bytes]:
    render(folder, range(40_000, 40_002), 2, size=32, **options)
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.*"))}


def test_maps_can_be_added_to_pictures_that_are_there(tmp_path: Path) -> None:
    plain, whole = rendered(tmp_path / "a"), rendered(tmp_path / "b", maps=True)
    assert {*whole} - {*plain} == {"maps/00000.npy"}
    assert rendered(tmp_path / "a", maps=True) == whole
    assert np.load(tmp_path / "a" / "maps" / "00000.npy").shape == (4, 32, 32, 4)


def test_maps_are_not_added_to_pictures_of_another_version(tmp_path: Path) -> None:
    rendered(tmp_path)
    images = np.load(tmp_path / "00000.npy")
    np.save(tmp_path / "00000.npy", images // 2)
    with pytest.raises(WorldError, match="another version"):
        rendered(tmp_path, maps=True)


def test_things_have_depth_and_no_pose(tmp_path: Path) -> None:
    render(tmp_path, range(1), 1, size=32, subject="dog", maps=True)
    maps = np.load(tmp_path / "maps" / "00000.npy")
    assert maps[..., 3].max() == 255 and not maps[..., :3].any()
