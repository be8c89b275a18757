"""Learned people in a user's own diffusers pipeline, for the time of a `with` block."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from onephoto.backbone.hooks import compiled_anew, conditioned, cross_attention_layers
from onephoto.backbone.load import Backbone, wrap_pipeline
from onephoto.backbone.prompts import Choice, combinations, encode_choices, is_name
from onephoto.core.packing import Routing, pack
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

    @torch.no_grad()
    def prompt(self, text: str, negative_prompt: str = "", *, clip_skip: int | None = None) -> dict[str, Tensor]:
        """Arguments for the pipeline's call: prompt and negative prompt packed alike, and SDXL's pooled ones.

        Without its `with` block a packed prompt makes no picture: its mark is not a number, and spreads.
        """
        arguments = {}
        for key, words in (("", text), ("negative_", negative_prompt)):
            conditioning = encode_choices(
                self.backbone, words, self.tables, classes=self.classes, choices=self.choices, routing=self.routing,
                clip_skip=clip_skip,
            )  # fmt: skip
            packed = pack(conditioning.contexts.to(self.backbone.dtype)[None])
            packed[:, -1] = torch.nan
            arguments[f"{key}prompt_embeds"] = packed
            if conditioning.pooled is not None:
                arguments[f"{key}pooled_prompt_embeds"] = conditioning.pooled[None].to(self.backbone.dtype)
        return arguments


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
