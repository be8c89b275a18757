"""Training of what paints, in any format, on the latents of rendered pictures."""

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTokenizer

from onephoto.backbone.attention import plain_attention
from onephoto.base.architecture import build_scheduler
from onephoto.base.painters import Painter
from onephoto.base.pictures import PictureSet, face_boxes, to_tensor
from onephoto.base.training import Clock, OptimiserSettings, Trainer, running_mean
from onephoto.core.denoising import add_noise
from onephoto.errors import WorldError


@dataclass(frozen=True)
class DiffusionSettings:
    """One caption of ten is left out, for guidance; min-SNR weighting (Hang 2023) with gamma 5.

    A face is a tenth of most pictures and all that likeness hangs on: errors there count `face_weight` times. Small
    batches: on a CPU they cost next to nothing a picture, and twice the steps learn more.
    """

    minutes: float = 30.0
    batch_size: int = 32
    empty_share: float = 0.1
    snr_limit: float = 5.0
    face_weight: float = 4.0
    optimiser: OptimiserSettings = field(
        default_factory=lambda: OptimiserSettings(warmup_steps=100, ema_decay=0.998, orthogonalise=True)
    )
    seed: int = 0


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
        partial = target.with_suffix(".partial")
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
    edges, boxes = torch.arange(side) / side, boxes.nan_to_num()
    low, high = boxes[:, :2, None], boxes[:, 2:, None]
    covered = (torch.minimum(high, edges + 1 / side) - torch.maximum(low, edges)).clamp(min=0) * side
    return (covered[:, 1, :, None] * covered[:, 0, None, :])[:, None]


class LatentSet:
    """Latents and the token ids of their captions, in memory; `draw` makes batches."""

    def __init__(self, pictures: PictureSet, folder: Path, tokenizer: CLIPTokenizer) -> None:
        paths = [latents_of(path, folder) for path in pictures.paths]
        if not all(path.exists() for path in paths):
            raise WorldError(f"{folder}: latents are missing; run onephoto base train latents first")
        self.latents = torch.from_numpy(np.concatenate([np.load(path) for path in paths]))
        records = list(pictures.records())
        captions = [record["captions"] for record in records]
        self.faces = face_boxes(records)
        self.counts = torch.tensor([len(variants) for variants in captions])
        self.starts = self.counts.cumsum(0) - self.counts
        flat = [caption for variants in captions for caption in variants]
        self.ids = token_ids(tokenizer, flat).to(torch.int16)
        self.empty = token_ids(tokenizer, [""])[0]

    def draw(self, generator: torch.Generator, settings: DiffusionSettings) -> Batch:
        """A batch: one caption variant each, or none, and what `beside` adds."""
        chosen = torch.randint(len(self.latents), (settings.batch_size,), generator=generator)
        share = torch.rand(settings.batch_size, generator=generator)
        variant = (share * self.counts[chosen]).long()
        ids = self.ids[self.starts[chosen] + variant].long()
        dropped = torch.rand(settings.batch_size, generator=generator) < settings.empty_share
        ids[dropped] = self.empty
        latents = self.latents[chosen].float()
        weights = 1 + (settings.face_weight - 1) * coverage(self.faces[chosen], latents.shape[-1])
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
    snr = alphas_cumprod / (1 - alphas_cumprod)
    root = (snr.clamp(max=snr_limit) / snr).sqrt()
    ends = root.double().cumsum(0) / root.double().sum()
    places = (torch.arange(count) + torch.rand(count, generator=generator, dtype=torch.float64)) / count
    t = torch.searchsorted(ends, places).clamp(max=len(root) - 1)
    return t, root[t]


def diffusion_loss(
    painter: Painter, batch: Batch, alphas_cumprod: Tensor, *, generator: torch.Generator, snr_limit: float
) -> Tensor:
    """Weighted error of the predicted noise at `draw_timesteps`."""
    latents = batch.latents
    t, weight = draw_timesteps(len(latents), alphas_cumprod, generator, snr_limit=snr_limit)
    noise = torch.randn(latents.shape, generator=generator)
    device, dtype = painter.unet.device, painter.unet.dtype
    noisy = add_noise(latents, noise, alphas_cumprod, t).to(device, dtype)
    predicted = painter(noisy, t.to(device), *(one.to(device) for one in batch.told)).float()
    places = (batch.weights / batch.weights.mean(dim=(1, 2, 3), keepdim=True)).to(device)
    error = (places * (predicted - noise.to(device)).square()).mean(dim=(1, 2, 3))
    weight = weight.to(device)
    return (weight * error).sum() / weight.sum()


def train_diffusion(
    painter: Painter, data: LatentSet, checkpoint: Path, settings: DiffusionSettings, *, device: str = "cpu"
) -> Iterator[DiffusionProgress]:
    """Train what asks for gradients for the settings' minutes, going on from the checkpoint where there is one.

    Yields a log line every 20 seconds; a checkpoint is written every 3 minutes and at the end.
    """
    trainer = Trainer(painter.to(device, torch.bfloat16).train(), settings.optimiser)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    if checkpoint.exists():
        trainer.load(checkpoint)
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + trainer.step_count)
    alphas = build_scheduler().alphas_cumprod
    clock, mean, seen, since = Clock(settings.minutes), None, 0, time.monotonic()
    while not clock.over():
        batch = data.draw(generator, settings)
        # Plain attention and its way back are a fifth faster on a CPU in bfloat16.
        with plain_attention(painter) if device == "cpu" else nullcontext():
            loss = diffusion_loss(painter, batch, alphas, generator=generator, snr_limit=settings.snr_limit)
            trainer.step(loss, progress=clock.progress())
        mean, seen = running_mean(mean, float(loss.detach())), seen + len(batch.latents)
        if clock.due("log", 20):
            yield DiffusionProgress(trainer.step_count, mean, seen / (time.monotonic() - since))
        if clock.due("save", 180):
            trainer.save(checkpoint)
    trainer.save(checkpoint)
    yield DiffusionProgress(trainer.step_count, mean or 0.0, seen / (time.monotonic() - since))


def take_average(painter: Painter, checkpoint: Path) -> None:
    """Give a painter the averaged weights of a checkpoint."""
    trainer = Trainer(painter, OptimiserSettings())
    trainer.load(checkpoint)
    painter.load_state_dict(trainer.average(), strict=False)
