"""Arithmetic on attention maps: the columns of a word taken together, and maps of words at one size."""

from collections.abc import Sequence
from math import isqrt

import torch
from torch import Tensor
from torch.nn import functional


def merge_columns(probs: Tensor, columns: Sequence[int], length: int) -> Tensor:
    """Sum the neighbouring columns of one word and close the gap: (B, H, Q, L) -> (B, H, Q, length).

    Two prompts that differ in how many tokens stand for one word become comparable token by token: later tokens move
    up. Columns from length - 1 on, the padding that one prompt has more of, are summed into the last: rows sum to 1.
    """
    first, after = min(columns), max(columns) + 1
    if (after - first, length) == (1, probs.shape[-1]):
        return probs
    word = probs[..., first:after].sum(dim=-1, keepdim=True)
    merged = torch.cat([probs[..., :first], word, probs[..., after:]], dim=-1)
    tail = merged[..., length - 1 :].sum(dim=-1, keepdim=True)
    return torch.cat([merged[..., : length - 1], tail], dim=-1)


def word_maps(layers: Sequence[Tensor], groups: Sequence[Sequence[int]], size: int) -> Tensor:
    """Where each word acts: one (B, H, Q, L) for each layer, and each word's columns -> (W, size, size), float32.

    A word's columns are summed, samples and heads averaged, each layer resized (bilinear) and the layers averaged.
    Q must be a square number.
    """
    return torch.stack([_layer_maps(probs, groups, size) for probs in layers]).mean(dim=0)


def _layer_maps(probs: Tensor, groups: Sequence[Sequence[int]], size: int) -> Tensor:
    by_column = probs.float().mean(dim=(0, 1))
    words = torch.stack([by_column[:, list(columns)].sum(dim=-1) for columns in groups])
    side = isqrt(words.shape[1])
    return functional.interpolate(words.reshape(1, -1, side, side), size=(size, size), mode="bilinear")[0]


def focus_weights(word_map: Tensor, power: float) -> Tensor:
    """How much an error at each position counts: a word's map (..., h, w) to a power, with a mean of 1."""
    weights = (word_map / word_map.mean(dim=(-2, -1), keepdim=True)).pow(power)
    return weights / weights.mean(dim=(-2, -1), keepdim=True)
