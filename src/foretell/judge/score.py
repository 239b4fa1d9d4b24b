"""Scores: numbers that say how good an interval was."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def interval_score(low: float, high: float, measured: float, level: float) -> float:
    """Give the interval score of Gneiting & Raftery 2007 (JASA 102, Eq. 43): width plus 2/(1 − level) for each miss."""
    penalty = 2.0 / (1.0 - level)
    return (high - low) + penalty * max(0.0, low - measured) + penalty * max(0.0, measured - high)


def binomial_interval(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Give the exact (Clopper–Pearson) interval of a share of n; 0 to 1 when n is 0."""
    from scipy.special import betaincinv

    if n == 0:
        return 0.0, 1.0
    tail = (1.0 - level) / 2.0
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1.0 - tail))
    return low, high


def spread_of(draws: Array) -> float:
    """Give half the width of the central 68 % of the draws: a standard deviation that outliers do not move."""
    low, high = np.quantile(draws, [0.1587, 0.8413])
    return float(high - low) / 2.0


def pit_of(draws: Array, measured: float) -> float:
    """Give the share of the draws below what was measured, half of those equal: uniform if the draws are right."""
    return float(np.mean(draws < measured) + 0.5 * np.mean(draws == measured))
