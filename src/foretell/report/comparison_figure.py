"""A figure of methods compared: error and coverage of each on the same hidden rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foretell.errors import ForetellError
from foretell.report.canvas import blank_figure, write_figure
from foretell.report.colours import BLUE, GREY, ORANGE

if TYPE_CHECKING:
    from foretell.judge import Backtest

LEVEL = 0.8


def draw_comparison(made: Sequence[Backtest], path: str | Path) -> Path:
    """Draw mean |error| and the coverage of 80 % intervals, a row a method; shares and other metrics apart.

    Raises ForetellError when there is nothing to draw or the file cannot be written.
    """
    if not any(backtest.outcomes for backtest in made):
        raise ForetellError("there is no comparison to draw")
    kinds = [share for share in (True, False) if any(backtest.of_shares(share).outcomes for backtest in made)]
    figure = blank_figure(9, 0.9 + len(kinds) * (0.7 + 0.32 * len(made)))
    for row, share in zip(figure.subplots(len(kinds), 2, squeeze=False), kinds, strict=True):
        parts = [backtest.of_shares(share) for backtest in made if backtest.of_shares(share).outcomes]
        parts.sort(key=lambda part: -part.error())
        names = [part.method for part in parts]
        error, coverage = row
        error.barh(names, [100 * part.error() for part in parts], color=BLUE, height=0.6)
        error.set_xlabel("mean |error|, points" if share else "mean |relative error|, %")
        for i, part in enumerate(parts):
            inside, low, high, _ = part.coverage(LEVEL)
            coverage.plot([100 * low, 100 * high], [i, i], color=BLUE, lw=5, alpha=0.35, solid_capstyle="butt")
            coverage.plot(100 * inside, i, "o", color=ORANGE)
        coverage.axvline(100 * LEVEL, color=GREY, lw=1)
        coverage.set_yticks(range(len(parts)), ["" for _ in parts])
        coverage.set_xlim(0, 102)
        coverage.set_xlabel(f"{LEVEL:.0%} intervals cover, % (with its 95 % binomial interval)")
        for panel in row:
            panel.spines[["top", "right", "left"]].set_visible(False)
            panel.tick_params(axis="y", length=0)
    return write_figure(figure, path)
