"""The solver finds the minimum: exactly where the data are exact, as low as SciPy's elsewhere."""

import numpy as np
import pytest
from scipy.optimize import minimize

from foretell.fitting import fit
from foretell.fitting.coordinates import coordinates_of
from foretell.fitting.kernel import kernel_of
from foretell.fitting.newton import minimise
from foretell.fitting.objective import parse_objective
from foretell.fitting.starts import starting_points
from foretell.laws import LAWS
from ladders import CHINCHILLA, TRUTH, in_N_and_D, points_of, rungs

N, D = rungs(np.geomspace(5e7, 5e9, 6), (0.5, 1.0, 2.0, 5.0, 20.0))
INPUTS = in_N_and_D(N, D)
EXACT = {
    "chinchilla": TRUTH,
    "chinchilla-tied": {"E": 1.7, "A": 300.0, "B": 900.0, "alpha": 0.33},
    "gadre": LAWS["gadre"].published,
    "skaling": {"E": 1.6, "A": 5e3, "B": 5e4, "alpha": 0.5, "beta": 0.5, "k": 0.6},
    "bnsl": {"a": 1.5, "b": 300.0, "c0": 0.1, "c1": 0.06, "d1": 1e20, "f1": 0.5},
    "ray": {"psi": 400.0, "alpha": 0.33, "E": 1.7},
    "power-C": {"A": 500.0, "alpha": 0.13, "E": 1.7},
    "power-N": {"A": 500.0, "alpha": 0.33, "E": 1.7},
    "power-D": {"B": 900.0, "beta": 0.35, "E": 1.7},
}
LINK_EXACT = {
    "sigmoid": {"a": -0.7, "b": 0.95, "k": 4.0, "L0": 1.2},
    "sigmoid-floor": {"top": 0.95, "k": 4.0, "L0": 1.2},
    "sigmoid-ideal": {"h": 0.7, "k": 4.0, "L0": 1.2},
    "exponential": {"epsilon": 0.85, "k": 2.2, "gamma": 0.7},
    "linear": {"w0": 0.9, "w1": -0.15},
    "logistic": {"floor": 0.26, "ceiling": 0.93, "a": 5.0, "b": 4.0},
}
LINK_INPUTS = {"L": np.linspace(0.6, 2.6, 24), "chance": np.full(24, 0.25)}


@pytest.mark.parametrize("name", EXACT)
def test_exact_losses_give_back_the_exact_coefficients(name):
    law = LAWS[name]
    made = fit(law, points_of(law, EXACT[name], INPUTS), starts=128)
    assert made.objective_value < 1e-18
    for coefficient, value in EXACT[name].items():
        assert made.coefficients[coefficient] == pytest.approx(value, rel=1e-4)


def test_exact_losses_give_back_farseers_surface():
    # its nine coefficients trade off against each other; the surface they draw is what the data determine
    law = LAWS["farseer"]
    made = fit(law, points_of(law, law.published, INPUTS), starts=64)
    np.testing.assert_allclose(made.fitted, made.points.value, rtol=1e-6)


@pytest.mark.parametrize("name", LINK_EXACT)
def test_exact_shares_give_back_the_exact_coefficients(name):
    law = LAWS[name]
    made = fit(law, points_of(law, LINK_EXACT[name], LINK_INPUTS), objective="gaussian", starts=64)
    assert made.objective_value < 1e-16
    for coefficient, value in LINK_EXACT[name].items():
        assert made.coefficients[coefficient] == pytest.approx(value, rel=1e-4)


def test_exact_shares_give_back_the_direct_law():
    law = LAWS["direct"]
    truth = {"A": 200.0, "B": 900.0, "alpha": 0.3, "beta": 0.33}
    points = points_of(law, truth, {**INPUTS, "chance": np.full(len(N), 0.25)})
    made = fit(law, points, objective="gaussian", starts=128)
    assert made.coefficients == pytest.approx(truth, rel=1e-4)


def problem(text="huber:1e-3", noise=0.01, seed=0):
    objective = parse_objective(text)
    points = points_of(CHINCHILLA, TRUTH, INPUTS, noise=noise, seed=seed)
    target = np.log(points.value) if objective.space == "log" else points.value
    return objective, points, CHINCHILLA.features(INPUTS), target


