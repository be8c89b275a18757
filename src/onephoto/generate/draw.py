"""Pictures of learned people through the backbone's own diffusers pipeline."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from onephoto.backbone.load import EMBEDDED, Backbone
from onephoto.backbone.perturbed import perturbed_guidance
from onephoto.backbone.places import Region, places_of
from onephoto.backbone.use import People, use
from onephoto.core.regions import Place
from onephoto.core.tokens import TokenTable
from onephoto.errors import ModelError, SettingError
from onephoto.generate.samplers import sampler

SMALL = 16
"""Side of the embedded models' latent pictures."""
BATCH_PIXELS = 512**2
"""Small pictures are drawn together, which is faster; one of this size keeps a machine busy by itself."""


@dataclass(frozen=True, kw_only=True)
class DrawSettings:
    """How pictures are drawn: denoising steps, guidance scale, sampler (see `samplers`), side in pixels.

    sampler None keeps the model's own; size None the one that the model was trained on. perturbed: whether guidance is
    (see `perturbed_guidance`); None means on the embedded models, for which it was chosen. Raises SettingError.
    """

    steps: int = 25
    guidance: float = 5.0
    sampler: str | None = None
    size: int | None = None
    negative_prompt: str = ""
    clip_skip: int | None = None
    perturbed: bool | None = None

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise SettingError(f"steps is {self.steps}; it must be 1 or more")
        if self.size is not None and (self.size < 8 or self.size % 8):
            raise SettingError(f"size is {self.size}; it must be a multiple of 8")


def draw(
    backbone: Backbone,
    text: str | Sequence[str],
    tables: Mapping[str, TokenTable],
    *,
    classes: Mapping[str, str],
    seeds: Sequence[int],
    settings: DrawSettings,
    regions: Mapping[str, Region] | None = None,
) -> list[Image.Image]:
    """One picture for each seed; a seed gives the same picture alone and in a batch, but for rounding.

    text: the prompt of all, or one for each seed. tables: {name: TokenTable}, classes: {name: class word}, regions:
    {name: its place, a box or a mask}. Raises PromptError for a name that is in neither, SettingError for other than
    one prompt a seed, and ModelError for pictures that are not numbers.
    """
    side = settings.size or backbone.image_size
    places = places_of(regions or {}, (side, side))
    texts = [text] if isinstance(text, str) else text
    if len(texts) not in (1, len(seeds)):
        raise SettingError(f"{len(texts)} prompts for {len(seeds)} seeds; give one for all, or one for each")
    with drawing(backbone, tables, classes, settings) as people:
        prompt = prompt_arguments(people, texts, settings, places=places)
        arguments = call_arguments(backbone, settings, seeds, prompts=len(texts))
        return pictures(backbone.pipeline, **prompt, **arguments)


def prompt_arguments(
    people: People, texts: Sequence[str], settings: DrawSettings, *, places: Mapping[str, Place] | None = None
) -> dict[str, Tensor]:
    """What a pipeline's call takes for these prompts and the settings' negative one, a row for each."""
    prompts = [
        people.prompt(one, settings.negative_prompt or None, clip_skip=settings.clip_skip, regions=places)
        for one in texts
    ]
    return {name: torch.cat([own[name] for own in prompts]) for name in prompts[0]}


@contextmanager
def drawing(
    backbone: Backbone, tables: Mapping[str, TokenTable], classes: Mapping[str, str], settings: DrawSettings, *,
    pipe: Any = None,
) -> Iterator[People]:  # fmt: skip
    """Within, the backbone's pipeline, or another one of its parts, draws these people as the settings say.

    tables, classes: as in `draw`. Prompts come from the handle.
    """
    with (
        use(pipe or backbone, tables, classes) as people,
        sampler(pipe or backbone.pipeline, settings.sampler),
        guided(backbone, settings),
    ):
        yield people


def batches(count: int, side: int) -> list[slice]:
    """Pictures, by number, that are drawn together: so many at once as have BATCH_PIXELS, or one."""
    batch = max(1, BATCH_PIXELS // side**2)
    return [slice(start, start + batch) for start in range(0, count, batch)]


def guided(backbone: Backbone, settings: DrawSettings) -> AbstractContextManager[None]:
    """Perturbed guidance where the settings mean it.

    In models of larger pictures than the embedded ones' it is in the middle block alone, which was found best for
    Stable Diffusion (Ahn 2024).
    """
    if not is_perturbed(backbone, settings):
        return nullcontext()
    return perturbed_guidance(backbone.unet, within="" if backbone.latent_size <= SMALL else "mid_block")


def is_perturbed(backbone: Backbone, settings: DrawSettings) -> bool:
    """Whether these settings mean perturbed guidance on this model."""
    asked = backbone.model_id in EMBEDDED if settings.perturbed is None else settings.perturbed
    # Models that are told the guidance scale, as distilled ones are, make no negative half.
    return asked and settings.guidance > 1 and backbone.unet.config.time_cond_proj_dim is None


def as_drawn(backbone: Backbone, settings: DrawSettings) -> DrawSettings:
    """The settings with `perturbed` as it is on this model, for pictures and plans to remember."""
    return replace(settings, perturbed=is_perturbed(backbone, settings))


def pictures(pipe: Any, **arguments: Any) -> list[Image.Image]:
    """The pictures of a pipeline's call, as it makes them itself; raises ModelError for what would come out black.

    A narrow number format can overflow on the way, and diffusers turns what is no number into black in silence.
    """
    pixels = pipe(**arguments, output_type="np").images
    if not np.isfinite(pixels).all():
        raise ModelError("the model's numbers overflowed and there is no picture; use --dtype float32 or bfloat16")
    return pipe.image_processor.numpy_to_pil(pixels)


def call_arguments(
    backbone: Backbone, settings: DrawSettings, seeds: Sequence[int], *, prompts: int = 1
) -> dict[str, object]:
    """What the pipeline's call takes beside the prompt. Noise is drawn on the CPU, so that devices agree."""
    size = settings.size or backbone.image_size
    return {
        "num_inference_steps": settings.steps,
        "guidance_scale": settings.guidance,
        "num_images_per_prompt": len(seeds) // prompts,
        "generator": [torch.Generator().manual_seed(seed) for seed in seeds],
        "height": size,
        "width": size,
    }
