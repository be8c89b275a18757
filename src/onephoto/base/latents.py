"""Latents of rendered pictures and their captions, in a device's memory, from which batches are drawn."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTokenizer

from onephoto.base.pictures import PictureSet, called_somebody, face_boxes, records_of, to_tensor
from onephoto.errors import WorldError
from onephoto.world.names import SOMEBODY

FIRST_SHARDS = 16
"""So many are enough to begin with; the others come while training runs."""


@torch.no_grad()
def encode_latents(pictures: PictureSet, vae: AutoencoderKL, folder: Path, *, size: int, batch_size: int = 32) -> None:
    """Scaled latents of every shard's pictures at `size` pixels as float16 (n, c, h, w); shards done before stay.

    In bfloat16: twice as fast on a CPU, and off by 0.6% of the latents' deviation.
    """
    vae = vae.to(torch.bfloat16)
    for path in pictures.paths:
        target = latents_of(path, folder)
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        images = np.load(path, mmap_mode="r")
        parts = (images[start : start + batch_size] for start in range(0, len(images), batch_size))
        inputs = (at_size(to_tensor(part), size).to(vae.device, vae.dtype) for part in parts)
        means = [vae.encode(pixels).latent_dist.mean for pixels in inputs]
        latents = torch.cat(means).float().cpu().numpy() * vae.config.scaling_factor
        # Several processes may be at it.
        partial = target.with_suffix(f".{os.getpid()}.partial")
        with partial.open("wb") as file:
            np.save(file, latents.astype(np.float16))
        partial.replace(target)


def at_size(pixels: Tensor, size: int) -> Tensor:
    """(B, 3, H, W) -> (B, 3, size, size), each pixel the mean of those it covers."""
    return pixels if pixels.shape[-1] == size else F.interpolate(pixels, (size, size), mode="area")


def latents_of(shard: Path, folder: Path) -> Path:
    """Where the latents of a shard of pictures lie: in a folder named as the pictures' own."""
    return folder / shard.parent.name / shard.name


class Batch(NamedTuple):
    """Latents (B, c, h, w) float32; what the painter is told, token ids (B, L) first; and how much each position's
    error counts (B, 1, h, w).
    """

    latents: Tensor
    told: tuple[Tensor, ...]
    weights: Tensor


def coverage(boxes: Tensor, side: int) -> Tensor:
    """Share of each latent position that lies in a box of `face_boxes`, 0 where there is none:
    (B, 4) -> (B, 1, side, side).
    """
    edges, boxes = torch.arange(side, device=boxes.device) / side, boxes.nan_to_num()
    low, high = boxes[:, :2, None], boxes[:, 2:, None]
    covered = (torch.minimum(high, edges + 1 / side) - torch.maximum(low, edges)).clamp(min=0) * side
    return (covered[:, 1, :, None] * covered[:, 0, None, :])[:, None]


class Captioned(NamedTuple):
    """Latents (n, c, h, w) float16, faces' boxes (n, 4), and token ids of captions in one table (m, L) int32 of which
    picture k owns `counts[k]` rows from `starts[k]` on.
    """

    latents: Tensor
    faces: Tensor
    counts: Tensor
    starts: Tensor
    ids: Tensor

    def joined(self, more: "Captioned") -> "Captioned":
        """These pictures, then more."""
        more = more._replace(starts=more.starts + len(self.ids))
        return Captioned(*(torch.cat(pair) for pair in zip(self, more, strict=True)))


class LatentSet:
    """Latents and the token ids of their captions, in a device's memory; `draw` makes batches there.

    `prepare`, if given, is called before the folders are looked through, to make latents of pictures that are new.
    Captions that call somebody SOMEBODY get the token number of that person among `strangers`.
    """

    def __init__(
        self, pictures: PictureSet, folder: Path, tokenizer: CLIPTokenizer, *, device: str = "cpu",
        prepare: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self.pictures, self.folder, self.tokenizer, self.device = pictures, folder, tokenizer, device
        self.prepare = prepare
        self.strangers = called_somebody(pictures.folders)
        self._numbers = {seed: number for number, seed in enumerate(self.strangers, start=len(tokenizer))}
        self.empty = token_ids(tokenizer, [""])[0].to(device)
        self.shards: list[Path] = []
        self.content: Captioned | None = None
        self.grow(most=FIRST_SHARDS)
        if self.content is None:
            raise WorldError(f"{folder}: latents are missing; run onephoto base train latents first")

    def grow(self, *, most: int | None = None) -> None:
        """Take in shards, `most` at most, of which latents have appeared."""
        self.pictures.rescan()
        if self.prepare is not None:
            self.prepare()
        new = [path for path in self.pictures.paths if path not in self.shards]
        for path in [path for path in new if latents_of(path, self.folder).exists()][:most]:
            part = self._read(path)
            self.content = part if self.content is None else self.content.joined(part)
            self.shards.append(path)

    def _read(self, shard: Path) -> Captioned:
        records = list(records_of(shard))
        captions = [record["captions"] for record in records]
        counts = torch.tensor([len(variants) for variants in captions])
        ids = token_ids(self.tokenizer, [caption for variants in captions for caption in variants])
        self._tell_strangers(ids, [record.get("facts", {}) for record in records], counts)
        latents = torch.from_numpy(np.load(latents_of(shard, self.folder)))
        parts = (latents, face_boxes(records), counts, counts.cumsum(0) - counts, ids.to(torch.int32))
        return Captioned(*(part.to(self.device) for part in parts))

    def _tell_strangers(self, ids: Tensor, facts: Sequence[Mapping[str, Any]], counts: Tensor) -> None:
        """Put the person's own token where captions (m, L) say SOMEBODY."""
        somebody = self.tokenizer.convert_tokens_to_ids(f"{SOMEBODY}</w>")
        own = torch.tensor([self._numbers.get(one.get("person", -1), somebody) for one in facts]).repeat_interleave(
            counts
        )
        ids.copy_(torch.where(ids == somebody, own[:, None], ids))

    def draw(self, generator: torch.Generator, count: int, *, empty_share: float, face_weight: float) -> Batch:
        """A batch: one caption variant each, or none for `empty_share` of them, and what `beside` adds; positions in
        a face count `face_weight` times.
        """
        own = self.content
        assert own is not None
        options: Any = {"generator": generator, "device": self.device}
        chosen = torch.randint(len(own.latents), (count,), **options)
        variant = (torch.rand(count, **options) * own.counts[chosen]).long()
        dropped = torch.rand(count, 1, **options) < empty_share
        ids = torch.where(dropped, self.empty, own.ids[own.starts[chosen] + variant].long())
        latents = own.latents[chosen].float()
        weights = 1 + (face_weight - 1) * coverage(own.faces[chosen], latents.shape[-1])
        return Batch(latents, (ids, *self.beside(chosen, generator)), weights)

    def captions(self) -> Tensor:
        """Token ids (n, L) of all captions so far."""
        assert self.content is not None
        return self.content.ids.long()

    def beside(self, chosen: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """What a painter is told beside the captions of pictures (B,): nothing."""
        return ()


def token_ids(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """Padded and cut token ids (n, L)."""
    options = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
    return tokenizer(texts, max_length=tokenizer.model_max_length, **options).input_ids
