"""The judge's network: a picture and a text as vectors that can be compared, and the facts of the picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class JudgeConfig:
    """Sizes of the judge. `channels` of the stages at half, quarter, ... of the `overview` pixels a side to which the
    picture is reduced; `blocks` in each; `face_...` the same for the face, which is looked at anew in the picture of
    `image_size`; `choices` the values of each fact.
    """

    vocabulary: int
    choices: Mapping[str, tuple[str, ...]]
    image_size: int = 128
    overview: int = 64
    channels: tuple[int, ...] = (32, 64, 128, 160)
    blocks: tuple[int, ...] = (1, 1, 1, 1)
    face_size: int = 48
    face_channels: tuple[int, ...] = (32, 64, 96, 128)
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

    def __init__(self, size: int, channels: Sequence[int], blocks: Sequence[int], *, kept: int, width: int) -> None:
        super().__init__()
        first, last = channels[0], channels[-1]
        self.conv_in = nn.Conv2d(3, first, 4, stride=2, padding=1)
        stages: list[nn.Module] = []
        before = first
        for here, count in zip(channels, blocks, strict=True):
            if stages:
                stages.append(nn.Conv2d(before, here, 3, stride=2, padding=1))
            stages += [Block(here) for _ in range(count)]
            before = here
        self.stages = nn.Sequential(*stages, nn.GroupNorm(8, last), nn.SiLU(), nn.Conv2d(last, kept, 1))
        self.flat = nn.Linear(kept * (size // 2 ** len(channels)) ** 2, width)

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
        words = self.token_embedding(ids) + self.position_embedding[: ids.shape[1]]
        hidden = self.norm(self.layers(words, src_key_padding_mask=~mask))
        weight = mask.to(hidden.dtype).unsqueeze(-1)
        return (hidden * weight).sum(1) / weight.sum(1)


FACE_BEGINS = (0.5, 0.45, 0.4)
"""Middle (x, y) and side of a face's box, in shares of the picture, before anything is learned."""
AROUND = 1.35
"""Side of what is looked at, in sides of the face's box: the chin and the hair's edge too."""


def around_faces(pixels: Tensor, boxes: Tensor, size: int) -> Tensor:
    """The surroundings of faces, boxes (B, 3) as middle x, y and side in shares: (B, 3, H, W) -> (B, 3, size, size)."""
    middles, side = 2 * boxes[:, :2] - 1, AROUND * boxes[:, 2].clamp(min=0.05)
    scales = torch.eye(2, device=boxes.device).expand(len(boxes), 2, 2) * side[:, None, None]
    transform = torch.cat([scales, middles[:, :, None]], dim=2)
    grid = F.affine_grid(transform, [len(pixels), 3, size, size], align_corners=False)
    # In float32: bfloat16 cannot tell neighbouring pixels apart.
    return F.grid_sample(pixels.float(), grid, padding_mode="border", align_corners=False).to(pixels.dtype)


class Sight(NamedTuple):
    """What the judge sees in pictures: unit vectors (B, joint), logits (B, values) of each fact, and where it looked
    for the face, middle x, y and side in shares of the picture (B, 3); all float32.
    """

    vectors: Tensor
    logits: dict[str, Tensor]
    faces: Tensor


class JudgeNetwork(nn.Module):
    """Both trunks with their ends: normalised vectors (Radford 2021) and one logit for each value of each fact.

    Expression, age and the like live in a few pixels of a face: the overview says where it is, and a trunk of its own
    looks there again in all its pixels.
    """

    begins: Tensor

    def __init__(self, config: JudgeConfig) -> None:
        super().__init__()
        self.config = config
        flat = {"kept": config.kept, "width": config.width}
        self.image = ImageTrunk(config.overview, config.channels, config.blocks, **flat)
        self.face = ImageTrunk(config.face_size, config.face_channels, (1,) * len(config.face_channels), **flat)
        self.find = nn.Linear(config.width, 3)
        nn.init.zeros_(self.find.weight)
        self.register_buffer("begins", torch.tensor(FACE_BEGINS), persistent=False)
        self.text = TextTrunk(config)
        self.image_vector = nn.Linear(2 * config.width, config.joint)
        self.text_vector = nn.Linear(config.text_width, config.joint)
        self.sizes = [len(values) for values in config.choices.values()]
        self.facts = nn.Linear(2 * config.width, sum(self.sizes))
        self.log_scale = nn.Parameter(torch.tensor(2.5))

    def see(self, pixels: Tensor) -> Sight:
        """Look at pictures (B, 3, H, W) in [-1, 1]."""
        overview = self.image(F.interpolate(pixels, self.config.overview, mode="area"))
        faces = self.begins.float() + self.find(overview).float()
        near = self.face(around_faces(pixels, faces.detach(), self.config.face_size))
        hidden = torch.cat([overview, near], dim=1)
        logits = self.facts(hidden).float().split(self.sizes, dim=1)
        vectors = F.normalize(self.image_vector(hidden).float(), dim=1)
        return Sight(vectors, dict(zip(self.config.choices, logits, strict=True)), faces)

    def hear(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Texts (B, L) and which tokens are words (B, L) -> unit vectors (B, joint), float32."""
        return F.normalize(self.text_vector(self.text(ids, mask)).float(), dim=1)
