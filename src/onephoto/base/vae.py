"""Training of the autoencoder on crops and whole pictures."""

import copy
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from onephoto.base.architecture import Architecture, build_vae
from onephoto.base.pictures import PictureSet, psnr, to_pictures, to_tensor
from onephoto.base.shipped import take_shipped
from onephoto.base.training import Clock, OptimiserSettings, Trainer, running_mean


@dataclass(frozen=True)
class VaeSettings:
    """Most steps see crops: a quarter of the cost a picture, and the layers are convolutions anyway.

    Of the crops, `face_share` lie about the face: small in the picture, and all that likeness hangs on.
    """

    minutes: float = 30.0
    crops: int = 8
    crop_size: int = 64
    face_share: float = 0.75
    whole: int = 2
    whole_share: float = 0.15
    gradient_weight: float = 1.0
    kl_weight: float = 1e-5
    optimiser: OptimiserSettings = field(
        default_factory=lambda: OptimiserSettings(
            learning_rate=2e-3, warmup_steps=100, ema_decay=0.998, orthogonalise=True
        )
    )
    seed: int = 0

    @classmethod
    def on(cls, device: str, minutes: float) -> "VaeSettings":
        """Settings for a device: larger batches on a GPU."""
        return cls(minutes=minutes) if device == "cpu" else cls(minutes=minutes, crops=128, whole=32, whole_share=0.25)


@dataclass(frozen=True)
class VaeProgress:
    """What a log line of autoencoder training says."""

    step: int
    loss: float
    psnr: float | None


def train_vae(
    pictures: PictureSet, folder: Path, settings: VaeSettings, *, arch: Architecture, device: str = "cpu"
) -> Iterator[VaeProgress]:
    """Train for the settings' minutes, going on from `folder/vae.safetensors`, else from the package's weights.

    Yields a log line every 20 seconds. The last 64 pictures are held out for PSNR.
    """
    vae = build_vae(arch)
    take_shipped(vae, "vae")
    vae.requires_grad_(True)
    trained = yield from _train(vae, pictures, folder / "vae.safetensors", settings, device=device)
    standardise_latents(trained, pictures)
    trained.save_pretrained(folder / "vae", safe_serialization=True)


def train_decoder(
    pictures: PictureSet, folder: Path, settings: VaeSettings, *, vae: AutoencoderKL, device: str = "cpu"
) -> Iterator[VaeProgress]:
    """Train the decoder alone, going on from `folder/decoder.safetensors`: latents, and a U-Net made for them, stay."""
    vae.requires_grad_(False)
    vae.decoder.requires_grad_(True)
    vae.post_quant_conv.requires_grad_(True)
    trained = yield from _train(vae, pictures, folder / "decoder.safetensors", settings, device=device)
    trained.save_pretrained(folder / "vae", safe_serialization=True)


def _train(
    vae: AutoencoderKL, pictures: PictureSet, checkpoint: Path, settings: VaeSettings, *, device: str
) -> Generator[VaeProgress, None, AutoencoderKL]:
    """Train what asks for gradients; returns the autoencoder with its averaged weights, float32."""
    result, dtype = copy.deepcopy(vae).float().eval(), torch.bfloat16
    trainer = Trainer(vae.to(device, dtype).train(), settings.optimiser)
    if checkpoint.exists():
        trainer.load(checkpoint)
    rng = np.random.default_rng((settings.seed, trainer.step_count))
    torch.manual_seed(settings.seed + trainer.step_count)
    clock, mean = Clock(settings.minutes), None
    while not clock.over():
        batch = draw_crops(pictures, rng, settings).to(device, dtype)
        loss = vae_loss(vae, batch, settings)
        trainer.step(loss, progress=clock.progress())
        mean = running_mean(mean, loss.detach())
        if clock.due("log", 20):
            pictures.rescan()
            yield VaeProgress(trainer.step_count, float(mean), None)
        if clock.due("save", 180):
            trainer.save(checkpoint)
            yield VaeProgress(trainer.step_count, float(mean), held_out_psnr(averaged(result, trainer), pictures))
    trainer.save(checkpoint)
    yield VaeProgress(
        trainer.step_count, 0.0 if mean is None else float(mean), held_out_psnr(averaged(result, trainer), pictures)
    )
    return result


