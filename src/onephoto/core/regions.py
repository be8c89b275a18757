"""Words kept to their place: which positions of a picture may look at which prompt token.

A place is a box, left, top, right, bottom in shares of the picture, or a mask of GRID * GRID cells, so it holds at
every size. A token without a place has the whole picture; one whose box is empty has what is nobody's place.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

Box = tuple[float, float, float, float]
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
REST: Box = (0.0, 0.0, 0.0, 0.0)
"""The box of a token for the positions that are in nobody's place."""
GRID = 64
"""Cells on a mask's side: as fine as the finest cross-attention of Stable Diffusion 1.x and XL at their own sizes."""


@dataclass(frozen=True)
class Mask:
    """A place of any shape: which of the picture's GRID * GRID cells belong to it, row by row."""

    cells: tuple[bool, ...]


Place = Box | Mask


def mask_of(lit: Tensor) -> Mask:
    """A mask of each cell that pixels (H, W), bool, touch, at any size."""
    return Mask(tuple(functional.adaptive_max_pool2d(lit.float()[None], GRID).flatten().bool().tolist()))


def place_sizes(length: int) -> tuple[int, int]:
    """How many numbers a token's place takes in prompts of `length` tokens: a box's 4, or with its share of a mask's
    cells, of which each of the prompt's tokens carries some.
    """
    return 4, 4 - (-GRID * GRID // length)


def token_places(length: int, places: Sequence[Place], *, masked: bool | None = None) -> Tensor:
    """Places of the tokens of P prompts of L tokens that lie side by side, one place for each prompt: (P L, n).

    n is of `place_sizes`: the larger one where masks are among them, or `masked` says so.
    """
    boxes = torch.tensor([WHOLE if isinstance(place, Mask) else place for place in places])
    boxes = boxes.repeat_interleave(length, dim=0)
    if not (any(isinstance(place, Mask) for place in places) if masked is None else masked):
        return boxes
    all_cells = (True,) * GRID * GRID
    cells = torch.tensor([place.cells if isinstance(place, Mask) else all_cells for place in places]).float()
    own = place_sizes(length)[1] - 4
    spread = functional.pad(cells, (0, own * length - GRID * GRID)).unflatten(1, (length, own))
    return torch.cat([boxes, spread.flatten(0, 1)], dim=1)


def region_bias(places: Tensor, height: Tensor, width: Tensor, num_positions: int, *, length: int) -> Tensor:
    """What is added to attention's logits: 0 where a position's cell meets the token's place, or meets none and the
    token's is empty; else minus infinity.

    places (B, P L, n), `token_places` of prompts of `length` L; height and width, tensors that spread over (B, 1, 1),
    of the layer's map of Q = height * width positions, row by row -> (B, Q, P L), float32. Cells that a place only
    cuts belong to it, so that on coarse maps too everybody has a place. Sizes are tensors since compiled models must
    not come back to Python for a number.
    """
    left, top, right, bottom = (side[:, None] for side in places[..., :4].float().unbind(-1))
    position = torch.arange(num_positions, device=places.device)[None, :, None]
    row, column = position // width, position % width
    across = (column + 1 > left * width) & (column < right * width)
    down = (row + 1 > top * height) & (row < bottom * height)
    inside = across & down
    if places.shape[-1] > 4:
        cells = places[..., 4:].unflatten(1, (-1, length)).flatten(2)[..., : GRID * GRID]
        inside = inside & _touched(cells, row, column, height, width).repeat_interleave(length, dim=-1)
    rest = (right <= left) & ~inside.any(-1, keepdim=True)
    return torch.zeros(()).to(places.device).where(inside | rest, -torch.inf)


def _touched(cells: Tensor, row: Tensor, column: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Whether positions (B, Q, 1) of a map touch masks' cells (B, P, GRID * GRID): (B, Q, P), by summed areas."""
    sums = cells.float().unflatten(-1, (GRID, GRID)).cumsum(-1).cumsum(-2)
    sums = functional.pad(sums, (1, 0, 1, 0)).flatten(2)
    top, bottom = row * GRID // height, ((row + 1) * GRID + height - 1) // height
    left, right = column * GRID // width, ((column + 1) * GRID + width - 1) // width

    def sum_to(down: Tensor, across: Tensor) -> Tensor:
        corner = (down * (GRID + 1) + across).transpose(1, 2)
        return sums.gather(2, corner.expand(*sums.shape[:2], -1))

    area = sum_to(bottom, right) - sum_to(top, right) - sum_to(bottom, left) + sum_to(top, left)
    return area.transpose(1, 2) > 0


def in_shares(box: Sequence[float], width: int, height: int) -> Box:
    """A box in pixels, one of whose numbers is above 1, in shares of a picture of this size; shares stay themselves."""
    left, top, right, bottom = box
    if max(box) <= 1:
        return left, top, right, bottom
    return left / width, top / height, right / width, bottom / height


def meets(place: Place, point: tuple[float, float]) -> bool:
    """Whether a point (x, y) lies in a place."""
    if isinstance(place, Mask):
        column, row = (min(max(int(side * GRID), 0), GRID - 1) for side in point)
        return place.cells[row * GRID + column]
    left, top, right, bottom = place
    return left <= point[0] <= right and top <= point[1] <= bottom
