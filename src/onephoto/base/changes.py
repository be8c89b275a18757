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
    """Pictures are shifted, zoomed by up to `zoom` pixels, made brighter or darker, and a share of them blurred to
    between `blur` pixels a side (of 64), since a diffusion model's pictures are not sharp.
    """

    zoom: int = 6
    blur: tuple[int, int] = (28, 56)
    blurred: float = 0.4


def changed(images: NDArray[np.uint8], generator: torch.Generator, changes: Changes) -> Tensor:
    """Pictures (B, s, s, 3), each changed in its own way: (B, 3, s, s) float32 in [-1, 1]."""
    pixels = blurred(moved(to_pixels(images), generator, changes.zoom), generator, changes)
    count = len(pixels)
    gain = (0.12 * torch.randn(count, 1, 1, 1, generator=generator)).exp()
    tint = (0.03 * torch.randn(count, 3, 1, 1, generator=generator)).exp()
    noise = torch.rand(count, 1, 1, 1, generator=generator) ** 2 * 0.08
    grain = noise * torch.randn(pixels.shape, generator=generator)
    return ((pixels + 1) * gain * tint - 1 + grain).clamp(-1, 1)


def moved(pixels: Tensor, generator: torch.Generator, zoom: int) -> Tensor:
    """Shifted by up to zoom / 2 pixels and enlarged by one factor for the batch; edges repeat."""
    size = pixels.shape[-1]
    padded = F.pad(pixels, (zoom // 2,) * 4, mode="replicate")
    side = int(torch.randint(size - zoom, size + 1, (), generator=generator))
    corners = torch.randint(0, padded.shape[-1] - side + 1, (len(pixels), 2), generator=generator).tolist()
    crops = torch.stack([image[:, y : y + side, x : x + side] for image, (y, x) in zip(padded, corners, strict=True)])
    return F.interpolate(crops, size, mode="bilinear", align_corners=False) if side != size else crops


def blurred(pixels: Tensor, generator: torch.Generator, changes: Changes) -> Tensor:
    """A share of the pictures reduced and enlarged again, all by one factor."""
    size = pixels.shape[-1]
    small = int(torch.randint(*changes.blur, (), generator=generator)) * size // 64
    soft = F.interpolate(F.interpolate(pixels, small, mode="area"), size, mode="bilinear", align_corners=False)
    chosen = torch.rand(len(pixels), 1, 1, 1, generator=generator) < changes.blurred
    return torch.where(chosen, soft, pixels)
