"""Runs, metrics and observations keep what was measured by name, and refuse what contradicts itself."""

import numpy as np
import polars as pl
import pytest

from foretell.errors import TableError, UnknownName
from foretell.table import Metric, Observations, Run, leading_loss, metric_named


def ladder(checkpoints=6, order=None, **options):
    """Make three runs with a loss and an accuracy at each of their checkpoints."""
    runs = [
        Run(name="a", N=1e8, D=6e9, family="c4", attributes={"lr": 0.1}),
        Run(name="b", N=2e8, D=6e9, family="c4", attributes={"lr": 0.2}, C=1e19),
        Run(name="target", N=4e9, D=6e9, family="rpj", attributes={"lr": 0.3}, held_out=True),
    ]
    rows = [
        {"run": run.name, "D": i * 1e9, "metric": metric, "value": value, "C": 6 * run.N * i * 1e9}
        for run in runs
        for i in range(1, checkpoints + 1)
        for metric, value in (("c4/loss", 4.0 - 0.1 * i - run.N / 1e10), ("arc/acc", 0.3 + 0.01 * i))
    ]
    rows = rows if order is None else [rows[i] for i in order]
    metrics = [metric_named("c4/loss"), metric_named("arc/acc", chance=0.25, items=100)]
    return Observations.of(runs if order is None else runs[::-1], pl.DataFrame(rows), metrics, **options)


def test_row_and_run_order_do_not_matter():
    shuffled = ladder(order=np.random.default_rng(0).permutation(36))
    assert shuffled.runs.equals(ladder().runs)
    assert shuffled.values.equals(ladder().values)
    np.testing.assert_array_equal(shuffled.metric("c4/loss").value, ladder().metric("c4/loss").value)


def test_the_final_value_is_the_mean_of_the_last_checkpoints():
    points = ladder(final_mean=3).training().metric("c4/loss")
    np.testing.assert_allclose(points.value, [4.0 - 0.5 - 0.01, 4.0 - 0.5 - 0.02])
    np.testing.assert_allclose(points.inputs["D"], 6e9)


def test_the_final_step_is_recorded():
    assert ladder().final(2).steps == ("final value: mean of the last 2 checkpoints",)


def test_a_moving_average_looks_back_only():
    smooth = ladder(rows="all").moving_average(2).metric("c4/loss")
    raw = ladder(rows="all").metric("c4/loss")
    np.testing.assert_allclose(smooth.value[0], raw.value[0])
    np.testing.assert_allclose(smooth.value[1:6], (raw.value[0:5] + raw.value[1:6]) / 2)


def test_dropping_the_first_tenth_drops_at_least_one_of_ten():
    kept = ladder(checkpoints=10, rows="all").drop_first(0.1)
    assert kept.values.group_by("run", "metric").len()["len"].to_list() == [9] * 6


def test_held_out_runs_are_in_no_training_rows():
    assert set(ladder().training().values["run"]) == {"a", "b"}
    assert set(ladder().held_out().values["run"]) == {"target"}


def test_a_condition_keeps_runs_by_size_and_family():
    assert ladder().where("N <= 1.5e8").runs["name"].to_list() == ["a"]
    assert ladder().where("family = 'rpj'").runs["name"].to_list() == ["target"]


def test_a_condition_on_checkpoints_reads_each_row():
    kept = ladder(rows="all").where("D <= 2e9")
    assert kept.values["D"].max() == 2e9


@pytest.mark.parametrize("condition", ["N <", "colour = 1", "N > 1e30"])
def test_a_condition_that_cannot_be_used_is_told(condition):
    with pytest.raises(TableError, match=r"cannot be used|no run fulfils"):
        ladder().where(condition)


def test_a_link_joins_two_metrics_on_run_and_tokens():
    points = ladder().link("c4/loss", "arc/acc")
    assert len(points) == 18
    np.testing.assert_allclose(points.inputs["L"], ladder(rows="all").metric("c4/loss").value)
    np.testing.assert_allclose(points.items, 100)


def test_compute_is_six_n_d_where_unknown():
    runs = [Run(name="a", N=1e8, D=1e9)]
    made = Observations.of(
        runs, pl.DataFrame({"run": ["a"], "D": [1e9], "metric": ["loss"], "value": [3.0]}), [metric_named("loss")]
    )
    np.testing.assert_allclose(made.metric("loss").inputs["C"], 6e17)


