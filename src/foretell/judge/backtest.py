"""A backtest: hide the larger runs, forecast them, and score what was said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.errors import MethodError
from foretell.forecast import Forecast, Method, Settings
from foretell.judge.hidden import forecast_split
from foretell.judge.score import binomial_interval, interval_score, pit_of
from foretell.judge.split import Split
from foretell.judge.widen import widened
from foretell.markup import small_table

LEVELS = (0.5, 0.8, 0.9)
REACHES = (0.0, 0.5, 1.0)  # decades of compute: where the bins of `by_reach` end
PIT_BINS = 10


@dataclass(frozen=True)
class Outcome:
    """Hold a forecast beside what was measured, and beside what trivial baselines would have said."""

    split: str
    forecast: Forecast
    measured: float
    largest_run: float
    chance: float | None

    @property
    def error(self) -> float:
        """Give (forecast − measured)/measured for losses and values, forecast − measured for shares."""
        return self._error(self.forecast.value)

    @property
    def largest_run_error(self) -> float:
        """Give the error of copying the largest run that was fitted."""
        return self._error(self.largest_run)

    @property
    def chance_error(self) -> float | None:
        """Give the error of saying chance, where there is such a thing."""
        if self.chance is None:
            return None
        return self._error(1.0 - self.chance if self.forecast.metric.unit == "error" else self.chance)

    def _error(self, value: float) -> float:
        return value - self.measured if self.forecast.metric.is_share else (value - self.measured) / self.measured

    def covered(self, level: float) -> bool:
        """Say whether the interval at a level holds what was measured."""
        low, high = self.forecast.interval(level)
        return low <= self.measured <= high

    @property
    def pit(self) -> float:
        """Give the share of the forecast's draws below what was measured."""
        return pit_of(self.forecast.draws, self.measured)


@dataclass(frozen=True)
class Backtest:
    """Hold the outcomes of hold-outs, and what could not be forecast."""

    method: str
    outcomes: tuple[Outcome, ...]
    failures: tuple[str, ...] = field(default=())

    def coverage(self, level: float) -> tuple[float, float, float, int]:
        """Give the share of outcomes inside the interval, its 95 % binomial interval, and their number."""
        inside = sum(outcome.covered(level) for outcome in self.outcomes)
        n = len(self.outcomes)
        low, high = binomial_interval(inside, n)
        return (inside / n if n else float("nan")), low, high, n

    def error(self, of: Callable[[Outcome], float | None] = lambda outcome: outcome.error) -> float:
        """Give the mean |error|; of the forecasts, or of a baseline."""
        errors = [abs(error) for outcome in self.outcomes if (error := of(outcome)) is not None]
        return float(np.mean(errors)) if errors else float("nan")

    def median_error(self) -> float:
        """Give the median |error| of the forecasts."""
        return float(np.median([abs(outcome.error) for outcome in self.outcomes])) if self.outcomes else float("nan")

    def interval_score(self, level: float) -> float:
        """Give the mean interval score (Gneiting 2007), relative to what was measured for losses; less is better."""
        scores = []
        for outcome in self.outcomes:
            size = 1.0 if outcome.forecast.metric.is_share else abs(outcome.measured)
            low, high = outcome.forecast.interval(level)
            scores.append(interval_score(low / size, high / size, outcome.measured / size, level))
        return float(np.mean(scores)) if scores else float("nan")

    def pit(self) -> NDArray[np.float64]:
        """Give the probability integral transform (n,) of every outcome: uniform on 0..1 where the draws are right.

        Raises MethodError for forecasts without draws.
        """
        if not all(len(outcome.forecast.draws) for outcome in self.outcomes):
            raise MethodError(f"{self.method} gives no draws, so there is no share of them below what was measured")
        return np.array([outcome.pit for outcome in self.outcomes])

    def by_reach(self) -> dict[str, Backtest]:
        """Part the outcomes by decades of compute beyond the data, where there are any: `≤ 0`, `0 to 0.5`, …, `> 1`."""
        labels = ["≤ 0", *(f"{low:g} to {high:g}" for low, high in pairwise(REACHES)), f"> {REACHES[-1]:g}"]
        parts: dict[str, list[Outcome]] = {label: [] for label in labels}
        for outcome in self.outcomes:
            parts[labels[int(np.searchsorted(REACHES, outcome.forecast.reach))]].append(outcome)
        return {label: Backtest(self.method, tuple(found), self.failures) for label, found in parts.items() if found}

    def of_metric(self, name: str) -> Backtest:
        """Keep the outcomes of one metric."""
        kept = tuple(outcome for outcome in self.outcomes if outcome.forecast.metric.name == name)
        return Backtest(self.method, kept, self.failures)

    def of_shares(self, share: bool) -> Backtest:
        """Keep the outcomes of shares, or of everything else: points and relative errors have no common mean."""
        kept = tuple(outcome for outcome in self.outcomes if outcome.forecast.metric.is_share == share)
        return Backtest(self.method, kept, self.failures)

    def by_kind(self) -> dict[str, Backtest]:
        """Part the outcomes into `shares` and `others` where there are any of each."""
        parts = {"shares": self.of_shares(True), "others": self.of_shares(False)}
        return {kind: part for kind, part in parts.items() if part.outcomes}

    @property
    def metrics(self) -> list[str]:
        """Name the metrics that were forecast."""
        return sorted({outcome.forecast.metric.name for outcome in self.outcomes})

    def to_json(self) -> dict[str, Any]:
        """Give the summary of each metric and every outcome as plain values."""
        return {
            "method": self.method,
            "metrics": {name: _summary(self.of_metric(name)) for name in self.metrics},
            **{
                kind: {**_summary(part), "by_reach": {reach: _summary(far) for reach, far in part.by_reach().items()}}
                for kind, part in self.by_kind().items()
            },
            "outcomes": [
                {"split": o.split, **o.forecast.to_json(0.8), "measured": o.measured, "error": o.error}
                for o in self.outcomes
            ],
            "failures": list(self.failures),
        }

    def _repr_html_(self) -> str:
        parts = {name: self.of_metric(name) for name in self.metrics}
        rows = [
            (
                name,
                str(len(part.outcomes)),
                f"{100 * part.error():.2f}",
                f"{part.coverage(0.8)[0]:.0%}" if all(len(o.forecast.draws) for o in part.outcomes) else "none",
            )
            for name, part in parts.items()
        ]
        head = ("metric", "n", "mean |error|, points or %", "80 % held")
        return small_table(f"backtest of {self.method}", head, rows, self.failures)


