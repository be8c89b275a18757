"""Captions: what can be seen in a picture, in 1 to 40 words, for people with names and without."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from onephoto.world import looks, measures, phrases, props, thing_phrases, wardrobe
from onephoto.world.indoors import BRICK_RGB, DOOR_RGB, STUDIO_RGB
from onephoto.world.people import EYE_COLOURS, HAIR_COLOURS, LIPSTICKS, Person, describe
from onephoto.world.shots import Shot, as_shown
from onephoto.world.wardrobe import clothes_phrase, with_article

DETAILS = ("bare", "scene", "feature", "full")
"""How much is said: nobody but the person; the scene too; one feature, perhaps with the scene; all that fits."""
DETAIL_ODDS = (0.15, 0.25, 0.35, 0.25)
TEMPERS = (("full",), ("feature", "scene"), ("bare", "scene", "feature"))
"""Details that the captions of one picture are drawn from."""
LONGEST = 40
LOOKS_OF_NAMED = 0.12
"""How often a caption speaks of the looks of somebody whose name it gives."""
FULL_FACE, TURNED = 12.0, 22.0
"""Degrees between face and camera: below the first it looks at the camera, above the second it looks away."""
NO_FACE = 65.0
"""Degrees beyond which a face cannot be read."""


@dataclass(frozen=True)
class Scenery:
    """What the picture, and not the shot, decides: kinds of things that can be seen (of MATERIALS, and "hair", "beard",
    "clothes", "eyes"), and the colour word of the wall.
    """

    visible: frozenset[str]
    colour: str | None = None


@lru_cache(maxsize=64)
def looks_of(person: Person) -> looks.Looks:
    """Words for a person's looks, kept, since every caption of a person asks for them."""
    return describe(person)


def one_of(rng: np.random.Generator, choices: Collection[str]) -> str:
    """A random phrase."""
    return str(rng.choice(list(choices)))


def filled(rng: np.random.Generator, choices: Collection[str], colour: str | None) -> str:
    """A random phrase, with the colour where it has room for one; without a colour only phrases that need none."""
    possible = [phrase for phrase in choices if colour or "{colour}" not in phrase]
    phrase = one_of(rng, possible).format(colour=colour)
    return re.sub(r"\ba (?=[aeiou])", "an ", phrase)


def facing(shot: Shot) -> float:
    """Degrees by which the face is turned from the camera; positive to the right as the viewer sees it."""
    return shot.head[0] - shot.camera[0]


def scene_phrase(shot: Shot, scenery: Scenery, rng: np.random.Generator) -> str:
    """Where the picture was taken."""
    return filled(rng, phrases.SCENE_PHRASES[shot.scene], scenery.colour)


def _expression(shot: Shot, scenery: Scenery, rng: np.random.Generator) -> str | None:
    """The face's expression, where the face can be read."""
    hidden_eyes = shot.expression == "eyes closed" and any(t.kind == "sunglasses" for t in shot.worn)
    if abs(facing(shot)) > NO_FACE or hidden_eyes:
        return None
    return one_of(rng, phrases.EXPRESSION_PHRASES[shot.expression])


def _clothes(shot: Shot, scenery: Scenery, rng: np.random.Generator) -> str | None:
    if "clothes" not in scenery.visible:
        return None
    plain = shot.view == "close" or rng.random() < 0.3
    return one_of(rng, phrases.DRESSED).format(what=clothes_phrase(shot.clothes, rng, plain=plain))


def _worn(shot: Shot, scenery: Scenery, rng: np.random.Generator) -> str | None:
    """Everything worn that can be seen."""
    said = [filled(rng, phrases.WORN_PHRASES[t.kind], t.colour) for t in shot.worn if t.kind in scenery.visible]
    return one_of(rng, phrases.WEARING).format(what=" and ".join(said)) if said else None


def _hands(shot: Shot, scenery: Scenery, rng: np.random.Generator) -> str | None:
    """What the hands do; waving and the like is seen in the upper view alone."""
    if shot.held is not None:
        seen = shot.held.kind in scenery.visible
        return filled(rng, phrases.HELD_PHRASES[shot.held.kind], shot.held.colour) if seen else None
    arms = phrases.ARM_PHRASES[shot.arms]
    return one_of(rng, arms) if arms and shot.view == "upper" else None


def _seat(shot: Shot, scenery: Scenery, rng: np.random.Generator) -> str | None:
    if shot.seated is None or "chair" not in scenery.visible:
        return None
    return filled(rng, phrases.SEAT_PHRASES, shot.seated.colour)


