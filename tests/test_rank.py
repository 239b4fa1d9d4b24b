"""A ranking finds the loss that foretells, on long horizons it did not fit, and never looks at what is held out."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from foretell.errors import MethodError, TableError, UnitError, UnknownName
from foretell.forecast import Settings
from foretell.judge.horizons import split_horizons
from foretell.methods.ranking import losses_of, rank_losses
from foretell.table import Observations, metric_named, save_study
from foretell.table.items import Items, write_items
from ladders import CHINCHILLA, MULTIPLES, SIZES, TRUTH, ladder, rungs, sigmoid_task
from protocols import protocol, testbeds

QUICK = Settings(draws=30, starts=8)
TASKS = ["one/acc", "two/acc"]
LOSSES = ["c4/loss", "noisy/loss", "bent/loss"]


def study(seed=0, *, noise=0.02, held_out=()):
    """Make tasks that follow c4's true loss, a noisy loss, and one that D bends away from it."""
    tasks = {"one/acc": sigmoid_task, "two/acc": lambda loss: 0.25 + 0.75 / (1 + np.exp(6 * (loss - 2.6)))}
    made = ladder(0.0005, seed, tasks=tasks, items=4000, held_out=held_out)
    rng = np.random.default_rng(seed + 100)
    loss = made.values.filter(pl.col("metric") == "c4/loss")
    N = loss.join(made.runs.select("name", "N"), left_on="run", right_on="name", maintain_order="left")["N"].to_numpy()
    noisy = loss.with_columns(
        metric=pl.lit("noisy/loss"),
        value=pl.Series(loss["value"].to_numpy() * np.exp(noise * rng.normal(size=len(loss)))),
    )
    bent = loss.with_columns(
        metric=pl.lit("bent/loss"),
        value=pl.Series(1.0 + (loss["D"].to_numpy() / 4e9) ** -0.4 * (N / 2e8) ** -0.02),
    )
    metrics = {**made.metrics, **{name: metric_named(name) for name in LOSSES[1:]}}
    values = pl.concat([made.values, noisy, bent]).sort("run", "D", "metric")
    return replace(made, values=values, metrics=dict(sorted(metrics.items())))


@pytest.fixture(scope="module")
def made():
    return rank_losses(study(), TASKS, LOSSES, settings=QUICK)


def test_the_loss_that_the_tasks_follow_comes_first(made):
    assert made.scores[0].loss == "c4/loss"
    assert [score.rank.value for score in made.scores] == [1, 2, 3]
    first = made.scores[0]
    assert first.end.value < 0.03
    assert first.log_skill.value > 0.8
    assert first.brier_skill.value > 0.8
    assert made.scores[0].best > 0.5


def test_scores_lie_inside_their_intervals_and_ranks_are_a_permutation(made):
    for score in made.scores:
        for of in (score.end, score.link, score.log_skill, score.brier_skill):
            low, high = of.interval(0.9)
            assert low <= of.value <= high
            assert len(of.draws) == QUICK.draws
    ranks = np.sort([score.rank.draws for score in made.scores], axis=0)
    np.testing.assert_array_equal(ranks, np.tile([[1.0], [2.0], [3.0]], QUICK.draws))
    assert sum(score.best for score in made.scores) == pytest.approx(1.0)


def test_an_error_is_that_of_a_forecast_from_short_horizons_alone(made):
    from foretell.forecast import Target
    from foretell.methods.horizon import Horizon

    observations = study()
    short = split_horizons(observations).split.fit
    cell = next(cell for cell in made.scores[0].cells if cell.task == "one/acc")
    run = observations.runs.filter(pl.col("name") == cell.run[-1]).row(0, named=True)
    forecast = Horizon(intermediate="c4/loss").forecast(
        short, [Target(run["N"], run["D"], run["C"])], ["one/acc"], Settings(draws=0, starts=8)
    )[0]
    assert cell.reached[-1] == pytest.approx(forecast.value, abs=1e-6)
    assert made.scores[0].cells[0].end[0] == pytest.approx(
        np.mean(np.abs(made.scores[0].cells[0].reached - made.scores[0].cells[0].measured))
    )


