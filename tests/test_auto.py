"""Auto weighs published ways by hold-outs inside the data, and never sees what is held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from foretell.errors import FitError
from foretell.forecast import Settings, Target, held_out_targets
from foretell.methods import method_named
from foretell.methods.auto import LEAST_WEIGHT, _weights
from foretell.methods.ways import Way
from foretell.sources import read_olmo_ladder
from foretell.table import Observations, Run, metric_named
from ladders import ladder
from protocols import protocol, testbeds

QUICK = Settings(draws=40, starts=16)


def way(name):
    return Way(name, name, lambda target: 0.0, lambda target, part: None)


def forecasts(observations, metrics, targets, settings=QUICK):
    made = method_named("auto").forecast(observations, targets, metrics, settings)
    return {(f.metric.name, f.target.name): f for f in made}


@pytest.fixture(scope="module")
def olmo():
    group = protocol("olmo-ladder").groups[0]
    study = group.fit
    test = group.test
    names = ["hellaswag/acc", "mmlu/acc", "piqa/acc", "c4/loss", "hellaswag/bpb", "mmlu/bpb", "piqa/bpb"]
    return study.training().only_metrics(names), held_out_targets(test)


def test_the_weights_sum_to_one_and_fall_with_the_error():
    ways = [way("a"), way("b"), way("c")]
    errors = {"a": 0.01, "b": 0.02, "c": 0.04}
    weights = _weights(ways, errors, [errors], is_share=True)
    assert sum(weights.values()) == pytest.approx(1.0)
    assert weights["a"] > weights["b"] > weights["c"]


def test_one_metrics_own_error_is_shrunk_towards_that_of_its_kind():
    ways = [way("a"), way("b")]
    alone = _weights(ways, {"a": 0.01, "b": 0.03}, [{"a": 0.01, "b": 0.03}], is_share=True)
    among = _weights(ways, {"a": 0.01, "b": 0.03}, [{"a": 0.02, "b": 0.02}], is_share=True)
    assert alone["a"] > among["a"] > 0.5


def test_a_way_that_was_never_held_out_weighs_as_the_usual_one():
    weights = _weights(
        [way("a"), way("b"), way("new")], {"a": 0.01, "b": 0.03}, [{"a": 0.01, "b": 0.03}], is_share=True
    )
    assert weights["a"] > weights["new"] > weights["b"]


def test_the_default_loss_law_is_preferred_where_hold_outs_do_not_decide():
    errors = {"skaling": 0.01, "chinchilla": 0.01}
    weights = _weights([way("skaling"), way("chinchilla")], errors, [errors], is_share=False)
    assert weights["skaling"] > 0.75 > 0.25 > weights["chinchilla"]


def test_the_direct_law_is_preferred_where_hold_outs_do_not_decide():
    errors = {"a link": 0.02, "direct": 0.02, "none": 0.04}
    weights = _weights([way(name) for name in errors], errors, [errors], is_share=True)
    assert weights["direct"] > 0.9 > weights["a link"] > weights["none"]


def test_held_out_values_never_influence_a_forecast():
    study = read_olmo_ladder(testbeds() / "olmo-ladder").only_metrics(["hellaswag/acc", "hellaswag/bpb", "c4/loss"])
    targets = held_out_targets(study)
    hidden = study.held_out().runs["name"].to_list()
    spoilt = replace(
        study,
        values=study.values.with_columns(
            pl.when(pl.col("run").is_in(hidden)).then(0.5).otherwise("value").alias("value")
        ),
    )
    made = [forecasts(given, ["hellaswag/acc", "c4/loss"], targets) for given in (study, spoilt, study.training())]
    for key, forecast in made[0].items():
        assert [other[key].value for other in made] == [forecast.value] * 3
        np.testing.assert_array_equal(made[1][key].draws, forecast.draws)


def test_a_forecast_does_not_depend_on_what_else_is_asked_for(olmo):
    training, targets = olmo
    alone = forecasts(training, ["mmlu/acc"], targets)
    together = forecasts(training, ["piqa/acc", "mmlu/acc", "c4/loss"], targets)
    for key, forecast in alone.items():
        assert together[key].value == pytest.approx(forecast.value, rel=1e-9)


def test_row_order_does_not_matter(olmo):
    training, targets = olmo
    shuffled = replace(training, values=training.values.sample(fraction=1.0, shuffle=True, seed=1))
    plain, other = (forecasts(made, ["hellaswag/acc"], targets[:1]) for made in (training, shuffled))
    for key, forecast in plain.items():
        assert other[key].value == pytest.approx(forecast.value, rel=1e-6)


def test_it_says_what_it_chose_and_why(olmo):
    training, targets = olmo
    made = forecasts(training, ["hellaswag/acc", "mmlu/acc", "c4/loss"], targets[:1]).values()
    shares, loss = dict.fromkeys(forecast.reason for forecast in made)  # one paragraph a kind, not one a metric
    assert "2 metrics from hellaswag/acc to mmlu/acc" in shares
    assert "hold-outs inside the runs" in shares
    assert "% skaling of c4/loss, sigmoid and the ideal point (off by" in shares
    assert loss.startswith("c4/loss: ")
    assert "% skaling (off by" in loss


def test_the_olmo_ladder_is_forecast_within_its_published_error():
    group = protocol("olmo-ladder").groups[0]
    tasks = [name for name in group.fit.metrics if name.endswith("/acc")]
    targets = held_out_targets(group.test)
    measured = {
        (name, run): value
        for name in tasks
        for run, value in zip(group.test.metric(name).run, group.test.metric(name).value, strict=True)
    }
    made = forecasts(group.fit, tasks, targets, Settings(draws=0))
    error = {t.name: np.mean([abs(made[n, t.name].value - measured[n, t.name]) for n in tasks]) for t in targets}
    assert error["7B-4T"] < 0.0205
    assert error["13B-5T"] < 0.0260


def test_a_task_without_signal_is_forecast_flat():
    group = protocol("gadre.open").groups[0]
    name = "bigbench_misconceptions/acc"
    training = group.fit.only_metrics([name, "c4/loss"])
    (forecast,) = forecasts(training, [name], [Target(N=7e9, D=1.4e11, name="far")]).values()
    scores = training.metric(name).value
    assert scores.min() <= forecast.value <= scores.max()
    assert any(doubt.startswith("no signal yet") for doubt in forecast.doubts)


def test_ways_below_the_least_weight_are_left_out():
    errors = {"good": 0.001, "bad": 0.5}
    assert _weights([way("good"), way("bad")], errors, [errors], is_share=True)["bad"] < LEAST_WEIGHT


def test_the_doubts_of_every_way_of_some_weight_are_told():
    made = ladder(held_out=[(7e10, 1e13)], tasks={"quiz/acc": lambda loss: 0.25 + 0.7 / (1 + np.exp(4 * (loss - 2.6)))})
    (forecast,) = method_named("auto").forecast(made, held_out_targets(made), ["quiz/acc"], QUICK)
    assert any(doubt.startswith("heavy extrapolation") for doubt in forecast.doubts)


def test_where_no_law_can_be_fitted_it_says_so():
    runs = [Run(f"r{i}", D=2e9 * 4**i, N=1e8) for i in range(2)]
    rows = []
    for run in runs:
        for D in np.linspace(run.D / 10, run.D, 10):
            loss = 2.0 + 1000.0 * D**-0.32
            rows += [(run.name, D, "c4/loss", loss), (run.name, D, "quiz/acc", 1.0 / (1.0 + np.exp(4 * (loss - 3.0))))]
    values = pl.DataFrame(rows, schema=["run", "D", "metric", "value"], orient="row")
    made = Observations.of(runs, values, [metric_named("c4/loss"), metric_named("quiz/acc", chance=0.0)])
    (forecast,) = method_named("auto").forecast(made, [Target(7e9, 1e12)], ["quiz/acc"], QUICK)
    assert any(doubt.startswith("no law could be fitted") for doubt in forecast.doubts)
    assert any(doubt.startswith("heavy extrapolation") for doubt in forecast.doubts)


def test_too_few_runs_are_told_of_the_runs_given_and_not_of_a_hold_out_among_them():
    made = ladder(sizes=(1e8, 2e8, 4e8), multiples=(1.0,), tasks={"quiz/acc": lambda loss: 1 / (1 + np.exp(loss - 3))})
    with pytest.raises(FitError, match="3 rows of c4/loss cannot carry"):
        method_named("auto").forecast(made, [Target(1e9, 2e10)], ["quiz/acc"], QUICK)


def test_accuracies_without_any_loss_are_forecast_straight_from_N_and_D():
    whole = ladder(held_out=[(7e9, 1e12)], tasks={"arc/acc": lambda L: 0.25 + 0.6 / (1.0 + np.exp(3.0 * (L - 2.4)))})
    bare = whole.only_metrics(["arc/acc"])
    (made,) = method_named("auto").forecast(bare, held_out_targets(bare), ["arc/acc"], Settings(draws=60, starts=16))
    (measured,) = whole.held_out().metric("arc/acc").value
    assert made.value == pytest.approx(measured, abs=0.05)
    assert "direct" in made.reason
