"""Observational scaling exactly as its authors fitted it (Ruan 2024, arXiv 2405.10938; code: ryoungj/ObsScaling)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError, MethodError
from foretell.methods.floored_sigmoid import sigmoid
from foretell.methods.principal import components_of, fit_imputer, score_table, share_of
from foretell.table import Observations

Array = NDArray[np.float64]

START = 3e-2  # of every weight (released fit_multivariate_regression_model, init_val); shift and floor start at 0
FLOOR = 0.2  # the floor's upper bound (released sigmoid_param_range_width)
MOST_CALLS = 10_000  # released maxfev


@dataclass(frozen=True)
class PublishedSigmoid:
    """Hold y = (1 − b)·σ(w·x + c) + b, with b in 0..0.2 (released `sigmoid_param_fix_height`)."""

    weight: Array
    shift: float
    floor: float

    def predict(self, inputs: Array) -> Array:
        """Compute the shares (m,) at inputs (m, p)."""
        return self.floor + (1.0 - self.floor) * sigmoid(inputs @ self.weight + self.shift)


def fit_published(inputs: Array, value: Array) -> PublishedSigmoid:
    """Fit shares (n,) to inputs (n, p) by `curve_fit` from the released start; rows may come in any order.

    Raises FitError when there are fewer models than coefficients, or the optimiser gives up.
    """
    from scipy.optimize import curve_fit

    n, p = inputs.shape
    if n < p + 2:
        raise FitError(f"{n} models cannot fix {p + 2} coefficients (a floor, a shift, {p} weights); add models")
    order = np.lexsort((value, *inputs.T))
    lower, upper = np.full(p + 2, -np.inf), np.full(p + 2, np.inf)
    lower[-1], upper[-1] = 0.0, FLOOR
    try:
        theta = curve_fit(
            lambda x, *t: PublishedSigmoid(np.array(t[1:-1]), t[0], t[-1]).predict(x),
            inputs[order],
            value[order],
            p0=np.concatenate([[0.0], np.full(p, START), [0.0]]),
            maxfev=MOST_CALLS,
            bounds=(lower, upper),
        )[0]
    except RuntimeError as error:
        raise FitError(f"the published fit gave up: {error}") from None
    return PublishedSigmoid(theta[1:-1], float(theta[0]), float(theta[-1]))


def published_from_scores(
    observations: Observations,
    targets: Observations,
    metric: str,
    benchmarks: Sequence[str],
    *,
    components: int = 3,
    scales: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Forecast a metric of target runs, as shares by run, from principal components of their other benchmarks.

    Imputation and components are learned on the models that have the metric. Raises MethodError when the metric is
    among the benchmarks, as the authors' code asserts.
    """
    if metric in benchmarks:
        raise MethodError(f"{metric} cannot be among the benchmarks that forecast it")
    training = observations.training()
    points = training.metric(metric)
    value = share_of(training, metric, points.value[np.argsort(points.run)], scales)
    _, known = score_table(training.only_runs(points.run), benchmarks, scales)
    names, given = score_table(targets, benchmarks, scales)
    imputer, filled = fit_imputer(known)
    made = components_of(filled, components)
    found = fit_published(made.of(filled), value).predict(made.of(imputer.fill(given)))
    return dict(zip(names, found.tolist(), strict=True))


def published_from_compute(
    observations: Observations, targets: Observations, metric: str, *, scales: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Forecast a metric of target runs, as shares by run, from ln C alone: the paper's own baseline (its §4.1)."""
    training = observations.training()
    points = training.metric(metric)
    value = share_of(training, metric, points.value, scales)
    fitted = fit_published(np.log(points.input("C") / 1e21)[:, None], value)  # C in 1e21 FLOP, as in the released files
    names, x = _compute_of(targets)
    return dict(zip(names, fitted.predict(x[:, None]).tolist(), strict=True))


def published_from_families(
    observations: Observations,
    targets: Observations,
    metric: str,
    benchmarks: Sequence[str],
    *,
    components: int = 3,
    scales: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Forecast a metric of target runs, as shares by run, through S = θ_f·ln C + ν_f of their families (Eq. 2).

    Each family's lines are fitted on their own by least squares; a family of one model, or none, takes the line of all
    models, since the paper gives it none.
    """
    training = observations.training()
    points = training.metric(metric)
    value = share_of(training, metric, points.value[np.argsort(points.run)], scales)
    mine = training.only_runs(points.run)
    runs, known = score_table(mine, benchmarks, scales)
    made = components_of(fit_imputer(known)[1], components)
    S = made.of(fit_imputer(known)[1])
    (_, x), (names, x_new) = _compute_of(mine), _compute_of(targets)
    family, of_target = _family_of(mine, runs), _family_of(targets, names)
    S_new = np.empty((len(names), components))
    for i, name in enumerate(of_target):
        inside = family == name
        if inside.sum() < 2 or np.ptp(x[inside]) == 0:
            inside[:] = True
        line = np.polyfit(x[inside], S[inside], 1)
        S_new[i] = line[0] * x_new[i] + line[1]
    return dict(zip(names, fit_published(S, value).predict(S_new).tolist(), strict=True))


def _compute_of(observations: Observations) -> tuple[list[str], Array]:
    """Give runs in order of name and ln(C / 1e21 FLOP), C being 6ND where unknown."""
    count = observations.law_N
    rows = list(observations.runs.sort("name").iter_rows(named=True))
    return [row["name"] for row in rows], np.log([(row["C"] or 6.0 * row[count] * row["D"]) / 1e21 for row in rows])


def _family_of(observations: Observations, runs: Sequence[str]) -> NDArray[np.str_]:
    of = dict(zip(observations.runs["name"], observations.runs["family"], strict=True))
    return np.array([of[run] for run in runs], dtype=np.str_)
