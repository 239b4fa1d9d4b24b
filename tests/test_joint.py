"""Joint fits share exponents over a study's losses and families, and never learn a loss's population from itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from foretell.errors import MethodError, UnknownName
from foretell.forecast import Forecast, Settings, Target
from foretell.methods.average_error import average_forecast
from foretell.methods.joint import FEWEST_ROWS, Joint, Siblings
from foretell.methods.priors import FEWEST_FAMILIES
from foretell.table import Observations, Run, metric_named
from ladders import rungs, sigmoid_task

POINT = Settings(draws=0, starts=8)
DRAWN = Settings(draws=200, starts=8)
ALPHA, BETA = 0.30, 0.36
FAR = Target(2e10, 2e12, name="far")
LEVELS = {"a/loss": (1.5, 300.0, 1500.0), "b/loss": (2.2, 150.0, 2500.0), "c/loss": (0.9, 80.0, 900.0), "d/loss": (1.8, 400.0, 700.0)}  # fmt: skip


def true_loss(name, N, D):
    E, A, B = LEVELS[name]
    return E + A / N**ALPHA + B / D**BETA


def study(noise=0.002, seed=0, sizes=(1.9e8, 3.7e8, 7.6e8, 1.28e9), multiples=(1.0, 3.0, 10.0), names=tuple(LEVELS)):
    N, D = rungs(sizes, multiples)
    rng = np.random.default_rng(seed)
    runs = [Run(f"run {i:02d}", float(D[i]), N=float(N[i]), family="one") for i in range(len(N))]
    values = pl.DataFrame(
        [
            {"run": run.name, "D": run.D, "metric": name, "value": float(true_loss(name, N[i], D[i]) * np.exp(noise * rng.normal()))}
            for name in names
            for i, run in enumerate(runs)
        ]
    )  # fmt: skip
    return Observations.of(runs, values, [metric_named(name) for name in names])


def test_exact_losses_of_common_exponents_are_carried_far_within_one_percent():
    made = Joint(law="chinchilla").forecast(study(1e-5), [FAR], list(LEVELS), POINT)
    for forecast in made:
        truth = true_loss(forecast.metric.name, FAR.N, FAR.D)
        assert forecast.value == pytest.approx(truth, rel=0.01)


def test_siblings_steady_a_loss_of_few_rows():
    errors = {"joint": [], "alone": []}
    for seed in range(6):
        whole = study(0.01, seed)
        few = sorted(whole.runs["name"])[:6]
        mask = (pl.col("metric") != "a/loss") | pl.col("run").is_in(few)
        thin = replace(whole, values=whole.values.filter(mask))
        truth = true_loss("a/loss", FAR.N, FAR.D)
        for label, given in (("joint", thin), ("alone", thin.only_metrics(["a/loss"]))):
            (made,) = Joint(law="chinchilla").forecast(given, [FAR], ["a/loss"], POINT)
            errors[label].append(abs(made.value / truth - 1.0))
    assert np.mean(errors["joint"]) < np.mean(errors["alone"])


def test_the_population_of_a_loss_is_learned_from_the_others_alone():
    plain = study()
    spoilt = plain.values.with_columns(
        pl.when(pl.col("metric") == "a/loss").then(pl.col("value") ** 2).otherwise("value").alias("value")
    )
    priors = [Siblings(given, POINT, ("chinchilla",)).prior("chinchilla", "a/loss", "") for given in (plain, replace(plain, values=spoilt))]  # fmt: skip
    np.testing.assert_array_equal(priors[0].centre, priors[1].centre)
    np.testing.assert_array_equal(priors[0].covariance, priors[1].covariance)
    assert len(priors[0].families) == len(LEVELS) - 1 >= FEWEST_FAMILIES


def test_a_target_of_a_family_is_forecast_from_that_familys_level():
    one = study(1e-4)
    runs = one.runs.with_columns(name="o" + pl.col("name"), family=pl.lit("other"))
    other = replace(
        one, runs=runs, values=one.values.with_columns(run="o" + pl.col("run"), value=pl.col("value") * 1.1)
    )
    both = one.merge(other)
    named = [replace(FAR, name=family, family=family) for family in ("one", "other")]
    low, high = Joint(law="chinchilla").forecast(both, named, ["a/loss"], POINT)
    assert high.value / low.value == pytest.approx(1.1, rel=0.01)


def test_draws_are_about_the_value_and_doubts_name_the_siblings():
    (made,) = Joint().forecast(study(), [FAR], ["a/loss"], DRAWN)
    low, high = made.interval(0.8)
    assert low < made.value < high
    assert len(made.draws) == 200
    assert any(doubt.startswith("exponents are shrunk towards those of 3 others") for doubt in made.doubts)


def test_row_order_does_not_matter():
    plain = study()
    shuffled = replace(plain, values=plain.values.sample(fraction=1.0, shuffle=True, seed=1))
    one, two = (Joint().forecast(given, [FAR], ["a/loss"], POINT)[0].value for given in (plain, shuffled))
    assert two == pytest.approx(one, rel=1e-9)


def test_what_cannot_be_joined_is_told():
    with pytest.raises(UnknownName, match="law with priors"):
        Joint(law="bnsl")
    from ladders import ladder

    with pytest.raises(MethodError, match="joint exponents are of losses"):
        Joint().forecast(ladder(tasks={"t/acc": sigmoid_task}), [FAR], ["t/acc"], POINT)
    assert FEWEST_ROWS > 2


def test_the_average_of_tasks_is_one_minus_their_mean_draw_by_draw():
    rng = np.random.default_rng(0)
    targets = [Target(1e9, 1e11, name="x"), Target(2e9, 1e11, name="y")]
    tasks = [
        Forecast(target, metric_named(f"{name}/acc", chance=0.25), "test", 0.4, rng.random(50), frozenset(), 1.0)
        for name in ("a", "b", "c")
        for target in targets
    ]
    made = average_forecast(tasks)
    assert [one.target.name for one in made] == ["x", "y"]
    assert made[0].value == pytest.approx(0.6)
    np.testing.assert_allclose(made[0].draws, 1.0 - np.mean([tasks[i].draws for i in (0, 2, 4)], axis=0))
    assert made[0].metric.unit == "error"
    with pytest.raises(MethodError, match="same tasks"):
        average_forecast(tasks[:3])
    with pytest.raises(MethodError, match="same tasks"):
        average_forecast([])
