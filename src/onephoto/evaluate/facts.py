"""Facts that can be read off a picture of the embedded world: their values, what is visible, what a prompt asks for."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from onephoto.world.captions import FULL_FACE, NO_FACE, TURNED
from onephoto.world.looks import AGE_WORDS, HAIR_PHRASES, describe
from onephoto.world.people import HAIR_COLOURS, SEXES, Person
from onephoto.world.phrases import ARM_PHRASES, EXPRESSION_PHRASES, SCENE_PHRASES
from onephoto.world.prompts import Prompt
from onephoto.world.props import FURNITURE, HELD, WORN
from onephoto.world.wardrobe import GARMENTS

NO, YES, NOTHING = "no", "yes", "nothing"
BINARY = (NO, YES)
CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "scene": tuple(SCENE_PHRASES),
        "garment": tuple(GARMENTS),
        "expression": tuple(EXPRESSION_PHRASES),
        "hair_colour": HAIR_COLOURS,
        "hair_length": ("bald", "short", "medium", "long"),
        "beard": BINARY,
        "sex": tuple(SEXES),
        "age": AGE_WORDS,
        **dict.fromkeys(WORN, BINARY),
        "held": (NOTHING, *HELD),
        **dict.fromkeys(FURNITURE, BINARY),
        "arms": (*ARM_PHRASES, "holding"),
        "facing": ("left", "front", "right"),
    }
)
"""Each fact and its values."""
NUMBERS = {name: {value: number for number, value in enumerate(values)} for name, values in CHOICES.items()}
UNKNOWN = -1
"""Label of what a picture does not show."""
MIRRORED = MappingProxyType({"left": "right", "right": "left"})
ALSO = MappingProxyType({("expression", "smiling"): ("grin",)})
"""Values that fulfil a wish for another: a grin is called a big smile."""


def visible_facts(facts: Mapping[str, Any]) -> dict[str, str]:
    """The facts of CHOICES that can be seen in a picture with these `world.picture.facts_of`; others are left out.

    Of two people only the scene counts, since all else differs between them, and so it is with things.
    """
    if "beside" in facts or "person" not in facts:
        return {"scene": facts["scene"]}
    found = {"scene": facts["scene"], "sex": facts["sex"], "age": facts["age"]}
    return found | _face(facts) | _hair(facts) | _things(facts) | _body(facts)


def _face(facts: Mapping[str, Any]) -> dict[str, str]:
    """Expression where the face is towards us, and where it is turned to unless that is in between."""
    angle, found = facts["facing"], {}
    hidden_eyes = facts["expression"] == "eyes closed" and "sunglasses" in facts["things"]
    if abs(angle) <= NO_FACE and not hidden_eyes:
        found["expression"] = facts["expression"]
    if abs(angle) < FULL_FACE or abs(angle) > TURNED:
        found["facing"] = "front" if abs(angle) < FULL_FACE else "right" if angle > 0 else "left"
    return found


def _hair(facts: Mapping[str, Any]) -> dict[str, str]:
    """Hair where some is seen, baldness where no cap is in its place; stubble is neither a beard nor none."""
    (style, colour), found = facts["hair"], {}
    length = HAIR_PHRASES[style][0]
    if length == "bald" and "cap" not in facts["things"]:
        found["hair_length"] = length
    elif length != "bald" and "hair" in facts["visible"]:
        found |= {"hair_length": length, "hair_colour": colour}
    if facts["beard"] is None:
        found["beard"] = NO
    elif "beard" in facts["visible"] and facts["beard"] != "stubble":
        found["beard"] = YES
    return found


def _things(facts: Mapping[str, Any]) -> dict[str, str]:
    """Which things are seen; earrings are too small to miss with certainty where the body is in view."""
    things = facts["things"]
    found = {kind: YES if kind in things else NO for kind in (*WORN, *FURNITURE)}
    if facts["view"] == "upper":
        del found["earrings"]
    held = next((kind for kind in HELD if kind in things), NOTHING)
    if held != NOTHING or facts["arms"] != "holding":
        found["held"] = held
    return found


def _body(facts: Mapping[str, Any]) -> dict[str, str]:
    """Garment and arms, as far as they are in view."""
    found = {"garment": facts["clothes"]["garment"]} if "clothes" in facts["visible"] else {}
    unseen = facts["arms"] == "holding" and not any(kind in HELD for kind in facts["things"])
    return found if unseen else found | {"arms": facts["arms"]}


def labels_of(facts: Mapping[str, str]) -> list[int]:
    """Number of each fact's value in the order of CHOICES; UNKNOWN where the fact is left out."""
    return [numbers[facts[name]] if name in facts else UNKNOWN for name, numbers in NUMBERS.items()]


def mirrored(facts: Mapping[str, str]) -> dict[str, str]:
    """The facts of the mirrored picture."""
    return {name: MIRRORED.get(value, value) if name == "facing" else value for name, value in facts.items()}


def record_of(values: Mapping[str, str]) -> dict[str, Any]:
    """One value for each fact as a reading: `things` in a tuple, no hair colour of the bald."""
    kinds = (*WORN, *FURNITURE)
    things = tuple(kind for kind in kinds if values.get(kind) == YES)
    things += (values["held"],) if values.get("held", NOTHING) != NOTHING else ()
    plain: dict[str, Any] = {name: value for name, value in values.items() if name not in (*kinds, "held")}
    if values.get("hair_length") == "bald":
        plain["hair_colour"] = None
    return plain | {"things": things}


def shows(prompt: Prompt, facts_read: Mapping[str, Any]) -> bool:
    """Whether a reading (of `Judge.read`) holds everything that a prompt asks for."""
    return all(_holds(name, wanted, facts_read) for name, wanted in prompt.facts.items())


def looks_of(somebody: Person) -> dict[str, str]:
    """What of somebody's looks a picture must keep, as values of CHOICES: sex, hair, beard; no stubble, which is
    neither a beard nor none.
    """
    said = describe(somebody)
    beard = {} if said.beard == "stubble" else {"beard": YES if said.beard else NO}
    colour = {"hair_colour": said.hair_colour} if said.hair_colour else {}
    return {"sex": said.sex, "hair_length": said.hair_length} | colour | beard


def looks_kept(somebody: Person, facts_read: Mapping[str, Any], asked: Mapping[str, str]) -> float:
    """Share of somebody's looks that a reading (of `Judge.read`) has right; what the prompt asks for is left out, and
    what goes with it.
    """
    looks = looks_of(somebody)
    free = {*asked, *_changed_by(asked, looks)}
    wanted = {name: value for name, value in looks.items() if name not in free}
    return sum(facts_read.get(name) == value for name, value in wanted.items()) / max(1, len(wanted))


def _changed_by(asked: Mapping[str, str], looks: Mapping[str, str]) -> set[str]:
    """What a prompt changes without saying so: a cap hides hair, the old go grey, hair of a colour is no bald head."""
    hair = {"hair_colour", "hair_length"} if asked.get("thing") == "cap" else set()
    grey = {"hair_colour"} if asked.get("age") == "old" else set()
    grown = {"hair_length"} if "hair_colour" in asked and looks["hair_length"] == "bald" else set()
    return hair | grey | grown


def _holds(name: str, wanted: str, facts_read: Mapping[str, Any]) -> bool:
    if name == "thing":
        return wanted in facts_read["things"]
    return facts_read.get(name) in (wanted, *ALSO.get((name, wanted), ()))
