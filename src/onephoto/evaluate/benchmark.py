"""The comparison: the same people, prompts and seeds for every method; what is done already is not done again."""

import csv
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from onephoto.evaluate.metrics import distances, likeness, likeness_where
from onephoto.evaluate.people import Sitter
from onephoto.identity.faces import face_vector
from onephoto.identity.file import IdentityFile
from onephoto.identity.file import load as load_identity
from onephoto.identity.file import save as save_identity
from onephoto.world.prompts import SETS, Prompt

Learner = Callable[[Sitter, str], IdentityFile]
"""Learns a sitter by the method named."""
Painter = Callable[[str, IdentityFile, int], Image.Image]
"""Draws a prompt with "<name>" in it, for a seed."""
NAME = "sitter"


class PromptJudge(Protocol):
    """Says how well pictures fit texts, and from which similarity on they fit."""

    def prompt_similarity(self, images: Sequence[Image.Image], texts: Sequence[str]) -> Any:
        """Similarities (B,)."""

    def prompt_passes(self, images: Sequence[Image.Image], texts: Sequence[str]) -> Any:
        """True where a picture fits (B,)."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is compared: methods by name, seeds of people, prompt sets and how many of each, first seed of pictures."""

    methods: tuple[str, ...]
    people: tuple[int, ...]
    sets: tuple[str, ...] = tuple(SETS)
    prompts_each: int = 10
    seed: int = 0
    subject: str = "person"
    drawing: Mapping[str, Any] = field(default_factory=dict)

    def prompts(self) -> Iterator[tuple[str, int, Prompt]]:
        """Set, number in the set, prompt."""
        for name in self.sets:
            yield from ((name, number, prompt) for number, prompt in enumerate(SETS[name][: self.prompts_each]))


@dataclass(frozen=True)
class Row:
    """One picture and what was measured on it; `distance` is nan where no face was found."""

    method: str
    person: int
    set: str
    prompt: str
    seed: int
    distance: float
    to_second: float
    id: float
    similarity: float
    passes: bool
    id_p: float
    seconds: float
    bytes: int


def run(
    plan: Plan, folder: Path, *, sitters: Mapping[int, Sitter], learn: Learner, paint: Painter, judge: PromptJudge
) -> Iterator[list[Row]]:
    """The rows of one method and person after another.

    Identities, pictures and rows lie in the folder, written whole or not at all; those that are there are taken up.
    """
    for seed in plan.people:
        for method in plan.methods:
            path = folder / "rows" / f"{method}-{seed}.json"
            if not path.exists():
                identity, seconds = _learned(folder / "identities" / f"{method}-{seed}", sitters[seed], method, learn)
                images = [_drawn(folder, identity, plan, seed, item, paint) for item in plan.prompts()]
                size = (folder / "identities" / f"{method}-{seed}.safetensors").stat().st_size
                rows = judged(plan, method, sitters[seed], images, judge=judge, cost=(seconds, size))
                _write_whole(path, json.dumps([asdict(row) for row in rows], indent=1))
            yield [Row(**row) for row in json.loads(path.read_text())]


def _learned(stem: Path, sitter: Sitter, method: str, learn: Learner) -> tuple[IdentityFile, float]:
    """The identity and the seconds that learning took."""
    file, note = stem.with_suffix(".safetensors"), stem.with_suffix(".json")
    stem.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists() or not note.exists():
        started = time.monotonic()
        identity = learn(sitter, method)
        _write_whole(note, json.dumps({"seconds": time.monotonic() - started}))
        save_identity(file, identity)
    return load_identity(file), json.loads(note.read_text())["seconds"]


def _drawn(
    folder: Path, identity: IdentityFile, plan: Plan, seed: int, item: tuple[str, int, Prompt], paint: Painter
) -> Image.Image:
    """One picture, from the folder where it is there."""
    name, number, prompt = item
    path = folder / "pictures" / f"{identity.method}-{seed}" / f"{name}-{number}.png"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        image = paint(prompt(f"<{identity.name}>"), identity, plan.seed + number)
        partial = path.with_suffix(".partial")
        image.save(partial, format="png")
        os.replace(partial, path)
    with Image.open(path) as image:
        return image.convert("RGB")


def judged(
    plan: Plan, method: str, sitter: Sitter, images: Sequence[Image.Image], *, judge: PromptJudge,
    cost: tuple[float, int],
) -> list[Row]:  # fmt: skip
    """Rows of one person's pictures, in the order of the plan's prompts; cost is seconds to learn and bytes kept."""
    items = list(plan.prompts())
    texts = [prompt(plan.subject) for _, _, prompt in items]
    similarity = np.asarray(judge.prompt_similarity(images, texts), float)
    passes = np.asarray(judge.prompt_passes(images, texts), bool)
    found = [face_vector(image) for image in images]
    vectors = np.stack([np.full(128, np.nan) if vector is None else vector for vector in found])
    to_photo, to_second = (distances(vector, vectors) for vector in (sitter.photo_vector, sitter.second_vector))
    ids = likeness(to_photo)
    fitting = likeness_where(passes, ids)
    return [
        Row(
            method, sitter.person.seed, name, prompt.text, plan.seed + number, float(to_photo[k]), float(to_second[k]),
            float(ids[k]), float(similarity[k]), bool(passes[k]), float(fitting[k]), *cost,
        )
        for k, (name, number, prompt) in enumerate(items)
    ]  # fmt: skip


def write_table(rows: Sequence[Row], path: Path) -> None:
    """All rows as CSV."""
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(Row.__dataclass_fields__))
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    os.replace(partial, path)


def _write_whole(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    os.replace(partial, path)
