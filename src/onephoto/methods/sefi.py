"""Ours, SeFi-IDE: a K and a V token for each of five stages, learned under the face-wise attention loss."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from onephoto.backbone.hooks import Records, project_keys
from onephoto.backbone.load import Backbone, CrossAttentionLayer
from onephoto.backbone.method import Batch, MethodSpec
from onephoto.backbone.prompts import encode_plain
from onephoto.core.attention_loss import attention_loss, attention_probs, class_mask, mask_loss
from onephoto.core.attention_maps import focus_weights, merge_columns
from onephoto.core.denoising import add_noise
from onephoto.core.stages import stage_index
from onephoto.core.tokens import TokenMean, TokenModule, TokenTable, class_rows, shortened
from onephoto.errors import IdentityFileError, SettingError
from onephoto.identity.subjects import is_person
from onephoto.methods.embedding import EmbeddingMethod, Pass, starting_rows, token_tensors
from onephoto.methods.recipe import PSEUDO_WORD, Recipe, by_encoder, class_prompt

LOOKS = 10
"""Timesteps at which a photo is looked at to see where the class word acts."""

# In latents smaller than this, maps at factor 4 are too coarse to place a face in: 4 x 4 of a 16 x 16 latent.
SMALL_LATENT = 32

MOST_KEPT = 2**26
"""Numbers of a person's attention maps, 256 MB, that are kept for the way back; SD 1.5 has a quarter of that."""


@dataclass(frozen=True, kw_only=True)
class SefiSettings(Recipe):
    """Settings of SeFi-IDE.

    From the paper: num_stages (pairs of tokens) and attention_weight (lambda). Ours, since it leaves them open:
    attention_factors, the downsampling factors against the latent of the layers whose maps enter the loss (None: 1 and
    2 on latents below 32 a side, else 2 and 4); detach_queries, which makes Q a constant in A_t, so that the attention
    loss trains K tokens only; heads, those of the self-attention module; start, where P lies: None, at the class word,
    "names", at the mean of the names of people that the model knows, or a file of embeddings; focus_power, by which
    power of the class word's effect on the photo errors count, 0 for all alike, for what lies around the person is not
    the person; average, over which last share of the steps tokens are averaged, 0 for those of the last step; max_norm,
    how many times the class word's length the tokens of a person that are kept may have, 0 for any, wherever they
    began: one number, or one for each of as many equal parts of the way from noise. In the noisy ones, where the scene
    takes shape, long tokens drown the words around them (NeTI's have the class word's length); later they hold the
    face; slot_size, how large a token's own mark is as it enters the module, beside the word, which is 1: the smaller,
    the more of what one stage's samples teach reaches the others, whose noise may say little of the person. And
    everything in Recipe.

    early_stop, if not 0, ends learning after so many looks in a row, one every look_every steps, at which the loss on
    held-out noise and prompts, with tokens of any length, was not lower than the best before by the share least_gain.

    For comparison alone: attention_words, which words the attention loss holds to the class prompt's maps: "all", as in
    the paper, "subject", V* alone, or "mask", V* against a mask of where the class word acts; and shared_tokens, which
    makes K and V of a stage one token.
    """

    may_be_strange: ClassVar[tuple[str, ...]] = (*Recipe.may_be_strange, "max_norm", "slot_size")

    steps: int = 500
    batch_size: int = 4
    learning_rate: float = 1e-3
    warmup: int = 10
    decay: float = 0.7
    num_stages: int = 5
    attention_weight: float = 0.003
    attention_factors: tuple[int, ...] | None = None
    focus_power: float = 2.0
    average: float = 0.9
    max_norm: float | Sequence[float] = (1.0, 1.0, 2.0, 2.0, 2.0)
    slot_size: float = 0.3
    attention_words: str = "all"
    shared_tokens: bool = False
    detach_queries: bool = False
    heads: int = 8
    start: str | None = None
    early_stop: int = 0
    look_every: int = 20
    least_gain: float = 0.002

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_stages < 1 or min(self.attention_weight, self.focus_power) < 0:
            raise SettingError("num_stages must be 1 or more, attention_weight and focus_power 0 or more")
        if not (isinstance(self.slot_size, int | float) and 0 < self.slot_size < inf):
            raise SettingError(f"slot_size is {self.slot_size!r}; give a number above 0, or tokens would stay alike")
        if not are_norms(self.max_norm):
            raise SettingError(f"max_norm is {self.max_norm!r}; give a number from 0, or one for each part of the way")
        if not 0 <= self.average <= 1:
            raise SettingError(f"average is {self.average}; it is a share of the steps, 0 to 1")
        if self.early_stop < 0 or self.look_every < 1:
            raise SettingError("early_stop must be 0 or more, and look_every 1 or more")
        if self.attention_words not in LOSSES:
            raise SettingError(f"attention_words is {self.attention_words!r}; choose one of {', '.join(LOSSES)}")


