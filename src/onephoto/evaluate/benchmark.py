"""The comparison: the same people, prompts and seeds for every method; what is done already is not done again."""

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from onephoto.evaluate.measure import NOTHING, Judges, measured
from onephoto.evaluate.people import Sitter, save_sitter, saved_image
from onephoto.evaluate.plan import BASE, Item, Plan, Variant, take_up, write_whole
from onephoto.evaluate.rows import ID, IMAGE, Row, load_rows, picture_path, plain_json, rows_path, save_rows
from onephoto.identity.file import IdentityFile
from onephoto.identity.file import load as load_identity
from onephoto.identity.file import save as save_identity

NAMES = ("sitter", "other")
"""What the people of a picture are called in its prompt."""
NOBODY = IdentityFile("", "", BASE, {})


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


Painter = Callable[[Sequence[str], Sequence[IdentityFile], Sequence[int]], list[Image.Image]]
"""Draws prompts with "<name>" of these people in them, each for its seed."""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What a comparison works with, given from outside: it knows no model.

    prepare does what people share before one of a class word is learned; its time counts for nobody. edit gives the
    identity as a variant shows it; look draws a picture with a map of every word. impossible says why a method cannot
    draw this many people, or things, of a class word, "" where it can.
    """

    learn: Callable[[Sitter, Variant], IdentityFile]
    paint: Painter
    judges: Judges
    prepare: Callable[[Variant, str], None] = lambda variant, subject: None
    edit: Callable[[IdentityFile, Variant], IdentityFile] = lambda identity, variant: identity
    look: Callable[[str, Sequence[IdentityFile], int], Seen] | None = None
    impossible: Callable[[Variant, int, str], str] = lambda variant, count, subject: ""


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
            if not _covers(plan, load_rows(path), reads=tools.judges.facts is not None):
                save_rows(path, _measured(plan, folder, variant, person, sitters=sitters, tools=tools))
            possible = not tools.impossible(variant, 1, plan.subject_of(person))
            if tools.look is not None and place < plan.attention_people and possible:
                _looked_at(plan, folder, variant, person, sitters=sitters, tools=tools)
            yield load_rows(path)


def unlearned(plan: Plan, folder: Path, paint: Painter) -> tuple[list[Image.Image], list[str]]:
    """The base's pictures of the plan's prompts, drawn unless the folder has them, and what the base was told.

    Raises SettingError when the folder holds another comparison.
    """
    take_up(plan, folder)
    base, people = Variant(BASE, BASE), {plan.subject_of(seed): seed for seed in plan.people}.values()
    nobody = dict.fromkeys(plan.people, NOBODY)
    images = [image for person in people for image in _drawn(plan, folder, base, plan.items(), person, nobody, paint)]
    return images, [item.prompt(_class_phrase(plan, person)) for person in people for item in plan.items()]


def _covers(plan: Plan, rows: Sequence[Row], *, reads: bool) -> bool:
    """Whether rows are of the plan's prompts and judges, and say what of somebody's looks was read where it can be."""
    wanted = [(item.set, item.number, item.prompt.text, plan.judge, plan.faces) for item in plan.items()]
    alone = [row for row in rows if row.second_person is None and row.likeness == ID and not row.impossible]
    unread = reads and any(math.isnan(row.looks) for row in alone)
    return [(row.set, row.number, row.prompt, row.judge, row.face_judge) for row in rows] == wanted and not unread


def _measured(
    plan: Plan, folder: Path, variant: Variant, person: int, *, sitters: Mapping[int, Sitter], tools: Tools
) -> list[Row]:
    """Learn, draw and judge one person by one variant; what the method cannot do is neither learned nor drawn."""
    subject = plan.subject_of(person)
    items = plan.items()
    why = [tools.impossible(variant, item.prompt.people, subject) for item in items]
    possible = [item for item, reason in zip(items, why, strict=True) if not reason]
    identities = {
        seed: _identity(folder, plan, sitters[seed], variant, tools)
        for seed in dict.fromkeys(seed for item in possible for seed in plan.shown_in(item, person))
    }
    images = _drawn(plan, folder, variant, possible, person, identities, tools.paint)
    texts = [item.prompt(_class_phrase(plan, person)) for item in possible]
    shown = [[sitters[seed] for seed in plan.shown_in(item, person)] for item in possible]
    asked = not variant.network or variant.network != plan.faces
    everybody = list(sitters.values())
    facts = [item.prompt.facts for item in possible]
    found = iter(measured(images, texts, shown, tools.judges, asked=facts, everybody=everybody, second=asked))
    numbers = [{**(NOTHING if reason else next(found)), "impossible": reason} for reason in why]
    learned = identities.get(person, NOBODY)
    return [_row(plan, variant, item, person, learned, own) for item, own in zip(items, numbers, strict=True)]


def _row(
    plan: Plan, variant: Variant, item: Item, person: int, learned: IdentityFile, numbers: Mapping[str, Any]
) -> Row:
    """One picture's numbers, with everything needed to repeat them."""
    shown = plan.shown_in(item, person)
    return Row(
        method=variant.name, person=person, second_person=shown[1] if len(shown) > 1 else None, set=item.set,
        number=item.number, prompt=item.prompt.text, seed=item.seed, subject=plan.subject_of(person), model=plan.model,
        weights=plan.weights, drawing=plain_json(_drawing(plan)), judge=plan.judge, face_judge=plan.faces,
        versions=plain_json(plan.versions), learning=_recipe(variant, learned),
        likeness=IMAGE if plan.of_things else ID, **numbers,
    )  # fmt: skip