def values(**changed):
    return pl.DataFrame([{"run": "a", "D": 1e9, "metric": "c4/loss", "value": 3.0, **changed}])


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"value": float("nan")}, "not a finite number"),
        ({"value": float("inf")}, "not a finite number"),
        ({"value": None}, "not a finite number"),
        ({"value": -1.0}, "is positive"),
        ({"metric": "arc/acc", "value": 42.0}, "divide percentages by 100"),
        ({"D": 0.0}, "D ≤ 0"),
        ({"D": float("nan")}, "not a finite number"),
        ({"run": "ghost"}, "not described"),
        ({"metric": "ghost"}, "not described"),
    ],
)
def test_values_that_cannot_be_are_refused(changed, match):
    with pytest.raises(TableError, match=match):
        Observations.of(
            [Run(name="a", N=1e8, D=1e9)], values(**changed), [metric_named("c4/loss"), metric_named("arc/acc")]
        )


@pytest.mark.parametrize(
    "counts", [{"N": 0.0}, {"N": -1.0}, {"N": float("nan")}, {"D": 0.0}, {"C": float("inf")}, {"N": None}]
)
def test_a_run_with_an_impossible_count_is_refused(counts):
    with pytest.raises(TableError, match="run 'a'"):
        Run(**{"name": "a", "N": 1e8, "D": 1e9, **counts})


def test_two_runs_of_one_name_are_refused():
    with pytest.raises(TableError, match="two runs are called 'a'"):
        Observations.of([Run(name="a", N=1.0, D=1.0)] * 2, values(), [metric_named("c4/loss")])


def test_one_key_with_two_values_is_refused_and_alike_rows_merge_aloud():
    run, metric = [Run(name="a", N=1e8, D=1e9)], [metric_named("c4/loss")]
    merged = Observations.of(run, pl.concat([values(), values()]), metric)
    assert len(merged.values) == 1
    assert merged.notes == ("1 rows repeat another row's key and value; merged",)
    with pytest.raises(TableError, match="different values"):
        Observations.of(run, pl.concat([values(), values(value=3.1)]), metric)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("c4/loss", "nats/token"),
        ("arc/bpb", "bits/byte"),
        ("acc_piqa", "accuracy"),
        ("x|ppl", "perplexity"),
        ("MMLU", "value"),
    ],
)
def test_a_metric_tells_its_unit_by_its_name(name, unit):
    assert metric_named(name).unit == unit
    assert metric_named(name).better == ("higher" if unit == "accuracy" else "lower")


def test_a_given_unit_goes_before_the_name():
    assert metric_named("loss_acc", unit="value").unit == "value"


def test_chance_outside_a_share_is_refused():
    with pytest.raises(ValueError, match="share between 0 and 1"):
        Metric(name="x/acc", unit="accuracy", chance=25)


def test_merging_joins_runs_and_counts_what_was_there():
    merged = ladder().training().merge(ladder())
    assert len(merged.runs) == 3
    assert merged.values.equals(ladder().values)
    assert merged.notes == ("24 values were already there; merged",)


def test_merging_refuses_another_unit_and_another_kind_of_attribute():
    here = ladder()
    other = Observations.of(
        [Run(name="z", N=1e8, D=1e9)], values(run="z", value=0.5), [Metric(name="c4/loss", unit="bits/byte")]
    )
    with pytest.raises(TableError, match="bits/byte in the other"):
        here.merge(other)
    text = Observations.of(
        [Run(name="z", N=1e8, D=1e9, attributes={"lr": "low"})], values(run="z"), [metric_named("c4/loss")]
    )
    with pytest.raises(TableError, match="lr is text in one"):
        here.merge(text)


def test_an_unknown_metric_or_run_suggests_the_nearest():
    with pytest.raises(UnknownName, match="did you mean c4/loss"):
        ladder().metric("c4/los")
    with pytest.raises(UnknownName, match="did you mean target"):
        ladder().only_runs(["targt"])


def test_a_validation_loss_stands_for_all_before_the_bits_of_a_task():
    named = {name: metric_named(name) for name in ("cloze_code/bpb", "cloze_code/soft_loss", "code/loss", "mail/loss")}
    assert leading_loss(named) == "code/loss"
    assert leading_loss(named, "mail/loss") == "mail/loss"
    assert leading_loss({"quiz/bpb": metric_named("quiz/bpb")}) == "quiz/bpb"
    assert leading_loss({"quiz/acc": metric_named("quiz/acc")}) is None
