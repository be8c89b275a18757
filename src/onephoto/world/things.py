"""Things with identities of their own: plush toys, cars, chairs, dogs, each a small record that follows from a seed.

Seeds mean what they mean for people: 0 to 89999 for training, 90000 to 99999 for choices, 100000 and up to measure.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from onephoto.errors import WorldError
from onephoto.world import cars, chairs, dogs, plush
from onephoto.world.cars import Car
from onephoto.world.chairs import Chair
from onephoto.world.dogs import Dog
from onephoto.world.plush import Plush
from onephoto.world.thing_parts import Feature, Part

Thing = Plush | Car | Chair | Dog


@dataclass(frozen=True)
class Kind:
    """A kind of thing: how one is drawn from a seed, made in a pose, and described.

    `turn` is how far the camera goes round it (degrees), `behind` how often it is seen from behind.
    """

    draw: Callable[[int], Thing]
    parts_of: Callable[[Any, str], Sequence[Part]]
    features: Callable[[Any], list[Feature]]
    poses: tuple[str, ...]
    turn: float
    behind: float


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "plush toy": Kind(plush.plush, plush.parts_of, plush.features, ("sitting",), 55, 0.0),
        "car": Kind(cars.car, cars.parts_of, cars.features, ("still",), 85, 0.15),
        "chair": Kind(chairs.chair, chairs.parts_of, chairs.features, ("still",), 70, 0.10),
        "dog": Kind(dogs.dog, dogs.parts_of, dogs.features, dogs.POSES, 80, 0.0),
    }
)


def thing(kind: str, seed: int) -> Thing:
    """Draw the thing of a kind and seed, for ever the same; raises WorldError for other kinds and negative seeds."""
    if kind not in KINDS:
        raise WorldError(f"no kind of thing {kind!r}; known: {', '.join(KINDS)}")
    if seed < 0:
        raise WorldError(f"things have seeds from 0 upwards, not {seed}")
    return KINDS[kind].draw(seed)


def features(one: Thing) -> list[Feature]:
    """What can be said of a thing's shape, pattern and what is added to it."""
    return KINDS[one.kind].features(one)
