"""Starts: where a fit begins to look."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from foretell.fitting.coordinates import coordinates_of
from foretell.fitting.objective import Objective
from foretell.laws.cache import cache_folder, write_whole
from foretell.laws.law import Law
from foretell.table.points import Points

Array = NDArray[np.float64]

FEWEST_POINTS, MOST_KEPT = 9, 14  # powers of two that are kept on disk


def starting_points(law: Law, objective: Objective, points: Points, count: int, seed: int) -> Array:
    """Give `count` starts (count, q) in fitted coordinates: the published ones, then randomly shifted Sobol points.

    Sobol points fill each coefficient's range of first guesses, evenly in its fitted coordinate.
    """
    coordinates = coordinates_of(law, objective)
    bounds = [law.coefficient(name) for name in law.coefficients]
    ranges = np.array([bound.start or _guess(bound.lower, bound.upper) for bound in bounds])
    if objective.free_scale:
        spread = max(float(np.std(_target(points, objective))), 1e-6)
        ranges = np.vstack([ranges, np.log([0.01 * spread, spread])])
    low, high = coordinates.fitted(ranges.T)
    shift = np.random.default_rng(seed).random(len(ranges))
    starts: Array = low + (high - low) * ((sobol_points(len(ranges), count) + shift) % 1.0)
    if law.published is not None:
        known = list(law.theta(law.published))
        if objective.free_scale:
            known.append(float(ranges[-1].mean()))
        starts[0] = coordinates.fitted(np.array(known))
    return starts


@lru_cache(maxsize=64)
def sobol_points(dimensions: int, count: int) -> Array:
    """Give the first `count` points (count, dimensions) of SciPy's Sobol sequence.

    Up to 16,384 are kept on disk, because importing scipy.stats takes longer than a whole forecast.
    """
    power = max(FEWEST_POINTS, int(np.ceil(np.log2(max(count, 2)))))
    if power > MOST_KEPT:
        return _sobol(dimensions, power)[:count]
    path = cache_folder() / f"sobol_{dimensions}_{power}.npy"
    try:
        points: Array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        points = _sobol(dimensions, power)
        whole = io.BytesIO()
        np.save(whole, points, allow_pickle=False)
        write_whole(path, whole.getvalue())
    return points[:count]


def _sobol(dimensions: int, power: int) -> Array:
    from scipy.stats import qmc

    points: Array = qmc.Sobol(dimensions, scramble=False).random_base2(power)
    return points


def _target(points: Points, objective: Objective) -> Array:
    return np.log(points.value) if objective.space == "log" else points.value


def _guess(lower: float, upper: float) -> tuple[float, float]:
    if np.isfinite(lower) and np.isfinite(upper):
        return lower + 0.05 * (upper - lower), upper - 0.05 * (upper - lower)
    if np.isfinite(lower):
        return (lower + 1e-2, lower + 1e2)
    return (-1.0, 1.0) if not np.isfinite(upper) else (upper - 1.0, upper - 1e-2)
