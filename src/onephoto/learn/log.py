"""The log of a run: one JSON record a line, so that a run cut off at any point leaves a readable file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def append(path: Path, record: Mapping[str, Any]) -> None:
    """Adds a record as the last line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(dict(record)) + "\n")


def read(path: Path) -> list[dict[str, Any]]:
    """All records; a last line that was cut off in writing is left out."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]
