"""Textual Inversion (Gal 2022): one embedding, or n in a row, learned under the plain denoising loss."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from onephoto.backbone.load import Backbone
from onephoto.backbone.method import Batch, MethodSpec
from onephoto.backbone.prompts import encode
from onephoto.core.tokens import TokenTable, class_rows
from onephoto.errors import IdentityFileError, SettingError
from onephoto.methods.recipe import PSEUDO_WORD, WORD, Recipe, by_encoder, denoising, learning_prompt


@dataclass(frozen=True, kw_only=True)
class TextualInversionSettings(Recipe):
    """The public script's defaults: 3000 steps of 4 samples at 5e-4, which it scales by the batch to 2e-3.

    num_vectors is the number n of prompt tokens. Unlike the script, which draws a sentence from a list at each step, it
    learns in one sentence, the one that ours learns in, so that the two differ in the method alone.
    """

    steps: int = 3000
    batch_size: int = 4
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    num_vectors: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_vectors < 1:
            raise SettingError(f"num_vectors is {self.num_vectors}; it must be 1 or more")


class TextualInversion:
    """One person, learned as n embeddings for each text encoder, begun at the class word."""

    name = "textual-inversion"

    def __init__(self, backbone: Backbone, *, subject: str, settings: TextualInversionSettings, seed: int = 0):
        """Nothing is drawn at random, so the seed is of no account."""
        self.backbone, self.subject = backbone, subject
        self.prompt = learning_prompt(settings, subject)
        start = {name: class_rows(rows, settings.num_vectors) for name, rows in backbone.class_vectors(subject).items()}
        self.vectors = nn.ParameterDict({name: nn.Parameter(rows.float().clone()) for name, rows in start.items()})

    def parameters(self) -> list[nn.Parameter]:
        """The embeddings."""
        return list(self.vectors.parameters())

    def table(self) -> TokenTable:
        """The embeddings at every stage and layer."""
        return single_table(dict(self.vectors.items()))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """L_denoise."""
        text = self.prompt.format(PSEUDO_WORD)
        conditioning = encode(self.backbone, text, {WORD: self.table()}, classes={WORD: self.subject})
        denoise = denoising(self.backbone, batch, conditioning)
        return {"loss": denoise, "denoising": denoise}

    def patched(self) -> AbstractContextManager[None]:
        """Nothing: the backbone stays as it is."""
        return nullcontext()

    def state_dict(self) -> dict[str, Tensor]:
        """The embeddings."""
        return self.vectors.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Takes up the embeddings."""
        self.vectors.load_state_dict(state)

    def tensors(self) -> dict[str, Tensor]:
        """The embeddings: "tokens.<encoder>" (n, width)."""
        return {f"tokens.{name}": rows.detach().cpu().clone() for name, rows in self.vectors.items()}


def single_table(vectors: Mapping[str, Tensor]) -> TokenTable:
    """Embeddings {encoder: (n, width)} as the one variant of a table, the same for K and V everywhere."""
    only = torch.zeros(1, 1, dtype=torch.long)
    return TokenTable({name: rows[None] for name, rows in vectors.items()}, only, only)


def table(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> TokenTable:
    """The table of an identity file's tensors; raises IdentityFileError when they are not plain embeddings."""
    vectors = by_encoder(tensors)
    if any(rows.ndim != 2 for rows in vectors.values()):
        raise IdentityFileError("the identity file holds no embeddings; learn it again with --method textual-inversion")
    return single_table(vectors)


SPEC = MethodSpec(TextualInversion.name, TextualInversion, table, TextualInversionSettings)
