"""Training of what paints, in any format, on the latents of rendered pictures."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTokenizer

from onephoto.backbone.attention import plain_attention
from onephoto.base.architecture import build_scheduler
from onephoto.base.painters import Painter
from onephoto.base.pictures import PictureSet, called_somebody, face_boxes, records_of, to_tensor
from onephoto.base.training import Clock, OptimiserSettings, Trainer, running_mean
from onephoto.core.denoising import add_noise
from onephoto.errors import WorldError
from onephoto.world.names import SOMEBODY


@dataclass(frozen=True)
class DiffusionSettings:
    """One caption of ten is left out, for guidance; min-SNR weighting (Hang 2023) with gamma 5.

    A face is a tenth of most pictures and all that likeness hangs on: errors there count `face_weight` times. Small
    batches: on a CPU they cost next to nothing a picture, and twice the steps learn more.
    """

    minutes: float = 30.0
    batch_size: int = 32
    grow_seconds: float = 45.0
    empty_share: float = 0.1
    snr_limit: float = 5.0
    face_weight: float = 4.0
    optimiser: OptimiserSettings = field(
        default_factory=lambda: OptimiserSettings(warmup_steps=100, ema_decay=0.998, orthogonalise=True)
    )
    seed: int = 0

    @classmethod
    def on(cls, device: str, minutes: float) -> "DiffusionSettings":
        """Settings for a device: on a GPU, where small batches leave most of it idle, larger ones and a higher rate."""
        if device == "cpu":
            return cls(minutes=minutes)
        optimiser = OptimiserSettings(
            learning_rate=2e-3, warmup_steps=200, ema_decay=0.999, decay_share=0.6, orthogonalise=True
        )
        return cls(minutes=minutes, batch_size=1024, optimiser=optimiser)


@dataclass(frozen=True)
class DiffusionProgress:
    """What a log line of diffusion training says; speed in pictures a second."""

    step: int
    loss: float
    speed: float


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


FIRST_SHARDS = 16
"""So many are enough to begin with; the others come while training runs."""


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
        fresh = [path for path in self.pictures.paths if path not in self.shards]
        fresh = [path for path in fresh if latents_of(path, self.folder).exists()]
        for path in fresh[:most]:
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
        numbers = {seed: number for number, seed in enumerate(self.strangers, start=len(self.tokenizer))}
        somebody = self.tokenizer.convert_tokens_to_ids(f"{SOMEBODY}</w>")
        own = torch.tensor([numbers.get(one.get("person", -1), somebody) for one in facts]).repeat_interleave(counts)
        ids.copy_(torch.where(ids == somebody, own[:, None], ids))

    def draw(self, generator: torch.Generator, settings: DiffusionSettings) -> Batch:
        """A batch: one caption variant each, or none, and what `beside` adds."""
        own, count = self.content, settings.batch_size
        assert own is not None
        options: Any = {"generator": generator, "device": self.device}
        chosen = torch.randint(len(own.latents), (count,), **options)
        variant = (torch.rand(count, **options) * own.counts[chosen]).long()
        dropped = torch.rand(count, 1, **options) < settings.empty_share
        ids = torch.where(dropped, self.empty, own.ids[own.starts[chosen] + variant].long())
        latents = own.latents[chosen].float()
        weights = 1 + (settings.face_weight - 1) * coverage(own.faces[chosen], latents.shape[-1])
        return Batch(latents, (ids, *self.beside(chosen, generator)), weights)

    def beside(self, chosen: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """What a painter is told beside the captions of pictures (B,): nothing."""
        return ()


def token_ids(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """Padded and cut token ids (n, L)."""
    options = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
    return tokenizer(texts, max_length=tokenizer.model_max_length, **options).input_ids


def draw_timesteps(
    count: int, alphas_cumprod: Tensor, generator: torch.Generator, *, snr_limit: float
) -> tuple[Tensor, Tensor]:
    """Timesteps (count,) and what the error at each counts, so that together they weigh as min-SNR does.

    Timesteps of little noise count for next to nothing there, so they are drawn more seldom by the square root of that
    weight, and count by the other; spread over the batch, one in each stratum.
    """
    device = alphas_cumprod.device
    snr = alphas_cumprod / (1 - alphas_cumprod)
    root = (snr.clamp(max=snr_limit) / snr).sqrt()
    ends = root.double().cumsum(0) / root.double().sum()
    strata = torch.arange(count, device=device)
    places = (strata + torch.rand(count, generator=generator, dtype=torch.float64, device=device)) / count
    t = torch.searchsorted(ends, places).clamp(max=len(root) - 1)
    return t, root[t]


def diffusion_loss(
    painter: Painter, batch: Batch, alphas_cumprod: Tensor, *, generator: torch.Generator, snr_limit: float
) -> Tensor:
    """Weighted error of the predicted noise at `draw_timesteps`; all of it on the device of the batch."""
    latents = batch.latents
    t, weight = draw_timesteps(len(latents), alphas_cumprod, generator, snr_limit=snr_limit)
    noise = torch.randn(latents.shape, generator=generator, device=latents.device)
    noisy = add_noise(latents, noise, alphas_cumprod, t).to(painter.unet.dtype)
    predicted = painter(noisy, t, *batch.told).float()
    places = batch.weights / batch.weights.mean(dim=(1, 2, 3), keepdim=True)
    error = (places * (predicted - noise).square()).mean(dim=(1, 2, 3))
    return (weight * error).sum() / weight.sum()


def train_diffusion(
    painter: Painter, data: LatentSet, checkpoint: Path, settings: DiffusionSettings, *, device: str = "cpu"
) -> Iterator[DiffusionProgress]:
    """Train what asks for gradients for the settings' minutes, going on from the checkpoint where there is one.

    Yields a log line every 20 seconds; a checkpoint is written every 3 minutes and at the end. Pictures that appear
    meanwhile are taken in.
    """
    trainer = Trainer(painter.to(device, torch.bfloat16).train(), settings.optimiser)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    if checkpoint.exists():
        trainer.load(checkpoint)
    generator = torch.Generator(device).manual_seed(settings.seed * 1_000_003 + trainer.step_count)
    alphas = build_scheduler().alphas_cumprod.to(device)
    clock, mean, seen, since = Clock(settings.minutes), torch.zeros((), device=device), 0, time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        growing = pool.submit(data.grow)
        while not clock.over():
            batch = data.draw(generator, settings)
            # Plain attention and its way back are a fifth faster on a CPU in bfloat16.
            with plain_attention(painter) if device == "cpu" else nullcontext():
                loss = diffusion_loss(painter, batch, alphas, generator=generator, snr_limit=settings.snr_limit)
                trainer.step(loss, progress=clock.progress())
            mean, seen = running_mean(mean if seen else None, loss.detach()), seen + len(batch.latents)
            if clock.due("log", 20):
                yield DiffusionProgress(trainer.step_count, float(mean), seen / (time.monotonic() - since))
            if clock.due("grow", settings.grow_seconds) and growing.done():
                growing.result()
                growing = pool.submit(data.grow)
            if clock.due("save", 180):
                trainer.save(checkpoint)
    trainer.save(checkpoint)
    yield DiffusionProgress(trainer.step_count, float(mean), seen / (time.monotonic() - since))


def warm_up(painter: Painter, latent_shape: tuple[int, int, int], length: int, settings: DiffusionSettings) -> None:
    """Compile the U-Net for a GPU and these shapes: a first pass, whose gradients are thrown away, takes a minute."""
    painter.to("cuda", torch.bfloat16).train()
    painter.unet.compile()
    noisy = torch.randn(settings.batch_size, *latent_shape, device="cuda", dtype=torch.bfloat16)
    told = torch.zeros(settings.batch_size, length, device="cuda", dtype=torch.long)
    painter(noisy, told[:, 0], told).float().square().mean().backward()
    painter.zero_grad()


def take_average(painter: Painter, checkpoint: Path) -> None:
    """Give a painter the averaged weights of a checkpoint."""
    trainer = Trainer(painter, OptimiserSettings())
    trainer.load(checkpoint)
    painter.load_state_dict(trainer.average(), strict=False)
