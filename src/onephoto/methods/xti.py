"""Extended Textual Inversion (P+, Voynov 2023): one token for each cross-attention layer of the U-Net."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from onephoto.backbone.load import Backbone
from onephoto.backbone.method import MethodSpec
from onephoto.core.tokens import TokenTable, class_rows
from onephoto.methods.embedding import LearnedRows, layer_table, require_one_encoder, rows_of
from onephoto.methods.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class XtiSettings(Recipe):
    """The paper's: 500 steps of 8 samples at 5e-3.

    As all methods here it learns in one sentence, so that methods differ in the method alone.
    """

    steps: int = 500
    batch_size: int = 8
    learning_rate: float = 5e-3


class Xti(LearnedRows):
    """One person, learned as N embeddings (N, width), each begun at the class word.

    The prompt with the n-th embedding in V*'s place makes K and V of the n-th layer, in the order in which they run
    (16 in Stable Diffusion 1: 6 going down, 1 in the middle, 9 going up); all are learned together under L_denoise.
    """

    name = "xti"

    def __init__(self, backbone: Backbone, *, subject: str, settings: XtiSettings, seed: int = 0):
        """Nothing is drawn at random, so the seed is of no account. Raises ModelError for SDXL."""
        require_one_encoder(backbone, self.name)
        words = {name: class_rows(rows, 1) for name, rows in backbone.class_vectors(subject).items()}
        start = {name: word.repeat(len(backbone.layers), 1) for name, word in words.items()}
        super().__init__(backbone, start, subject=subject, settings=settings)

    def table(self) -> TokenTable:
        """The embeddings, each at its layer."""
        return layer_table(dict(self.vectors.items()))


def table(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> TokenTable:
    """The table of an identity file's tensors; raises IdentityFileError when they are not plain embeddings."""
    return layer_table(rows_of(tensors))


SPEC = MethodSpec(Xti.name, Xti, table, XtiSettings)