def _summary(backtest: Backtest) -> dict[str, Any]:
    coverage = {}
    intervals = all(len(outcome.forecast.draws) for outcome in backtest.outcomes)
    for level in LEVELS if intervals else ():
        share, low, high, _ = backtest.coverage(level)
        coverage[f"{level:g}"] = {"share": share, "low": low, "high": high}
    chance = backtest.error(lambda outcome: outcome.chance_error)
    return {
        "n": len(backtest.outcomes),
        "mean_abs_error": backtest.error(),
        "largest_run_error": backtest.error(lambda outcome: outcome.largest_run_error),
        "chance_error": None if np.isnan(chance) else chance,
        "interval_score_0.8": backtest.interval_score(0.8) if intervals else None,
        "coverage": coverage,
        "pit": np.histogram(backtest.pit(), PIT_BINS, (0.0, 1.0))[0].tolist() if intervals else None,
    }


def backtest(
    method: Method,
    splits: Sequence[Split],
    metrics: Sequence[str],
    settings: Settings,
    *,
    most_targets: int | None = 40,
    progress: Callable[[str], object] = lambda _: None,
) -> Backtest:
    """Forecast the test part of every split from its fit part, and set each forecast beside its measurement.

    At most `most_targets` rows a metric and split, spread evenly over compute. What a method cannot forecast is
    listed among the failures, never left out silently. Raises MethodError when nothing at all could be forecast.
    """
    outcomes: list[Outcome] = []
    failures: list[str] = []
    for split in splits:
        progress(split.name)
        hidden = forecast_split(method, split, metrics, settings, most_targets, failures)
        wide = widened(method, split.fit, [forecast for forecast, _ in hidden], settings)
        fitted = split.fit.training()
        largest = {name: fitted.metric(name).largest_value for name in {forecast.metric.name for forecast in wide}}
        outcomes += [
            Outcome(split.name, forecast, measured, largest[forecast.metric.name], forecast.metric.chance)
            for forecast, (_, measured) in zip(wide, hidden, strict=True)
        ]
    if not outcomes:
        raise MethodError(
            f"{method.name} forecast nothing: {failures[0] if failures else 'there was nothing to forecast'}"
        )
    return Backtest(method.name, tuple(outcomes), tuple(failures))
