"""Contact sheets: one row a person or thing, one column a shot."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onephoto.world.dataset import PERSON, picture_of_thing
from onephoto.world.people import person
from onephoto.world.picture import take_picture
from onephoto.world.shots import sample_shot


def contact_sheet(
    people: Iterable[int], shots: int, *, size: int = 128, seed: int = 0, enlarge: int = 1, subject: str = PERSON
) -> Image.Image:
    """Pictures of people (seeds), `shots` each, `size` pixels wide and shown `enlarge` times as large.

    `subject` may be a kind of thing instead. Raises WorldError for a kind that does not exist.
    """
    rows = []
    for number in people:
        streams = [np.random.default_rng([seed, number, k]) for k in range(shots)]
        rows.append(np.concatenate([_image(subject, number, rng, size) for rng in streams], 1))
    sheet = Image.fromarray(np.concatenate(rows))
    return sheet.resize((sheet.width * enlarge, sheet.height * enlarge), Image.Resampling.NEAREST)


def _image(subject: str, number: int, rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """One picture (size, size, 3)."""
    if subject != PERSON:
        return picture_of_thing(subject, number, rng, size=size).image
    somebody = person(number)
    return take_picture(somebody, sample_shot(rng, somebody), size=size).image
