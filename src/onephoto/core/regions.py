"""Words kept to their place: which positions of a picture may look at which prompt token.

A box is left, top, right, bottom in shares of the picture, so it holds at every size. A token without a place has the
whole picture; one whose box is empty has what no box holds.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

Box = tuple[float, float, float, float]
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
REST: Box = (0.0, 0.0, 0.0, 0.0)
"""The box of a token for the positions that are in nobody's box."""


def token_boxes(length: int, boxes: Sequence[Box]) -> Tensor:
    """Boxes of the tokens of prompts of L tokens that lie side by side, one box for each of them: (P L, 4)."""
    return torch.tensor(boxes).repeat_interleave(length, dim=0)


def region_bias(boxes: Tensor, height: Tensor, width: Tensor, num_positions: int) -> Tensor:
    """What is added to attention's logits: 0 where a position's cell meets the token's box, or meets none and the
    token's is empty; else minus infinity.

    boxes (B, L, 4); height and width, tensors that spread over (B, 1, 1), of the layer's map of Q = height * width
    positions, row by row -> (B, Q, L), float32. Cells that a box only cuts belong to it, so that on coarse maps too
    everybody has a place. Sizes are tensors since compiled models must not come back to Python for a number.
    """
    left, top, right, bottom = (side[:, None] for side in boxes.float().unbind(-1))
    position = torch.arange(num_positions, device=boxes.device)[None, :, None]
    row, column = position // width, position % width
    across = (column + 1 > left * width) & (column < right * width)
    down = (row + 1 > top * height) & (row < bottom * height)
    inside = across & down
    rest = (right <= left) & ~inside.any(-1, keepdim=True)
    return torch.zeros(()).to(boxes.device).where(inside | rest, -torch.inf)


def in_shares(box: Sequence[float], width: int, height: int) -> Box:
    """A box in pixels, one of whose numbers is above 1, in shares of a picture of this size; shares stay themselves."""
    left, top, right, bottom = box
    if max(box) <= 1:
        return left, top, right, bottom
    return left / width, top / height, right / width, bottom / height


def meets(box: Box, point: tuple[float, float]) -> bool:
    """Whether a point (x, y) lies in a box."""
    left, top, right, bottom = box
    return left <= point[0] <= right and top <= point[1] <= bottom
