from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onephoto.errors import PhotoError
from onephoto.evaluate.who import Seen, between, check, findings, photo_vector
from onephoto.identity import faces
from onephoto.identity.faces import Face

LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
PLACES = {"alice": LEFT, "bob": RIGHT}
ON_LEFT, ON_RIGHT = (0.25, 0.4), (0.75, 0.4)


def vector(*numbers: float) -> np.ndarray:
    return np.array([*numbers, *[0.0] * (128 - len(numbers))])


ALICE, BOB = vector(0.0), vector(0.8)
PHOTOS = {"alice": ALICE, "bob": BOB}
# Two pictures of one person are some .4 apart, in other directions than two people are.
OTHER_LIGHT = vector(0.0, 0.4)


def verdicts(faces: list[Seen], places: dict | None = None) -> dict[str, tuple[str, str | None]]:
    return {found.name: (found.verdict, found.other) for found in findings(PHOTOS, faces, places or {})}


def test_people_in_their_places_are_there() -> None:
    shown = [Seen(ON_RIGHT, BOB + OTHER_LIGHT), Seen(ON_LEFT, ALICE + OTHER_LIGHT)]
    assert verdicts(shown, PLACES) == {"alice": ("there", None), "bob": ("there", None)}


def test_people_in_one_anothers_places_are_swapped() -> None:
    shown = [Seen(ON_LEFT, BOB + OTHER_LIGHT), Seen(ON_RIGHT, ALICE)]
    assert verdicts(shown, PLACES) == {"alice": ("swapped", "bob"), "bob": ("swapped", "alice")}
    assert verdicts(shown) == {"alice": ("there", None), "bob": ("there", None)}


def test_a_face_half_way_is_a_blend() -> None:
    middle = (ALICE + BOB) / 2 + OTHER_LIGHT
    assert verdicts([Seen(ON_LEFT, middle), Seen(ON_RIGHT, middle)]) == {
        "alice": ("blended", "bob"),
        "bob": ("blended", "alice"),
    }


def test_nobody_and_strangers_are_missing() -> None:
    assert verdicts([]) == {"alice": ("missing", None), "bob": ("missing", None)}
    stranger = Seen(ON_LEFT, vector(-0.5, 0.9))
    assert verdicts([stranger, Seen(ON_RIGHT, BOB)]) == {"alice": ("missing", None), "bob": ("there", None)}


def test_between_is_one_at_oneself_whatever_the_light() -> None:
    assert between(ALICE + OTHER_LIGHT, ALICE, BOB) == pytest.approx(1)
    assert between(BOB + OTHER_LIGHT, ALICE, BOB) == pytest.approx(-1)
    assert between((ALICE + BOB) / 2, ALICE, BOB) == pytest.approx(0)


def test_a_picture_is_checked_in_shares_pixels_or_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = [(Face((40, 20, 80, 60), 1.0), BOB), (Face((140, 20, 180, 60), 1.0), ALICE)]
    monkeypatch.setattr(faces, "known_faces", lambda image: seen)
    image = Image.new("RGB", (200, 100))
    left = np.arange(200)[None].repeat(100, 0) < 100
    pixels = {"alice": (0.0, 0.0, 100.0, 100.0), "bob": (100.0, 0.0, 200.0, 100.0)}
    for places in (PLACES, pixels, {"alice": Image.fromarray(left), "bob": ~left}):
        assert [str(one) for one in check(image, PHOTOS, places)] == [
            "<alice> swapped with <bob> (ID 1.00)",
            "<bob> swapped with <alice> (ID 1.00)",
        ]
    assert [one.verdict for one in check(image, PHOTOS)] == ["there", "there"]


def test_a_photo_without_a_face_cannot_be_compared_with(tmp_path: Path) -> None:
    Image.new("RGB", (100, 100)).save(tmp_path / "nobody.png")
    with pytest.raises(PhotoError, match="no face found to compare"):
        photo_vector(tmp_path / "nobody.png")
    assert faces.known_faces(Image.new("RGB", (100, 100))) == []
