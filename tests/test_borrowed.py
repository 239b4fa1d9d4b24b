"""Borrowed exponents: a prior from other families, and never from one's own."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.optimize import approx_fprime

from foretell.errors import FitError, MethodError, UnknownName
from foretell.forecast import Settings, Target
from foretell.methods.borrowed import Borrowed, fit_under, joined, shape_inputs, weights_of
from foretell.methods.posterior import Problem
from foretell.methods.priors import SHAPES, coordinates, learn_prior, recognise, shipped
from foretell.table import Observations, Points, Run, metric_named
from ladders import CHINCHILLA, TRUTH, ladder
from protocols import protocol

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from learn_priors import families, learn

POINT = Settings(draws=0)
TARGET = Target(N=7e9, D=4e12, name="7B")
MARIN = Target(N=8e9, D=1.6e11)


@pytest.fixture(scope="module")
def sources():
    return {source.name: source for source in families()}


def marin() -> Observations:
    return next(group.fit for group in protocol("marin").groups if group.name == "comma")


def renamed(study: Observations, family: str = "mine") -> Observations:
    return replace(study, runs=study.runs.with_columns(family=pl.lit(family)))


# -- a family is never its own prior --------------------------------------------------------------------------------


@pytest.mark.parametrize("law", SHAPES)
def test_what_is_shipped_of_a_left_out_source_does_not_enter_the_prior(law):
    whole = shipped(law)
    for source in {family.source for family in whole}:
        spoilt = [replace(f, centre=f.centre + 50.0, spread=99.0) if f.source == source else f for f in whole]
        kept, changed = (learn_prior(known, SHAPES[law], {source}) for known in (whole, spoilt))
        np.testing.assert_array_equal(kept.centre, changed.centre)
        np.testing.assert_array_equal(kept.covariance, changed.covariance)
        assert kept.spread == changed.spread
        assert not any(name.split("/")[0] == source for name in kept.families)
        seen = learn_prior(spoilt, SHAPES[law])
        assert not np.allclose(seen.centre, kept.centre)  # without leaving it out, it would have entered


@pytest.mark.parametrize("name", ["marin/comma", "gadre/c4", "steplaw", "datablations"])
def test_what_is_shipped_of_a_family_comes_from_its_own_rows_alone(sources, name):
    """Learned again from one family's rows with nothing else in sight, its row is the one in the file."""
    made = learn(sources[name])
    for law in SHAPES:
        row = next(family for family in shipped(law) if family.name == name)
        np.testing.assert_allclose(made[law]["centre"], row.centre, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(made[law]["covariance"], row.covariance, rtol=1e-3, atol=1e-6)
        assert set(made["sketch"]) == row.sketch


def test_every_family_is_recognised_by_its_rows_under_any_name(sources):
    for source in sources.values():
        study = renamed(source.runs)
        assert source.name.split("/")[0] in recognise(shipped("skaling"), study, source.metric, "")


def test_a_protocols_small_runs_are_recognised_under_any_name():
    for name, source in (
        ("farseer", "farseer"),
        ("misfitting", "misfitting"),
        ("gemstones", "gemstones"),
        ("marin", "marin"),
    ):
        for group in protocol(name).groups:
            metric = next(m for m in protocol(name).metrics if group.fit.metrics[m].unit == "nats/token")
            assert source in recognise(shipped("skaling"), renamed(group.fit), metric, "")


def test_a_family_is_recognised_by_its_name_when_its_rows_are_new():
    study = ladder()
    assert recognise(shipped("skaling"), study, "c4/loss", "") == set()
    assert recognise(shipped("skaling"), renamed(study, "rpj"), "c4/loss", "") == {"gadre"}
    assert recognise(shipped("skaling"), study, "c4/loss", "farseer, marin/dclm") == {"farseer", "marin"}
    with pytest.raises(UnknownName, match="farseer"):
        recognise(shipped("skaling"), study, "c4/loss", "farsser")


def test_the_forecast_says_whom_it_left_out():
    made = Borrowed().forecast(marin(), [MARIN], ["paloma_macro_loss"], POINT)[0]
    assert any("left out: marin/comma, marin/dclm" in doubt for doubt in made.doubts)


def test_a_prior_needs_families():
    whole = shipped("skaling")
    with pytest.raises(MethodError, match="at least 3 families"):
        learn_prior(whole, SHAPES["skaling"], {family.source for family in whole[3:]} | {"farseer"})


# -- the posterior --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", SHAPES)
def test_the_posteriors_gradient_is_its_slope(law):
    prior = learn_prior(shipped(law), SHAPES[law])
    rng = np.random.default_rng(0)
    N, D = np.exp(rng.uniform(18, 22, 12)), np.exp(rng.uniform(22, 26, 12))
    problem = Problem(
        SHAPES[law], SHAPES[law].features(shape_inputs(N, D)), np.log(3 + rng.random(12)), rng.random(12),
        prior.centre, np.linalg.inv(prior.covariance), 0.01,
    )  # fmt: skip
    u = prior.centre + 0.1 * rng.normal(size=len(prior.centre))
    numeric = approx_fprime(u, lambda v: float(problem.objective(v[None, :])[0]), 1e-7)
    np.testing.assert_allclose(problem.step(u)[0], numeric, rtol=1e-4, atol=1e-4)


def test_the_laws_are_chinchilla_and_skaling_in_other_letters():
    N, D = np.array([1e8, 1e9, 7e10]), np.array([1e9, 2e10, 1e13])
    E, A, B, alpha, beta = (TRUTH[name] for name in ("E", "A", "B", "alpha", "beta"))
    of_N, of_D = A / 1e9**alpha, B / 2e10**beta
    S = E + of_N + of_D
    natural = {"S": S, "f": E / S, "w": of_N / (of_N + of_D), "a": alpha, "b": beta}
    inputs = shape_inputs(N, D)
    expected = CHINCHILLA.value(TRUTH, {"N": N, "D": D})
    np.testing.assert_allclose(SHAPES["chinchilla"].value(natural, inputs), expected, rtol=1e-12)
    np.testing.assert_allclose(SHAPES["skaling"].value({**natural, "k": 1.0}, inputs), expected, rtol=1e-12)


def test_many_exact_runs_overrule_the_prior():
    study = ladder(0.0, multiples=(1, 2, 5, 10, 30, 100), sizes=(3e7, 1e8, 4e8, 1.3e9, 5e9))
    made = Borrowed(law="chinchilla").forecast(study, [TARGET], ["c4/loss"], POINT)[0]
    truth = float(CHINCHILLA.value(TRUTH, {"N": np.array([TARGET.N]), "D": np.array([TARGET.D])})[0])
    assert made.value == pytest.approx(truth, rel=1e-3)


def test_one_run_is_enough():
    study = ladder(0.0, sizes=(3.7e8,), multiples=(1,))
    assert len(study.runs) == 1
    made = Borrowed().forecast(study, [TARGET], ["c4/loss"], Settings(draws=400))[0]
    truth = float(CHINCHILLA.value(TRUTH, {"N": np.array([TARGET.N]), "D": np.array([TARGET.D])})[0])
    low, high = made.interval()
    assert low < truth < high
    assert abs(made.value / truth - 1) < 0.05
    assert any("a single run" in doubt for doubt in made.doubts)


def test_the_unit_of_the_loss_does_not_matter():
    study = ladder(sizes=(1.9e8, 3.7e8), multiples=(1, 2))
    small = replace(study, values=study.values.with_columns(pl.col("value") / 4.5))
    before, after = (Borrowed().forecast(s, [TARGET], ["c4/loss"], POINT)[0].value for s in (study, small))
    assert after * 4.5 == pytest.approx(before, rel=2e-3)


@pytest.mark.parametrize("law", SHAPES)
def test_intervals_cover_families_drawn_from_the_prior(law):
    prior = learn_prior(shipped(law), SHAPES[law])
    rng = np.random.default_rng(1)
    root = np.linalg.cholesky(prior.covariance)
    N = np.array([2e8, 2e8, 5e8])
    D = np.array([4e9, 2e10, 1e10])
    inside = 0
    for i in range(80):
        u = prior.centre + root @ rng.normal(size=len(prior.centre))
        u[prior.law.coefficients.index("S")] = 1.0 + 0.2 * rng.normal()
        truth = coordinates(SHAPES[law]).natural(u)
        every = shape_inputs(np.append(N, TARGET.N), np.append(D, TARGET.D))
        value = SHAPES[law].gradient(truth, SHAPES[law].features(every))[0] * np.exp(prior.spread * rng.normal(size=4))
        runs = Points(
            metric_named("c4/loss"), np.array(["a", "b", "c"]), {"N": N, "D": D}, value[:3], np.full(3, np.nan)
        )
        found = fit_under(prior, runs, Settings(draws=200, seed=i))
        low, high = np.quantile(found.draws(TARGET.N, TARGET.D, frozenset({"coefficients", "noise"}), rng), [0.1, 0.9])
        inside += low <= value[3] <= high
    assert 55 <= inside <= 73  # 80 % of 80, within two and a half binomial spreads


# -- the method -----------------------------------------------------------------------------------------------------


def test_row_order_does_not_matter():
    study = protocol("gemstones").fit
    shuffled = replace(
        study,
        values=study.values.sample(fraction=1, shuffle=True, seed=1),
        runs=study.runs.sample(fraction=1, shuffle=True, seed=2),
    )
    before, after = (Borrowed().forecast(s, [TARGET], ["loss_dclm"], Settings(draws=50))[0] for s in (study, shuffled))
    assert after.value == pytest.approx(before.value, rel=1e-9)
    np.testing.assert_allclose(after.draws, before.draws, rtol=1e-6)


def test_the_first_tenth_of_a_run_is_not_used_and_its_end_is():
    study = protocol("gemstones").fit
    points = Borrowed().rows_of(study, "loss_dclm")
    every = study.metric("loss_dclm")
    for run in np.unique(points.run):
        mine, all_of_it = points.input("D")[points.run == run], every.input("D")[every.run == run]
        assert mine.min() > 0.1 * all_of_it.max()
        assert mine.max() == all_of_it.max()
        assert len(mine) <= 30


def test_final_values_can_be_asked_for():
    study = protocol("olmo-ladder").fit
    assert len(Borrowed(rows="final").rows_of(study, "c4/loss")) == 16
    assert len(Borrowed(rows="checkpoints").rows_of(study, "c4/loss")) == 480


def test_checkpoints_stand_in_for_runs_where_those_are_few():
    study = protocol("olmo-ladder").fit
    names = study.runs["name"].to_list()
    assert [len(Borrowed().rows_of(study.only_runs(names[:n]), "c4/loss")) for n in (1, 2, 3)] == [30, 60, 3]
    assert len(Borrowed().rows_of(protocol("gemstones").fit, "loss_dclm")) > 16  # laws are fitted to checkpoints there


def test_without_parts_the_draws_are_the_value():
    made = Borrowed(law="skaling").forecast(
        ladder(), [TARGET], ["c4/loss"], Settings(draws=30, parts=frozenset({"form"}))
    )[0]
    np.testing.assert_allclose(made.draws, made.value)


@pytest.mark.parametrize(("law", "least"), [("skaling", 0.99), ("chinchilla", 0.05)])
def test_many_runs_tell_the_laws_apart(law, least):
    """Skaling's rows rule Chinchilla out; Skaling can follow Chinchilla's, so those leave both standing."""
    prior = learn_prior(shipped(law), SHAPES[law])
    truth = dict(zip(prior.law.coefficients, coordinates(prior.law).natural(prior.centre), strict=True))
    N, D = (axis.ravel() for axis in np.meshgrid(np.geomspace(3e7, 3e9, 7), np.geomspace(1e9, 1e12, 7)))
    value = prior.law.value(truth, shape_inputs(N, D)) * np.exp(0.003 * np.random.default_rng(0).normal(size=len(N)))
    name, run = metric_named("c4/loss"), np.array([f"run {i}" for i in range(len(N))])
    runs = Points(name, run, {"N": N, "D": D}, value, np.full(len(N), np.nan))
    for rows, lowest in ((runs, least), (runs.take(np.arange(2)), 0.2)):
        found = [fit_under(learn_prior(shipped(other), SHAPES[other]), rows, POINT) for other in SHAPES]
        assert dict(zip(SHAPES, weights_of(found), strict=True))[law] > lowest


def test_what_cannot_be_forecast_is_refused_by_name():
    study = ladder(tasks={"task/acc": lambda loss: np.full(len(loss), 0.5)})
    with pytest.raises(MethodError, match="task/acc is accuracy"):
        Borrowed().forecast(study, [TARGET], ["task/acc"], POINT)
    with pytest.raises(UnknownName, match="skaling"):
        Borrowed(law="farseer")
    with pytest.raises(UnknownName, match="checkpoints"):
        Borrowed(rows="all")
    negative = Observations.of(
        [Run("a", 1e9, N=1e8)],
        pl.DataFrame([{"run": "a", "D": 1e9, "metric": "x", "value": -1.0}]),
        [metric_named("x")],
    )
    with pytest.raises(FitError, match="no logarithm"):
        Borrowed().forecast(negative, [TARGET], ["x"], POINT)


def test_it_sees_no_run_that_is_held_out():
    study = ladder(held_out=[(7e9, 4e12)])
    before, after = (Borrowed().forecast(s, [TARGET], ["c4/loss"], POINT)[0] for s in (study, study.training()))
    assert after.value == before.value


# measured by benchmarks/borrowed.py: one run 1.5 to 5.1 decades below; copying it misses by 14 to 120 %
@pytest.mark.parametrize(
    ("name", "error"), [("chinchilla", 0.04), ("farseer", 0.03), ("gadre/c4", 0.11), ("marin/comma", 0.06)]
)
def test_the_smallest_run_of_a_family_forecasts_its_largest(sources, name, error):
    source = sources[name]
    points = Borrowed().rows_of(source.runs, source.metric)
    order = np.argsort(points.input("C"), kind="stable")
    one, largest = points.take(order[:1]), points.take(order[-max(1, len(order) // 10) :])
    found = [
        fit_under(learn_prior(shipped(law), SHAPES[law], {source.name.split("/")[0]}), one, POINT) for law in SHAPES
    ]
    values = [joined(found, N, D) for N, D in zip(largest.input("N"), largest.input("D"), strict=True)]
    off = float(np.mean(np.abs(values / largest.value - 1)))
    assert off < error
    assert off < 0.5 * float(np.mean(np.abs(one.value[0] / largest.value - 1)))
