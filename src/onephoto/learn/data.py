"""The photos as the loop sees them: latents made once, and batches that cover the stages evenly."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from onephoto.backbone.load import Backbone
from onephoto.backbone.method import Batch
from onephoto.core.stages import stage_bounds
from onephoto.errors import SettingError
from onephoto.learn.fit import DrawBatch


def photo_pixels(image: Image.Image) -> Tensor:
    """An RGB image as pixels (3, H, W), float32 in [-1, 1]."""
    pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
    return pixels.float() / 127.5 - 1


@torch.no_grad()
def encode_photos(
    backbone: Backbone,
    photos: Sequence[Image.Image],
    *,
    generator: torch.Generator,
    size: int | None = None,
    flip: bool = True,
    crops: int = 0,
    crop_scale: float = 0.9,
) -> Tensor:
    """The latents to learn from, each photo encoded once: (K, c, h, w).

    The photos are squares; they are resized to `size` pixels a side, by default the model's own. flip adds each photo's
    mirror image, and each of `crops` adds a square of crop_scale times the side, at a random place, brought back to
    full size.
    """
    variants = [
        variant
        for photo in photos
        for variant in photo_variants(
            photo_pixels(photo),
            size or backbone.image_size,
            flip=flip,
            crops=crops,
            crop_scale=crop_scale,
            generator=generator,
        )
    ]
    # One at a time: the autoencoder of a large model needs gigabytes for each picture.
    return torch.cat([backbone.encode_image(pixels[None].to(backbone.device), generator) for pixels in variants])


def photo_variants(
    pixels: Tensor, size: int, *, flip: bool, crops: int, crop_scale: float, generator: torch.Generator
) -> Iterator[Tensor]:
    """The photo (3, H, W) itself, then its random crops, each at (3, size, size) and followed by its mirror image."""
    for view in (pixels, *(random_crop(pixels, crop_scale, generator) for _ in range(crops))):
        resized = resized_to(view, size)
        yield resized
        if flip:
            yield resized.flip(-1)


def random_crop(pixels: Tensor, scale: float, generator: torch.Generator) -> Tensor:
    """A rectangle of `scale` times the sides, at a random place: (3, H, W) -> (3, scale H, scale W)."""
    height, width = round(pixels.shape[1] * scale), round(pixels.shape[2] * scale)
    top = int(torch.randint(pixels.shape[1] - height + 1, (), generator=generator))
    left = int(torch.randint(pixels.shape[2] - width + 1, (), generator=generator))
    return pixels[:, top : top + height, left : left + width]


def resized_to(pixels: Tensor, size: int) -> Tensor:
    """Pixels (3, H, W) at (3, size, size), bicubic and still in [-1, 1]."""
    if pixels.shape[1:] == (size, size):
        return pixels
    resized = functional.interpolate(pixels[None], size=(size, size), mode="bicubic", antialias=True)
    return resized[0].clamp(-1, 1)


def batch_drawer(
    latents: Tensor, *, batch_size: int, num_stages: int, num_timesteps: int, weights: Tensor | None = None
) -> DrawBatch:
    """Batches of the latents (K, c, h, w), each with fresh noise and timesteps that take the stages in turn; weights
    (K, 1, h, w) of their errors go with them.

    Chance comes from a generator on the CPU wherever the latents are, so that every device sees the same run.
    """
    if num_stages > num_timesteps:
        raise SettingError(f"{num_stages} stages do not fit {num_timesteps} timesteps; choose fewer stages")

    def draw_batch(step: int, generator: torch.Generator) -> Batch:
        t = stratified_timesteps(step, batch_size, generator, num_stages=num_stages, num_timesteps=num_timesteps)
        places = torch.randint(len(latents), (batch_size,), generator=generator).to(latents.device)
        chosen = latents[places]
        noise = torch.randn(chosen.shape, generator=generator).to(chosen)
        return Batch(chosen, noise, t.to(latents.device), step, None if weights is None else weights[places])

    return draw_batch


def stratified_timesteps(
    step: int, batch_size: int, generator: torch.Generator, *, num_stages: int, num_timesteps: int
) -> Tensor:
    """Timesteps (B,), long, of the step with this number from 0: the stages in turn, uniform within each.

    Any S samples in a row, in one batch or across batches, hold one of each stage.
    """
    bounds = stage_bounds(num_stages, num_timesteps)
    stages = (step * batch_size + torch.arange(batch_size)) % num_stages
    lengths = bounds[stages + 1] - bounds[stages]
    within = (torch.rand(batch_size, generator=generator, dtype=torch.float64) * lengths).long()
    return num_timesteps - 1 - bounds[stages] - within
