"""The learning loop, in one screen; it knows neither the method that it trains nor any file."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from onephoto.backbone.method import Batch, Method
from onephoto.errors import SettingError

DrawBatch = Callable[[int, torch.Generator], Batch]


@dataclass(frozen=True)
class State:
    """All that the rest of a run depends on after `step` steps: copies, so that a later step leaves them alone.

    early_stop: what an early stop has seen, kept by whoever looks.
    """

    step: int
    method: dict[str, Tensor]
    optimizer: dict[str, Any]
    generator: Tensor
    early_stop: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StepReport:
    """What one step did: its number from 1, the losses by name, the learning rate, and the state to go on from."""

    step: int
    losses: dict[str, float]
    learning_rate: float
    state: Callable[[], State]


@dataclass
class Learner:
    """One person in training: the method, its batches and its source of chance, its optimiser and each group's rate."""

    method: Method
    draw_batch: DrawBatch
    generator: torch.Generator
    optimizer: torch.optim.Optimizer
    rates: list[float]


def fit(
    method: Method,
    draw_batch: DrawBatch,
    *,
    steps: int,
    learning_rate: float,
    generator: torch.Generator,
    weight_decay: float = 0.0,
    warmup: int = 0,
    decay: float = 0.0,
    start: State | None = None,
    within: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[StepReport]:
    """Learn, a step at each `next`, until `steps` are done in all.

    draw_batch takes the step's number, from 0, and the generator, the only source of chance. A run started from a State
    repeats the uninterrupted one bit for bit. Whoever iterates saves, logs and stops; it may stop at any report.
    learning_rate is that of parameters which the method gives no rate of their own; `pace` scales all rates alike.
    Each step's passes run in a context of `within`; between steps the backbone is as it was. Raises SettingError when
    the loss or a gradient is not finite, before the step can spoil the parameters.
    """
    learner = learner_of(method, draw_batch, generator, learning_rate=learning_rate, weight_decay=weight_decay)
    done = 0 if start is None else resume(start, learner)
    reports = fit_together(
        [learner], lambda batches: [method.loss(batches[0])], steps=steps, learning_rate=learning_rate, warmup=warmup,
        decay=decay, done=done, within=within,
    )  # fmt: skip
    for (report,) in reports:
        yield report


def fit_together(
    learners: Sequence[Learner],
    losses_of: Callable[[list[Batch]], list[dict[str, Tensor]]],
    *,
    steps: int,
    learning_rate: float,
    warmup: int = 0,
    decay: float = 0.0,
    done: int = 0,
    within: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[list[StepReport]]:
    """The same for several people of `done` steps each, whose losses of a step come from one call; a report for each.

    Nobody has parameters of another, so the sum of all losses gives each the gradients of their own.
    """
    for step in range(done, steps):
        batches = [learner.draw_batch(step, learner.generator) for learner in learners]
        for learner in learners:
            learner.optimizer.zero_grad()
        with within():
            losses = losses_of(batches)
            values = [finite_values(own, step) for own in losses]
            torch.stack([own["loss"] for own in losses]).sum().backward()
        for learner in learners:
            refuse_broken_gradients(learner.optimizer, step)
        now = pace(step, steps, warmup=warmup, decay=decay)
        for learner in learners:
            set_learning_rates(learner.optimizer, [now * rate for rate in learner.rates])
            learner.optimizer.step()
            learner.method.stepped(step + 1, steps)
        yield [
            StepReport(step + 1, own, now * learning_rate, partial(capture, step + 1, learner))
            for own, learner in zip(values, learners, strict=True)
        ]


def pace(step: int, steps: int, *, warmup: int, decay: float) -> float:
    """The rate's share at the step with this number from 0: rising evenly over `warmup` steps, held, and falling evenly
    over the last share `decay` of all steps, to zero behind the last.
    """
    warm = (step + 1) / (warmup + 1)
    left = (1 - step / steps) / decay if decay else 1.0
    return min(1.0, warm) * min(1.0, left)


def learner_of(
    method: Method, draw_batch: DrawBatch, generator: torch.Generator, *, learning_rate: float, weight_decay: float
) -> Learner:
    """A person at the beginning."""
    optimizer = torch.optim.AdamW(method.parameters(), lr=learning_rate, weight_decay=weight_decay)
    return Learner(method, draw_batch, generator, optimizer, [group["lr"] for group in optimizer.param_groups])


def set_learning_rates(optimizer: torch.optim.Optimizer, rates: Sequence[float]) -> None:
    """Gives each group of the optimiser its rate."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate


def finite_values(losses: dict[str, Tensor], step: int) -> dict[str, float]:
    """The losses as numbers; raises SettingError naming those that are not finite."""
    values = {name: loss.item() for name, loss in losses.items()}
    broken = [name for name, value in values.items() if not isfinite(value)]
    if broken:
        raise SettingError(
            f"step {step + 1}: {', '.join(broken)} is not finite; learn in float32, or lower the learning rate"
        )
    return values


def refuse_broken_gradients(optimizer: torch.optim.Optimizer, step: int) -> None:
    """Raises SettingError when a gradient is not finite: narrow formats overflow there first."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not all(bool(gradient.isfinite().all()) for gradient in gradients):
        raise SettingError(f"step {step + 1}: a gradient is not finite; learn in float32 or bfloat16")


def capture(step: int, learner: Learner) -> State:
    """A copy of everything as it stands after `step` steps."""
    kept = {name: tensor.detach().clone() for name, tensor in learner.method.state_dict().items()}
    return State(step, kept, deepcopy(learner.optimizer.state_dict()), learner.generator.get_state())


def resume(start: State, learner: Learner) -> int:
    """Everything as it stood in a captured state; the number of steps done."""
    learner.method.load_state_dict(start.method)
    learner.optimizer.load_state_dict(start.optimizer)
    learner.generator.set_state(start.generator)
    return start.step
