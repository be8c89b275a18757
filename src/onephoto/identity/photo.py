"""A photo in: any common format, upright, on a square around the face."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from onephoto.errors import PhotoError
from onephoto.identity.subjects import is_person

Box = tuple[int, int, int, int]

SMALLEST_SIDE, SMALLEST_FACE = 64, 40
FACE_SHARE = 0.45
"""A face's share of the square's side: head and shoulders."""
FACE_HEIGHT = 0.47
"""Where in the square the face's middle lies, from the top."""
HEIC = (".heic", ".heif")


@dataclass(frozen=True)
class Photo:
    """A square RGB picture, the file it came from, and the square (left, top, right, bottom) in that file's pixels."""

    image: Image.Image
    source: Path
    box: Box


def read_photo(
    path: Path | str, *, size: int, box: Box | None = None, crop: bool = True, subject: str = "person"
) -> Photo:
    """A photo as a square of `size` pixels.

    People are cropped around their face: the one that is found, or the one marked by `box`. Without `crop`, and for
    other subjects, it is the middle square. Raises PhotoError in one line that says the way on.
    """
    path = Path(path)
    image = open_upright(path)
    if min(image.size) < SMALLEST_SIDE:
        raise PhotoError(
            f"{path}: {image.width} x {image.height} pixels are too few; give a photo of {SMALLEST_SIDE} up"
        )
    if box is not None:
        square = around(_checked(box, image, path))
    elif crop and is_person(subject):
        square = around(_only_face(image, path))
    else:
        square = _middle(image)
    square = inside(square, image.size)
    return Photo(cut(image, square).resize((size, size), Image.Resampling.LANCZOS), path, square)


def open_upright(path: Path) -> Image.Image:
    """Any picture as 8-bit RGB, turned as its EXIF data says, transparency over white."""
    if path.is_dir():
        raise PhotoError(f"{path}: a folder; name the photo in it")
    if not path.exists():
        raise PhotoError(f"{path}: no such file")
    if path.suffix.lower() in HEIC:
        _read_heic(path)
    try:
        with Image.open(path) as opened:
            opened.load()
            return to_rgb(ImageOps.exif_transpose(opened))
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise PhotoError(f"{path}: not a whole picture that can be read; save it as JPEG or PNG again") from error


def _read_heic(path: Path) -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise PhotoError(
            f"{path}: HEIC needs one package more (pip install pillow-heif), or save it as JPEG"
        ) from error
    register_heif_opener()


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode as RGB: 16-bit and float scaled to 8 bits, transparency over white."""
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, np.float32)
        full = 65535 if image.mode.startswith("I") and values.max() > 255 else max(float(values.max()), 1.0)
        scaled = values if image.mode == "I" and values.max() <= 255 else values * (255 / full)
        return Image.fromarray(np.clip(scaled, 0, 255).astype(np.uint8)).convert("RGB")
    if "A" in image.getbands() or "transparency" in image.info:
        layered = image.convert("RGBA")
        paper = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(paper, layered).convert("RGB")
    return image.convert("RGB")


def _only_face(image: Image.Image, path: Path) -> Box:
    from onephoto.identity.faces import detect_faces

    faces = detect_faces(image)
    if not faces:
        raise PhotoError(f"{path}: no face found; pass --box left,top,right,bottom to mark it, or --no-crop")
    if len(faces) > 1:
        boxes = "; ".join(",".join(str(side) for side in face.box) for face in faces)
        raise PhotoError(f"{path}: {len(faces)} faces found; choose one with --box (they are {boxes})")
    box = faces[0].box
    if box[2] - box[0] < SMALLEST_FACE:
        raise PhotoError(f"{path}: the face is only {box[2] - box[0]} pixels wide; give a photo taken from nearer")
    return box


def _checked(box: Box, image: Image.Image, path: Path) -> Box:
    left, top, right, bottom = box
    if not (0 <= left < right <= image.width and 0 <= top < bottom <= image.height):
        raise PhotoError(f"{path}: the box {box} is not inside its {image.width} x {image.height} pixels")
    return box


def around(face: Box) -> Box:
    """The square around a face's box, in which the face has its share of the side."""
    left, top, right, bottom = face
    side = round(max(right - left, bottom - top) / FACE_SHARE)
    x = round((left + right) / 2 - side / 2)
    y = round((top + bottom) / 2 - side * FACE_HEIGHT)
    return x, y, x + side, y + side


def _middle(image: Image.Image) -> Box:
    side = min(image.size)
    x, y = (image.width - side) // 2, (image.height - side) // 2
    return x, y, x + side, y + side


def inside(square: Box, size: tuple[int, int]) -> Box:
    """The square moved into the picture as far as it fits."""
    left, top, right, bottom = square
    for low, high, length, axis in ((left, right, size[0], 0), (top, bottom, size[1], 1)):
        shift = max(0, -low) - max(0, high - length) if high - low <= length else 0
        if axis == 0:
            left, right = left + shift, right + shift
        else:
            top, bottom = top + shift, bottom + shift
    return left, top, right, bottom


def cut(image: Image.Image, square: Box) -> Image.Image:
    """The square out of a picture; what lies outside repeats the picture's edge."""
    left, top, right, bottom = square
    columns = np.clip(np.arange(left, right), 0, image.width - 1)
    rows = np.clip(np.arange(top, bottom), 0, image.height - 1)
    return Image.fromarray(np.asarray(image)[rows][:, columns])
