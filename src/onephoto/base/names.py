"""Names that mean a person: their rows of the token table are one linear function of what their people are like.

A row of its own for each name has to be learned from that name's few pictures. With one function for all of them every
picture of anybody teaches every name, and between the rows of known people lie those of people nobody has drawn.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from onephoto.world.names import NAMED, name_of
from onephoto.world.people import (
    BEARD_STYLES,
    EYE_COLOURS,
    HAIR_COLOURS,
    HAIR_STYLES,
    LIDS,
    LIPSTICKS,
    SEXES,
    Mole,
    Person,
    person,
)

CHOICES: dict[str, Sequence[str]] = {
    "sex": SEXES, "eyes": EYE_COLOURS, "hair.style": HAIR_STYLES, "hair.colour": HAIR_COLOURS,
    "beard.style": BEARD_STYLES, "skin.lipstick": tuple(LIPSTICKS), "skin.lid_colour": tuple(LIDS),
}  # fmt: skip
MOLES = 3
"""The most moles that anybody has."""
LEAST_DEVIATION = 0.15
"""Rare words, such as a colour that one in a hundred has, are not blown up beyond this."""


def traits(one: Person) -> NDArray[np.float64]:
    """All that makes somebody who they are as numbers (D,): words as one of their choices, seed and name left out."""
    return np.array(list(_numbers(one, "")))


def _numbers(record: object, path: str) -> Iterator[float]:
    for field in fields(record):  # type: ignore[arg-type]
        value, name = getattr(record, field.name), path + field.name
        if name in CHOICES:
            yield from (float(value == word) for word in CHOICES[name])
        elif name == "moles":
            yield from _moles(value)
        elif isinstance(value, float):
            yield value
        elif isinstance(value, tuple):
            yield from value
        elif name not in ("seed", "name"):
            yield from _numbers(value, f"{name}.")


def _moles(moles: Sequence[Mole]) -> Iterator[float]:
    for place in range(MOLES):
        yield from (1.0, moles[place].x, moles[place].y) if place < len(moles) else (0.0, 0.0, 0.0)


def standardised(rows: NDArray[np.float64]) -> Tensor:
    """Rows (N, D) with mean 0 and deviation about 1 in each column, float32; what never varies is 0."""
    centred = rows - rows.mean(0)
    return torch.from_numpy(centred / np.maximum(centred.std(0), LEAST_DEVIATION)).float()


class NamedTokens(nn.Module):
    """A token table (V, W) whose rows at `ids` (N,) are `traits` (N, D) @ `meaning` (D, W).

    Begins with the `meaning` nearest to the rows that are there, so that training goes on from an exported table.
    """

    ids: Tensor
    traits: Tensor

    def __init__(self, table: nn.Embedding, ids: Tensor, known: Tensor) -> None:
        super().__init__()
        self.weight = table.weight
        with torch.no_grad():
            # Shares and choices depend on one another, so columns do: a driver that minds.
            options = {"driver": "gelsd", "rcond": 1e-5}
            nearest = torch.linalg.lstsq(known.double(), table.weight[ids].double(), **options).solution
            self.meaning = nn.Parameter(nearest.float())
        self.register_buffer("ids", ids, persistent=False)
        self.register_buffer("traits", known, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids (...) -> (..., W)."""
        return F.embedding(ids, self.rows())

    def rows(self) -> Tensor:
        """The whole table (V, W)."""
        return self.weight.index_copy(0, self.ids, self.traits @ self.meaning)


def tie_names(encoders: Iterable[CLIPTextModel], tokenizer: CLIPTokenizer) -> None:
    """Let the names of people be `NamedTokens` in each text encoder."""
    numbers = tokenizer.get_vocab()
    ids = torch.tensor([numbers[f"{name_of(seed)}</w>"] for seed in range(NAMED)])
    known = standardised(np.stack([traits(person(seed)) for seed in range(NAMED)]))
    for encoder in encoders:
        encoder.set_input_embeddings(NamedTokens(encoder.get_input_embeddings(), ids, known))


@torch.no_grad()
def write_out_names(encoders: Iterable[CLIPTextModel]) -> None:
    """Turn `NamedTokens` back into plain tables, as others load them."""
    for encoder in encoders:
        if isinstance(named := encoder.get_input_embeddings(), NamedTokens):
            encoder.set_input_embeddings(nn.Embedding.from_pretrained(named.rows(), freeze=False))
