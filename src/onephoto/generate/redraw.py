"""A photo as the model would have drawn it: noise added part of the way, and taken away again (SDEdit, Meng 2022)."""

import torch
from PIL import Image

from onephoto.backbone.load import Backbone
from onephoto.generate.draw import pictures
from onephoto.generate.refine import image_to_image

STRENGTH = 0.5
"""How far back a photo goes: hair, skin and beard stay, and what makes it a photo is gone (docs/LOG.md)."""
STEPS, GUIDANCE = 40, 3.0


def redrawn(backbone: Backbone, photo: Image.Image, prompt: str, *, count: int, seed: int) -> list[Image.Image]:
    """The photo (a square) redrawn `count` times under a plain prompt, each from noise of its own, at the model's side.

    Raises ModelError where the model's numbers overflow, as float16's may.
    """
    pipe, side = image_to_image(backbone.pipeline), backbone.image_size
    small = photo.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
    return [
        pictures(
            pipe, prompt=prompt, image=small, strength=STRENGTH, num_inference_steps=STEPS, guidance_scale=GUIDANCE,
            generator=torch.Generator().manual_seed(seed + number),
        )[0]
        for number in range(count)
    ]  # fmt: skip