def _drawing(plan: Plan) -> dict[str, Any]:
    """How pictures are drawn, and small faces again."""
    return dict(plan.drawing) | ({} if plan.refining is None else {"refining": dict(plan.refining)})


def _identity(folder: Path, plan: Plan, sitter: Sitter, variant: Variant, tools: Tools) -> IdentityFile:
    """Somebody as the variant shows them, learned unless the folder has them."""
    if variant.method == BASE:
        return NOBODY
    stem = f"{variant.identity}-{sitter.person.seed}"
    file, note = (folder / "identities" / f"{stem}.{suffix}" for suffix in ("safetensors", "json"))
    if not file.exists() or not note.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        tools.prepare(variant, plan.subject_of(sitter.person.seed))
        started = time.monotonic()
        identity = tools.learn(sitter, variant)
        seconds = time.monotonic() - started
        save_identity(file, identity)
        write_whole(note, json.dumps({"seconds": seconds, "bytes": file.stat().st_size}))
    return tools.edit(load_identity(file), variant)


def _drawn(
    plan: Plan, folder: Path, variant: Variant, items: Sequence[Item], person: int,
    identities: Mapping[int, IdentityFile], paint: Painter,
) -> list[Image.Image]:  # fmt: skip
    """Pictures, from the folder where they are there; the base's are the same for everybody.

    Those of a set are drawn together, which is faster.
    """
    subject = plan.subject_of(person)
    paths = [picture_path(folder, variant, person, item.set, item.number, subject=subject) for item in items]
    for name in dict.fromkeys(item.set for item in items):
        wanted = [(item, path) for item, path in zip(items, paths, strict=True) if item.set == name]
        own = [(item, path) for item, path in wanted if not path.exists()]
        if not own:
            continue
        shown = [identities[seed] for seed in plan.shown_in(own[0][0], person)]
        said = [_said(plan, variant, item, person, shown) for item, _ in own]
        images = paint([text for text, _ in said], said[0][1], [item.seed for item, _ in own])
        for (_, path), image in zip(own, images, strict=True):
            _save_picture(image, path)
    return [saved_image(path) for path in paths]


def _said(
    plan: Plan, variant: Variant, item: Item, person: int, identities: Sequence[IdentityFile]
) -> tuple[str, list[IdentityFile]]:
    """The prompt with the people's names, and those people; for the base the class word and nobody."""
    if variant.method == BASE:
        return item.prompt(_class_phrase(plan, person)), []
    people = [replace(identity, name=name) for identity, name in zip(identities, NAMES, strict=False)]
    return item.prompt(f"<{NAMES[0]}>", f"<{NAMES[1]}>"), people


def _class_phrase(plan: Plan, person: int) -> str:
    """What judge and base read in place of the pseudo-word."""
    return f"a {plan.subject_of(person)}"


def _recipe(variant: Variant, learned: IdentityFile) -> str:
    """The method, its settings, its seed and which of its tokens are shown, as JSON."""
    kept = {key: learned.metadata[key] for key in ("settings", "steps", "seed") if key in learned.metadata}
    return plain_json({"method": variant.method, "shown": variant.shown, "network": variant.network} | kept)


def _looked_at(
    plan: Plan, folder: Path, variant: Variant, person: int, *, sitters: Mapping[int, Sitter], tools: Tools
) -> None:
    """Draw the plan's attention prompt and keep the picture and the person's map, unless they are there."""
    path = folder / "attention" / f"{variant.name}-{person}.npz"
    if path.exists() or tools.look is None:
        return
    identity = _identity(folder, plan, sitters[person], variant, tools)
    text, people = _said(plan, variant, Item("attention", 0, plan.attention_prompt, plan.seed), person, [identity])
    seen = tools.look(text, people, plan.seed)
    word = plan.subject_of(person).split()[-1] if variant.method == BASE else f"<{NAMES[0]}>"
    place = next((number for number, word_ in enumerate(seen.words) if word_.text == word), 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial.npz")
    np.savez_compressed(partial, image=np.asarray(seen.image), map=np.asarray(seen.maps[place], np.float32))
    os.replace(partial, path)


def _save_picture(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    image.save(partial, format="png")
    os.replace(partial, path)
