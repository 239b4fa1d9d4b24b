"""A kernel sums what it says: its own exp and log are right to 2 ulp, its slopes and curvatures are those of its sum."""

import numba
import numpy as np
import pytest

from differences import derivative
from foretell.fitting import elementary
from foretell.fitting.kernel import kernel_of, upper_index
from foretell.fitting.objective import parse_objective
from foretell.laws import LAWS
from ladders import CHINCHILLA, TRUTH, in_N_and_D, rungs

N, D = rungs()
RNG = np.random.default_rng(0)


@numba.njit
def _each_exp(x):
    return np.array([elementary.exp(number) for number in x])


@numba.njit
def _each_log(x):
    return np.array([elementary.log(number) for number in x])


def own_exp(x):
    return _each_exp(np.atleast_1d(x))


def own_log(x):
    return _each_log(np.atleast_1d(x))


def ulps(ours, exact):
    return np.max(np.abs(ours - exact) / np.spacing(np.abs(exact)))


def test_exp_is_right_to_two_ulp():
    x = np.concatenate([RNG.uniform(-708, 709, 50_000), RNG.normal(size=50_000), [0.0, -0.0, 1.0, -1.0, 1e-300]])
    assert ulps(own_exp(x), np.exp(x)) <= 2
    assert own_exp(0.0) == 1.0


def test_log_is_right_to_two_ulp():
    x = np.concatenate([np.exp(RNG.uniform(-700, 700, 50_000)), RNG.uniform(0.5, 2.0, 50_000), [1 + 1e-15, 1 - 1e-15]])
    assert ulps(own_log(x), np.log(x)) <= 2
    assert own_log(1.0) == 0.0


def test_exp_stops_at_its_ends_and_passes_nan_on():
    assert 0 < own_exp(-np.inf)[0] == own_exp(-1e9)[0] == own_exp(-708.0)[0]
    assert np.isfinite(own_exp(np.inf))
    assert own_exp(np.inf)[0] == own_exp(1e9)[0] == own_exp(709.0)[0]
    assert np.isnan(own_exp(np.nan))


def test_log_of_what_is_not_positive_is_nan():
    assert np.isnan(own_log(np.array([0.0, -0.0, -1.0, -np.inf, np.nan]))).all()


def test_log_undoes_exp():
    x = RNG.uniform(-700, 700, 10_000)
    np.testing.assert_allclose(own_log(own_exp(x)), x, rtol=1e-15, atol=1e-15)


# -- objectives -----------------------------------------------------------------------------------------------------


def penalty_of(kind, parameter, r):
    if kind == "gaussian":
        return 0.5 * r**2
    if kind == "huber":
        return np.where(np.abs(r) <= parameter, 0.5 * r**2, parameter * (np.abs(r) - 0.5 * parameter))
    return 0.5 * (parameter + 1) * np.log1p(r**2 / parameter)


def plain_sum(law, objective, theta, inputs, target, weight):
    """Write the objective anew, with the formula itself and numpy."""
    p = len(law.coefficients)
    value = law.value(dict(zip(law.coefficients, theta[:p], strict=True)), inputs)
    if objective.kind == "binomial":
        return -np.sum(weight * (target * np.log(value) + (1 - target) * np.log1p(-value)))
    r = np.log(value) - target if objective.space == "log" else value - target
    if not objective.free_scale:
        return np.sum(weight * penalty_of(objective.kind, objective.parameter, r))
    return np.sum(weight * (penalty_of(objective.kind, objective.parameter, r / np.exp(theta[p])) + theta[p]))


def run_kernel(law, objective, theta, inputs, target, weight):
    q = len(theta)
    out = np.full(1 + q + q * (q + 1) // 2, np.nan)
    features = np.ascontiguousarray(law.features(inputs))
    kernel_of(law, objective)(theta, features, target, weight, objective.parameter, len(target), out)
    hessian = np.empty((q, q))
    for i in range(q):
        for j in range(i, q):
            hessian[i, j] = hessian[j, i] = out[upper_index(i, j, q)]
    return out[0], out[1 : 1 + q].copy(), hessian


def a_problem(objective):
    share = objective.kind == "binomial"
    law = LAWS["logistic"] if share else CHINCHILLA
    coefficients = {"floor": 0.25, "ceiling": 0.95, "a": 5.0, "b": 2.5} if share else TRUTH
    inputs = {"L": np.linspace(1.0, 4.0, 16)} if share else in_N_and_D(N, D)
    theta = law.theta(coefficients)
    value = law.value(coefficients, inputs)
    rng = np.random.default_rng(1)
    measured = rng.uniform(0.2, 0.9, 16) if share else value * np.exp(0.05 * rng.normal(size=16))
    weight = rng.integers(1, 100, 16).astype(float) if share else rng.integers(0, 4, 16).astype(float)
    if objective.free_scale:
        theta = np.append(theta, np.log(0.04))
    return law, theta, inputs, np.log(measured) if objective.space == "log" else measured, weight


OBJECTIVES = (
    "gaussian@log", "gaussian@linear", "huber:0.03@log", "huber:0.1@linear", "student-t:4@log", "student-t:4@linear", "binomial",
)  # fmt: skip


@pytest.mark.parametrize("text", OBJECTIVES)
def test_a_kernel_sums_its_penalty_over_rows(text):
    objective = parse_objective(text)
    problem = a_problem(objective)
    value = run_kernel(problem[0], objective, *problem[1:])[0]
    assert value == pytest.approx(plain_sum(problem[0], objective, *problem[1:]), rel=1e-12)


@pytest.mark.parametrize("text", OBJECTIVES)
def test_a_kernels_gradient_is_the_slope_of_the_sum(text):
    objective = parse_objective(text)
    law, theta, *data = a_problem(objective)
    gradient = run_kernel(law, objective, theta, *data)[1]
    numeric = derivative(lambda at: plain_sum(law, objective, at, *data), theta, 1e-5)
    np.testing.assert_allclose(gradient * np.abs(theta), numeric * np.abs(theta), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("text", OBJECTIVES)
def test_a_kernels_hessian_is_the_slope_of_its_gradient(text):
    objective = parse_objective(text)
    law, theta, *data = a_problem(objective)
    hessian = run_kernel(law, objective, theta, *data)[2]
    numeric = derivative(lambda at: run_kernel(law, objective, at, *data)[1], theta, 1e-6)
    size = np.abs(theta)
    np.testing.assert_allclose(hessian * np.outer(size, size), numeric * np.outer(size, size), rtol=2e-5, atol=2e-5)


def test_a_row_of_weight_two_is_two_rows():
    objective = parse_objective("huber:0.03@log")
    law, theta, inputs, target, _ = a_problem(objective)
    weight = np.where(np.arange(16) == 3, 2.0, 1.0)
    twice = np.append(np.arange(16), 3)
    doubled = {name: column[twice] for name, column in inputs.items()}
    first = run_kernel(law, objective, theta, inputs, target, weight)
    second = run_kernel(law, objective, theta, doubled, target[twice], np.ones(17))
    for ours, theirs in zip(first, second, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_only_the_rows_asked_for_are_summed():
    objective = parse_objective("gaussian@log")
    law, theta, inputs, target, _ = a_problem(objective)
    out = np.empty(1 + 5 + 15)
    kernel_of(law, objective)(theta, np.ascontiguousarray(law.features(inputs)), target, np.ones(16), 0.0, 7, out)
    first = {name: column[:7] for name, column in inputs.items()}
    assert out[0] == pytest.approx(plain_sum(law, objective, theta, first, target[:7], np.ones(7)), rel=1e-12)
