"""NeTI (Alaluf 2023): a small network from timestep and layer to a token, and to a bypass of the text encoder for V."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from onephoto.backbone.load import Backbone
from onephoto.backbone.method import Batch, MethodSpec
from onephoto.backbone.prompts import Choice, Conditioning, encode_choices
from onephoto.core.packing import Routing
from onephoto.core.stages import stage_bounds
from onephoto.core.tokens import TokenTable, class_rows
from onephoto.errors import IdentityFileError, SettingError
from onephoto.methods.embedding import EmbeddingMethod, chance_of, require_one_encoder, seeded_linear
from onephoto.methods.recipe import PSEUDO_WORD, WORD, Recipe

FEATURES, HIDDEN, ANCHORS = 1024, 128, 10
SIGMAS = (0.03, 2.0)
"""Standard deviations of the frequencies for timestep and layer, in radians a step."""
BYPASS = 0.2
"""Length of the bypass against that of what it is added to."""


@dataclass(frozen=True, kw_only=True)
class NetiSettings(Recipe):
    """The public code's: 1000 steps of 2 x 4 samples at 1e-3, which it scales by the batch to 8e-3.

    dropout is the chance that nested dropout cuts the hidden units; draw_stages, in how many timesteps tokens are made
    for drawing (see Neti).
    """

    steps: int = 1000
    batch_size: int = 8
    learning_rate: float = 8e-3
    weight_decay: float = 1e-2
    dropout: float = 0.5
    draw_stages: int = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.draw_stages < 1 or not 0 <= self.dropout <= 1:
            raise SettingError("draw_stages must be 1 or more, and dropout in [0, 1]")


def fourier_features(points: Tensor, frequencies: Tensor) -> Tensor:
    """[sin(F p), cos(F p)] at length 1: points (P, 2) of timestep and layer, frequencies (F, 2) -> (P, 2 F)."""
    angles = points @ frequencies.T
    return functional.normalize(torch.cat([angles.sin(), angles.cos()], dim=-1), dim=-1)


def grid(timesteps: Tensor, num_layers: int) -> Tensor:
    """All pairs of timesteps (P,) and layers, layers running fastest: (P * N, 2), float32."""
    return torch.cartesian_prod(timesteps.float(), torch.arange(num_layers, device=timesteps.device).float())


class NetiNetwork(nn.Module):
    """(timestep, layer) -> a token and a bypass, through HIDDEN units.

    Fourier features; W_0, begun as the features of a grid of anchors, so that its outputs are likenesses to them; twice
    linear, LayerNorm, LeakyReLU; a linear layer to two vectors. The first is brought to the class word's length and is
    the token, the second to BYPASS and is the bypass. The paper rescales the token, as here; its code both together.
    """

    norm: Tensor
    frequencies: Tensor

    def __init__(self, width: int, num_anchors: int, *, generator: torch.Generator):
        super().__init__()
        self.register_buffer("frequencies", torch.randn(FEATURES, 2, generator=generator) * torch.tensor(SIGMAS))
        self.register_buffer("norm", torch.ones(()))
        self.to_anchors = seeded_linear(2 * FEATURES, num_anchors, generator)
        self.hidden = nn.Sequential(
            seeded_linear(num_anchors, HIDDEN, generator), nn.LayerNorm(HIDDEN), nn.LeakyReLU(),
            seeded_linear(HIDDEN, HIDDEN, generator), nn.LayerNorm(HIDDEN), nn.LeakyReLU(),
        )  # fmt: skip
        self.to_vectors = seeded_linear(HIDDEN, 2 * width, generator)

    @torch.no_grad()
    def begin(self, anchors: Tensor, norm: Tensor) -> None:
        """Takes up the anchors (A, 2) and the class word's length."""
        self.to_anchors.weight.copy_(fourier_features(anchors, self.frequencies))
        self.norm.copy_(norm)

    def forward(self, points: Tensor, kept: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Points (P, 2) -> tokens and bypasses, each (P, width); kept (P,) is how many hidden units count, all if None.

        Nested dropout (Rippel 2014) cuts the units from a random one on, which orders them by weight.
        """
        hidden = self.hidden(self.to_anchors(fourier_features(points, self.frequencies)))
        if kept is not None:
            hidden = hidden * (torch.arange(HIDDEN, device=hidden.device) < kept[:, None])
        token, bypass = self.to_vectors(hidden).chunk(2, dim=-1)
        return self.norm * functional.normalize(token, dim=-1), BYPASS * functional.normalize(bypass, dim=-1)


def draw_timesteps(num_stages: int, num_timesteps: int) -> Tensor:
    """The timestep that stands for each stage, (S,), long: where Stable Diffusion's own samplers stand at S steps.

    They count in equal strides from the last timestep but end at 1; so does a sampler of any divisor of S steps.
    """
    bounds = stage_bounds(num_stages, num_timesteps)
    return torch.minimum(num_timesteps - bounds[1:] + 1, num_timesteps - 1 - bounds[:-1])


def network_table(network: NetiNetwork, encoder: str, timesteps: Tensor, num_layers: int) -> TokenTable:
    """The tokens and bypasses at each of the timesteps (S,), one a stage, and at each layer."""
    tokens, bypasses = network(grid(timesteps, num_layers))
    number = torch.arange(len(tokens)).unflatten(0, (-1, num_layers))
    return TokenTable({encoder: tokens[:, None]}, number, number, {encoder: bypasses[:, None]})


class Neti(EmbeddingMethod):
    """One person, learned as a network under L_denoise.

    K is made from the prompt with the token of (t, n) in V*'s place; V from the same encoding, whose state h at V*
    gains 0.2 |h| b / |b| before the encoder's final norm. Learning sees exact timesteps. For drawing, contexts are made
    beforehand at draw_stages timesteps, as the public code does at its sampler's 50, so that they travel in the prompt
    like any other method's: a sampler of 50, 25 or 10 steps meets its own timesteps, others the nearest noisier or
    cleaner one within a stage. That is 2 S N contexts: 1,600 for Stable Diffusion 1, 380 MB in float32.
    """

    name = "neti"

    def __init__(self, backbone: Backbone, *, subject: str, settings: NetiSettings, seed: int = 0):
        """Frequencies and weights are drawn from the seed. Raises ModelError for SDXL."""
        require_one_encoder(backbone, self.name)
        (self.encoder,) = backbone.encoder_names
        self.dropout, self.num_layers = settings.dropout, len(backbone.layers)
        self.timesteps = draw_timesteps(settings.draw_stages, backbone.num_timesteps)
        word = class_rows(backbone.class_vectors(subject)[self.encoder], 1)[0].float().cpu()
        anchors = grid(torch.arange(ANCHORS) * (backbone.num_timesteps // ANCHORS), self.num_layers)
        network = NetiNetwork(len(word), len(anchors), generator=torch.Generator().manual_seed(seed))
        network.begin(anchors, word.norm())
        self.network = network.to(backbone.device)
        super().__init__(backbone, self.network, subject=subject, settings=settings)

    def table(self) -> TokenTable:
        """The tokens and bypasses that drawing uses, nothing dropped."""
        return network_table(self.network, self.encoder, self.timesteps.to(self.backbone.device), self.num_layers)

    def table_for(self, batch: Batch) -> TokenTable:
        """Those of the batch's own timesteps, under nested dropout; a stage here is one timestep."""
        timesteps, which = batch.timesteps.unique(return_inverse=True)
        kept = self.kept(batch, len(timesteps)).to(timesteps.device)
        tokens, bypasses = self.network(grid(timesteps, self.num_layers), kept)
        last, layers = self.backbone.num_timesteps - 1, torch.arange(self.num_layers)
        number = torch.zeros(last + 1, self.num_layers, dtype=torch.long)
        number[last - batch.timesteps.cpu()] = which.cpu()[:, None] * self.num_layers + layers
        return TokenTable({self.encoder: tokens[:, None]}, number, number, {self.encoder: bypasses[:, None]})

    def kept(self, batch: Batch, num_timesteps: int) -> Tensor:
        """How many hidden units count at each timestep and layer, (P * N,), long: a coin for each layer decides whether
        any are cut, a die for each timestep and layer where.
        """
        chance = chance_of(batch)
        cut = torch.rand(self.num_layers, generator=chance) < self.dropout
        places = torch.randint(HIDDEN, (num_timesteps, self.num_layers), generator=chance)
        return torch.where(cut, places, HIDDEN).flatten()

    def conditioning(self, table: TokenTable) -> Conditioning:
        """The prompt to learn in; each token is encoded once and serves K as it is and V with its bypass."""
        count = len(table.vectors[self.encoder])
        choices = [Choice({WORD: number}, bypassed) for bypassed in (False, True) for number in range(count)]
        return encode_choices(
            self.backbone, self.prompt.format(PSEUDO_WORD), {WORD: table}, classes={WORD: self.subject},
            choices=choices, routing=Routing(table.key, table.value + count),
        )  # fmt: skip

    def tensors(self) -> dict[str, Tensor]:
        """The network, "network.<encoder>.<weight>"; the timesteps of drawing (S,); the numbers of the layers (N,)."""
        weights = {f"network.{self.encoder}.{name}": rows for name, rows in self.network.state_dict().items()}
        grids = {"timesteps": self.timesteps, "layers": torch.arange(self.num_layers)}
        return {name: rows.detach().float().cpu().clone() for name, rows in (weights | grids).items()}


@torch.no_grad()
def table(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> TokenTable:
    """The table of an identity file's tensors; raises IdentityFileError when they are not a network's."""
    prefix = "network.text_encoder."
    state = {name.removeprefix(prefix): rows for name, rows in tensors.items() if name.startswith(prefix)}
    try:
        width, num_anchors = len(state["to_vectors.bias"]) // 2, len(state["to_anchors.bias"])
        network = NetiNetwork(width, num_anchors, generator=torch.Generator())
        network.load_state_dict(state)
        return network_table(network, "text_encoder", tensors["timesteps"], len(tensors["layers"]))
    except (KeyError, RuntimeError) as error:
        raise IdentityFileError(
            "the identity file holds no whole network; learn it again with --method neti"
        ) from error


SPEC = MethodSpec(Neti.name, Neti, table, NetiSettings)
