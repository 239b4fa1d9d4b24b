"""A forecast holds its value, its interval and its reach, and each part of the interval can be had alone."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

import foretell
from foretell import api
from foretell.errors import FitError, MethodError, TableError, UnitError, UnknownName
from foretell.forecast import Forecast, Settings, Target, forecast_of, held_out_targets, parse_parts, reach_of
from foretell.forecast.forecast import within_limits
from foretell.methods import method_named
from foretell.table import Metric, metric_named
from ladders import CHINCHILLA, TRUTH, ladder, sigmoid_task

TARGET = Target(7e9, 7e11)
ACCURACY, LOSS = metric_named("task/acc"), metric_named("c4/loss")


def forecast_with(draws, metric=LOSS, value=2.0):
    return Forecast(TARGET, metric, "test", value, np.asarray(draws, dtype=float), frozenset(), 1.0)


@pytest.fixture(scope="module")
def study():
    return ladder(0.003, tasks={"easy/acc": sigmoid_task}, held_out=[(7e9, 7e11)])


def width(parts, study, metric="c4/loss", target=TARGET, **options):
    made = api.predict(
        study, [target], [metric], settings=Settings(draws=300, starts=16, parts=frozenset(parts)), **options
    )
    low, high = made[0].interval(0.8)
    assert low <= made[0].value <= high
    return high - low


def with_U(study):
    return replace(study, runs=study.runs.with_columns(U=pl.col("D")))


# -- intervals ------------------------------------------------------------------------------------------------------


def test_an_interval_is_the_central_part_of_the_draws():
    made = forecast_with(np.arange(1001) / 1000)
    assert made.interval(0.8) == pytest.approx((0.1, 0.9))
    assert made.interval(0.5) == pytest.approx((0.25, 0.75))


def test_intervals_of_higher_level_hold_those_of_lower():
    made = forecast_with(np.random.default_rng(0).normal(2, 0.1, 500))
    bounds = [made.interval(level) for level in (0.5, 0.8, 0.95)]
    assert bounds[2][0] < bounds[1][0] < bounds[0][0] < bounds[0][1] < bounds[1][1] < bounds[2][1]


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 80.0, math.nan])
def test_a_level_outside_zero_and_one_is_refused(level):
    with pytest.raises(MethodError, match="lies between 0 and 1"):
        forecast_with([1.0, 2.0]).interval(level)


def test_without_draws_there_is_no_interval():
    with pytest.raises(MethodError, match="no draws"):
        forecast_with([]).interval()
    told = forecast_with([]).to_json()
    assert (told["low"], told["high"]) == (None, None)


def test_json_has_the_keys_of_the_issue():
    told = forecast_with(np.linspace(1.9, 2.1, 101)).to_json(0.5)
    assert list(told) == ["target", "metric", "method", "value", "low", "high", "level", "reach", "doubts"]
    assert told["target"] == {"N": 7e9, "D": 7e11}
    assert (told["low"], told["high"], told["level"]) == (pytest.approx(1.95), pytest.approx(2.05), 0.5)


def test_values_are_kept_where_their_metric_can_be():
    wild = np.array([-0.5, 0.5, 1.5])
    np.testing.assert_array_equal(within_limits(ACCURACY, wild), [0.0, 0.5, 1.0])
    np.testing.assert_array_equal(within_limits(LOSS, wild), [0.0, 0.5, 1.5])
    np.testing.assert_array_equal(within_limits(Metric(name="gain"), wild), wild)


# -- parts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["c4/loss", "easy/acc"])
def test_every_part_widens_the_interval(study, metric):
    alone = [width({part}, study, metric) for part in ("coefficients", "noise", "form")]
    assert min(alone) > 0
    assert width({"coefficients", "noise"}, study, metric) > 0.95 * max(alone[:2])
    assert width({"coefficients", "noise", "form"}, study, metric) > 0.95 * max(alone)


def test_no_part_is_refused():
    with pytest.raises(UnknownName, match="known: coefficients, form, noise"):
        parse_parts("")
    with pytest.raises(UnknownName, match="did you mean coefficients"):
        parse_parts("noise,coeficients")
    assert parse_parts("all") == parse_parts("noise, form,coefficients")


def test_intervals_widen_with_reach(study):
    widths = [width({"coefficients", "noise", "form"}, study, target=Target(N, 100 * N)) for N in (2e9, 7e9, 7e10)]
    assert widths[0] < widths[1] < widths[2]


def test_the_same_seed_gives_the_same_forecast(study):
    settings = [Settings(draws=50, starts=8, seed=seed) for seed in (1, 1, 2)]
    first, again, other = (api.predict(study, [TARGET], ["easy/acc"], settings=s)[0] for s in settings)
    np.testing.assert_array_equal(first.draws, again.draws)
    assert not np.array_equal(first.draws, other.draws)
    assert other.value == pytest.approx(first.value, rel=1e-4)


def test_settings_that_make_no_sense_are_refused():
    for wrong in ({"draws": -1}, {"starts": 0}, {"seed": -1}):
        with pytest.raises(MethodError, match="draws ≥ 0, starts ≥ 1 and seed ≥ 0"):
            Settings(**wrong)


# -- targets --------------------------------------------------------------------------------------------------------


def test_a_target_is_written_as_people_write_it():
    target = api.target("7B", "2xC", name="mine")
    assert (target.N, target.D, target.C, target.label) == (7e9, 2.8e11, None, "mine")
    assert api.target("7B", "4T", "1e23").C == 1e23
    assert api.target(7e9, 4e12).label == "7B on 4T"


@pytest.mark.parametrize(
    "wrong", [{"N": 0.0, "D": 1.0}, {"N": 1.0, "D": math.nan}, {"N": 1.0, "D": 1.0, "C": math.inf}]
)
def test_a_target_without_a_positive_count_is_refused(wrong):
    with pytest.raises(MethodError, match="positive finite"):
        Target(**wrong)
    with pytest.raises(UnitError):
        api.target("7X", "4T")


def test_reach_counts_decades_of_compute_from_the_largest_run(study):
    points = study.training().metric("c4/loss")
    largest = float((points.input("N") * points.input("D")).max())
    assert reach_of(points, Target(largest**0.5, largest**0.5)) == pytest.approx(0.0)
    assert reach_of(points, Target(10 * largest**0.5, 10 * largest**0.5)) == pytest.approx(2.0)
    assert reach_of(points, Target(1e9, 1e9, C=60 * largest)) == pytest.approx(1.0)  # 6ND of the data, C of the target
    assert reach_of(points, Target(1e300, 1e300)) == pytest.approx(600 - math.log10(largest))


def test_a_target_inside_the_data_is_forecast_and_doubted(study):
    made = api.predict(study, [Target(5e8, 2e10)], ["c4/loss"], settings=Settings(draws=50, starts=16))[0]
    assert made.reach < 0
    assert "the target lies inside the data: this is an interpolation" in made.doubts


def test_without_targets_the_held_out_runs_are_forecast(study):
    made = api.predict(study, metrics=["c4/loss"], settings=Settings(draws=0, starts=16))
    assert [forecast.target.name for forecast in made] == ["run 16"]
    assert [target.N for target in held_out_targets(study)] == [7e9]
    truth = float(CHINCHILLA.value(TRUTH, {"N": np.array([7e9]), "D": np.array([7e11])})[0])
    assert made[0].value == pytest.approx(truth, rel=0.02)


def test_without_a_target_at_all_there_is_nothing_to_forecast(study):
    with pytest.raises(MethodError, match="there is no target"):
        api.predict(study.training())


# -- metrics --------------------------------------------------------------------------------------------------------


def test_a_task_means_its_accuracy_and_no_metric_means_every_task(study):
    assert api.metrics_of(study, ["easy", "c4/loss"]) == ["easy/acc", "c4/loss"]
    assert api.metrics_of(study) == ["easy/acc"]
    assert api.metrics_of(study.only_metrics(["c4/loss"])) == ["c4/loss"]
    with pytest.raises(UnknownName, match="did you mean easy/acc"):
        api.metrics_of(study, ["eazy/acc"])


def test_what_cannot_be_forecast_is_told_and_the_rest_is_forecast(study):
    failures: list[str] = []
    made = api.predict(
        study, [TARGET], ["c4/loss", "easy/acc"], method="chinchilla", settings=Settings(draws=0), failures=failures
    )
    assert [forecast.metric.name for forecast in made] == ["c4/loss"]
    assert len(failures) == 1
    assert failures[0].startswith("easy/acc: ")
    with pytest.raises(MethodError, match="is a share"):
        api.predict(study, [TARGET], ["c4/loss", "easy/acc"], method="chinchilla", settings=Settings(draws=0))


def test_forecasts_are_found_by_name(study):
    made = api.predict(study, [TARGET], ["easy"], settings=Settings(draws=0))
    assert forecast_of(made, "7B on 700B", "easy/acc") is made[0]
    with pytest.raises(UnknownName, match="7B on 700B easy/acc"):
        forecast_of(made, "7B on 700B", "easy/bpb")


def test_an_input_that_the_target_lacks_is_told(study):
    with pytest.raises(FitError, match="needs U of the target 7B on 700B"):
        api.predict(with_U(study), [TARGET], ["c4/loss"], method="chinchilla", law="E + A/N**alpha + B/U**beta")
    found = Target(7e9, 7e11, inputs={"U": 7e11})
    made = api.predict(with_U(study), [found], ["c4/loss"], method="chinchilla", law="E + A/N**alpha + B/U**beta",
                       settings=Settings(draws=0))  # fmt: skip
    assert made[0].value > 1.5


def test_where_everything_is_held_out_nothing_can_be_fitted(study):
    with pytest.raises(TableError, match="all 1 runs are held out"):
        api.predict(study.held_out(), [TARGET], ["c4/loss"])


def test_too_few_runs_are_an_error_of_ours(study):
    few = study.where("name IN ('run 00', 'run 01')")
    with pytest.raises(FitError, match="at least"):
        api.predict(few, [TARGET], ["c4/loss"])


def test_an_unknown_method_law_or_option_is_told():
    with pytest.raises(UnknownName, match="did you mean ladder"):
        method_named("lader")
    with pytest.raises(UnknownName, match="did you mean chinchilla"):
        method_named("ladder", law="chinchila")
    with pytest.raises(UnknownName, match="did you mean sigmoid"):
        method_named("ladder", link="sigmoi")
    with pytest.raises(MethodError, match="takes no link"):
        method_named("chinchilla", link="sigmoid")


def test_the_package_offers_what_a_notebook_needs():
    assert foretell.target("7B", "4T") == api.target("7B", "4T")


def test_one_target_and_one_metric_need_no_list():
    study = ladder(noise=0.01)
    settings = Settings(draws=20)
    listed = api.predict(study, [TARGET], ["c4/loss"], settings=settings)
    alone = api.predict(study, TARGET, "c4/loss", settings=settings)
    assert [f.value for f in alone] == [f.value for f in listed]
    assert api.metrics_of(study, "c4/loss") == ["c4/loss"]
