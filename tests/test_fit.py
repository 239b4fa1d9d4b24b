"""A fit reproduces the published figures, and refuses what it cannot fit."""

import numpy as np
import pytest

from foretell.errors import FitError, UnknownName
from foretell.fitting import fit, parse_objective, resample_runs
from foretell.laws import LAWS
from foretell.table import Metric, metric_named
from ladders import CHINCHILLA, TRUTH, in_N_and_D, points_of, rungs
from protocols import protocol

N, D = rungs()
INPUTS = in_N_and_D(N, D)


@pytest.fixture(scope="module")
def the_240_points():
    points = protocol("chinchilla").fit.metric("loss")
    assert len(points) == 240
    return points


@pytest.fixture(scope="module")
def huber_fit(the_240_points):
    return fit(CHINCHILLA, the_240_points, objective="huber:1e-3", starts=256)


# -- the 240 points: figures from Besiroglu 2024 (arXiv 2404.10102) --------------------------------------------------


def test_huber_on_the_240_points_reaches_the_known_optimum(huber_fit):
    assert huber_fit.objective_value <= 1.018274e-3 * (1 + 1e-6)
    expected = {"A": 477.8, "B": 2142.9, "E": 1.8172, "alpha": 0.3473, "beta": 0.3672}
    assert huber_fit.coefficients == pytest.approx(expected, rel=1e-3)


def test_the_huber_likelihood_on_the_240_points_gives_the_replications_coefficients(the_240_points):
    made = fit(CHINCHILLA, the_240_points, objective="huber-scale", starts=64)
    printed = {
        "A": (482.0, 0.05),
        "B": (2085.4, 0.05),
        "E": (1.8169, 5e-5),
        "alpha": (0.3478, 5e-5),
        "beta": (0.3658, 6e-5),
    }
    for name, (value, digit) in printed.items():  # beta is 0.365854: the paper cut it rather than rounded it
        assert made.coefficients[name] == pytest.approx(value, abs=digit)


def test_the_objective_is_the_sum_over_rows_of_the_penalty(huber_fit):
    size = np.abs(huber_fit.residuals)
    assert huber_fit.objective_value == pytest.approx(
        np.where(size <= 1e-3, 0.5 * size**2, 1e-3 * (size - 0.5e-3)).sum(), rel=1e-9
    )


def test_the_same_seed_gives_the_same_numbers(the_240_points, huber_fit):
    again = fit(CHINCHILLA, the_240_points, objective="huber:1e-3", starts=256)
    np.testing.assert_array_equal(again.theta, huber_fit.theta)
    assert again.objective_value == huber_fit.objective_value


def test_another_seed_of_the_starts_finds_the_same_optimum(the_240_points, huber_fit):
    other = fit(CHINCHILLA, the_240_points, objective="huber:1e-3", starts=100, seed=17)
    assert other.objective_value == pytest.approx(huber_fit.objective_value, rel=1e-9)
    assert other.coefficients == pytest.approx(huber_fit.coefficients, rel=1e-5)


def test_row_order_does_not_matter(the_240_points, huber_fit):
    order = np.random.default_rng(0).permutation(240)
    shuffled = fit(CHINCHILLA, the_240_points.take(order), objective="huber:1e-3", starts=256)
    assert shuffled.objective_value == pytest.approx(huber_fit.objective_value, rel=1e-9)
    np.testing.assert_allclose(shuffled.theta, huber_fit.theta, rtol=1e-6)
    np.testing.assert_allclose(shuffled.fitted, huber_fit.fitted[order], rtol=1e-9)


def test_a_users_own_formula_fits_as_the_catalogues_law_does(the_240_points, huber_fit):
    from foretell.laws import law_named

    made = fit(law_named("B/D**beta + E + A/N**alpha"), the_240_points, starts=128)
    assert made.objective_value == pytest.approx(huber_fit.objective_value, rel=1e-9)


# -- weights, residuals, covariance ---------------------------------------------------------------------------------


