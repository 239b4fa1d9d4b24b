"""The model ladder exactly as its paper fitted it (Bhagia 2024, arXiv 2412.04403; code: allenai/OLMo-ladder)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError, MethodError, UnknownName
from foretell.forecast import Forecast, Settings, Target
from foretell.methods.huber import huber
from foretell.methods.point_forecast import point_forecast
from foretell.table import Metric, Observations, Points

Array = NDArray[np.float64]

OWN = "bpb"  # each task's own bits per byte of the correct answer
DROPPED = 0.1  # of each run's checkpoints, before the link is fitted (released: --skip_perc 0.1)
SMOOTHED = 5  # checkpoints in the moving average on both axes (released: --moving_avg 5)
IDEAL_LOSS, IDEAL_ACCURACY = 0.0, 1.0  # the paper's extra point of step 2
AT_BOUND = 1e-6  # of a bound; measured on the ladder: TRF ends within 1e-11, L-BFGS-B on it


class Guess(NamedTuple):
    """Say where the released code starts a coefficient, and how it bounds it."""

    start: float
    lower: float
    upper: float


# Starts and bounds of the released code: step1.py, step1_flops.py, step2.py. `a` starts at chance − 1.
IN_N_AND_D = {
    "log_A": Guess(3.0, 0.0, math.inf),
    "log_B": Guess(6.0, 0.0, math.inf),
    "alpha": Guess(0.1, 0.0, math.inf),
    "beta": Guess(0.2, 0.0, math.inf),
    "E": Guess(1.0, 0.0, math.inf),
}
IN_C = {"log_A": Guess(10.0, 0.0, math.inf), "alpha": Guess(0.4, 0.0, 1.0), "E": Guess(0.5, 0.0, math.inf)}
LINK = {"L0": Guess(0.9, 0.0, math.inf), "k": Guess(3.0, 0.0, math.inf), "b": Guess(1.0, 0.0, 1.0)}


@dataclass(frozen=True)
class LossInND:
    """Hold step 1: L = A/N^alpha + B/D^beta + E, in the loss's own unit (released `chinchilla_n_d_fit`)."""

    A: float
    B: float
    alpha: float
    beta: float
    E: float

    def loss(self, target: Target) -> float:
        """Compute the loss of a target."""
        return float(self.A / target.N**self.alpha + self.B / target.D**self.beta + self.E)

    def doubts(self) -> list[str]:
        """List the coefficients that ended on a bound."""
        reached = {
            "log_A": math.log(self.A),
            "log_B": math.log(self.B),
            "alpha": self.alpha,
            "beta": self.beta,
            "E": self.E,
        }
        return _on_bounds("step 1", reached, IN_N_AND_D)


@dataclass(frozen=True)
class LossInC:
    """Hold the compute variant of step 1: L = A/C^alpha + E (released step1_flops.py)."""

    A: float
    alpha: float
    E: float

    def loss(self, target: Target) -> float:
        """Compute the loss of a target; raises MethodError when its compute is not known."""
        if target.C is None:
            raise MethodError(
                f"the target {target.label} has no C, and this ladder counts compute by its configuration, not by 6ND; "
                "give the target's C"
            )
        return float(self.A / target.C**self.alpha + self.E)

    def doubts(self) -> list[str]:
        """List the coefficients that ended on a bound."""
        return _on_bounds("step 1", {"log_A": math.log(self.A), "alpha": self.alpha, "E": self.E}, IN_C)


@dataclass(frozen=True)
class AccuracyInLoss:
    """Hold step 2: Acc = a/(1 + exp(−k (L − L0))) + b (released `sigmoid`)."""

    a: float
    L0: float
    k: float
    b: float

    def accuracy(self, loss: float) -> float:
        """Compute the accuracy at a loss."""
        return float(_sigmoid(np.array([loss]), self.a, self.L0, self.k, self.b)[0])

    def doubts(self) -> list[str]:
        """List the coefficients that ended on a bound."""
        bounds = {"a": Guess(math.nan, -1.0, 0.0), **LINK}
        return _on_bounds("step 2", {"a": self.a, "L0": self.L0, "k": self.k, "b": self.b}, bounds)


