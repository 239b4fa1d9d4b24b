"""Amplitudes at the rows' centre: the right pairs, exact derivatives, and draws that end as low in fewer steps."""

import numpy as np
import pytest

from foretell.fitting import fit
from foretell.fitting.coordinates import LOG, LOGIT, PLAIN, coordinates_of
from foretell.fitting.descent import descend, refine
from foretell.fitting.objective import parse_objective
from foretell.fitting.shear import shear, shear_slopes
from foretell.laws import LAWS, Law
from ladders import TRUTH, in_N_and_D, points_of, rungs

KIND = np.array([LOG, LOG, PLAIN, LOGIT, LOG])
LOW, HIGH = np.zeros(5), np.array([0.0, 0.0, 0.0, 2.0, 0.0])
PAIR, AT = np.array([(0, 1), (2, 1), (4, 3)]), np.array([-3.0, 0.7, 1.3])
PULL = np.array([[3, 1, 0, 1, 0], [1, 4, 1, 0, 1], [0, 1, 5, 1, 0], [1, 0, 1, 3, 1], [0, 1, 0, 1, 6]], dtype=float)


def named_pairs(law):
    return {
        (law.coefficients[i], law.coefficients[j]): dict(zip(law.code.features, x, strict=True))
        for i, j, x in law.code.pairs
    }


def there_and_back(u, sign):
    v = np.empty_like(u)
    shear(u, KIND, LOW, HIGH, PAIR, AT, sign, v)
    return v


def test_each_amplitude_is_paired_with_its_exponent():
    assert named_pairs(LAWS["chinchilla"]) == {
        ("A", "alpha"): {"log N": -1.0, "log D": 0.0},
        ("B", "beta"): {"log N": 0.0, "log D": -1.0},
    }
    assert named_pairs(LAWS["gadre"])["a", "eta"] == {"log M": 1.0, "log C": -1.0}
    assert named_pairs(LAWS["gadre"])["b", "eta"] == {"log M": -1.0, "log C": -1.0}
    assert set(named_pairs(LAWS["farseer"])) == {("s", "q"), ("B", "b"), ("A", "a")}


def test_an_exponent_that_has_an_exponent_of_its_own_is_paired_with_nothing():
    assert set(named_pairs(Law("nested", "A*N**(-(alpha*D**gamma))"))) == {("alpha", "gamma")}


def test_a_shear_and_its_return_give_back_the_coordinates():
    u = np.array([2.0, -0.5, 1.7, 0.3, -1.0])
    np.testing.assert_allclose(there_and_back(there_and_back(u, 1.0), -1.0), u, rtol=1e-14)


def test_derivatives_in_sheared_coordinates_are_those_of_finite_differences():
    def value(v):
        u = there_and_back(v, -1.0)
        return 0.5 * u @ PULL @ u

    u = np.array([0.4, -0.5, 0.7, 0.3, -0.2])
    v = there_and_back(u, 1.0)
    share = 1.0 / (1.0 + np.exp(-u[3]))
    theta = np.array([np.exp(u[0]), np.exp(u[1]), u[2], 2.0 * share, np.exp(u[4])])
    slope = np.array([theta[0], theta[1], 1.0, theta[3] * (1 - share), theta[4]])
    curve = np.array([theta[0], theta[1], 0.0, slope[3] * (1 - 2 * share), theta[4]])
    g, H, metric = PULL @ u, PULL.copy(), PULL.copy()
    shear_slopes(u, KIND, PAIR, AT, slope, curve, theta, g, H, metric)
    steps = 1e-4 * np.eye(5)
    differences = [(value(v + step) - value(v - step)) / 2e-4 for step in steps]
    seconds = [
        [
            (value(v + a + b) - value(v + a - b) - value(v - a + b) + value(v - a - b)) / 4e-8
            for b in steps
        ]
        for a in steps
    ]  # fmt: skip
    np.testing.assert_allclose(g, differences, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(H, seconds, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(metric, metric.T)
    assert np.linalg.eigvalsh(metric).min() > 0


@pytest.mark.parametrize("name", ["chinchilla", "gadre", "power-C", "skaling"])
def test_draws_near_a_minimum_end_as_low_as_a_descent_of_five_times_the_steps(name):
    law, objective = LAWS[name], parse_objective("huber:1e-3")
    N, D = rungs(np.geomspace(5e7, 5e9, 5), (1.0, 5.0, 20.0))
    rng = np.random.default_rng(0)
    made = fit(law, points_of(LAWS["chinchilla"], TRUTH, in_N_and_D(N, D), noise=0.01), starts=32)
    targets = np.log(made.fitted) + 0.01 * rng.normal(size=(100, len(N)))
    starts, ones = np.tile(made.u, (100, 1)), np.ones((1, len(N)))
    slow = descend(law, objective, made.features, targets, ones, starts, straight=True)
    quick = refine(law, objective, made.features, targets, ones, starts)
    assert quick.steps.mean() < 0.5 * slow.steps.mean()
    assert np.mean(quick.objective) < 1.01 * np.mean(slow.objective)


def test_an_input_without_a_finite_logarithm_leaves_amplitudes_where_they_are():
    law = LAWS["power-N"]
    coordinates = coordinates_of(law, parse_objective("huber:1e-3"))
    assert len(coordinates.centred(law, np.array([[18.0, 19.0]])).pair) == 1
    assert len(coordinates.centred(law, np.array([[-np.inf, 19.0]])).pair) == 0
