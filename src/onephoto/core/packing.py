"""Several text-encoder outputs in one ordinary prompt tensor, and the tables that say which of them makes K and V.

Packed along the token axis, the contexts of a prompt travel through any pipeline as its `prompt_embeds`: guidance,
batches and several images a prompt repeat and concatenate them untouched. One row more than U * L marks the tensor as
packed, so a length that no plain prompt has tells the two apart without looking at a value.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from onephoto.core.regions import place_sizes


@dataclass(frozen=True)
class Routing:
    """Which of U contexts makes K and which V, at stage s and cross-attention layer n: key and value (S, N), long.

    S == 1 means that all stages are alike, N == 1 that all layers are.
    """

    key: Tensor
    value: Tensor

    @property
    def num_stages(self) -> int:
        """S."""
        return self.key.shape[0]

    def to(self, device: torch.device | str) -> "Routing":
        """The same tables on another device."""
        return Routing(self.key.to(device), self.value.to(device))


def pack(contexts: Tensor, places: Tensor | None = None, *, mark: float = math.nan) -> Tensor:
    """Contexts (B, U, L, C) as one prompt tensor (B, U * L + 1 + R, C); row U * L holds the mark in every channel.

    places, if any, are the place of each prompt token in the picture, (B, L, n), as `core.regions` has them; they take
    the last R rows.
    """
    batch, _, _, width = contexts.shape
    rows = [contexts.flatten(1, 2), contexts.new_full((batch, 1, width), mark)]
    if places is not None:
        numbers = places.to(contexts).flatten(1)
        rows.append(functional.pad(numbers, (0, -numbers.shape[1] % width)).unflatten(1, (-1, width)))
    return torch.cat(rows, dim=1)


def unpack(packed: Tensor, num_contexts: int, length: int, own: int | None = None) -> tuple[Tensor, Tensor | None]:
    """The contexts again, (B, U, L, C), and the places, (B, L, n) or None, of U contexts.

    `length` is L, `own` that of one of several prompts that lie side by side in it; L too unless given.
    """
    contexts, rest = packed[:, : num_contexts * length], packed[:, num_contexts * length + 1 :]
    contexts = contexts.unflatten(1, (-1, length))
    if not rest.shape[1]:
        return contexts, None
    rows = [(size, _rows(size * length, packed.shape[2])) for size in place_sizes(own or length)]
    size = next(size for size, number in rows if number == rest.shape[1])
    return contexts, rest.flatten(1)[:, : size * length].unflatten(1, (length, size))


def packed_length(embeds: Tensor, num_contexts: int, length: int) -> int:
    """L of a prompt tensor (B, rows, C) of U packed contexts, with places or without: `length`, or as many times that
    as prompts lie side by side in it; 0 for any other prompt. No value is read.
    """
    if embeds.ndim != 3:
        return 0
    rows, width = embeds.shape[1:]
    for own in range(length, rows // num_contexts + 1, length):
        if rows - num_contexts * own - 1 in (0, *(_rows(size * own, width) for size in place_sizes(length))):
            return own
    return 0


def _rows(numbers: int, width: int) -> int:
    """Rows of this width that so many numbers take."""
    return -(-numbers // width)


def select(contexts: Tensor, routing: Routing, stage: Tensor, layer: int) -> tuple[Tensor, Tensor]:
    """The contexts that make K and V of one layer: (B, U, L, C) and stage (B,) -> two of (B, L, C).

    Everything is a tensor gather, so that compiled models need not come back to Python for a stage.
    """
    column = layer if routing.key.shape[1] > 1 else 0
    sample = torch.arange(contexts.shape[0], device=contexts.device)
    return contexts[sample, routing.key[stage, column]], contexts[sample, routing.value[stage, column]]


def selected(contexts: Tensor, routing: Routing, stage: Tensor) -> Tensor:
    """What makes K and V of each sample, layer after layer: contexts (U, L, C) that all share and the samples' stages
    (B,), long -> (B, 2 N, L, C).

    Samples share contexts. Unlike indexing, a lookup adds their gradients up in the same order on every run.
    """
    tables = routing.to(contexts.device)
    stage = stage.to(contexts.device)
    rows = torch.stack([tables.key[stage], tables.value[stage]], dim=-1).flatten(1)
    return functional.embedding(rows, contexts.flatten(1)).unflatten(2, contexts.shape[1:])
