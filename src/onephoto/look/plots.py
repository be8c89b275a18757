"""Plots from arrays, as PNG: narrow, so that their words can be read on a phone as well."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, DPI = 4.6, 220
"""Inches and pixels to the inch; a phone shows the whole width at about the size it is written in."""
PAPER, INK, FAINT, GRID = "#ffffff", "#24272d", "#8b919c", "#e7e8ec"
OURS, PEER, UNLEARNED = "#d4552a", "#4a6b8a", "#a9afba"
SERIES = ("#d4552a", "#4a6b8a", "#7b9e6b", "#a06a9c", "#b8933f")
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 9, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": GRID,
    "xtick.color": FAINT, "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False,
    "axes.spines.left": False, "axes.grid": True, "axes.grid.axis": "x", "grid.color": GRID, "axes.axisbelow": True,
    "xtick.major.size": 0, "ytick.major.size": 0, "figure.facecolor": PAPER, "axes.facecolor": PAPER,
    "axes.titlesize": 9, "axes.titleweight": "bold", "axes.titlelocation": "left",
}  # fmt: skip


@dataclass(frozen=True)
class Mark:
    """One value of a plot: its name, the value, its interval if any, and its role: "ours", "peer" or "unlearned"."""

    name: str
    value: float
    interval: tuple[float, float] | None = None
    role: str = "peer"

    @property
    def colour(self) -> str:
        """By role."""
        return {"ours": OURS, "peer": PEER, "unlearned": UNLEARNED}[self.role]


def ranking(marks: Sequence[Mark], *, label: str, limits: Mapping[str, float] | None = None) -> bytes:
    """Values with their intervals, the first on top; limits are named lines across."""
    with _figure(0.34 * len(marks) + 0.95) as (figure, axes):
        places = np.arange(len(marks))[::-1]
        for place, mark in zip(places, marks, strict=True):
            if mark.interval is not None:
                axes.plot(mark.interval, (place, place), color=mark.colour, lw=5, alpha=0.3, solid_capstyle="round")
            axes.plot(mark.value, place, "o", color=mark.colour, ms=7)
            axes.annotate(f"{mark.value:.3f}", (mark.value, place), (0, 6), textcoords="offset points", ha="center",
                          fontsize=7, color=mark.colour)  # fmt: skip
        _names(axes, places, marks)
        axes.set_ylim(-0.6, len(marks) - 0.2)
        for name, value in (limits or {}).items():
            axes.axvline(value, color=FAINT, lw=1, ls=(0, (3, 3)))
            axes.annotate(f"{name} {value:.2f}", (value, 1), (0, 3), xycoords=("data", "axes fraction"),
                          textcoords="offset points", ha="center", fontsize=7, color=FAINT)  # fmt: skip
        axes.set_xlim(left=min(0, axes.get_xlim()[0]))
        axes.set_xlabel(label)
        return _png(figure)


def scatter(marks: Sequence[tuple[Mark, Mark]], *, labels: tuple[str, str], better: str = "better") -> bytes:
    """Points of two values, each with its name beside it and both intervals as a faint cross."""
    with _figure(3.9) as (figure, axes):
        axes.grid(visible=True, axis="both")
        for across, up in marks:
            if across.interval is not None and up.interval is not None:
                axes.plot(across.interval, (up.value, up.value), color=across.colour, lw=1.2, alpha=0.35)
                axes.plot((across.value, across.value), up.interval, color=across.colour, lw=1.2, alpha=0.35)
            axes.plot(across.value, up.value, "o", color=across.colour, ms=7)
        axes.margins(0.22, 0.16)
        _place_names(axes, marks)
        axes.annotate(f"{better} \u2197", (1, 1), (-4, -4), xycoords="axes fraction", textcoords="offset points",
                      ha="right", va="top", fontsize=8, color=FAINT)  # fmt: skip
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        return _png(figure)


def bars(marks: Sequence[Mark], *, label: str, title: str = "", logarithmic: bool = False) -> bytes:
    """Horizontal bars, the first on top, each value written at its end; nan leaves a gap."""
    from matplotlib.ticker import NullLocator

    with _figure(0.25 * len(marks) + 0.8) as (figure, axes):
        places = np.arange(len(marks))[::-1]
        axes.barh(places, [mark.value for mark in marks], color=[mark.colour for mark in marks], height=0.68)
        _names(axes, places, marks)
        if logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_minor_locator(NullLocator())
        for place, mark in zip(places, marks, strict=True):
            if np.isfinite(mark.value):
                axes.annotate(_short(mark.value), (mark.value, place), (3, 0), textcoords="offset points",
                              va="center", fontsize=7, color=INK)  # fmt: skip
        axes.margins(x=0.14)
        axes.set_title(title)
        axes.set_xlabel(label)
        return _png(figure)


def sweep(steps: Sequence[str], series: Mapping[str, Sequence[Mark]], *, label: str, best: int | None = None) -> bytes:
    """Lines over steps that have names, with intervals as bands; best marks a step."""
    with _figure(3.3) as (figure, axes):
        axes.grid(visible=True, axis="y")
        axes.grid(visible=False, axis="x")
        places = np.arange(len(steps))
        if best is not None:
            axes.axvspan(best - 0.32, best + 0.32, color=OURS, alpha=0.08, lw=0)
        for (name, marks), colour in zip(series.items(), SERIES, strict=False):
            axes.plot(places, [mark.value for mark in marks], "o-", color=colour, lw=1.8, ms=4.5, label=name)
            bounds = [mark.interval or (np.nan, np.nan) for mark in marks]
            axes.fill_between(places, *np.array(bounds, float).T, color=colour, alpha=0.12, lw=0)
        tilted = max(len(step) for step in steps) * len(steps) > 44
        axes.set_xticks(places, steps, rotation=35 if tilted else 0, ha="right" if tilted else "center", color=INK)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(label)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(series), frameon=False, fontsize=8)
        return _png(figure)


@contextmanager
def _figure(height: float) -> "Iterator[tuple[Figure, Axes]]":
    """A figure in the package's style; the style of whoever calls is left alone."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure, figure.subplots()


