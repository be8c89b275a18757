"""Several text-encoder outputs in one ordinary prompt tensor, and the tables that say which of them makes K and V.

Packed along the token axis, the contexts of a prompt travel through any pipeline as its `prompt_embeds`: guidance,
batches and several images a prompt repeat and concatenate them untouched. One row more than U * L marks the tensor as
packed, so a length that no plain prompt has tells the two apart without looking at a value.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


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


def pack(contexts: Tensor) -> Tensor:
    """Contexts (B, U, L, C) as one prompt tensor (B, U * L + 1, C); the last row holds U in every channel."""
    batch, num_contexts, _, width = contexts.shape
    mark = contexts.new_full((batch, 1, width), num_contexts)
    return torch.cat([contexts.flatten(1, 2), mark], dim=1)


def unpack(packed: Tensor, length: int) -> Tensor:
    """The contexts again: (B, U * L + 1, C) -> (B, U, L, C), where length is L."""
    return packed[:, :-1].unflatten(1, (-1, length))


def is_packed(embeds: Tensor, num_contexts: int, length: int) -> bool:
    """Whether a prompt tensor (B, rows, C) has the row count of U packed contexts of length L; no value is read."""
    return embeds.ndim == 3 and embeds.shape[1] == num_contexts * length + 1


def select(contexts: Tensor, routing: Routing, stage: Tensor, layer: int) -> tuple[Tensor, Tensor]:
    """The contexts that make K and V of one layer: (B, U, L, C) and stage (B,) -> two of (B, L, C).

    Everything is a tensor gather, so that compiled models need not come back to Python for a stage.
    """
    column = layer if routing.key.shape[1] > 1 else 0
    sample = torch.arange(contexts.shape[0], device=contexts.device)
    return contexts[sample, routing.key[stage, column]], contexts[sample, routing.value[stage, column]]
