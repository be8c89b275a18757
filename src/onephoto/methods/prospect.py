"""ProSpect (Zhang 2023): a token for each of ten stages, all out of one attention block over the class word."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from onephoto.backbone.load import Backbone
from onephoto.backbone.method import Batch, MethodSpec
from onephoto.core.stages import stage_index
from onephoto.core.tokens import TokenTable, class_rows
from onephoto.errors import SettingError
from onephoto.methods.embedding import (
    EmbeddingMethod,
    chance_of,
    require_one_encoder,
    rows_of,
    seeded_linear,
    stage_table,
    token_tensors,
)
from onephoto.methods.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class ProspectSettings(Recipe):
    """The public code's: 600 steps of 1 sample at 1e-4, ten stages, dropout of a tenth; AdamW as torch has it.

    heads and head_width are those of its attention; they give the width between W^v and W^o.
    """

    steps: int = 600
    batch_size: int = 1
    learning_rate: float = 1e-4
    weight_decay: float = 1e-2
    num_stages: int = 10
    heads: int = 8
    head_width: int = 64
    dropout: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.num_stages, self.heads, self.head_width) < 1 or not 0 <= self.dropout < 1:
            raise SettingError("num_stages, heads and head_width must be 1 or more, and dropout in [0, 1)")


class ProspectBlock(nn.Module):
    """The class word's embedding e, (width,), -> one token for each stage, (S, width).

    x = e + A_1(norm(e)); x = x + A_2(norm(x), e); tokens = W_2 (a * gelu(g)) with [a, g] = W_1 norm(x), the middle four
    times as wide as e and the end S times. Over the single vector that A_1 and A_2 attend to, attention has nothing to
    choose from: its weights are 1 whatever Q and K are, so A(c) = W^o W^v c. W^q, W^k and the second norm, which change
    nothing and which no gradient reaches, are left out. Dropout follows W^o and the gate.
    """

    def __init__(self, width: int, settings: ProspectSettings, *, generator: torch.Generator):
        super().__init__()
        inner = settings.heads * settings.head_width
        self.dropout, self.num_stages = settings.dropout, settings.num_stages
        self.norm_self, self.norm_feed_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.self_value = seeded_linear(width, inner, generator, bias=False)
        self.self_out = seeded_linear(inner, width, generator)
        self.cross_value = seeded_linear(width, inner, generator, bias=False)
        self.cross_out = seeded_linear(inner, width, generator)
        self.to_hidden = seeded_linear(width, 8 * width, generator)
        self.to_tokens = seeded_linear(4 * width, settings.num_stages * width, generator)

    def forward(self, word: Tensor, chance: torch.Generator | None = None) -> Tensor:
        """(width,) -> (S, width), index 0 the end of denoising; without a generator nothing is dropped."""
        x = word + self._dropped(self.self_out(self.self_value(self.norm_self(word))), chance)
        x = x + self._dropped(self.cross_out(self.cross_value(word)), chance)
        value, gate = self.to_hidden(self.norm_feed_forward(x)).chunk(2, dim=-1)
        return self.to_tokens(self._dropped(value * functional.gelu(gate), chance)).unflatten(-1, (self.num_stages, -1))

    def _dropped(self, x: Tensor, chance: torch.Generator | None) -> Tensor:
        if chance is None:
            return x
        kept = torch.rand(x.shape, generator=chance).to(x.device) >= self.dropout
        return x * kept / (1 - self.dropout)


class Prospect(EmbeddingMethod):
    """One person, learned as S tokens by a block that alone trains, under L_denoise.

    Its stage is floor(t S / T), counted from the end of denoising; here stages count from the noise, so tokens stand in
    the opposite order. The file keeps the tokens, not the block, which is 126 MB in the original.
    """

    name = "prospect"

    def __init__(self, backbone: Backbone, *, subject: str, settings: ProspectSettings, seed: int = 0):
        """The block is drawn from the seed. Raises ModelError for SDXL."""
        require_one_encoder(backbone, self.name)
        (self.encoder,) = backbone.encoder_names
        self.word = class_rows(backbone.class_vectors(subject)[self.encoder], 1)[0].float()
        generator = torch.Generator().manual_seed(seed)
        self.block = ProspectBlock(len(self.word), settings, generator=generator).to(self.word.device)
        self.num_stages = settings.num_stages
        super().__init__(backbone, self.block, subject=subject, settings=settings)

    def table(self) -> TokenTable:
        """The tokens by stage, nothing dropped."""
        return stage_table({self.encoder: self.block(self.word).flip(0)})

    def table_for(self, batch: Batch) -> TokenTable:
        """The tokens of the batch's stages, under dropout."""
        tokens = self.block(self.word, chance_of(batch)).flip(0)
        return stage_table({self.encoder: tokens}).at(
            stage_index(batch.timesteps, self.num_stages, self.backbone.num_timesteps)
        )

    @torch.no_grad()
    def tensors(self) -> dict[str, Tensor]:
        """The tokens: "tokens.<encoder>" (S, width), the noisiest stage first."""
        return token_tensors({self.encoder: self.block(self.word).flip(0)})


def table(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> TokenTable:
    """The table of an identity file's tensors; raises IdentityFileError when they are not plain embeddings."""
    return stage_table(rows_of(tensors))


SPEC = MethodSpec(Prospect.name, Prospect, table, ProspectSettings)
