"""The region of a simplex in which mixtures may lie: floors below, caps above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.errors import MethodError

Array = NDArray[np.float64]

HALVINGS = 60  # of an interval no longer than 2: to the last bit


@dataclass(frozen=True)
class Region:
    """Bound each of k shares, `lower` (k,) ≤ w ≤ `upper` (k,), with Σw = 1.

    Raises MethodError when no mixture lies inside.
    """

    domains: tuple[str, ...]
    lower: Array
    upper: Array

    def __post_init__(self) -> None:
        crossed = [name for name, low, high in zip(self.domains, self.lower, self.upper, strict=True) if low > high]
        if crossed:
            raise MethodError(
                f"the floor of {', '.join(crossed)} lies above its cap; lower the floor, or allow more epochs"
            )
        if self.lower.sum() > 1 + 1e-9:
            raise MethodError(f"the floors sum to {self.lower.sum():.3g}, more than 1; lower some of them")
        if self.upper.sum() < 1 - 1e-9:
            tight = ", ".join(f"{n} ≤ {u:.3g}" for n, u in zip(self.domains, self.upper, strict=True))
            raise MethodError(
                f"the caps let the shares sum to {self.upper.sum():.3g} only ({tight}): the pools are smaller than the "
                "epochs asked for allow; allow more epochs, enlarge a pool, or train on fewer tokens"
            )

    @classmethod
    def whole(cls, domains: Sequence[str]) -> Region:
        """Give the whole simplex."""
        return cls(tuple(domains), np.zeros(len(domains)), np.ones(len(domains)))

    def project(self, points: Array) -> Array:
        """Move points (…, k) to the nearest mixtures inside."""
        return onto_simplex(points, self.lower, self.upper)

    def contains(self, points: Array, slack: float = 1e-9) -> NDArray[np.bool_]:
        """Say which points (…, k) lie inside."""
        inside = (points >= self.lower - slack).all(axis=-1) & (points <= self.upper + slack).all(axis=-1)
        return np.asarray(inside & (np.abs(points.sum(axis=-1) - 1.0) <= slack), dtype=np.bool_)


def onto_simplex(points: Array, lower: Array, upper: Array) -> Array:
    """Give the Euclidean projection of points (…, k) onto {lower ≤ w ≤ upper, Σw = 1}: clip(w − τ) with Στ found.

    Σ clip(w − τ) falls with τ, so bisection finds τ for all points at once.
    """
    low = (points - upper).min(axis=-1, keepdims=True) - 1e-12
    high = (points - lower).max(axis=-1, keepdims=True) + 1e-12
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        over = np.clip(points - middle, lower, upper).sum(axis=-1, keepdims=True) > 1.0
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    made: Array = np.clip(points - 0.5 * (low + high), lower, upper)
    return made