def parts_of(norm: Any) -> Sequence[Any]:
    """A setting of lengths as one for each part of the way, the noisiest first."""
    return norm if isinstance(norm, list | tuple) else (norm,)


def are_norms(value: Any) -> bool:
    """Whether this is a number from 0 on, or some of them."""
    numbers = parts_of(value)
    return bool(numbers) and all(isinstance(number, int | float) and number >= 0 for number in numbers)


@dataclass(frozen=True)
class Anchor:
    """The class prompt's side of the attention loss: the layers, K_r (1, H, L, D) of each, the class word's length."""

    layers: tuple[CrossAttentionLayer, ...]
    keys: tuple[Tensor, ...]
    num_tokens: int


def attention_layers(backbone: Backbone, factors: tuple[int, ...] | None) -> tuple[CrossAttentionLayer, ...]:
    """The cross-attention layers at these downsampling factors; raises SettingError when the model has none there."""
    factors = factors or ((1, 2) if backbone.latent_size < SMALL_LATENT else (2, 4))
    layers = tuple(layer for layer in backbone.layers if layer.factor in factors)
    if not layers:
        known = sorted({layer.factor for layer in backbone.layers})
        raise SettingError(
            f"the model has no cross-attention at factors {factors}; choose attention_factors of {known}"
        )
    return layers


@torch.no_grad()
def class_anchor(backbone: Backbone, prompt: str, subject: str, factors: tuple[int, ...] | None) -> Anchor:
    """The reference prompt, with the class word in place of V*, encoded once and projected to K at each layer."""
    layers = attention_layers(backbone, factors)
    context = encode_plain(backbone, prompt.format(subject)).contexts.to(backbone.dtype)
    keys = tuple(project_keys(layer, context) for layer in layers)
    return Anchor(layers, keys, class_word_length(backbone, subject))


@torch.no_grad()
def class_effect(backbone: Backbone, latents: Tensor, prompt: str, subject: str) -> Tensor:
    """Where the class word acts in a photo's latents (1, c, h, w): (h, w), float32, with a mean of 1.

    It is by how much the prediction changes when the word is left out of the reference prompt (as DiffEdit, Couairon
    2022, finds what a word means), over LOOKS timesteps in even steps, the noise being the same at every call. Its
    attention maps do not tell: one model looks at the face where another, trained on, looks past it (docs/LOG.md). The
    word gets its article, as in what models are trained on.
    """
    told = [encode_plain(backbone, class_prompt(prompt, word)) for word in (subject, "")]
    generator, maps = torch.Generator().manual_seed(0), []
    for t in ((torch.arange(LOOKS) + 0.5) * backbone.num_timesteps / LOOKS).long()[:, None].to(latents.device):
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        noisy = add_noise(latents, noise, backbone.alphas_cumprod, t)
        said, unsaid = (backbone.predict(noisy, t, conditioning).float() for conditioning in told)
        change = (said - unsaid).square().mean(dim=1)[0].sqrt()
        maps.append(change / change.mean() if change.any() else torch.ones_like(change))
    return torch.stack(maps).mean(dim=0)


def class_word_length(backbone: Backbone, subject: str) -> int:
    """How many prompt tokens the class word takes up."""
    return next(iter(backbone.class_vectors(subject).values())).shape[0]


def paired_maps(
    query: Tensor, key: Tensor, anchor_key: Tensor, columns: Sequence[int], num_tokens: int
) -> tuple[Tensor, Tensor]:
    """A_t and A_r of one layer, (B, H, Q, L) each, on the same queries; A_r is a constant.

    columns are V*'s in the target prompt. The class word, of num_tokens, begins at the same place in the reference
    prompt; both words are merged into one column, so that each later token meets itself.
    """
    length = anchor_key.shape[2] + 1 - max(len(columns), num_tokens)
    class_columns = range(min(columns), min(columns) + num_tokens)
    target = merge_columns(attention_probs(query, key), columns, length)
    return target, merge_columns(attention_probs(query.detach(), anchor_key), class_columns, length)


