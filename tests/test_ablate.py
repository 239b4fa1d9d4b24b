"""An ablation forecasts the same hidden rows from less of a ladder, and noise says what can be forecast at all."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from foretell import api
from foretell.cli.ablate import ablate as verb
from foretell.errors import ForetellError, MethodError, TableError, UnknownName
from foretell.forecast import Settings
from foretell.judge.ablate import fewer_checkpoints, fewer_horizons, fewer_sizes, hidden_split
from foretell.judge.noise import noise_of
from foretell.report.ablation_figure import draw_ablation, draw_noise
from foretell.table import Observations, Run, metric_named, save_study
from ladders import MULTIPLES, SIZES, TRUTH, ladder, sigmoid_task

QUICK = Settings(draws=0, starts=16)
TARGET = (7e9, 4e12)


@pytest.fixture(scope="module")
def study():
    return ladder(noise=0.001, tasks={"task/acc": sigmoid_task}, held_out=[TARGET], items=100_000)


@pytest.fixture(scope="module")
def made(study):
    return api.ablate(study, ["c4/loss", "task/acc"], by=["sizes", "horizons"], settings=QUICK)


def app():
    one = typer.Typer()
    one.command()(verb)
    return one


def with_checkpoints(noise=0.002, count=20, seed=0, task=None):
    """Make a ladder whose runs have `count` checkpoints, with noise on each."""
    rng = np.random.default_rng(seed)
    runs, rows = [], []
    for N in SIZES:
        for multiple in MULTIPLES:
            D = 20 * N * multiple
            runs.append(Run(f"{N:.3g} x{multiple:g}", D, N=N))
            for share in np.linspace(1 / count, 1, count):
                loss = TRUTH["E"] + TRUTH["A"] / N ** TRUTH["alpha"] + TRUTH["B"] / (share * D) ** TRUTH["beta"]
                told = {"run": runs[-1].name, "D": share * D}
                rows.append({**told, "metric": "c4/loss", "value": loss * np.exp(noise * rng.normal())})
                if task:
                    rows.append({**told, "metric": "task/acc", "value": float(np.clip(task(loss, rng), 0, 1))})
    metrics = [metric_named("c4/loss"), *([metric_named("task/acc", chance=0.25, items=1000)] if task else [])]
    return Observations.of(runs, pl.DataFrame(rows), metrics, shared_loss="c4/loss", final_mean=5)


def test_every_arm_forecasts_the_same_hidden_rows(made):
    for arm in made.arms:
        for share in (True, False):
            assert set(arm.errors(share=share)) <= set(made.whole.errors(share=share))
    assert {key[1] for key in made.whole.errors(share=False)} == {"run 16"}


def test_dropping_the_large_runs_costs_less_compute_and_forecasts_worse(made):
    sizes = {arm.label: arm for arm in made.arms if arm.kind == "sizes"}
    small = sizes["N ≤ 370M"]
    assert small.runs == 8
    assert small.compute < 0.2 * made.whole.compute
    assert small.error(share=False) > made.whole.error(share=False)
    difference, _ = made.difference(small, share=False)
    assert difference == pytest.approx(small.error(share=False) - made.whole.error(share=False))


def test_the_compute_of_the_whole_is_that_of_its_runs(made, study):
    runs = study.training().runs
    assert made.whole.compute == pytest.approx(float((6.0 * runs["N"] * runs["D"]).sum()))
    assert made.target_compute == pytest.approx(6.0 * TARGET[0] * TARGET[1])


def test_sizes_are_dropped_from_above_from_below_and_one_by_one(study):
    labels = [label for label, _ in fewer_sizes(study.training())]
    assert labels == [
        "N ≤ 190M", "N ≤ 370M", "N ≤ 760M", "N ≥ 370M", "N ≥ 760M", "N ≥ 1.28B", "without N = 370M", "without N = 760M",
    ]  # fmt: skip


def test_horizons_that_differ_by_rounding_are_one(study):
    training = study.training()
    shaken = training.runs.with_columns(D=pl.col("D") * (1 + 1e-3 * pl.int_range(pl.len())))
    labels = [label for label, _ in fewer_horizons(replace(training, runs=shaken))]
    assert len(labels) == 8
    assert labels[0].startswith("D/N ≤ 20")


def test_an_arm_that_can_forecast_nothing_says_why(study):
    made = api.ablate(study, ["c4/loss"], by=["sizes"], method="ladder", as_published=True)
    failed = [arm for arm in made.arms if arm.backtest is None]
    assert failed
    assert all("rows" in arm.failure for arm in failed)
    assert "N ≤ 190M" in {arm.label for arm in failed}


def test_the_whole_ladder_that_forecasts_nothing_is_an_error(study):
    with pytest.raises(MethodError, match="the whole ladder forecasts nothing"):
        api.ablate(study, ["c4/loss"], by=["sizes"], method="direct", settings=QUICK)


def test_a_wrong_kind_is_refused_before_any_fit(study):
    with pytest.raises(UnknownName, match="did you mean sizes"):
        api.ablate(study, by=["size"], settings=QUICK)


def test_without_held_out_runs_the_largest_are_hidden(study):
    split = hidden_split(study.training())
    count = 6.0 * split.fit.runs["N"] * split.fit.runs["D"]
    hidden = 6.0 * split.test.runs["N"] * split.test.runs["D"]
    assert count.max() <= hidden.min()
    assert len(split.fit.runs) + len(split.test.runs) == 16


def test_an_error_that_rises_with_the_ladder_is_found(made):
    grown = [arm for arm in made.of_kind("sizes") if arm.label.startswith("N ≤")] + [made.whole]
    errors = [arm.error(share=False) for arm in grown]
    rises = sum(b > a for a, b in pairwise(errors))
    told = [line for line in made.findings if "from N ≤" in line and "%" in line]
    assert len(told) == rises


def test_checkpoints_are_dropped_only_where_there_are_some(study):
    assert fewer_checkpoints(study.training()) == []
    observations = with_checkpoints()
    arms = dict(fewer_checkpoints(observations))
    assert arms["final value: mean of the last 1"].final_mean == 1
    assert len(arms["no checkpoint but the end"].values) == 16
    assert len(arms["only the last 5 checkpoints"].values) == 80
    assert len(arms["without each run's first 50%"].values) == 160


def test_other_forms_are_named_by_what_they_change(study):
    named = api.forms(study, ["task/acc"])
    assert {"law chinchilla", "link linear", "without the ideal point", "through c4/loss"} <= set(named)
    assert not any(name.startswith("link") for name in api.forms(study, ["c4/loss"]))


def test_the_noise_of_checkpoints_is_what_was_put_in():
    (found,) = noise_of(with_checkpoints(noise=0.02, count=60), ["c4/loss"], last=10)
    assert found.last_runs == pytest.approx(0.02, rel=0.25)
    assert found.verdict == "yes"
    assert found.trend > 0.9


def test_the_noise_of_seeds_is_that_of_runs_of_equal_size():
    rng = np.random.default_rng(1)
    runs = [Run(f"{i} {s}", 2e9 * (i + 1), N=1e8 * (i + 1)) for i in range(30) for s in range(3)]
    rows = [
        {"run": run.name, "D": run.D, "metric": "c4/loss", "value": (2 + 1e9 / run.D) * np.exp(0.02 * rng.normal())}
        for run in runs
    ]
    (found,) = noise_of(Observations.of(runs, pl.DataFrame(rows), [metric_named("c4/loss")]), ["c4/loss"])
    assert found.repeats == 60
    assert found.seeds == pytest.approx(0.02, rel=0.25)
    assert np.isnan(found.last)


@pytest.mark.parametrize(
    ("task", "verdict"),
    [
        (lambda loss, rng: 0.25 + 0.6 / (1 + np.exp(4 * (loss - 2.8))), "yes"),
        (lambda loss, rng: 0.25 + 0.004 * rng.normal(), "at chance"),
        (lambda loss, rng: 0.5 + 0.05 * rng.normal(), "no trend"),
        (lambda loss, rng: 0.2 + 0.15 * loss, "gets worse"),
        (lambda loss, rng: 0.5 - 0.002 * loss, "below the noise"),
    ],
)
def test_what_can_be_forecast_is_told_from_what_cannot(task, verdict):
    (found,) = noise_of(with_checkpoints(task=task), ["task/acc"])
    assert found.verdict == verdict


def test_one_checkpoint_has_no_noise():
    with pytest.raises(TableError, match="at least 2"):
        noise_of(with_checkpoints(count=4), ["c4/loss"], last=1)


def test_row_order_does_not_matter():
    observations = with_checkpoints()
    shuffled = replace(observations, values=observations.values.sample(fraction=1.0, shuffle=True, seed=3))
    assert noise_of(shuffled, ["c4/loss"]) == noise_of(observations, ["c4/loss"])


def test_the_pictures_are_drawn_or_refused(made, tmp_path):
    assert draw_ablation(made, "sizes", tmp_path / "sizes.png").stat().st_size > 10_000
    assert draw_noise(noise_of(with_checkpoints(), ["c4/loss"]), tmp_path / "noise.svg").stat().st_size > 1000
    with pytest.raises(ForetellError, match="nothing was ablated by forms"):
        draw_ablation(made, "forms", tmp_path / "forms.png")
    with pytest.raises(ForetellError, match="cannot be written"):
        draw_ablation(made, "sizes", tmp_path / "absent" / "sizes.png")


def test_the_verb_prints_tables_and_json_and_draws_each_kind(study, tmp_path):
    save_study(study, tmp_path / "study")
    asked = [str(tmp_path / "study"), "--by", "sizes,noise", "--metric", "c4/loss", "--starts", "8"]
    shown = CliRunner().invoke(app(), [*asked, "--figure", str(tmp_path / "a.png")])
    assert shown.exit_code == 0, shown.output
    assert "the whole ladder" in shown.output
    assert "signal/noise" in shown.output
    assert (tmp_path / "a-sizes.png").exists()
    assert (tmp_path / "a-noise.png").exists()
    told = json.loads(CliRunner().invoke(app(), [*asked, "--json"]).stdout)
    assert told["ablation"]["arms"][0]["kind"] == "whole"
    assert told["noise"][0]["metric"] == "c4/loss"
