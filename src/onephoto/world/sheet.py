"""Contact sheets: one row a person, one column a shot."""

from collections.abc import Iterable

import numpy as np
from PIL import Image

from onephoto.world.people import person
from onephoto.world.picture import take_picture
from onephoto.world.shots import sample_shot


def contact_sheet(
    people: Iterable[int], shots: int, *, size: int = 128, seed: int = 0, enlarge: int = 1
) -> Image.Image:
    """Pictures of people (seeds), `shots` each, `size` pixels wide and shown `enlarge` times as large."""
    rows = []
    for number in people:
        somebody = person(number)
        taken = [
            take_picture(somebody, sample_shot(np.random.default_rng([seed, number, k]), somebody), size=size).image
            for k in range(shots)
        ]
        rows.append(np.concatenate(taken, 1))
    sheet = Image.fromarray(np.concatenate(rows))
    return sheet.resize((sheet.width * enlarge, sheet.height * enlarge), Image.Resampling.NEAREST)
