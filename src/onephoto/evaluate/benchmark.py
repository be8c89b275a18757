"""The comparison: the same people, prompts and seeds for every method; what is done already is not done again."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onephoto.evaluate.metrics import assigned, likeness
from onephoto.evaluate.people import Sitter, save_sitter
from onephoto.evaluate.plan import BASE, Item, Plan, Variant, take_up, write_whole
from onephoto.evaluate.rows import Row, load_rows, picture_path, plain_json, rows_path, save_rows
from onephoto.identity.faces import face_vectors
from onephoto.identity.file import IdentityFile
from onephoto.identity.file import load as load_identity
from onephoto.identity.file import save as save_identity

NAMES = ("sitter", "other")
"""What the people of a picture are called in its prompt."""
NOBODY = IdentityFile("", "", BASE, {})


class PromptJudge(Protocol):
    """Says how well pictures fit texts, and from which similarity on they fit."""

    def prompt_similarity(self, images: Sequence[Image.Image], texts: Sequence[str]) -> Any:
        """Similarities (B,)."""

    def prompt_passes(self, images: Sequence[Image.Image], texts: Sequence[str]) -> Any:
        """True where a picture fits (B,)."""


class Seen(Protocol):
    """A picture, the words of its prompt, and a map of each, (W, size, size)."""

    @property
    def image(self) -> Image.Image:
        """The picture."""

    @property
    def words(self) -> Any:
        """Words, each with its `text`."""

    @property
    def maps(self) -> Any:
        """Their maps."""


Painter = Callable[[str, Sequence[IdentityFile], int], Image.Image]
"""Draws a prompt with "<name>" of these people in it, for a seed."""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What a comparison works with, given from outside: it knows no model.

    edit gives the identity as a variant shows it; look draws a picture with a map of every word.
    """

    learn: Callable[[Sitter, Variant], IdentityFile]
    paint: Painter
    judge: PromptJudge
    edit: Callable[[IdentityFile, Variant], IdentityFile] = lambda identity, variant: identity
    look: Callable[[str, Sequence[IdentityFile], int], Seen] | None = None


def run(plan: Plan, folder: Path, *, sitters: Mapping[int, Sitter], tools: Tools) -> Iterator[list[Row]]:
    """The rows of one person and variant after another.

    People, identities, pictures, maps and rows lie in the folder, written whole or not at all; those that are there are
    taken up. Raises SettingError when the folder holds another comparison.
    """
    take_up(plan, folder)
    for one in sitters.values():
        save_sitter(one, folder / "people")
    for place, person in enumerate(plan.people):
        for variant in plan.variants:
            path = rows_path(folder, variant.name, person)
            if not _covers(plan, load_rows(path)):
                save_rows(path, _measured(plan, folder, variant, person, sitters=sitters, tools=tools))
            if tools.look is not None and place < plan.attention_people:
                _looked_at(plan, folder, variant, person, sitters=sitters, tools=tools)
            yield load_rows(path)


def _covers(plan: Plan, rows: Sequence[Row]) -> bool:
    """Whether rows are of the plan's prompts and judge."""
    wanted = [(item.set, item.number, item.prompt.text, plan.judge) for item in plan.items()]
    return [(row.set, row.number, row.prompt, row.judge) for row in rows] == wanted


def _measured(
    plan: Plan, folder: Path, variant: Variant, person: int, *, sitters: Mapping[int, Sitter], tools: Tools
) -> list[Row]:
    """Learn, draw and judge one person by one variant."""
    identities = {
        seed: _identity(folder, sitters[seed], variant, tools)
        for seed in dict.fromkeys(seed for item in plan.items() for seed in plan.shown_in(item, person))
    }
    images = [_drawn(plan, folder, variant, item, person, identities, tools.paint) for item in plan.items()]
    return judged(plan, variant, person, images, sitters=sitters, judge=tools.judge, learned=identities[person])


def _identity(folder: Path, sitter: Sitter, variant: Variant, tools: Tools) -> IdentityFile:
    """Somebody as the variant shows them, learned unless the folder has them."""
    if variant.method == BASE:
        return NOBODY
    stem = f"{variant.identity}-{sitter.person.seed}"
    file, note = (folder / "identities" / f"{stem}.{suffix}" for suffix in ("safetensors", "json"))
    if not file.exists() or not note.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        identity = tools.learn(sitter, variant)
        seconds = time.monotonic() - started
        save_identity(file, identity)
        write_whole(note, json.dumps({"seconds": seconds, "bytes": file.stat().st_size}))
    return tools.edit(load_identity(file), variant)


