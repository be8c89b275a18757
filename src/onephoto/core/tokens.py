"""The learned tokens of a pseudo-word, and the small module that they come out of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from onephoto.errors import SettingError


def class_rows(class_vectors: Tensor, num_tokens: int) -> Tensor:
    """The class word's embeddings (n', width) as n tokens (n, width): themselves if n == n', else their mean."""
    if class_vectors.shape[0] == num_tokens:
        return class_vectors
    return class_vectors.mean(dim=0, keepdim=True).repeat(num_tokens, 1)


class TokenMean(nn.Module):
    """The mean of tokens as they stood after some steps of learning; a step's chance in them evens out.

    Tokens of one step carry its noise: two runs that differ in their seed end in faces unlike each other.
    """

    def __init__(self, rows: Mapping[str, Tensor]) -> None:
        """rows: tokens by encoder, whose shapes the mean has."""
        super().__init__()
        self.count: Tensor
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self._names = tuple(rows)
        for name, own in rows.items():
            self.register_buffer(name, torch.zeros_like(own))

    @torch.no_grad()
    def add(self, rows: Mapping[str, Tensor]) -> None:
        """Count tokens in."""
        self.count += 1
        for name in self._names:
            mean = self.get_buffer(name)
            mean += (rows[name] - mean) / self.count

    def rows(self) -> dict[str, Tensor]:
        """The mean, nothing before the first were counted in."""
        return {name: self.get_buffer(name) for name in self._names} if self.count else {}


@dataclass(frozen=True)
class TokenTable:
    """What stands in the pseudo-word's place, by stage and layer.

    vectors: for each text encoder ("text_encoder" and, in SDXL, "text_encoder_2") V variants of n tokens,
    (V, n, width).
    key, value: (S, N), long: the variant in the prompt that makes K, or V, at stage s and cross-attention layer n.
    S == 1 means that all stages are alike, N == 1 that all layers are.
    bypass: None, or for each text encoder what prompts that make V gain at the word's places after the encoder's layers
    and before its final norm, (V, n, width), in units of the length of what stands there.
    """

    vectors: dict[str, Tensor]
    key: Tensor
    value: Tensor
    bypass: dict[str, Tensor] | None = None

    @property
    def num_stages(self) -> int:
        """S."""
        return self.key.shape[0]

    @property
    def num_tokens(self) -> int:
        """The number n of prompt tokens that the pseudo-word takes up."""
        return next(iter(self.vectors.values())).shape[1]

    def blended(self, class_vectors: Mapping[str, Tensor], strength: float) -> "TokenTable":
        """The tokens moved between the class word, {encoder: (n', width)}, at strength 0 and themselves at 1.

        On the way the class word takes n tokens as `class_rows` has it; at 0 it is itself, whatever n is. A bypass
        grows from nothing to itself.
        """
        vectors = {}
        for name, learned in self.vectors.items():
            rows = class_vectors[name] if strength == 0 else class_rows(class_vectors[name], self.num_tokens)
            rows = rows.to(learned).expand(len(learned), -1, -1)
            vectors[name] = rows if strength == 0 else rows + strength * (learned - rows)
        kept = self.bypass if strength else None
        bypass = kept and {name: strength * rows for name, rows in kept.items()}
        return replace(self, vectors=vectors, bypass=bypass)

    def at(self, stages: Tensor) -> "TokenTable":
        """Only the variants that these stages, (B,) long, use; the rows of other stages lose their meaning.

        A step of learning meets few stages, and each variant costs a pass through the text encoder.
        """
        stages = stages.to(self.key.device)
        used = torch.cat([self.key[stages], self.value[stages]]).unique()
        vectors, bypass = _rows(self.vectors, used), self.bypass and _rows(self.bypass, used)
        return TokenTable(vectors, _renumbered(self.key, used), _renumbered(self.value, used), bypass)


def joined(tables: Sequence[TokenTable]) -> TokenTable:
    """Several people's tables as one, their stages one behind the other: stage s of the second is row S + s.

    All have as many tokens and layers. Raises SettingError when only some have a bypass.
    """
    bypasses = [table.bypass for table in tables]
    if len({bypass is None for bypass in bypasses}) > 1:
        raise SettingError("people with and without a bypass cannot share a batch; learn them one by one")
    counts = [len(next(iter(table.vectors.values()))) for table in tables]
    firsts = [sum(counts[:place]) for place in range(len(counts))]
    return TokenTable(
        _stacked([table.vectors for table in tables]),
        torch.cat([table.key + first for table, first in zip(tables, firsts, strict=True)]),
        torch.cat([table.value + first for table, first in zip(tables, firsts, strict=True)]),
        _stacked([bypass for bypass in bypasses if bypass is not None]) or None,
    )


