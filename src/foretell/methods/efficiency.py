"""Family efficiency: how a capability grows with the logarithm of compute in each family of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError

Array = NDArray[np.float64]
Names = NDArray[np.str_]

RATIOS = np.exp(np.linspace(-6.0, 5.0, 12))  # of a family's variance to the residual's: the grid that is averaged over
FEWEST = 4


@dataclass(frozen=True)
class Efficiencies:
    """Hold S = θ_f·x + ν_f with families pooled: θ_f and ν_f are drawn around a common line (x = ln C, C in FLOP).

    One entry a pair of variance ratios on a grid, each with its posterior weight under flat priors on the grid, so that
    a family of one or two models leans on the others by as much as the data ask for. Ruan 2024 (arXiv 2405.10938,
    Eq. 2) fits each family on its own; pooling is ours. `x` (n,) and `S` (n,) are the fitted rows, `family` (n,).
    """

    x: Array
    S: Array
    family: Names
    ratios: Array
    weights: Array
    centre: float
    width: float

    def at(self, x: Array, family: Sequence[str]) -> tuple[Array, Array]:
        """Give the mean and the standard deviation (m,) of the capability itself at x (m,), residual left out.

        A family that is not in the data takes the common line, with the spread between families as its doubt.
        """
        means, variances = [], []
        for ratio in self.ratios:
            mean, variance = self._at(ratio, x, np.asarray(family, dtype=np.str_))
            means.append(mean)
            variances.append(variance)
        mean = self.weights @ np.array(means)
        variance = self.weights @ (np.array(variances) + (np.array(means) - mean) ** 2)
        return mean, np.sqrt(variance)

    def line(self, family: str) -> tuple[float, float]:
        """Give θ_f and ν_f of a family: its capability is θ_f·ln C + ν_f, shrunk to the common line."""
        ends = self.centre + self.width * np.array([-1.0, 1.0])
        low, high = self.at(ends, [family, family])[0]
        theta = float(high - low) / (2.0 * self.width)
        return theta, float(0.5 * (low + high) - theta * self.centre)

    def _at(self, ratio: Array, x: Array, family: Names) -> tuple[Array, Array]:
        z, new = (self.x - self.centre) / self.width, (x - self.centre) / self.width
        X, X_new = np.column_stack([np.ones_like(z), z]), np.column_stack([np.ones_like(new), new])
        lower, beta, residual, sigma2 = _solve(self.S, X, self.family, ratio)
        cross = _kernel(new, z, family[:, None] == self.family[None, :], ratio)
        own = np.diag(_kernel(new, new, np.ones((len(new), len(new)), dtype=bool), ratio))
        half = np.linalg.solve(lower, cross.T)
        mean = X_new @ beta + half.T @ residual
        scaled = np.linalg.solve(lower, X)
        left = X_new.T - scaled.T @ half
        spread = own - np.sum(half**2, axis=0) + np.sum(left * np.linalg.solve(scaled.T @ scaled, left), axis=0)
        return mean, sigma2 * np.maximum(spread, 0.0)


def pooled_efficiencies(x: Array, S: Array, family: Sequence[str]) -> Efficiencies:
    """Fit one capability S (n,) to x = ln C (n,) with θ_f and ν_f pooled over families, by restricted likelihood.

    Row order does not matter. Raises FitError for fewer than four models, or when all have the same compute.
    """
    if len(x) < FEWEST or np.ptp(x) == 0:
        raise FitError(
            f"{len(x)} models at {len(np.unique(x))} amounts of compute cannot tell how a capability grows; "
            f"measure at least {FEWEST} models of different compute"
        )
    names = np.asarray(family, dtype=np.str_)
    centre, width = float(x.mean()), float(x.std())
    z = (x - centre) / width
    X = np.column_stack([np.ones_like(z), z])
    ratios = np.array([(u, v) for u in RATIOS for v in RATIOS])
    score = np.array([_restricted_likelihood(S, X, names, ratio) for ratio in ratios])
    weights = np.exp(score - score.max())
    weights /= weights.sum()
    kept = weights > 1e-4
    return Efficiencies(x, S, names, ratios[kept], weights[kept] / weights[kept].sum(), centre, width)


def _kernel(a: Array, b: Array, same: NDArray[np.bool_], ratio: Array) -> Array:
    made: Array = same * (ratio[0] + ratio[1] * a[:, None] * b[None, :])
    return made


def _solve(S: Array, X: Array, family: Names, ratio: Array) -> tuple[Array, Array, Array, float]:
    V = np.eye(len(S)) + _kernel(X[:, 1], X[:, 1], family[:, None] == family[None, :], ratio)
    lower = np.asarray(np.linalg.cholesky(V), dtype=np.float64)
    A = np.asarray(np.linalg.solve(lower, X), dtype=np.float64)
    b = np.asarray(np.linalg.solve(lower, S), dtype=np.float64)
    beta = np.asarray(np.linalg.solve(A.T @ A, A.T @ b), dtype=np.float64)
    residual = b - A @ beta
    return lower, beta, residual, float(residual @ residual) / max(1, len(S) - 2)


def _restricted_likelihood(S: Array, X: Array, family: Names, ratio: Array) -> float:
    lower, _, _, sigma2 = _solve(S, X, family, ratio)
    A = np.linalg.solve(lower, X)
    free = max(1, len(S) - 2)
    return float(
        -np.log(np.diag(lower)).sum() - 0.5 * free * np.log(sigma2 + 1e-300) - 0.5 * np.linalg.slogdet(A.T @ A)[1]
    )
