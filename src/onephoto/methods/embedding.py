"""What methods that learn tokens alone have in common: everything but where their tokens come from."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from dataclasses import dataclass
from typing import Any, Self
from zlib import crc32

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from onephoto.backbone.hooks import Records, recording
from onephoto.backbone.known_names import mean_name
from onephoto.backbone.load import Backbone, CrossAttentionLayer
from onephoto.backbone.method import Batch
from onephoto.backbone.prompts import Conditioning, Word, encode
from onephoto.core.plain import embedding_table
from onephoto.core.stages import stage_index
from onephoto.core.tokens import TokenTable, joined
from onephoto.errors import IdentityFileError, ModelError, SettingError
from onephoto.identity.embeddings import read_embedding
from onephoto.identity.subjects import is_person
from onephoto.methods.recipe import PSEUDO_WORD, WORD, Recipe, by_encoder, learning_prompt

NAMES = "names"
"""As `start` of a method's settings."""


@dataclass(frozen=True)
class Pass:
    """What a pass through the U-Net says of one person's batch.

    L_denoise with errors counted by the batch's weights, the batch, the prompt's words, and queries and keys of the
    layers that were asked for.
    """

    denoising: Tensor
    batch: Batch
    words: tuple[Word, ...]
    records: Records


class EmbeddingMethod:
    """One person, learned as tokens on an untouched backbone under the plain denoising loss.

    trained: the module whose parameters train and whose state is the method's. A method says in `table` what its tokens
    are and in `tensors` what its file keeps; `table_for` where a step of learning needs other tokens than drawing.
    """

    name: str

    def __init__(self, backbone: Backbone, trained: nn.Module, *, subject: str, settings: Recipe):
        self.backbone, self.trained, self.subject = backbone, trained, subject
        self.prompt = learning_prompt(settings, subject)

    def parameters(self) -> list[nn.Parameter]:
        """What trains."""
        return list(self.trained.parameters())

    def table(self) -> TokenTable:
        """The tokens as they stand, with gradients to the parameters."""
        raise NotImplementedError

    def table_for(self, batch: Batch) -> TokenTable:
        """The tokens that a step of learning uses."""
        return self.table()

    def conditioning(self, table: TokenTable) -> Conditioning:
        """The prompt to learn in, with these tokens in the word's place."""
        return encode(self.backbone, self.prompt.format(PSEUDO_WORD), {WORD: table}, classes={WORD: self.subject})

    def focus(self, latents: Tensor) -> Tensor | None:
        """All errors count alike."""

    def under(self, prompt: str) -> Self:
        """The same person, who goes on being learned, under another prompt than the one learned in."""
        other = copy(self)
        other.prompt = prompt
        return other

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The losses of a batch, from a pass of its own."""
        return joint_losses([self], [batch])[0]

    def recorded(self) -> tuple[CrossAttentionLayer, ...]:
        """The layers whose queries and keys the losses need."""
        return ()

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """L_denoise, and what a method adds to it, from a pass through the U-Net."""
        return {"loss": seen.denoising, "denoising": seen.denoising}

    def stepped(self, step: int, steps: int) -> None:
        """Nothing is kept of a step."""

    def patched(self) -> AbstractContextManager[None]:
        """Nothing: the backbone stays as it is."""
        return nullcontext()

    def state_dict(self) -> dict[str, Tensor]:
        """The state of what trains."""
        return self.trained.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Takes up that state."""
        self.trained.load_state_dict(state)

    def tensors(self) -> dict[str, Tensor]:
        """What the identity file keeps: detached, on the CPU, float32."""
        raise NotImplementedError


def joint_losses(methods: Sequence[EmbeddingMethod], batches: Sequence[Batch]) -> list[dict[str, Tensor]]:
    """The losses of several people, each of their own batch, from one pass through text encoder and U-Net.

    The methods are of one kind, backbone, subject and prompt. What a person learns is as if alone, but for rounding:
    no sample sees another in a frozen model.
    """
    first = methods[0]
    tables = [method.table_for(batch) for method, batch in zip(methods, batches, strict=True)]
    stages, row = [], 0
    for table, batch in zip(tables, batches, strict=True):
        stages.append(row + stage_index(batch.timesteps, table.num_stages, first.backbone.num_timesteps))
        row += table.num_stages
    conditioning = first.conditioning(joined(tables) if len(tables) > 1 else tables[0])
    parts = zip(*((batch.latents, batch.noise, batch.timesteps) for batch in batches), strict=True)
    latents, noise, t = map(torch.cat, parts)
    with recording(first.recorded()) as records:
        errors = first.backbone.squared_errors(latents, noise, t, conditioning, torch.cat(stages))
    found, start = [], 0
    for method, batch in zip(methods, batches, strict=True):
        own = slice(start, start := start + len(batch.latents))
        queries, keys = ([part[own] for part in parts] for parts in (records.queries, records.keys))
        counted = errors[own] if batch.weights is None else batch.weights * errors[own]
        found.append(method.losses(Pass(counted.mean(), batch, conditioning.words, Records(queries, keys))))
    return found


