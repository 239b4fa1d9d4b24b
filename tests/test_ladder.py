"""The ladder forecasts OLMo 7B-4T and 13B-5T from 16 small runs, and sees nothing else."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from foretell.errors import FitError, MethodError, UnknownName
from foretell.forecast import Settings, Target, held_out_targets
from foretell.methods import method_named
from foretell.methods.ladder import Ladder
from foretell.sources import read
from foretell.table import Observations, metric_named
from ladders import ladder, sigmoid_task
from protocols import protocol, testbeds

POINT = Settings(draws=0)
QUICK = Settings(draws=60, starts=16, parts=frozenset({"coefficients", "noise"}))
TARGET = Target(7e9, 7e11)
TASKS = {"easy/acc": sigmoid_task, "hard/acc": lambda loss: 0.25 + 0.6 / (1 + np.exp(5 * (loss - 2.0)))}


@pytest.fixture(scope="module")
def olmo():
    return read("olmo-ladder", testbeds() / "olmo-ladder")


@pytest.fixture(scope="module")
def made_up():
    return ladder(0.002, tasks=TASKS, held_out=[(7e9, 7e11)])


def errors(olmo, **options):
    """Give the mean |error| over the 8 tasks in points, of 7B-4T and of 13B-5T."""
    found = held_out_targets(olmo)
    assert [target.name for target in found] == ["7B-4T", "13B-5T"]
    names = protocol("olmo-ladder").metrics
    values = {
        (target.name, name): olmo.held_out().only_runs([target.name]).metric(name).value[0]
        for target in found
        for name in names
    }
    made = method_named("ladder", **options).forecast(olmo.training(), found, names, POINT)
    assert len(made) == 16
    return [
        100 * np.mean([abs(f.value - values[f.target.name, f.metric.name]) for f in made if f.target is target])
        for target in found
    ]


def test_c4_loss_and_chinchilla_err_as_published(olmo):
    assert errors(olmo, law="chinchilla", intermediate="c4/loss") == pytest.approx([2.00, 3.45], abs=0.05)


def test_the_default_errs_less_than_the_best_published(olmo):
    small, large = errors(olmo)
    assert small <= 1.8
    assert large <= 2.7


def test_the_default_is_c4_loss_and_skaling(olmo):
    assert errors(olmo) == errors(olmo, law="skaling", intermediate="c4/loss", link="sigmoid")


def test_task_bpb_is_the_papers_intermediate(olmo):
    made = Ladder(law="chinchilla", intermediate="bpb").forecast(olmo, [TARGET], ["piqa/acc"], POINT)
    other = Ladder(law="chinchilla", intermediate="piqa/bpb").forecast(olmo, [TARGET], ["piqa/acc"], POINT)
    assert made[0].value == other[0].value
    assert made[0].value != Ladder(law="chinchilla").forecast(olmo, [TARGET], ["piqa/acc"], POINT)[0].value


# -- what must not matter -------------------------------------------------------------------------------------------


def all_of(forecasts):
    return [(f.target.label, f.metric.name, f.value, *f.draws[:20], f.reach) for f in forecasts]


def test_what_was_measured_on_held_out_runs_never_matters(made_up):
    held = made_up.held_out().runs["name"].to_list()
    spoilt = replace(
        made_up,
        values=made_up.values.with_columns(
            value=pl.when(pl.col("run").is_in(held)).then(pl.col("value") * 0.5).otherwise(pl.col("value"))
        ),
    )
    gone = made_up.training()
    assert not spoilt.values.equals(made_up.values)
    assert len(gone.runs) == 16
    names = [*TASKS, "c4/loss"]
    honest = all_of(Ladder().forecast(made_up, [TARGET], names, QUICK))
    assert all_of(Ladder().forecast(spoilt, [TARGET], names, QUICK)) == honest
    assert all_of(Ladder().forecast(gone, [TARGET], names, QUICK)) == honest


def test_held_out_values_never_matter_on_the_real_ladder(olmo):
    held = olmo.held_out().runs["name"].to_list()
    spoilt = replace(
        olmo,
        values=olmo.values.with_columns(
            value=pl.when(pl.col("run").is_in(held)).then(pl.col("value") * 0.5).otherwise(pl.col("value"))
        ),
    )
    for method in (Ladder(), Ladder(intermediate="bpb")):
        honest, other = (method.forecast(o, held_out_targets(olmo), ["piqa/acc"], QUICK) for o in (olmo, spoilt))
        assert all_of(honest) == all_of(other)


def test_the_order_of_rows_and_runs_does_not_matter(made_up):
    from foretell.table import Run

    rng = np.random.default_rng(0)
    runs = [
        Run(row["name"], row["D"], N=row["N"], family=row["family"], held_out=row["held_out"])
        for row in made_up.runs.iter_rows(named=True)
    ]
    shuffled = Observations.of(
        [runs[i] for i in rng.permutation(len(runs))],
        made_up.values.sample(fraction=1.0, shuffle=True, seed=1),
        list(made_up.metrics.values())[::-1],
        shared_loss=made_up.shared_loss,
    )
    for one, other in zip(
        Ladder().forecast(made_up, [TARGET], list(TASKS), QUICK),
        Ladder().forecast(shuffled, [TARGET], list(TASKS), QUICK),
        strict=True,
    ):
        assert other.value == pytest.approx(one.value, rel=1e-9)
        np.testing.assert_allclose(other.draws, one.draws, rtol=1e-6)


def test_the_order_and_company_of_metrics_and_targets_do_not_matter(made_up):
    far = Target(1e10, 1e12)
    together = Ladder().forecast(made_up, [TARGET, far], list(TASKS), QUICK)
    alone = Ladder().forecast(made_up, [far], list(TASKS)[::-1], QUICK)
    for forecast in alone:
        twin = next(f for f in together if f.target is far and f.metric == forecast.metric)
        assert twin.value == forecast.value
        np.testing.assert_array_equal(twin.draws, forecast.draws)


def test_shuffling_the_real_checkpoints_does_not_matter(olmo):
    training = olmo.training()
    shuffled = replace(
        training,
        runs=training.runs.sample(fraction=1.0, shuffle=True, seed=2),
        values=training.values.sample(fraction=1.0, shuffle=True, seed=3),
    )
    one, other = (Ladder().forecast(o, [TARGET], ["piqa/acc"], POINT)[0].value for o in (training, shuffled))
    assert other == pytest.approx(one, rel=1e-9)


# -- what it means --------------------------------------------------------------------------------------------------


def test_the_truth_is_found_on_a_ladder_without_noise():
    made_up = ladder(0.0, tasks={"easy/acc": sigmoid_task}, items=10**9, held_out=[(7e9, 7e11)])
    truth = made_up.held_out().metric("easy/acc").value[0]
    made = Ladder(law="chinchilla").forecast(made_up, [TARGET], ["easy/acc", "c4/loss"], POINT)
    assert made[0].value == pytest.approx(truth, abs=1e-3)
    assert made[1].value == pytest.approx(made_up.held_out().metric("c4/loss").value[0], rel=1e-5)


def test_a_forecast_of_error_is_one_minus_that_of_accuracy(made_up):
    errors_too = made_up.values.filter(pl.col("metric") == "easy/acc").with_columns(
        value=1.0 - pl.col("value"), metric=pl.lit("easy/err")
    )
    study = replace(
        made_up,
        values=pl.concat([made_up.values, errors_too]),
        metrics={**made_up.metrics, "easy/err": metric_named("easy/err", chance=0.25, items=1000)},
    )
    accuracy, error = Ladder().forecast(study, [TARGET], ["easy/acc", "easy/err"], QUICK)
    assert error.value == pytest.approx(1.0 - accuracy.value, abs=1e-9)
    low, high = accuracy.interval(0.8)
    assert error.interval(0.8) == pytest.approx((1.0 - high, 1.0 - low), abs=1e-6)


def test_shares_stay_shares(made_up):
    for N, D in ((1e6, 1e7), (1e14, 1e17)):
        for forecast in Ladder().forecast(made_up, [Target(N, D)], list(TASKS), QUICK):
            assert 0 <= forecast.draws.min() <= forecast.draws.max() <= 1
            assert 0 <= forecast.value <= 1


def test_a_task_of_few_questions_has_the_wider_interval(made_up):
    few = {**made_up.metrics, "easy/acc": metric_named("easy/acc", chance=0.25, items=20)}
    noise = replace(QUICK, parts=frozenset({"noise"}), draws=400)
    many, some = (
        Ladder().forecast(study, [TARGET], ["easy/acc"], noise)[0].interval(0.8)
        for study in (made_up, replace(made_up, metrics=few))
    )
    assert some[1] - some[0] > 2 * (many[1] - many[0])


def test_without_a_loss_there_is_no_ladder():
    study = ladder(0.002, tasks=TASKS)
    bare = replace(study.only_metrics(TASKS), shared_loss=None)
    with pytest.raises(MethodError, match="no loss leads to easy/acc"):
        Ladder().forecast(bare, [TARGET], ["easy/acc"], POINT)


def test_a_loss_never_measured_with_the_task_is_told(made_up):
    apart = replace(
        made_up,
        values=made_up.values.filter((pl.col("metric") != "c4/loss") | (pl.col("run") < "run 08"))
        .filter((pl.col("metric") == "c4/loss") | (pl.col("run") >= "run 08")),
    )  # fmt: skip
    with pytest.raises(MethodError, match="never measured on the same checkpoint"):
        Ladder().forecast(apart, [TARGET], ["easy/acc"], POINT)


def test_an_intermediate_must_be_a_known_loss(made_up):
    with pytest.raises(UnknownName, match="did you mean c4/loss"):
        Ladder(intermediate="c4/los").forecast(made_up, [TARGET], ["easy/acc"], POINT)
    with pytest.raises(MethodError, match="must be a loss"):
        Ladder(intermediate="hard/acc").forecast(made_up, [TARGET], ["easy/acc"], POINT)
    with pytest.raises(UnknownName, match="easy/bpb"):
        Ladder(intermediate="bpb").forecast(made_up, [TARGET], ["easy/acc"], POINT)


def test_a_law_of_shares_cannot_be_the_law_of_a_loss(made_up):
    with pytest.raises(MethodError, match="gives a share"):
        Ladder(law="direct").forecast(made_up, [TARGET], ["c4/loss"], POINT)


def test_an_unknown_metric_suggests_the_nearest(made_up):
    with pytest.raises(UnknownName, match="did you mean easy/acc"):
        Ladder().forecast(made_up, [TARGET], ["easi/acc"], POINT)


def test_four_runs_are_fitted_by_a_law_of_few_coefficients_and_it_says_so():
    study = ladder(0.001, sizes=(1.9e8, 1.28e9), multiples=(1.0, 10.0))
    with pytest.raises(FitError, match="cannot carry"):
        Ladder(law="chinchilla").forecast(study, [TARGET], ["c4/loss"], POINT)
    made = Ladder().forecast(study, [TARGET], ["c4/loss"], POINT)[0]
    assert any("only 4 rows" in doubt for doubt in made.doubts)


def test_a_single_ray_is_fitted_as_one_and_it_says_so():
    study = ladder(0.001, sizes=np.geomspace(1e8, 2e9, 8), multiples=(1.0,))
    made = Ladder().forecast(study, [Target(7e9, 1.4e11)], ["c4/loss"], POINT)[0]
    assert any(doubt.startswith("a single D/N ray") for doubt in made.doubts)
    off = Ladder().forecast(study, [Target(7e9, 7e12)], ["c4/loss"], POINT)[0]
    assert any(doubt.startswith("unseen D/N") for doubt in off.doubts)


def test_a_task_at_chance_is_doubted():
    study = ladder(0.001, tasks={"hard/acc": lambda loss: np.full(len(loss), 0.25)})
    made = Ladder().forecast(study, [TARGET], ["hard/acc"], POINT)[0]
    assert any("chance" in doubt for doubt in made.doubts)