def _turn(shot: Shot, scenery: Scenery, rng: np.random.Generator) -> str | None:
    angle = facing(shot)
    if abs(angle) < FULL_FACE and shot.eye_contact and shot.expression != "eyes closed":
        return one_of(rng, phrases.TURN_PHRASES["front"])
    return one_of(rng, phrases.TURN_PHRASES["right" if angle > 0 else "left"]) if abs(angle) > TURNED else None


Feature = Callable[[Shot, Scenery, np.random.Generator], str | None]
FEATURES: tuple[tuple[Feature, float], ...] = (
    (_worn, 3.0), (_hands, 4.0), (_seat, 3.0), (_expression, 2.0), (_clothes, 1.5), (_turn, 0.5),
)  # fmt: skip
"""What can be said besides person and scene, and how readily."""


def _changes(person: Person, shot: Shot, scenery: Scenery, rng: np.random.Generator) -> list[str]:
    """What the shot changes about somebody; it must be said, or the name would come to mean it."""
    shown = looks_of(as_shown(person, shot))
    said = []
    if shot.age is not None:
        said.append(f"as {with_article(shown.age)} person")
    if shot.hair is not None and "hair" in scenery.visible:
        said.append(f"with {_hair_words(shown, rng)}")
    if shot.beard is not None and shown.beard and "beard" in scenery.visible:
        said.append(f"with {shown.beard if rng.random() < 0.6 else 'a beard'}")
    return said


def _hair_words(shown: looks.Looks, rng: np.random.Generator) -> str:
    """Hair in words: the exact phrase, or colour and length alone."""
    if shown.hair_length == "bald" or rng.random() < 0.4:
        return shown.hair
    if rng.random() < 0.5 or shown.hair_length == "medium":
        return f"{shown.hair_colour} hair"
    order = rng.random() < 0.5
    return f"{shown.hair_colour} {shown.hair_length} hair" if order else f"{shown.hair_length} {shown.hair_colour} hair"


def _traits(shown: looks.Looks, scenery: Scenery, rng: np.random.Generator) -> list[str]:
    """Phrases about looks that can be seen, in random order, the plainest more often."""
    found = [(shown.hair, 3.0)] if shown.hair_length == "bald" else []
    if shown.hair_length != "bald" and "hair" in scenery.visible:
        found = [(_hair_words(shown, rng), 3.0)]
    if shown.beard and ("beard" in scenery.visible or shown.beard == "stubble"):
        found.append((shown.beard if rng.random() < 0.7 or shown.beard == "stubble" else "a beard", 2.5))
    if "eyes" in scenery.visible:
        found.append((f"{shown.eyes} eyes", 1.0))
    found.append((f"{shown.skin} skin", 1.0))
    if shown.freckles:
        found.append(("freckles", 1.0))
    if shown.lipstick:
        found.append((f"{shown.lipstick} lipstick", 0.7))
    found += [(feature, 0.6) for feature in shown.features]
    ranks = rng.random(len(found)) ** (1 / np.array([weight for _, weight in found]))
    return [found[k][0] for k in np.argsort(-ranks)]


def _listed(traits: list[str]) -> str:
    return traits[0] if len(traits) == 1 else ", ".join(traits[:-1]) + " and " + traits[-1]


def _unnamed(person: Person, shot: Shot, scenery: Scenery, rng: np.random.Generator, detail: str) -> str:
    """Somebody without a name: "a person", "a man", or a description."""
    shown = looks_of(as_shown(person, shot))
    noun = "person" if rng.random() < 0.35 else shown.sex
    described = {"bare": 0.15, "scene": 0.3, "feature": 0.5, "full": 1.0}[detail]
    if rng.random() >= described:
        return with_article("person" if rng.random() < 0.6 else noun)
    aged = with_article(f"{shown.age} {noun}" if rng.random() < 0.6 else noun)
    count = int(rng.integers(1, 4 if detail == "full" else 3))
    if rng.random() < (0.15 if detail == "full" else 0.3):
        return aged
    return f"{aged} with {_listed(_traits(shown, scenery, rng)[:count])}"


def _named(person: Person, shot: Shot, scenery: Scenery, rng: np.random.Generator) -> str:
    """Somebody with a name: the name, now and then with a trait, always with what the shot changes."""
    said = _changes(person, shot, scenery, rng)
    if not said and rng.random() < LOOKS_OF_NAMED:
        said = [f"with {_traits(looks_of(person), scenery, rng)[0]}"]
    if said == ["as an old person"] and rng.random() < 0.4:
        return f"an old {person.name}"
    return " ".join([str(person.name), *said])


def subject(person: Person, shot: Shot, scenery: Scenery, rng: np.random.Generator, *, detail: str) -> str:
    """Who is seen: a name, or words for somebody without one; `detail` of DETAILS."""
    if person.name is not None:
        return _named(person, shot, scenery, rng)
    return _unnamed(person, shot, scenery, rng, detail)


