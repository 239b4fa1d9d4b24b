"""A figure of forecasts: each interval beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foretell.errors import ForetellError
from foretell.report.canvas import blank_figure, write_figure
from foretell.report.colours import BLUE, GREY, ORANGE
from foretell.units import format_count

if TYPE_CHECKING:
    from foretell.forecast import Forecast

ROW, WIDTH, PANEL = 0.32, 4.2, 0.9  # inches


def draw_forecasts(
    forecasts: Sequence[Forecast],
    path: str | Path,
    *,
    measured: Sequence[float] | None = None,
    largest_run: Sequence[float] | None = None,
    level: float = 0.8,
) -> Path:
    """Draw a panel for each target, a row for each metric; write PNG, SVG or PDF as the path's ending says.

    `measured` and `largest_run` give for each forecast what was observed, and what the largest small run scored.
    Shares are drawn in points. Raises ForetellError when there is nothing to draw or the file cannot be written.
    """
    if not forecasts:
        raise ForetellError("there is no forecast to draw")
    labels = list(dict.fromkeys(forecast.target.label for forecast in forecasts))
    metrics = list(dict.fromkeys(forecast.metric.name for forecast in forecasts))
    figure = blank_figure(WIDTH * len(labels) + PANEL, ROW * len(metrics) + 1.5)
    panels = figure.subplots(1, len(labels), sharey=True, sharex=True, squeeze=False)[0]
    for panel, label in zip(panels, labels, strict=True):
        for i, forecast in enumerate(forecasts):
            if forecast.target.label != label:
                continue
            row = len(metrics) - 1 - metrics.index(forecast.metric.name)
            unit = 100.0 if forecast.metric.is_share else 1.0
            if len(forecast.draws):
                low, high = forecast.interval(level)
                panel.plot([unit * low, unit * high], [row, row], color=BLUE, lw=6, alpha=0.35, solid_capstyle="butt")
            panel.plot(unit * forecast.value, row, "o", color=BLUE, ms=6)
            if largest_run is not None:
                panel.plot(unit * largest_run[i], row, "|", color=GREY, ms=11, mew=2)
            if measured is not None:
                panel.plot(unit * measured[i], row, "D", color=ORANGE, ms=5.5)
        target = next(forecast for forecast in forecasts if forecast.target.label == label)
        counts = f"{format_count(target.target.N)} parameters, {format_count(target.target.D)} tokens"
        panel.set_title(
            f"{target.target.name or 'forecast'}: {counts}\n{target.reach:.1f} decades beyond the data", fontsize=10
        )
        panel.set_yticks(range(len(metrics)), [name.removesuffix("/acc") for name in reversed(metrics)])
        panel.set_ylim(-0.6, len(metrics) - 0.4)
        panel.grid(axis="x", color="#dddddd", lw=0.6)
        panel.set_axisbelow(True)
        panel.spines[["top", "right", "left"]].set_visible(False)
        panel.tick_params(axis="y", length=0)
        panel.set_xlabel("accuracy, points" if target.metric.is_share else target.metric.unit)
    marks = [panels[0].plot([], [], "o", color=BLUE, label=f"forecast, {level:.0%} interval")[0]]
    if measured is not None:
        marks += panels[0].plot([], [], "D", color=ORANGE, label="measured")
    if largest_run is not None:
        marks += panels[0].plot([], [], "|", color=GREY, ms=11, mew=2, label="largest small run")
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), frameon=False)
    return write_figure(figure, path)
