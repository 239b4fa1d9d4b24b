"""Resamples are reproducible, keep what is known, and treat the rows of one run as one voice."""

from dataclasses import replace

import numpy as np
import pytest

from foretell.errors import FitError
from foretell.fitting import fit, redraw_noise, resample, resample_runs
from foretell.laws import LAWS
from ladders import CHINCHILLA, TRUTH, in_N_and_D, points_of, rungs

N, D = rungs(np.geomspace(5e7, 5e9, 6), (0.5, 1.0, 2.0, 5.0, 20.0))
INPUTS = in_N_and_D(N, D)
BOTH = pytest.mark.parametrize("resampler", [resample_runs, redraw_noise])
TARGET = {name: np.array([number]) for name, number in (("N", 5e10), ("D", 1e12))}


def width(made, level=0.8):
    tail = 50 * (1 - level)
    low, high = np.percentile(made.predict_draws(TARGET)[:, 0], [tail, 100 - tail])
    return (high - low) / made.predict(TARGET)[0]


@pytest.fixture(scope="module")
def fitted():
    return fit(CHINCHILLA, points_of(CHINCHILLA, TRUTH, INPUTS, noise=0.005), objective="gaussian", starts=32)


@BOTH
def test_the_same_seed_gives_the_same_draws(fitted, resampler):
    one, again, other = resampler(fitted, 40, seed=3), resampler(fitted, 40, seed=3), resampler(fitted, 40, seed=4)
    np.testing.assert_array_equal(one.draws, again.draws)
    assert not np.array_equal(one.draws, other.draws)


@BOTH
def test_draws_scatter_about_the_fit(fitted, resampler):
    made = resampler(fitted, 300)
    low, high = np.percentile(made.predict_draws(INPUTS), [1, 99], axis=0)
    assert ((low < fitted.fitted) & (fitted.fitted < high)).all()
    assert 0.001 < width(made) < 0.05


@BOTH
def test_the_fit_itself_stays_as_it_is(fitted, resampler):
    made = resampler(fitted, 10)
    np.testing.assert_array_equal(made.theta, fitted.theta)
    assert fitted.draws is None


@BOTH
def test_exact_data_leave_no_doubt(resampler):
    exact = fit(CHINCHILLA, points_of(CHINCHILLA, TRUTH, INPUTS), objective="gaussian", starts=32)
    assert width(resampler(exact, 40)) < 1e-6


@BOTH
def test_twice_the_noise_is_twice_the_width(resampler):
    points = [points_of(CHINCHILLA, TRUTH, INPUTS, noise=noise, seed=5) for noise in (0.002, 0.004)]
    narrow, wide = (width(resampler(fit(CHINCHILLA, p, objective="gaussian", starts=16), 300)) for p in points)
    assert wide / narrow == pytest.approx(2.0, rel=0.15)


@BOTH
@pytest.mark.parametrize("draws", [0, -1])
def test_no_draws_are_refused(fitted, resampler, draws):
    with pytest.raises(FitError, match="at least one"):
        resampler(fitted, draws)


@BOTH
def test_two_runs_cannot_be_resampled(resampler):
    runs = ["one", "two"] * 15
    made = fit(CHINCHILLA, points_of(CHINCHILLA, TRUTH, INPUTS, noise=0.01, run=runs), starts=8)
    with pytest.raises(FitError, match="2 runs of c4/loss cannot be resampled; at least 3"):
        resampler(made, 10)


# -- known rows and blocks ------------------------------------------------------------------------------------------


def linked(noise=0.01):
    link = {"a": -0.7, "b": 0.95, "k": 4.0, "L0": 1.2}
    points = points_of(LAWS["sigmoid"], link, {"L": np.linspace(0.8, 2.2, 20)}, noise=noise)
    return fit(LAWS["sigmoid"], points.with_known({"L": 0.0}, 1.0), objective="gaussian", starts=16)


@pytest.fixture
def seen(monkeypatch):
    """Catch what a resampler asks to be fitted."""
    asked = {}

    def caught(made, *, weights=None, values=None):
        asked.update(weights=weights, values=values)
        return np.tile(made.theta, (len(weights if weights is not None else values), 1))

    monkeypatch.setattr(resample, "refit", caught)
    return asked


def test_known_rows_are_in_every_resample_of_runs(seen):
    made = linked()
    resample_runs(made, 50)
    assert (seen["weights"][:, made.points.known] == 1).all()
    assert (seen["weights"][:, ~made.points.known].sum(axis=1) == 20).all()


def test_known_rows_get_no_noise(seen):
    made = linked()
    redraw_noise(made, 50)
    known = made.points.known
    np.testing.assert_array_equal(seen["values"][:, known], np.tile(made.fitted[known], (50, 1)))
    assert np.std(seen["values"][:, ~known], axis=0).min() > 0


def test_redrawn_shares_stay_shares(seen):
    redraw_noise(linked(noise=0.3), 200)
    assert seen["values"].min() >= 0
    assert seen["values"].max() <= 1


def test_rows_of_one_run_are_drawn_together(seen):
    runs = np.repeat([f"run {i}" for i in range(6)], 5)
    made = fit(CHINCHILLA, points_of(CHINCHILLA, TRUTH, INPUTS, noise=0.01, run=list(runs)), starts=8)
    resample_runs(made, 30)
    counts = seen["weights"].reshape(30, 6, 5)
    assert (counts == counts[:, :, :1]).all()
    assert (counts[:, :, 0].sum(axis=1) == 6).all()


@BOTH
def test_the_same_measurement_eight_times_in_a_run_is_one_measurement(resampler):
    points = points_of(CHINCHILLA, TRUTH, INPUTS, noise=0.01, seed=1)
    eightfold = points.take(np.repeat(np.arange(30), 8))
    separate = replace(eightfold, run=np.array([f"row {i:03d}" for i in range(240)]))
    once, blocked, taken_apart = (
        width(resampler(fit(CHINCHILLA, p, objective="gaussian", starts=16), 400))
        for p in (points, eightfold, separate)
    )
    assert 0.8 * once < blocked < 1.25 * once
    assert taken_apart < 0.5 * once  # 1/√8, were they independent


def test_bootstrap_and_redrawn_noise_agree_where_there_are_many_runs():
    inputs = {name: np.tile(column, 6) for name, column in INPUTS.items()}
    made = fit(CHINCHILLA, points_of(CHINCHILLA, TRUTH, inputs, noise=0.01, seed=2), objective="gaussian", starts=16)
    assert width(resample_runs(made, 400)) == pytest.approx(width(redraw_noise(made, 400)), rel=0.2)


def test_a_bootstrap_under_huber_refits_to_the_same_minimum_as_a_fresh_fit():
    points = points_of(CHINCHILLA, TRUTH, INPUTS, noise=0.01, seed=3)
    made = fit(CHINCHILLA, points, starts=32)
    weights = np.random.default_rng(0).multinomial(30, np.full(30, 1 / 30), size=20).astype(float)
    from foretell.fitting.fit import refit

    for row, theta in zip(weights, refit(made, weights=weights), strict=True):
        fresh = fit(CHINCHILLA, points, starts=64, weights=row)
        size = np.abs(np.log(points.value) - np.log(CHINCHILLA.gradient(theta, made.features)[0]))
        reached = np.sum(row * np.where(size <= 1e-3, 0.5 * size**2, 1e-3 * (size - 0.5e-3)))
        assert reached == pytest.approx(fresh.objective_value, rel=1e-3)
