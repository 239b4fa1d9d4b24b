"""The over-training law exactly as its paper fitted it (Gadre 2024, arXiv 2403.08540; code: mlfoundations/scaling)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError, MethodError, UnknownName
from foretell.forecast import Forecast, Settings, Target
from foretell.methods.point_forecast import point_forecast
from foretell.table import Observations, Points

Array = NDArray[np.float64]

# Table 2: the runs that the paper fits, as (N_total, token multiplier M = D/N_total).
LOSS_RUNS = ((10_569_312, 20), (78_914_048, 20), (153_677_376, 20), (411_616_256, 20), (10_569_312, 320))
ERROR_RUNS = (*LOSS_RUNS, (1_439_795_200, 20))
SAME_M = 1e-6  # relative; D = 20 · multiplier · N holds exactly in the published files

# Starts of the released laws.py, which the loss law tries in every combination.
STARTS_A = (1e2, 3e2, 1e3, 3e3)
STARTS_B = (1e2, 3e2, 1e3, 3e3)
STARTS_EXPONENT = (-0.1, -0.3)  # of N, that is −2 eta
STARTS_E = (0.0, 1.0, 2.0, 10.0)
EVALUATIONS = 10_000
CONVERGED = (1, 2, 3, 4)  # MINPACK's answers that curve_fit takes for a fit


@dataclass(frozen=True)
class OvertrainedLoss:
    """Hold L = A N^(−2 eta) + B 6^(−eta) (M N)^(−2 eta) + E, in nats/token (released `powlaw_ours`; paper, Eq. 4)."""

    A: float
    B: float
    eta: float
    E: float

    def loss(self, N: float, M: float) -> float:
        """Compute the loss of N parameters, embeddings included, trained on M tokens for each."""
        return float(_loss(np.array([N]), np.array([M]), self.A, self.B, -2.0 * self.eta, self.E)[0])


@dataclass(frozen=True)
class ErrorInLoss:
    """Hold Err = epsilon − k exp(−gamma L) (released `fit_ds`)."""

    epsilon: float
    k: float
    gamma: float

    def error(self, loss: float) -> float:
        """Compute the top-1 error at a loss."""
        return self.epsilon - self.k * math.exp(-self.gamma * loss)


@dataclass(frozen=True)
class PublishedOvertrained:
    """Forecast losses, accuracies and average errors of over-trained models from the paper's five and six runs.

    `family` is the training set of the runs and the targets (the study's only one if not given). `loss` leads to
    errors: C4 validation for every training set. Any other loss is forecast by a law of its own.
    """

    family: str | None = None
    loss: str = "c4/loss"

    name = "overtrained"
    source = "Gadre 2024, arXiv 2403.08540, with the optimiser and starts of its released code"

    def forecast(
        self, observations: Observations, targets: Sequence[Target], metrics: Sequence[str], settings: Settings
    ) -> list[Forecast]:
        """Forecast every metric of every target, each as a point without an interval; `settings` are the paper's own.

        Targets count N with embeddings. Where the error's fit does not converge (the paper's fails on two tasks), the
        error of the largest fitted run is copied, and a doubt says so. Raises MethodError for a study that counts N
        without embeddings or a metric that is neither loss, accuracy nor error, FitError when one of Table 2's runs
        is missing.
        """
        if observations.law_N != "N_total":
            raise MethodError(
                f"the paper counts N with embeddings, this study's laws use {observations.law_N}; read N_total"
            )
        mine = self._of_family(observations.training())
        laws: dict[str, tuple[Points, OvertrainedLoss]] = {}
        made: list[Forecast] = []
        for name in metrics:
            metric = mine.metric_named(name)
            if not metric.is_loss and not metric.is_share:
                raise MethodError(f"{name} is {metric.unit}; the paper forecasts losses, accuracies and errors")
            leading = name if metric.is_loss else self.loss
            if leading not in laws:
                points = chosen_runs(mine.metric(leading), LOSS_RUNS)
                laws[leading] = points, fit_loss(points)
            points, law = laws[leading]
            values = [law.loss(target.N, target.D / target.N) for target in targets]
            doubts: list[str] = []
            if metric.is_share:
                values, doubts = self._shares(mine, name, values)
            for target, value in zip(targets, values, strict=True):
                made.append(point_forecast(self.name, target, metric, value, points, doubts))
        return made

    def fit_error(self, observations: Observations, name: str) -> ErrorInLoss:
        """Fit the error law of an accuracy or error metric to the family's six runs; raises FitError."""
        mine = self._of_family(observations.training())
        return fit_error(*_loss_and_error(mine, self.loss, name), name)

    def _shares(self, mine: Observations, name: str, losses: Sequence[float]) -> tuple[list[float], list[str]]:
        loss, error = _loss_and_error(mine, self.loss, name)
        doubts: list[str] = []
        try:
            law = fit_error(loss, error, name)
            errors = [law.error(at) for at in losses]
        except FitError as failure:
            largest = float(error[-1])
            errors = [largest] * len(losses)
            doubts = [f"{failure}; the error of the largest fitted run, {largest:.3f}, is copied"]
        return (errors if mine.metrics[name].unit == "error" else [1.0 - at for at in errors]), doubts

    def _of_family(self, training: Observations) -> Observations:
        families = sorted(set(training.runs["family"]))
        if self.family is None:
            if len(families) != 1:
                raise MethodError(
                    f"the study holds the families {', '.join(families)}; say which one is to be forecast"
                )
            return training
        if self.family not in families:
            raise UnknownName("family", self.family, families)
        return training.only_runs(
            [name for name, family in training.runs.select("name", "family").iter_rows() if family == self.family]
        )


