"""The Chinchilla law exactly as its paper fitted it (Hoffmann 2022, arXiv 2203.15556, approach 3)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError, MethodError
from foretell.forecast import Forecast, Settings, Target
from foretell.methods.huber import huber
from foretell.methods.point_forecast import point_forecast
from foretell.table import Observations, Points

Array = NDArray[np.float64]

# The paper's grid of starts: of alpha, beta, e = log E, a = log A, b = log B.
STARTS_EXPONENT = (0.0, 0.5, 1.0, 1.5, 2.0)
STARTS_LOG_E = (-1.0, -0.5, 0.0, 0.5, 1.0)
STARTS_LOG_AMPLITUDE = (0.0, 5.0, 10.0, 15.0, 20.0, 25.0)
GRID = tuple(
    itertools.product(STARTS_EXPONENT, STARTS_EXPONENT, STARTS_LOG_E, STARTS_LOG_AMPLITUDE, STARTS_LOG_AMPLITUDE)
)
STOPS_EARLY = (
    "as published: the penalty is averaged over rows, not summed, so that L-BFGS meets its default tolerance early "
    "(Besiroglu 2024, arXiv 2404.10102)"
)


@dataclass(frozen=True)
class ChinchillaLoss:
    """Hold L = A/N^alpha + B/D^beta + E (paper, approach 3)."""

    A: float
    B: float
    alpha: float
    beta: float
    E: float

    def loss(self, target: Target) -> float:
        """Compute the loss of a target."""
        return float(self.A / target.N**self.alpha + self.B / target.D**self.beta + self.E)


@dataclass(frozen=True)
class PublishedChinchilla:
    """Forecast losses by the law in N and D, fitted as the paper did: its penalty, optimiser and grid of starts.

    An early stop is not a minimum: on the paper's 240 digitised points it ends 9 % above the least penalty, and A moves
    by 2 % with how sums round (measured: 838 to 853). `starts` takes that many of the grid's 4,500 starts, evenly
    spread; each costs about 1.5 ms (measured there). Raises MethodError for a number of starts that the grid lacks.
    """

    starts: int = len(GRID)

    name = "chinchilla"
    source = "Hoffmann 2022, arXiv 2203.15556, approach 3, with its own penalty, optimiser and starts"

    def __post_init__(self) -> None:
        if not 1 <= self.starts <= len(GRID):
            raise MethodError(f"{self.starts} starts were asked for; the paper's grid has 1 to {len(GRID)}")

    def forecast(
        self, observations: Observations, targets: Sequence[Target], metrics: Sequence[str], settings: Settings
    ) -> list[Forecast]:
        """Forecast every metric of every target, each as a point without an interval; `settings` are the paper's own.

        Raises MethodError for a metric that is no loss, FitError for fewer rows than coefficients.
        """
        training = observations.training()
        made: list[Forecast] = []
        for name in metrics:
            metric = training.metric_named(name)
            if not metric.is_loss:
                raise MethodError(f"{name} is {metric.unit}; the published Chinchilla law forecasts losses only")
            points = training.metric(name)
            law = self.fit(points)
            made += [point_forecast(self.name, t, metric, law.loss(t), points, [STOPS_EARLY]) for t in targets]
        return made

    def fit(self, points: Points) -> ChinchillaLoss:
        """Fit the law from every start and keep the least mean penalty; rows may come in any order. Raises FitError."""
        from scipy.optimize import minimize

        if len(points) < len(GRID[0]):
            raise FitError(f"{len(points)} rows of {points.metric.name} cannot fix 5 coefficients; add runs")
        rows = points.take(np.lexsort((points.value, points.input("D"), points.input("N"))))
        data = np.log(rows.input("N")), np.log(rows.input("D")), np.log(rows.value)
        chosen = np.linspace(0, len(GRID) - 1, self.starts).round().astype(int)
        found = [minimize(mean_penalty, GRID[i], args=data, jac=True, method="L-BFGS-B") for i in chosen]
        alpha, beta, log_E, log_A, log_B = (float(value) for value in min(found, key=lambda end: end.fun).x)
        return ChinchillaLoss(A=math.exp(log_A), B=math.exp(log_B), alpha=alpha, beta=beta, E=math.exp(log_E))


def mean_penalty(theta: Array, log_N: Array, log_D: Array, log_loss: Array) -> tuple[float, Array]:
    """Average Huber's penalty of log losses, a log-sum-exp, over the rows, with its gradient (paper, approach 3)."""
    alpha, beta, log_E, log_A, log_B = theta
    terms = np.stack([log_A - alpha * log_N, log_B - beta * log_D, np.full_like(log_N, log_E)])
    highest = terms.max(axis=0)
    shares = np.exp(terms - highest)
    total = shares.sum(axis=0)
    of_N, of_D, of_E = shares / total
    slopes = np.stack([-log_N * of_N, -log_D * of_D, of_E, of_N, of_D])
    penalty, gradient = huber(highest + np.log(total) - log_loss, slopes)
    return penalty / len(log_loss), gradient / len(log_loss)
