"""Prior preservation (Ruiz 2022): while one instance is learned, the class is held where the base model has it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from onephoto.backbone.load import Backbone
from onephoto.backbone.method import Batch
from onephoto.backbone.prompts import Conditioning, encode_plain
from onephoto.errors import ModelError, SettingError
from onephoto.methods.recipe import THING_PROMPT, Recipe, denoising
from onephoto.methods.weights import WeightMethod

TOGETHER = 4
"""Class pictures drawn at a time."""
_drawn: WeakKeyDictionary[Backbone, dict[str, Tensor]] = WeakKeyDictionary()


@dataclass(frozen=True, kw_only=True)
class PriorRecipe(Recipe):
    """How a method with prior preservation learns.

    prior_weight is the class term's share of the loss; at 0 no class pictures are drawn. class_images of them (never
    more than the steps use up) are drawn by the base model under class_prompt ("a photo of a person"), in class_steps
    steps with guidance class_guidance.
    """

    prior_weight: float = 1.0
    class_images: int = 200
    class_prompt: str | None = None
    class_steps: int = 50
    class_guidance: float = 7.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prior_weight < 0 or self.class_images < 1 or self.class_steps < 1:
            raise SettingError("prior_weight must be 0 or more, class_images and class_steps 1 or more")


@dataclass(frozen=True)
class ClassPrior:
    """The class as the base model draws it: latents (K, c, h, w), their prompt, and the seed of the steps' chance."""

    latents: Tensor
    conditioning: Conditioning
    weight: float
    seed: int

    def batch(self, step: int, size: int, num_timesteps: int) -> Batch:
        """Class latents in turn, with noise and timesteps of their own; a step's number decides them all."""
        generator = torch.Generator().manual_seed((self.seed + 1) * 1_000_003 + step)
        latents = self.latents[(step * size + torch.arange(size)) % len(self.latents)]
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        t = torch.randint(num_timesteps, (size,), generator=generator)
        return Batch(latents, noise, t.to(latents.device), step)


@torch.no_grad()
def class_prior(backbone: Backbone, recipe: PriorRecipe, subject: str, seed: int) -> ClassPrior | None:
    """The class pictures of a recipe, drawn by the base model as it stands; None when they have no weight."""
    if not recipe.prior_weight:
        return None
    prompt = recipe.class_prompt or THING_PROMPT.format(subject)
    count = min(recipe.class_images, recipe.steps * recipe.batch_size)
    latents = class_latents(backbone, prompt, count, steps=recipe.class_steps, guidance=recipe.class_guidance)
    return ClassPrior(latents, encode_plain(backbone, prompt), recipe.prior_weight, seed)


def class_latents(backbone: Backbone, prompt: str, count: int, *, steps: int, guidance: float) -> Tensor:
    """Pictures of a prompt as scaled latents (count, c, h, w), seeded by their numbers.

    They are kept as long as the backbone: people learned one after another share them, and methods that want different
    numbers of them. Raises ModelError for latents that are not numbers.
    """
    kept = _drawn.setdefault(backbone, {})
    key = f"{prompt}|{steps}|{guidance:g}"
    have = len(kept[key]) if key in kept else 0
    if have < count:
        numbers = torch.arange(have, count).split(TOGETHER)
        parts = [_few_latents(backbone, prompt, part.tolist(), steps, guidance).to(backbone.dtype) for part in numbers]
        latents = torch.cat([kept[key], *parts] if have else parts)
        if not latents.isfinite().all():
            raise ModelError(f"the model's numbers overflowed in drawing {prompt!r}; use --dtype float32 or bfloat16")
        kept[key] = latents
    return kept[key][:count]


def take_class_latents(backbone: Backbone, path: Path) -> None:
    """Take up the class pictures of a file that `keep_class_latents` wrote with this model, if it is there."""
    if path.exists():
        found = {key: rows.to(backbone.device, backbone.dtype) for key, rows in load_file(path).items()}
        kept = _drawn.setdefault(backbone, {})
        kept.update({key: rows for key, rows in found.items() if len(rows) > len(kept.get(key, ()))})


def keep_class_latents(backbone: Backbone, path: Path) -> None:
    """Write all class pictures that were drawn with this model, if there are any, whole or not at all."""
    if kept := _drawn.get(backbone):
        partial = path.with_suffix(".partial")
        save_file({key: rows.contiguous().cpu() for key, rows in kept.items()}, partial)
        os.replace(partial, path)


def _few_latents(backbone: Backbone, prompt: str, seeds: list[int], steps: int, guidance: float) -> Tensor:
    side = backbone.image_size
    return backbone.pipeline(
        prompt, num_inference_steps=steps, guidance_scale=guidance, num_images_per_prompt=len(seeds), height=side,
        width=side, generator=[torch.Generator().manual_seed(seed) for seed in seeds], output_type="latent",
    ).images  # fmt: skip


class PreservingMethod(WeightMethod):
    """A person learned as changed weights under the photo's loss and the class's.

    L = L_denoise(the photo, "V* person") + w L_denoise(class pictures, "person"), in two passes through the U-Net where
    the public scripts take both halves in one; at w = 0 the first term alone.
    """

    def __init__(self, backbone: Backbone, *, settings: PriorRecipe, subject: str, seed: int, **rest: Any):
        """The seed decides noise and timesteps of the class pictures; the rest is WeightMethod's."""
        super().__init__(backbone, settings=settings, subject=subject, **rest)
        self.prior = class_prior(backbone, settings, subject, seed)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Both terms as "denoising" and "prior"."""
        with self.patched():
            denoise = denoising(self.backbone, batch, self.conditioning())
            if self.prior is None:
                return {"loss": denoise, "denoising": denoise}
            pictures = self.prior.batch(batch.step, len(batch.latents), self.backbone.num_timesteps)
            own = denoising(self.backbone, pictures, self.prior.conditioning)
        return {"loss": denoise + self.prior.weight * own, "denoising": denoise, "prior": own}
