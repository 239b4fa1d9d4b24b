"""Figures of a backtest: its errors over reach, and how often its intervals held."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from foretell.errors import ForetellError
from foretell.judge import Backtest
from foretell.report.colours import BLUE, GREY, ORANGE
from foretell.report.paper import paper_figure

LEVELS = tuple(np.round(np.arange(0.05, 1.0, 0.05), 2))


def draw_backtest(made: Backtest, path: str | Path, *, width: str = "column") -> Path:
    """Draw the error of each hidden row over reach, and of copying the largest run; shares in a panel of their own."""
    kinds = made.by_kind()
    with paper_figure(path, width, 2.2 * len(kinds)) as figure:
        panels = figure.subplots(len(kinds), 1, squeeze=False)[:, 0]
        for axes, (kind, part) in zip(panels, kinds.items(), strict=True):
            reach = [outcome.forecast.reach for outcome in part.outcomes]
            axes.axhline(0.0, color=GREY, lw=0.8)
            copied = [100 * outcome.largest_run_error for outcome in part.outcomes]
            axes.plot(reach, copied, "x", color=ORANGE, ms=3, alpha=0.6, label="largest run copied")
            axes.plot(
                reach, [100 * o.error for o in part.outcomes], "o", color=BLUE, ms=3, alpha=0.7, label=made.method
            )
            axes.set_ylabel("error (points)" if kind == "shares" else "error (%)")
            axes.legend()
        panels[-1].set_xlabel("decades of compute beyond the data")
    return Path(path)


def draw_coverage(made: Backtest, path: str | Path, *, width: str = "column") -> Path:
    """Draw the share of hidden rows inside each interval over its level, with the share's own 95 % interval.

    Raises ForetellError for forecasts without draws.
    """
    if not all(len(outcome.forecast.draws) for outcome in made.outcomes):
        raise ForetellError(f"{made.method} gives no intervals, so their coverage cannot be drawn")
    with paper_figure(path, width, 2.6) as figure:
        axes = figure.subplots()
        axes.plot([0, 100], [0, 100], color=GREY, lw=0.8, ls="--")
        for kind, part in made.by_kind().items():
            colour = BLUE if kind == "shares" else ORANGE
            found = np.array([part.coverage(float(level))[:3] for level in LEVELS]) * 100
            named = f"{'shares' if kind == 'shares' else 'losses'} (n = {len(part.outcomes)})"
            axes.fill_between(
                [100 * level for level in LEVELS], found[:, 1], found[:, 2], color=colour, alpha=0.18, lw=0
            )
            axes.plot([100 * level for level in LEVELS], found[:, 0], color=colour, label=named)
        axes.set_xlabel("level of the interval (%)")
        axes.set_ylabel("measurements inside (%)")
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 101)
        axes.legend(loc="upper left")
    return Path(path)