def test_row_order_and_the_order_of_losses_do_not_matter(made):
    observations = study()
    shuffled = replace(observations, values=observations.values.sample(fraction=1.0, shuffle=True, seed=1))
    again = rank_losses(shuffled, TASKS[::-1], LOSSES[::-1], settings=QUICK)
    assert [score.loss for score in again.scores] == [score.loss for score in made.scores]
    for one, other in zip(again.scores, made.scores, strict=True):
        assert one.end.value == pytest.approx(other.end.value, rel=1e-6)
        np.testing.assert_allclose(one.end.draws, other.end.draws, rtol=1e-5, atol=1e-8)


def test_runs_that_are_held_out_change_nothing(made):
    far = study(held_out=[(7e9, 1e12)])
    wrong = replace(
        far,
        values=far.values.with_columns(value=pl.when(pl.col("D") == 1e12).then(0.9).otherwise(pl.col("value"))),
    )
    one, two = (rank_losses(s, TASKS, LOSSES, settings=QUICK) for s in (far, wrong))
    assert [s.end.value for s in one.scores] == [s.end.value for s in two.scores]
    assert all("run 16" not in cell.run for score in one.scores for cell in score.cells)


def test_without_draws_there_are_scores_and_no_intervals():
    made = rank_losses(study(), TASKS, LOSSES, settings=Settings(draws=0, starts=8))
    assert np.isnan(made.scores[0].end.interval()[0])
    assert np.isnan(made.scores[0].best)
    json.dumps(made.to_json(), default=str)


def test_a_loss_missing_in_some_runs_is_named_and_compared_on_the_same_runs():
    observations = study()

    def without(runs):
        gone = (pl.col("metric") == "noisy/loss") & pl.col("run").is_in(runs)
        return replace(observations, values=observations.values.filter(~gone))

    made = rank_losses(without(["run 03"]), TASKS, LOSSES, settings=QUICK)
    assert any(about == "noisy/loss" and "run 03" in doubt for about, doubt in made.doubts)
    assert all("run 03" not in cell.run for score in made.scores for cell in score.cells)
    made = rank_losses(without([f"run {i:02d}" for i in range(6)]), TASKS, LOSSES, settings=QUICK)
    assert [score.loss for score in made.scores if score.loss == "noisy/loss"] == []
    assert "noisy/loss: missing in 6 of 16 runs" in made.failures[0]


def test_a_task_at_chance_one_that_gets_worse_and_false_counts_are_named():
    tasks = {
        "flat/acc": lambda loss: np.full(len(loss), 0.24),
        "worse/acc": lambda loss: 0.25 + 0.75 / (1 + np.exp(4 * (2.2 - loss))),
        "good/acc": sigmoid_task,
    }
    observations = ladder(0.0005, tasks=tasks, items=20000)
    wrong = observations.metrics["good/acc"].model_copy(update={"items": 7777})
    observations = replace(observations, metrics={**observations.metrics, "good/acc": wrong})
    made = rank_losses(observations, list(tasks), ["c4/loss"], settings=QUICK)
    told = {about: [d for a, d in made.doubts if a == about] for about, _ in made.doubts}
    assert any(d.startswith("no signal yet") for d in told["flat/acc"])
    assert any(d.startswith("gets worse") for d in told["worse/acc"])
    assert any(d.startswith("contradictory counts") for d in told["good/acc"])


def test_losses_are_chosen_by_pattern_and_own_bpb_counts_as_one():
    olmo = protocol("olmo-ladder").fit
    tasks = [name for name in olmo.metrics if name.endswith("/acc")]
    every = losses_of(olmo, tasks)
    assert len(every) == 12
    assert every[-1] == "bpb"
    assert len(losses_of(olmo, tasks, "dolma_*")) == 6
    assert losses_of(olmo, tasks, "bpb") == ["bpb"]
    assert losses_of(olmo, tasks, "piqa/bpb") == ["piqa/bpb"]
    with pytest.raises(UnknownName, match="c4/loss"):
        losses_of(olmo, tasks, "c5/loss")


