"""What captions can say about plush toys, cars, chairs and dogs: every phrase by the fact that it states."""

from collections.abc import Mapping
from types import MappingProxyType

from onephoto.world.phrases import Phrases

KINDS = ("plush toy", "car", "chair", "dog")
"""Kinds of things that pictures can be about."""

NOUNS: Phrases = MappingProxyType(
    {
        "plush toy": ("plush toy", "plush toy", "plush toy", "stuffed toy", "stuffed animal", "cuddly toy"),
        "car": ("car",),
        "chair": ("chair",),
        "dog": ("dog",),
    }
)
"""Words for a kind."""

FORM_NOUNS: Phrases = MappingProxyType(
    {
        "bear": ("teddy bear", "teddy", "plush bear"),
        "rabbit": ("plush rabbit", "toy rabbit", "plush bunny"),
        "cat": ("plush cat", "toy cat"),
        "mouse": ("plush mouse", "toy mouse"),
        "elephant": ("plush elephant", "toy elephant"),
        "small car": ("small car", "hatchback"),
        "sedan": ("car", "sedan"),
        "sports car": ("sports car", "racing car"),
        "van": ("van", "minibus"),
        "pickup": ("pickup truck", "pickup"),
        "off-road car": ("off-road car", "jeep"),
        "wooden chair": ("wooden chair", "kitchen chair"),
        "armchair": ("armchair", "soft chair"),
        "garden chair": ("metal chair", "garden chair"),
        "short-legged dog": ("dachshund", "short dog"),
        "shaggy dog": ("shaggy dog",),
        "sheepdog": ("sheepdog",),
        "hound": ("hound",),
        "poodle": ("poodle",),
        "terrier": ("terrier",),
        "spitz": ("spitz",),
    }
)
"""Closer words for a thing of a form."""

FEATURES: Phrases = MappingProxyType(
    {
        "long ears": ("with long ears",),
        "round ears": ("with round ears", "with big round ears"),
        "small ears": ("with small ears",),
        "pointed ears": ("with pointed ears",),
        "floppy ears": ("with floppy ears", "with hanging ears"),
        "trunk": ("with a long trunk",),
        "belly": ("with a {colour} belly",),
        "spots": ("with {colour} spots", "with spots"),
        "stripes": ("with {colour} stripes", "with stripes"),
        "patches": ("with {colour} patches", "with a {colour} patch"),
        "bow": ("with a {colour} bow", "wearing a {colour} bow", "with a bow tie"),
        "scarf": ("with a {colour} scarf", "wearing a {colour} scarf"),
        "big head": ("with a big head",),
        "small head": ("with a small head",),
        "thin": ("with a thin body", "with long legs"),
        "chubby": ("with a round body", "with a fat belly"),
        "roof": ("with a {colour} roof",),
        "one stripe": ("with a {colour} stripe", "with a {colour} stripe along the middle"),
        "lower half": ("with {colour} doors", "with {colour} sides"),
        "big wheels": ("with big wheels",),
        "small wheels": ("with small wheels",),
        "round lights": ("with round headlights", "with round lights"),
        "square lights": ("with square headlights", "with square lights"),
        "spare wheel": ("with a spare wheel",),
        "luggage": ("with a roof rack", "with luggage on the roof"),
        "spoiler": ("with a spoiler", "with a rear wing"),
        "long": ("with a long body",),
        "short": ("with a short body",),
        "armrests": ("with armrests",),
        "no armrests": ("without armrests",),
        "high back": ("with a high back",),
        "low back": ("with a low back",),
        "round back": ("with a round back",),
        "slatted back": ("with a slatted back", "with bars in the back"),
        "ladder back": ("with a ladder back", "with rails in the back"),
        "solid back": ("with a solid back",),
        "cushion": ("with a {colour} cushion", "with a cushion on the seat"),
        "wide seat": ("with a wide seat",),
        "narrow seat": ("with a narrow seat",),
        "thick legs": ("with thick legs",),
        "thin legs": ("with thin legs",),
        "wooden legs": ("with wooden legs", "on wooden legs"),
        "buttons": ("with buttons in the back",),
        "short fur": ("with short fur", "with smooth fur"),
        "long fur": ("with long fur", "with shaggy fur"),
        "curly fur": ("with curly fur", "with fluffy fur"),
        "short legs": ("with short legs",),
        "long legs": ("with long legs",),
        "long nose": ("with a long nose", "with a long snout"),
        "short nose": ("with a short nose", "with a flat nose"),
        "long tail": ("with a long tail",),
        "curled tail": ("with a curled tail",),
        "short tail": ("with a short tail",),
        "chest": ("with a {colour} chest",),
        "paws": ("with {colour} paws", "with {colour} feet"),
        "saddle": ("with a {colour} back",),
        "mask": ("with a {colour} face",),
        "collar": ("with a {colour} collar", "wearing a {colour} collar", "wearing a collar"),
    }
)
"""Shape, pattern and what is added."""

POSES: Phrases = MappingProxyType(
    {"sitting": ("sitting", "sitting on the ground"), "standing": ("standing", "standing still"), "still": ()}
)
SIDES: Phrases = MappingProxyType(
    {
        "front": ("seen from the front",),
        "side": ("seen from the side", "from the side"),
        "back": ("seen from behind", "from behind"),
    }
)
COLOUR_RGB: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {
        "red": (188, 34, 38), "navy": (36, 50, 104), "blue": (46, 104, 190), "green": (48, 124, 72),
        "yellow": (232, 190, 50), "white": (232, 230, 226), "black": (36, 36, 40), "grey": (134, 136, 140),
        "orange": (228, 118, 40), "purple": (112, 64, 152), "pink": (232, 144, 172), "brown": (122, 80, 50),
        "teal": (28, 134, 138), "beige": (214, 190, 152), "golden": (206, 156, 84), "silver": (178, 182, 188),
        "dark brown": (72, 46, 32), "light blue": (140, 186, 220), "light green": (150, 196, 130),
    }
)  # fmt: skip
"""Colours of things, sRGB."""
COLOURED = ("{colour} {noun}", "{colour} {noun}", "{colour} {noun}", "{colour} and {second} {noun}")
"""A thing without a name; the last says its pattern's colours and is left out where there is no pattern."""
NAMED = ("{name}", "{name}", "{name}", "{name} the {noun}", "the {noun} {name}")
"""How a thing with a name is spoken of."""
PLACES: Phrases = MappingProxyType(
    {
        "room": ("on the floor", "on the floor of a room"),
        "snow": ("on the snow",),
        "beach": ("on the sand", "on the beach"),
        "field": ("in the grass", "on the grass"),
        "city": ("on the street", "on a street in the city"),
        "garage": ("in front of a garage door",),
    }
)
"""Where things stand, besides what is said of people's scenes."""
