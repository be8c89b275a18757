"""Hooks on a borrowed U-Net: each stage's own K and V, and the queries and keys of chosen layers.

Attention processors stay as they are, so fused attention and adapters keep working. A hook before the U-Net picks what
the stage needs out of a packed prompt; hooks before each cross-attention's `to_k` and `to_v` take their part of it.
Every hook is stateless and is removed on leaving, also on error.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from onephoto.core.packing import Routing, is_packed, select, unpack
from onephoto.core.stages import stage_index


@dataclass(frozen=True)
class CrossAttentionLayer:
    """One cross-attention of a U-Net: its name, its module, and its downsampling factor against the latent."""

    name: str
    module: Attention
    factor: int


@dataclass
class Records:
    """What `recording` saw, one entry a layer in execution order: queries (B,H,Q,D) and keys (B,H,L,D)."""

    queries: list[Tensor] = field(default_factory=list)
    keys: list[Tensor] = field(default_factory=list)


def cross_attention_layers(unet: nn.Module) -> tuple[CrossAttentionLayer, ...]:
    """All cross-attention layers of a U-Net or ControlNet in the order in which they run."""
    parts = {name: child for name, child in unet.named_children() if name in ("down_blocks", "mid_block", "up_blocks")}
    levels = sum(1 for _ in parts["down_blocks"].children())
    layers = []
    for part in ("down_blocks", "mid_block", "up_blocks"):
        for name, module in parts[part].named_modules() if part in parts else ():
            if name.rsplit(".", 1)[-1] != "attn2":
                continue
            block = 0 if part == "mid_block" else int(name.split(".")[0])
            level = {"down_blocks": block, "mid_block": levels - 1, "up_blocks": levels - 1 - block}[part]
            layers.append(CrossAttentionLayer(f"{part}.{name}", module, 2**level))
    return tuple(layers)


@contextmanager
def _hooked(handles: Sequence[Any]) -> Iterator[None]:
    with ExitStack() as stack:
        for handle in handles:
            stack.callback(handle.remove)
        yield


@contextmanager
def conditioned(
    unet: nn.Module, layers: Sequence[CrossAttentionLayer], routing: Routing, *, length: int, num_timesteps: int,
    num_contexts: int,
) -> Iterator[None]:  # fmt: skip
    """Within, the model (U-Net or ControlNet) reads prompts of `num_contexts` packed contexts of `length` tokens.

    Any other prompt passes untouched. Timesteps may be numbers, 0-dimensional, (B,), whole or fractional.
    """
    layered = routing.key.shape[1] > 1
    columns = range(len(layers) if layered else 1)
    signature = inspect.signature(type(unet).forward)

    def pick(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
        bound = signature.bind(module, *args, **kwargs)
        embeds = bound.arguments["encoder_hidden_states"]
        if not is_packed(embeds, num_contexts, length):
            return None
        t = torch.as_tensor(bound.arguments["timestep"], device=embeds.device).reshape(-1).expand(len(embeds))
        stage = stage_index(t, routing.num_stages, num_timesteps)
        tables = routing.to(embeds.device)
        contexts = unpack(embeds, length)
        parts = [part for column in columns for part in select(contexts, tables, stage, column)]
        # One row more than whole contexts: the layers' hooks know their own prompts by it.
        bound.arguments["encoder_hidden_states"] = torch.cat([*parts, embeds[:, -1:]], dim=1)
        return bound.args[1:], bound.kwargs

    rows = 2 * len(columns) * length + 1
    handles = [unet.register_forward_pre_hook(pick, with_kwargs=True)]
    for number, layer in enumerate(layers):
        first = 2 * number if layered else 0
        handles.append(layer.module.to_k.register_forward_pre_hook(_taking(first, rows, length)))
        handles.append(layer.module.to_v.register_forward_pre_hook(_taking(first + 1, rows, length)))
    with _hooked(handles):
        yield


def _taking(part: int, rows: int, length: int) -> Callable[[nn.Module, tuple], tuple | None]:
    """A hook that hands its linear layer one part of the stage's contexts."""

    def take(module: nn.Module, args: tuple) -> tuple | None:
        if args[0].shape[1] != rows:
            return None
        return (args[0][:, part * length : (part + 1) * length], *args[1:])

    return take


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
    with _hooked(handles):
        yield records


def project_keys(layer: CrossAttentionLayer, context: Tensor) -> Tensor:
    """Keys of a prompt at one layer through its frozen W^k: (B, L, C) -> (B, H, L, D)."""
    return split_heads(layer.module.to_k(context), layer.module.heads)
