"""Options of the form NAME=VALUE: strengths, places of people in a picture, photos to compare with."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from onephoto.errors import SettingError

if TYPE_CHECKING:
    from PIL import Image

    from onephoto.backbone.places import Region
    from onephoto.core.regions import Box
    from onephoto.evaluate.who import Finding, Vector

Value = TypeVar("Value")


def by_name(options: list[str] | None, read: Callable[[str], Value], wanted: str) -> dict[str, Value]:
    """The options by name, in lower case; raises SettingError saying what is wanted, as in "--strength NAME=0.8"."""
    values = {}
    for option in options or []:
        name, _, text = option.partition("=")
        try:
            values[name.lower()] = read(text)
        except ValueError as error:
            flag, example = wanted.split(maxsplit=1)
            raise SettingError(f"{flag} {option}: give it as {example}") from error
    return values


def strengths_of(options: list[str] | None) -> dict[str, float]:
    """--strength."""
    return by_name(options, float, "--strength NAME=0.8")


def regions_of(options: list[str] | None) -> "dict[str, Box | Path]":
    """--region: boxes, and files of masks."""
    return by_name(options, _box_or_file, "--region NAME=left,top,right,bottom or NAME=MASK.png")


def opened(regions: "Mapping[str, Box | Path]") -> "dict[str, Region]":
    """The same with the pictures of masks in place of their files."""
    from onephoto.backbone.places import read_mask

    return {name: read_mask(place, name) if isinstance(place, Path) else place for name, place in regions.items()}


def plain(regions: "Mapping[str, Box | Path]") -> "dict[str, Box | str]":
    """The same as a picture's settings say it: of a mask the name of its file."""
    return {name: place.name if isinstance(place, Path) else place for name, place in regions.items()}


def photos_of(options: list[str] | None) -> "dict[str, Vector]":
    """--check: the face vector of each photo."""
    from onephoto.evaluate.who import photo_vector

    return {name: photo_vector(path) for name, path in by_name(options, _path, "--check NAME=PHOTO").items()}


def checked(image: "Image.Image", photos: "dict[str, Vector]", regions: "Mapping[str, Region]") -> "list[Finding]":
    """What became of the people of --check in a picture; nothing without that option."""
    from onephoto.evaluate.who import check

    return check(image, photos, regions) if photos else []


def _box_or_file(text: str) -> "Box | Path":
    if any(letter.isalpha() for letter in text):
        return Path(text)
    left, top, right, bottom = (float(part) for part in text.split(","))
    return left, top, right, bottom


def _path(text: str) -> Path:
    if not text:
        raise ValueError
    return Path(text)
