"""Hooks on a borrowed U-Net: each stage's own K and V, and the queries and keys of chosen layers.

Attention processors stay as they are, so fused attention and adapters keep working. A hook before the U-Net picks what
the stage needs out of a packed prompt; hooks before each cross-attention's `to_k` and `to_v` take their part of it.
No hook remembers a call, and all are removed on leaving, also on error.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from onephoto.core.packing import Routing, packed_length, select, unpack
from onephoto.core.regions import place_sizes, region_bias
from onephoto.core.stages import stage_index
from onephoto.errors import ModelError

PARTS = ("down_blocks", "mid_block", "up_blocks")


@dataclass(frozen=True)
class CrossAttentionLayer:
    """One cross-attention of a U-Net: its name, its module, and its downsampling factor against the latent."""

    name: str
    module: Attention
    factor: int

    @property
    def width(self) -> int:
        """C, the channels of the prompts that it reads."""
        return self.module.to_k.in_features


@dataclass
class Records:
    """What `recording` saw, one entry a layer in execution order: queries (B,H,Q,D) and keys (B,H,L,D)."""

    queries: list[Tensor] = field(default_factory=list)
    keys: list[Tensor] = field(default_factory=list)


def cross_attention_layers(unet: nn.Module) -> tuple[CrossAttentionLayer, ...]:
    """All cross-attention layers of a U-Net or ControlNet in the order in which they run."""
    parts = {name: child for name, child in uncompiled(unet).named_children() if name in PARTS}
    levels = sum(1 for _ in parts["down_blocks"].children())
    layers = []
    for part in PARTS:
        for name, module in parts[part].named_modules() if part in parts else ():
            if name.rsplit(".", 1)[-1] != "attn2":
                continue
            block = 0 if part == "mid_block" else int(name.split(".")[0])
            level = {"down_blocks": block, "mid_block": levels - 1, "up_blocks": levels - 1 - block}[part]
            layers.append(CrossAttentionLayer(f"{part}.{name}", module, 2**level))
    return tuple(layers)


@contextmanager
def hooked(handles: Sequence[Any]) -> Iterator[None]:
    """Within, these hooks are in place; they are gone afterwards, also on error."""
    with ExitStack() as stack:
        for handle in handles:
            stack.callback(handle.remove)
        yield


@contextmanager
def conditioned(
    unet: nn.Module, layers: Sequence[CrossAttentionLayer], routing: Routing, *, length: int, num_timesteps: int,
    num_contexts: int,
) -> Iterator[None]:  # fmt: skip
    """Within, the model (U-Net or ControlNet) reads prompts of `num_contexts` packed contexts of `length` tokens, or of
    several prompts of that length side by side.

    Any other prompt passes untouched. Timesteps may be numbers, 0-dimensional, (B,), whole or fractional. Inside the
    model what K and V are made of lie side by side as channels, (B, L, 2 N C), so the prompt keeps its length there;
    a token's place and the latent's height and width follow, where words have places.
    """
    columns = range(len(layers) if routing.key.shape[1] > 1 else 1)
    projections = Projections(layers, parts=2 * len(columns), length=length)
    unet = uncompiled(unet)
    names = [name for name in inspect.signature(type(unet).forward).parameters if name != "self"]

    def pick(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
        given = dict(zip(names, args, strict=False)) | kwargs
        embeds = given["encoder_hidden_states"]
        own = packed_length(embeds, num_contexts, length)
        if not own:
            return None
        if not torch.compiler.is_compiling():
            projections.follow()
        t = torch.as_tensor(given["timestep"], device=embeds.device).reshape(-1).expand(len(embeds))
        stage = stage_index(t, routing.num_stages, num_timesteps)
        height, width = given["sample"].shape[-2:]

        def picked() -> Tensor:
            tables, (contexts, places) = routing.to(embeds.device), unpack(embeds, num_contexts, own, length)
            parts = [part for column in columns for part in select(contexts, tables, stage, column)]
            if places is not None:
                parts += [places, *(torch.full_like(places[..., :1], side) for side in (height, width))]
            return torch.cat(parts, dim=-1)

        return (), given | {"encoder_hidden_states": projections.picked(picked, embeds, stage, (height, width))}

    handle = unet.register_forward_pre_hook(pick, with_kwargs=True)
    try:
        projections.follow()
        yield
    finally:
        handle.remove()
        projections.release()


@dataclass(frozen=True)
class Picked:
    """A picked prompt, and the one that it was picked from: the tensor, how often it was written to, what was asked."""

    prompt: Tensor
    embeds: Tensor
    version: int
    asked: tuple[Any, ...]


class Projections:
    """The hooks that hand each `to_k` and `to_v` of a model its own part of the channels of a picked prompt."""

    def __init__(self, layers: Sequence[CrossAttentionLayer], *, parts: int, length: int):
        self.layers, self.parts, self.length = layers, parts, length
        self.handles: dict[tuple[int, str], tuple[nn.Module, Sequence[Any]]] = {}
        self.last: Picked | None = None

    def picked(self, pick: Callable[[], Tensor], embeds: Tensor, stage: Tensor, sides: tuple[int, int]) -> Tensor:
        """What `pick` makes of a prompt: the last one itself where nothing has changed, as in the steps of one stage.

        On accelerators it is always made anew, since to look at a stage would be to wait for it.
        """
        if torch.compiler.is_compiling() or torch.is_grad_enabled() or embeds.is_inference() or not embeds.is_cpu:
            return pick()
        asked, last = (stage.tolist(), sides), self.last
        if last is None or last.embeds is not embeds or (last.version, last.asked) != (embeds._version, asked):
            self.last = last = Picked(pick(), embeds, embeds._version, asked)
        return last.prompt

    def follow(self) -> None:
        """Hook the modules that are in their places now: a LoRA that comes or goes puts others there.

        Raises ModelError for projections that diffusers has fused: nothing can come between their K and V.
        """
        for number, layer in enumerate(self.layers):
            if getattr(layer.module, "fused_projections", False):
                raise ModelError("the model's K and V projections are fused; call pipe.unfuse_qkv_projections() first")
            if (number, "") not in self.handles:
                hook = layer.module.register_forward_pre_hook(
                    _keeping(layer, self.parts, self.length), with_kwargs=True
                )
                self.handles[number, ""] = (layer.module, (hook,))
            for side, name in enumerate(("to_k", "to_v")):
                linear = getattr(layer.module, name)
                known, handles = self.handles.get((number, name), (None, ()))
                if known is linear:
                    continue
                for handle in handles:
                    handle.remove()
                part = Part(self, (2 * number + side) % self.parts, layer.width)
                hooks = linear.register_forward_pre_hook(part.take), linear.register_forward_hook(part.hand_out)
                self.handles[number, name] = (linear, hooks)

    def release(self) -> None:
        """Take all hooks out."""
        for _, handles in self.handles.values():
            for handle in handles:
                handle.remove()
        self.handles.clear()
        self.last = None


def _placed(length: int) -> tuple[int, ...]:
    """Channels behind a picked prompt whose words have places: a token's place, the latent's height and width."""
    return tuple(size + 2 for size in place_sizes(length))


@dataclass(frozen=True)
class Kept:
    """What a layer of this weight made of its part of a picked prompt, and a prompt of no tokens in its place."""

    prompt: Tensor
    nothing: Tensor
    weight: Tensor
    output: Tensor


class Part:
    """The hooks of one linear layer: it gets its part of a picked prompt, and what it made of the last one is kept.

    Nothing is kept where anybody else looks on, nor of a layer that is more than its weight, such as a LoRA's.
    """

    def __init__(self, projections: Projections, number: int, width: int):
        self.projections = projections
        self.widths = {projections.parts * width + more for more in (0, *_placed(projections.length))}
        self.channels = slice(number * width, (number + 1) * width)
        self.seen: Tensor | None = None
        self.kept: Kept | None = None

    def take(self, module: nn.Module, args: tuple) -> tuple | None:
        """Before the layer: its channels, or no token at all where the result is kept; a plain prompt passes."""
        prompt, last = args[0], self.projections.last
        if torch.compiler.is_compiling() or last is None or last.prompt is not prompt or not _plain(module):
            return None if prompt.shape[-1] not in self.widths else (prompt[..., self.channels], *args[1:])
        self.seen = prompt
        kept = self.kept
        if kept is not None and kept.prompt is prompt and kept.weight is module.weight:
            return (kept.nothing,)
        self.kept = None
        return (prompt[..., self.channels],)

    def hand_out(self, module: nn.Linear, args: tuple, output: Tensor) -> Tensor | None:
        """After the layer: what is kept, in place of nothing."""
        if torch.compiler.is_compiling() or self.seen is None:
            return None
        prompt, self.seen = self.seen, None
        if self.kept is None:
            self.kept = Kept(prompt, args[0][:, :0], module.weight, output)
            return None
        return self.kept.output


def _plain(module: nn.Module) -> bool:
    """Whether a layer is an ordinary one with nobody's hooks but ours."""
    return type(module) is nn.Linear and len(module._forward_hooks) == len(module._forward_pre_hooks) == 1


