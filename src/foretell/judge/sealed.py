"""How sealed forecasts turned out: each beside what was measured in the end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.errors import SourceError, UnknownName
from foretell.forecast import Forecast, Target
from foretell.forecast.seal import SEALED_LEVELS, Seal
from foretell.judge.score import interval_score
from foretell.markup import small_table
from foretell.sources.results import Result
from foretell.table import Metric, Observations
from foretell.units import format_count

Array = NDArray[np.float64]

NEAR = 0.1  # of N and D: a 7B model may have 6.89B parameters, and a run may end a little early


@dataclass(frozen=True)
class Verdict:
    """Hold a sealed forecast beside what was measured."""

    forecast: Forecast
    measured: float

    @property
    def error(self) -> float:
        """Give forecast − measured, in the metric's unit."""
        return self.forecast.value - self.measured

    @property
    def relative_error(self) -> float:
        """Give (forecast − measured)/measured; nan where 0 was measured."""
        return self.error / self.measured if self.measured else math.nan

    def inside(self, level: float) -> bool:
        """Say whether the interval at a level holds what was measured."""
        low, high = self.forecast.interval(level)
        return low <= self.measured <= high

    def interval_score(self, level: float) -> float:
        """Give the interval score (Gneiting & Raftery 2007, Eq. 43) in the metric's unit; less is better."""
        return interval_score(*self.forecast.interval(level), self.measured, level)

    @property
    def crps(self) -> float:
        """Give the continuous ranked probability score of the draws in the metric's unit; less is better."""
        return crps(self.forecast.draws, self.measured)

    @property
    def pit(self) -> float:
        """Give the share of the draws below what was measured, ties half; 0.5 is the middle of the forecast."""
        draws = self.forecast.draws
        return float(np.mean(draws < self.measured) + 0.5 * np.mean(draws == self.measured))

    def to_json(self) -> dict[str, Any]:
        """Give everything as plain values."""
        forecast = self.forecast
        return {
            "target": {"N": forecast.target.N, "D": forecast.target.D, "name": forecast.target.name},
            "metric": forecast.metric.name,
            "method": forecast.method,
            "value": forecast.value,
            "measured": self.measured,
            "error": self.error,
            "relative_error": self.relative_error,
            "intervals": {f"{level:g}": list(forecast.interval(level)) for level in SEALED_LEVELS},
            "inside": {f"{level:g}": self.inside(level) for level in SEALED_LEVELS},
            "interval_score": {f"{level:g}": self.interval_score(level) for level in SEALED_LEVELS},
            "crps": self.crps,
            "pit": self.pit,
            "reach": forecast.reach,
        }


