"""Figures of a ladder and of what its law leaves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from foretell.fitting import Fit
from foretell.forecast import Target
from foretell.report.colours import BLUE, GREY, ORANGE
from foretell.report.paper import paper_figure
from foretell.units import format_count

MARKERS = "osD^vP*X"
MOST_SIZES = len(MARKERS)
CURVE_INPUTS = frozenset({"N", "D", "M", "C"})
LINE = 60


def draw_ladder(made: Fit, targets: Sequence[Target], path: str | Path, *, width: str = "column") -> Path:
    """Draw a loss over D: a marker and line for each N of the runs, and the law at the targets' N."""
    points = made.points
    N, D = points.input("N"), points.input("D")
    group = np.round(np.log(N), 2)
    sizes = np.unique(group)
    shown = sizes[np.round(np.linspace(0, len(sizes) - 1, min(len(sizes), MOST_SIZES))).astype(np.intp)]
    curves = set(made.law.variables) <= CURVE_INPUTS
    with paper_figure(path, width, 2.5) as figure:
        axes = figure.subplots()
        for i, size in enumerate(shown):
            rows = group == size
            mean = float(np.median(N[rows]))
            colour = _shade(i, len(shown))
            axes.plot(D[rows], points.value[rows], MARKERS[i], color=colour, ms=3.5, label=format_count(mean))
            if curves:
                _curve(axes, made, mean, D.min(), D.max(), color=colour, lw=0.8)
        for target in targets[:3] if curves else ():
            _curve(axes, made, target.N, D.min(), target.D, color=ORANGE, ls="--")
            there = {name: np.array([v]) for name, v in _inputs(target.N, target.D).items()}
            axes.plot(target.D, made.predict(there), "D", color=ORANGE, ms=4, label=target.label)
        axes.set_xscale("log")
        axes.set_xlabel("training tokens D")
        axes.set_ylabel(f"{points.metric.name} ({points.metric.unit})")
        axes.legend(title="N", title_fontsize=7, ncols=2, handletextpad=0.2, columnspacing=0.8)
    return Path(path)


def draw_residuals(made: Fit, path: str | Path, *, width: str = "column") -> Path:
    """Draw what a fitted law leaves over compute, in per cent where its logarithm was fitted."""
    measured = ~made.points.known
    log = made.objective.space == "log"
    with paper_figure(path, width, 2.2) as figure:
        axes = figure.subplots()
        axes.axhline(0.0, color=GREY, lw=0.8)
        axes.plot(
            made.points.input("C")[measured], (100 if log else 1) * made.residuals[measured], "o", color=BLUE, ms=3.5
        )
        axes.set_xscale("log")
        axes.set_xlabel("training FLOP C")
        axes.set_ylabel(f"{made.points.metric.name}: measured − fitted" + (" (%)" if log else ""))
    return Path(path)


def _curve(axes: object, made: Fit, N: float, first: float, last: float, **style: object) -> None:
    at = np.geomspace(first, last, LINE)
    row = {name: np.broadcast_to(np.asarray(value, dtype=np.float64), LINE) for name, value in _inputs(N, at).items()}
    axes.plot(at, made.predict(row), **style)  # type: ignore[attr-defined]  # an Axes, whose import is slow


def _inputs(N: float, D: float | np.ndarray[tuple[int], np.dtype[np.float64]]) -> dict[str, object]:
    return {"N": N, "D": D, "M": D / N, "C": 6.0 * N * D}


def _shade(i: int, n: int) -> tuple[float, float, float]:
    """Shade BLUE from light to full, so that order is seen without colour as well."""
    share = 0.35 + 0.65 * (i + 1) / n
    red, green, blue = (int(BLUE[k : k + 2], 16) / 255 for k in (1, 3, 5))
    return 1 - share * (1 - red), 1 - share * (1 - green), 1 - share * (1 - blue)
