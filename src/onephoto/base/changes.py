"""Changes of pictures that a judge must not mind: as a camera, or a diffusion model, might have made them too."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from onephoto.evaluate.judge import to_pixels


@dataclass(frozen=True)
class Changes:
    """Pictures are shifted, zoomed by up to `zoom` pixels (of 64), made brighter or darker, and a share of them blurred
    to between `blur` pixels a side (of 64), since a diffusion model's pictures are not sharp.
    """

    zoom: int = 6
    blur: tuple[int, int] = (28, 56)
    blurred: float = 0.4


def changed(images: NDArray[np.uint8], generator: torch.Generator, changes: Changes) -> Tensor:
    """Pictures (B, s, s, 3), each changed in its own way: (B, 3, s, s) float32 in [-1, 1]."""
    return changed_with_boxes(images, torch.zeros(len(images), 4), generator, changes)[0]


def changed_with_boxes(
    images: NDArray[np.uint8], boxes: Tensor, generator: torch.Generator, changes: Changes
) -> tuple[Tensor, Tensor]:
    """`changed`, and where boxes (B, 4), as left, top, right, bottom in shares of the picture, have gone."""
    move = draw_move(len(images), images.shape[1], generator, changes.zoom)
    pixels = blurred(move.of(to_pixels(images)), generator, changes)
    count = len(pixels)
    gain = (0.12 * torch.randn(count, 1, 1, 1, generator=generator)).exp()
    tint = (0.03 * torch.randn(count, 3, 1, 1, generator=generator)).exp()
    noise = torch.rand(count, 1, 1, 1, generator=generator) ** 2 * 0.08
    grain = noise * torch.randn(pixels.shape, generator=generator)
    return ((pixels + 1) * gain * tint - 1 + grain).clamp(-1, 1), move.of_boxes(boxes)


@dataclass(frozen=True)
class Move:
    """The `side` of what is cut out of pictures widened by `border` pixels all round, and its `corners` (B, 2) as
    (y, x); it is enlarged to the picture's `size`.
    """

    size: int
    side: int
    border: int
    corners: Tensor

    def of(self, pixels: Tensor) -> Tensor:
        """The pictures (B, 3, s, s) moved; edges repeat."""
        padded = F.pad(pixels, (self.border,) * 4, mode="replicate")
        pairs = zip(padded, self.corners.tolist(), strict=True)
        crops = torch.stack([image[:, y : y + self.side, x : x + self.side] for image, (y, x) in pairs])
        same = self.side == self.size
        return crops if same else F.interpolate(crops, self.size, mode="bilinear", align_corners=False)

    def of_boxes(self, boxes: Tensor) -> Tensor:
        """Boxes (B, 4) in shares of the picture, moved alike."""
        offsets = self.corners.flip(1).repeat(1, 2)
        return (boxes * self.size + self.border - offsets) / self.side


def draw_move(count: int, size: int, generator: torch.Generator, zoom: int) -> Move:
    """Shifts by up to half of `zoom` pixels (of 64) and one enlargement for the batch."""
    zoom = zoom * size // 64
    side, border = int(torch.randint(size - zoom, size + 1, (), generator=generator)), zoom // 2
    corners = torch.randint(0, size + 2 * border - side + 1, (count, 2), generator=generator)
    return Move(size, side, border, corners)


def blurred(pixels: Tensor, generator: torch.Generator, changes: Changes) -> Tensor:
    """A share of the pictures reduced and enlarged again, all by one factor."""
    size = pixels.shape[-1]
    small = int(torch.randint(*changes.blur, (), generator=generator)) * size // 64
    soft = F.interpolate(F.interpolate(pixels, small, mode="area"), size, mode="bilinear", align_corners=False)
    chosen = torch.rand(len(pixels), 1, 1, 1, generator=generator) < changes.blurred
    return torch.where(chosen, soft, pixels)
