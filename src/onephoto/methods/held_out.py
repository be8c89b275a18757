"""How well a person is learned: the loss under noise, timesteps and prompts that learning does not use."""

import torch
from torch import Tensor

from onephoto.backbone.method import Batch
from onephoto.core.stages import stage_bounds
from onephoto.identity.subjects import is_person
from onephoto.methods.embedding import EmbeddingMethod

PROMPTS = {True: ("a portrait of {}", "the face of {}"), False: ("a picture of a {}", "the {}")}
"""Held-out prompts for people, and for things."""
SEED = 20_240_131
"""Of the noise, which is the same for everybody."""


class HeldOut:
    """The method's mean loss on fixed samples, one for each stage and held-out prompt, under the tokens as they stand.

    It leaves the run's own source of chance alone, so that to look changes nothing of what is learned.
    """

    def __init__(self, method: EmbeddingMethod, latents: Tensor, weights: Tensor | None = None, *, num_stages: int):
        """latents: the photo's, (K, c, h, w), and weights of their errors; samples take them in turn."""
        prompts = PROMPTS[is_person(method.subject)]
        self.methods = [method.under(prompt) for prompt in prompts]
        generator = torch.Generator().manual_seed(SEED)
        num_timesteps = method.backbone.num_timesteps
        bounds = stage_bounds(num_stages, num_timesteps)
        places = torch.arange(num_stages) % len(latents)
        chosen, counted = latents[places], None if weights is None else weights[places]
        self.batches = []
        for number in range(len(prompts)):
            noise = torch.randn(chosen.shape, generator=generator).to(chosen)
            within = bounds.diff() * (2 * number + 1) // (2 * len(prompts))
            t = num_timesteps - 1 - bounds[:-1] - within
            self.batches.append(Batch(chosen, noise, t.to(latents.device), weights=counted))

    @torch.no_grad()
    def __call__(self) -> float:
        """The loss now."""
        losses = [method.loss(batch)["loss"] for method, batch in zip(self.methods, self.batches, strict=True)]
        return torch.stack(losses).mean().item()
