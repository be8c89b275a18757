"""A learned word as an ordinary embedding, the same for K and V, at every stage and layer: what other programs read."""

from collections.abc import Mapping

import torch
from torch import Tensor

from onephoto.core.tokens import TokenTable

Vectors = Mapping[str, Tensor]
"""Embeddings by text encoder, (n, width)."""


def is_plain(table: TokenTable) -> bool:
    """Whether a table is an ordinary embedding already."""
    used = torch.cat([table.key.flatten(), table.value.flatten()])
    return table.bypass is None and bool((used == used[0]).all())


def plain_vectors(table: TokenTable) -> dict[str, dict[str, Tensor]]:
    """Ways to say a table's word by an ordinary embedding, {way: {encoder: (n, width)}}, the most faithful first.

    "mean" is the mean over every use, as K and as V, at every stage and layer: of all single embeddings it has the
    least summed squared distance to what it stands for. "values" and "keys" are the means of one side, "both" the mean
    K and the mean V one behind the other: nothing is mixed, but the word takes up twice the places, and attention with
    it. Where the table is plain there is one way, "itself".
    """
    if is_plain(table):
        first = int(table.key.flatten()[0])
        return {"itself": {name: rows[first] for name, rows in table.vectors.items()}}
    keys, values = _mean(table, table.key), _mean(table, table.value)
    return {
        "mean": {name: (keys[name] + values[name]) / 2 for name in keys},
        "values": values,
        "keys": keys,
        "both": {name: torch.cat([keys[name], values[name]]) for name in keys},
    }


def _mean(table: TokenTable, uses: Tensor) -> dict[str, Tensor]:
    """The mean of one side's tokens over stages and layers, by encoder."""
    return {name: rows[uses.flatten().to(rows.device)].mean(dim=0) for name, rows in table.vectors.items()}


def embedding_table(vectors: Vectors) -> TokenTable:
    """Embeddings {encoder: (n, width)} as the one variant of a table, the same for K and V everywhere."""
    only = torch.zeros(1, 1, dtype=torch.long)
    return TokenTable({name: rows[None] for name, rows in vectors.items()}, only, only)
