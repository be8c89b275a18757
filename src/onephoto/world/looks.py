"""Words for what a person looks like, all of them true."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from onephoto.world.measures import striking_features

if TYPE_CHECKING:
    from onephoto.world.people import Person

AGE_WORDS = ("young", "middle-aged", "old")
MIDDLE_AGED, OLD = 38.0, 60.0
"""Ages in years from which the second and third word hold."""

SKIN_WORDS = ((0.13, "pale"), (0.30, "fair"), (0.46, "tan"), (0.68, "brown"), (1.01, "dark brown"))
"""Upper limits of melanin and the words below them."""

HAIR_PHRASES = {
    "bald": ("bald", "a bald head"),
    "buzz cut": ("short", "{article} {colour} buzz cut"),
    "short": ("short", "short {colour} hair"),
    "quiff": ("short", "{article} {colour} quiff"),
    "side parting": ("short", "short {colour} hair with a side parting"),
    "bob": ("medium", "{article} {colour} bob"),
    "bob with bangs": ("medium", "{article} {colour} bob with bangs"),
    "long straight": ("long", "long straight {colour} hair"),
    "long with bangs": ("long", "long {colour} hair with bangs"),
    "wavy": ("long", "long wavy {colour} hair"),
    "bun": ("long", "{colour} hair in a bun"),
    "top knot": ("long", "{colour} hair in a top knot"),
    "ponytail": ("long", "{colour} hair in a ponytail"),
    "curly": ("short", "short curly {colour} hair"),
    "afro": ("medium", "{article} {colour} afro"),
    "long curly": ("long", "long curly {colour} hair"),
}
"""Hair styles: their length in a word, and the phrase that says them."""

BEARD_PHRASES = {
    "stubble": "stubble",
    "moustache": "{article} {colour} moustache",
    "goatee": "{article} {colour} goatee",
    "full beard": "a full {colour} beard",
    "short beard": "a short {colour} beard",
}
DYED_COLOURS = ("blue", "pink", "green")
FRECKLED = 0.35
"""Freckle strength from which freckles can be seen."""


@dataclass(frozen=True)
class Looks:
    """What can be said of somebody in words, all of it true.

    `age` is one of AGE_WORDS, `skin` for example "fair" (as in "fair skin"), `hair` a whole phrase ("long wavy red
    hair", "a grey buzz cut", "a bald head"), `hair_colour` None for the bald, `hair_length` "bald", "short", "medium"
    or "long";
    `beard` a phrase ("a full black beard", "stubble") or None; `eyes` a colour; `lipstick` a colour or None;
    `features` phrases about shape, the most striking first ("a wide nose", "thin lips"), possibly none.
    """

    sex: str
    age: str
    skin: str
    hair: str
    hair_colour: str | None
    hair_length: str
    hair_style: str
    beard: str | None
    eyes: str
    freckles: bool
    lipstick: str | None
    features: tuple[str, ...]


def beard_colour_word(hair_colour: str) -> str:
    """Colour word of a beard: as the hair, brown under dyed hair."""
    return "brown" if hair_colour in DYED_COLOURS else hair_colour


def _phrase(template: str, colour: str) -> str:
    return template.format(colour=colour, article="an" if colour[0] in "aeiou" else "a")


def describe(person: "Person") -> Looks:
    """Words for a person's looks; see Looks."""
    hair, beard = person.hair, person.beard
    length, hair_phrase = HAIR_PHRASES[hair.style]
    beard_phrase = BEARD_PHRASES.get(beard.style)
    lipstick = person.skin.lipstick
    return Looks(
        sex=person.sex,
        age=AGE_WORDS[(person.age >= MIDDLE_AGED) + (person.age >= OLD)],
        skin=next(word for limit, word in SKIN_WORDS if person.skin.melanin < limit),
        hair=_phrase(hair_phrase, hair.colour),
        hair_colour=None if hair.style == "bald" else hair.colour,
        hair_length=length,
        hair_style=hair.style,
        beard=_phrase(beard_phrase, beard_colour_word(hair.colour)) if beard_phrase else None,
        eyes=person.eyes,
        freckles=person.skin.freckles >= FRECKLED,
        lipstick=None if lipstick == "none" else lipstick,
        features=striking_features(person),
    )
