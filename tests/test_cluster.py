from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from foretell.cli.app import app
from foretell.errors import FitError, MethodError, TableError
from foretell.fitting import fit
from foretell.forecast import Settings, Target
from foretell.judge import backtest, splits_of
from foretell.methods import method_named
from foretell.methods.cluster import LAW, UNIT, Cluster, mapped, points_of, rises
from foretell.methods.item_clusters import clusters_of
from foretell.methods.item_outcomes import ItemOutcomes
from foretell.table import Observations, Run, metric_named, save_study
from foretell.table.items import Items, write_items
from item_simulation import C_TARGET, RISING, SIZES, rate_of, simulated

POINT = Settings(draws=0)
TARGET = Target(N=70e9, D=C_TARGET / 6 / 70e9, C=C_TARGET, name="70B")


def test_items_of_one_class_form_one_group() -> None:
    outcomes, _, kind = simulated(0)
    label = clusters_of(outcomes).label
    for name in (*RISING, "flat", "late"):
        found, count = np.unique(label[kind == name], return_counts=True)
        assert count.max() >= 0.9 * SIZES[name], name
        assert found[np.argmax(count)] >= 0, name


def test_items_without_a_pattern_belong_to_no_group() -> None:
    outcomes, _, kind = simulated(0)
    assert np.mean(clusters_of(outcomes).label[kind == "noisy"] < 0) > 0.9


def test_a_group_has_at_least_ten_items() -> None:
    outcomes, _, _ = simulated(0, sizes={"easy": 9, "hard": 12})
    label = clusters_of(outcomes).label
    assert np.sum(label < 0) == 9
    assert np.sum(label == 0) == 12


def test_unpredictable_items_are_set_aside() -> None:
    outcomes, _, kind = simulated(1)
    made = Cluster().fit(outcomes, POINT)
    predictable = np.isin(kind, list(RISING))
    assert np.mean(made.predictable[predictable]) > 0.9
    assert not made.predictable[~predictable].any()


def test_the_subset_is_forecast_to_what_its_items_become() -> None:
    sizes = dict.fromkeys(RISING, 100)
    for seed in range(3):
        outcomes, truth, _ = simulated(seed, sizes=sizes)
        made = Cluster().of_outcomes(outcomes, [TARGET], POINT)[0]
        assert made.value == pytest.approx(truth, abs=0.06)


def test_it_beats_the_plain_average_s_extrapolation() -> None:
    ours, plain = [], []
    for seed in range(6):
        outcomes, truth, _ = simulated(seed)
        ours.append(abs(Cluster().of_outcomes(outcomes, [TARGET], POINT)[0].value - truth))
        whole = fit(LAW, points_of(outcomes.score, outcomes), objective="gaussian@linear", starts=32)
        C = np.array([C_TARGET / (UNIT * outcomes.C[0])])
        plain.append(abs(float(whole.predict({"C": C})[0]) - truth))
    assert np.mean(ours) < 0.7 * np.mean(plain)
    assert np.mean(ours) < 0.025


def test_the_interval_holds_the_truth_with_many_tries() -> None:
    inside = []
    for seed in range(8):
        outcomes, truth, _ = simulated(seed)
        low, high = Cluster().of_outcomes(outcomes, [TARGET], Settings(draws=200))[0].interval(0.8)
        inside.append(low <= truth <= high)
    assert np.mean(inside) >= 0.6


def test_row_and_column_order_do_not_matter() -> None:
    outcomes, _, _ = simulated(2)
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(len(outcomes.item)), rng.permutation(len(outcomes.run))
    mixed = ItemOutcomes.of(
        outcomes.metric, outcomes.item[rows], outcomes.run[columns], outcomes.C[columns],
        outcomes.rate[np.ix_(rows, columns)], outcomes.trials[np.ix_(rows, columns)],
    )  # fmt: skip
    settings = Settings(draws=20)
    one, other = (Cluster().of_outcomes(o, [TARGET], settings)[0] for o in (outcomes, mixed))
    assert one.value == other.value
    np.testing.assert_array_equal(one.draws, other.draws)


def test_the_unit_of_compute_does_not_matter() -> None:
    outcomes, _, _ = simulated(2)
    in_exa = ItemOutcomes.of(
        outcomes.metric, outcomes.item, outcomes.run, outcomes.C / 1e18, outcomes.rate, outcomes.trials
    )
    one = Cluster().fit(outcomes, POINT).full(np.array([C_TARGET]))
    other = Cluster().fit(in_exa, POINT).full(np.array([C_TARGET / 1e18]))
    assert one[0] == pytest.approx(other[0], abs=1e-6)


