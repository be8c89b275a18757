"""Prompts for the evaluation: scenes, attributes and actions, each with the facts that a good picture shows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True)
class Prompt:
    """A prompt with `{}` for the person, and what must hold in the picture: names and values of `picture.facts_of`,
    with "thing" for a kind among its things.
    """

    text: str
    facts: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, who: str) -> str:
        """The prompt about somebody."""
        return self.text.format(who)


SCENE = (
    Prompt("a photo of {} at the beach", {"scene": "beach"}),
    Prompt("a photo of {} with the sunset as backdrop", {"scene": "sunset"}),
    Prompt("a photo of {} in a forest", {"scene": "forest"}),
    Prompt("a photo of {} in the city", {"scene": "city"}),
    Prompt("a photo of {} in the snow", {"scene": "snow"}),
    Prompt("a photo of {} in front of a brick wall", {"scene": "brick wall"}),
    Prompt("a photo of {} in a living room", {"scene": "room"}),
    Prompt("a photo of {} in the city at night", {"scene": "night"}),
    Prompt("a photo of {} in a field of flowers", {"scene": "field"}),
    Prompt("a photo of {} in front of a garage", {"scene": "garage"}),
)
ATTRIBUTE = (
    Prompt("a photo of {} wearing sunglasses", {"thing": "sunglasses"}),
    Prompt("a photo of {} wearing a baseball cap", {"thing": "cap"}),
    Prompt("a photo of {} wearing drop earrings", {"thing": "earrings"}),
    Prompt("a photo of {} in a sweater", {"garment": "sweater"}),
    Prompt("a photo of the face of {} with eyes closed", {"expression": "eyes closed"}),
    Prompt("a photo of the face of {} with mouth open", {"expression": "mouth open"}),
    Prompt("a photo of {} smiling", {"expression": "smiling"}),
    Prompt("a photo of {} with red long hair", {"hair_colour": "red", "hair_length": "long"}),
    Prompt("a photo of {} with white hair", {"hair_colour": "white"}),
    Prompt("a photo of {} as an old person", {"age": "old"}),
)
ACTION = (
    Prompt("a photo of {} holding a red ball", {"thing": "red ball"}),
    Prompt("a photo of {} holding a cup", {"thing": "cup"}),
    Prompt("a photo of {} holding an umbrella", {"thing": "umbrella"}),
    Prompt("a photo of {} reading a book", {"thing": "book"}),
    Prompt("a photo of {} holding flowers", {"thing": "flowers"}),
    Prompt("a photo of {} playing the guitar", {"thing": "guitar"}),
    Prompt("a photo of {} sitting on a chair", {"thing": "chair"}),
    Prompt("a photo of {} waving", {"arms": "wave"}),
    Prompt("a photo of {} with hands on hips", {"arms": "hips"}),
    Prompt("a photo of {} looking to the left", {"facing": "left"}),
)
SETS: Mapping[str, tuple[Prompt, ...]] = MappingProxyType({"scene": SCENE, "attribute": ATTRIBUTE, "action": ACTION})
"""The three sets of ten."""
FACE_PROMPT = "a photo of the face of {}"
"""The prompt that identities are learned with."""
