"""Pictures on disk, each with everything that made it inside."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from onephoto.errors import SettingError

CHUNK = "onephoto"
LONGEST_SLUG = 60


def save_picture(folder: Path, image: Image.Image, settings: Mapping[str, Any]) -> Path:
    """Write a PNG named after its prompt and seed, its settings inside as JSON; gives its path.

    No picture is overwritten, and none is seen half written. settings must hold "prompt" and "seed".
    """
    words = re.sub(r"[^a-z0-9]+", "-", str(settings["prompt"]).lower()).strip("-")[:LONGEST_SLUG].strip("-")
    stem = f"{words or 'picture'}-seed{settings['seed']}"
    chunk = PngImagePlugin.PngInfo()
    chunk.add_itxt(CHUNK, json.dumps(dict(settings), ensure_ascii=False))
    partial = folder / f".{stem}.{os.getpid()}.partial"
    try:
        image.save(partial, format="PNG", pnginfo=chunk)
        return _placed(partial, folder, stem)
    except OSError as error:
        raise SettingError(f"{folder}: cannot be written to ({error.strerror}); choose another --out") from error
    finally:
        partial.unlink(missing_ok=True)


def _placed(partial: Path, folder: Path, stem: str) -> Path:
    """Give a finished file the first free name; a link fails where a rename would overwrite."""
    number = 1
    while True:
        path = folder / (f"{stem}.png" if number == 1 else f"{stem}-{number}.png")
        try:
            os.link(partial, path)
            return path
        except FileExistsError:
            number += 1


def read_settings(path: Path) -> dict[str, Any]:
    """The settings inside a picture; raises SettingError when it is none or holds none."""
    try:
        with Image.open(path) as image:
            text = image.info.get(CHUNK)
    except FileNotFoundError as error:
        raise SettingError(f"{path}: no such file") from error
    except (UnidentifiedImageError, OSError) as error:
        raise SettingError(f"{path}: not a picture") from error
    if text is None:
        raise SettingError(f"{path}: not made by onephoto, or its settings were stripped")
    return json.loads(text)