class LearnedRows(EmbeddingMethod):
    """One person, learned as embeddings that are parameters themselves: {encoder: (rows, width)} from a given start."""

    def __init__(self, backbone: Backbone, start: Mapping[str, Tensor], *, subject: str, settings: Recipe):
        self.vectors = nn.ParameterDict({name: nn.Parameter(rows.float().clone()) for name, rows in start.items()})
        super().__init__(backbone, self.vectors, subject=subject, settings=settings)

    def table(self) -> TokenTable:
        """The rows as the tokens of one word, at every stage and layer."""
        return single_table(dict(self.vectors.items()))

    def tensors(self) -> dict[str, Tensor]:
        """The embeddings: "tokens.<encoder>" (rows, width)."""
        return token_tensors(dict(self.vectors.items()))


def token_tensors(vectors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tokens by encoder as an identity file keeps them."""
    return {f"tokens.{name}": rows.detach().float().cpu().clone() for name, rows in vectors.items()}


def rows_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The rows {encoder: (rows, width)} of an identity file; raises IdentityFileError when it holds other tensors."""
    vectors = by_encoder(tensors)
    if any(rows.ndim != 2 for rows in vectors.values()):
        raise IdentityFileError("the identity file holds no plain embeddings; learn it again")
    return vectors


def single_table(vectors: Mapping[str, Tensor]) -> TokenTable:
    """Embeddings {encoder: (n, width)} as the one variant of a table, the same for K and V everywhere."""
    return embedding_table(vectors)


def read_single_table(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> TokenTable:
    """The table of an identity file of plain embeddings."""
    return single_table(rows_of(tensors))


def layer_table(vectors: Mapping[str, Tensor]) -> TokenTable:
    """One token for each cross-attention layer, {encoder: (N, width)}, the same for K and V at every stage."""
    layers = torch.arange(next(iter(vectors.values())).shape[0])[None]
    return TokenTable({name: rows[:, None] for name, rows in vectors.items()}, layers, layers)


def stage_table(vectors: Mapping[str, Tensor]) -> TokenTable:
    """One token for each stage, {encoder: (S, width)}, the noisiest first, the same for K and V in every layer."""
    stages = torch.arange(next(iter(vectors.values())).shape[0])[:, None]
    return TokenTable({name: rows[:, None] for name, rows in vectors.items()}, stages, stages)


def starting_rows(backbone: Backbone, subject: str, start: str | None) -> dict[str, Tensor]:
    """Where embeddings begin, {encoder: (n, width)}: at the class word, or at those of a file of another program.

    NAMES stands for the mean of the names of people that the model knows; of things, and where it knows none, for the
    class word. Raises IdentityFileError for a file that is none, or of another model's width.
    """
    words = backbone.class_vectors(subject)
    if start is None:
        return words
    if start == NAMES:
        try:
            return mean_name(backbone) if is_person(subject) else words
        except SettingError:
            return words
    rows = read_embedding(start, {name: vectors.shape[1] for name, vectors in words.items()})
    return {name: vectors.to(words[name].device) for name, vectors in rows.items()}


def require_one_encoder(backbone: Backbone, method: str) -> None:
    """Raises ModelError for a model of several text encoders, where the method's authors have not gone."""
    if len(backbone.encoder_names) > 1:
        raise ModelError(
            f"{method} is published for models with one text encoder (Stable Diffusion 1.x and 2.x); "
            "with SDXL use sefi or textual-inversion"
        )


def chance_of(batch: Batch) -> torch.Generator:
    """A generator that a batch's own noise seeds, so that dropout too depends on the batch alone; on the CPU."""
    numbers = batch.noise.flatten()[:64].detach().float().cpu().numpy()
    return torch.Generator().manual_seed(crc32(numbers.tobytes()))


def seeded_linear(inputs: int, outputs: int, generator: torch.Generator, *, bias: bool = True) -> nn.Linear:
    """A linear layer begun as torch begins one, uniform within 1 / sqrt(inputs), but from the generator given."""
    linear = skip_init(nn.Linear, inputs, outputs, bias=bias)
    bound = inputs**-0.5
    for parameter in linear.parameters():
        nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return linear
