"""Contact sheets of people or things: their shots side by side, one or several of them a row."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onephoto.world.dataset import PERSON, picture_of_thing
from onephoto.world.people import person
from onephoto.world.picture import take_picture
from onephoto.world.shots import sample_shot


def contact_sheet(
    people: Sequence[int], shots: int, *, size: int = 128, seed: int = 0, enlarge: int = 1, subject: str = PERSON,
    across: int = 1,
) -> Image.Image:  # fmt: skip
    """Pictures of people (seeds), `shots` each, `size` pixels wide and shown `enlarge` times as large.

    `across` people share a row; `subject` may be a kind of thing instead. Raises WorldError for a kind that does not
    exist.
    """
    rows = -(-len(people) // across)
    cells = np.zeros((rows, across * shots, size, size, 3), np.uint8)
    for place, number in enumerate(people):
        for k in range(shots):
            column = place % across * shots + k
            cells[place // across, column] = _image(subject, number, np.random.default_rng([seed, number, k]), size)
    sheet = Image.fromarray(cells.swapaxes(1, 2).reshape(rows * size, -1, 3))
    return sheet.resize((sheet.width * enlarge, sheet.height * enlarge), Image.Resampling.NEAREST)


def _image(subject: str, number: int, rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """One picture (size, size, 3)."""
    if subject != PERSON:
        return picture_of_thing(subject, number, rng, size=size).image
    somebody = person(number)
    return take_picture(somebody, sample_shot(rng, somebody), size=size).image
