"""Cross Initialization (Pang 2024): Textual Inversion that starts at what the text encoder makes of a mean name."""

from dataclasses import dataclass

import torch
from torch import Tensor

from onephoto.backbone.known_names import known_names, name_vectors
from onephoto.backbone.load import Backbone
from onephoto.backbone.method import MethodSpec
from onephoto.backbone.prompts import encode
from onephoto.errors import SettingError
from onephoto.methods.embedding import LearnedRows, Pass, read_single_table, require_one_encoder, single_table
from onephoto.methods.recipe import PSEUDO_WORD, WORD, Recipe


@dataclass(frozen=True, kw_only=True)
class CrossInitializationSettings(Recipe):
    """The public script's: 320 steps of 8 samples at 6.25e-4, which it scales by the batch to 5e-3.

    pull_weight weighs the pull to the start; names are those whose mean is taken (None: those known of the base).
    """

    steps: int = 320
    batch_size: int = 8
    learning_rate: float = 5e-3
    weight_decay: float = 1e-2
    pull_weight: float = 1e-5
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pull_weight < 0:
            raise SettingError(f"pull_weight is {self.pull_weight}; it must be 0 or more")


@torch.no_grad()
def encoded_mean(backbone: Backbone, vectors: Tensor) -> Tensor:
    """E(mean name): names (M, n, width) -> (n, width), the encoder's output at the n places of a prompt of them alone.

    The output, after the final norm, is far longer than embeddings are, and is where learned embeddings tend to end.
    """
    table = single_table({backbone.encoder_names[0]: vectors.mean(dim=0)})
    return encode(backbone, PSEUDO_WORD, {WORD: table}, classes={WORD: "person"}).contexts[0, 1 : 1 + vectors.shape[1]]


def pull(vectors: Tensor, start: Tensor) -> Tensor:
    """The mean over tokens of |v - v_0|, not squared, as the public script has it; both (n, width)."""
    return torch.linalg.vector_norm(vectors - start, dim=-1).mean()


class CrossInitialization(LearnedRows):
    """One person, learned as n embeddings (2 for names of two tokens, 1 for the embedded model's of one).

    L = L_denoise + pull_weight * mean |v - E(mean name)|. The mean goes over names that are whole tokens, where the
    script cuts longer ones off.
    """

    name = "cross-initialization"

    def __init__(self, backbone: Backbone, *, subject: str, settings: CrossInitializationSettings, seed: int = 0):
        """Nothing is drawn at random, so the seed is of no account. Raises ModelError for SDXL."""
        require_one_encoder(backbone, self.name)
        names = known_names(backbone) if settings.names is None else settings.names
        self.start = encoded_mean(backbone, name_vectors(backbone, names)).float()
        self.pull_weight = settings.pull_weight
        (self.encoder,) = backbone.encoder_names
        super().__init__(backbone, {self.encoder: self.start}, subject=subject, settings=settings)

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """L_denoise and the weighted pull, which stands unweighted as "pull"."""
        denoise, distance = seen.denoising, pull(self.vectors[self.encoder], self.start)
        return {"loss": denoise + self.pull_weight * distance, "denoising": denoise, "pull": distance}


SPEC = MethodSpec(CrossInitialization.name, CrossInitialization, read_single_table, CrossInitializationSettings)