def _keeping(
    layer: CrossAttentionLayer, parts: int, length: int
) -> Callable[[nn.Module, tuple, dict], tuple[tuple, dict] | None]:
    """A hook that keeps the words of a picked prompt to their places: an ordinary attention mask."""
    begin = parts * layer.width

    def keep(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
        states = kwargs.get("encoder_hidden_states")
        prompt = states[0] if isinstance(states, tuple) else states  # IP-Adapter's own tokens come second
        if prompt is None or prompt.shape[-1] - begin not in _placed(length):
            return None
        places, sides = prompt[..., begin:-2], prompt[:, :1, -2:].long()
        # Each level halves its map and rounds up.
        height, width = (-(-side // layer.factor) for side in sides.split(1, dim=-1))
        bias = region_bias(places, height, width, args[0].shape[1], length=length).to(args[0].dtype)
        mask = kwargs.get("attention_mask")
        return args, kwargs | {"attention_mask": bias if mask is None else bias + mask}

    return keep


def uncompiled(model: Any) -> Any:
    """The model itself where torch.compile wrapped it."""
    return getattr(model, "_orig_mod", model)


@contextmanager
def compiled_anew(models: Callable[[], Sequence[nn.Module]]) -> Iterator[None]:
    """Code compiled before does not see hooks that come, nor that they went: on both ends all of it is dropped.

    Nothing is dropped where none of the models is compiled.
    """
    _drop_compiled(models())
    try:
        yield
    finally:
        _drop_compiled(models())


def _drop_compiled(models: Sequence[nn.Module]) -> None:
    parts = (part for model in models for part in model.modules())
    if any(part._compiled_call_impl is not None or "_orig_mod" in part._modules for part in parts):
        torch.compiler.reset()


def split_heads(projected: Tensor, heads: int) -> Tensor:
    """(B, n, H * D) -> (B, H, n, D)."""
    return projected.unflatten(-1, (heads, -1)).transpose(1, 2)


@contextmanager
def recording(layers: Sequence[CrossAttentionLayer]) -> Iterator[Records]:
    """Collects queries and keys of these layers, with their gradients, while stock attention goes on."""
    records = Records()

    def collecting(kept: list[Tensor], heads: int) -> Callable[[nn.Module, tuple, Tensor], None]:
        def collect(module: nn.Module, args: tuple, output: Tensor) -> None:
            kept.append(split_heads(output, heads))

        return collect

    handles = []
    for layer in layers:
        attention = layer.module
        handles.append(attention.to_q.register_forward_hook(collecting(records.queries, attention.heads)))
        handles.append(attention.to_k.register_forward_hook(collecting(records.keys, attention.heads)))
    with hooked(handles):
        yield records


def project_keys(layer: CrossAttentionLayer, context: Tensor) -> Tensor:
    """Keys of a prompt at one layer through its frozen W^k: (B, L, C) -> (B, H, L, D)."""
    return split_heads(layer.module.to_k(context), layer.module.heads)
