"""One optimiser step in bfloat16 with float32 masters, an average of the weights, and checkpoints that resume."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from onephoto.base.muon import BatchedMuon
from onephoto.errors import SettingError


@dataclass(frozen=True)
class OptimiserSettings:
    """Settings shared by all stages of base training."""

    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    warmup_steps: int = 200
    gradient_clip: float = 1.0
    ema_decay: float = 0.999
    decay_share: float = 0.3
    """Last part of a run in which the learning rate falls to zero; weights are worth shipping only after it."""
    orthogonalise: bool = False
    """Muon for hidden matrices, AdamW for the rest."""


def is_hidden(name: str, parameter: Tensor) -> bool:
    """True for the matrices and kernels between other layers, whose updates Muon may orthogonalise."""
    outer = ("token_embedding", "position_embedding", "conv_in", "conv_out")
    return parameter.ndim >= 2 and not any(part in name for part in outer)


class Trainer:
    """Trains a module whose working weights may be bfloat16 while float32 masters take the updates.

    Pure bfloat16 arithmetic is about twice as fast as float32 on CPUs that have it; without float32 masters small
    updates would be rounded away. The exponential average of the masters is what ships.
    """

    def __init__(self, module: nn.Module, settings: OptimiserSettings) -> None:
        self.module = module
        self.settings = settings
        self.step_count = 0
        named = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
        self._names = [name for name, _ in named]
        self._working: list[Tensor] = [parameter for _, parameter in named]
        self._masters = [
            parameter.detach().float().clone(memory_format=torch.contiguous_format) for parameter in self._working
        ]
        self._average = [master.clone() for master in self._masters]
        self._hidden = [settings.orthogonalise and is_hidden(*pair) for pair in named]
        # Muon takes matrices: kernels are shown to it flat, on the same memory.
        self._seen = [m.flatten(1) if hidden else m for m, hidden in zip(self._masters, self._hidden, strict=True)]
        self._optimisers = self._build_optimisers()

    def _build_optimisers(self) -> dict[bool, torch.optim.Optimizer]:
        """Who updates the hidden matrices (True) and who all else."""
        parts: dict[bool, list[Tensor]] = {False: [], True: []}
        for seen, hidden in zip(self._seen, self._hidden, strict=True):
            parts[hidden].append(seen)
        rate, betas, decay = self.settings.learning_rate, self.settings.betas, self.settings.weight_decay
        built: dict[bool, torch.optim.Optimizer] = {}
        if parts[False]:
            built[False] = torch.optim.AdamW(parts[False], lr=rate, betas=betas, weight_decay=decay, foreach=True)
        if parts[True]:
            built[True] = BatchedMuon(parts[True], lr=rate, weight_decay=decay)
        return built

    def step(self, loss: Tensor, *, progress: float = 0.0) -> Tensor:
        """Backward and one update, `progress` of the run done (0 to 1); returns the gradient's norm before clipping."""
        loss.backward()
        for seen, working in zip(self._seen, self._working, strict=True):
            seen.grad = None if working.grad is None else working.grad.float().reshape(seen.shape)
            working.grad = None
        # Nothing here waits for a GPU: it gets the next step's work while it does this one's.
        norm = nn.utils.clip_grad_norm_(self._seen, self.settings.gradient_clip)
        for optimiser in self._optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = self.learning_rate(progress)
            optimiser.step()
        self.step_count += 1
        with torch.no_grad():
            torch._foreach_copy_(self._working, self._masters)
            # A young average follows closely, so that it does not remember the random start.
            decay = min(self.settings.ema_decay, (1 + self.step_count) / (10 + self.step_count))
            torch._foreach_lerp_(self._average, self._masters, 1 - decay)
        return norm

    def learning_rate(self, progress: float) -> float:
        """Warm-up, a plateau, and a linear fall to zero over the last part of the run."""
        warmth = min(1.0, (self.step_count + 1) / self.settings.warmup_steps)
        left = min(1.0, max(0.0, 1 - progress) / max(self.settings.decay_share, 1e-6))
        return self.settings.learning_rate * warmth * left

    def average(self) -> dict[str, Tensor]:
        """The averaged weights, float32, by parameter name."""
        return dict(zip(self._names, self._average, strict=True))

    def save(self, path: Path) -> None:
        """Write masters, average and optimiser state in one replace, so that a kill leaves the old file whole."""
        state: dict[str, Tensor] = {"step": torch.tensor(self.step_count)}
        for index, name in enumerate(self._names):
            state[f"master.{name}"] = self._masters[index]
            state[f"average.{name}"] = self._average[index]
            for key, value in self._optimisers[self._hidden[index]].state.get(self._seen[index], {}).items():
                state[f"optimiser.{key}.{name}"] = value
        temporary = path.with_suffix(".partial")
        save_file({key: value.contiguous() for key, value in state.items()}, temporary)
        os.replace(temporary, path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint of `save`; raises SettingError for one of other weights."""
        state = load_file(path)
        if missing := [name for name in self._names if f"master.{name}" not in state]:
            raise SettingError(f"{path}: made by another version, without {missing[0]}; move it away to begin afresh")
        self.step_count = int(state["step"])
        moments: dict[str, dict[str, Tensor]] = {name: {} for name in self._names}
        for full, value in state.items():
            if full.startswith("optimiser."):
                _, key, name = full.split(".", 2)
                moments[name][key] = value
        with torch.no_grad():
            for index, name in enumerate(self._names):
                self._masters[index].copy_(state[f"master.{name}"])
                self._average[index].copy_(state[f"average.{name}"])
                self._working[index].copy_(self._masters[index])
                if moments[name]:
                    device = self._masters[index].device
                    own = {key: value if key == "step" else value.to(device) for key, value in moments[name].items()}
                    self._optimisers[self._hidden[index]].state[self._seen[index]] = own


@dataclass
class Clock:
    """Says when the minutes of a run are over and when the next log line or checkpoint is due."""

    minutes: float
    started: float = 0.0
    marks: dict[str, float] | None = None

    def __post_init__(self) -> None:
        self.started = time.monotonic()
        self.marks = {}

    def over(self) -> bool:
        """True when the run's time is used up."""
        return time.monotonic() - self.started > 60 * self.minutes

    def progress(self) -> float:
        """Share of the run's time that has passed, 0 to 1."""
        return min(1.0, (time.monotonic() - self.started) / max(60 * self.minutes, 1e-9))

    def due(self, what: str, seconds: float) -> bool:
        """True once every `seconds` for each `what`."""
        assert self.marks is not None
        now = time.monotonic()
        if now - self.marks.setdefault(what, self.started) < seconds:
            return False
        self.marks[what] = now
        return True


Number = TypeVar("Number", float, Tensor)


def running_mean(previous: Number | None, value: Number, weight: float = 0.02) -> Number:
    """Exponential mean for log lines; of tensors where a number would wait for a GPU."""
    return value if previous is None else (1 - weight) * previous + weight * value


def freeze(modules: Iterable[nn.Module]) -> None:
    """Switch off gradients and training behaviour."""
    for module in modules:
        module.requires_grad_(False)
        module.eval()