def test_a_score_never_leaves_the_unit_interval_however_far_it_reaches() -> None:
    made = Cluster().fit(simulated(3)[0], POINT)
    score = made.full(np.geomspace(1e19, 1e40, 30))
    assert np.all((score >= 0) & (score <= 1))
    assert np.all(np.diff(score) >= -1e-6)


def test_the_map_goes_through_both_ends_and_never_falls() -> None:
    subset = np.array([0.1, 0.2, 0.3, 0.4, 0.42])
    for full in (np.array([0.08, 0.15, 0.22, 0.28, 0.3]), np.array([0.3, 0.1, 0.5, 0.2, 0.4])):
        made = mapped(subset, full)
        np.testing.assert_allclose(made(np.array([0.0, 1.0])), [0.0, 1.0], atol=1e-4)
        assert np.all(np.diff(made(np.linspace(0, 1, 200))) >= -1e-6)
    np.testing.assert_allclose(mapped(subset, subset)(subset), subset, atol=0.005)


def test_a_flat_group_does_not_rise() -> None:
    outcomes, _, kind = simulated(0)
    assert rises(outcomes.only(kind == "hard"))
    assert not rises(outcomes.only(kind == "flat"))


def test_items_that_never_change_and_what_was_set_aside_are_named() -> None:
    outcomes, _, _ = simulated(0, sizes={"easy": 60, "hard": 60, "late": 40, "noisy": 30})
    doubts = Cluster().of_outcomes(outcomes, [TARGET], POINT)[0].doubts
    never = int(np.sum(np.ptp(outcomes.rate, axis=1) == 0))
    assert never > 0
    assert any(f"items that never change: {never} of 190" in doubt for doubt in doubts)
    assert any("set aside as unpredictable, of 190 items" in doubt and "outliers" in doubt for doubt in doubts)


def test_missing_outcomes_are_counted_and_left_out_of_scores() -> None:
    outcomes, truth, _ = simulated(0)
    rate = outcomes.rate.copy()
    rate[np.random.default_rng(0).uniform(size=rate.shape) < 0.05] = np.nan
    holed = ItemOutcomes.of(outcomes.metric, outcomes.item, outcomes.run, outcomes.C, rate, outcomes.trials)
    np.testing.assert_allclose(holed.score, np.nanmean(rate, axis=0))
    made = Cluster().of_outcomes(holed, [TARGET], POINT)[0]
    assert any(f"missing: {int(np.isnan(rate).sum())} of {rate.size}" in doubt for doubt in made.doubts)
    assert made.value == pytest.approx(truth, abs=0.06)


def test_few_tries_are_named() -> None:
    outcomes, _, _ = simulated(0, trials=4)
    assert any("few tries" in doubt for doubt in Cluster().of_outcomes(outcomes, [TARGET], POINT)[0].doubts)


def test_a_task_without_any_rising_group_is_refused_by_name() -> None:
    outcomes, _, _ = simulated(0, sizes={"flat": 40, "late": 40})
    with pytest.raises(FitError, match=r"none of 2 groups of task/acc can be extrapolated .*flat"):
        Cluster().fit(outcomes, POINT)


def test_a_task_that_gets_worse_with_compute_is_called_so() -> None:
    outcomes, _, _ = simulated(0, sizes={"easy": 60})
    turned = ItemOutcomes.of(
        outcomes.metric, outcomes.item, outcomes.run, outcomes.C, 1.0 - outcomes.rate, outcomes.trials
    )
    with pytest.raises(FitError, match=r"gets worse with compute \(inverse scaling\)"):
        Cluster().fit(turned, POINT)


def test_four_models_are_too_few() -> None:
    outcomes, _, _ = simulated(0)
    with pytest.raises(FitError, match="at least 5 models"):
        Cluster().fit(outcomes.up_to(float(outcomes.C[3])), POINT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item": ["a", "a"]}, "two items"),
        ({"rate": np.array([[0.1, 1.2], [0.1, 0.2]])}, "outside 0..1"),
        ({"C": np.array([1e20, 0.0])}, "no positive compute"),
        ({"C": np.array([1e20])}, "have shape"),
        ({"trials": 0.0}, "fewer than one trial"),
    ],
)
def test_outcomes_that_contradict_themselves_are_refused(change: dict[str, object], message: str) -> None:
    good = {
        "metric": "t",
        "item": ["a", "b"],
        "run": ["r", "s"],
        "C": np.array([1e20, 1e21]),
        "rate": np.full((2, 2), 0.5),
    }
    with pytest.raises(TableError, match=message):
        ItemOutcomes.of(**{**good, **change})  # type: ignore[arg-type]