def face_wise_loss(target: Tensor, reference: Tensor, _word: int) -> Tensor:
    """L_attn of one layer: A_t against A_r for every token of the prompt."""
    return attention_loss([target], [reference])


def subject_loss(target: Tensor, reference: Tensor, word: int) -> Tensor:
    """The same for V* alone: other words may act elsewhere than in the class prompt."""
    return attention_loss([target[..., word : word + 1]], [reference[..., word : word + 1]])


def masked_loss(target: Tensor, reference: Tensor, word: int) -> Tensor:
    """V*'s map against a mask of where the class word acts: where in it V* acts is left open."""
    return mask_loss([target[..., word]], [class_mask(reference[..., word])])


LOSSES = {"all": face_wise_loss, "subject": subject_loss, "mask": masked_loss}
"""Attention losses of a layer, of its maps and V*'s column, by which words they hold."""


def anchored_loss(
    anchor: Anchor, records: Records, columns: Sequence[int], *, words: str = "all", detach_queries: bool = False
) -> Tensor:
    """L_attn of one U-Net pass, the mean over its layers; columns are V*'s, words one of LOSSES.

    Layers come one after another, so that maps of one are held at a time. Where those that the way back asks for would
    be MOST_KEPT numbers or more, as with SDXL at 1024 pixels, it computes them again.
    """
    word, loss_of = min(columns), LOSSES[words]

    def of_layer(query: Tensor, key: Tensor, anchor_key: Tensor) -> Tensor:
        return loss_of(*paired_maps(query, key, anchor_key, columns, anchor.num_tokens), word)

    queries = [query.detach() for query in records.queries] if detach_queries else records.queries
    layers = list(zip(queries, records.keys, anchor.keys, strict=True))
    numbers = sum(query[..., 0].numel() * key.shape[2] for query, key, _ in layers)
    run = partial(checkpoint, use_reentrant=False, preserve_rng_state=False) if numbers >= MOST_KEPT else _called
    return torch.stack([run(of_layer, *layer) for layer in layers]).mean()


def _called(work: Callable[..., Tensor], *given: Tensor) -> Tensor:
    return work(*given)