def _png(figure: "Figure") -> bytes:
    stream = io.BytesIO()
    # Without a date or a version in it, equal plots are equal files.
    figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    return stream.getvalue()


def _names(axes: "Axes", places: Sequence[int] | np.ndarray, marks: Sequence[Mark]) -> None:
    axes.set_yticks(places, [mark.name for mark in marks])
    for tick, mark in zip(axes.get_yticklabels(), marks, strict=True):
        tick.set_color({"ours": OURS, "unlearned": FAINT}.get(mark.role, INK))
        tick.set_fontweight("bold" if mark.role == "ours" else "normal")


def _place_names(axes: "Axes", marks: Sequence[tuple[Mark, Mark]]) -> None:
    """Write each point's name beside it, where it touches neither another name nor another point."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    points = [((x.value - left) / (right - left), (y.value - low) / (high - low)) for x, y in marks]
    taken = [(x - 0.015, x + 0.015, y - 0.018, y + 0.018) for x, y in points]
    for (across, _), (x, y) in zip(marks, points, strict=True):
        wide = LETTER * len(across.name)
        boxes = [(x + dx * wide + side, y + dy) for dx, side, dy in BESIDE]
        spots = [(at, at + wide, up - 0.024, up + 0.024) for at, up in boxes]
        free = [spot for spot in spots if _inside(spot) and not any(_touch(spot, other) for other in taken)]
        spot = (free or spots)[0]
        taken.append(spot)
        axes.text(spot[0], (spot[2] + spot[3]) / 2, across.name, transform=axes.transAxes, fontsize=8, va="center",
                  color=across.colour)  # fmt: skip


Box = tuple[float, float, float, float]
LETTER = 0.0148
"""About how wide a letter of a point's name is, as a share of the plot's width."""
BESIDE = (
    (0, 0.025, 0), (-1, -0.025, 0), (-0.5, 0, 0.05), (-0.5, 0, -0.05), (0, 0.01, 0.05), (0, 0.01, -0.05),
    (-1, -0.01, 0.05), (-1, -0.01, -0.05), (-0.5, 0, 0.095), (-0.5, 0, -0.095),
)  # fmt: skip
"""Where a name may stand: how far left of its point in its own widths, and in the plot's, and how far up."""


def _inside(box: Box) -> bool:
    return box[0] >= 0 and box[1] <= 1.02 and box[2] >= 0 and box[3] <= 1


def _touch(first: Box, second: Box) -> bool:
    return first[0] < second[1] and second[0] < first[1] and first[2] < second[3] and second[2] < first[3]


def _short(value: float) -> str:
    """A number in three digits or so."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.3f}"
