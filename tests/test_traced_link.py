"""A traced study tells its links whether sizes part at equal loss, and a hold-out knows no more than its runs."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from foretell.forecast import Settings, held_out_targets
from foretell.methods.horizon import Horizon
from foretell.methods.horizonlink import fit_link, link_points, share_at, size_of
from foretell.methods.intermediate import choose_intermediate
from foretell.methods.pieces import Pieces
from foretell.methods.sharelink import fit_share_link
from foretell.methods.tracedlink import fit_token_forecast, pooling_name
from foretell.methods.tracedways import ROLE
from foretell.methods.ways import share_ways
from foretell.table import Metric, Observations, Run
from foretell.trajectory.summaries import verdicts

POINT = Settings(draws=0, starts=16)
SOME = Settings(draws=60, starts=16)
SIZES = (2e7, 5e7, 1.2e8, 3e8, 8e8)
A, B = 9.0, 3.0
TARGET = 4e9
MULTIPLES = (5, 20, 80)
SHARE = "task/acc"


def study(apart=0.0, *, tail=0.0, noise=0.01, seed=0, checkpoints=9):
    """Make runs with checkpoints: log-odds A − B·L + apart·ln N + tail·q, with q a quantile that sizes differ in."""
    rng = np.random.default_rng(seed)
    runs, rows = [], []
    for N in (*SIZES, TARGET):
        for M in MULTIPLES if N < TARGET else MULTIPLES[1:2]:
            name, D = f"{N:.0e}-{M}", M * N
            runs.append(Run(name=name, family="f", N=N, D=D, C=6 * N * D, held_out=N == TARGET))
            for share in np.linspace(0.2, 1.0, checkpoints):
                seen = share * D
                loss = 1.7 + 400 / N**0.34 + 410 / seen**0.28
                q = 0.3 + (N / SIZES[0]) ** -0.5
                logit = A - B * loss + apart * np.log(N / 1e8) + tail * (q - 0.6)
                value = 0.25 + 0.75 / (1 + np.exp(-logit)) + noise * rng.normal()
                for metric, number in (
                    ("c4/loss", loss), (SHARE, value), ("tokens/mean", loss), ("tokens/q10", q),
                    ("tokens/q25", 0.3 * loss), ("tokens/q50", 0.8 * loss), ("tokens/q75", 1.3 * loss),
                    ("tokens/q90", 2.0 * loss),
                ):  # fmt: skip
                    rows.append({"run": name, "D": seen, "C": 6 * N * seen, "metric": metric, "value": float(number)})
    names = sorted({row["metric"] for row in rows} - {"c4/loss", SHARE})
    metrics = [
        Metric(name="c4/loss", unit="nats/token"), Metric(name=SHARE, unit="accuracy", chance=0.25, items=20_000),
        *(Metric(name=name, unit="value") for name in names),
    ]  # fmt: skip
    return Observations.of(runs, pl.DataFrame(rows), metrics, shared_loss="c4/loss")


def traced(table, *, tokens=False):
    made = table.merge(verdicts(table.training(), [SHARE], "c4/loss"))
    if not tokens:
        kept = [name for name in made.metrics if not name.startswith("tokens/")]
        made = made.only_metrics(kept)
    return made


def forecast(table, settings=POINT):
    return Horizon().forecast(table, held_out_targets(table), [SHARE], settings)[0]


def measured(table):
    rows = table.held_out().values.filter(pl.col("metric") == SHARE).sort("D")
    return rows["value"][-1]


def test_a_verdict_is_written_at_the_end_of_every_run_that_took_part():
    table = study(apart=-0.5)
    found = verdicts(table.training(), [SHARE, "c4/loss"], "c4/loss").values
    mine = found.filter(pl.col("metric") == pooling_name(SHARE))
    assert len(mine) == len(SIZES) * len(MULTIPLES)
    assert mine["value"].n_unique() == 1
    assert mine["value"][0] > 1.5
    assert (mine["stderr"] > 0).all()
    assert verdicts(study(checkpoints=1).training(), [SHARE], "c4/loss") is None


def test_one_link_serves_all_sizes_where_one_curve_does():
    plain = study(noise=0.02)
    made, other = forecast(traced(plain)), forecast(plain)
    assert "one link serves all sizes" in made.reason
    assert not any("sizes differ" in doubt for doubt in made.doubts)
    assert made.value == other.value  # an untraced study has the same link
    assert other.reason == ""


def test_the_link_has_a_term_in_size_where_sizes_differ():
    table = traced(study(apart=-0.5))
    made = forecast(table, settings=SOME)
    assert any(doubt.startswith("sizes differ at equal loss") for doubt in made.doubts)
    plain = forecast(study(apart=-0.5))
    assert abs(made.value - measured(table)) < 0.02
    assert abs(plain.value - measured(table)) > 0.05
    low, high = made.interval(0.9)
    assert low <= made.value <= high


def test_a_term_in_size_is_recovered():
    table = study(apart=-0.5, noise=0.001)
    points = link_points(table.training(), "c4/loss", table.metrics[SHARE])
    made = fit_link(points, POINT, "chance", sized=True)
    assert made.coefficients["s"] == pytest.approx(-0.5, abs=0.02)
    assert made.coefficients["b"] == pytest.approx(B, rel=0.03)
    at = [
        share_at(made, made.theta, np.array([L]), size_of(made, N))[0]
        for L, N in zip(points.input("L"), points.input("N"), strict=True)
    ]
    np.testing.assert_allclose(at, made.fitted, rtol=1e-9)


def test_a_hold_out_renews_the_test_on_its_own_rows():
    table = traced(study(apart=-0.5))
    ends = replace(table, values=table.values.filter(pl.col("D") == pl.col("D").max().over("run")))
    made = forecast(ends)
    assert "untested" in made.reason
    assert not any("sizes differ" in doubt for doubt in made.doubts)


def test_token_losses_stand_beside_the_mean_only_where_hold_outs_say_so():
    useful, useless = traced(study(tail=4.0), tokens=True), traced(study(), tokens=True)
    link = fit_share_link(useful.training(), "c4/loss", useful.metrics[SHARE], SOME)
    assert "tokens/q10" in link.inputs
    assert "beside c4/loss the link reads token losses" in link.reason
    assert fit_share_link(useless.training(), "c4/loss", useless.metrics[SHARE], POINT).inputs == ("c4/loss",)
    made = forecast(useful, settings=SOME)
    assert len(made.draws) == SOME.draws
    assert made.interval(0.9)[0] <= made.value <= made.interval(0.9)[1]


def test_a_token_link_reads_the_quantile_and_its_rows_have_no_order():
    table = study(tail=4.0).training()
    made = fit_token_forecast(table, "c4/loss", ("tokens/q10",), table.metrics[SHARE], SOME)
    assert made.spread < 0.5 * fit_token_forecast(table, "c4/loss", (), table.metrics[SHARE], POINT).spread
    values = table.values.sample(fraction=1.0, shuffle=True, seed=1)
    again = fit_token_forecast(replace(table, values=values), "c4/loss", ("tokens/q10",), table.metrics[SHARE], SOME)
    z = np.array([[2.5, 0.3]])
    np.testing.assert_allclose(made.link.share(z), again.link.share(z), rtol=1e-9)


def test_auto_weighs_the_traced_link_beside_its_other_ways():
    table, plain = traced(study(apart=-0.5)), study(apart=-0.5)
    target = held_out_targets(table)[0]

    def ways(of):
        pieces = Pieces(of.training(), {SHARE, "c4/loss"}, SOME)
        return {way.role: way for way in share_ways(pieces, SHARE, "c4/loss", "auto")}

    assert set(ways(table)) - set(ways(plain)) == {ROLE}
    way = ways(table)[ROLE]
    assert way.value(target) == pytest.approx(forecast(table).value, rel=1e-6)
    made = way.forecast(target)
    assert (made.method, len(made.draws)) == ("auto", SOME.draws)
    assert any(doubt.startswith("sizes differ at equal loss") for doubt in made.doubts)


def test_the_mean_that_a_trace_adds_does_not_change_which_loss_leads_to_a_task():
    table = replace(study(), shared_loss=None)
    rows = table.values.filter(pl.col("metric") == "c4/loss")
    odd = pl.int_range(pl.len()) % 2

    def noisy(name, size):  # the mean is smoother than the losses it is made of
        return rows.with_columns(metric=pl.lit(name), value=pl.col("value") * (1 + size * odd))

    others = table.values.filter(pl.col("metric") != "c4/loss")
    values = pl.concat([others, noisy("c4/loss", 0.02), noisy("wiki/loss", 0.1), noisy("validation/loss", 0.0)])
    added = {name: Metric(name=name, unit="nats/token") for name in ("wiki/loss", "validation/loss")}
    known = replace(table, values=values, metrics={**table.metrics, **added})
    assert choose_intermediate(known, table.metrics[SHARE], "auto", POINT) == "c4/loss"
    alone = known.only_metrics([SHARE, "validation/loss"])
    assert choose_intermediate(alone, table.metrics[SHARE], "auto", POINT) == "validation/loss"