def test_outcomes_come_from_a_study_with_the_compute_of_each_run_s_end() -> None:
    runs = [Run("b", D=2e10, N=1e9, C=3e20), Run("a", D=1e10, N=1e9), Run("target", D=1e12, N=7e9, held_out=True)]
    rows = [
        {"run": run.name, "D": D, "metric": "quiz/acc", "item": item, "outcome": tries - 1, "trials": tries}
        for run in runs
        for D in (run.D / 2, run.D)
        for item, tries in (("q1", 2), ("q2", 4))
    ]
    items = Items.of(pl.DataFrame(rows))
    values = pl.DataFrame({"run": ["a", "b"], "D": [1e10, 2e10], "metric": "quiz/acc", "value": 0.5, "C": [None, 3e20]})
    found = ItemOutcomes.of_items(items, Observations.of(runs, values, [metric_named("quiz/acc")]), "quiz/acc")
    assert found.run.tolist() == ["a", "b"]
    assert found.C.tolist() == [6 * 1e9 * 1e10, 3e20]
    assert found.rate.tolist() == [[0.5, 0.5], [0.75, 0.75]]
    assert found.trials.tolist() == [[2, 2], [4, 4]]


@pytest.fixture(scope="module")
def quiz() -> tuple[Observations, pl.DataFrame]:
    """Give eight small models and a large one that is held out, with a hundred tries at every question."""
    outcomes, _, kind = simulated(0, sizes=dict.fromkeys(RISING, 40))
    rng = np.random.default_rng(5)
    last = rng.binomial(100, [rate_of(name, np.array([C_TARGET]), rng)[0] for name in kind]) / 100
    compute, rate = np.append(outcomes.C, C_TARGET), np.column_stack([outcomes.rate, last])
    runs = [Run(f"m{i}", D=C / 6e9, N=1e9, held_out=i == len(outcomes.C)) for i, C in enumerate(compute)]
    frame = pl.DataFrame(
        [
            {"run": run.name, "D": run.D, "metric": "task/acc", "item": item, "outcome": round(100 * r), "trials": 100}
            for run, rates in zip(runs, rate.T, strict=True)
            for item, r in zip(outcomes.item.tolist(), rates.tolist(), strict=True)
        ]
    )
    score = frame.group_by("run", "D", "metric").agg(value=pl.col("outcome").sum() / pl.col("trials").sum())
    return Observations.of(runs, score, [metric_named("task/acc", items=len(kind))]), frame


def test_it_stands_behind_the_interface_of_every_method(quiz: tuple[Observations, pl.DataFrame]) -> None:
    study, frame = quiz
    (held,) = splits_of(study, "held-out")
    made = backtest(method_named("cluster", items=Items.of(frame)), [held], ["task/acc"], Settings(draws=60))
    (outcome,) = made.outcomes
    assert outcome.forecast.metric.items == 120
    assert abs(outcome.error) < 0.05


def test_outcomes_of_hidden_runs_change_no_bit(quiz: tuple[Observations, pl.DataFrame]) -> None:
    study, frame = quiz
    spoilt = frame.with_columns(outcome=pl.when(pl.col("run") == "m8").then(0).otherwise(pl.col("outcome")))
    one, other = (
        method_named("cluster", items=Items.of(of)).forecast(study, [TARGET], ["task/acc"], Settings(draws=60))[0]
        for of in (frame, spoilt)
    )
    assert one.value == other.value
    np.testing.assert_array_equal(one.draws, other.draws)


def test_the_verbs_give_it_what_the_study_keeps(quiz: tuple[Observations, pl.DataFrame], tmp_path: Path) -> None:
    study, frame = quiz
    save_study(study, tmp_path / "quiz")
    write_items(tmp_path / "quiz", frame, "mine")
    words = ["predict", str(tmp_path / "quiz"), "--method", "cluster", "--draws", "60", "--json"]
    (told,) = json.loads(CliRunner().invoke(app, words, catch_exceptions=False).stdout)
    assert told["value"] == pytest.approx(study.held_out().metric("task/acc").value[0], abs=0.05)


def test_a_study_without_outcomes_of_questions_is_told_how_to_get_them(
    quiz: tuple[Observations, pl.DataFrame],
) -> None:
    with pytest.raises(MethodError, match="foretell read lm-eval"):
        method_named("cluster").forecast(quiz[0], [TARGET], ["task/acc"], POINT)