@dataclass(frozen=True)
class PublishedLadder:
    """Forecast accuracy in two steps as the paper did: one start each, through SciPy's L-BFGS-B and TRF.

    `intermediate` is `bpb` for each task's own bits per byte of the correct answer, or a loss metric that all tasks
    share (`c4/loss`). `from_compute` takes the released variant in C. `ideal_point` adds accuracy 1 at loss 0 to step
    2. A loss metric is forecast by step 1 alone. Step 2 starts at a = chance − 1; the released predict.py passed a
    flag in chance's place, which starts it at −1 and ruins two tasks with C4 loss.
    """

    intermediate: str = OWN
    from_compute: bool = False
    ideal_point: bool = True

    name = "ladder"
    source = "Bhagia 2024, arXiv 2412.04403, with the optimisers, starts and bounds of its released code"

    def forecast(
        self, observations: Observations, targets: Sequence[Target], metrics: Sequence[str], settings: Settings
    ) -> list[Forecast]:
        """Forecast every metric of every target, each as a point without an interval; `settings` are the paper's own.

        Raises MethodError for a metric that is neither a loss nor an accuracy, UnknownName for an intermediate that the
        study does not have, FitError where there are fewer rows than coefficients.
        """
        training = observations.training()
        smooth: Observations | None = None
        made: list[Forecast] = []
        for name in metrics:
            metric = training.metric_named(name)
            points = training.metric(self._loss_of(metric, training))
            first = self.fit_loss(points)
            if metric.is_loss:
                made += [point_forecast(self.name, t, metric, first.loss(t), points, first.doubts()) for t in targets]
                continue
            if smooth is None:
                smooth = training.drop_first(DROPPED).moving_average(SMOOTHED)
            second = self.fit_link(smooth, points.metric.name, metric)
            doubts = [*first.doubts(), *second.doubts()]
            for target in targets:
                value = second.accuracy(first.loss(target))
                made.append(point_forecast(self.name, target, metric, value, points, doubts))
        return made

    def fit_loss(self, points: Points) -> LossInND | LossInC:
        """Fit step 1 to the final values of the runs; raises FitError for fewer rows than coefficients."""
        return fit_loss_in_C(points) if self.from_compute else fit_loss_in_N_and_D(points)

    def fit_link(self, smooth: Observations, loss: str, metric: Metric) -> AccuracyInLoss:
        """Fit step 2 to the smoothed checkpoints; raises FitError for fewer rows than coefficients."""
        return fit_accuracy_in_loss(smooth.link(loss, metric.name), ideal_point=self.ideal_point)

    def _loss_of(self, metric: Metric, training: Observations) -> str:
        """Name the loss through which a metric is forecast."""
        if metric.is_loss:
            return metric.name
        if metric.unit != "accuracy":
            raise MethodError(f"{metric.name} is {metric.unit}; the published ladder forecasts losses and accuracies")
        name = f"{metric.name.rsplit('/', 1)[0]}/{OWN}" if self.intermediate == OWN else self.intermediate
        losses = [known.name for known in training.metrics.values() if known.is_loss]
        if name not in losses:
            raise UnknownName("loss", name, losses)
        return name


def fit_loss_in_N_and_D(points: Points) -> LossInND:
    """Fit L = A/N^alpha + B/D^beta + E as step1.py does; rows may come in any order. Raises FitError."""
    points = _in_order(points)
    log_N, log_D, log_loss = np.log(points.input("N")), np.log(points.input("D")), np.log(points.value)

    def objective(theta: Array) -> tuple[float, Array]:
        log_A, log_B, alpha, beta, E = theta
        of_N, of_D = np.exp(log_A - alpha * log_N), np.exp(log_B - beta * log_D)
        loss = of_N + of_D + E
        slopes = np.stack([of_N, of_D, -log_N * of_N, -log_D * of_D, np.ones_like(loss)]) / loss
        return huber(np.log(loss) - log_loss, slopes)

    log_A, log_B, alpha, beta, E = _minimise(objective, IN_N_AND_D, points)
    return LossInND(A=math.exp(log_A), B=math.exp(log_B), alpha=alpha, beta=beta, E=E)


