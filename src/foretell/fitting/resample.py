"""Resampling: the coefficients that the same experiment could as well have given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError
from foretell.fitting.fit import Fit, refit

Array = NDArray[np.float64]

FEWEST_RUNS = 3
FEWEST_FREE = 2.0  # degrees of freedom granted to a spread however few the rows


def resample_runs(made: Fit, draws: int, *, seed: int | None = None) -> Fit:
    """Refit on resamples of whole runs, drawn with replacement as weights (Efron's bootstrap, blocked by run).

    Holds whatever the noise looks like, but takes rungs out of small designed ladders. Raises FitError when there are
    fewer than three runs.
    """
    runs = _count_runs(made, draws)
    rng = np.random.default_rng(made.seed if seed is None else seed)
    measured = ~made.points.known
    weights = np.ones((draws, len(made)))
    index = np.unique(made.points.run_index[measured], return_inverse=True)[1]
    weights[:, measured] = rng.multinomial(runs, np.full(runs, 1.0 / runs), size=draws)[:, index]
    return replace(made, draws=refit(made, weights=weights))


def redraw_noise(made: Fit, draws: int, *, seed: int | None = None) -> Fit:
    """Refit on the fitted curve with new noise (parametric bootstrap), keeping every rung of the ladder.

    Noise is normal in the objective's space with the residuals' spread; each draw takes its spread from its scaled
    inverse χ² distribution, and rows of one run share the part of the noise that their residuals share. Raises
    FitError when there are fewer than three runs.
    """
    _count_runs(made, draws)
    index = made.points.run_index
    rng = np.random.default_rng(made.seed if seed is None else seed)
    shared = made.shared_within_runs
    common = rng.normal(size=(draws, int(index.max()) + 1))[:, index]
    own = rng.normal(size=(draws, len(made)))
    noise = spread_draws(made, draws, rng)[:, None] * (np.sqrt(shared) * common + np.sqrt(1.0 - shared) * own)
    noise[:, made.points.known] = 0.0
    values = made.fitted * np.exp(noise) if made.objective.space == "log" else made.fitted + noise
    if made.points.metric.is_share:
        values = np.clip(values, 0.0, 1.0)
    return replace(made, draws=refit(made, values=values))


def spread_draws(made: Fit, draws: int, rng: np.random.Generator) -> Array:
    """Draw the residuals' standard deviation (B,) from its scaled inverse χ².

    Its degrees of freedom count rows as often as rows of one run differ: n / (1 + (n/runs − 1) · shared part).
    """
    rows, runs = int(np.sum(~made.points.known)), _count_runs(made, draws)
    worth = rows / (1.0 + (rows / runs - 1.0) * made.shared_within_runs)
    free = max(FEWEST_FREE, worth - len(made.theta))
    draws_of: Array = made.spread * np.sqrt(free / rng.chisquare(free, size=draws))
    return draws_of


def _count_runs(made: Fit, draws: int) -> int:
    if draws < 1:
        raise FitError(f"{draws} draws were asked for; a resample needs at least one")
    runs = made.points.run_count
    if runs < FEWEST_RUNS:
        raise FitError(
            f"{runs} runs of {made.points.metric.name} cannot be resampled; "
            f"at least {FEWEST_RUNS} are needed for an interval"
        )
    return runs
