"""Options of the form NAME=VALUE: strengths, places of people in a picture, photos to compare with."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from onephoto.errors import SettingError

if TYPE_CHECKING:
    from PIL import Image

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
            flag, example = wanted.split()
            raise SettingError(f"{flag} {option}: give it as {example}") from error
    return values


def strengths_of(options: list[str] | None) -> dict[str, float]:
    """--strength."""
    return by_name(options, float, "--strength NAME=0.8")


def regions_of(options: list[str] | None) -> "dict[str, Box]":
    """--region."""
    return by_name(options, _box, "--region NAME=left,top,right,bottom")


def photos_of(options: list[str] | None) -> "dict[str, Vector]":
    """--check: the face vector of each photo."""
    from onephoto.evaluate.who import photo_vector

    return {name: photo_vector(path) for name, path in by_name(options, _path, "--check NAME=PHOTO").items()}


def checked(image: "Image.Image", photos: "dict[str, Vector]", regions: "dict[str, Box]") -> "list[Finding]":
    """What became of the people of --check in a picture; nothing without that option."""
    from onephoto.evaluate.who import check

    return check(image, photos, regions) if photos else []


def _box(text: str) -> "Box":
    left, top, right, bottom = (float(part) for part in text.split(","))
    return left, top, right, bottom


def _path(text: str) -> Path:
    if not text:
        raise ValueError
    return Path(text)
