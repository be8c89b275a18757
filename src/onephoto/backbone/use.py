"""Learned people in a user's own diffusers pipeline, for the time of a `with` block."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from onephoto.backbone.hooks import compiled_anew, conditioned, cross_attention_layers
from onephoto.backbone.load import Backbone, wrap_pipeline
from onephoto.backbone.prompts import Choice, Conditioning, combinations, encode_choices, is_name
from onephoto.core.packing import Routing, pack
from onephoto.core.regions import Box, token_boxes
from onephoto.core.tokens import TokenTable
from onephoto.errors import PromptError


@dataclass(frozen=True)
class People:
    """The people in a pipeline; `prompt` makes what its call takes."""

    backbone: Backbone
    tables: Mapping[str, TokenTable]
    classes: Mapping[str, str]
    choices: list[Choice]
    routing: Routing

    @property
    def _zero_negative(self) -> bool:
        return bool(getattr(self.backbone.pipeline.config, "force_zeros_for_empty_prompt", False))

    @torch.no_grad()
    def prompt(
        self, text: str, negative_prompt: str | None = None, *, clip_skip: int | None = None,
        regions: Mapping[str, Box] | None = None,
    ) -> dict[str, Tensor]:  # fmt: skip
        """Arguments for the pipeline's call: prompt and negative prompt packed alike, and SDXL's pooled ones.

        As in diffusers, SDXL takes zeros for no negative prompt, which is not the same as an empty one.
        regions: {name: (left, top, right, bottom)} in shares of the picture: there alone that person's word acts.
        Raises PromptError for a region of somebody whom the prompt does not name. Without its `with` block a packed
        prompt makes no picture: its mark is not a number, and spreads.
        """
        regions = {name.lower(): box for name, box in (regions or {}).items()}
        arguments = {}
        for key, words in (("", text), ("negative_", negative_prompt)):
            conditioning = encode_choices(
                self.backbone,
                words or "",
                self.tables,
                classes=self.classes,
                choices=self.choices,
                routing=self.routing,
                clip_skip=clip_skip,
            )
            places = {} if key else _columns(conditioning, regions)
            boxes = token_boxes(self.backbone.max_length, places)[None] if regions else None
            factor = 0 if words is None and self._zero_negative else 1
            contexts = factor * conditioning.contexts.to(self.backbone.dtype)[None]
            arguments[f"{key}prompt_embeds"] = pack(contexts, boxes)
            if conditioning.pooled is not None:
                pooled = factor * conditioning.pooled[None].to(self.backbone.dtype)
                arguments[f"{key}pooled_prompt_embeds"] = pooled
        return arguments


def _columns(conditioning: Conditioning, regions: Mapping[str, Box]) -> dict[int, Box]:
    """The box of each prompt token that is part of a person's word."""
    places: dict[int, Box] = {}
    for name, box in regions.items():
        columns = [column for word in conditioning.words if word.text == f"<{name}>" for column in word.columns]
        if not columns:
            raise PromptError(f"a region is given for <{name}>, whom the prompt does not name")
        if not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
            raise PromptError(
                f"the region of <{name}> is not left,top,right,bottom within the picture, in shares of it"
            )
        places |= dict.fromkeys(columns, box)
    return places


@contextmanager
def use(pipe: Any, tables: Mapping[str, TokenTable], classes: Mapping[str, str]) -> Iterator[People]:
    """Within, prompts of the handle put learned people, {name: TokenTable}, into the pipeline's pictures.

    classes: {name: class word}. The U-Net and the pipeline's ControlNets are hooked; all hooks are gone afterwards.
    Raises PromptError for a name that cannot stand in a prompt.
    """
    tables = {name.lower(): table for name, table in tables.items()}
    classes = {name.lower(): word for name, word in classes.items()}
    for name in tables:
        if not is_name(name):
            raise PromptError(
                f"{name!r} cannot stand in a prompt as <{name}>; begin with a-z, then letters, digits, - _"
            )
    backbone = wrap_pipeline(pipe)
    choices, routing = combinations(tables)
    with ExitStack() as stack:
        stack.enter_context(compiled_anew(lambda: _hooked_models(pipe)))
        for model in _hooked_models(pipe):
            layers = cross_attention_layers(model)
            stack.enter_context(
                conditioned(
                    model, layers, _for_layers(routing, len(layers)), length=backbone.max_length,
                    num_timesteps=backbone.num_timesteps, num_contexts=len(choices),
                )
            )  # fmt: skip
        yield People(backbone, tables, classes, choices, routing)


def _for_layers(routing: Routing, num_layers: int) -> Routing:
    """The routing of a ControlNet, which has the U-Net's layers only as far as its middle."""
    return Routing(routing.key[:, :num_layers], routing.value[:, :num_layers])


def _hooked_models(pipe: Any) -> tuple[Any, ...]:
    """The U-Net and every ControlNet: each runs its own cross-attention on the packed prompt."""
    control = getattr(pipe, "controlnet", None)
    return (pipe.unet, *(() if control is None else getattr(control, "nets", (control,))))
