"""The judge's network: a picture and a text as vectors that can be compared, and the facts of the picture."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class JudgeConfig:
    """Sizes of the judge. `channels` of the stages at half, quarter, ... of the picture; `blocks` in each;
    `choices` the values of each fact.
    """

    vocabulary: int
    choices: Mapping[str, tuple[str, ...]]
    image_size: int = 64
    channels: tuple[int, ...] = (32, 64, 128, 160)
    blocks: tuple[int, ...] = (1, 1, 1, 1)
    kept: int = 48
    width: int = 256
    joint: int = 128
    text_width: int = 128
    text_layers: int = 2
    text_heads: int = 4
    max_length: int = 40


class Block(nn.Module):
    """Residual block with the normalisation first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(8, channels) for _ in range(2))
        first, second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        nn.init.zeros_(second.weight)
        self.convs = nn.ModuleList([first, second])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        residual = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            residual = conv(F.silu(norm(residual)))
        return x + residual


class ImageTrunk(nn.Module):
    """A picture as one vector. The last map is laid out flat, not averaged: where something is says what it is."""

    def __init__(self, config: JudgeConfig) -> None:
        super().__init__()
        first, last = config.channels[0], config.channels[-1]
        self.conv_in = nn.Conv2d(3, first, 4, stride=2, padding=1)
        stages: list[nn.Module] = []
        before = first
        for channels, count in zip(config.channels, config.blocks, strict=True):
            if stages:
                stages.append(nn.Conv2d(before, channels, 3, stride=2, padding=1))
            stages += [Block(channels) for _ in range(count)]
            before = channels
        self.stages = nn.Sequential(*stages, nn.GroupNorm(8, last), nn.SiLU(), nn.Conv2d(last, config.kept, 1))
        side = config.image_size // 2 ** len(config.channels)
        self.flat = nn.Linear(config.kept * side**2, config.width)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> (B, width)."""
        return F.silu(self.flat(self.stages(self.conv_in(pixels)).flatten(1)))


class TextTrunk(nn.Module):
    """A text as one vector: the mean of a small transformer's words."""

    def __init__(self, config: JudgeConfig) -> None:
        super().__init__()
        width = config.text_width
        self.token_embedding = nn.Embedding(config.vocabulary, width)
        self.position_embedding = nn.Parameter(0.02 * torch.randn(config.max_length, width))
        layer = nn.TransformerEncoderLayer(
            width, config.text_heads, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, config.text_layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.token_embedding.weight, std=0.1)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Token numbers (B, L) and which of them are words (B, L) bool -> (B, text_width)."""
        length = int(mask.sum(1).max())
        ids, mask = ids[:, :length], mask[:, :length]
        words = self.token_embedding(ids) + self.position_embedding[:length]
        hidden = self.norm(self.layers(words, src_key_padding_mask=~mask))
        weight = mask.to(hidden.dtype).unsqueeze(-1)
        return (hidden * weight).sum(1) / weight.sum(1)


class JudgeNetwork(nn.Module):
    """Both trunks with their ends: normalised vectors (Radford 2021) and one logit for each value of each fact."""

    def __init__(self, config: JudgeConfig) -> None:
        super().__init__()
        self.config = config
        self.image = ImageTrunk(config)
        self.text = TextTrunk(config)
        self.image_vector = nn.Linear(config.width, config.joint)
        self.text_vector = nn.Linear(config.text_width, config.joint)
        self.sizes = [len(values) for values in config.choices.values()]
        self.facts = nn.Linear(config.width, sum(self.sizes))
        self.log_scale = nn.Parameter(torch.tensor(2.5))

    def see(self, pixels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Pictures (B, 3, H, W) in [-1, 1] -> unit vectors (B, joint) and each fact's logits, all float32."""
        hidden = self.image(pixels)
        logits = self.facts(hidden).float().split(self.sizes, dim=1)
        vector = F.normalize(self.image_vector(hidden).float(), dim=1)
        return vector, dict(zip(self.config.choices, logits, strict=True))

    def hear(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Texts (B, L) and which tokens are words (B, L) -> unit vectors (B, joint), float32."""
        return F.normalize(self.text_vector(self.text(ids, mask)).float(), dim=1)
