import signal
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from onephoto.backbone.method import Batch
from onephoto.core.tokens import TokenTable
from onephoto.errors import SettingError
from onephoto.learn import checkpoint, log
from onephoto.learn.fit import State, StepReport, fit, pace
from onephoto.learn.stop import stop_on_interrupt


class Regression:
    """The smallest method: one vector that learns the mean latent."""

    name = "regression"

    def __init__(self, bad_step: int | None = None):
        self.module = nn.Linear(4, 1, bias=False)
        nn.init.zeros_(self.module.weight)
        self.bad_step, self.calls = bad_step, 0
        self.told: list[tuple[int, int]] = []

    def parameters(self) -> list[nn.Parameter]:
        return list(self.module.parameters())

    def table(self) -> TokenTable:
        only = torch.zeros(1, 1, dtype=torch.long)
        return TokenTable({"text_encoder": self.module.weight[None]}, only, only)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        self.calls += 1
        fault = float("nan") if self.calls == self.bad_step else 1.0
        error = (self.module.weight - batch.latents - 0.1 * batch.noise).square().mean()
        return {"loss": fault * error, "error": error}

    def stepped(self, step: int, steps: int) -> None:
        self.told.append((step, steps))

    def patched(self) -> AbstractContextManager[None]:
        return nullcontext()

    def state_dict(self) -> dict[str, Tensor]:
        return self.module.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.module.load_state_dict(state)

    def tensors(self) -> dict[str, Tensor]:
        return {"tokens.text_encoder": self.module.weight.detach().clone()}


def draw_batch(step: int, generator: torch.Generator) -> Batch:
    latents = torch.full((2, 4), float(step % 3))
    return Batch(latents, torch.randn(2, 4, generator=generator), torch.zeros(2, dtype=torch.long), step)


def stepping(
    method: Regression, steps: int, start: State | None = None, seed: int = 0, loss_scale: float = 1.0
) -> Iterator[StepReport]:
    generator = torch.Generator().manual_seed(seed)
    options = {"learning_rate": 0.05, "weight_decay": 0.01, "warmup": 3, "loss_scale": loss_scale}
    return fit(method, draw_batch, steps=steps, generator=generator, start=start, **options)


def run(method: Regression, steps: int, start: State | None = None, seed: int = 0) -> list[StepReport]:
    return list(stepping(method, steps, start, seed))


def test_a_run_resumed_from_a_file_repeats_the_uninterrupted_one_bit_for_bit(tmp_path: Path) -> None:
    whole, first, second = Regression(), Regression(), Regression()
    all_reports = run(whole, 12)
    path = tmp_path / "alice.checkpoint"
    checkpoint.save(path, run(first, 5)[-1].state(), {"name": "alice"})
    state, facts = checkpoint.load(path)
    rest = run(second, 12, start=state, seed=99)
    assert facts == {"name": "alice"} and state.step == 5
    assert torch.equal(whole.module.weight, second.module.weight)
    expected = [(report.step, report.losses, report.learning_rate) for report in all_reports[5:]]
    assert [(report.step, report.losses, report.learning_rate) for report in rest] == expected
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_state_is_a_copy() -> None:
    method = Regression()
    reports = fit(method, draw_batch, steps=3, learning_rate=0.1, generator=torch.Generator())
    state = next(reports).state()
    kept = state.method["weight"].clone()
    list(reports)
    assert torch.equal(state.method["weight"], kept)
    assert not torch.equal(method.module.weight, kept)


def test_warm_up_is_linear_and_then_constant() -> None:
    rates = [report.learning_rate for report in run(Regression(), 6)]
    assert rates == pytest.approx([0.0125, 0.025, 0.0375, 0.05, 0.05, 0.05])


def test_the_rate_falls_over_the_last_share_of_the_steps() -> None:
    assert [pace(step, 10, warmup=0, decay=0.5) for step in range(10)] == pytest.approx([1] * 6 + [0.8, 0.6, 0.4, 0.2])
    assert [pace(step, 4, warmup=1, decay=1.0) for step in range(4)] == pytest.approx([0.5, 0.75, 0.5, 0.25])
    assert [pace(step, 3, warmup=0, decay=0.0) for step in range(3)] == [1, 1, 1]


