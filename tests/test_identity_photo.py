from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from onephoto.errors import PhotoError
from onephoto.identity.faces import detect_faces, face_vector
from onephoto.identity.photo import around, read_photo, to_rgb

SPEC = find_spec("openpeople")
CURATED = Path(SPEC.origin).parent / "data" / "curated" if SPEC and SPEC.origin else None
portraits = pytest.mark.skipif(CURATED is None, reason="the package openpeople is not installed")


def portrait(number: int, kind: str = "studio_portrait") -> Path:
    assert CURATED is not None
    return CURATED / f"P00{number}" / "assets" / f"{kind}.jpg"


def gradient(width: int, height: int) -> Image.Image:
    row = np.linspace(0, 255, width)[None].repeat(height, 0)
    return Image.fromarray(np.stack([row, row, row], -1).astype(np.uint8))


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(PhotoError) as error:
        read_photo(path, size=64, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@portraits
def test_a_portrait_is_cropped_around_its_face() -> None:
    photo = read_photo(portrait(1), size=256)
    assert read_photo(portrait(1), size=256, subject="young woman").box == photo.box
    assert photo.image.size == (256, 256)
    face = detect_faces(photo.image)[0].box
    assert 0.33 < (face[2] - face[0]) / 256 < 0.6
    assert abs((face[0] + face[2]) / 2 - 128) < 30


@portraits
def test_photos_of_one_person_are_nearer_than_of_two() -> None:
    own, same, other = (
        face_vector(read_photo(path, size=384).image)
        for path in (portrait(1), portrait(1, "amateur_selfie"), portrait(2))
    )
    assert own is not None and same is not None and other is not None
    assert np.linalg.norm(own - same) < np.linalg.norm(own - other)


@portraits
def test_a_mirrored_photo_is_of_the_same_face() -> None:
    photo = read_photo(portrait(1), size=384).image
    own, mirrored = (face_vector(image) for image in (photo, ImageOps.mirror(photo)))
    assert own is not None and mirrored is not None
    assert np.linalg.norm(own - mirrored) < 0.08


@portraits
def test_a_turned_photo_stands_upright(tmp_path: Path) -> None:
    with Image.open(portrait(1)) as opened:
        small = opened.convert("RGB").resize((400, round(400 * opened.height / opened.width)))
    exif = Image.Exif()
    exif[0x0112] = 6
    small.rotate(90, expand=True).save(tmp_path / "turned.jpg", exif=exif)
    assert read_photo(tmp_path / "turned.jpg", size=128).image.size == (128, 128)


@portraits
def test_two_faces_are_listed_as_boxes(tmp_path: Path) -> None:
    with Image.open(portrait(1)) as first, Image.open(portrait(2)) as second:
        pair = Image.new("RGB", (1000, 500))
        pair.paste(first.convert("RGB").resize((500, 500)), (0, 0))
        pair.paste(second.convert("RGB").resize((500, 500)), (500, 0))
    pair.save(tmp_path / "pair.png")
    text = refusal(tmp_path / "pair.png")
    assert "2 faces" in text and "--box" in text
    box = tuple(int(side) for side in text.split("they are ")[1].split(";")[0].split(")")[0].split(","))
    assert read_photo(tmp_path / "pair.png", size=64, box=box).image.size == (64, 64)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1", "I;16", "I", "F"])
def test_every_mode_becomes_the_same_grey_ramp(mode: str) -> None:
    image = gradient(256, 64)
    if mode in ("I;16", "I", "F"):
        image = Image.fromarray((np.asarray(image)[..., 0].astype(np.float32) * 257).astype(np.uint16))
        image = image if mode == "I;16" else image.convert(mode)
    elif mode == "LA":
        image = image.convert("L").convert("LA")
    else:
        image = image.convert(mode)
    ramp = np.asarray(to_rgb(image), np.float32)
    assert ramp.shape == (64, 256, 3)
    assert abs(ramp[:, :64].mean() - 32) < 8 and abs(ramp[:, 192:].mean() - 223) < 8


def test_transparency_is_white() -> None:
    assert np.asarray(to_rgb(Image.new("RGBA", (4, 4), (0, 0, 0, 0)))).min() == 255


def test_what_cannot_be_used_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not a picture")
    gradient(40, 40).save(tmp_path / "small.png")
    gradient(200, 200).save(tmp_path / "empty.png")
    whole = tmp_path / "whole.jpg"
    gradient(300, 300).save(whole)
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[:700])
    assert "no such file" in refusal(tmp_path / "none.jpg")
    assert "folder" in refusal(tmp_path)
    assert "save it as JPEG" in refusal(tmp_path / "text.jpg")
    assert "save it as JPEG" in refusal(tmp_path / "cut.jpg")
    assert "too few" in refusal(tmp_path / "small.png")
    assert "--box" in refusal(tmp_path / "empty.png")
    assert "not inside" in refusal(tmp_path / "empty.png", box=(10, 10, 300, 50))


def test_other_subjects_and_no_crop_take_the_middle_square(tmp_path: Path) -> None:
    gradient(300, 100).save(tmp_path / "wide.png")
    for options in ({"subject": "dog"}, {"crop": False}):
        assert read_photo(tmp_path / "wide.png", size=64, **options).box == (100, 0, 200, 100)


def test_the_square_around_a_face_repeats_edges(tmp_path: Path) -> None:
    gradient(100, 100).save(tmp_path / "near.png")
    photo = read_photo(tmp_path / "near.png", size=64, box=(10, 10, 90, 90))
    left, _, right, _ = photo.box
    assert right - left == around((10, 10, 90, 90))[2] - around((10, 10, 90, 90))[0] > 100
    assert np.asarray(photo.image)[:, 0].max() < 6
