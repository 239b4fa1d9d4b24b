"""One curve or several: what is told apart, what is not, and with what certainty."""

import numpy as np
import polars as pl
import pytest

from foretell.errors import FitError, MethodError, StudyError
from foretell.table import Metric, Observations, Run
from foretell.trajectory import (
    align,
    breakthroughness,
    compare_pooled,
    compare_predictors,
    emergence_point,
    linearity,
    turning_of,
)
from foretell.trajectory.sequences import curve_of, option_gaps, turns_over_size
from foretell.trajectory.tasks import trace_task
from foretell.trajectory.validation import with_validation_loss


def checkpoints(rng, *, apart=0.0, noise=0.01, sizes=4, runs=2, n=12):
    rows = []
    for s in range(sizes):
        for r in range(runs):
            loss = 4.0 - 0.2 * s - np.linspace(0, 1.2, n) + 0.02 * rng.normal(size=n)
            y = 0.25 + 0.5 / (1 + np.exp(4 * (loss - 3))) + apart * s + noise * rng.normal(size=n)
            rows += [(x, v, float(10**s), f"{s}-{r}", at + 1.0) for at, (x, v) in enumerate(zip(loss, y, strict=True))]
    x, y, size, run, at = zip(*rows, strict=True)
    return np.array(x), np.array(y), np.array(size), np.array(run), np.array(at)


def test_one_curve_is_accepted_as_often_as_the_test_says_where_it_is_true():
    ps, verdicts = [], []
    for seed in range(150):
        x, _, size, run, _ = checkpoints(np.random.default_rng(seed))
        y = 0.4 - 0.1 * (x - 3) + 0.03 * (x - 3) ** 3 + 0.01 * np.random.default_rng([seed, 1]).normal(size=len(x))
        made = compare_pooled("task", x, y, size, run, degrees=(3,))
        ps.append(made.p)
        verdicts.append(made.one_fits_all())
    assert abs(np.mean(np.array(ps) < 0.1) - 0.1) < 0.08
    assert np.mean(verdicts) > 0.85


def test_sizes_apart_are_told_apart():
    x, y, size, run, _ = checkpoints(np.random.default_rng(0), apart=0.03)
    made = compare_pooled("task", x, y, size, run)
    assert made.p < 1e-6
    assert not made.one_fits_all()
    assert made.ratio > 1.5
    assert made.left_out[0] > 0.03


def test_rows_and_names_may_come_in_any_order():
    x, y, size, run, _ = checkpoints(np.random.default_rng(1))
    order = np.random.default_rng(2).permutation(len(x))
    one, other = (compare_pooled("task", *(a[rows] for a in (x, y, size, run))) for rows in (np.arange(len(x)), order))
    assert one.ratio == pytest.approx(other.ratio)
    assert pytest.approx(other.p) == one.p
    np.testing.assert_allclose(one.draws, other.draws)


def test_a_size_with_too_few_checkpoints_is_dropped_and_said():
    x, y, size, run, _ = checkpoints(np.random.default_rng(3), sizes=3, runs=1)
    kept = (size < 100) | (np.arange(len(x)) % 4 == 0)
    assert compare_pooled("task", x[kept], y[kept], size[kept], run[kept]).dropped == ("100 (3 rows)",)
    with pytest.raises(FitError, match="1 sizes have the 6 checkpoints"):
        compare_pooled("task", x[size < 10], y[size < 10], size[size < 10], run[size < 10])


def test_curves_align_on_the_abscissa_that_made_them():
    x, y, size, run, at = checkpoints(np.random.default_rng(4))
    made = align("task", y, D=at * 1e6, C=at * size * 6e6, loss=x, size=size, run=run)
    assert made.best == "perplexity"
    assert made.by["perplexity"].pooled < 0.5 * made.by["D"].pooled


def test_bigbench_scores_know_a_line_from_a_break():
    line, step = np.linspace(0, 1, 6), np.array([0, 0.01, 0.02, 0.02, 0.03, 1.0])
    assert linearity(line) == pytest.approx(5.0)
    assert linearity(-line) == pytest.approx(-5.0)
    assert breakthroughness(line) == pytest.approx(5.0)
    assert breakthroughness(step) == pytest.approx(100.0)
    assert linearity(step) < linearity(line)
    assert linearity(np.ones(4)) == 0.0
    assert breakthroughness(np.ones(4)) == 0.0
    assert breakthroughness(np.array([0.0, 0, 0, 0, 1])) == np.inf


def test_an_emergence_point_lies_where_the_curve_passes():
    inside = 0
    for seed in range(20):
        x, y, _, run, _ = checkpoints(np.random.default_rng(seed), noise=0.01)
        made = emergence_point("task", x, y, run, 0.25)
        true = 3 + np.log(0.5 / 0.05 - 1) / 4  # 0.25 + 0.5/(1 + e^{4(L−3)}) = 0.30
        assert made.loss == pytest.approx(true, abs=0.12)
        low, high = made.interval(0.9)
        inside += low - 0.06 <= true <= high + 0.06  # the sigmoid of the fit rises to one, the truth to 0.75
    assert inside >= 16


def test_a_task_at_chance_has_not_emerged():
    x, _, _, run, _ = checkpoints(np.random.default_rng(5))
    y = 0.25 + 0.005 * np.random.default_rng(6).normal(size=len(x))
    made = emergence_point("task", x, y, run, 0.25)
    assert np.isnan(made.loss)
    assert np.isnan(made.interval()[0])


