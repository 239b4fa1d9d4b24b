"""What a report is made from: a study, forecasts, the fits behind them, a backtest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from foretell.forecast import Forecast, Settings, Target
from foretell.judge import Backtest
from foretell.report.page.chain import Chain
from foretell.table import Metric, Observations


@dataclass(frozen=True)
class Contents:
    """Hold all that the sections of a report show.

    `title` is the study's name, `chains` the fits, and `exact` says whether they are what the forecasts came from.
    `command` is the line that makes this report, `made` the time in UTC, `digest` that of the observations.
    """

    title: str
    observations: Observations
    forecasts: tuple[Forecast, ...]
    level: float
    settings: Settings
    source: str
    chains: tuple[Chain, ...] = ()
    exact: bool = True
    backtest: Backtest | None = None
    failures: tuple[str, ...] = ()
    command: str = ""
    made: str = ""
    version: str = ""
    digest: str = ""

    @property
    def targets(self) -> list[Target]:
        """List the targets in the order of the forecasts."""
        seen: dict[str, Target] = {}
        for forecast in self.forecasts:
            seen.setdefault(forecast.target.label, forecast.target)
        return list(seen.values())

    @property
    def metrics(self) -> list[Metric]:
        """List the metrics in the order of the forecasts."""
        seen: dict[str, Metric] = {}
        for forecast in self.forecasts:
            seen.setdefault(forecast.metric.name, forecast.metric)
        return list(seen.values())

    def of(self, target: Target) -> list[Forecast]:
        """List the forecasts of a target."""
        return [forecast for forecast in self.forecasts if forecast.target.label == target.label]

    @cached_property
    def _measured(self) -> dict[tuple[str, str], float]:
        held = self.observations.held_out()
        if not len(held.runs):
            return {}
        found = {}
        for metric in self.metrics:
            points = held.metric(metric.name)
            found.update({(str(run), metric.name): float(v) for run, v in zip(points.run, points.value, strict=True)})
        return found

    def measured(self, forecast: Forecast) -> float | None:
        """Give what was measured on the held-out run that a forecast is of, where it was."""
        return self._measured.get((forecast.target.name, forecast.metric.name))

    @cached_property
    def _largest(self) -> dict[str, float]:
        training = self.observations.training()
        return {metric.name: training.metric(metric.name).largest_value for metric in self.metrics}

    def largest_run(self, metric: Metric) -> float:
        """Give what the training run of most compute scored."""
        return self._largest[metric.name]
