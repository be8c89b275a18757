"""The face-wise attention loss: every token of the prompt acts where it acts when the class word stands for V*.

The paper's first contribution. What it leaves open is our choice: the squared difference, the sum over all prompt
tokens (beginning, end and padding included), the mean over everything else, and the factor in front.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

# The loss is then the squared sum over a 16 x 16 map, on the scale at which the paper's weight of .003 stands beside
# a denoising loss near .1, and that weight means the same at every resolution.
POSITIONS = 256


def attention_probs(query: Tensor, key: Tensor, scale: float | None = None) -> Tensor:
    """A = softmax(Q K^T scale): query (B, H, Q, D) and key (B, H, L, D) -> (B, H, Q, L), float32.

    The scale is 1 / sqrt(D) unless given; a key of one sample serves all.
    """
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    return ((query.float() * scale) @ key.float().transpose(-1, -2)).softmax(dim=-1)


def attention_loss(target: Sequence[Tensor], reference: Sequence[Tensor]) -> Tensor:
    """How far the prompt's attention maps are from the class prompt's: a scalar, 0 for equal maps.

    Both hold one (B, H, Q, L) for each layer. L_attn = 256 * mean over layers, batch, heads and positions of the sum
    over tokens of (A_t - A_r)^2. A_r is a constant: what the frozen model says, not something to be moved.
    """
    layers = [
        (probs - anchor.detach()).square().sum(dim=-1).mean() for probs, anchor in zip(target, reference, strict=True)
    ]
    return POSITIONS * torch.stack(layers).mean()


def class_mask(word_map: Tensor) -> Tensor:
    """Where a class word acts: its map (B, H, Q) -> (B, Q), 1 where the heads' mean is above its own mean, else 0."""
    by_position = word_map.detach().mean(dim=1)
    return (by_position > by_position.mean(dim=-1, keepdim=True)).to(by_position)


def mask_loss(word_maps: Sequence[Tensor], masks: Sequence[Tensor]) -> Tensor:
    """How far a word's maps are from masks: a scalar, 0 for a map that is even in its mask and nothing outside.

    One (B, H, Q) and one (B, Q) for each layer. The heads' mean is brought to a maximum of 1; its squared distance to
    the mask is averaged over layers, batch and positions (Break-A-Scene, Avrahami 2023, whose weight is .01).
    """
    layers = []
    for word_map, mask in zip(word_maps, masks, strict=True):
        by_position = word_map.mean(dim=1)
        highest = by_position.amax(dim=-1, keepdim=True).clamp(min=torch.finfo(by_position.dtype).tiny)
        layers.append((by_position / highest - mask).square().mean())
    return torch.stack(layers).mean()
