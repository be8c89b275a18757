"""One picture together with where each word of its prompt acted."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from onephoto.backbone.hooks import CrossAttentionLayer, Records, recording
from onephoto.backbone.load import Backbone
from onephoto.backbone.prompts import Word, encode
from onephoto.core.attention_loss import attention_probs
from onephoto.core.attention_maps import word_maps
from onephoto.core.tokens import TokenTable
from onephoto.generate.draw import DrawSettings, call_arguments, drawing, pictures


@dataclass(frozen=True)
class Attended:
    """A picture, its prompt's words, and a map (size, size) of each: mean attention over layers, heads and steps."""

    image: Image.Image
    words: tuple[Word, ...]
    maps: Tensor


@torch.no_grad()
def attend(
    backbone: Backbone,
    text: str,
    tables: Mapping[str, TokenTable],
    *,
    classes: Mapping[str, str],
    seed: int,
    settings: DrawSettings,
    size: int | None = None,
) -> Attended:
    """Draw one picture and record the maps of its words, with K as each layer sees it, under guidance's prompted half.

    Layers at the latent's two finest levels take part up to a latent side of 32, at factors 2 and 4 above. Maps have
    `size` positions a side, by default the latent's.
    """
    words = encode(backbone, text, tables, classes=classes).words
    layers = map_layers(backbone)
    total: list[Tensor] = []
    with drawing(backbone, tables, classes, settings) as people, recording(layers) as records:

        def collect(pipeline: object, step: int, timestep: object, values: dict) -> dict:
            total.append(step_maps(records, words, size or backbone.latent_size))
            records.queries.clear()
            records.keys.clear()
            return values

        prompt = people.prompt(text, settings.negative_prompt or None, clip_skip=settings.clip_skip)
        arguments = call_arguments(backbone, settings, [seed])
        image = pictures(backbone.pipeline, **prompt, **arguments, callback_on_step_end=collect)[0]
    return Attended(image, words, torch.stack(total).mean(dim=0))


def map_layers(backbone: Backbone) -> tuple[CrossAttentionLayer, ...]:
    """The layers whose maps are fine enough to look at and cheap enough to build."""
    factors = (1, 2) if backbone.latent_size <= 32 else (2, 4)
    return tuple(layer for layer in backbone.layers if layer.factor in factors)


def step_maps(records: Records, words: tuple[Word, ...], size: int) -> Tensor:
    """Maps (W, size, size) of one denoising step; the last sample of the batch is the prompted one."""
    probs = [
        attention_probs(query[-1:], key[-1:]).cpu() for query, key in zip(records.queries, records.keys, strict=True)
    ]
    return word_maps(probs, [word.columns for word in words], size)
