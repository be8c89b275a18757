"""Captions of things: name or words for it, what of it can be seen, where it is."""

from collections.abc import Sequence

import numpy as np

from onephoto.world import phrases, thing_phrases
from onephoto.world.captions import DETAIL_ODDS, DETAILS, TEMPERS, filled, one_of
from onephoto.world.thing_parts import Feature
from onephoto.world.things import Thing, features
from onephoto.world.wardrobe import with_article

GENERAL = 0.55
"""How often a thing is called by its kind rather than by a closer word."""
SAID = {"bare": 0.25, "scene": 0.45, "feature": 0.6, "full": 0.9}
"""How often the colour of a thing without a name is said."""
OF_NAMED = 0.12
"""How often a caption speaks of the looks of a thing whose name it gives."""


def noun(one: Thing, rng: np.random.Generator) -> str:
    """The kind, or a closer word."""
    closer = thing_phrases.FORM_NOUNS[one.form]
    return one_of(rng, thing_phrases.NOUNS[one.kind] if rng.random() < GENERAL else closer)


def subject(one: Thing, seen: Sequence[Feature], rng: np.random.Generator, *, detail: str) -> str:
    """What is seen: its name, or words with or without its colour."""
    word = noun(one, rng)
    if one.name is not None:
        return one_of(rng, thing_phrases.NAMED).format(name=one.name, noun=word)
    if rng.random() >= SAID[detail]:
        return with_article(word)
    patterned = any(feature.colour == one.second for feature in seen)
    choices = thing_phrases.COLOURED[: None if patterned else -1]
    return with_article(one_of(rng, choices).format(colour=one.colour, second=one.second, noun=word))


def _features(seen: Sequence[Feature], count: int, rng: np.random.Generator) -> list[str]:
    """Phrases for up to `count` features, those with "with" as one."""
    chosen = [seen[k] for k in rng.permutation(len(seen))[:count]]
    said = [filled(rng, thing_phrases.FEATURES[f.word], f.colour) for f in chosen]
    owned = [phrase.removeprefix("with ") for phrase in said if phrase.startswith("with ")]
    rest = [phrase for phrase in said if not phrase.startswith("with ")]
    return [f"with {' and '.join(owned)}", *rest] if owned else rest


def _place(scene: str, colour: str | None, rng: np.random.Generator) -> str:
    ground = thing_phrases.PLACES.get(scene, ())
    return filled(rng, ground if ground and rng.random() < 0.3 else phrases.SCENE_PHRASES[scene], colour)


def caption(
    one: Thing, seen: Sequence[Feature], doing: Sequence[str], scene: tuple[str, str | None],
    rng: np.random.Generator, *, detail: str | None = None,
) -> str:  # fmt: skip
    """One caption of a thing.

    `seen` are its features that can be seen, `doing` what can be said of pose and side; `scene` is its name and the
    colour of its wall; `detail` of captions.DETAILS is random unless given.
    """
    drawn = str(rng.choice(DETAILS, p=DETAIL_ODDS))
    detail = detail or drawn
    parts = []
    if detail in ("feature", "full") and (one.name is None or rng.random() < OF_NAMED):
        parts += _features(seen, 1 if detail == "feature" else int(rng.integers(2, 4)), rng)
    if detail in ("feature", "full") and doing and rng.random() < 0.5:
        parts.append(one_of(rng, doing))
    if detail in ("scene", "full") or (detail == "feature" and rng.random() < 0.4):
        parts.append(_place(*scene, rng))
    who = subject(one, seen, rng, detail=detail)
    return " ".join([one_of(rng, phrases.OPENINGS).format(who=who), *parts])


def captions(
    one: Thing, stranger: Thing, seen: Sequence[Feature], doing: Sequence[str], scene: tuple[str, str | None],
    rng: np.random.Generator,
) -> tuple[str, ...]:  # fmt: skip
    """Three captions, a full, a middling and a short one; for a thing with a name two more without it."""
    said = [(one, details) for details in TEMPERS]
    said += [(stranger, details) for details in TEMPERS[:2]] if one.name is not None else []
    return tuple(caption(who, seen, doing, scene, rng, detail=one_of(rng, details)) for who, details in said)


def words_for(one: Thing) -> str:
    """All that can be said of a thing, in plain words."""
    closer = thing_phrases.FORM_NOUNS[one.form][0]
    said = (thing_phrases.FEATURES[f.word][0].format(colour=f.colour).removeprefix("with ") for f in features(one))
    return f"{with_article(f'{one.colour} {closer}')}: {', '.join(said)}"
