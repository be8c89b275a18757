"""A picture drawn again from part of the way to noise (SDEdit, Meng 2022): a photo as the model would have drawn it."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from onephoto.backbone.load import Backbone
from onephoto.generate.draw import pictures

AfterStep = Callable[[Any, int, Any, dict[str, Tensor]], dict[str, Tensor]]
"""Called by a pipeline after each step with itself, the step, its timestep and tensors by name; gives these changed."""
STRENGTH = 0.5
"""How far back a photo goes: hair, skin and beard stay, and what makes it a photo is gone (docs/LOG.md)."""
STEPS, GUIDANCE = 40, 3.0


def redrawings(backbone: Backbone, photo: Image.Image, prompt: str, *, count: int, seed: int) -> list[Image.Image]:
    """The photo (a square) redrawn `count` times under a plain prompt, each from noise of its own, at the model's side.

    Raises ModelError where the model's numbers overflow, as float16's may.
    """
    pipe, photo, asked = image_to_image(backbone.pipeline), photo.convert("RGB"), {"prompt": prompt}
    return [
        redrawn(
            pipe, photo, asked, side=backbone.image_size, strength=STRENGTH, steps=STEPS,
            guidance=GUIDANCE, seed=seed + number,
        )
        for number in range(count)
    ]  # fmt: skip


def redrawn(
    pipe: Any, image: Image.Image, prompt: Mapping[str, Any], *, side: int, strength: float, steps: int,
    guidance: float, seed: int, after_step: AfterStep | None = None,
) -> Image.Image:  # fmt: skip
    """A square picture at `side` pixels, drawn again from `strength` of the way to noise by an image-to-image pipeline,
    whose arguments for the prompt are given; after_step changes the latents after each step.
    """
    return pictures(
        pipe, **prompt, image=image.resize((side, side), Image.Resampling.LANCZOS), strength=strength,
        # At least one step is taken, however few there are.
        num_inference_steps=max(steps, math.ceil(1 / strength)), guidance_scale=guidance,
        generator=torch.Generator().manual_seed(seed), callback_on_step_end=after_step,
    )[0]  # fmt: skip


def holding(latents: Tensor, new: Tensor, seed: int) -> AfterStep:
    """Draws anew only where `new` (h, w), 0 to 1, says so: after each step all else is what a picture's latents
    (1, c, h, w) are at that noise, so that what is new goes with what is around it (Blended Latent Diffusion,
    Avrahami 2023).
    """
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed)).to(latents)
    new = new.to(latents)

    def hold(pipe: Any, _step: int, timestep: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        times = pipe.scheduler.timesteps
        later = times[int((times == timestep).nonzero()[-1]) + 1 :][:1]
        known = pipe.scheduler.add_noise(latents, noise, later) if len(later) else latents
        return tensors | {"latents": (new * tensors["latents"] + (1 - new) * known).to(tensors["latents"].dtype)}

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
