import numpy as np
import pytest
from PIL import Image

from onephoto.backbone.control import load_control
from onephoto.backbone.load import load_backbone
from onephoto.evaluate import control
from onephoto.evaluate.control import control_painters, error_ratio, landmark_error, pose_errors, poses
from onephoto.generate.draw import DrawSettings
from onephoto.identity.faces import face_points

FACE = np.array([[70.0, 40], [60, 40], [30, 40], [40, 40], [50, 60]])


def test_the_error_counts_in_distances_between_the_eyes() -> None:
    assert landmark_error(FACE, FACE) == 0
    assert landmark_error(FACE, FACE + np.array([3.0, 4.0])) == pytest.approx(5 / 30)
    assert landmark_error(2 * FACE, 2 * FACE + np.array([6.0, 8.0])) == pytest.approx(5 / 30)


def test_pictures_without_a_face_are_left_out() -> None:
    assert error_ratio([0.1, None, 0.3], [0.4, 0.4, None]) == pytest.approx(0.5)
    assert np.isnan(error_ratio([None], [0.4]))


def test_poses_fit_the_pictures_that_they_are_of(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watched(image: Image.Image) -> np.ndarray | None:
        seen.append(image)
        return face_points(image)

    monkeypatch.setattr(control, "face_points", watched)
    given = list(poses(2, size=128))
    pictures = [image for image in seen if face_points(image) is not None]
    assert pose_errors(lambda hint, seed: pictures[seed], given) == [0, 0]
    crossed = pose_errors(lambda hint, seed: pictures[1 - seed], given)
    assert all(error > 0.1 for error in crossed)
    assert pose_errors(lambda hint, seed: Image.new("RGB", (128, 128)), given) == [None, None]
    for (shown, points), picture in zip(given, pictures, strict=True):
        assert shown.size == picture.size == (128, 128)
        left, top = points.min(0).astype(int)
        right, bottom = points.max(0).astype(int)
        face = np.asarray(shown)[top - 4 : bottom + 4, left - 4 : right + 4].astype(int)
        assert (face.max(-1) - face.min(-1) > 60).any()


@pytest.mark.slow
def test_the_embedded_controlnet_obeys() -> None:
    """Faces stand where the pose says, of people whom no model has seen; without it they do not."""
    mini = load_backbone("mini")
    given = list(poses(4, size=mini.image_size))
    painters = control_painters(mini, load_control(mini.unet), DrawSettings(steps=10))
    steered, free = (pose_errors(paint, given) for paint in painters)
    assert sum(error is not None for error in steered) >= 2
    assert error_ratio(steered, free) < 0.5