class Sefi(EmbeddingMethod):
    """One person, learned as (S, 2) tokens for each text encoder by a self-attention module of its own."""

    name = "sefi"

    def __init__(self, backbone: Backbone, *, subject: str, settings: SefiSettings, seed: int = 0):
        self.settings = settings
        generator = torch.Generator().manual_seed(seed)
        # P: a class word of several tokens begins as their mean, since V* is one token.
        start = starting_rows(backbone, subject, settings.start)
        self.words = {name: class_rows(rows, 1)[0].float() for name, rows in start.items()}
        self.modules = nn.ModuleDict(
            {
                name: self._module(word, encoder, generator)
                for encoder, (name, word) in zip(backbone.text_encoders, self.words.items(), strict=True)
            }
        )
        self.mean = TokenMean(self._rows())
        trained = nn.ModuleList([self.modules, self.mean])
        super().__init__(backbone, trained, subject=subject, settings=settings)
        self.anchor = self._anchor() if settings.attention_weight else None

    def focus(self, latents: Tensor) -> Tensor | None:
        """By where the class word acts in each photo; None at focus_power 0."""
        power = self.settings.focus_power
        if not power:
            return None
        maps = [class_effect(self.backbone, one[None], self.prompt, self.subject) for one in latents]
        return focus_weights(torch.stack(maps)[:, None], power)

    def under(self, prompt: str) -> Self:
        """The same with the anchor of that prompt."""
        other = super().under(prompt)
        other.anchor = other._anchor() if self.anchor else None
        return other

    @torch.no_grad()
    def stepped(self, step: int, steps: int) -> None:
        """Tokens of the last steps are averaged."""
        if step > (1 - self.settings.average) * steps:
            self.mean.add(self._rows())

    def table(self) -> TokenTable:
        """The tokens as they stand, with gradients to the modules."""
        return pair_table(self._rows())

    def table_for(self, batch: Batch) -> TokenTable:
        """The tokens of the batch's stages."""
        return self.table().at(stage_index(batch.timesteps, self.settings.num_stages, self.backbone.num_timesteps))

    def recorded(self) -> tuple[CrossAttentionLayer, ...]:
        """The layers of the attention loss; none at lambda = 0."""
        return self.anchor.layers if self.anchor else ()

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """L = L_denoise + lambda * L_attn; at lambda = 0 nothing is recorded and there is no "attention"."""
        if self.anchor is None:
            return super().losses(seen)
        columns = next(word.columns for word in seen.words if word.text == PSEUDO_WORD)
        words, detached = self.settings.attention_words, self.settings.detach_queries
        attention = anchored_loss(self.anchor, seen.records, columns, words=words, detach_queries=detached)
        loss = seen.denoising + self.settings.attention_weight * attention
        return {"loss": loss, "denoising": seen.denoising, "attention": attention}

    @torch.no_grad()
    def tensors(self) -> dict[str, Tensor]:
        """The ten tokens, or their mean, as long as may be: "tokens.<encoder>" (S, 2, width), K before V."""
        rows = self.mean.rows() or self._rows()
        if is_person(self.subject):
            words = self.backbone.class_vectors(self.subject)
            times = longest_by_stage(parts_of(self.settings.max_norm), self.settings.num_stages)
            rows = {
                name: shortened(own, times.to(own.device) * float(words[name].norm(dim=-1).mean()))
                for name, own in rows.items()
            }
        return token_tensors(rows)

    def _rows(self) -> dict[str, Tensor]:
        """The tokens as they stand, (S, 2, width) by encoder."""
        stages = self.settings.num_stages
        tokens = {name: self.modules[name](word).unflatten(0, (stages, -1)) for name, word in self.words.items()}
        return {name: rows.expand(-1, 2, -1) for name, rows in tokens.items()}

    def _module(self, word: Tensor, encoder: Any, generator: torch.Generator) -> TokenModule:
        num_tokens = self.settings.num_stages * (1 if self.settings.shared_tokens else 2)
        scale = float(encoder.get_input_embeddings().weight.detach().float().square().mean().sqrt())
        heads, size = self.settings.heads, self.settings.slot_size
        module = TokenModule(len(word), num_tokens, scale=scale, generator=generator, slot_size=size, heads=heads)
        return module.to(word.device)

    def _anchor(self) -> Anchor:
        return class_anchor(self.backbone, self.prompt, self.subject, self.settings.attention_factors)


def longest_by_stage(norms: Sequence[float], num_stages: int) -> Tensor:
    """Numbers for equal parts of the way, 0 meaning any, as each stage's at its beginning: (S, 1, 1)."""
    own = torch.tensor([float(norms[stage * len(norms) // num_stages]) for stage in range(num_stages)])
    return torch.where(own > 0, own, torch.inf)[:, None, None]


def pair_table(pairs: Mapping[str, Tensor]) -> TokenTable:
    """Pairs of tokens by stage, {encoder: (S, 2, width)}, as a table: K from the first of each, V from the second."""
    num_stages = next(iter(pairs.values())).shape[0]
    first = torch.arange(0, 2 * num_stages, 2)[:, None]
    return TokenTable({name: tokens.flatten(0, 1)[:, None] for name, tokens in pairs.items()}, first, first + 1)


def table(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> TokenTable:
    """The table of an identity file's tensors; raises IdentityFileError when they are not pairs of tokens."""
    pairs = by_encoder(tensors)
    if any(tokens.ndim != 3 or tokens.shape[1] != 2 for tokens in pairs.values()):
        raise IdentityFileError("the identity file holds no pairs of tokens; learn it again with --method sefi")
    return pair_table(pairs)


PRESETS: dict[str, dict[str, Any]] = {
    # What the paper says, whatever our defaults become; steps, rate and batch it leaves open.
    "paper": {
        "num_stages": 5, "attention_weight": 0.003, "attention_words": "all", "shared_tokens": False,
        "start": None, "focus_power": 0.0, "average": 0.0, "max_norm": 0.0, "decay": 0.0, "early_stop": 0,
        "redraws": 0,
    },
    # Fewer steps; `onephoto study steps` says what that costs.
    "fast": {"steps": 150},
}  # fmt: skip

SPEC = MethodSpec(Sefi.name, Sefi, table, SefiSettings, presets=PRESETS)
