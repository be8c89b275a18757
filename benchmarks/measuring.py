"""What the benchmarks of speed share: models by name, times taken in turns, memory, the machine's own rate, JSON."""

import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from full_size import Precision, Shape, full_size

from onephoto.backbone.load import Backbone, load_backbone
from onephoto.backbone.memory import keep_freed_memory

GIGA = 1e9


class Clock(StrEnum):
    """What seconds are: the wall's, or the process's CPU time, summed over its threads, which a busy machine needs."""

    WALL = "wall"
    CPU = "cpu"


Model = Annotated[str, typer.Option(help="mini, mini-xl, a folder, or a shape: sd15, sd21, sdxl.")]
Size = Annotated[int | None, typer.Option(help="Side in pixels; the model's own unless given.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Dtype = Annotated[Precision, typer.Option(help="Number format.")]
Threads = Annotated[int | None, typer.Option(help="Threads of the CPU; torch's own unless given.")]
ClockAsked = Annotated[Clock | None, typer.Option("--clock", help="cpu, also where unset on a CPU, or wall.")]
Json = Annotated[Path | None, typer.Option(help="Write the result here too.")]
"""Options of every benchmark of speed."""


@dataclass(frozen=True)
class Timing:
    """Medians over rounds: seconds a call by either clock; and the most memory held in any call, None if unknown."""

    wall: float
    cpu: float
    peak: float | None

    def seconds(self, clock: Clock) -> float:
        """Seconds by that clock."""
        return self.cpu if clock is Clock.CPU else self.wall


def model_named(name: str, *, device: str, dtype: torch.dtype) -> Backbone:
    """One of the shapes of `full_size.py` with random weights, or what `load_backbone` takes; on a CPU freed memory is
    kept, as the command line does.
    """
    if device == "cpu":
        keep_freed_memory()
    if name not in list(Shape):
        return load_backbone(name, device=device, dtype=dtype, offline=True)
    return full_size(Shape(name), dtype, device)


def clock_of(clock: Clock | None, device: str) -> Clock:
    """CPU time unless asked otherwise, and the wall's on an accelerator."""
    return clock or (Clock.CPU if device == "cpu" else Clock.WALL)


def synchronise(device: str) -> None:
    """Wait for what an accelerator has yet to do."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def in_turns(works: Mapping[str, Callable[[], Any]], *, rounds: int, device: str, warmup: int = 1) -> dict[str, Timing]:
    """Every work once a round, `rounds` times after `warmup` rounds that do not count."""
    walls: dict[str, list[float]] = {name: [] for name in works}
    cpus: dict[str, list[float]] = {name: [] for name in works}
    peaks: dict[str, list[float]] = {name: [] for name in works}
    for number in range(warmup + rounds):
        for name, work in works.items():
            reset_peak(device)
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            synchronise(device)
            if number < warmup:
                continue
            walls[name].append(time.perf_counter() - wall)
            cpus[name].append(time.process_time() - cpu)
            peaks[name] += [peak] if (peak := peak_bytes(device)) is not None else []
    return {
        name: Timing(statistics.median(walls[name]), statistics.median(cpus[name]), max(peaks[name], default=None))
        for name in works
    }


def reset_peak(device: str) -> None:
    """Forget how much memory was held so far; on a CPU Linux alone can."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_bytes(device: str) -> float | None:
    """The most memory held since: on the accelerator, or of the process with all that it has loaded."""
    if device.startswith("cuda"):
        return float(torch.cuda.max_memory_allocated())
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), None)


def matrix_rate(side: int, *, device: str, dtype: torch.dtype, clock: Clock) -> float:
    """FLOP a second of the product of two square matrices, the median of five."""
    left, right = (torch.randn(side, side).to(device, dtype) for _ in range(2))
    timing = in_turns({"product": lambda: left @ right}, rounds=5, device=device)["product"]
    return 2 * side**3 / timing.seconds(clock)


def machine(device: str) -> dict[str, Any]:
    """What the numbers were measured on."""
    if device.startswith("cuda"):
        name = torch.cuda.get_device_name()
    else:
        name = next((line.split(":")[1].strip() for line in _cpu_facts() if line.startswith("model name")), "")
    return {
        "device": name or platform.processor(), "threads": torch.get_num_threads(), "torch": torch.__version__,
        "python": platform.python_version(),
    }  # fmt: skip


def _cpu_facts() -> list[str]:
    facts = Path("/proc/cpuinfo")
    return facts.read_text().splitlines() if facts.exists() else []


def gigabytes(peak: float | None) -> str:
    """Memory in a table."""
    return "?" if peak is None else f"{peak / GIGA:.2f}"


def write_json(path: Path | None, result: Mapping[str, Any]) -> None:
    """The whole result as JSON, where it is asked for."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=2) + "\n")
