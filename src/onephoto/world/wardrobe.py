"""What people wear: garments, their colours and patterns, and the words for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

COLOUR_RGB: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {
        "red": (178, 36, 40), "navy": (36, 48, 94), "blue": (50, 104, 180), "green": (44, 112, 70),
        "yellow": (226, 186, 56), "white": (226, 224, 220), "black": (32, 32, 36), "grey": (128, 130, 134),
        "orange": (222, 118, 44), "purple": (104, 60, 140), "pink": (226, 140, 166), "brown": (110, 76, 52),
        "teal": (30, 128, 132), "beige": (206, 186, 156),
    }
)  # fmt: skip
"""Colours of cloth and things, sRGB."""


@dataclass(frozen=True)
class Garment:
    """A kind of garment: its possible necks and patterns (of drawing.NECKS and CLOTH_PATTERNS), its sleeve, and how
    common it is.
    """

    necks: tuple[str, ...]
    sleeve: str
    patterns: tuple[str, ...]
    frequency: float


GARMENTS: Mapping[str, Garment] = MappingProxyType(
    {
        "sweater": Garment(("crew", "crew", "v"), "long", ("plain", "plain", "plain", "stripes", "yoke"), 0.27),
        "turtleneck": Garment(("turtle",), "long", ("plain", "plain", "stripes"), 0.11),
        "t-shirt": Garment(
            ("crew", "crew", "v"), "short", ("plain", "plain", "plain", "stripes", "logo", "dots"), 0.22
        ),
        "shirt": Garment(("v", "crew"), "long", ("check", "check", "pinstripes", "dots", "plain"), 0.15),
        "tank top": Garment(("scoop", "crew"), "tank", ("plain", "plain", "stripes"), 0.09),
        "jacket": Garment(("crew", "v"), "long", ("jacket",), 0.10),
        "top": Garment(("scoop",), "short", ("plain", "plain", "dots", "stripes"), 0.06),
    }
)
"""Garments by their word."""

PATTERN_PHRASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "plain": ("{colour} {garment}",),
        "stripes": ("striped {garment}", "{colour} and {second} striped {garment}"),
        "pinstripes": ("{colour} {garment} with {second} stripes", "striped {garment}"),
        "check": ("checked {garment}", "{colour} and {second} checked {garment}"),
        "jacket": ("{colour} {garment}", "{colour} {garment} over a {second} top"),
        "logo": ("{colour} {garment} with a {second} spot", "{colour} {garment}"),
        "dots": ("dotted {garment}", "{colour} {garment} with {second} dots"),
        "yoke": ("{colour} and {second} {garment}",),
    }
)
"""What can be said of a garment of each pattern; the article is put before it."""


@dataclass(frozen=True)
class Clothes:
    """A garment of GARMENTS as it is worn: neck, sleeve and pattern as in `drawing`, two colours of COLOUR_RGB."""

    garment: str
    neck: str
    sleeve: str
    pattern: str
    colour: str
    second: str


def with_article(phrase: str) -> str:
    """The phrase behind "a" or "an"."""
    return f"an {phrase}" if phrase[0] in "aeiou" else f"a {phrase}"


def pick_clothes(rng: np.random.Generator, *, garment: str | None = None) -> Clothes:
    """Random clothes; `garment` fixes their kind."""
    odds = np.array([kind.frequency for kind in GARMENTS.values()])
    drawn = list(GARMENTS)[int(rng.choice(len(odds), p=odds / odds.sum()))]
    kind = GARMENTS[garment or drawn]
    colour, second = (str(word) for word in rng.choice(list(COLOUR_RGB), 2, replace=False))
    return Clothes(
        garment=garment or drawn,
        neck=str(rng.choice(kind.necks)),
        sleeve=kind.sleeve,
        pattern=str(rng.choice(kind.patterns)),
        colour=colour,
        second=second,
    )


def clothes_phrase(clothes: Clothes, rng: np.random.Generator, *, plain: bool = False) -> str:
    """Words for clothes, such as "a red sweater"; `plain` names the garment alone."""
    if plain:
        return with_article(clothes.garment)
    template = str(rng.choice(PATTERN_PHRASES[clothes.pattern]))
    return with_article(template.format(garment=clothes.garment, colour=clothes.colour, second=clothes.second))
