"""The noise of a metric: how much it moves while nothing is learned, beside how much scale moves it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.errors import TableError
from foretell.table import Metric, Observations, Points

Array = NDArray[np.float64]
Verdict = Literal["yes", "no trend", "gets worse", "at chance", "below the noise", "too few runs"]

LAST = 10  # checkpoints: SD10 of 2412.04403, §4.6
FEWEST_RUNS = 4
P_TREND = 0.05  # of Spearman's rank correlation between compute and the metric, one-sided
SEEDS = "seed"  # the attribute that tells repeated runs apart; others of equal N and D count as well


@dataclass(frozen=True)
class Noise:
    """Hold what is known of one metric's noise and signal; a number is nan where the runs cannot tell it.

    `last` is the relative standard deviation over the last checkpoints of the run of most compute (SD10 of 2412.04403),
    `last_runs` its root mean square over all runs with so many, `seeds` that over repeated runs of equal N and D.
    `sampling` is what sampling the items alone would give. `signal` is the largest difference between final values over
    their mean (2508.13144), `ratio` signal over noise. `trend` is Spearman's rank correlation of compute with the
    metric, positive where more compute is better. `verdict` says whether the metric can be forecast at all.
    """

    metric: Metric
    last: float
    last_runs: float
    seeds: float
    sampling: float
    signal: float
    trend: float
    verdict: Verdict
    checkpoints: int
    repeats: int

    @property
    def ratio(self) -> float:
        """Give signal over noise, the noise being that over the last checkpoints, or over seeds where that is all."""
        noise = self.last if math.isfinite(self.last) else self.seeds
        return self.signal / noise if noise > 0 else math.nan

    def to_json(self) -> dict[str, Any]:
        """Give every number as plain values."""
        return {
            "metric": self.metric.name, "last_checkpoints": self.last, "last_checkpoints_rms": self.last_runs,
            "seeds": self.seeds, "sampling": self.sampling, "signal": self.signal, "signal_to_noise": self.ratio,
            "trend": self.trend, "verdict": self.verdict, "checkpoints": self.checkpoints, "repeats": self.repeats,
        }  # fmt: skip


def noise_of(observations: Observations, metrics: Sequence[str], last: int = LAST) -> list[Noise]:
    """Measure the noise and signal of metrics on the runs that are not held out; the strongest signal comes first.

    Raises TableError for fewer than two checkpoints, UnknownName for a metric that is not there.
    """
    if last < 2:
        raise TableError(f"the last {last} checkpoints have no spread; give at least 2")
    training = observations.training()
    made = [_noise(training, training.metric_named(name), last) for name in metrics]
    return sorted(made, key=lambda one: (-one.ratio if math.isfinite(one.ratio) else math.inf, one.metric.name))


def _noise(training: Observations, metric: Metric, last: int) -> Noise:
    points = training.metric(metric.name)
    per_run = _spreads(training, metric.name, last)
    largest = str(points.run[np.lexsort((points.run, points.input("C")))[-1]])
    ends = _ends(points)
    seeds, repeats = _over_repeats(points)
    value = float(ends.value[np.argmax(ends.input("C"))])
    sampling = math.nan
    if metric.is_share and metric.items and 0 < value < 1:
        sampling = math.sqrt(value * (1 - value) / metric.items) / value
    mean = float(np.mean(ends.value))
    signal = float(np.ptp(ends.value)) / abs(mean) if len(ends) > 1 and mean else math.nan
    found = np.array([spread for spread, _ in per_run.values()])
    noise = per_run.get(largest, (math.nan, 0))
    trend, p_better, p_worse = _trend(ends, metric)
    quiet = noise[0] if math.isfinite(noise[0]) else seeds
    return Noise(
        metric=metric,
        last=noise[0],
        last_runs=float(np.sqrt(np.mean(found**2))) if len(found) else math.nan,
        seeds=seeds,
        sampling=sampling,
        signal=signal,
        trend=trend,
        verdict=_verdict(metric, ends, trend, p_better, p_worse, signal, quiet, sampling),
        checkpoints=noise[1],
        repeats=repeats,
    )


def _spreads(training: Observations, name: str, last: int) -> dict[str, tuple[float, int]]:
    """Give the relative standard deviation over the last checkpoints, and their number, of runs that have so many."""
    rows = (
        training.values.filter(pl.col("metric") == name)
        .sort("run", "D")
        .group_by("run", maintain_order=True)
        .agg(n=pl.len(), value=pl.col("value").tail(last))
        .filter(pl.col("n") >= last)
    )
    made = {}
    for run, _, values in rows.iter_rows():
        of_run = np.array(values, dtype=np.float64)
        if mean := float(of_run.mean()):
            made[str(run)] = (float(of_run.std(ddof=1)) / abs(mean), len(of_run))
    return made


def _ends(points: Points) -> Points:
    """Keep each run's last row."""
    order = np.lexsort((points.input("D"), points.run))
    ordered = points.take(order)
    return ordered.take(np.append(ordered.run[1:] != ordered.run[:-1], True))


def _over_repeats(points: Points) -> tuple[float, int]:
    """Give the pooled relative standard deviation over runs of equal N and D, and the degrees of freedom behind it."""
    ends = _ends(points)
    key = np.stack([np.round(np.log(ends.input(name)), 3) for name in ("N", "D")], axis=1)
    _, group = np.unique(key, axis=0, return_inverse=True)
    group = group.ravel()
    squares, freedom = 0.0, 0
    for one in np.unique(group):
        values = ends.value[group == one]
        if len(values) > 1 and values.mean():
            squares += float(np.sum((values / values.mean() - 1.0) ** 2))
            freedom += len(values) - 1
    return (math.sqrt(squares / freedom) if freedom else math.nan), freedom


def _trend(ends: Points, metric: Metric) -> tuple[float, float, float]:
    """Give Spearman's correlation of compute with how good the metric is, and its p-values for better and worse."""
    from scipy.stats import spearmanr

    if len(ends) < FEWEST_RUNS or np.ptp(ends.value) == 0 or np.ptp(ends.input("C")) == 0:
        return math.nan, math.nan, math.nan
    good = ends.value if metric.better == "higher" else -ends.value
    found = spearmanr(ends.input("C"), good)
    rho, p = float(found.statistic), float(found.pvalue)
    return rho, (p / 2 if rho > 0 else 1 - p / 2), (p / 2 if rho < 0 else 1 - p / 2)


def _verdict(
    metric: Metric,
    ends: Points,
    trend: float,
    better: float,
    worse: float,
    signal: float,
    noise: float,
    sampling: float,
) -> Verdict:
    if len(ends) < FEWEST_RUNS:
        return "too few runs"
    if metric.unit == "accuracy" and metric.chance is not None and _at_chance(metric, ends, sampling):
        return "at chance"
    if worse < P_TREND:
        return "gets worse"
    if not (math.isfinite(trend) and better < P_TREND):
        return "no trend"
    floor = max((x for x in (noise, sampling) if math.isfinite(x)), default=0.0)
    return "below the noise" if signal < 2 * floor else "yes"


def _at_chance(metric: Metric, ends: Points, sampling: float) -> bool:
    """Say whether not even the best run stands two standard errors above a guess."""
    best = float(ends.value.max())
    spread = sampling * best if math.isfinite(sampling) else 0.01
    return metric.chance is not None and best < metric.chance + 2 * spread
