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