def test_a_weight_of_two_is_the_row_twice():
    points = points_of(CHINCHILLA, TRUTH, INPUTS, noise=0.01)
    weights = np.where(np.arange(16) % 5 == 0, 2.0, 1.0)
    twice = points.take(np.repeat(np.arange(16), weights.astype(int)))
    weighted, repeated = fit(CHINCHILLA, points, weights=weights), fit(CHINCHILLA, twice)
    assert weighted.objective_value == pytest.approx(repeated.objective_value, rel=1e-9)
    assert weighted.coefficients == pytest.approx(repeated.coefficients, rel=1e-5)


def test_residuals_are_measured_minus_fitted():
    points = points_of(CHINCHILLA, TRUTH, INPUTS, noise=0.01)
    logs, plain = (fit(CHINCHILLA, points, objective=f"gaussian@{space}") for space in ("log", "linear"))
    np.testing.assert_allclose(logs.residuals, np.log(points.value / logs.fitted), atol=1e-14)
    np.testing.assert_allclose(plain.residuals, points.value - plain.fitted, atol=1e-14)


def test_the_spread_counts_the_coefficients_it_spent():
    inputs = {name: np.tile(column, 40) for name, column in INPUTS.items()}
    made = fit(CHINCHILLA, points_of(CHINCHILLA, TRUTH, inputs, noise=0.02, seed=3), objective="gaussian")
    assert made.spread == pytest.approx(0.02, rel=0.08)


def test_the_sandwich_says_how_far_fits_of_new_data_scatter():
    inputs = {name: np.tile(column, 10) for name, column in INPUTS.items()}
    fits = [
        fit(CHINCHILLA, points_of(CHINCHILLA, TRUTH, inputs, noise=0.003, seed=s), objective="gaussian", starts=8)
        for s in range(60)
    ]
    scattered = np.std([made.u for made in fits], axis=0)
    stated = np.sqrt(np.median([np.diag(made.covariance) for made in fits], axis=0))
    np.testing.assert_allclose(stated, scattered, rtol=0.35)


def test_the_residuals_of_checkpoints_of_one_run_are_seen_to_move_together():
    rng = np.random.default_rng(0)
    runs = [f"run {i // 8}" for i in range(8 * 16)]
    inputs = {name: np.repeat(column, 8) for name, column in INPUTS.items()}
    points = points_of(CHINCHILLA, TRUTH, inputs, run=runs)
    both = np.repeat(0.01 * rng.normal(size=16), 8), 0.01 * rng.normal(size=128)
    for part, expected in ((both[0], 1.0), (both[1], 0.0)):
        from dataclasses import replace

        made = fit(CHINCHILLA, replace(points, value=points.value * np.exp(part)), objective="gaussian")
        assert made.shared_within_runs == pytest.approx(expected, abs=0.15)


# -- refusals -------------------------------------------------------------------------------------------------------


def test_too_few_rows_are_refused():
    five = points_of(CHINCHILLA, TRUTH, in_N_and_D(N[:5], D[:5]))
    with pytest.raises(FitError, match="5 rows of c4/loss cannot carry the 5 coefficients of chinchilla; at least 6"):
        fit(CHINCHILLA, five)


def test_a_value_without_a_logarithm_is_refused():
    points = points_of(LAWS["linear"], {"w0": 1.0, "w1": -1.0}, {"L": np.linspace(0, 2, 9)}, metric=metric_named("x"))
    with pytest.raises(FitError, match="values ≤ 0, which have no logarithm; use an objective with @linear"):
        fit(LAWS["linear"], points, objective="gaussian@log")


def test_a_binomial_needs_items():
    link = {"floor": 0.25, "ceiling": 0.9, "a": 5.0, "b": 2.0}
    points = points_of(LAWS["logistic"], link, {"L": np.linspace(1, 4, 12)})
    with pytest.raises(FitError, match="no item counts"):
        fit(LAWS["logistic"], points, objective="binomial")