def chosen_runs(points: Points, wanted: Sequence[tuple[int, int]]) -> Points:
    """Keep one row for each (N_total, M), in that order; raises FitError when one is missing or there twice."""
    sizes, M = points.input("N_total"), points.input("D") / points.input("N_total")
    rows: list[int] = []
    for N_total, multiplier in wanted:
        found = np.flatnonzero((sizes == N_total) & (np.abs(M / multiplier - 1.0) < SAME_M))
        if len(found) != 1:
            raise FitError(
                f"{len(found)} runs of {points.metric.name} have N_total = {N_total:,} and M = {multiplier}; the "
                "published fit needs exactly one of each run of the paper's Table 2"
            )
        rows.append(int(found[0]))
    return points.take(np.array(rows, dtype=np.intp))


def fit_loss(points: Points) -> OvertrainedLoss:
    """Fit the loss law by Levenberg–Marquardt from 128 starts, least squares in the loss. Raises FitError."""
    N, M = points.input("N_total"), points.input("D") / points.input("N_total")
    best: tuple[float, Array] | None = None
    for start in itertools.product(STARTS_A, STARTS_B, STARTS_EXPONENT, STARTS_E):
        theta, converged = _levenberg_marquardt(lambda theta: _loss(N, M, *theta) - points.value, start)
        squares = float(np.sum((_loss(N, M, *theta) - points.value) ** 2))
        if converged and (best is None or squares < best[0]):
            best = squares, theta
    if best is None:
        raise FitError(
            f"no start of the published fit of {points.metric.name} converges in {EVALUATIONS:,} evaluations"
        )
    A, B, exponent, E = (float(value) for value in best[1])
    return OvertrainedLoss(A=A, B=B, eta=-0.5 * exponent, E=E)


def fit_error(loss: Array, error: Array, name: str) -> ErrorInLoss:
    """Fit Err = epsilon − k exp(−gamma L) from one start of ones, as curve_fit does by default. Raises FitError."""

    def residuals(theta: Array) -> Array:
        k, gamma, epsilon = theta
        return np.asarray(epsilon - k * np.exp(-gamma * loss) - error)

    theta, converged = _levenberg_marquardt(residuals, (1.0, 1.0, 1.0))
    if not converged:
        raise FitError(
            f"the published fit of {name} to {len(loss)} runs does not converge in {EVALUATIONS:,} evaluations"
        )
    k, gamma, epsilon = (float(value) for value in theta)
    return ErrorInLoss(epsilon=epsilon, k=k, gamma=gamma)


def _loss_and_error(mine: Observations, loss: str, name: str) -> tuple[Array, Array]:
    """Give loss and error (6,) of the runs of the error law, the largest last."""
    shares = chosen_runs(mine.metric(name), ERROR_RUNS)
    error = shares.value if shares.metric.unit == "error" else 1.0 - shares.value
    return chosen_runs(mine.metric(loss), ERROR_RUNS).value, error


def _loss(N: Array, M: Array, A: float, B: float, exponent: float, E: float) -> Array:
    with np.errstate(all="ignore"):  # a step may overflow; it is then refused
        return np.asarray(A * N**exponent + B * 6.0 ** (0.5 * exponent) * (M * N) ** exponent + E)


def _levenberg_marquardt(residuals: Callable[[Array], Array], start: Sequence[float]) -> tuple[Array, bool]:
    """Run MINPACK's lmdif as curve_fit does without bounds; its covariance, of no use here, is not asked for."""
    from scipy.optimize import leastsq

    with np.errstate(all="ignore"):
        theta, _, _, _, answer = leastsq(residuals, list(start), full_output=True, maxfev=EVALUATIONS)
    return np.asarray(theta, dtype=np.float64), answer in CONVERGED and bool(np.isfinite(theta).all())
