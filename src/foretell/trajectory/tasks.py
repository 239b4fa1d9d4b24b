"""A task over training and size: its accuracy against validation perplexity, and what one curve says of all sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.errors import FitError, StudyError
from foretell.methods.pooled import Pooling, compare_pooled, lineages
from foretell.table import Observations
from foretell.trajectory.alignment import Alignment, align
from foretell.trajectory.emergence import Emergence, breakthroughness, emergence_point, linearity

Array = NDArray[np.float64]

DRAWS = 400


@dataclass(frozen=True)
class Rows:
    """Hold the n checkpoints on which a metric and the validation loss were both measured."""

    run: NDArray[np.str_]
    size: Array
    D: Array
    C: Array
    loss: Array
    value: Array
    stderr: Array

    def __len__(self) -> int:
        return len(self.value)


@dataclass(frozen=True)
class TaskTrace:
    """Hold what a metric does over training and size.

    `pooling` compares one curve in the validation loss with one for each size, `between_runs` the same with one for
    each run among sizes trained more than once: how much chance alone parts two runs of one size (None where there are
    none). `linear` and `sudden` are BIG-bench's scores over the ends of the sizes with 80 % intervals, None where there
    are fewer than three sizes.
    """

    metric: str
    rows: Rows
    pooling: Pooling
    between_runs: Pooling | None
    alignment: Alignment
    emergence: Emergence | None
    linear: tuple[float, float, float] | None
    sudden: tuple[float, float, float] | None


def rows_of(observations: Observations, metric: str, loss: str) -> Rows:
    """Collect the checkpoints that have both a metric and the validation loss, in order of run and D.

    Raises StudyError when there are none.
    """
    points = observations.link(loss, metric)
    if not len(points):
        raise StudyError(f"{metric} and {loss} were never measured on one checkpoint; name another loss with --loss")
    errors = observations.values.filter(pl.col("metric") == metric).select("run", "D", "stderr")
    known = {(run, D): error for run, D, error in errors.iter_rows()}
    stderr = [known.get((str(run), float(D))) for run, D in zip(points.run, points.input("D"), strict=True)]
    return Rows(
        run=points.run,
        size=points.input("N"),
        D=points.input("D"),
        C=points.input("C"),
        loss=points.input("L"),
        value=points.value,
        stderr=np.array([np.nan if error is None else error for error in stderr], np.float64),
    )


def trace_task(observations: Observations, metric: str, loss: str, *, seed: int = 0) -> TaskTrace:
    """Trace a metric over training and size; raises FitError and StudyError where there is too little."""
    rows = rows_of(observations, metric, loss)
    described = observations.metric_named(metric)
    lineage = lineages(observations, rows.run)
    emergence = None
    if described.is_share and described.chance is not None and described.unit == "accuracy":
        emergence = _maybe_emergence(metric, rows, lineage, described.chance, seed)
    linear, sudden = _over_sizes(rows, seed) if len(np.unique(rows.size)) > 2 else (None, None)
    return TaskTrace(
        metric=metric,
        rows=rows,
        pooling=compare_pooled(metric, rows.loss, rows.value, rows.size, lineage, seed=seed),
        between_runs=_between_runs(metric, rows, lineage, seed),
        alignment=align(metric, rows.value, D=rows.D, C=rows.C, loss=rows.loss, size=rows.size, run=lineage),
        emergence=emergence,
        linear=linear,
        sudden=sudden,
    )


def _maybe_emergence(metric: str, rows: Rows, lineage: NDArray[np.str_], chance: float, seed: int) -> Emergence | None:
    try:
        return emergence_point(metric, rows.loss, rows.value, lineage, chance, seed=seed)
    except FitError:  # fewer than three runs: a point without an interval is not given
        return None


def _between_runs(metric: str, rows: Rows, lineage: NDArray[np.str_], seed: int) -> Pooling | None:
    """Compare, within sizes trained more than once, one curve a size with one curve a run."""
    several = [s for s in np.unique(rows.size) if len(np.unique(lineage[rows.size == s])) > 1]
    if not several:
        return None
    mine = rows.size == several[0] if len(several) == 1 else np.isin(rows.size, several)
    value = rows.value[mine].copy()
    x, size, names = rows.loss[mine], rows.size[mine], lineage[mine]
    for one in several:  # what parts the sizes is taken off first: a line each would hide it
        at = size == one
        value[at] -= np.poly1d(np.polyfit(x[at], value[at], 2))(x[at])
    index = np.unique(names, return_inverse=True)[1].astype(np.float64)
    try:
        return compare_pooled(f"{metric} between runs of one size", x, value, index, names, seed=seed)
    except FitError:
        return None


def _over_sizes(rows: Rows, seed: int) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Score the ends of the sizes (the longest training of each, its runs' mean), with intervals from their noise."""
    means, errors = [], []
    for size in np.unique(rows.size):
        at = np.flatnonzero((rows.size == size) & (rows.D == rows.D[rows.size == size].max()))
        means.append(float(rows.value[at].mean()))
        noise = np.nan_to_num(rows.stderr[at])
        errors.append(float(np.sqrt(np.mean(noise**2) / len(at))))
    y, spread = np.array(means), np.array(errors)
    drawn = y + spread * np.random.default_rng(seed).normal(size=(DRAWS, len(y)))

    def with_interval(score: Sequence[float], value: float) -> tuple[float, float, float]:
        finite = [one for one in score if np.isfinite(one)]
        low, high = np.percentile(finite, [10, 90]) if finite else (np.nan, np.nan)
        return value, float(low), float(high)

    return (
        with_interval([linearity(one) for one in drawn], linearity(y)),
        with_interval([breakthroughness(one) for one in drawn], breakthroughness(y)),
    )
