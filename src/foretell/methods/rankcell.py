"""A rank cell: how well one loss, through one task's link, forecast the long horizons from the short ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foretell.errors import MethodError
from foretell.fitting import Fit, redraw_noise, resample_runs
from foretell.forecast import Settings
from foretell.judge import Split
from foretell.methods.horizonlink import fit_link, link_doubts, link_points, share_at
from foretell.methods.itemlink import fit_item_link, losses_at, shifts_over_runs
from foretell.methods.lossfit import LossFit, fit_loss
from foretell.table import Metric, Observations, Points
from foretell.table.items import Items

Array = NDArray[np.float64]

SURE = 1e-6  # a probability is kept this far from 0 and 1 where its logarithm is scored


@dataclass(frozen=True)
class Cell:
    """Hold forecasts of J long runs of a task beside what was measured there.

    `linked` and `reached` (J,) are the accuracies at the loss observed and at the loss extrapolated. The scores are
    rows 0 (the data as they are) to B (resampled): mean |error| with the `link` alone and to the `end`, and the
    forecast's log-loss and Brier score with those of the `…_reference` (beyond what the observed share itself scores).
    """

    loss: str
    task: str
    run: tuple[str, ...]
    measured: Array
    linked: Array
    reached: Array
    link: Array
    end: Array
    log: Array
    log_reference: Array
    brier: Array
    brier_reference: Array
    by_item: bool
    doubts: tuple[str, ...]


@dataclass(frozen=True)
class Extrapolation:
    """Hold a loss law fitted to the short horizons, and what it says of the long runs.

    `observed` maps a run to its loss, `value` to the loss extrapolated, `draws` to (B,) of them.
    """

    law: LossFit
    observed: Mapping[str, float]
    value: Mapping[str, float]
    draws: Mapping[str, Array]

    @property
    def error(self) -> float:
        """Give the mean |relative error| of the loss on the long runs."""
        return float(np.mean([abs(self.value[run] / self.observed[run] - 1.0) for run in self.observed]))


def extrapolate(split: Split, loss: str, law: str, settings: Settings) -> Extrapolation:
    """Fit a loss law to the short runs and carry it to the long ones; raises FitError where the runs are too few."""
    found = fit_loss(split.fit.metric(loss), law, settings)
    made: Fit = redraw_noise(found.made, settings.draws, seed=settings.seed) if settings.draws else found.made
    ends = ends_of(split.test, loss)
    value = made.predict(ends.inputs)
    draws = made.predict_draws(ends.inputs) if settings.draws else np.empty((0, len(ends)))
    draws = np.where(np.isfinite(draws), draws, value[None, :])
    names = [str(run) for run in ends.run]
    return Extrapolation(
        replace(found, made=made),
        dict(zip(names, map(float, ends.value), strict=True)),
        dict(zip(names, map(float, value), strict=True)),
        {name: draws[:, j] for j, name in enumerate(names)},
    )


def ends_of(observations: Observations, metric: str) -> Points:
    """Give each run's final value of a metric."""
    return replace(observations, rows="final").metric(metric)


def task_cell(
    split: Split,
    metric: Metric,
    loss: str,
    carried: Extrapolation,
    floor: str,
    weights: Mapping[str, Array],
    settings: Settings,
) -> Cell:
    """Score a loss on a task's counts; `weights` says how often each long run counts in each resample."""
    points = link_points(split.fit, loss, metric)
    link = fit_link(points, settings, floor)
    doubts = link_doubts(link, points)
    ends = _successes(ends_of(split.test, metric.name))
    names = [str(run) for run in ends.run if str(run) in carried.value]
    if not names:
        raise MethodError(f"{loss} and {metric.name} have no long run in common")
    chosen = ends.take(np.isin(ends.run, names))
    y = chosen.value
    theta = link.theta[None, :]
    if settings.draws:
        theta = np.vstack([theta, _link_draws(link, settings)])
    seen = np.array([carried.observed[name] for name in names])
    carry = np.vstack([[carried.value[name] for name in names], np.stack([carried.draws[n] for n in names], axis=1)])
    linked, reached = share_at(link, theta[:, None, :], seen[None, :]), share_at(link, theta[:, None, :], carry)
    drawn = _redrawn(y, chosen.items, metric, settings)
    before = _persistence(split, metric, chosen)
    w = _weights(names, weights, settings)
    return Cell(
        loss, metric.name, tuple(names), y, linked[0], reached[0],
        link=_mean(np.abs(linked - drawn), w),
        end=_mean(np.abs(reached - drawn), w),
        log=_mean(_divergence(drawn, reached), w),
        log_reference=_mean(_divergence(drawn, before[None, :]), w),
        brier=_mean((drawn - reached) ** 2, w),
        brier_reference=_mean((drawn - before[None, :]) ** 2, w),
        by_item=False,
        doubts=tuple(doubts),
    )  # fmt: skip


