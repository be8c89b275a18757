"""One optimiser step in bfloat16 with float32 masters, an average of the weights, and checkpoints that resume."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


@dataclass(frozen=True)
class OptimiserSettings:
    """Settings shared by all stages of base training."""

    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    warmup_steps: int = 200
    gradient_clip: float = 1.0
    ema_decay: float = 0.999


class Trainer:
    """Trains a module whose working weights may be bfloat16 while float32 masters take the updates.

    Pure bfloat16 arithmetic is about twice as fast as float32 on CPUs that have it; without float32 masters small
    updates would be rounded away. The exponential average of the masters is what ships.
    """

    def __init__(self, module: nn.Module, settings: OptimiserSettings) -> None:
        self.module = module
        self.settings = settings
        self.step_count = 0
        self._working: list[Tensor] = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self._names = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
        self._masters = [parameter.detach().float().clone() for parameter in self._working]
        self._average = [master.clone() for master in self._masters]
        self._optimiser = torch.optim.AdamW(
            self._masters,
            lr=settings.learning_rate,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            foreach=True,
        )

    def step(self, loss: Tensor) -> float:
        """Backward and one update; returns the gradient's norm before clipping."""
        loss.backward()
        for master, working in zip(self._masters, self._working, strict=True):
            master.grad = None if working.grad is None else working.grad.float()
            working.grad = None
        norm = float(nn.utils.clip_grad_norm_(self._masters, self.settings.gradient_clip))
        for group in self._optimiser.param_groups:
            group["lr"] = self._learning_rate()
        self._optimiser.step()
        self.step_count += 1
        with torch.no_grad():
            torch._foreach_copy_(self._working, self._masters)
            # A young average follows closely, so that it does not remember the random start.
            decay = min(self.settings.ema_decay, (1 + self.step_count) / (10 + self.step_count))
            torch._foreach_lerp_(self._average, self._masters, 1 - decay)
        return norm

    def _learning_rate(self) -> float:
        return self.settings.learning_rate * min(1.0, (self.step_count + 1) / self.settings.warmup_steps)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Change the learning rate from the next step on."""
        self.settings = OptimiserSettings(**{**vars(self.settings), "learning_rate": learning_rate})

    def average(self) -> dict[str, Tensor]:
        """The averaged weights, float32, by parameter name."""
        return dict(zip(self._names, self._average, strict=True))

    def save(self, path: Path) -> None:
        """Write masters, average and optimiser state in one replace, so that a kill leaves the old file whole."""
        state: dict[str, Tensor] = {"step": torch.tensor(self.step_count)}
        for name, master, average in zip(self._names, self._masters, self._average, strict=True):
            state[f"master.{name}"] = master
            state[f"average.{name}"] = average
            for key, value in self._optimiser.state.get(master, {}).items():
                state[f"optimiser.{key}.{name}"] = value
        temporary = path.with_suffix(".partial")
        save_file({key: value.contiguous() for key, value in state.items()}, temporary)
        os.replace(temporary, path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint of `save`."""
        state = load_file(path)
        self.step_count = int(state["step"])
        with torch.no_grad():
            for index, name in enumerate(self._names):
                self._masters[index].copy_(state[f"master.{name}"])
                self._average[index].copy_(state[f"average.{name}"])
                self._working[index].copy_(self._masters[index])
                moments = {
                    key: state[f"optimiser.{key}.{name}"]
                    for key in ("step", "exp_avg", "exp_avg_sq")
                    if f"optimiser.{key}.{name}" in state
                }
                if moments:
                    self._optimiser.state[self._masters[index]] = moments


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

    def due(self, what: str, seconds: float) -> bool:
        """True once every `seconds` for each `what`."""
        assert self.marks is not None
        now = time.monotonic()
        if now - self.marks.setdefault(what, self.started) < seconds:
            return False
        self.marks[what] = now
        return True


def running_mean(previous: float | None, value: float, weight: float = 0.02) -> float:
    """Exponential mean for log lines."""
    return value if previous is None else (1 - weight) * previous + weight * value


def freeze(modules: Iterable[nn.Module]) -> None:
    """Switch off gradients and training behaviour."""
    for module in modules:
        module.requires_grad_(False)
        module.eval()