def test_a_problem_ends_the_same_wherever_it_stands_in_a_batch():
    objective, points, features, target = problem()
    starts = starting_points(CHINCHILLA, objective, points, 150, seed=3)
    weights = np.random.default_rng(0).multinomial(len(N), np.full(len(N), 1 / len(N)), size=150).astype(float)
    order = np.random.default_rng(1).permutation(150)

    def solve(chosen):
        kernel, coordinates = kernel_of(CHINCHILLA, objective), coordinates_of(CHINCHILLA, objective)
        parameter = np.array([objective.parameter])
        return minimise(kernel, features, target[None, :], weights[chosen], parameter, starts[chosen], coordinates)

    whole, shuffled, alone = solve(np.arange(150)), solve(order), solve(np.array([77]))
    np.testing.assert_array_equal(whole.u[order], shuffled.u)
    np.testing.assert_array_equal(whole.objective[order], shuffled.objective)
    np.testing.assert_array_equal(whole.u[[77]], alone.u)


def by_scipy(made, objective):
    """Minimise the same sum with BFGS on numpy, from the solver's end and from the truth."""
    coordinates = coordinates_of(CHINCHILLA, objective)
    features = CHINCHILLA.features(made.points.inputs)
    measured = made.points.value

    def summed(u):
        value, gradient = CHINCHILLA.gradient(coordinates.natural(u), features)
        r = np.log(value / measured) if objective.space == "log" else value - measured
        d = objective.parameter
        inside = np.abs(r) <= d if objective.kind == "huber" else np.ones(len(r), dtype=bool)
        penalty = np.where(inside, 0.5 * r**2, d * (np.abs(r) - 0.5 * d))
        slope = np.where(inside, r, d * np.sign(r)) / (value if objective.space == "log" else 1.0)
        return penalty.sum(), (gradient * slope).sum(axis=1) * coordinates.slope(u)

    starts = [made.u, coordinates.fitted(CHINCHILLA.theta(TRUTH))]
    ends = [minimize(summed, u, jac=True, method="BFGS", options={"gtol": 1e-12, "maxiter": 3000}) for u in starts]
    return min(end.fun for end in ends)


@pytest.mark.parametrize("text", ["gaussian@log", "gaussian@linear", "huber:1e-2", "huber:1e-3", "huber:0.05@linear"])
@pytest.mark.parametrize("seed", range(4))
def test_the_minimum_is_as_low_as_scipys(text, seed):
    objective, points, *_ = problem(text, noise=(0.001, 0.003, 0.01, 0.03)[seed], seed=seed)
    made = fit(CHINCHILLA, points, objective=objective, starts=64)
    assert made.objective_value <= by_scipy(made, objective) * (1 + 1e-9)


def test_no_row_order_changes_the_minimum():
    objective, points, *_ = problem()
    order = np.random.default_rng(5).permutation(len(points))
    one, other = (fit(CHINCHILLA, rows, objective=objective) for rows in (points, points.take(order)))
    assert one.objective_value == pytest.approx(other.objective_value, rel=1e-9)
    assert one.coefficients == pytest.approx(other.coefficients, rel=1e-6)


def test_a_coefficient_that_the_data_do_not_want_goes_to_its_bound():
    flat = points_of(LAWS["power-N"], {"E": 0.0, "A": 50.0, "alpha": 0.2}, INPUTS)
    made = fit(LAWS["power-N"], flat)
    assert made.coefficients["E"] < 1e-6
    assert made.coefficients["alpha"] == pytest.approx(0.2, rel=1e-5)


def test_the_free_scale_of_student_t_is_the_spread_of_the_noise():
    points = points_of(CHINCHILLA, TRUTH, {k: np.tile(v, 20) for k, v in INPUTS.items()}, noise=0.01, seed=2)
    made = fit(CHINCHILLA, points, objective="student-t:1000")  # nearly normal
    assert made.scale == pytest.approx(0.01, rel=0.08)


def test_the_free_scale_of_the_huber_likelihood_is_its_maximum():
    points = points_of(CHINCHILLA, TRUTH, INPUTS, noise=0.01, seed=4)
    made = fit(CHINCHILLA, points, objective="huber-scale:1.5")
    r = made.residuals

    def likelihood(scale):
        z = np.abs(r / scale)
        penalty = np.where(z <= 1.5, 0.5 * z**2, 1.5 * (z - 0.75))
        return np.sum(penalty + np.log(scale) + made.objective.constant)

    assert made.objective_value == pytest.approx(likelihood(made.scale), rel=1e-9)
    assert likelihood(made.scale) <= min(likelihood(made.scale * 1.01), likelihood(made.scale * 0.99))
