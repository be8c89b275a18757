"""Training of the ControlNet on depth and pose of rendered pictures; the model that it steers is frozen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPTokenizer

from onephoto.backbone.control import build_control
from onephoto.base.diffusion import LatentSet
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

    def __init__(self, pictures: PictureSet, folder: Path, tokenizer: CLIPTokenizer, *, size: int) -> None:
        super().__init__(pictures, folder, tokenizer)
        self.size, self.ends = size, pictures.ends
        self.maps = [_maps_beside(path) for path in pictures.paths]

    def beside(self, chosen: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Hints (B, 3, size, size) float32 in [0, 1] of pictures (B,)."""
        kinds = torch.multinomial(torch.tensor(ODDS), len(chosen), replacement=True, generator=generator)
        shards = np.searchsorted(self.ends, chosen.numpy(), side="right")
        starts = np.concatenate([[0], self.ends[:-1]])
        shown = [
            hint(self.maps[shard][index - starts[shard]], **KINDS[kind])
            for shard, index, kind in zip(shards, chosen.tolist(), kinds.tolist(), strict=True)
        ]
        return (hint_pixels(shown, self.size),)


def _maps_beside(shard: Path) -> np.ndarray:
    path = shard.parent / MAPS / shard.name
    if not path.exists():
        raise WorldError(f"{path}: no maps; run onephoto world render {shard.parent} --maps with its other options")
    return np.load(path, mmap_mode="r")


def hint_pixels(hints: Sequence[np.ndarray], size: int) -> Tensor:
    """Hints (H, W, 3) uint8 as a ControlNet takes them: (B, 3, size, size) float32 in [0, 1]."""
    pixels = torch.from_numpy(np.stack(hints)).permute(0, 3, 1, 2).float() / 255
    return pixels if pixels.shape[-1] == size else F.interpolate(pixels, (size, size), mode="area")