def test_a_curve_falls_halts_or_turns():
    rng = np.random.default_rng(17)
    base = 0.3 * rng.normal(size=200)

    def curve(levels):
        losses = [level + base + 0.02 * rng.normal(size=200) for level in levels]
        return curve_of("noised", "20 %", "small", 1e6, range(1, len(levels) + 1), levels, losses)

    assert turning_of(curve([4, 3, 2.5, 2.2])).trend == "falls"
    halted = turning_of(curve([4, 3, 2.5, 2.5, 2.5]))
    assert (halted.trend, halted.at) == ("halts", 2)
    turned = turning_of(curve([4, 3, 2.5, 2.6, 2.8]))
    assert (turned.trend, turned.at) == ("turns", 2)
    assert turned.rise == pytest.approx(0.3, abs=0.01)
    assert turning_of(curve([4, 3])).trend == "too few"


def test_inverse_scaling_is_a_rise_over_size():
    rng = np.random.default_rng(8)

    def read(levels):
        sizes = 10.0 ** np.arange(6, 6 + len(levels))
        return [
            curve_of("decoded", "small − large", f"{n:g}", n, [1], [3], [level + 0.01 * rng.normal(size=50)])
            for n, level in zip(sizes, levels, strict=True)
        ]

    assert turns_over_size(read([2.0, 2.2, 2.6, 2.7, 3.1]))
    assert not turns_over_size(read([2.0, 2.6, 1.9, 2.5, 2.1]))
    assert not turns_over_size(read([3.0, 2.6, 2.2, 2.1, 2.0]))
    assert not turns_over_size(read([2.0, 2.2]))


def test_the_gap_is_between_the_options_of_one_task_at_one_size():
    def read(name, rung, level):
        return curve_of("options", name, rung, float(rung), [2, 1], [3, 4], [np.full(5, level), np.full(5, level + 1)])

    curves = [
        read("b wrong", "20", 3.0), read("b right", "20", 2.5), read("b right", "10", 2.5), read("a right", "10", 1.0),
        read("b wrong", "10", 2.6), curve_of("noised", "b wrong", "10", 10.0, [1], [3], [np.ones(5)]),
    ]  # fmt: skip
    made = option_gaps(curves)
    assert [(one.task, one.rung) for one in made] == [("b", "10"), ("b", "20")]
    np.testing.assert_allclose([one.gap for one in made], [[0.1, 0.1], [0.5, 0.5]])
    assert made[0].validation.tolist() == [4, 3]


def study(rng, *, hidden_helps=False, runs=16):
    made, rows = [], []
    for i in range(runs):
        N, end = 1e6 * 3.0 ** (i % 4), 1e8 * 2.0 ** (i // 4)
        made.append(Run(name=f"r{i:02d}", N=N, D=end, attributes={"rung": f"r{i:02d}"}))
        shift = 0.3 * rng.normal() if hidden_helps else 0.0
        for D in end * np.array([0.25, 0.5, 0.7, 1.0]):
            loss = 1.5 + 30 * N**-0.3 + 300 * D**-0.3 + 0.004 * rng.normal()
            q = {
                "tokens/mean": loss,
                "tokens/q10": 0.1 * loss,
                "tokens/q25": 0.4 * loss,
                "tokens/q50": 0.9 * loss + shift + 0.01 * rng.normal(),
                "tokens/q75": 1.5 * loss,
                "tokens/q90": 2 * loss,
            }
            acc = 0.25 + 0.7 / (1 + np.exp(2 * (loss + shift - 3.5))) + 0.004 * rng.normal()
            told = {"run": f"r{i:02d}", "D": D}
            rows += [{**told, "metric": m, "value": v} for m, v in {**q, "a/loss": loss, "t/acc": acc}.items()]
    metrics = [Metric(name=m, unit="value") for m in q] + [
        Metric(name="a/loss", unit="nats/token"), Metric(name="t/acc", unit="accuracy", chance=0.25, better="higher")
    ]  # fmt: skip
    return Observations.of(made, pl.DataFrame(rows), metrics)


def test_token_quantiles_that_say_nothing_new_are_not_kept():
    made = compare_predictors(study(np.random.default_rng(9)), "a/loss", ["t/acc"])
    assert {one.name for one in made} == {"median", "tails", "quantiles"}
    assert all(abs(one.difference) < 0.01 for one in made)
    assert not all(one.kept for one in made)
    assert made[0].alone < 0.04


def test_a_quantile_that_carries_the_task_is_seen_where_it_is_observed():
    made = {
        one.name: one
        for one in compare_predictors(study(np.random.default_rng(10), hidden_helps=True), "a/loss", ["t/acc"])
    }
    assert made["median"].observed < 0.5 * made["median"].observed_alone


def test_without_token_losses_nothing_is_compared():
    rows = study(np.random.default_rng(11))
    without = rows.only_metrics(["a/loss", "t/acc"])
    with pytest.raises(Exception, match="tokens/q"):
        compare_predictors(without, "a/loss", ["t/acc"])
    with pytest.raises(MethodError, match="cannot be compared"):
        compare_predictors(rows.only_runs(["r00"]), "a/loss", ["t/acc"])


def test_a_task_is_traced_and_its_validation_loss_found():
    rows, name = with_validation_loss(study(np.random.default_rng(12)))
    assert name == "a/loss"
    made = trace_task(rows, "t/acc", name)
    assert made.emergence is not None
    assert made.linear is not None
    assert made.linear[1] <= made.linear[0] + 1e-9
    with pytest.raises(StudyError, match="laid on a loss"):
        with_validation_loss(rows, "t/acc")
