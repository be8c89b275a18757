"""A picture drawn again from part of the way to noise (SDEdit, Meng 2022): a photo as the model would have drawn it."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from onephoto.backbone.load import Backbone
from onephoto.generate.draw import batches, pictures

AfterStep = Callable[[Any, int, Any, dict[str, Tensor]], dict[str, Tensor]]
"""Called by a pipeline after each step with itself, the step, its timestep and tensors by name; gives these changed."""
STRENGTH = 0.5
"""How far back a photo goes: hair, skin and beard stay, and what makes it a photo is gone (docs/LOG.md)."""
STEPS, GUIDANCE = 40, 3.0


def redrawings(backbone: Backbone, photo: Image.Image, prompt: str, *, count: int, seed: int) -> list[Image.Image]:
    """The photo (a square) redrawn `count` times under a plain prompt, each from noise of its own, at the model's side.

    Raises ModelError where the model's numbers overflow, as float16's may.
    """
    pipe, side = image_to_image(backbone.pipeline), backbone.image_size
    photos = [photo.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)] * count
    seeds, made = range(seed, seed + count), []
    for part in batches(count, side):
        asked = {"prompt": [prompt] * len(photos[part])}
        made += redrawn(pipe, photos[part], asked, strength=STRENGTH, steps=STEPS, guidance=GUIDANCE, seeds=seeds[part])
    return made


def redrawn(
    pipe: Any, images: Sequence[Image.Image], prompt: Mapping[str, Any], *, strength: float, steps: int,
    guidance: float, seeds: Sequence[int], after_step: AfterStep | None = None,
) -> list[Image.Image]:  # fmt: skip
    """Pictures of the model's own size, drawn again together from `strength` of the way to noise by an image-to-image
    pipeline, whose arguments for their prompts are given; after_step changes the latents after each step.
    """
    return pictures(
        pipe, **prompt, image=list(images), strength=strength, guidance_scale=guidance,
        # At least one step is taken, however few there are.
        num_inference_steps=max(steps, math.ceil(1 / strength)),
        generator=[torch.Generator().manual_seed(seed) for seed in seeds], callback_on_step_end=after_step,
    )  # fmt: skip


def holding(latents: Tensor, new: Tensor, seeds: Sequence[int]) -> AfterStep:
    """Draws anew only where `new` (h, w) is true: after each step all else is what the pictures' latents (B, c, h, w)
    are at the noise of the next, so that new and old go together (Blended Latent Diffusion, Avrahami 2023).

    The noise is another than that of the drawing, so nothing may be a mixture of both: it would have too little.
    """
    own = [torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    noise = torch.stack(own)

    def hold(pipe: Any, step: int, _timestep: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        drawn, times = tensors["latents"], pipe.scheduler.timesteps
        known, later = latents.to(drawn), times[len(times) - pipe.num_timesteps + step + 1 :][:1]
        if len(later):
            known = pipe.scheduler.add_noise(known, noise.to(drawn), later)
        return tensors | {"latents": torch.where(new.to(drawn.device), drawn, known.to(drawn.dtype))}

    return hold


def image_to_image(pipe: Any) -> Any:
    """An image-to-image pipeline of another one's parts, which both then share."""
    from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionXLImg2ImgPipeline

    xl = getattr(pipe, "text_encoder_2", None) is not None
    kind = StableDiffusionXLImg2ImgPipeline if xl else StableDiffusionImg2ImgPipeline
    taken = inspect.signature(kind.__init__).parameters
    parts = {name: part for name, part in pipe.components.items() if name in taken}
    choices = {
        "add_watermarker": False, "requires_safety_checker": False,
        "force_zeros_for_empty_prompt": getattr(pipe.config, "force_zeros_for_empty_prompt", True),
    }  # fmt: skip
    made = kind(**parts, **{name: choice for name, choice in choices.items() if name in taken})
    made.set_progress_bar_config(disable=True)
    return made