def _stacked(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]} if parts else {}


def _rows(variants: Mapping[str, Tensor], used: Tensor) -> dict[str, Tensor]:
    return {name: tokens[used.to(tokens.device)] for name, tokens in variants.items()}


def _renumbered(variants: Tensor, used: Tensor) -> Tensor:
    """Variant numbers (S, N) as places in the sorted list of used ones (V',); an unused one becomes any place."""
    return torch.searchsorted(used, variants).clamp(max=len(used) - 1)


def shortened(tokens: Tensor, longest: Tensor | float) -> Tensor:
    """Tokens (..., width), those longer than that at that length; `longest` broadcasts to (..., 1)."""
    return tokens * (longest / tokens.norm(dim=-1, keepdim=True)).clamp(max=1)


# How fast layers move under Adam: inner ones such that a learning rate of 1e-3 changes their outputs by some hundredths
# of their size a step, the last such that tokens first move by about a twentieth of an embedding's size, or with small
# slots by a fourteenth, since all move together then.
INNER_GAIN = 32
LAST_GAIN = 1000


class TokenModule(nn.Module):
    """The trainable self-attention module: the pseudo-word's embedding P, (width,), -> its tokens, (num_tokens, width).

    The paper does not print its layers; this block is our choice, after ProSpect's. ProSpect attends over P alone,
    where attention has nothing to choose from. Here each token starts as P, brought to a root mean square of 1, marked
    by a slot vector of its own, of `slot_size`; the tokens attend to one another, pass a GEGLU feed-forward, and come
    out as P plus a change. Stages thus share what they learn, though each sees only its own timesteps: the smaller
    slots are, the more.

    The last layer starts at zero, so learning begins with P in every place. The change is measured in units of `scale`,
    the root mean square of the encoder's embeddings, so that with Adam one learning rate serves text encoders of every
    width and scale. There is no dropout; a step repeats exactly.
    """

    def __init__(
        self, width: int, num_tokens: int, *, scale: float, generator: torch.Generator, slot_size: float,
        heads: int = 8,
    ):  # fmt: skip
        """Raises SettingError when the heads do not divide the width."""
        super().__init__()
        if width % heads:
            raise SettingError(f"{heads} heads do not divide the text encoder's width {width}; choose a divisor of it")
        self.heads, self.scale = heads, scale
        self.slots = nn.Parameter(slot_size * torch.randn(num_tokens, width, generator=generator))
        self.norm_attention = nn.LayerNorm(width)
        self.to_qkv = GainLinear(width, 3 * width, INNER_GAIN, generator)
        self.to_out = GainLinear(width, width, INNER_GAIN, generator)
        self.norm_feed_forward = nn.LayerNorm(width)
        self.to_hidden = GainLinear(width, 8 * width, INNER_GAIN, generator)
        self.to_change = GainLinear(4 * width, width, LAST_GAIN, generator)
        nn.init.zeros_(self.to_change.weight)

    def forward(self, word: Tensor) -> Tensor:
        """P, (width,), -> (num_tokens, width)."""
        tokens = len(word) ** 0.5 * functional.normalize(word, dim=-1) + self.slots
        tokens = tokens + self._attend(self.norm_attention(tokens))
        value, gate = self.to_hidden(self.norm_feed_forward(tokens)).chunk(2, dim=-1)
        change = self.to_change(value * functional.gelu(gate))
        return word + self.scale * change

    def _attend(self, tokens: Tensor) -> Tensor:
        query, key, value = self.to_qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(1, 2, 0, 3)
        mixed = functional.scaled_dot_product_attention(query[None], key[None], value[None])[0]
        return self.to_out(mixed.transpose(0, 1).flatten(1))


class GainLinear(nn.Module):
    """A linear layer y = (gain / inputs) W x + b, whose outputs move alike at every width.

    A step of Adam moves each weight by about the learning rate, so an output of a plain layer moves with the number of
    its inputs; here it moves by about gain times the rate (the rule of maximal update, Yang 2022). W is drawn such that
    outputs begin at the size that torch's own layer gives; b begins at zero.
    """

    def __init__(self, inputs: int, outputs: int, gain: float, generator: torch.Generator):
        super().__init__()
        bound = inputs**0.5 / gain
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / inputs

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        return functional.linear(x, self.scale * self.weight, self.bias)