def test_what_cannot_be_cut_or_ranked_is_refused():
    observations = study()
    with pytest.raises(TableError, match="at least 4 short and one long"):
        split_horizons(observations, "50xC")
    with pytest.raises(UnitError):
        split_horizons(observations, "-1")
    with pytest.raises(UnitError):
        split_horizons(observations, "half")
    with pytest.raises(TableError, match="every N was trained to one D only"):
        split_horizons(ladder(multiples=(1.0,), sizes=np.geomspace(1e8, 1e9, 8)))
    with pytest.raises(MethodError, match="losses are ranked by accuracies"):
        rank_losses(observations, ["c4/loss"], LOSSES)
    with pytest.raises(MethodError, match="only losses are ranked"):
        rank_losses(observations, TASKS, ["one/acc"])


# -- by item --------------------------------------------------------------------------------------------------------


def itemised(count=150, seed=0):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0.0, 1.5, count), np.exp(rng.normal(1.2, 0.3, count))
    N, D = rungs(SIZES, MULTIPLES)
    p = 1 / (1 + np.exp(-(a[:, None] - b[:, None] * (CHINCHILLA.value(TRUTH, {"N": N, "D": D}) - 2.6)[None, :])))
    k = rng.random(p.shape) < p
    rows = pl.DataFrame(
        {
            "run": np.tile([f"run {j:02d}" for j in range(len(N))], count), "D": np.tile(D, count),
            "metric": ["one/acc"] * (count * len(N)), "item": np.repeat([f"q{i:03d}" for i in range(count)], len(N)),
            "outcome": k.ravel().astype(int),
        }
    )  # fmt: skip
    observations = study(seed)
    means = dict(zip([f"run {j:02d}" for j in range(len(N))], k.mean(axis=0), strict=True))
    is_task = pl.col("metric") == "one/acc"
    values = observations.values.with_columns(
        value=pl.when(is_task).then(pl.col("run").replace_strict(means, default=None)).otherwise(pl.col("value"))
    )
    metric = metric_named("one/acc", chance=0.0, items=count)
    return replace(observations, values=values, metrics={**observations.metrics, "one/acc": metric}), rows


def test_where_items_are_known_skill_is_per_item():
    observations, rows = itemised()
    made = rank_losses(observations, ["one/acc"], LOSSES[:2], items=Items.of(rows), settings=QUICK)
    assert made.scores[0].loss == "c4/loss"
    (cell,) = made.scores[0].cells
    assert cell.by_item
    assert made.scores[0].end.value < 0.05
    assert 0.0 < made.scores[0].log_skill.value < 0.8
    assert 0.0 < made.scores[0].brier_skill.value < 0.8
    low, high = made.scores[0].end.interval(0.8)
    assert low < high
    assert any("never change" in doubt for _, doubt in made.doubts)


# -- the command line -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run():
    from foretell.cli.rank import rank

    app = typer.Typer()
    app.command()(rank)
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


def test_the_verb_prints_one_table_writes_one_picture_and_gives_json(run, tmp_path):
    observations, rows = itemised()
    save_study(observations, tmp_path / "study")
    write_items(tmp_path / "study", rows, "all")
    picture = tmp_path / "rank.png"
    result = run(tmp_path / "study", "--draws", 20, "--starts", 8, "--figure", picture)
    assert result.exit_code == 0
    assert "c4/loss" in result.output
    assert "2 tasks, 1 by item" in result.output
    assert picture.stat().st_size > 10_000
    result = run(tmp_path / "study", "--draws", 20, "--starts", 8, "--loss", "[cn]*", "--task", "two", "--json")
    told = json.loads(result.output)
    assert {entry["loss"] for entry in told["losses"]} == {"c4/loss", "noisy/loss"}
    assert told["tasks"] == ["two/acc"]


@pytest.mark.slow
def test_the_olmo_ladder_ranks_its_twelve_losses():
    olmo: Observations = protocol("olmo-ladder").fit
    assert testbeds().is_dir()
    tasks = [name for name in olmo.metrics if name.endswith("/acc")]
    made = rank_losses(olmo, tasks, losses_of(olmo, tasks), settings=Settings(draws=100, starts=32))
    assert not made.failures
    assert len(made.scores) == 12
    errors = {score.loss: 100 * score.end.value for score in made.scores}
    assert errors["c4/loss"] == pytest.approx(1.7, abs=0.3)
    assert made.scores[0].end.value < 0.012
