"""Training of the ControlNet on depth and pose of rendered pictures; the model that it steers is frozen."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPTokenizer

from onephoto.backbone.control import build_control
from onephoto.base.latents import Captioned, LatentSet
from onephoto.base.painters import Painter
from onephoto.base.pictures import PictureSet
from onephoto.base.training import freeze
from onephoto.errors import WorldError
from onephoto.world.dataset import MAPS
from onephoto.world.maps import hint

KINDS = ({"pose": True, "depth": True}, {"pose": True, "depth": False}, {"pose": False, "depth": True})
ODDS = (0.4, 0.4, 0.2)
"""How often a ControlNet is shown pose before depth, pose alone, depth alone."""


class ControlPainter(Painter):
    """A frozen painter and the ControlNet that steers its U-Net."""

    def __init__(self, painter: Painter) -> None:
        super().__init__()
        freeze([painter])
        self.painter, self.unet, self.control = painter, painter.unet, build_control(painter.unet)

    def conditions(self, noisy: Tensor, t: Tensor, ids: Tensor, *hints: Tensor) -> dict[str, Any]:
        """The U-Net's arguments beside latents and timesteps; one hint (B, 3, H, W) in [0, 1]."""
        told, (pixels,) = self.painter.conditions(noisy, t, ids), hints
        down, middle = self.control(noisy, t, told["encoder_hidden_states"], pixels.to(noisy.dtype), return_dict=False)
        return told | {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}


class HintedSet(LatentSet):
    """Latents with captions and what a ControlNet sees of each picture's maps, at `size` pixels."""

    maps: Tensor | None = None

    def __init__(
        self, pictures: PictureSet, folder: Path, tokenizer: CLIPTokenizer, *, size: int, device: str = "cpu"
    ) -> None:
        self.size = size
        super().__init__(pictures, folder, tokenizer, device=device)

    def _read(self, shard: Path) -> Captioned:
        """A shard, with its maps, which are there before any of it can be drawn."""
        maps = _maps_beside(shard).to(self.device)
        self.maps = maps if self.maps is None else torch.cat([self.maps, maps])
        return super()._read(shard)

    def beside(self, chosen: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Hints (B, 3, size, size) float32 in [0, 1] of pictures (B,)."""
        odds = torch.tensor(ODDS, device=self.device)
        kinds = torch.multinomial(odds, len(chosen), replacement=True, generator=generator)
        assert self.maps is not None
        maps = self.maps[chosen]
        shown = torch.stack([hint(maps, **kind) for kind in KINDS])
        return (hint_pixels(shown[kinds, torch.arange(len(chosen), device=self.device)], self.size),)


def _maps_beside(shard: Path) -> Tensor:
    """Maps (n, size, size, 4) uint8 of a shard."""
    path = shard.parent / MAPS / shard.name
    if not path.exists():
        raise WorldError(f"{path}: no maps; run onephoto world render {shard.parent} --maps with its other options")
    return torch.from_numpy(np.load(path))


def hint_pixels(hints: Tensor, size: int) -> Tensor:
    """Hints (B, H, W, 3) uint8 as a ControlNet takes them: (B, 3, size, size) float32 in [0, 1]."""
    pixels = hints.permute(0, 3, 1, 2).float() / 255
    return pixels if pixels.shape[-1] == size else F.interpolate(pixels, (size, size), mode="area")
