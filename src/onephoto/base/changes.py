"""Changes of pictures that a judge must not mind: as a camera, or a diffusion model, might have made them too."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
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


class Chance:
    """Random numbers for one batch, by a seed alone: tensors on a device, and single numbers that are made beside it,
    since reading one back would wait until the device has done all that it was asked for.
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.single = np.random.default_rng(seed)
        self._generator = torch.Generator(self.device).manual_seed(seed)

    def uniform(self, *shape: int) -> Tensor:
        """Numbers in [0, 1)."""
        return torch.rand(shape, generator=self._generator, device=self.device)

    def normal(self, *shape: int) -> Tensor:
        """Numbers with mean 0 and deviation 1."""
        return torch.randn(shape, generator=self._generator, device=self.device)

    def below(self, end: int, *shape: int) -> Tensor:
        """Whole numbers from 0 on."""
        return torch.randint(end, shape, generator=self._generator, device=self.device)


def changed(images: Tensor, flip: Tensor, chance: Chance, changes: Changes) -> Tensor:
    """Pictures (B, s, s, 3) uint8, mirrored where `flip` (B,) says so, each changed in its own way: (B, 3, s, s)
    float32 in [-1, 1].
    """
    return changed_with_boxes(images, torch.zeros(len(images), 4, device=images.device), flip, chance, changes)[0]


def changed_with_boxes(
    images: Tensor, boxes: Tensor, flip: Tensor, chance: Chance, changes: Changes
) -> tuple[Tensor, Tensor]:
    """`changed`, and where boxes (B, 4), as left, top, right, bottom in shares of the picture, have gone."""
    move = draw_move(flip, images.shape[1], chance, changes.zoom)
    pixels = blurred(move.of(images), chance, changes)
    count = len(pixels)
    gain = (0.12 * chance.normal(count, 1, 1, 1)).exp()
    tint = (0.03 * chance.normal(count, 3, 1, 1)).exp()
    noise = chance.uniform(count, 1, 1, 1) ** 2 * 0.08
    grain = noise * chance.normal(*pixels.shape)
    return ((pixels + 1) * gain * tint - 1 + grain).clamp(-1, 1), move.of_boxes(boxes)


@dataclass(frozen=True)
class Move:
    """Pictures are mirrored where `flip` (B,) says so, and widened by `border` pixels all round; then a `side` is cut
    out at `corners` (B, 2), as (y, x), and enlarged to the picture's `size`.
    """

    size: int
    side: int
    border: int
    corners: Tensor
    flip: Tensor

    def of(self, images: Tensor) -> Tensor:
        """The pictures (B, s, s, 3) uint8 moved: (B, 3, s, s) float32 in [-1, 1]; edges repeat."""
        along = torch.arange(self.side, device=images.device) - self.border
        rows, columns = (self.corners[:, :, None] + along).clamp(0, self.size - 1).unbind(1)
        columns = torch.where(self.flip[:, None], self.size - 1 - columns, columns)
        lines = rows + self.size * torch.arange(len(images), device=images.device)[:, None]
        places = self.size * lines[:, :, None] + columns[:, None]
        # One index over all pixels is several times as fast as one for each of three dimensions.
        crops = images.flatten(0, 2).index_select(0, places.flatten()).unflatten(0, places.shape)
        pixels = to_pixels(crops)
        if self.side != self.size:
            pixels = F.interpolate(pixels, self.size, mode="bilinear", align_corners=False)
        return pixels.contiguous()

    def of_boxes(self, boxes: Tensor) -> Tensor:
        """Boxes (B, 4) in shares of the picture, moved alike."""
        boxes = torch.where(self.flip[:, None], mirrored_boxes(boxes), boxes)
        offsets = self.corners.flip(1).repeat(1, 2)
        return (boxes * self.size + self.border - offsets) / self.side


def mirrored_boxes(boxes: Tensor) -> Tensor:
    """Boxes (B, 4) of mirrored pictures."""
    left, top, right, bottom = boxes.unbind(1)
    return torch.stack([1 - right, top, 1 - left, bottom], dim=1)


def draw_move(flip: Tensor, size: int, chance: Chance, zoom: int) -> Move:
    """Shifts by up to half of `zoom` pixels (of 64) and one enlargement for the batch."""
    zoom = zoom * size // 64
    side, border = int(chance.single.integers(size - zoom, size + 1)), zoom // 2
    return Move(size, side, border, chance.below(size + 2 * border - side + 1, len(flip), 2), flip)


def blurred(pixels: Tensor, chance: Chance, changes: Changes) -> Tensor:
    """A share of the pictures reduced and enlarged again, all by one factor."""
    size = pixels.shape[-1]
    small = int(chance.single.integers(*changes.blur)) * size // 64
    soft = F.interpolate(F.interpolate(pixels, small, mode="area"), size, mode="bilinear", align_corners=False)
    return torch.where(chance.uniform(len(pixels), 1, 1, 1) < changes.blurred, soft, pixels)