def fit_loss_in_C(points: Points) -> LossInC:
    """Fit L = A/C^alpha + E as step1_flops.py does; rows may come in any order. Raises FitError."""
    points = _in_order(points)
    log_C, log_loss = np.log(points.input("C")), np.log(points.value)

    def objective(theta: Array) -> tuple[float, Array]:
        log_A, alpha, E = theta
        of_C = np.exp(log_A - alpha * log_C)
        loss = of_C + E
        return huber(np.log(loss) - log_loss, np.stack([of_C, -log_C * of_C, np.ones_like(loss)]) / loss)

    log_A, alpha, E = _minimise(objective, IN_C, points)
    return LossInC(A=math.exp(log_A), alpha=alpha, E=E)


def fit_accuracy_in_loss(points: Points, *, ideal_point: bool = True) -> AccuracyInLoss:
    """Fit the sigmoid from loss to accuracy as step2.py does, by unweighted least squares. Raises FitError.

    This is `curve_fit` with bounds, called by the name of what it calls, since its covariance is of no use here.
    """
    from scipy.optimize import least_squares

    points = _in_order(points)
    loss, accuracy = points.input("L"), points.value
    if ideal_point:
        loss, accuracy = np.append(loss, IDEAL_LOSS), np.append(accuracy, IDEAL_ACCURACY)
    chance = points.metric.chance if points.metric.chance is not None else 0.0
    guesses = {"a": Guess(chance - 1.0, -1.0, 0.0), **LINK}
    _refuse_few(points, len(loss), guesses)
    found = least_squares(
        lambda theta: _sigmoid(loss, *theta) - accuracy,
        [guess.start for guess in guesses.values()],
        bounds=([guess.lower for guess in guesses.values()], [guess.upper for guess in guesses.values()]),
        method="trf",
        max_nfev=500_000,
    )
    if not found.success:
        raise FitError(f"the published fit of {points.metric.name} to its loss did not converge: {found.message}")
    a, L0, k, b = (float(value) for value in found.x)
    return AccuracyInLoss(a=a, L0=L0, k=k, b=b)


def _sigmoid(loss: Array, a: float, L0: float, k: float, b: float) -> Array:
    with np.errstate(over="ignore"):  # exp overflows to inf, the sigmoid to its end
        return a / (1.0 + np.exp(-k * (loss - L0))) + b


def _minimise(objective: Any, guesses: Mapping[str, Guess], points: Points) -> tuple[float, ...]:
    """Run L-BFGS-B with the released settings; it ends when no line search helps, so its message is not consulted."""
    from scipy.optimize import minimize

    _refuse_few(points, len(points), guesses)
    with np.errstate(all="ignore"):  # a line search may step where the loss overflows
        found = minimize(
            objective,
            [guess.start for guess in guesses.values()],
            jac=True,
            bounds=[(guess.lower, guess.upper) for guess in guesses.values()],
            method="L-BFGS-B",
            options={"ftol": 0.0, "gtol": 1e-10, "maxiter": 1_000_000},
        )
    if not (np.isfinite(found.fun) and np.isfinite(found.x).all()):
        raise FitError(
            f"the published fit of {points.metric.name} ended at {found.x}, which is no fit: {found.message}"
        )
    return tuple(float(value) for value in found.x)


def _in_order(points: Points) -> Points:
    """Order rows as the released config does, by size, length of the run, then time: sums round the same way."""
    ends = {run: points.input("D")[points.run == run].max() for run in np.unique(points.run)}
    end = np.array([ends[run] for run in points.run])
    return points.take(np.lexsort((points.value, points.input("D"), end, points.input("N"))))


def _refuse_few(points: Points, rows: int, guesses: Mapping[str, Guess]) -> None:
    if rows < len(guesses):
        raise FitError(
            f"{rows} rows of {points.metric.name} cannot fix the {len(guesses)} coefficients {', '.join(guesses)}; "
            "add runs or checkpoints"
        )


def _on_bounds(step: str, reached: Mapping[str, float], bounds: Mapping[str, Guess]) -> list[str]:
    names = [
        f"{name} = {value:.4g}"
        for name, value in reached.items()
        if min(value - bounds[name].lower, bounds[name].upper - value) < AT_BOUND
    ]
    return [f"{step} ended on a bound: {', '.join(names)}"] if names else []
