"""A figure of a ranking: the errors of each validation loss, and where they come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from foretell.report.canvas import blank_figure, write_figure
from foretell.report.colours import BLUE, GREY, ORANGE
from foretell.units import format_count

if TYPE_CHECKING:
    from foretell.methods.ranking import Ranking

ROW, LEFT, RIGHT, TOP = 0.34, 5.2, 0.62, 1.9  # inches: a loss, the errors' panel, a task of the other, titles


def draw_ranking(ranking: Ranking, path: str | Path, *, level: float = 0.8) -> Path:
    """Draw a row for each loss: its errors end to end and of the link alone, and its error on each task.

    Writes PNG, SVG or PDF as the path's ending says. Raises ForetellError when the file cannot be written.
    """
    scores = ranking.scores
    tasks = list(ranking.tasks)
    figure = blank_figure(LEFT + RIGHT * len(tasks), ROW * len(scores) + TOP)
    errors, cells = figure.subplots(1, 2, sharey=True, width_ratios=[LEFT, max(1.0, RIGHT * len(tasks))])
    for i, score in enumerate(scores):
        row = len(scores) - 1 - i
        for of, shift, colour, mark in ((score.end, 0.14, BLUE, "o"), (score.link, -0.18, ORANGE, "D")):
            if len(of.draws):
                low, high = of.interval(level)
                errors.plot(
                    [100 * low, 100 * high], [row + shift] * 2, color=colour, lw=5, alpha=0.35, solid_capstyle="butt"
                )
            errors.plot(100 * of.value, row + shift, mark, color=colour, ms=5)
        if len(score.rank.draws):
            low, high = score.rank.interval(level)
            errors.annotate(
                f"rank {low:.0f}–{high:.0f}", (1.01, row), xycoords=("axes fraction", "data"), ha="left", va="center",
                fontsize=7, color=GREY,
            )  # fmt: skip
    errors.set_yticks(range(len(scores)), [score.loss.removesuffix("/loss") for score in reversed(scores)])
    errors.set_ylim(-0.6, len(scores) - 0.4)
    errors.set_xlim(left=0.0)
    errors.margins(x=0.15)
    errors.grid(axis="x", color="#dddddd", lw=0.6)
    errors.set_axisbelow(True)
    errors.spines[["top", "right", "left"]].set_visible(False)
    errors.tick_params(axis="y", length=0)
    errors.set_xlabel("mean |error| of accuracy, points")
    short, long = (", ".join(format_count(m) for m in side) for side in (ranking.horizons.short, ranking.horizons.long))
    errors.set_title(f"fitted on {short} tokens a parameter,\nscored on {long}", fontsize=9)
    grid = np.full((len(scores), len(tasks)), np.nan)
    for i, score in enumerate(scores):
        for cell in score.cells:
            grid[len(scores) - 1 - i, tasks.index(cell.task)] = 100 * cell.end[0]
    cells.imshow(grid, aspect="auto", cmap="Blues", vmin=0.0, origin="lower")
    if grid.size <= 400:
        for i, j in np.ndindex(*grid.shape):
            dark = grid[i, j] > 0.6 * np.nanmax(grid)
            cells.text(
                j, i, f"{grid[i, j]:.1f}", ha="center", va="center", fontsize=7, color="white" if dark else "black"
            )
    cells.set_xticks(
        range(len(tasks)), [name.removesuffix("/acc") for name in tasks], rotation=40, ha="right", fontsize=8
    )
    cells.tick_params(length=0)
    cells.spines[:].set_visible(False)
    cells.set_title("by task", fontsize=9)
    marks = [errors.plot([], [], "o", color=BLUE, label="at the loss extrapolated")[0]]
    marks += errors.plot([], [], "D", color=ORANGE, label="at the loss observed (link alone)")
    figure.legend(handles=marks, loc="outside lower center", ncols=2, frameon=False)
    return write_figure(figure, path)
