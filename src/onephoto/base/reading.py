"""What the training of both judges shares: settings, the loop with its log lines, and the network as it ships."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from onephoto.base.changes import Chance, Changes
from onephoto.base.training import Clock, OptimiserSettings, Trainer, running_mean

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class ReadingSettings(Changes):
    """How long a judge learns, and how."""

    minutes: float = 15.0
    optimiser: OptimiserSettings = field(
        default_factory=lambda: OptimiserSettings(
            learning_rate=2e-3, warmup_steps=50, ema_decay=0.99, orthogonalise=True
        )
    )
    seed: int = 0

    def chance(self, step: int, device: torch.device | str) -> Chance:
        """A step's random numbers, by the seed and the step alone: a resumed run goes on as if never stopped."""
        return Chance(self.seed * 1_000_003 + step, device)


@dataclass(frozen=True)
class ReadingProgress:
    """A log line of a judge's training; speed in pictures a second, `calibration` what was measured, in words."""

    step: int
    loss: float
    speed: float
    calibration: str = ""

    def __str__(self) -> str:
        line = f"step {self.step}: loss {self.loss:.3f}, {self.speed:.0f} pictures/s"
        return f"{line}; {self.calibration}" if self.calibration else line


def learn_to_read(
    trainer: Trainer, step: Callable[[float], Tensor], keep: Callable[[], str], *, minutes: float, pictures: int
) -> Iterator[ReadingProgress]:
    """Steps of `pictures` each for some minutes; `step` takes the share of the time that has passed, gives the loss.

    Yields a log line every 20 seconds; every 3 minutes and at the end one with what `keep` says after saving.
    """
    clock, first, began = Clock(minutes), trainer.step_count, time.monotonic()
    mean: Tensor | None = None

    def report() -> ReadingProgress:
        # Read for a log line only, since a device that is asked for a number is waited for.
        loss = 0.0 if mean is None else float(mean)
        speed = (trainer.step_count - first) * pictures / (time.monotonic() - began)
        return ReadingProgress(trainer.step_count, loss, speed)

    while not clock.over():
        loss = step(clock.progress())
        mean = running_mean(mean, loss)
        if clock.due("save", 180):
            yield replace(report(), calibration=keep())
        elif clock.due("log", 20):
            yield report()
    yield replace(report(), calibration=keep())


def as_shipped(network: Network, trainer: Trainer) -> Network:
    """A network with the averaged weights, rounded to fp16 as they ship, so that it is measured as it ships."""
    network.load_state_dict({name: value.cpu().half().float() for name, value in trainer.average().items()})
    return network.eval().requires_grad_(False)
