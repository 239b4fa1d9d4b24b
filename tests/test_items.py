"""Outcomes of items come back as they were written, in any order, and contradictions are refused by name."""

import numpy as np
import polars as pl
import pytest

from foretell.errors import StudyError, TableError, UnknownName
from foretell.table import save_study
from foretell.table.items import Items, open_items, write_items
from ladders import ladder, sigmoid_task


def outcomes(runs=("a", "b"), checkpoints=3, items=5, seed=0, metric="task/acc"):
    rng = np.random.default_rng(seed)
    rows = [
        {"run": run, "D": 1e9 * (j + 1), "metric": metric, "item": f"q{i}", "outcome": int(rng.random() < 0.5)}
        for run in runs for j in range(checkpoints) for i in range(items)
    ]  # fmt: skip
    return pl.DataFrame(rows)


def test_what_is_written_comes_back_as_a_grid(tmp_path):
    frame = outcomes()
    for run in ("a", "b"):
        write_items(tmp_path, frame.filter(pl.col("run") == run), run)
    grid = open_items(tmp_path).grid("task/acc")
    assert grid.successes.shape == (5, 6)
    assert list(grid.run) == ["a"] * 3 + ["b"] * 3
    for row in frame.iter_rows(named=True):
        j = np.flatnonzero((grid.run == row["run"]) & (grid.D == row["D"]))[0]
        assert grid.successes[list(grid.item).index(row["item"]), j] == row["outcome"]
    assert (grid.trials == 1).all()


def test_row_order_and_the_split_into_files_do_not_matter(tmp_path):
    frame = outcomes()
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=1)
    write_items(tmp_path, shuffled.head(13), "one")
    write_items(tmp_path, shuffled.tail(len(frame) - 13), "two")
    found, expected = open_items(tmp_path).grid("task/acc"), Items.of(frame).grid("task/acc")
    np.testing.assert_array_equal(found.successes, expected.successes)
    np.testing.assert_array_equal(found.run, expected.run)


def test_a_file_from_another_tool_in_any_order_reads_the_same(tmp_path, monkeypatch):
    from foretell.table import items as module

    frame = outcomes(items=40).sample(fraction=1.0, shuffle=True, seed=2)
    (tmp_path / "items").mkdir()
    frame.write_parquet(tmp_path / "items" / "foreign.parquet")
    monkeypatch.setattr(module, "BATCH", 17)
    np.testing.assert_array_equal(
        open_items(tmp_path).grid("task/acc").successes, Items.of(frame).grid("task/acc").successes
    )


def test_a_missing_outcome_has_no_tries_and_is_no_zero():
    frame = outcomes().filter(~((pl.col("item") == "q1") & (pl.col("run") == "b")))
    grid = Items.of(frame).grid("task/acc")
    hole = grid.trials == 0
    assert hole.sum() == 3
    assert hole[list(grid.item).index("q1"), 3:].all()
    np.testing.assert_allclose(grid.accuracy()[3:], grid.successes[:, 3:].sum(axis=0) / 4)


def test_equal_rows_merge_within_and_across_files(tmp_path):
    frame = outcomes()
    write_items(tmp_path, pl.concat([frame, frame]), "one")
    write_items(tmp_path, frame.head(4), "two")
    np.testing.assert_array_equal(
        open_items(tmp_path).grid("task/acc").successes, Items.of(frame).grid("task/acc").successes
    )


def test_contradictory_outcomes_of_one_key_are_refused(tmp_path):
    frame = outcomes()
    other = frame.head(1).with_columns(outcome=1 - pl.col("outcome"))
    with pytest.raises(TableError, match=r"contradict another of the same key .*run 'a', D = 1e\+09.*item 'q0'"):
        Items.of(pl.concat([frame, other]))
    write_items(tmp_path, frame, "one")
    write_items(tmp_path, other, "two")
    with pytest.raises(TableError, match=r"contradict another of the same key .*item 'q0'"):
        open_items(tmp_path).grid("task/acc")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outcome": 2}, "outside 0..1"),
        ({"outcome": -1}, "outside 0..1"),
        ({"outcome": 0.5}, "between whole numbers"),
        ({"outcome": float("nan")}, "not a finite number"),
        ({"trials": 0}, "trials that are no count"),
        ({"D": 0.0}, "D ≤ 0"),
        ({"item": ""}, "name no item"),
        ({"run": None}, "name no run"),
        ({"outcome": "yes"}, "it holds numbers"),
    ],
)
def test_an_outcome_that_is_none_is_refused_by_name(change, message):
    frame = outcomes().with_columns(**{name: pl.lit(value) for name, value in change.items()})
    with pytest.raises(TableError, match=message):
        Items.of(frame)


def test_successes_of_several_tries_are_counts():
    frame = outcomes().with_columns(outcome=pl.lit(300), trials=pl.lit(400))
    grid = Items.of(frame).grid("task/acc")
    assert grid.trials.dtype == np.uint16
    np.testing.assert_allclose(grid.accuracy(), 0.75)


def test_items_of_an_unknown_run_or_metric_are_refused_and_means_that_differ_are_doubted():
    study = ladder(tasks={"task/acc": sigmoid_task})
    with pytest.raises(TableError, match="runs that the study does not have"):
        Items.of(outcomes()).doubts(study)
    row = study.values.filter(pl.col("metric") == "task/acc").row(0, named=True)
    mine = pl.DataFrame(
        {
            "run": [row["run"]] * 4,
            "D": [row["D"]] * 4,
            "metric": ["task/acc"] * 4,
            "item": list("abcd"),
            "outcome": [1] * 4,
        }
    )
    (doubt,) = Items.of(mine).doubts(study)
    assert doubt.startswith("contradictory counts")
    with pytest.raises(TableError, match="which the study does not have"):
        Items.of(mine.with_columns(metric=pl.lit("other/acc"))).doubts(study)


def test_unknown_metrics_runs_and_absent_columns_say_so(tmp_path):
    items = Items.of(outcomes())
    with pytest.raises(UnknownName, match="task/acc"):
        items.grid("tusk/acc")
    with pytest.raises(TableError, match=r"no outcomes of items .*'c'"):
        items.grid("task/acc", ["a", "c"])
    with pytest.raises(TableError, match="lack the columns outcome"):
        Items.of(outcomes().drop("outcome"))
    with pytest.raises(StudyError, match="becomes a file's name"):
        write_items(tmp_path, outcomes(), "../elsewhere")


def test_a_killed_writer_leaves_nothing_that_is_read(tmp_path):
    save_study(ladder(), tmp_path / "study")
    assert open_items(tmp_path / "study") is None
    (tmp_path / "study" / "items").mkdir()
    (tmp_path / "study" / "items" / ".w.1.part").write_bytes(b"half")
    assert open_items(tmp_path / "study") is None
    write_items(tmp_path / "study", outcomes(), "w")
    write_items(tmp_path / "study", outcomes(seed=1), "w")
    grid = open_items(tmp_path / "study").grid("task/acc")
    np.testing.assert_array_equal(grid.successes, Items.of(outcomes(seed=1)).grid("task/acc").successes)