@dataclass(frozen=True)
class Scorecard:
    """Hold a seal, a verdict on each forecast that was measured, and the metrics that were not."""

    seal: Seal
    verdicts: tuple[Verdict, ...]
    absent: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give everything as plain values."""
        return {
            "sealed": self.seal.sealed,
            "digest": self.seal.digest,
            "data": self.seal.data,
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
            "not_measured": list(self.absent),
        }

    def _repr_html_(self) -> str:
        rows = []
        for one in self.verdicts:
            unit = 100.0 if one.forecast.metric.is_share else 1.0
            low, high = one.forecast.interval(0.8)
            numbers = (one.forecast.value, low, high, one.measured)
            value, least, most, measured = (f"{unit * number:.4g}" for number in numbers)
            held = "yes" if one.inside(0.8) else "no"
            about = (one.forecast.target.label, one.forecast.metric.name, one.forecast.method)
            rows.append((*about, value, f"{least} – {most}", measured, held, f"{one.pit:.2f}"))
        head = ("target", "metric", "method", "forecast", "80 % interval", "measured", "held", "PIT")
        notes = [f"not measured: {name}" for name in self.absent]
        return small_table(f"sealed {self.seal.sealed}, digest {self.seal.digest[:16]}…", head, rows, notes)


def crps(draws: Array, measured: float) -> float:
    """Compute E|X − y| − ½ E|X − X'| of the draws' empirical distribution (Gneiting & Raftery 2007, Eq. 21)."""
    n = len(draws)
    ordered = np.sort(draws)
    rank = 2.0 * np.arange(1, n + 1) - n - 1
    return float(np.mean(np.abs(ordered - measured)) - np.sum(rank * ordered) / n**2)


def score_seal(seal: Seal, results: Sequence[Result]) -> tuple[list[Verdict], list[str]]:
    """Set sealed forecasts beside results; give the verdicts, and the metrics that were forecast but not measured.

    A result is of the target it names, of the only one there is, or of the one whose N and D lie within 10 %. Raises
    UnknownName when no metric matches, SourceError when results come from another target or lie out of range.
    """
    targets = {forecast.target.label: forecast.target for forecast in seal.forecasts}
    known = {forecast.metric.name: forecast.metric for forecast in seal.forecasts}
    measured: dict[tuple[str, str], float] = {}
    stray: list[str] = []
    for result in results:
        label = _target_of(result, targets)
        name = (
            f"{result.metric}/acc" if result.metric not in known and f"{result.metric}/acc" in known else result.metric
        )
        if name not in known:
            stray.append(result.metric)
            continue
        _check(known[name], result.value)
        measured[label, name] = result.value
    if not measured:
        raise UnknownName("sealed metric", stray[0], known)
    verdicts = [
        Verdict(forecast, measured[key])
        for forecast in seal.forecasts
        if (key := (forecast.target.label, forecast.metric.name)) in measured
    ]
    labels = {label for label, _ in measured}
    absent = [name for name in known if not any((label, name) in measured for label in labels)]
    return verdicts, absent


def results_in(seal: Seal, observations: Observations, run: str = "") -> list[Result]:
    """Read the results of the sealed targets out of a study: of the run named, or of those nearest within 10 %.

    Raises UnknownName for a run that is not there, SourceError when no run is one of the targets, or shares no metric.
    """
    targets = {forecast.target.label: forecast.target for forecast in seal.forecasts}
    if run and len(targets) > 1:
        raise SourceError(f"{len(targets)} targets are sealed; a single run cannot be all of them: leave --run out")
    count = "N" if observations.law_N == "N" else "N_total"
    names = {forecast.metric.name for forecast in seal.forecasts}
    made: list[Result] = []
    for label, target in targets.items():
        chosen = run or _nearest(observations, count, target)
        if not chosen:
            continue
        of_run = observations.only_runs([chosen])
        for name in sorted(names & set(of_run.metrics)):
            points = of_run.metric(name)
            made += [Result(name, float(points.value[-1]), label)] if len(points) else []
    if made:
        return made
    sealed = ", ".join(f"{label} ({_size(t.N, t.D)})" for label, t in targets.items())
    largest = observations.runs.drop_nulls(count).sort(pl.col(count) * pl.col("D"), descending=True).row(0, named=True)
    raise SourceError(
        f"these results are of another target: {sealed} was sealed, and no run of the study is within {NEAR:.0%} of "
        f"it in N and D and has a sealed metric (its largest is {largest['name']}: "
        f"{_size(largest[count], largest['D'])}); name the run with --run if it is meant"
    )


def _nearest(observations: Observations, count: str, target: Target) -> str:
    best, name = math.inf, ""
    for row in observations.runs.iter_rows(named=True):
        if row[count] is None:
            continue
        away = [abs(math.log(row[count] / target.N)), abs(math.log(row["D"] / target.D))]
        if row["name"] == target.name and max(away) <= math.log1p(NEAR):
            return target.name
        if max(away) <= math.log1p(NEAR) and sum(away) < best:
            best, name = sum(away), row["name"]
    return name


def _target_of(result: Result, targets: dict[str, Target]) -> str:
    sealed = ", ".join(f"{label} ({_size(target.N, target.D)})" for label, target in targets.items())
    if result.target:
        if result.target not in targets:
            raise SourceError(f"the results of {result.target!r} are of another target; sealed were: {sealed}")
        label = result.target
    elif result.N is not None or result.D is not None:
        fitting = [
            label for label, target in targets.items() if _near(result.N, target.N) and _near(result.D, target.D)
        ]
        if len(fitting) != 1:
            raise SourceError(f"the results are of another target, {_size(result.N, result.D)}; sealed were: {sealed}")
        label = fitting[0]
    elif len(targets) > 1:
        raise SourceError(
            f"{len(targets)} targets are sealed, and {result.metric} names none: add a column target ({sealed})"
        )
    else:
        label = next(iter(targets))
    target = targets[label]
    if not (_near(result.N, target.N) and _near(result.D, target.D)):
        raise SourceError(
            f"the results are of {_size(result.N, result.D)}; {label} was sealed as {_size(target.N, target.D)}"
        )
    return label


def _near(count: float | None, sealed: float) -> bool:
    return count is None or abs(math.log(count / sealed)) <= math.log1p(NEAR)


def _size(N: float | None, D: float | None) -> str:
    told = {"N": N, "D": D}
    return ", ".join(f"{name} = {format_count(count)}" for name, count in told.items() if count is not None)


def _check(metric: Metric, value: float) -> None:
    if metric.is_share and not 0 <= value <= 1:
        raise SourceError(f"{metric.name} is {value:g}; an {metric.unit} lies in 0..1: divide percentages by 100")
    if metric.is_loss and value <= 0:
        raise SourceError(f"{metric.name} is {value:g}; {metric.unit} is positive")
