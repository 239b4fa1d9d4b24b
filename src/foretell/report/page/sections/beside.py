"""Forecasts beside what was measured."""

from __future__ import annotations

from typing import Any

from foretell.forecast import Target
from foretell.report.page.chart import axis, rows
from foretell.report.page.contents import Contents
from foretell.report.page.html import Child, Html, joined, table, tag
from foretell.report.page.section import Section
from foretell.report.page.words import (
    axis_unit,
    error_of,
    error_words,
    interval_words,
    level_words,
    task_words,
    unit_words,
    value_words,
)  # fmt: skip


def beside(contents: Contents) -> Section | None:
    """Draw each target's intervals, with what was measured and what the largest small run scored, and tabulate them."""
    blocks = [block for target in contents.targets for block in _of_target(contents, target)]
    known = any(contents.measured(forecast) is not None for forecast in contents.forecasts)
    heading = "Forecasts beside measurements" if known else "Every forecast"
    return Section("forecasts", heading, joined(*blocks), "Forecasts")


def _of_target(contents: Contents, target: Target) -> list[Html]:
    forecasts = contents.of(target)
    blocks = [tag("h3", target.label)]
    for unit in dict.fromkeys(forecast.metric.unit for forecast in forecasts):
        of_unit = [forecast for forecast in forecasts if forecast.metric.unit == unit]
        metric = of_unit[0].metric
        marks: list[dict[str, Any]] = []
        for forecast in of_unit:
            mark: dict[str, Any] = {
                "name": task_words(forecast.metric),
                "metric": forecast.metric.name,
                "value": forecast.value,
                "largest": contents.largest_run(forecast.metric),
                "measured": contents.measured(forecast),
            }
            if len(forecast.draws):
                mark["outer"] = forecast.interval(contents.level)
                mark["inner"] = forecast.interval(0.5)
            marks.append(mark)
        label = f"{target.label}: forecast with its {level_words(contents.level)} and 50 % interval"
        blocks.append(rows(label, axis(unit_words(metric), unit=axis_unit(metric)), marks, level=contents.level))
    blocks.append(_table(contents, target))
    return blocks


def _table(contents: Contents, target: Target) -> Html:
    forecasts = contents.of(target)
    known = any(contents.measured(forecast) is not None for forecast in forecasts)
    head = ["metric", "forecast", f"{level_words(contents.level)} interval", "largest small run"]
    head += ["measured", "error"] if known else []
    lines: list[list[Child]] = []
    for forecast in forecasts:
        metric, measured = forecast.metric, contents.measured(forecast)
        line: list[Child] = [
            metric.name,
            value_words(metric, forecast.value),
            interval_words(forecast, contents.level),
            value_words(metric, contents.largest_run(metric)),
        ]
        if known:
            words = error_words(metric, error_of(metric, forecast.value, measured)) if measured is not None else ""
            line += [value_words(metric, measured) if measured is not None else "", words]
        lines.append(line)
    return table(f"Forecasts of {target.label}", head, lines, metrics=[f.metric.name for f in forecasts])
