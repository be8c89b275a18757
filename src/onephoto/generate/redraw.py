"""A picture drawn again from part of the way to noise (SDEdit, Meng 2022): a photo as the model would have drawn it."""

import inspect
import math
from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image

from onephoto.backbone.load import Backbone
from onephoto.generate.draw import pictures

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
    guidance: float, seed: int,
) -> Image.Image:  # fmt: skip
    """A square picture at `side` pixels, drawn again from `strength` of the way to noise by an image-to-image pipeline,
    whose arguments for the prompt are given.
    """
    return pictures(
        pipe, **prompt, image=image.resize((side, side), Image.Resampling.LANCZOS), strength=strength,
        # At least one step is taken, however few there are.
        num_inference_steps=max(steps, math.ceil(1 / strength)), guidance_scale=guidance,
        generator=torch.Generator().manual_seed(seed),
    )[0]  # fmt: skip


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
