"""Who is learned from which photos into which file: one person from all of them, or one from each."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from onephoto.errors import SettingError


@dataclass(frozen=True)
class Sitting:
    """A person to be learned: the name in prompts, the photos, the identity file to write."""

    name: str
    photos: tuple[Path, ...]
    target: Path


def one_sitting(photos: Sequence[Path], name: str | None, out: Path | None) -> Sitting:
    """All photos as one person's; raises SettingError without a name, or when the file's folder is not there."""
    if name is None:
        raise SettingError("who is it? give --name alice, or --each for one person a photo")
    target = out or Path(f"{name}.safetensors")
    if not target.parent.is_dir():
        raise SettingError(f"{target.parent}: no such folder; make it, or choose another --out")
    return Sitting(name, tuple(photos), target)


def sittings_of_each(photos: Sequence[Path], folder: Path) -> list[Sitting]:
    """One person a photo, named after its file, in the folder, which is made; raises SettingError when names clash."""
    named: dict[str, Path] = {}
    for photo in photos:
        name = name_from(photo)
        if name in named:
            raise SettingError(f"{named[name]} and {photo} would both be <{name}>; rename one, or leave it out")
        named[name] = photo
    if folder.exists() and not folder.is_dir():
        raise SettingError(f"{folder}: a file; --out is a folder with --each")
    folder.mkdir(parents=True, exist_ok=True)
    return [Sitting(name, (photo,), folder / f"{name}.safetensors") for name, photo in named.items()]


def name_from(photo: Path) -> str:
    """A file's stem as a name that can stand in a prompt: a-z, 0-9, _ and -, beginning with a letter."""
    plain = unicodedata.normalize("NFKD", photo.stem).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9_]+", "-", plain).strip("-_")
    if not name:
        raise SettingError(f"{photo}: no name can be made of it; rename the file in letters a to z")
    return name if name[0].isalpha() else f"photo-{name}"
