"""Coordinates: how coefficients are stretched so that any real number is within their bounds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from foretell.fitting.objective import Objective
from foretell.laws.law import Law

Array = NDArray[np.float64]

PLAIN, LOG, LOGIT = 0, 1, 2  # the coefficient itself, log of its distance to a bound, logit between two
NEAREST = -46.0  # e⁻⁴⁶ is 1e-20: the bound, for every purpose
LARGEST = 92.0  # e⁹² is 1e40: beyond every count of FLOP


@dataclass(frozen=True)
class Coordinates:
    """Say how each of q fitted numbers is stretched: its kind, bounds, and a normal prior (centre, precision).

    `pair` (s, 2) and `at` (s,) name the amplitudes that a descent takes at the rows' centre (see `fitting.shear`).
    """

    kind: NDArray[np.int64]
    low: Array
    high: Array
    centre: Array
    precision: Array
    pair: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))
    at: Array = field(default_factory=lambda: np.empty(0))

    def centred(self, law: Law, features: Array) -> Coordinates:
        """Take the law's amplitudes at the centre of the rows whose features (f, n) are given."""
        means = features.mean(axis=1)
        found = [
            (i, j, at)
            for i, j, factors in law.code.pairs
            if self.kind[i] == PLAIN or (self.kind[i] == LOG and self.low[i] == 0.0)
            if np.isfinite(at := float(np.dot(factors, means)))
        ]
        pair = np.array([(i, j) for i, j, _ in found], dtype=np.int64).reshape(-1, 2)
        return replace(self, pair=pair, at=np.array([at for _, _, at in found]))

    def natural(self, u: Array) -> Array:
        """Turn fitted coordinates (…, q) into coefficients."""
        with np.errstate(over="ignore"):
            inner = np.where(self.kind == LOG, self.low + np.exp(np.where(self.kind == LOG, u, 0.0)), u)
            share = 1.0 / (1.0 + np.exp(-np.where(self.kind == LOGIT, u, 0.0)))
        width = np.where(self.kind == LOGIT, self.high - self.low, 0.0)
        base = np.where(self.kind == LOGIT, self.low, 0.0)
        return np.where(self.kind == LOGIT, base + width * share, inner)

    def fitted(self, theta: Array) -> Array:
        """Turn coefficients (…, q) into fitted coordinates; a coefficient at its bound lands 46 log units from it."""
        with np.errstate(all="ignore"):
            logs = np.log(theta - self.low)
            logits = logs - np.log(self.high - theta)
        u = np.where(self.kind == LOG, logs, np.where(self.kind == LOGIT, logits, theta))
        furthest = np.where(self.kind == LOGIT, -NEAREST, LARGEST)
        return np.where(self.kind == PLAIN, theta, np.clip(np.nan_to_num(u, nan=NEAREST), NEAREST, furthest))

    def slope(self, u: Array) -> Array:
        """Give dθ/du (…, q)."""
        theta = self.natural(u)
        width = np.where(self.kind == LOGIT, self.high - self.low, 1.0)
        with np.errstate(invalid="ignore", over="ignore"):
            logit = (theta - self.low) * (self.high - theta) / width
            return np.where(self.kind == LOG, theta - self.low, np.where(self.kind == LOGIT, logit, 1.0))


def coordinates_of(law: Law, objective: Objective) -> Coordinates:
    """Choose the coordinates of a law's coefficients, and of the scale where the objective fits one."""
    bounds = [law.coefficient(name) for name in law.coefficients]
    kinds = [{"plain": PLAIN, "log": LOG, "logit": LOGIT}[bound.scale] for bound in bounds]
    low = [bound.lower if np.isfinite(bound.lower) else 0.0 for bound in bounds]
    high = [bound.upper if np.isfinite(bound.upper) else 0.0 for bound in bounds]
    if objective.free_scale:  # the kernel takes the scale's logarithm as it is
        kinds, low, high = [*kinds, PLAIN], [*low, 0.0], [*high, 0.0]
    q = len(kinds)
    return Coordinates(np.array(kinds, dtype=np.int64), np.array(low), np.array(high), np.zeros(q), np.zeros(q))
