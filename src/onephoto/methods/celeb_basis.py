"""Celeb Basis (Yuan 2023): tokens in the span of names that the base knows, placed there by a vector of the face."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from onephoto.backbone.known_names import known_names, name_vectors
from onephoto.backbone.load import Backbone
from onephoto.backbone.method import MethodSpec
from onephoto.core.tokens import TokenTable
from onephoto.errors import PhotoError, SettingError
from onephoto.identity.faces import face_vector
from onephoto.methods.embedding import (
    EmbeddingMethod,
    Pass,
    read_single_table,
    require_one_encoder,
    single_table,
    token_tensors,
)
from onephoto.methods.recipe import Recipe

FaceNetwork = Callable[[Image.Image], Any]
"""A picture's face as an array of numbers (F,), or None where it sees no face."""


@dataclass(frozen=True, kw_only=True)
class CelebBasisSettings(Recipe):
    """The public code's: 400 steps of 2 samples at 5e-3, an average of .99 a sample; AdamW as torch has it.

    num_basis is the number k of directions (None: two thirds of the width, as the original's 512 of 768; never more
    than there are names to span them), names those whose span it is (None: those known of the base).
    """

    steps: int = 400
    batch_size: int = 2
    learning_rate: float = 5e-3
    weight_decay: float = 1e-2
    num_basis: int | None = None
    average: float = 0.99
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.average < 1 or (self.num_basis is not None and self.num_basis < 1):
            raise SettingError("average must be in [0, 1), and num_basis 1 or more")


@dataclass(frozen=True)
class NameBasis:
    """For each of n name positions the mean (n, width) of its embeddings and k orthonormal directions (n, k, width)."""

    mean: Tensor
    directions: Tensor

    def tokens(self, coefficients: Tensor) -> Tensor:
        """mu + x B: (n, k) -> (n, width)."""
        return self.mean + torch.einsum("nk,nkw->nw", coefficients, self.directions)


def name_basis(vectors: Tensor, num_basis: int | None = None) -> NameBasis:
    """The mean and the leading right singular vectors of names (M, n, width), position by position."""
    count, _, width = vectors.shape
    kept = min(num_basis or 2 * width // 3, count - 1, width)
    mean = vectors.mean(dim=0)
    right = torch.linalg.svd((vectors - mean).transpose(0, 1), full_matrices=False).Vh
    return NameBasis(mean, right[:, :kept])


def face_of(photos: Sequence[Image.Image], network: FaceNetwork) -> Tensor:
    """The unit vector of the person's face, (F,), the mean over photos; raises PhotoError when none shows a face."""
    seen = [torch.as_tensor(vector, dtype=torch.float32) for photo in photos if (vector := network(photo)) is not None]
    if not seen:
        raise PhotoError("celeb-basis learns from a face and none was found; give a photo of one, or use sefi")
    units = functional.normalize(torch.stack(seen), dim=-1)
    return functional.normalize(units.mean(dim=0), dim=0)


class Coefficients(nn.Module):
    """The face's vector (F,) -> coefficients x (n, k), each row of length 1, and their moving average over the run.

    x = normalised LeakyReLU(W v + b), with slope .2, W drawn from the unit normal and b zero.
    """

    average: Tensor

    def __init__(self, face: Tensor, num_tokens: int, num_basis: int, *, generator: torch.Generator):
        super().__init__()
        self.num_tokens = num_tokens
        self.weight = nn.Parameter(torch.randn(num_tokens * num_basis, len(face), generator=generator))
        self.bias = nn.Parameter(torch.zeros(num_tokens * num_basis))
        self.register_buffer("average", self(face).detach())

    def forward(self, face: Tensor) -> Tensor:
        """(F,) -> (n, k)."""
        hidden = functional.leaky_relu(functional.linear(face, self.weight, self.bias), 0.2)
        return functional.normalize(hidden.unflatten(0, (self.num_tokens, -1)), dim=-1)

    @torch.no_grad()
    def follow(self, face: Tensor, decay: float) -> None:
        """Moves the average to decay times itself and the rest x."""
        self.average.lerp_(self(face), 1 - decay)


class CelebBasis(EmbeddingMethod):
    """One person, learned as n tokens mu + x B (two for first and last names), by the small layer that makes x.

    The network that sees the face is any function of a picture. By default it is dlib's, of 128 numbers, in the place
    of the original's of 512; whoever measures likeness by dlib must know that this method has learned from it. The
    comparison gives it the world's face judge, where there is one. The prompt is learned under L_denoise. What is kept
    is the tokens of the averaged x; the original keeps x itself, and begins the average at noise, not the first x.
    """

    name = "celeb-basis"

    def __init__(
        self, backbone: Backbone, *, subject: str, settings: CelebBasisSettings, seed: int = 0,
        photos: Sequence[Image.Image] = (), network: FaceNetwork | None = None,
    ) -> None:  # fmt: skip
        """The layer is drawn from the seed. Raises ModelError for SDXL and PhotoError when no photo shows a face."""
        require_one_encoder(backbone, self.name)
        (self.encoder,) = backbone.encoder_names
        names = known_names(backbone) if settings.names is None else settings.names
        self.basis = name_basis(name_vectors(backbone, names), settings.num_basis)
        face = face_of(photos, network or face_vector)
        num_tokens, num_basis = self.basis.directions.shape[:2]
        generator = torch.Generator().manual_seed(seed)
        self.coefficients = Coefficients(face, num_tokens, num_basis, generator=generator).to(backbone.device)
        self.face, self.decay = face.to(backbone.device), settings.average
        super().__init__(backbone, self.coefficients, subject=subject, settings=settings)

    def table(self) -> TokenTable:
        """The tokens of x as it stands, which learning sees."""
        return single_table({self.encoder: self.basis.tokens(self.coefficients(self.face))})

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """L_denoise; the average follows x once for each sample, as in the original."""
        self.coefficients.follow(self.face, self.decay ** len(seen.batch.latents))
        return super().losses(seen)

    def tensors(self) -> dict[str, Tensor]:
        """The tokens of the average: "tokens.<encoder>" (n, width)."""
        return token_tensors({self.encoder: self.basis.tokens(self.coefficients.average)})


SPEC = MethodSpec(CelebBasis.name, CelebBasis, read_single_table, CelebBasisSettings, sees_photos=True)
