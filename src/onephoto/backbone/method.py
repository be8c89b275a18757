"""What a learning method is: the one interface that ours and every peer implement."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from onephoto.core.tokens import TokenTable
from onephoto.errors import SettingError


@dataclass(frozen=True)
class Batch:
    """What one step of learning sees: clean latents and noise (B, c, h, w), timesteps (B,), long, its number from 0.

    weights (B, 1, h, w) say how much errors count at each position; None: all alike.
    """

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    step: int = 0
    weights: Tensor | None = None


class Method(Protocol):
    """One person being learned on one frozen backbone."""

    name: str

    def parameters(self) -> list[torch.nn.Parameter] | list[dict[str, Any]]:
        """All that trains, as torch's optimisers take it: parameters, or groups of them with rates of their own."""

    def table(self) -> TokenTable:
        """The tokens as they stand, with gradients to the parameters."""

    def focus(self, latents: Tensor) -> Tensor | None:
        """How much errors count at each position of the photos' latents (K, c, h, w): (K, 1, h, w); None: all alike."""

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The total as "loss" and its parts under their names ("denoising", "attention"), all scalars.

        The batch holds all the randomness of a step: the same batch and parameters give the same loss. A method that
        changes weights puts them in for this pass alone; a parameter without a gradient rests for the step.
        """

    def stepped(self, step: int, steps: int) -> None:
        """Told after each update, by its number from 1, of how many in all."""

    def patched(self) -> AbstractContextManager[None]:
        """Within, the backbone has the method's weights as they stand; nothing changes for tokens alone."""

    def state_dict(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Takes up a checkpoint's state in place, so that an optimiser made before still holds the parameters."""

    def tensors(self) -> dict[str, Tensor]:
        """What the identity file keeps: detached, on the CPU, float32, or float16 where there is much of it."""


WeightChange = Callable[[Mapping[str, Tensor], Mapping[str, Any]], dict[str, Tensor]]
"""From an identity file's tensors and metadata, what parameters of the U-Net gain, by name."""


@dataclass(frozen=True)
class MethodSpec:
    """A method as the registry knows it.

    build: (backbone, *, subject, settings, seed=0) -> Method, with all random starts drawn from the seed.
    table: (tensors, metadata) of an identity file -> TokenTable; raises IdentityFileError when they do not belong.
    settings: the frozen dataclass of the method's settings, with its published defaults.
    change: what the U-Net's weights gain for the time of drawing; None for methods that leave them alone. Raises as
    table does.
    sees_photos: whether build also takes the photos themselves, as photos=, and not their latents alone, and what sees
    the face in them, as network=, None for the method's own.
    presets: settings that go together, by name.
    """

    name: str
    build: Callable[..., Method]
    table: Callable[[Mapping[str, Tensor], Mapping[str, Any]], TokenTable]
    settings: type
    change: WeightChange | None = None
    sees_photos: bool = False
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def preset(self, name: str) -> dict[str, Any]:
        """The settings that a preset changes, none for "default"; raises SettingError naming those that there are."""
        known = {"default": {}, **self.presets}
        if name not in known:
            raise SettingError(f"{self.name} has no preset {name!r}; it has {', '.join(known)}")
        return dict(known[name])
