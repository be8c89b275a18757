"""Names that mean a person: their rows of the token table are one linear function of what their people are like.

A row of its own for each name has to be learned from that name's few pictures. With one function for all of them every
picture of anybody teaches every name, and between the rows of known people lie those of people nobody has drawn.
Pictures of people without a name teach it too: captions call them SOMEBODY, and each has a row while training lasts.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from onephoto.world.names import NAMED, SOMEBODY, name_of
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


def standardised(rows: NDArray[np.float64], *, like: NDArray[np.float64] | None = None) -> Tensor:
    """Rows (N, D) with mean 0 and deviation about 1 in each column, float32; what never varies is 0.

    Mean and deviation are those of the rows `like`, if given.
    """
    like = rows if like is None else like
    return torch.from_numpy((rows - like.mean(0)) / np.maximum(like.std(0), LEAST_DEVIATION)).float()


class NamedTokens(nn.Module):
    """A token table (V, W) whose rows at `ids` (N,) are `traits` (N, D) @ `meaning` (D, W); after it come the rows of
    `strangers` (M, D), made alike.

    Begins with the `meaning` nearest to the rows that are there, so that training goes on from an exported table.
    """

    ids: Tensor
    traits: Tensor
    strangers: Tensor

    def __init__(self, table: nn.Embedding, ids: Tensor, known: Tensor, strangers: Tensor | None = None) -> None:
        super().__init__()
        self.weight = table.weight
        with torch.no_grad():
            # Shares and choices depend on one another, so columns do: a driver that minds.
            options = {"driver": "gelsd", "rcond": 1e-5}
            nearest = torch.linalg.lstsq(known.double(), table.weight[ids].double(), **options).solution
            self.meaning = nn.Parameter(nearest.float())
        self.register_buffer("ids", ids, persistent=False)
        self.register_buffer("traits", known, persistent=False)
        self.register_buffer("strangers", known[:0] if strangers is None else strangers, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids (...) -> (..., W)."""
        return F.embedding(ids, torch.cat([self.rows(), self.strangers @ self.meaning]))

    def rows(self) -> Tensor:
        """The whole table (V, W)."""
        return self.weight.index_copy(0, self.ids, self.traits @ self.meaning)


def tie_names(encoders: Iterable[CLIPTextModel], tokenizer: CLIPTokenizer, *, strangers: Sequence[int] = ()) -> None:
    """Let the names of people be `NamedTokens` in each text encoder, and SOMEBODY the mean of them all.

    Token numbers from the vocabulary's end on mean the people with seeds `strangers`, in their order.
    """
    named = _rows(range(NAMED))
    numbers = tokenizer.get_vocab()
    ids = torch.tensor([numbers[f"{name}</w>"] for name in (*map(name_of, range(NAMED)), SOMEBODY)])
    # At traits of 0 lies the mean.
    known = F.pad(standardised(named), (0, 0, 0, 1))
    others = standardised(_rows(strangers), like=named) if len(strangers) else None
    for encoder in encoders:
        encoder.set_input_embeddings(NamedTokens(encoder.get_input_embeddings(), ids, known, others))


def _rows(seeds: Sequence[int]) -> NDArray[np.float64]:
    return np.stack([traits(person(seed)) for seed in seeds])


@torch.no_grad()
def write_out_names(encoders: Iterable[CLIPTextModel]) -> None:
    """Turn `NamedTokens` back into plain tables, as others load them."""
    for encoder in encoders:
        if isinstance(named := encoder.get_input_embeddings(), NamedTokens):
            encoder.set_input_embeddings(nn.Embedding.from_pretrained(named.rows(), freeze=False))
