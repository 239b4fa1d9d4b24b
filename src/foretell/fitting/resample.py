"""Resampling: the coefficients that the same experiment could as well have given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError
from foretell.fitting.fit import Fit, refit

Array = NDArray[np.float64]

FEWEST_RUNS = 3


def resample_runs(made: Fit, draws: int, *, seed: int | None = None) -> Fit:
    """Refit on resamples of whole runs, drawn with replacement as weights (Efron's bootstrap, blocked by run).

    Holds whatever the noise looks like, but takes rungs out of small designed ladders. Raises FitError when there are
    fewer than three runs.
    """
    index = made.points.run_index
    runs = _count_runs(made)
    rng = np.random.default_rng(made.seed if seed is None else seed)
    weights = rng.multinomial(runs, np.full(runs, 1.0 / runs), size=draws)[:, index].astype(np.float64)
    return replace(made, draws=refit(made, weights=weights))


def redraw_noise(made: Fit, draws: int, *, seed: int | None = None) -> Fit:
    """Refit on the fitted curve with new noise (parametric bootstrap), keeping every rung of the ladder.

    Noise is normal in the objective's space with the residuals' spread; each draw takes its spread from its scaled
    inverse χ² distribution, and rows of one run share the part of the noise that their residuals share. Raises
    FitError when there are fewer than three runs.
    """
    index = made.points.run_index
    runs = _count_runs(made)
    rng = np.random.default_rng(made.seed if seed is None else seed)
    shared = _shared_within_runs(made.residuals, index)
    common = rng.normal(size=(draws, runs))[:, index]
    own = rng.normal(size=(draws, len(made)))
    noise = spread_draws(made, draws, rng)[:, None] * (np.sqrt(shared) * common + np.sqrt(1.0 - shared) * own)
    values = made.fitted * np.exp(noise) if made.objective.space == "log" else made.fitted + noise
    if made.points.metric.is_share:
        values = np.clip(values, 0.0, 1.0)
    return replace(made, draws=refit(made, values=values))


def spread_draws(made: Fit, draws: int, rng: np.random.Generator) -> Array:
    """Draw the residuals' standard deviation (B,) from its scaled inverse χ², counting runs, not rows."""
    free = max(1, _count_runs(made) - len(made.theta))
    draws_of = made.spread * np.sqrt(free / rng.chisquare(free, size=draws))
    return np.minimum(draws_of, 10.0 * made.spread)  # with one degree of freedom the tail has no mean


def _count_runs(made: Fit) -> int:
    runs = int(made.points.run_index.max()) + 1
    if runs < FEWEST_RUNS:
        raise FitError(
            f"{runs} runs of {made.points.metric.name} cannot be resampled; at least {FEWEST_RUNS} are needed for an interval"
        )
    return runs


def _shared_within_runs(residuals: Array, index: NDArray[np.intp]) -> float:
    """Give the share 0..1 of the residuals' variance that rows of one run have in common (one-way ANOVA)."""
    count = np.bincount(index)
    if count.max() == 1:
        return 0.0
    mean = np.bincount(index, residuals) / count
    within = float(np.sum((residuals - mean[index]) ** 2)) / max(1, len(residuals) - len(count))
    between = float(np.sum(count * mean**2)) / len(count)
    typical = len(residuals) / len(count)
    common = max(0.0, (between - within) / typical)
    return common / (common + within) if common + within > 0 else 0.0
