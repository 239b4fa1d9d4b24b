"""Whichever method forecasts, what its rows lack, contradict or do the wrong way round is named in the doubts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

import foretell as ft
from ladders import ladder

METHODS = ("ladder", "overtrained", "direct", "flp", "horizon", "auto")
ITEMS = 1000


def rounded(loss: np.ndarray) -> np.ndarray:
    share = 0.25 + 0.7 / (1.0 + np.exp(4.0 * (loss - 2.6)))
    return np.round(share * ITEMS) / ITEMS


@pytest.fixture(scope="module")
def study() -> ft.Observations:
    made = ladder(held_out=[(7e9, 1e12)], tasks={"quiz/acc": rounded}, items=ITEMS)
    return replace(made, metrics={**made.metrics, "quiz/acc": ft.metric_named("quiz/acc", chance=0.25, items=ITEMS)})


def with_values(study: ft.Observations, metric: str, new: pl.Expr) -> ft.Observations:
    mine = pl.col("metric") == metric
    return replace(study, values=study.values.with_columns(value=pl.when(mine).then(new).otherwise(pl.col("value"))))


def doubts(study: ft.Observations, metric: str = "quiz/acc", method: str = "ladder") -> list[str]:
    (made,) = ft.predict(study, [], [metric], method=method, settings=ft.Settings(draws=50, starts=4))
    return list(made.doubts)


def without(study: ft.Observations, metric: str) -> ft.Observations:
    gone = (pl.col("metric") == metric) & pl.col("run").is_in(["run 03", "run 07"])
    return replace(study, values=study.values.filter(~gone))


BAD: dict[str, tuple[Callable[[ft.Observations], ft.Observations], str]] = {
    "a missing score": (lambda s: without(s, "quiz/acc"), "missing: quiz/acc was not measured in 2 of 16 runs (run 03"),
    "a count that is none": (
        lambda s: with_values(s, "quiz/acc", pl.col("value") + 0.0004 * (pl.col("run") == "run 05")),
        "contradictory counts",
    ),
    "a run below chance": (
        lambda s: with_values(
            s, "quiz/acc", pl.when(pl.col("run") == "run 00").then(0.1).otherwise(pl.col("value"))
        ),
        "below chance: 1 of 16 runs (run 00)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_every_method_names_what_is_wrong_with_its_rows(study: ft.Observations, method: str) -> None:
    broken = study
    for change, _ in BAD.values():
        broken = change(broken)
    said = doubts(broken, method=method)
    for _, begins in BAD.values():
        kind = begins.partition(":")[0]
        assert any(doubt.startswith(kind) for doubt in said), (method, kind, said)


@pytest.mark.parametrize("case", BAD)
def test_a_doubt_counts_and_names_the_runs(study: ft.Observations, case: str) -> None:
    change, begins = BAD[case]
    assert any(doubt.startswith(begins) for doubt in doubts(change(study)))


def test_a_clean_ladder_raises_none_of_them(study: ft.Observations) -> None:
    kinds = ("missing", "contradictory", "below chance", "at or below", "gets worse", "non-monotone")
    assert not [doubt for doubt in doubts(study) if doubt.startswith(kinds)]


def test_a_validation_loss_missing_in_some_runs_is_named_where_a_share_goes_through_it(study: ft.Observations) -> None:
    said = doubts(without(study, "c4/loss"))
    assert any(doubt.startswith("missing: c4/loss was not measured in 2 of 16 runs with quiz/acc") for doubt in said)
    assert not any("c4/loss" in doubt for doubt in doubts(without(study, "c4/loss"), method="direct"))


def test_a_loss_that_rises_is_named(study: ft.Observations) -> None:
    high = pl.col("value") * pl.when(pl.col("run") == "run 15").then(1.2).otherwise(1.0)
    for metric in ("quiz/acc", "c4/loss"):
        said = doubts(with_values(study, "c4/loss", high), metric)
        assert any(doubt.startswith("non-monotone: in c4/loss 1 of 16 runs end above a smaller") for doubt in said)


def test_a_run_that_ends_above_its_lowest_loss_is_named() -> None:
    D = np.arange(1.0, 31.0) * 1e9
    runs = [ft.Run(f"r{i}", D=float(D[-1]), N=1e8 * 2**i) for i in range(4)]
    rows = [
        {"run": run.name, "D": float(d), "metric": "c4/loss", "value": 3.0 + 10.0 * d**-0.1 - 0.1 * i + bump}
        for i, run in enumerate(runs)
        for d in D
        for bump in [0.5 if i == 2 and d > 2e10 else 0.0]
    ]
    study = ft.Observations.of(runs, pl.DataFrame(rows), [ft.metric_named("c4/loss")])
    (made,) = ft.predict(study, [ft.target("3B", "6e10")], ["c4/loss"], settings=ft.Settings(draws=20, starts=4))
    assert any("above their own lowest loss (r2)" in doubt for doubt in made.doubts)


@pytest.mark.parametrize("method", ["ladder", "direct", "horizon", "overtrained"])
def test_a_task_that_gets_worse_with_scale_is_called_so(study: ft.Observations, method: str) -> None:
    said = doubts(with_values(study, "quiz/acc", 1.0 - pl.col("value")), method=method)
    assert any(doubt.startswith("gets worse") and "inverse scaling" in doubt for doubt in said), said


def test_a_task_at_chance_is_called_so(study: ft.Observations) -> None:
    assert any(d.startswith("at or below chance") for d in doubts(with_values(study, "quiz/acc", pl.lit(0.25))))


def test_families_of_one_run_are_named(study: ft.Observations) -> None:
    alone = study.runs.with_columns(
        family=pl.when(pl.col("name") == "run 02").then(pl.lit("odd")).otherwise(pl.lit("usual"))
    )
    assert any("of one run: odd" in doubt for doubt in doubts(replace(study, runs=alone)))


@pytest.mark.parametrize("metric", ["quiz/acc", "c4/loss"])
def test_what_never_changes_is_called_so(study: ft.Observations, metric: str) -> None:
    said = doubts(with_values(study, metric, pl.lit(0.5)), metric)
    assert any(doubt.startswith(f"never changes: {metric} is 0.5 on all 16 checkpoints") for doubt in said)


def test_models_and_their_scores_are_not_carried_far_without_a_word(study: ft.Observations) -> None:
    said = [ft.predict(study, [ft.target(N, D)], ["quiz/acc"], method="observational",
                       settings=ft.Settings(draws=20, starts=4))[0].doubts for N, D in (("3B", "60B"), ("1T", "100T"))]  # fmt: skip
    assert [any(doubt.startswith("heavy extrapolation") for doubt in doubts) for doubts in said] == [False, True]
