"""The posterior of a law's coefficients under a normal prior: its mode, and draws by importance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError
from foretell.fitting.coordinates import Coordinates, coordinates_of
from foretell.fitting.objective import Objective
from foretell.laws.law import Law

Array = NDArray[np.float64]

STEPS = 200
SETTLED = 1e-9  # of the objective, when a descent ends
SPREAD_WORTH = 3.0  # rows that the expected spread of the residuals counts as
PROPOSALS, FEWEST_PROPOSALS = 4, 4000  # proposals a draw
TAIL_DEGREES = 5.0  # of the Student-t that proposes: heavier tails than the posterior's
CHUNK = 2_000_000  # values of the law computed at once


@dataclass(frozen=True)
class Problem:
    """Hold rows and a normal prior: log y is normal about log law(u), its spread unknown, expected near `spread`.

    `features` (f, n) are the law's, `weight` (n,) what each row counts, `centre` (q,) and `precision` (q, q) the prior
    in fitted coordinates. The spread is integrated out: what is left is a Student-t likelihood.
    """

    law: Law
    features: Array
    log_value: Array
    weight: Array
    centre: Array
    precision: Array
    spread: float

    @property
    def worth(self) -> float:
        """Count the rows, and those that the expected spread counts as."""
        return SPREAD_WORTH + float(self.weight.sum())

    @property
    def coordinates(self) -> Coordinates:
        """Give the law's fitted coordinates."""
        return coordinates_of(self.law, Objective("gaussian", "log"))

    def squares(self, u: Array) -> Array:
        """Sum the weighted squared residuals, and those that the expected spread stands for, at coordinates (B, q)."""
        total = np.empty(len(u))
        chunk = max(1, CHUNK // max(1, len(self.log_value)))
        for begin in range(0, len(u), chunk):
            part = slice(begin, begin + chunk)
            theta = self.coordinates.natural(u[part])
            with np.errstate(all="ignore"):
                value = np.log(self.law.gradient(theta, self.features)[0])
                total[part] = np.sum(self.weight * (self.log_value - value) ** 2, axis=-1)
        return np.where(np.isfinite(total), total, np.inf) + SPREAD_WORTH * self.spread**2

    def objective(self, u: Array) -> Array:
        """Give −log of the posterior density (B,) at coordinates (B, q), without its constant."""
        away = u - self.centre
        prior = 0.5 * np.einsum("bi,ij,bj->b", away, self.precision, away)
        found: Array = prior + 0.5 * self.worth * np.log(self.squares(u))
        return found

    def step(self, u: Array) -> tuple[Array, Array]:
        """Give gradient (q,) and Gauss–Newton curvature (q, q) of the objective at coordinates (q,)."""
        coordinates = self.coordinates
        with np.errstate(all="ignore"):
            value, gradient = self.law.gradient(coordinates.natural(u), self.features)
            slopes = gradient / value * coordinates.slope(u)[:, None]
            residuals = self.log_value - np.log(value)
        variance = float(self.squares(u[None, :])[0]) / self.worth
        weighted = slopes * (self.weight / variance)
        return (
            self.precision @ (u - self.centre) - np.sum(weighted * residuals, axis=1),
            self.precision + np.einsum("in,jn->ij", weighted, slopes),
        )


@dataclass(frozen=True)
class Posterior:
    """Hold the mode (q,), the covariance (q, q) of the normal about it, and draws (B, q) with their spreads (B,).

    `effective` says which share of the proposals the draws are worth, 1 when none were made.
    """

    problem: Problem
    u: Array
    covariance: Array
    draws: Array
    spreads: Array
    effective: float

    def value(self, inputs: Mapping[str, Array]) -> float:
        """Compute the law at its mode, for inputs of one row."""
        return float(self._at(self.u[None, :], inputs)[0])

    def values(self, inputs: Mapping[str, Array]) -> Array:
        """Compute the law (B,) for every draw, for inputs of one row."""
        return self._at(self.draws, inputs)

    @property
    def log_evidence(self) -> float:
        """Give the logarithm of the rows' density under the prior (Laplace), up to a constant that laws share."""
        problem = self.problem
        expected = 0.5 * SPREAD_WORTH * np.log(SPREAD_WORTH * problem.spread**2)
        volume = 0.5 * (np.linalg.slogdet(problem.precision)[1] + np.linalg.slogdet(self.covariance)[1])
        return float(expected + volume - problem.objective(self.u[None, :])[0])

    def _at(self, u: Array, inputs: Mapping[str, Array]) -> Array:
        law = self.problem.law
        return law.gradient(self.problem.coordinates.natural(u), law.features(inputs))[0][:, 0]

    @property
    def spread(self) -> float:
        """Give the residuals' standard deviation at the mode."""
        return float(np.sqrt(self.problem.squares(self.u[None, :])[0] / self.problem.worth))


def find_mode(problem: Problem, starts: Array) -> tuple[Array, Array]:
    """Descend from starts (B, q) by Levenberg and Marquardt; give the lowest mode and the covariance about it.

    Raises FitError when no start leads anywhere.
    """
    ends = [_descend(problem, start) for start in starts]
    values = problem.objective(np.array(ends))
    if not np.isfinite(values).any():
        raise FitError(f"no start of {problem.law.name} gave a finite posterior; check the values")
    u = ends[int(np.argmin(np.where(np.isfinite(values), values, np.inf)))]
    return u, np.asarray(np.linalg.inv(problem.step(u)[1]), dtype=np.float64)


def _descend(problem: Problem, u: Array) -> Array:
    value, damping = float(problem.objective(u[None, :])[0]), 1e-3
    if not np.isfinite(value):
        return u
    gradient, curvature = problem.step(u)
    for _ in range(STEPS):
        trial = u - np.linalg.solve(curvature + damping * np.diag(np.diag(curvature)), gradient)
        new = float(problem.objective(trial[None, :])[0])
        if not new <= value:  # also where it is not finite
            damping *= 5.0
            if damping > 1e12:
                break
            continue
        settled = value - new <= SETTLED * (1.0 + abs(value))
        u, value, damping = trial, new, max(damping / 5.0, 1e-12)
        if settled:
            break
        gradient, curvature = problem.step(u)
    return u


def draw_posterior(problem: Problem, starts: Array, draws: int, seed: int) -> Posterior:
    """Find the mode, and draw from the posterior: a Student-t about the mode proposes, importance resamples."""
    u, covariance = find_mode(problem, starts)
    if not draws:
        return Posterior(problem, u, covariance, np.empty((0, len(u))), np.empty(0), 1.0)
    rng = np.random.default_rng([seed, 5])
    count = max(FEWEST_PROPOSALS, PROPOSALS * draws)
    root = np.linalg.cholesky(covariance)
    normal = rng.normal(size=(count, len(u)))
    stretch = np.sqrt(TAIL_DEGREES / rng.chisquare(TAIL_DEGREES, size=count))
    proposals = u + (normal * stretch[:, None]) @ root.T
    distance = np.sum((normal * stretch[:, None]) ** 2, axis=1)
    proposed = -0.5 * (TAIL_DEGREES + len(u)) * np.log1p(distance / TAIL_DEGREES)
    log_weight = -problem.objective(proposals) - proposed
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    ladder = (np.arange(draws) + rng.random()) / draws  # systematic: each proposal as often as its weight says
    kept = proposals[np.minimum(np.searchsorted(np.cumsum(weight), ladder), count - 1)]
    kept = kept[rng.permutation(draws)]
    spreads = np.sqrt(problem.squares(kept) / rng.chisquare(problem.worth, size=draws))
    return Posterior(problem, u, covariance, kept, spreads, float(1.0 / np.sum(weight**2) / count))
