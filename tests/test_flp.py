"""FLP: a power law in compute, then a line through the checkpoints that have emerged."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from foretell.errors import FitError, MethodError
from foretell.forecast import Settings, Target, held_out_targets
from foretell.methods.flp import EMERGED, Flp
from foretell.sources import read
from foretell.table import Observations, Run, metric_named
from protocols import testbeds

POINT = Settings(draws=0)
TARGET = Target(N=7e9, D=4e12, name="7B")
C_N, ALPHA, W0, W1 = 1e27, 0.07, 1.05, -0.2


@pytest.fixture(scope="module")
def ladder() -> Observations:
    return read("olmo-ladder", testbeds() / "olmo-ladder")


def study(of_loss=lambda loss: W0 + W1 * loss, *, unit="accuracy", C_factor=1.0, chance=0.25, runs=6):
    """Make runs of ten checkpoints whose loss is a power of compute."""
    made, rows = [], []
    for i in range(runs):
        N = 1e8 * 2**i
        made.append(Run(f"run {i}", 40 * N, N=N, C=C_factor * 6 * N * 40 * N))
        for D in np.linspace(4 * N, 40 * N, 10):
            C = C_factor * 6 * N * D
            loss = (C_N / C) ** ALPHA
            for metric, value in (("c4/loss", loss), ("task", of_loss(loss))):
                rows.append({"run": f"run {i}", "D": D, "C": C, "metric": metric, "value": value})
    metrics = [metric_named("c4/loss"), metric_named("task", unit=unit, chance=chance)]
    return Observations.of(made, pl.DataFrame(rows), metrics, shared_loss="c4/loss")


def test_an_exact_power_law_and_line_are_recovered():
    made = Flp().forecast(study(), [TARGET], ["c4/loss", "task"], Settings(draws=50))
    loss = (C_N / (6 * TARGET.N * TARGET.D)) ** ALPHA
    assert [f.value for f in made] == pytest.approx([loss, W0 + W1 * loss], rel=1e-6)
    assert all(f.interval()[0] == pytest.approx(f.value, rel=1e-5) for f in made)


def test_a_floor_is_recovered_when_asked_for():
    base = study()
    values = base.values.with_columns(
        pl.when(pl.col("metric") == "c4/loss").then(pl.col("value") + 1.5).otherwise(pl.col("value")).alias("value")
    )
    made = Flp(floor=True).forecast(replace(base, values=values), [TARGET], ["c4/loss"], POINT)
    assert made[0].value == pytest.approx(1.5 + (C_N / (6 * TARGET.N * TARGET.D)) ** ALPHA, rel=1e-3)


def test_stage_two_is_ordinary_least_squares_on_the_emerged_checkpoints(ladder):
    training = ladder.training()
    for task in ("arc_easy", "mmlu"):
        points = training.link("c4/loss", f"{task}/acc")
        kept = points.value > points.metric.chance + EMERGED
        assert 0 < kept.sum() < len(kept)
        slope, level = np.polyfit(points.input("L")[kept], points.value[kept], 1)
        first = training.metric("c4/loss")
        power = np.polyfit(np.log(first.input("C")), np.log(first.value), 1)
        for target, made in zip(
            held_out_targets(ladder),
            Flp().forecast(ladder, held_out_targets(ladder), [f"{task}/acc"], POINT),
            strict=True,
        ):
            loss = np.exp(np.polyval(power, np.log(target.C)))
            assert made.value == pytest.approx(level + slope * loss, rel=1e-6)


def test_checkpoints_below_the_threshold_change_nothing():
    def bent(noise):
        return study(lambda loss: line if (line := W0 + W1 * loss) > 0.3 else 0.25 + noise)

    values = [Flp().forecast(bent(noise), [TARGET], ["task"], POINT)[0].value for noise in (0.0, 0.04)]
    assert values[0] == values[1]


def test_a_task_that_has_not_emerged_is_forecast_flat_and_named():
    made = Flp().forecast(study(lambda loss: 0.26), [TARGET], ["task"], Settings(draws=40))[0]
    assert made.value == pytest.approx(0.26)
    assert any("only 0 of 60 checkpoints of task lie above 30.0%" in doubt for doubt in made.doubts)


def test_a_line_from_two_runs_says_what_its_interval_lacks():
    made = Flp().forecast(study(lambda loss: max(0.25, 1.2 - 0.31 * loss)), [TARGET], ["task"], Settings(draws=40))[0]
    assert any("are of 2 runs only" in doubt for doubt in made.doubts)
    assert len(made.draws) == 40


def test_an_error_is_forecast_as_one_minus_the_accuracy():
    error = Flp().forecast(
        study(lambda loss: 1 - W0 - W1 * loss, unit="error"), [TARGET], ["task"], Settings(draws=60)
    )[0]
    accuracy = Flp().forecast(study(), [TARGET], ["task"], Settings(draws=60))[0]
    assert error.value == pytest.approx(1 - accuracy.value)
    np.testing.assert_allclose(np.sort(error.draws), np.sort(1 - accuracy.draws))


def test_a_line_that_leaves_the_unit_interval_is_brought_back_with_a_doubt():
    made = Flp().forecast(study(lambda loss: max(0.0, 2.3 - 0.6 * loss)), [Target(N=1e13, D=1e16)], ["task"], POINT)[0]
    assert made.value == 1.0
    assert any("leaves 0..1" in doubt for doubt in made.doubts)


def test_a_target_without_compute_is_doubted_where_the_runs_count_it_otherwise():
    made = Flp().forecast(study(C_factor=1.4), [TARGET, replace(TARGET, C=1e23)], ["c4/loss", "task"], POINT)
    assert ["1.40 × 6ND" in " ".join(f.doubts) for f in made] == [True, False, True, False]


def test_a_task_that_gets_worse_is_said_to(ladder):
    made = Flp().forecast(study(lambda loss: 0.2 + 0.15 * loss), [TARGET], ["task"], POINT)[0]
    assert any("gets worse as c4/loss falls" in doubt for doubt in made.doubts)


def test_what_cannot_be_forecast_is_refused_by_name(ladder):
    with pytest.raises(FitError, match="2 rows of c4/loss"):
        Flp().forecast(study(runs=2), [TARGET], ["task"], POINT)
    alike = replace(study(), runs=study().runs.with_columns(N=pl.lit(1e8)))
    values = study().values.filter(pl.col("D") == pl.col("D").max().over("run")).with_columns(D=pl.lit(4e9), C=2.4e18)
    with pytest.raises(FitError, match="all 6 rows of c4/loss are of one compute"):
        Flp().forecast(replace(alike, values=values), [TARGET], ["c4/loss"], POINT)
    base = study()
    apart = base.values.with_columns(D=pl.when(pl.col("metric") == "task").then(pl.col("D") + 1).otherwise(pl.col("D")))
    with pytest.raises(MethodError, match="never measured on the same checkpoint"):
        Flp().forecast(replace(base, values=apart), [TARGET], ["task"], POINT)


def test_row_order_does_not_matter(ladder):
    targets = held_out_targets(ladder)
    shuffled = replace(
        ladder,
        values=ladder.values.sample(fraction=1, shuffle=True, seed=1),
        runs=ladder.runs.sample(fraction=1, shuffle=True, seed=2),
    )
    before, after = (Flp().forecast(s, targets, ["piqa/acc"], POINT) for s in (ladder, shuffled))
    assert [f.value for f in after] == pytest.approx([f.value for f in before], rel=1e-10)


def test_it_sees_no_run_that_is_held_out(ladder):
    targets = held_out_targets(ladder)
    before, after = (Flp().forecast(s, targets, ["piqa/acc"], POINT) for s in (ladder, ladder.training()))
    assert [f.value for f in after] == [f.value for f in before]


# measured here; the paper's headline on its own models is 5 % (7B) and 10 % (13B), methods.md §5.1
@pytest.mark.parametrize(
    ("method", "points", "percent"),
    [
        (Flp(), (4.09, 4.38), (6.87, 6.99)),
        (Flp(floor=True), (4.65, 4.76), (7.83, 7.76)),
        (Flp(intermediate="bpb"), (4.66, 5.06), (7.61, 7.85)),
        (Flp(intermediate="bpb", floor=True), (7.65, 8.28), (12.18, 12.77)),
    ],
)
def test_errors_on_the_olmo_ladder_are_those_recorded(ladder, method, points, percent):
    tasks = [name for name in ladder.metrics if name.endswith("/acc")]
    held_out = ladder.held_out()
    errors = {"7B-4T": [], "13B-5T": []}
    for made in method.forecast(ladder, held_out_targets(ladder), tasks, POINT):
        actual = held_out.metric(made.metric.name)
        truth = float(actual.value[actual.run == made.target.name][0])
        errors[made.target.name].append((100 * abs(made.value - truth), 100 * abs(made.value / truth - 1)))
    for target, point, share in zip(errors, points, percent, strict=True):
        assert np.mean(errors[target], axis=0) == pytest.approx([point, share], abs=0.01)