class Grouped(Regression):
    """Two parameters; one has a rate of its own, and rests in every other step."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Parameter(torch.zeros(()))

    def parameters(self) -> list[dict[str, object]]:
        return [{"params": super().parameters()}, {"params": [self.other], "lr": 0.5}]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        losses = super().loss(batch)
        return losses if batch.step % 2 else losses | {"loss": losses["loss"] + (self.other - 9).square()}

    def state_dict(self) -> dict[str, Tensor]:
        return super().state_dict() | {"other": self.other}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        super().load_state_dict({"weight": state["weight"]})
        self.other.data.copy_(state["other"])


def test_groups_keep_their_rates_through_warm_up_and_what_has_no_gradient_rests(tmp_path: Path) -> None:
    whole, half, rest = Grouped(), Grouped(), Grouped()
    others = [report.state().method["other"].item() for report in stepping(whole, 6)]
    assert others[0] == pytest.approx(0.5 / 4) and others[1] == others[0] < others[2] == others[3]
    plain = Regression()
    run(plain, 6)
    assert torch.equal(plain.module.weight, whole.module.weight)
    checkpoint.save(tmp_path / "half", run(half, 3)[-1].state(), {})
    run(rest, 6, start=checkpoint.load(tmp_path / "half")[0])
    assert torch.equal(rest.other, whole.other) and torch.equal(rest.module.weight, whole.module.weight)


def test_the_method_is_told_of_every_update() -> None:
    method = Regression()
    list(stepping(method, 3))
    assert method.told == [(1, 3), (2, 3), (3, 3)]


def test_learning_lowers_the_loss() -> None:
    losses = [report.losses["loss"] for report in run(Regression(), 120)]
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])


def test_a_loss_that_is_not_finite_stops_before_the_step() -> None:
    method = Regression(bad_step=3)
    reports = fit(method, draw_batch, steps=5, learning_rate=0.1, generator=torch.Generator())
    next(reports), next(reports)
    kept = method.module.weight.detach().clone()
    with pytest.raises(SettingError, match="step 3: loss is not finite"):
        next(reports)
    assert torch.equal(method.module.weight, kept)


def test_a_gradient_that_is_not_finite_stops_before_the_step() -> None:
    method = Regression()
    method.module.weight.register_hook(lambda gradient: gradient * float("inf"))
    kept = method.module.weight.detach().clone()
    with pytest.raises(SettingError, match="step 1: a gradient is not finite"):
        next(fit(method, draw_batch, steps=5, learning_rate=0.1, generator=torch.Generator()))
    assert torch.equal(method.module.weight, kept)


def test_a_loss_is_scaled_on_the_way_back_alone() -> None:
    plain, scaled = Regression(), Regression()
    losses = [
        [report.losses for report in stepping(method, 5, loss_scale=scale)]
        for method, scale in ((plain, 1.0), (scaled, 2.0**16))
    ]
    assert losses[0] == losses[1] and torch.equal(plain.module.weight, scaled.module.weight)


def test_a_scale_under_which_gradients_overflow_is_lowered_and_the_step_done_again() -> None:
    plain, scaled = Regression(), Regression()
    seen: list[float] = []

    def narrow(gradient: torch.Tensor) -> torch.Tensor:
        seen.append(float(gradient.abs().max()))
        return torch.where(gradient.abs() > 100, float("inf"), gradient)

    scaled.module.weight.register_hook(narrow)
    whole, reports = list(stepping(plain, 4)), list(stepping(scaled, 4, loss_scale=2.0**40))
    assert [report.losses for report in whole] == [report.losses for report in reports]
    assert torch.equal(plain.module.weight, scaled.module.weight)
    state = reports[-1].state()
    assert len(seen) > 4 and 1 < state.loss_scale < 2.0**40
    assert checkpoint.restored(*checkpoint.flattened(state)).loss_scale == state.loss_scale
    again = list(stepping(Regression(), 5, replace(state, loss_scale=None), loss_scale=8.0))
    assert again[-1].state().loss_scale == 8


@pytest.mark.parametrize("content", [None, b"not a checkpoint"])
def test_no_checkpoint_is_said_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "alice.checkpoint"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingError, match=r"alice\.checkpoint"):
        checkpoint.load(path)


def test_a_foreign_safetensors_file_is_no_checkpoint(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(SettingError, match="not a checkpoint"):
        checkpoint.load(tmp_path / "a.safetensors")


def test_the_log_survives_a_cut_last_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log.append(path, {"step": 1, "loss": 0.5})
    log.append(path, {"step": 2, "loss": 0.25})
    path.write_text(path.read_text() + '{"step": 3, "lo')
    assert log.read(path) == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]


def test_the_first_interrupt_asks_and_the_second_interrupts() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_on_interrupt() as asked:
        assert not asked()
        signal.raise_signal(signal.SIGINT)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
