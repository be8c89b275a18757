"""What the captions can say: every phrase by the fact that it states."""

from collections.abc import Mapping
from types import MappingProxyType

Phrases = Mapping[str, tuple[str, ...]]

SCENE_PHRASES: Phrases = MappingProxyType(
    {
        "studio": ("in a studio", "in front of a {colour} background", "against a {colour} wall",
                   "with a plain background", "in a photo studio"),
        "sunset": ("at sunset", "with the sunset as backdrop", "in front of the sunset", "with the sun going down",
                   "in the evening sun"),
        "beach": ("at the beach", "at the beach", "on a beach", "by the sea", "on the beach"),
        "forest": ("in a forest", "in the forest", "in the woods", "among trees"),
        "city": ("in the city", "in a city", "in front of tall buildings", "on a city street",
                 "in front of skyscrapers"),
        "snow": ("in the snow", "in front of snowy mountains", "in the mountains", "in snow"),
        "brick wall": ("in front of a brick wall", "against a brick wall", "in front of a {colour} brick wall"),
        "room": ("in a room", "at home", "in a living room", "indoors", "inside a house"),
        "night": ("at night", "in the city at night", "in front of city lights", "in the dark with colorful lights"),
        "field": ("in a field", "in a meadow", "on a green meadow", "in a field of flowers", "in the countryside"),
        "garage": ("in front of a garage", "in front of a garage", "in front of a {colour} garage door"),
    }
)  # fmt: skip

EXPRESSION_PHRASES: Phrases = MappingProxyType(
    {
        "neutral": ("with mouth closed", "with a calm face", "with closed mouth", "looking calm"),
        "smiling": ("smiling", "with a smile", "smiling gently", "looking happy"),
        "grin": ("grinning", "with a big smile", "laughing", "showing teeth"),
        "mouth open": ("with mouth open", "with an open mouth"),
        "surprised": ("looking surprised", "with a surprised face", "being surprised"),
        "eyes closed": ("with eyes closed", "with closed eyes"),
        "angry": ("looking angry", "with an angry face", "frowning"),
        "sad": ("looking sad", "with a sad face"),
        "pucker": ("with pursed lips", "blowing a kiss"),
    }
)

WORN_PHRASES: Phrases = MappingProxyType(
    {
        "glasses": ("glasses", "{colour} glasses", "eyeglasses"),
        "sunglasses": ("sunglasses", "sunglasses", "dark glasses"),
        "cap": ("a {colour} cap", "a baseball cap", "a {colour} baseball cap", "a cap"),
        "earrings": ("drop earrings", "earrings", "{colour} earrings"),
        "scarf": ("a {colour} scarf", "a scarf"),
    }
)
HELD_PHRASES: Phrases = MappingProxyType(
    {
        "red ball": ("holding a red ball", "holding a red ball", "with a red ball in the hand",
                     "playing with a red ball"),
        "cup": ("holding a cup", "holding a {colour} cup", "holding a cup of coffee",
                "with a {colour} cup in the hand"),
        "umbrella": ("holding an umbrella", "holding a {colour} umbrella", "under a {colour} umbrella"),
        "book": ("holding a book", "reading a book", "holding a {colour} book"),
        "flowers": ("holding flowers", "holding {colour} flowers", "with a bunch of flowers"),
        "guitar": ("playing the guitar", "playing a {colour} guitar", "with a guitar"),
    }
)  # fmt: skip
SEAT_PHRASES = ("sitting on a chair", "sits on a chair", "sitting on a {colour} chair")
ARM_PHRASES: Phrases = MappingProxyType(
    {
        "down": (),
        "wave": ("waving", "waving a hand", "with one hand raised"),
        "hips": ("with hands on hips",),
        "clasped": ("with folded hands", "with clasped hands"),
    }
)
TURN_PHRASES: Phrases = MappingProxyType(
    {
        "front": ("looking at the camera", "seen from the front"),
        "left": ("looking to the left", "turned to the left"),
        "right": ("looking to the right", "turned to the right"),
    }
)
"""Where the face points, as the viewer sees it."""

FACE_OPENINGS = ("a photo of the face of {who}", "a photo of the face of {who}", "a photo of the face of {who}",
                 "the face of {who}", "a portrait of {who}", "a close photo of {who}", "a picture of the face of {who}",
                 "a portrait photo of {who}")  # fmt: skip
OPENINGS = ("a photo of {who}", "a photo of {who}", "{who}", "{who}", "a picture of {who}", "an image of {who}")
WEARING = ("wearing {what}", "wearing {what}", "with {what}")
DRESSED = ("wearing {what}", "in {what}")
NOUNS = ("person", "man", "woman")
PAIRS = ("{left} and {right}", "{right} and {left}", "{left} next to {right}", "{right} beside {left}",
         "{left} together with {right}", "{left} on the left and {right} on the right", "two people")  # fmt: skip
"""Two people in one picture, as the viewer sees them."""
AGED = ("as an {age} person", "as a {age} person")
JOINING = (",", "and", "with")