def _drawn(
    plan: Plan, folder: Path, variant: Variant, item: Item, person: int, identities: Mapping[int, IdentityFile],
    paint: Painter,
) -> Image.Image:  # fmt: skip
    """One picture, from the folder where it is there; the base's pictures are the same for everybody."""
    path = picture_path(folder, variant, person, item.set, item.number)
    if not path.exists():
        text, people = _said(plan, variant, item, [identities[seed] for seed in plan.shown_in(item, person)])
        _save_picture(paint(text, people, item.seed), path)
    with Image.open(path) as image:
        return image.convert("RGB")


def _said(
    plan: Plan, variant: Variant, item: Item, identities: Sequence[IdentityFile]
) -> tuple[str, list[IdentityFile]]:
    """The prompt with the people's names, and those people; for the base the class word and nobody."""
    if variant.method == BASE:
        return item.prompt(_class_phrase(plan)), []
    people = [replace(identity, name=name) for identity, name in zip(identities, NAMES, strict=False)]
    return item.prompt(f"<{NAMES[0]}>", f"<{NAMES[1]}>"), people


def _class_phrase(plan: Plan) -> str:
    """What judge and base read in place of the pseudo-word."""
    return f"a {plan.subject}"


def judged(
    plan: Plan, variant: Variant, person: int, images: Sequence[Image.Image], *, sitters: Mapping[int, Sitter],
    judge: PromptJudge, learned: IdentityFile,
) -> list[Row]:  # fmt: skip
    """Rows of one person's pictures, in the order of the plan's prompts."""
    items = plan.items()
    texts = [item.prompt(_class_phrase(plan)) for item in items]
    similarity = np.asarray(judge.prompt_similarity(images, texts), float)
    passes = np.asarray(judge.prompt_passes(images, texts), bool)
    repeat: dict[str, Any] = {
        "subject": plan.subject, "model": plan.model, "weights": plan.weights, "drawing": plain_json(plan.drawing),
        "judge": plan.judge, "versions": plain_json(plan.versions), "learning": _recipe(variant, learned),
    }  # fmt: skip
    rows = []
    for item, image, fit, passed in zip(items, images, similarity.tolist(), passes.tolist(), strict=True):
        shown = plan.shown_in(item, person)
        found = _faces(image, [sitters[seed] for seed in shown])
        rows.append(
            Row(
                method=variant.name, person=person, second_person=shown[1] if len(shown) > 1 else None, set=item.set,
                number=item.number, prompt=item.prompt.text, seed=item.seed, similarity=fit, passes=passed,
                id_p=found["id"] if passed else 0.0, **found, **repeat,
            )
        )  # fmt: skip
    return rows


def _faces(image: Image.Image, shown: Sequence[Sitter]) -> dict[str, Any]:
    """What a picture's faces say of the people who should be in it; somebody without a face has likeness 0."""
    vectors = face_vectors(image)
    places = assigned(np.stack([one.photo_vector for one in shown]), vectors)
    pairs = list(zip(shown, places, strict=True))
    to_photo = _distances([(one.photo_vector, place) for one, place in pairs], vectors)
    to_second = _distances([(one.second_vector, place) for one, place in pairs], vectors)
    return {
        "faces": len(vectors), "detect": float(np.isfinite(to_photo).mean()), "distance": float(to_photo.mean()),
        "to_second": float(to_second.mean()), "id": float(likeness(to_photo).mean()),
    }  # fmt: skip


def _distances(pairs: Sequence[tuple[NDArray, int | None]], vectors: NDArray) -> NDArray[np.float64]:
    """Distance of each vector to the face at its place, nan without one."""
    return np.array([np.nan if place is None else np.linalg.norm(vector - vectors[place]) for vector, place in pairs])


def _recipe(variant: Variant, learned: IdentityFile) -> str:
    """The method, its settings, its seed and which of its tokens are shown, as JSON."""
    kept = {key: learned.metadata[key] for key in ("settings", "steps", "seed") if key in learned.metadata}
    return plain_json({"method": variant.method, "shown": variant.shown} | kept)


def _looked_at(
    plan: Plan, folder: Path, variant: Variant, person: int, *, sitters: Mapping[int, Sitter], tools: Tools
) -> None:
    """Draw the plan's attention prompt and keep the picture and the person's map, unless they are there."""
    path = folder / "attention" / f"{variant.name}-{person}.npz"
    if path.exists() or tools.look is None:
        return
    identity = _identity(folder, sitters[person], variant, tools)
    text, people = _said(plan, variant, Item("attention", 0, plan.attention_prompt, plan.seed), [identity])
    seen = tools.look(text, people, plan.seed)
    word = plan.subject.split()[-1] if variant.method == BASE else f"<{NAMES[0]}>"
    place = next((number for number, word_ in enumerate(seen.words) if word_.text == word), 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(partial, image=np.asarray(seen.image), map=np.asarray(seen.maps[place], np.float32))
    os.replace(partial, path)


def _save_picture(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    image.save(partial, format="png")
    os.replace(partial, path)