def features_of(shot: Shot, scenery: Scenery, rng: np.random.Generator, count: int) -> list[str]:
    """Up to `count` different things that can be said of a shot."""
    ranks = rng.random(len(FEATURES)) ** (1 / np.array([weight for _, weight in FEATURES]))
    said = (FEATURES[k][0](shot, scenery, rng) for k in np.argsort(-ranks))
    return [phrase for phrase in said if phrase][:count]


def _opening(shot: Shot, who: str, rng: np.random.Generator) -> str:
    """The opening with the person in it; the face is spoken of where it is large."""
    face = shot.view != "upper" and rng.random() < 0.6
    return one_of(rng, phrases.FACE_OPENINGS if face else phrases.OPENINGS).format(who=who)


def caption(
    person: Person, shot: Shot, scenery: Scenery, rng: np.random.Generator, *, detail: str | None = None
) -> str:
    """One caption of a picture, true of what `scenery` says can be seen; `detail` of DETAILS, random unless given."""
    drawn = str(rng.choice(DETAILS, p=DETAIL_ODDS))
    detail = detail or drawn
    who = subject(person, shot, scenery, rng, detail=detail)
    count = {"bare": 0, "scene": 0, "feature": 1, "full": int(rng.integers(2, 5))}[detail]
    parts = features_of(shot, scenery, rng, count)
    if detail in ("scene", "full") or (detail == "feature" and rng.random() < 0.4):
        parts.insert(len(parts) if rng.random() < 0.75 else 0, scene_phrase(shot, scenery, rng))
    joint = ", " if len(parts) > 1 and rng.random() < 0.5 else " "
    while len(_words(" ".join([who, *parts]))) > LONGEST - 8:
        parts.pop()
    return joint.join([_opening(shot, who, rng), *parts])


def captions(person: Person, shot: Shot, scenery: Scenery, rng: np.random.Generator) -> tuple[str, ...]:
    """Three captions of a picture, a full, a middling and a short one; two more without the name, where there is one.

    Words such as "a man with red hair" would otherwise be learned from unnamed people alone.
    """
    stranger = replace(person, name=None)
    said = [(person, details) for details in TEMPERS]
    said += [(stranger, details) for details in TEMPERS[:2]] if person.name is not None else []
    return tuple(caption(who, shot, scenery, rng, detail=one_of(rng, details)) for who, details in said)


def _words(text: str) -> list[str]:
    """Words and signs as a CLIP tokenizer separates them."""
    return re.findall(r"[a-z]+|[^\sa-z]+", text)


def _spoken() -> Iterator[Iterable[str]]:
    """Every table of words that captions are made of."""
    for table in (phrases.SCENE_PHRASES, phrases.EXPRESSION_PHRASES, phrases.WORN_PHRASES, phrases.HELD_PHRASES,
                  phrases.ARM_PHRASES, phrases.TURN_PHRASES, wardrobe.PATTERN_PHRASES, props.COLOURS):  # fmt: skip
        yield from table.values()
    yield from (phrases.SEAT_PHRASES, phrases.FACE_OPENINGS, phrases.OPENINGS, phrases.WEARING, phrases.DRESSED)
    yield from (phrases.PAIRS, phrases.NOUNS, phrases.AGED, phrases.JOINING, wardrobe.GARMENTS, wardrobe.COLOUR_RGB)
    yield from (STUDIO_RGB, BRICK_RGB, DOOR_RGB, HAIR_COLOURS, EYE_COLOURS, LIPSTICKS, looks.AGE_WORDS)
    yield [word for _, word in looks.SKIN_WORDS]
    yield [words for pair in looks.HAIR_PHRASES.values() for words in pair]
    yield looks.BEARD_PHRASES.values()
    yield [words for *_, little, much in measures.WORDS.values() for words in (little, much)]
    yield ("hair", "skin", "eyes", "freckles", "lipstick", "a", "an", "beard")
    for table in (thing_phrases.NOUNS, thing_phrases.FORM_NOUNS, thing_phrases.FEATURES, thing_phrases.POSES,
                  thing_phrases.SIDES, thing_phrases.PLACES):  # fmt: skip
        yield from table.values()
    yield from (thing_phrases.COLOURED, thing_phrases.NAMED, thing_phrases.COLOUR_RGB)


def vocabulary() -> list[str]:
    """Every word and sign that captions can say, sorted; names of people are in `names`."""
    texts = (re.sub(r"{\w+}", " ", phrase) for table in _spoken() for phrase in table)
    return sorted({word for text in texts for word in _words(text)})