def test_a_binomial_needs_a_share():
    with pytest.raises(FitError, match=r"only a share in 0\.\.1 can be binomial"):
        fit(CHINCHILLA, points_of(CHINCHILLA, TRUTH, INPUTS), objective="binomial")


def test_a_binomial_takes_accuracies_of_zero_and_one():
    link = {"floor": 0.25, "ceiling": 0.9, "a": 5.0, "b": 2.0}
    points = points_of(LAWS["logistic"], link, {"L": np.linspace(1, 4, 12)}, items=200)
    points.value[:] = np.round(points.value * 200) / 200
    points.value[[0, -1]] = 1.0, 0.0
    made = fit(LAWS["logistic"], points, objective="binomial")
    assert np.isfinite(made.objective_value)
    assert ((made.fitted > 0) & (made.fitted < 1)).all()


def test_a_binomial_fit_weighs_a_share_by_its_items():
    link = {"floor": 0.25, "ceiling": 0.9, "a": 5.0, "b": 2.0}
    metric = Metric(name="task/acc", unit="accuracy")
    points = points_of(LAWS["linear"], {"w0": 0.9, "w1": -0.1}, {"L": np.zeros(4)}, metric=metric)
    points.value[:] = 0.2, 0.2, 0.2, 0.8
    points.items[:] = 100, 100, 100, 300
    made = fit(LAWS["linear"], points, objective="binomial")
    assert made.fitted[0] == pytest.approx(0.5, abs=1e-6)  # 300 of 600 questions
    assert link["floor"] < made.fitted[0]


def test_a_law_that_is_nowhere_finite_is_refused():
    from foretell.laws import law_named

    with pytest.raises(FitError, match=r"not finite|finite objective"):
        fit(law_named("E*exp(exp(exp(N)))"), points_of(CHINCHILLA, TRUTH, INPUTS))


def test_starts_and_seeds_that_make_no_sense_are_refused():
    points = points_of(CHINCHILLA, TRUTH, INPUTS)
    with pytest.raises(FitError, match="starts ≥ 1"):
        fit(CHINCHILLA, points, starts=0)
    with pytest.raises(FitError, match="seed ≥ 0"):
        fit(CHINCHILLA, points, seed=-1)


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("hubr", UnknownName, "did you mean huber"),
        ("huber:0", FitError, "must be positive"),
        ("huber:-1", FitError, "must be positive"),
        ("huber:nan", FitError, "must be positive"),
        ("huber:wide", FitError, "write a number"),
        ("gaussian:2", FitError, "takes no parameter"),
        ("gaussian@cubic", FitError, "known: log, linear"),
    ],
)
def test_an_objective_that_makes_no_sense_is_refused(text, error, match):
    with pytest.raises(error, match=match):
        parse_objective(text)


def test_an_objective_is_read_with_its_defaults():
    assert str(parse_objective("huber")) == "huber:0.001@log"
    assert str(parse_objective("student-t")) == "student-t:4@log"
    assert str(parse_objective("gaussian", share=True)) == "gaussian@linear"
    assert str(parse_objective("binomial@log")) == "binomial@linear"


def test_a_fit_without_draws_has_no_interval():
    made = fit(CHINCHILLA, points_of(CHINCHILLA, TRUTH, INPUTS))
    with pytest.raises(FitError, match="no draws"):
        made.intervals()
    with pytest.raises(FitError, match="no draws"):
        made.predict_draws(INPUTS)
    assert resample_runs(made, 20).intervals(0.5).keys() == set(CHINCHILLA.coefficients)


def test_a_law_is_fitted_by_its_name_as_well():
    points = points_of(CHINCHILLA, TRUTH, in_N_and_D(*rungs()))
    assert fit("chinchilla", points, starts=8).theta == pytest.approx(fit(CHINCHILLA, points, starts=8).theta)
    with pytest.raises(UnknownName, match="chinchila"):
        fit("chinchila", points)