def item_cell(
    split: Split,
    metric: Metric,
    loss: str,
    carried: Extrapolation,
    items: Items,
    weights: Mapping[str, Array],
    settings: Settings,
) -> Cell:
    """Score a loss on a task's outcomes one by one, on the last checkpoint of each long run that has them."""
    link = fit_item_link(items, split.fit, loss, metric)
    made = link.made
    grid = items.grid(metric.name)
    grid = grid.at(np.isin(grid.run, list(carried.value)))
    grid = grid.at(grid.ends())
    grid = grid.of_items(made.grid.item)
    seen = losses_at(split.test, loss, grid)
    grid, seen = grid.at(np.isfinite(seen)), seen[np.isfinite(seen)]
    names = [str(run) for run in grid.run]
    if not names:
        raise MethodError(f"no long run has outcomes of {metric.name} and {loss} on one checkpoint")
    y = np.where(grid.trials > 0, grid.successes / np.maximum(grid.trials, 1), np.nan)
    ends = made.grid.at(made.grid.ends())
    tries = ends.trials.sum(axis=1, dtype=np.float64)
    level = float(ends.accuracy().mean())
    before = (ends.successes.sum(axis=1, dtype=np.float64) + level) / (tries + 1.0)
    B, count = settings.draws, len(made.mode)
    shifts = np.zeros((1, count, 2))
    if B:
        shifts = np.concatenate([shifts, shifts_over_runs(made, settings)])
    w = _weights(names, weights, settings)
    multiplicity = np.random.default_rng([settings.seed, 5]).multinomial(count, np.full(count, 1.0 / count), size=B)
    known = np.isfinite(y)
    scores = {name: np.empty(1 + B) for name in ("link", "end", "log", "log_reference", "brier", "brier_reference")}
    first: list[Array] = []
    for r, shift in enumerate(shifts):
        rows = [0] if r == 0 else list(range(r, 1 + B, len(shifts) - 1))
        carry = np.array([carried.value[name] if r == 0 else carried.draws[name][r - 1] for name in names])
        at_seen, at_carried = made.probability(seen, shift), made.probability(carry, shift)
        if r == 0:
            first = [np.where(known, p, 0.0).sum(axis=0) / known.sum(axis=0) for p in (at_seen, at_carried)]
        log, log0 = _divergence(y, at_carried), _divergence(y, before[:, None])
        for b in rows:
            m = known * (np.ones(count) if b == 0 else multiplicity[b - 1])[:, None]
            size = m.sum(axis=0)
            scores["link"][b] = _mean(np.abs(_over(m, at_seen - y) / size)[None], w[b : b + 1])[0]
            scores["end"][b] = _mean(np.abs(_over(m, at_carried - y) / size)[None], w[b : b + 1])[0]
            for name, score in (
                ("log", log), ("log_reference", log0),
                ("brier", (y - at_carried) ** 2), ("brier_reference", (y - before[:, None]) ** 2),
            ):  # fmt: skip
                scores[name][b] = _mean((_over(m, score) / size)[None], w[b : b + 1])[0]
    measured = np.nansum(y, axis=0) / known.sum(axis=0)
    return Cell(
        loss, metric.name, tuple(names), measured, first[0], first[1], **scores, by_item=True, doubts=link.doubts
    )  # fmt: skip


def _over(m: Array, score: Array) -> Array:
    return np.asarray(np.sum(m * np.where(m > 0, score, 0.0), axis=0))


def _link_draws(link: Fit, settings: Settings) -> Array:
    made = resample_runs(link, settings.draws, seed=settings.seed).draws
    assert made is not None
    return made


def _successes(ends: Points) -> Points:
    return replace(ends, value=1.0 - ends.value) if ends.metric.unit == "error" else ends


def _redrawn(y: Array, items: Array, metric: Metric, settings: Settings) -> Array:
    """Give the shares as measured, and B times as other items of the same kind would have given them."""
    if np.isnan(items).any() or not settings.draws:
        return np.tile(y, (1 + settings.draws, 1))
    rng = np.random.default_rng([settings.seed, 4, *metric.name.encode()])
    n = items.astype(np.int64)
    return np.vstack([y, rng.binomial(n, y, size=(settings.draws, len(y))) / n])


def _persistence(split: Split, metric: Metric, ends: Points) -> Array:
    """Give for each long run the share of the longest short run of its N, or of the short run of most compute."""
    short = _successes(ends_of(split.fit, metric.name))
    N, D, C = short.input("N"), short.input("D"), short.input("C")
    found = []
    for n in ends.input("N"):
        same = np.flatnonzero(np.abs(N / n - 1.0) < 1e-3)
        found.append(short.value[same[np.argmax(D[same])] if len(same) else int(np.argmax(C))])
    return np.array(found)


def _weights(names: list[str], weights: Mapping[str, Array], settings: Settings) -> Array:
    """Give how often each long run counts (1 + B, J); where none was drawn, all count."""
    drawn = np.stack([weights[name] for name in names], axis=1) if settings.draws else np.empty((0, len(names)))
    drawn = np.where(drawn.sum(axis=1, keepdims=True) > 0, drawn, 1.0)
    return np.vstack([np.ones((1, len(names))), drawn])


def _mean(values: Array, weight: Array) -> Array:
    """Average (1 + B, J) over runs; a score of one row is that of every resample."""
    return np.asarray(np.sum(values * weight, axis=1) / np.sum(weight, axis=1))


def _divergence(y: Array, p: Array) -> Array:
    """Give the log-loss of saying p where the share was y, beyond that of saying y (Kullback and Leibler's)."""
    p = np.clip(p, SURE, 1.0 - SURE)
    with np.errstate(divide="ignore", invalid="ignore"):
        up = np.where(y > 0, y * np.log(y / p), 0.0)
        down = np.where(y < 1, (1.0 - y) * np.log((1.0 - y) / (1.0 - p)), 0.0)
    return np.asarray(up + down)
