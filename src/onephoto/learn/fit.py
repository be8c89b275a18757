"""The learning loop, in one screen; it knows neither the method that it trains nor any file."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from math import inf, isfinite
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from onephoto.backbone.method import Batch, Method
from onephoto.errors import SettingError

DrawBatch = Callable[[int, torch.Generator], Batch]

LOSS_SCALES = {torch.float16: 2.0**16}
"""What a loss is multiplied by on its way back, by the model's number format; 1 for all others. LESS divides it."""
LESS = 4


@dataclass(frozen=True)
class State:
    """All that the rest of a run depends on after `step` steps: copies, so that a later step leaves them alone.

    early_stop: what an early stop has seen, kept by whoever looks. loss_scale: the learner's.
    """

    step: int
    method: dict[str, Tensor]
    optimizer: dict[str, Any]
    generator: Tensor
    early_stop: dict[str, float] = field(default_factory=dict)
    loss_scale: float | None = None


@dataclass(frozen=True)
class StepReport:
    """What one step did: its number from 1, the losses by name, the learning rate, and the state to go on from."""

    step: int
    losses: dict[str, float]
    learning_rate: float
    state: Callable[[], State]


@dataclass
class Learner:
    """One person in training: the method, its batches and its source of chance, its optimiser and each group's rate.

    The loss is multiplied by loss_scale on the way back, and gradients divided by it, since float16 rounds small ones
    to nothing; where they overflow it falls, for good, and the step is done again.
    """

    method: Method
    draw_batch: DrawBatch
    generator: torch.Generator
    optimizer: torch.optim.Optimizer
    rates: list[float]
    loss_scale: float = 1.0


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
    loss_scale: float = 1.0,
) -> Iterator[StepReport]:
    """Learn, a step at each `next`, until `steps` are done in all.

    draw_batch takes the step's number, from 0, and the generator, the only source of chance. A run started from a State
    repeats the uninterrupted one bit for bit. Whoever iterates saves, logs and stops; it may stop at any report.
    learning_rate is that of parameters which the method gives no rate of their own; `pace` scales all rates alike.
    Each step's passes run in a context of `within`; between steps the backbone is as it was; loss_scale is what the
    Learner begins with. Raises SettingError when the loss or a gradient is not finite, before the step can spoil the
    parameters.
    """
    learner = learner_of(
        method, draw_batch, generator, learning_rate=learning_rate, weight_decay=weight_decay, loss_scale=loss_scale
    )
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
        values = None
        while values is None:
            values = gradients(learners, partial(losses_of, batches), step, within)
        now = pace(step, steps, warmup=warmup, decay=decay)
        for learner in learners:
            set_learning_rates(learner.optimizer, [now * rate for rate in learner.rates])
            learner.optimizer.step()
            learner.method.stepped(step + 1, steps)
        yield [
            StepReport(step + 1, own, now * learning_rate, partial(capture, step + 1, learner))
            for own, learner in zip(values, learners, strict=True)
        ]


def gradients(
    learners: Sequence[Learner],
    losses_of: Callable[[], list[dict[str, Tensor]]],
    step: int,
    within: Callable[[], AbstractContextManager[None]],
) -> list[dict[str, float]] | None:
    """One pass there and back: the losses as numbers, everybody's gradients with their parameters; None where one
    overflowed, and its scale has been lowered.
    """
    for learner in learners:
        learner.optimizer.zero_grad()
    with within():
        losses = losses_of()
        values = [finite_values(own, step) for own in losses]
        scaled = [learner.loss_scale * own["loss"] for learner, own in zip(learners, losses, strict=True)]
        torch.stack(scaled).sum().backward()
    overflowed = [learner for learner in learners if not unscaled(learner, step)]
    return None if overflowed else values


def pace(step: int, steps: int, *, warmup: int, decay: float) -> float:
    """The rate's share at the step with this number from 0: rising evenly over `warmup` steps, held, and falling evenly
    over the last share `decay` of all steps, to zero behind the last.
    """
    warm = (step + 1) / (warmup + 1)
    left = (1 - step / steps) / decay if decay else 1.0
    return min(1.0, warm) * min(1.0, left)


def learner_of(
    method: Method, draw_batch: DrawBatch, generator: torch.Generator, *, learning_rate: float, weight_decay: float,
    loss_scale: float = 1.0,
) -> Learner:  # fmt: skip
    """A person at the beginning."""
    optimizer = torch.optim.AdamW(method.parameters(), lr=learning_rate, weight_decay=weight_decay)
    return Learner(
        method, draw_batch, generator, optimizer, [group["lr"] for group in optimizer.param_groups], loss_scale
    )


def set_learning_rates(optimizer: torch.optim.Optimizer, rates: Sequence[float]) -> None:
    """Gives each group of the optimiser its rate."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate


def finite_values(losses: dict[str, Tensor], step: int) -> dict[str, float]:
    """The losses as numbers; raises SettingError naming those that are not finite."""
    # One look at an accelerator's results, not one a loss: each waits until all is done.
    values = dict(zip(losses, torch.stack([loss.detach() for loss in losses.values()]).tolist(), strict=True))
    broken = [name for name, value in values.items() if not isfinite(value)]
    if broken:
        raise SettingError(
            f"step {step + 1}: {', '.join(broken)} is not finite; learn in float32, or lower the learning rate"
        )
    return values


def unscaled(learner: Learner, step: int) -> bool:
    """Divide gradients by the loss's scale; False, and a smaller scale, where they are not finite.

    Raises SettingError when no scale is left to lower: narrow formats overflow in gradients first.
    """
    groups = learner.optimizer.param_groups
    found = [parameter.grad for group in groups for parameter in group["params"] if parameter.grad is not None]
    if not bool(get_total_norm(found, norm_type=inf).isfinite()):
        if learner.loss_scale <= 1:
            raise SettingError(f"step {step + 1}: a gradient is not finite; learn in float32 or bfloat16")
        learner.loss_scale = max(1.0, learner.loss_scale / LESS)
        return False
    if learner.loss_scale != 1:
        torch._foreach_div_(found, learner.loss_scale)
    return True


def capture(step: int, learner: Learner) -> State:
    """A copy of everything as it stands after `step` steps."""
    kept = {name: tensor.detach().clone() for name, tensor in learner.method.state_dict().items()}
    return State(
        step, kept, deepcopy(learner.optimizer.state_dict()), learner.generator.get_state(),
        loss_scale=learner.loss_scale,
    )  # fmt: skip


def resume(start: State, learner: Learner) -> int:
    """Everything as it stood in a captured state; the number of steps done."""
    learner.method.load_state_dict(start.method)
    learner.optimizer.load_state_dict(start.optimizer)
    learner.generator.set_state(start.generator)
    learner.loss_scale = learner.loss_scale if start.loss_scale is None else start.loss_scale
    return start.step
