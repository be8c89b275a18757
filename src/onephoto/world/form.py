"""From a person's numbers to weights of shape targets."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from onephoto.world.body import asymmetry_targets, head_targets, shape_parameters

if TYPE_CHECKING:
    from onephoto.world.people import Person

YOUNG, OLD = 25.0, 85.0
"""Ages in years that MakeHuman's "young" and "old" targets stand for here."""


def oldness(age: float) -> float:
    """Share of the "old" targets at an age in years, in [0, 1]."""
    return min(max((age - YOUNG) / (OLD - YOUNG), 0.0), 1.0)


def _three_way(amount: float) -> dict[str, float]:
    """Weights of least, average and most for an amount in [0, 1]."""
    return {"min": max(0.0, 1 - 2 * amount), "average": 1 - abs(2 * amount - 1), "max": max(0.0, 2 * amount - 1)}


def _macro_weights(person: "Person") -> Iterator[tuple[str, float]]:
    """MakeHuman's macro targets: products of the shares of sex, age, ancestry, muscle and weight."""
    old = oldness(person.age)
    ancestry = {"african": person.african, "asian": person.asian, "caucasian": person.european}
    for sex, sex_share in (("male", person.masculinity), ("female", 1 - person.masculinity)):
        for age, age_share in (("young", 1 - old), ("old", old)):
            share = sex_share * age_share
            for origin, origin_share in ancestry.items():
                yield f"macrodetails/{origin}-{sex}-{age}", share * origin_share
            for muscle, muscle_share in _three_way(person.muscle).items():
                for weight, weight_share in _three_way(person.weight).items():
                    name = f"macrodetails/universal-{sex}-{age}-{muscle}muscle-{weight}weight"
                    yield name, share * muscle_share * weight_share


def target_weights(person: "Person") -> dict[str, float]:
    """Weight of every shape target that a person is made of; zero weights are left out."""
    weights = dict(_macro_weights(person))
    for parameter, value in zip(shape_parameters(), person.shape, strict=True):
        for name in parameter.positive if value > 0 else parameter.negative:
            weights[name] = abs(value)
    weights.update(zip(head_targets(), person.head, strict=True))
    for name, value in zip(asymmetry_targets(), person.asymmetry, strict=True):
        weights[name if value > 0 else name[:-1] + "r"] = abs(value)
    return {name: weight for name, weight in weights.items() if weight > 1e-4}
