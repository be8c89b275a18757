"""The face judge's network: a crop of a face as a unit vector, near to those of the same person."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from onephoto.evaluate.judge_network import Block


@dataclass(frozen=True)
class FaceConfig:
    """Sizes of the face network: `channels` of the stages at half, quarter, ... of the crop; `width` of the vector.

    `margin` is the crop's side in sides of the detector's box.
    """

    image_size: int = 48
    channels: tuple[int, ...] = (24, 48, 80, 80)
    width: int = 64
    margin: float = 1.25


class FaceNetwork(nn.Module):
    """Convolutions to a small map, which is laid out flat, not averaged: where something is makes a face."""

    def __init__(self, config: FaceConfig) -> None:
        super().__init__()
        self.config = config
        first, last = config.channels[0], config.channels[-1]
        stages: list[nn.Module] = [nn.Conv2d(3, first, 4, stride=2, padding=1), Block(first)]
        for before, channels in zip(config.channels, config.channels[1:], strict=False):
            stages += [nn.Conv2d(before, channels, 3, stride=2, padding=1), Block(channels)]
        self.stages = nn.Sequential(*stages, nn.GroupNorm(8, last), nn.SiLU())
        side = config.image_size // 2 ** len(config.channels)
        self.vector = nn.Linear(last * side**2, config.width)

    def forward(self, pixels: Tensor) -> Tensor:
        """Crops (B, 3, s, s) in [-1, 1] -> unit vectors (B, width), float32."""
        return F.normalize(self.vector(self.stages(pixels).flatten(1)).float(), dim=1)
