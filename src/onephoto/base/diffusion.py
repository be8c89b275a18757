"""Training of what paints, in any format, on the latents of rendered pictures."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from onephoto.backbone.attention import plain_attention
from onephoto.base.architecture import build_scheduler
from onephoto.base.latents import Batch, LatentSet
from onephoto.base.painters import Painter
from onephoto.base.training import Clock, OptimiserSettings, Trainer, running_mean
from onephoto.core.denoising import add_noise


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
    def on(cls, device: str, minutes: float, *, compiled: bool = False) -> "DiffusionSettings":
        """Settings for a device: on a GPU, where small batches leave most of it idle, larger ones and a higher rate.

        On a CPU with the U-Net `compiled` twice as large, since the optimiser is a larger part of a step then, and a
        lower rate: so good weights get better in an hour or two.
        """
        if device == "cpu" and not compiled:
            return cls(minutes=minutes)
        batch_size, rate = (64, 5e-4) if device == "cpu" else (1024, 2e-3)
        optimiser = OptimiserSettings(
            learning_rate=rate, warmup_steps=100, ema_decay=0.998, decay_share=0.6, orthogonalise=True
        )
        return cls(minutes=minutes, batch_size=batch_size, optimiser=optimiser)


@dataclass(frozen=True)
class DiffusionProgress:
    """What a log line of diffusion training says; speed in pictures a second."""

    step: int
    loss: float
    speed: float


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
    clock, mean, seen, since = Clock(settings.minutes), None, 0, time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        growing = pool.submit(data.grow)
        while not clock.over():
            batch = data.draw(
                generator, settings.batch_size, empty_share=settings.empty_share, face_weight=settings.face_weight
            )
            with training_attention(painter, device):
                loss = diffusion_loss(painter, batch, alphas, generator=generator, snr_limit=settings.snr_limit)
                trainer.step(loss, progress=clock.progress())
            mean, seen = running_mean(mean, loss.detach()), seen + len(batch.latents)
            if clock.due("log", 20):
                yield DiffusionProgress(trainer.step_count, float(mean), seen / (time.monotonic() - since))
            if clock.due("grow", settings.grow_seconds) and growing.done():
                growing.result()
                growing = pool.submit(data.grow)
            if clock.due("save", 180):
                trainer.save(checkpoint)
    trainer.save(checkpoint)
    yield DiffusionProgress(trainer.step_count, 0.0 if mean is None else float(mean), seen / (time.monotonic() - since))


def training_attention(painter: Painter, device: str) -> AbstractContextManager[None]:
    """Plain attention on a CPU, where it and its way back are a fifth faster in bfloat16."""
    return plain_attention(painter) if device == "cpu" else nullcontext()


def warm_up(
    painter: Painter, latent_shape: tuple[int, int, int], length: int, settings: DiffusionSettings, *, device: str
) -> None:
    """Compile the U-Net for a device and these shapes: a first pass takes a minute, its gradients are thrown away."""
    painter.to(device, torch.bfloat16).train()
    painter.unet.compile()
    noisy = torch.randn(settings.batch_size, *latent_shape, device=device, dtype=torch.bfloat16)
    told = torch.zeros(settings.batch_size, length, device=device, dtype=torch.long)
    with training_attention(painter, device):
        painter(noisy, told[:, 0], told).float().square().mean().backward()
    painter.zero_grad()


def take_average(painter: Painter, checkpoint: Path) -> None:
    """Give a painter the averaged weights of a checkpoint."""
    trainer = Trainer(painter, OptimiserSettings())
    trainer.load(checkpoint)
    painter.load_state_dict(trainer.average(), strict=False)
