"""Sampling: mixtures to train, drawn from Dirichlet distributions within caps and floors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foretell.errors import MethodError
from foretell.mixture.simplex import Region

Array = NDArray[np.float64]

STRENGTHS = (0.5, 5.0)  # of the concentration, drawn log-uniformly: corners as well as the middle (RegMix: 0.1 … 5)
FURTHEST = 0.5  # of the share that a draw outside the region may move to come inside; further ones are drawn again
ROUNDS = 50


def sample_mixtures(
    region: Region,
    count: int,
    rng: np.random.Generator,
    *,
    prior: Array | None = None,
    strengths: tuple[float, float] = STRENGTHS,
    least: float = 0.0,
) -> Array:
    """Draw `count` mixtures (count, k) inside a region.

    Each is Dirichlet with concentration strength · k · prior, strength log-uniform between `strengths`; `prior` (k,)
    is even where absent. Draws outside the region are drawn again, and moved to its nearest point where few fit.
    Shares below `least` become zero where the floor allows it. Raises MethodError for a count below one.
    """
    if count < 1:
        raise MethodError(f"{count} mixtures were asked for; draw at least one")
    k = len(region.domains)
    centre = np.full(k, 1.0 / k) if prior is None else np.asarray(prior, dtype=np.float64)
    if centre.shape != (k,) or (centre < 0).any() or not centre.sum() > 0:
        raise MethodError(f"a prior of {k} sources needs {k} shares that are not all zero")
    centre = np.maximum(centre / centre.sum(), 1e-3 / k)
    kept: list[Array] = []
    for round_ in range(ROUNDS):
        low, high = (float(np.log(strength)) for strength in strengths)
        strength = np.exp(rng.uniform(low, high, size=(4 * count, 1)))
        gamma = rng.standard_gamma(strength * k * centre)
        drawn = gamma / np.maximum(gamma.sum(axis=1, keepdims=True), 1e-300)
        drawn = np.where(drawn < least, 0.0, drawn)
        drawn = drawn / np.maximum(drawn.sum(axis=1, keepdims=True), 1e-300)
        inside = region.project(drawn)
        near = np.abs(inside - drawn).sum(axis=1) <= (1e-9 if round_ < 2 else FURTHEST if round_ < ROUNDS - 1 else 2.0)
        kept += list(inside[near])
        if len(kept) >= count:
            break
    return np.array(kept[:count])
