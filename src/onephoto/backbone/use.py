"""Learned people in a user's own diffusers pipeline, for the time of a `with` block."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from onephoto.backbone.hooks import compiled_anew, conditioned, cross_attention_layers
from onephoto.backbone.load import Backbone, wrap_pipeline
from onephoto.backbone.places import Region, places_of
from onephoto.backbone.prompts import Choice, combinations, encode_choices, is_name, names_in
from onephoto.backbone.weighted import Encode, encoded_choices
from onephoto.core.packing import Routing, pack
from onephoto.core.regions import REST, WHOLE, Mask, Place, token_places
from onephoto.core.tokens import TokenTable
from onephoto.errors import PromptError

MADE = 8
"""How many encoded prompts a handle keeps."""


@dataclass(frozen=True)
class People:
    """The people in a pipeline; `prompt` makes what its call takes."""

    backbone: Backbone
    tables: Mapping[str, TokenTable]
    classes: Mapping[str, str]
    choices: list[Choice]
    routing: Routing
    made: dict[tuple[Any, ...], dict[str, Tensor]] = field(default_factory=dict, repr=False, compare=False)
    """Prompts that were encoded already, the last MADE of them, by all that they depend on."""

    @property
    def _zero_negative(self) -> bool:
        return bool(getattr(self.backbone.pipeline.config, "force_zeros_for_empty_prompt", False))

    @torch.no_grad()
    def prompt(
        self, text: str, negative_prompt: str | None = None, *, clip_skip: int | None = None,
        regions: Mapping[str, Region] | None = None,
    ) -> dict[str, Tensor]:  # fmt: skip
        """Arguments for the pipeline's call: prompt and negative prompt packed alike, and SDXL's pooled ones.

        As in diffusers, SDXL takes zeros for no negative prompt, which is not the same as an empty one.
        regions: {name: place}, (left, top, right, bottom) in shares of the picture, or a mask, white in the picture's
        proportions (see `places.Region`): there alone is that person drawn. Each place reads a prompt of its own, in
        which whoever has another one is left to the class word: the words after a name have read it, so it is not
        enough to hide the name's own tokens.
        A prompt that was asked for before is not encoded again, unless the text encoders have changed since.
        Raises PromptError for a region of somebody whom the prompt does not name, or that is none. Without its `with`
        block a packed prompt makes no picture: its mark is not a number, and spreads.
        """
        places = _checked(text, {name.lower(): place for name, place in places_of(regions or {}).items()})
        asked = (text, negative_prompt, clip_skip, tuple(places.items()), *_encoders(self.backbone))
        if asked in self.made:
            return dict(self.made[asked])
        views = _views(places)
        masked = any(isinstance(place, Mask) for place in views)
        arguments = {}
        for key, words in (("", text), ("negative_", negative_prompt)):
            # What a picture shall not show it shall show nowhere, so there everybody's place is the whole.
            hidden = [set()] if key else [places.keys() - shown for shown in views.values()]
            seen = []
            # Not in a function of its own: the warning of words cut off counts the calls up to the user's line.
            for others in hidden:
                seen.append(
                    encode_choices(
                        self.backbone, words or "", self._without(others), classes=self.classes, choices=self.choices,
                        routing=self.routing, clip_skip=clip_skip,
                    )
                )  # fmt: skip
            seen_in = [WHOLE] * len(views) if key else list(views)
            contexts = torch.cat([one.contexts for one in seen], dim=1).repeat(1, len(views) // len(seen), 1)
            where = token_places(self.backbone.max_length, seen_in, masked=masked)[None] if places else None
            factor = 0 if words is None and self._zero_negative else 1
            arguments[f"{key}prompt_embeds"] = pack(factor * contexts.to(self.backbone.dtype)[None], where)
            if seen[0].pooled is not None:
                arguments[f"{key}pooled_prompt_embeds"] = factor * seen[0].pooled[None].to(self.backbone.dtype)
        if not any(hasattr(encoder, "peft_config") for encoder in self.backbone.text_encoders):
            self.made[asked] = dict(arguments)
            for oldest in list(self.made)[:-MADE]:
                del self.made[oldest]
        return arguments

    @torch.no_grad()
    def encoded_by(self, encode: Encode, text: str, negative_prompt: str = "") -> dict[str, Tensor]:
        """Arguments for the pipeline's call from another program's way to encode a text, such as compel's.

        encode: text to (1, L, C), and for SDXL to that and the pooled vector, (1, W); it is called for every variant of
        the people's tokens. Raises PromptError where prompt and negative prompt come out of different length.
        """
        arguments, lengths = {}, set()
        for key, words in (("", text), ("negative_", negative_prompt)):
            contexts, pooled = encoded_choices(self.backbone, words, self.tables, self.choices, encode)
            arguments[f"{key}prompt_embeds"] = pack(contexts.to(self.backbone.dtype)[None])
            lengths.add(contexts.shape[1])
            if pooled is not None:
                arguments[f"{key}pooled_prompt_embeds"] = pooled.to(self.backbone.dtype)
        if len(lengths) > 1:
            raise PromptError("prompt and negative prompt were encoded to different lengths; cut or pad one of them")
        return arguments

    def _without(self, others: Collection[str]) -> dict[str, TokenTable]:
        """Everybody's tokens, those of these others being the class word's."""
        return {
            name: table.blended(self.backbone.class_vectors(self.classes[name]), 0) if name in others else table
            for name, table in self.tables.items()
        }


def _encoders(backbone: Backbone) -> tuple[Any, ...]:
    """The weights of the text encoders as they stand, and the numbers of words, as a key: each a tensor by identity,
    with how often it was written to and its format. An adapter's strength is not among them.
    """
    weights = (weight for encoder in backbone.text_encoders for weight in encoder.parameters())
    states = ((weight, None if weight.is_inference() else weight._version, weight.dtype) for weight in weights)
    return (*states, *(len(tokenizer) for tokenizer in backbone.tokenizers), backbone.dtype)


def _views(places: Mapping[str, Place]) -> dict[Place, set[str]]:
    """By place those of the people with one who are seen there, nobody in the rest; one view of all without any."""
    if not places:
        return {WHOLE: set()}
    views: dict[Place, set[str]] = {}
    for name, place in places.items():
        views.setdefault(place, set()).add(name)
    return views | {REST: set()}


def _checked(text: str, places: Mapping[str, Place]) -> Mapping[str, Place]:
    """Places that make sense for a prompt."""
    for name, place in places.items():
        if name not in names_in(text):
            raise PromptError(f"a region is given for <{name}>, whom the prompt does not name")
        if isinstance(place, Mask):
            continue
        if not (0 <= place[0] < place[2] <= 1 and 0 <= place[1] < place[3] <= 1):
            raise PromptError(
                f"the region of <{name}> is not left,top,right,bottom within the picture, in shares of it"
            )
    return places


@contextmanager
def use(pipe: Any, tables: Mapping[str, TokenTable], classes: Mapping[str, str]) -> Iterator[People]:
    """Within, prompts of the handle put learned people, {name: TokenTable}, into the pipeline's pictures.

    pipe: a pipeline, also wrapped as a Backbone. classes: {name: class word}. The U-Net and the pipeline's ControlNets
    are hooked; all hooks are gone afterwards.
    Raises PromptError for a name that cannot stand in a prompt.
    """
    tables = {name.lower(): table for name, table in tables.items()}
    classes = {name.lower(): word for name, word in classes.items()}
    for name in tables:
        if not is_name(name):
            raise PromptError(
                f"{name!r} cannot stand in a prompt as <{name}>; begin with a-z, then letters, digits, - _"
            )
    backbone = pipe if isinstance(pipe, Backbone) else wrap_pipeline(pipe)
    pipe = backbone.pipeline
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
