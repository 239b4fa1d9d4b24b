"""A backtest hides the larger runs, and scores what was said of them."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from foretell import api
from foretell.errors import FitError, MethodError, TableError, UnknownName
from foretell.forecast import Forecast, Settings, Target, reach_of
from foretell.judge import AXES, Split, backtest, binomial_interval, interval_score, splits_of, targets_of
from foretell.table import metric_named
from ladders import CHINCHILLA, TRUTH, ladder, sigmoid_task

NOISE = 0.01
PLAIN = Settings(draws=400, parts=frozenset({"noise"}))


@pytest.fixture(scope="module")
def study():
    return ladder(NOISE, sizes=np.geomspace(1e8, 2e9, 12), multiples=np.geomspace(1, 10, 10))


@dataclass(frozen=True)
class Oracle:
    """Know the true law, and state the noise `boast` times smaller than it is."""

    boast: float = 1.0
    shift: float = 0.0
    refuses: str = ""
    name = "oracle"
    source = "the truth"

    def forecast(self, observations, targets, metrics, settings):
        made = []
        for name in metrics:
            if name == self.refuses:
                raise FitError("this oracle is silent")
            rng = np.random.default_rng(settings.seed)
            points = observations.training().metric(name)
            for target in targets:
                place = {"N": np.array([target.N]), "D": np.array([target.D])}
                value = float(CHINCHILLA.value(TRUTH, place)[0]) * np.exp(self.shift)
                draws = value * np.exp(NOISE / self.boast * rng.normal(size=settings.draws))
                made.append(
                    Forecast(target, points.metric, self.name, value, draws, settings.parts, reach_of(points, target))
                )
        return made


# -- splits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [axis for axis in AXES if axis != "held-out"])
def test_the_parts_of_a_split_share_no_run_and_lose_none(study, by):
    splits = splits_of(study, by)
    assert len(splits) >= 2
    for split in splits:
        fit, test = set(split.fit.runs["name"]), set(split.test.runs["name"])
        assert not fit & test
        assert fit | test == set(study.runs["name"])
        assert set(split.fit.values["run"]) == fit
        assert set(split.test.values["run"]) == test


@pytest.mark.parametrize("by", ["C", "N", "D"])
def test_what_is_forecast_is_larger_than_all_that_is_fitted_and_fits_grow(study, by):
    sizes = []
    for split in splits_of(study, by):
        small, large = (part.metric("c4/loss").input(by) for part in (split.fit, split.test))
        assert small.max() < large.min()
        sizes.append(len(small))
    assert sizes == sorted(set(sizes))


def test_a_split_by_family_forecasts_the_family_it_has_not_seen(study):
    for split in splits_of(study, "family"):
        assert not set(split.fit.runs["family"]) & set(split.test.runs["family"])


def test_held_out_runs_are_in_no_progressive_split():
    study = ladder(NOISE, held_out=[(7e9, 7e11)])
    for split in splits_of(study, "C"):
        assert "run 16" not in {*split.fit.runs["name"], *split.test.runs["name"]}
    (whole,) = splits_of(study, "held-out")
    assert whole.test.runs["name"].to_list() == ["run 16"]


def test_checkpoints_are_split_by_their_own_compute(study):
    rows = replace(study, rows="all")
    for split in splits_of(rows, "C"):
        keys = [set(part.values.select("run", "D", "metric").iter_rows()) for part in (split.fit, split.test)]
        assert not keys[0] & keys[1]
        assert split.fit.metric("c4/loss").input("C").max() < split.test.metric("c4/loss").input("C").min()


def test_what_cannot_be_split_is_told(study):
    with pytest.raises(UnknownName, match="known: C, D, N, family, held-out"):
        splits_of(study, "size")
    with pytest.raises(TableError, match="no run is held out"):
        splits_of(study, "held-out")
    with pytest.raises(TableError, match="too few different values"):
        splits_of(study.only_runs(["run 00"]), "N")


def test_targets_come_in_the_order_of_compute_with_what_was_measured(study):
    points = study.metric("c4/loss")
    found = targets_of(points)
    compute = [target.C for target, _ in found]
    assert compute == sorted(compute)
    assert dict(zip(points.run, points.value, strict=True)) == {target.name: value for target, value in found}


# -- scores ---------------------------------------------------------------------------------------------------------


def judged(method, study, **options):
    return backtest(method, splits_of(study, "C"), ["c4/loss"], PLAIN, most_targets=None, **options)


def test_an_honest_oracle_covers_what_it_says(study):
    made = judged(Oracle(), study)
    for level in (0.5, 0.8, 0.9):
        share, low, high, n = made.coverage(level)
        assert n > 150
        assert low <= share <= high
        assert share == pytest.approx(level, abs=0.09)


def test_a_boasting_oracle_covers_too_little_and_scores_worse(study):
    honest, boasting = judged(Oracle(), study), judged(Oracle(boast=4.0), study)
    assert boasting.coverage(0.8)[0] < 0.5
    assert boasting.interval_score(0.8) > honest.interval_score(0.8)


def test_errors_are_relative_and_signed_as_forecast_minus_measured(study):
    made = judged(Oracle(shift=0.05), study)
    assert np.mean([outcome.error for outcome in made.outcomes]) == pytest.approx(0.05, abs=0.005)
    assert made.error() == pytest.approx(np.mean([abs(outcome.error) for outcome in made.outcomes]))


def test_the_truth_beats_copying_the_largest_run(study):
    made = judged(Oracle(), study)
    assert made.error() < 0.5 * made.error(lambda outcome: outcome.largest_run_error)


def test_the_largest_run_is_the_one_of_most_compute_that_was_fitted(study):
    split = splits_of(study, "C")[0]
    points = split.fit.metric("c4/loss")
    made = backtest(Oracle(), [split], ["c4/loss"], PLAIN)
    assert {outcome.largest_run for outcome in made.outcomes} == {points.value[np.argmax(points.input("C"))]}


def test_no_test_value_is_seen_by_the_method(study):
    split = splits_of(study, "C")[1]
    spoilt = Split(split.name, split.fit, replace(split.test, values=split.test.values.with_columns(value=9.0 + 0 * split.test.values["value"])))  # fmt: skip
    settings = Settings(draws=30, starts=8)
    from foretell.methods.ladder import Ladder

    honest, other = (backtest(Ladder(), [s], ["c4/loss"], settings, most_targets=5) for s in (split, spoilt))
    for one, two in zip(honest.outcomes, other.outcomes, strict=True):
        np.testing.assert_array_equal(one.forecast.draws, two.forecast.draws)
        assert two.measured == 9.0


def test_what_a_method_refuses_is_listed_and_the_rest_is_scored():
    study = ladder(NOISE, tasks={"easy/acc": sigmoid_task})
    made = backtest(Oracle(refuses="easy/acc"), splits_of(study, "C"), ["c4/loss", "easy/acc"], PLAIN)
    assert made.metrics == ["c4/loss"]
    assert len(made.failures) == len(splits_of(study, "C"))
    assert all("easy/acc: this oracle is silent" in failure for failure in made.failures)


def test_a_method_that_forecasts_nothing_is_an_error(study):
    with pytest.raises(MethodError, match=r"oracle forecast nothing: .*this oracle is silent"):
        judged(Oracle(refuses="c4/loss"), study)


def test_at_most_so_many_rows_are_forecast_spread_over_compute(study):
    made = backtest(Oracle(), splits_of(study, "C")[:1], ["c4/loss"], PLAIN, most_targets=5)
    hidden = [target.name for target, _ in targets_of(splits_of(study, "C")[0].test.metric("c4/loss"))]
    named = [outcome.forecast.target.name for outcome in made.outcomes]
    assert len(named) == 5
    assert (named[0], named[-1]) == (hidden[0], hidden[-1])


def test_shares_are_scored_in_points_beside_chance():
    study = ladder(0.003, tasks={"easy/acc": sigmoid_task}, held_out=[(7e9, 7e11)])
    made = api.backtest(study, ["easy/acc"], by="held-out", settings=Settings(draws=50, starts=16))
    (outcome,) = made.outcomes
    assert outcome.error == pytest.approx(outcome.forecast.value - outcome.measured)
    assert outcome.chance_error == pytest.approx(0.25 - outcome.measured)


def test_chance_of_an_error_is_one_minus_chance():
    metric = metric_named("easy/err", chance=0.25)
    forecast = Forecast(Target(1e9, 1e10), metric, "test", 0.3, np.zeros(0), frozenset(), 1.0)
    from foretell.judge import Outcome

    assert Outcome("s", forecast, 0.3, 0.4, metric.chance).chance_error == pytest.approx(0.75 - 0.3)


def test_the_summary_for_machines_holds_no_nan(study):
    told = judged(Oracle(), study).to_json()
    assert told["others"]["n"] == len(told["outcomes"]) == told["metrics"]["c4/loss"]["n"]
    assert told["others"]["chance_error"] is None
    assert set(told["others"]["coverage"]) == {"0.5", "0.8", "0.9"}


def test_the_interval_score_charges_width_and_misses():
    assert interval_score(1.0, 2.0, 1.5, 0.8) == pytest.approx(1.0)
    assert interval_score(1.0, 2.0, 2.5, 0.8) == pytest.approx(1.0 + 10 * 0.5)
    assert interval_score(1.0, 2.0, 0.9, 0.9) == pytest.approx(1.0 + 20 * 0.1)


def test_the_binomial_interval_is_clopper_and_pearsons():
    assert binomial_interval(0, 0) == (0.0, 1.0)
    assert binomial_interval(0, 10) == pytest.approx((0.0, 1 - 0.025 ** (1 / 10)))
    assert binomial_interval(10, 10) == pytest.approx((0.025 ** (1 / 10), 1.0))
    assert binomial_interval(8, 10) == pytest.approx((0.4439, 0.9748), abs=1e-4)


# -- the form's part ------------------------------------------------------------------------------------------------


def test_the_form_widens_the_intervals_of_a_law_that_is_wrong(study):
    whole = Settings(draws=300, starts=16)
    without = replace(whole, parts=whole.parts - {"form"})
    target = [Target(2e10, 2e12)]
    plain, widened = (api.predict(study, target, ["c4/loss"], settings=s, law="power-C", method="chinchilla")[0] for s in (without, whole))  # fmt: skip
    assert widened.value == plain.value
    plain_width, wide_width = (high - low for low, high in (plain.interval(0.8), widened.interval(0.8)))
    assert wide_width > 1.1 * plain_width
