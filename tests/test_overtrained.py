"""Over-trained models are forecast from Chinchilla-trained ones (Gadre 2024), with our own fit."""

from dataclasses import replace

import numpy as np
import pytest

from foretell.errors import MethodError
from foretell.forecast import Settings, Target
from foretell.judge import targets_of
from foretell.methods import method_named
from foretell.methods.average_error import average_error, seventeen_tasks
from foretell.methods.overtrained import Overtrained
from foretell.sources import read
from protocols import protocol, testbeds

QUICK = Settings(draws=100, starts=32, parts=frozenset({"coefficients", "noise"}))


@pytest.fixture(scope="module")
def groups():
    return protocol("gadre.open").groups


def forecasts_of(group, metric, settings=QUICK):
    hidden = targets_of(group.test.metric(metric))
    made = Overtrained().forecast(group.fit, [target for target, _ in hidden], [metric], settings)
    return [(forecast, value) for forecast, (_, value) in zip(made, hidden, strict=True)]


def losses(groups):
    return [name for name in groups[0].fit.metrics if groups[0].fit.metrics[name].is_loss]


def test_the_law_is_gadres_and_the_link_exponential():
    assert (Overtrained().law, Overtrained().link, Overtrained().ideal_point) == ("gadre", "exponential", False)
    assert isinstance(method_named("overtrained"), Overtrained)


def test_losses_of_six_over_trained_models_are_forecast_within_three_percent(groups):
    shared = groups[0].fit.shared_loss
    assert shared in losses(groups)
    errors = [f.value / value - 1 for group in groups for f, value in forecasts_of(group, shared)]
    assert len(errors) == 6
    assert np.mean(np.abs(errors)) < 0.03
    assert np.max(np.abs(errors)) < 0.06


def test_the_average_error_of_17_tasks_is_forecast_within_five_percent(groups):
    tasks = seventeen_tasks(read("gadre", testbeds() / "gadre"))
    averaged = [replace(g, fit=average_error(g.fit, tasks), test=average_error(g.test, tasks)) for g in groups]
    errors = [f.value / value - 1 for group in averaged for f, value in forecasts_of(group, "average/err")]
    assert np.mean(np.abs(errors)) < 0.05


def test_intervals_hold_the_value_and_widen_with_reach(groups):
    for group in groups:
        made = [forecast for forecast, _ in forecasts_of(group, group.fit.shared_loss)]
        for forecast in made:
            low, high = forecast.interval(0.9)
            assert low < forecast.value < high
        near, far = sorted(made, key=lambda forecast: forecast.reach)
        assert near.reach < far.reach


def test_the_same_seed_gives_the_same_draws(groups):
    first, second = (forecasts_of(groups[0], "hellaswag/acc")[0][0] for _ in range(2))
    np.testing.assert_array_equal(first.draws, second.draws)


def test_a_study_without_a_loss_cannot_be_forecast(groups):
    bare = replace(groups[0].fit.only_metrics(["hellaswag/acc"]), shared_loss=None)
    with pytest.raises(MethodError, match="no loss leads to"):
        Overtrained().forecast(bare, [Target(7e9, 1.4e11)], ["hellaswag/acc"], QUICK)
