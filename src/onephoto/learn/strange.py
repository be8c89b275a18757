"""Whether a photo is of a kind that the model does not draw: learning would fit that kind, and not the person."""

import torch
from PIL import Image

from onephoto.backbone.load import Backbone
from onephoto.backbone.prompts import encode_plain
from onephoto.learn.data import photo_pixels, resized_to

LITTLE, MORE = 0.02, 0.08
"""Two shares of the timesteps."""
NOISES = 8
"""Noises at each."""


@torch.no_grad()
def strangeness(backbone: Backbone, photo: Image.Image, prompt: str) -> float:
    """How much of the error of denoising a photo (a square) under little noise is left under more, about 0 to 1.

    What is fine and of a kind that the model knows is soon lost in noise, and the error falls by nearly half. Errors in
    a kind of picture that the model has never seen are coarse, too, and stay. The noise is the same at every call.
    """
    generator, conditioning = torch.Generator().manual_seed(0), encode_plain(backbone, prompt)
    pixels = resized_to(photo_pixels(photo), backbone.image_size)[None].to(backbone.device)
    # The mean, since the posterior's noise would hide what is looked for.
    clean = backbone.encode_image(pixels, mean=True).expand(NOISES, -1, -1, -1)

    def error(share: float) -> float:
        t = torch.full((NOISES,), round(share * backbone.num_timesteps), device=clean.device)
        noise = torch.randn(clean.shape, generator=generator).to(clean)
        return float(backbone.squared_errors(clean, noise, t, conditioning).mean())

    little = error(LITTLE)
    return error(MORE) / little if little else 0.0
