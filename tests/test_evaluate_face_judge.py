from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from onephoto.errors import ModelError
from onephoto.evaluate.face_judge import (
    CALIBRATION,
    CONFIG,
    WEIGHTS,
    FaceCalibration,
    FaceJudge,
    face_crop,
    load_face_judge,
    pair_distances,
    save_face_judge,
)
from onephoto.evaluate.face_network import FaceConfig, FaceNetwork
from onephoto.identity.faces import detect_faces
from onephoto.world.people import person
from onephoto.world.picture import take_picture
from onephoto.world.shots import sample_shot

CALIBRATED = FaceCalibration(0.8, 0.97, (0.5, 0.1), (1.2, 0.2), 30, 120)


def tiny_face_judge() -> FaceJudge:
    torch.manual_seed(0)
    return FaceJudge(FaceNetwork(FaceConfig(channels=(8, 8, 8, 8), width=8)).eval().requires_grad_(False), CALIBRATED)


def picture(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (60, 60, 3), np.uint8))


def test_a_crop_is_the_square_about_the_box() -> None:
    pixels = np.zeros((60, 60, 3), np.uint8)
    pixels[20:30, 10:20] = 200
    exact = face_crop(Image.fromarray(pixels), (10, 20, 20, 30), size=10, margin=1.0)
    assert exact.shape == (10, 10, 3) and (exact == 200).all()
    wide = face_crop(Image.fromarray(pixels), (10, 20, 20, 30), size=20, margin=2.0)
    assert (wide[5:15, 5:15] == 200).all() and wide.astype(int).sum() == 200 * 100 * 3
    beyond = face_crop(Image.new("RGB", (60, 60), "white"), (-10, 0, 10, 20), size=20, margin=1.0)
    assert (beyond[:, :10] == 0).all() and (beyond[:, 10:] == 255).all()


def test_the_worlds_box_is_much_like_dlibs() -> None:
    somebody = person(41_000)
    shot = sample_shot(np.random.default_rng(3), somebody, view="head", worn=(), held=None, head=(0.0, 0.0, 0.0))
    taken = take_picture(somebody, shot, size=128)
    own = 128 * np.array(taken.facts["face"])
    found = np.array(detect_faces(Image.fromarray(taken.image))[0].box)
    low, high = np.maximum(own[:2], found[:2]), np.minimum(own[2:], found[2:])
    shared = np.prod(high - low)
    assert shared / (np.prod(own[2:] - own[:2]) + np.prod(found[2:] - found[:2]) - shared) > 0.5


def test_one_person_is_nearer_than_two_by_the_threshold() -> None:
    judge = tiny_face_judge()
    near, far = np.array([1.0, 0, 0], np.float32), np.array([0, 1.0, 0], np.float32)
    assert judge.is_same(near, near) and not judge.is_same(near, far)
    same, different = pair_distances(np.stack([near, near, far]), [1, 1, 2])
    assert same.tolist() == [0] and different == pytest.approx([2**0.5, 2**0.5])
    with pytest.raises(ModelError, match="no calibration"):
        FaceJudge(judge.network).is_same(near, near)


def test_no_face_no_vector() -> None:
    assert tiny_face_judge().face_vector(picture()) is None


def test_a_face_judge_comes_back_from_its_folder(tmp_path: Path) -> None:
    judge, box = tiny_face_judge(), (10, 10, 40, 40)
    save_face_judge(judge, tmp_path)
    again = load_face_judge(tmp_path)
    assert again.calibration == CALIBRATED and again.network.config == judge.network.config
    assert again.name == judge.name == "threshold 0.8000, AUC 0.9700"
    np.testing.assert_allclose(again.vector(picture(), box), judge.vector(picture(), box), atol=5e-3)


def test_missing_or_damaged_files_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no face judge here"):
        load_face_judge(tmp_path)
    save_face_judge(tiny_face_judge(), tmp_path)
    (tmp_path / CALIBRATION).unlink()
    assert load_face_judge(tmp_path).calibration is None
    weights = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(weights[:100])
    with pytest.raises(ModelError, match="cannot be read") as cut:
        load_face_judge(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(weights)
    (tmp_path / CONFIG).write_text('{"size": 3}')
    with pytest.raises(ModelError, match="cannot be read") as other:
        load_face_judge(tmp_path)
    assert all("\n" not in str(error.value) for error in (cut, other))


def test_it_keeps_its_budget() -> None:
    assert 0.3e6 < sum(parameter.numel() for parameter in FaceNetwork(FaceConfig()).parameters()) < 0.6e6
