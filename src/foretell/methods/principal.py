"""Principal capabilities: a few numbers a model, from its scores on many benchmarks with holes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.errors import MethodError
from foretell.table import Observations

Array = NDArray[np.float64]

TOLERANCE, STEPS = 1e-4, 1000  # released code (utils/data.py, pca_impute)
RANK = 1  # components that fill holes (released code, DEFAULT_PCA_PREPROCESS_KWARGS)


@dataclass(frozen=True)
class Imputer:
    """Fill holes from one direction in which standardised scores vary together (Ruan 2024, arXiv 2405.10938, §3.2).

    `mean` and `spread` (k,) are of the benchmarks, `middle` (k,) and `axes` (r, k) of the standardised, filled scores.
    """

    mean: Array
    spread: Array
    middle: Array
    axes: Array

    def fill(self, scores: Array) -> Array:
        """Fill the holes (nan) of scores (n, k) by repeated projection; what was filled is clipped to 0..1."""
        hole = np.isnan(scores)
        scaled = np.where(hole, 0.0, (scores - self.mean) / self.spread)
        for _ in range(STEPS if hole.any() else 0):
            back = self.middle + (scaled - self.middle) @ self.axes.T @ self.axes
            moved = np.max(np.abs((back - scaled)[hole]))
            scaled = np.where(hole, back, scaled)
            if moved < TOLERANCE:
                break
        return _restore(scores, scaled, self.mean, self.spread)


def fit_imputer(scores: Array) -> tuple[Imputer, Array]:
    """Learn the direction from scores (n, k) with holes; give the imputer and the filled scores.

    Standardise, start from the means, then fit a rank-1 PCA and refill until nothing moves by 1e-4. (The released code
    also asks observed scores to match, which they never do, and so always takes 1,000 steps.) Raises MethodError for a
    benchmark that no model was measured on.
    """
    hole = np.isnan(scores)
    if hole.all(axis=0).any():
        raise MethodError("a benchmark has no score at all; leave it out of the benchmarks")
    mean, spread = np.nanmean(scores, axis=0), np.nanstd(scores, axis=0)
    spread[spread == 0] = 1.0
    scaled = np.where(hole, 0.0, (scores - mean) / spread)
    made = components_of(scaled, RANK)
    for _ in range(STEPS if hole.any() else 0):
        back = made.middle + made.of(scaled) @ made.axes
        moved = np.max(np.abs((back - scaled)[hole]))
        scaled = np.where(hole, back, scaled)
        made = components_of(scaled, RANK)
        if moved < TOLERANCE:
            break
    return Imputer(mean, spread, made.middle, made.axes), _restore(scores, scaled, mean, spread)


def _restore(scores: Array, scaled: Array, mean: Array, spread: Array) -> Array:
    return np.where(np.isnan(scores), np.clip(scaled * spread + mean, 0.0, 1.0), scores)


@dataclass(frozen=True)
class Components:
    """Hold the directions `axes` (r, k) of largest variance about `middle` (k,), and the `share` (r,) of it in each."""

    middle: Array
    axes: Array
    share: Array

    def of(self, scores: Array) -> Array:
        """Give the principal capabilities (n, r) of scores (n, k)."""
        made: Array = (scores - self.middle) @ self.axes.T
        return made


def components_of(scores: Array, count: int) -> Components:
    """Find the first `count` principal components of scores (n, k), signed so that their loadings sum to ≥ 0."""
    middle = scores.mean(axis=0)
    _, size, axes = np.linalg.svd(scores - middle, full_matrices=False)
    axes = axes * np.where(axes.sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
    total = float(np.sum(size**2)) or 1.0
    return Components(middle, axes[:count], size[:count] ** 2 / total)


def score_table(
    observations: Observations, benchmarks: Sequence[str], scales: Mapping[str, float] | None = None
) -> tuple[list[str], Array]:
    """Give the runs in order of name and their final scores (runs, benchmarks) as shares, nan where not measured."""
    runs = observations.runs["name"].sort().to_list()
    row = {name: i for i, name in enumerate(runs)}
    table = np.full((len(runs), len(benchmarks)), np.nan)
    for j, name in enumerate(benchmarks):
        points = observations.metric(name)
        table[[row[run] for run in points.run], j] = share_of(observations, name, points.value, scales)
    return runs, table


def share_of(observations: Observations, name: str, value: Array, scales: Mapping[str, float] | None = None) -> Array:
    """Turn values of a metric into shares that rise as models improve: 1 − error, and value/scale where one is given.

    Raises MethodError for a loss, or a plain value without a scale.
    """
    metric = observations.metric_named(name)
    scale = (scales or {}).get(name)
    if scale is None and not metric.is_share:
        raise MethodError(f"{name} is {metric.unit}, not a share; give its largest value (scales={{{name!r}: 100}})")
    share = value if scale is None else value / scale
    if share.size and not (share.min() >= 0 and share.max() <= 1):
        raise MethodError(f"{name} lies between {value.min():.4g} and {value.max():.4g}, outside 0..{scale or 1:g}")
    return 1.0 - share if metric.unit == "error" else share