def draw_crops(pictures: PictureSet, rng: np.random.Generator, settings: VaeSettings) -> Tensor:
    """A batch of mirrored crops, or a few whole pictures: (B, 3, side, side) in [-1, 1]."""
    whole = rng.random() < settings.whole_share
    count = settings.whole if whole else settings.crops
    chosen = rng.integers(0, max(1, len(pictures) - 64), count)
    images = pictures.pictures(chosen)
    if not whole:
        corners, side = crop_corners(pictures.faces()[chosen], images.shape[1], rng, settings), settings.crop_size
        images = np.stack([im[y : y + side, x : x + side] for im, (y, x) in zip(images, corners, strict=True)])
    if rng.random() < 0.5:
        images = images[:, :, ::-1]
    return to_tensor(images)


def crop_corners(boxes: np.ndarray, size: int, rng: np.random.Generator, settings: VaeSettings) -> np.ndarray:
    """Upper left corners (B, 2) as (y, x), on the latent's grid, of crops in pictures of `size` pixels with faces in
    `boxes` (B, 4), in shares, NaN where none is known.
    """
    steps, most = (size - settings.crop_size) // 8, settings.crop_size / 4
    corners = rng.integers(0, steps + 1, (len(boxes), 2))
    middles = size * (boxes[:, :2] + boxes[:, 2:])[:, ::-1] / 2
    about = (middles - settings.crop_size / 2 + rng.uniform(-most, most, middles.shape)) / 8
    faces = (rng.random(len(boxes)) < settings.face_share) & ~np.isnan(boxes).any(1)
    near = np.clip(np.round(np.nan_to_num(about)), 0, steps).astype(int)
    return np.where(faces[:, None], near, corners) * 8


def vae_loss(vae: AutoencoderKL, batch: Tensor, settings: VaeSettings) -> Tensor:
    """Absolute error, the same on differences of neighbours (keeps edges sharp), and a weak pull to a unit normal."""
    posterior = vae.encode(batch).latent_dist
    decoded = vae.decode(posterior.sample()).sample.float()
    target = batch.float()
    error = decoded - target
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    mean, logvar = posterior.mean.float(), posterior.logvar.float()
    kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum(dim=1).mean()
    return F.smooth_l1_loss(decoded, target, beta=0.03) + settings.gradient_weight * edges + settings.kl_weight * kl


def averaged(vae: AutoencoderKL, trainer: Trainer) -> AutoencoderKL:
    """The autoencoder with the averaged weights of what was trained, ready for use."""
    vae.load_state_dict(trainer.average(), strict=False)
    return vae.requires_grad_(False)


@torch.no_grad()
def held_out_psnr(vae: AutoencoderKL, pictures: PictureSet, count: int = 64) -> float:
    """PSNR in dB over the last pictures of the set, through the latent's mean."""
    images = pictures.pictures(np.arange(len(pictures) - count, len(pictures)))
    decoded = [to_pictures(vae.decode(vae.encode(part).latent_dist.mean).sample) for part in to_tensor(images).split(8)]
    return psnr(images, np.concatenate(decoded))


@torch.no_grad()
def standardise_latents(vae: AutoencoderKL, pictures: PictureSet, count: int = 256) -> None:
    """Make each channel's mean zero, and give the scaling factor that brings latents to unit deviation."""
    indices = np.linspace(0, len(pictures) - 1, count).astype(int)
    parts = to_tensor(pictures.pictures(indices)).split(16)
    latents = torch.cat([vae.encode(part).latent_dist.mean for part in parts])
    shift_latents(vae, -latents.mean(dim=(0, 2, 3)))
    spread = latents.std(dim=(0, 2, 3)).square().mean().sqrt()
    vae.register_to_config(scaling_factor=round(float(1 / spread), 5))


@torch.no_grad()
def shift_latents(vae: AutoencoderKL, shift: Tensor) -> None:
    """Add a shift (c,) to the latents inside the 1 x 1 convolutions around them, so that decoded pictures stay."""
    vae.quant_conv.bias[: len(shift)] += shift
    vae.post_quant_conv.bias -= vae.post_quant_conv.weight.flatten(1) @ shift
