"""A run in progress: its end is forecast from its first part, the interval shrinks, and a departure is told early."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from foretell import api
from foretell.cli.progress import outlook as verb
from foretell.errors import FitError, MethodError, SourceError, TableError
from foretell.forecast import Settings
from foretell.laws.multipower import PUBLISHED, multi_power_loss
from foretell.laws.schedule import Schedule
from foretell.methods.family_curve import kin_of, rest_of
from foretell.methods.in_progress import Lent, family_of, measured_end, outlook, watch
from foretell.methods.part_curve import PartCurve, carried_on, curves_of_rung, planned, read_part_curve
from foretell.report.outlook_figure import draw_outlook
from foretell.sources import read
from foretell.table import save_study
from protocols import testbeds

STEPS = 6000
SCHEDULES = {
    "cosine": Schedule.cosine(STEPS, 3e-4, 3e-5, 300),
    "wsd": Schedule.stable_decay(STEPS, 3e-4, 3e-5, 5000, 300),
    "constant": Schedule.constant(STEPS, 3e-4, 300),
}


def simulated(kind="cosine", size="25M", noise=0.002, seed=0, every=100):
    """Make a run that follows the multi-power law, with independent noise on each reading."""
    step = np.arange(every, STEPS + 1, every, dtype=np.float64)
    step = step[step > 300]
    loss = multi_power_loss(PUBLISHED[size], SCHEDULES[kind], step)
    loss = loss * np.exp(noise * np.random.default_rng(seed).normal(size=len(step)))
    return PartCurve(f"{kind} {seed}", step, loss, SCHEDULES[kind])


def true_end(kind="cosine", size="25M"):
    return float(multi_power_loss(PUBLISHED[size], SCHEDULES[kind], np.array([float(STEPS)]))[0])


@pytest.fixture(scope="module")
def public():
    """Give two of the curves of 2503.12811: the warm-up of 2160 steps is not recorded in the file."""
    frame = pl.read_csv(testbeds() / "multipower" / "loss_curves.csv").sort("step")
    made = {}
    for N, name in (
        (25e6, "cosine_24000"), (25e6, "wsd_20000_24000"), (100e6, "cosine_24000"), (25e6, "wsdcon_3"),
    ):  # fmt: skip
        of = frame.filter((pl.col("N") == N) & (pl.col("schedule") == name))
        step, lr, loss = (of[c].to_numpy().astype(np.float64) for c in ("step", "lr", "loss"))
        made[N, name] = PartCurve(f"{name} {N:g}", step, loss, Schedule.recorded(step, lr, warmup=2160))
    return made


@pytest.fixture(scope="module")
def olmo():
    return read("olmo-ladder", testbeds() / "olmo-ladder").training()


@pytest.mark.parametrize("kind", sorted(SCHEDULES))
def test_the_end_is_forecast_and_the_interval_shrinks(kind):
    run = simulated(kind)
    spreads = []
    for share in (0.3, 0.6, 0.9):
        made = outlook(run.upto(share), draws=200)
        low, high = made.interval(0.99)
        assert low < true_end(kind) < high
        assert made.end == pytest.approx(true_end(kind), rel=0.035)
        spreads.append(made.spread())
    assert spreads[0] > spreads[1] > spreads[2]


def test_the_annealed_end_is_forecast_before_the_rate_falls(public):
    run = public[25e6, "wsd_20000_24000"]
    made = outlook(run.upto(0.8), draws=200)
    low, high = made.interval(0.8)
    assert low < measured_end(run) < high
    assert made.end == pytest.approx(measured_end(run), rel=0.01)
    assert run.upto(0.8).loss[-1] > 1.015 * measured_end(run)  # the drop was still to come
    assert any("lent" in doubt for doubt in made.doubts)


def test_what_one_size_taught_helps_another(public):
    lent = family_of([public[25e6, "cosine_24000"], public[25e6, "wsd_20000_24000"]])
    assert all(lent.width[name] < Lent().width[name] for name in ("alpha", "b"))
    run = public[100e6, "cosine_24000"]
    alone, helped = (outlook(run.upto(0.3), lent=one, draws=200) for one in (None, lent))
    assert helped.spread() < alone.spread()
    assert helped.end == pytest.approx(measured_end(run), rel=0.01)


def test_the_ladder_narrows_the_end_and_a_contradiction_is_a_doubt():
    run = simulated().upto(0.2)
    alone = outlook(run, draws=200)
    told = outlook(run, lent=Lent(end=(true_end(), 0.002)), draws=200)
    assert told.spread() < 0.5 * alone.spread()
    assert not any("apart" in doubt for doubt in told.doubts)
    wrong = outlook(simulated().upto(0.9), lent=Lent(end=(0.8 * true_end(), 0.002)), draws=100)
    assert any("standard deviations apart" in doubt for doubt in wrong.doubts)


def test_too_little_is_refused():
    run = simulated()
    with pytest.raises(FitError, match="only 3 losses"):
        outlook(replace(run, step=run.step[:3], loss=run.loss[:3]))
    with pytest.raises(TableError, match="nothing of"):
        run.upto(0.01)


def test_a_healthy_run_raises_no_alarm():
    assert watch(simulated("wsd", seed=5), draws=60).alarm is None


@pytest.mark.slow
def test_the_false_alarm_rate_is_kept():
    kinds = sorted(SCHEDULES)
    alarms = sum(watch(simulated(kinds[i % 3], seed=i, every=100), draws=60).alarm is not None for i in range(60))
    assert alarms <= 6  # at a rate of 5 % more than 6 of 60 come in 3 % of such tests


def test_a_diverging_run_is_told_soon_after_it_leaves():
    run = simulated(seed=2)
    off = np.where(run.step > 0.5 * STEPS, np.exp(0.4 * (run.step / STEPS - 0.5)), 1.0)
    found = watch(replace(run, loss=run.loss * off), draws=60)
    assert found.alarm is not None
    assert found.alarm.score > 0
    assert 0.5 * STEPS < found.alarm.at < 0.95 * STEPS
    assert "worse" in found.said


def test_one_spike_is_no_departure():
    run = simulated(seed=3)
    loss = run.loss.copy()
    loss[len(loss) // 2] *= 1.5
    assert watch(replace(run, loss=loss), draws=60).alarm is None


def test_a_rate_of_false_alarms_lies_between_0_and_1():
    with pytest.raises(MethodError, match="false-alarm rate"):
        watch(simulated(), rate=1.5)


def test_row_order_of_a_curve_file_does_not_matter(tmp_path):
    run = simulated(every=200)
    lr = run.schedule.lr[run.step.astype(int) - 1]
    rows = [f"{s:.0f},{a!r},{b!r}" for s, a, b in zip(run.step, lr.tolist(), run.loss.tolist(), strict=True)]
    for name, order in (("a", rows), ("b", rows[::-1])):
        (tmp_path / f"{name}.csv").write_text("\n".join(["step,lr,loss", *order]) + "\n")
    one, other = (read_part_curve(tmp_path / f"{name}.csv") for name in "ab")
    assert np.array_equal(one.loss, other.loss)
    assert np.array_equal(one.schedule.lr, other.schedule.lr)


def test_rows_without_a_loss_are_the_plan(tmp_path):
    file = tmp_path / "run.csv"
    file.write_text("loss,step,learning_rate\n3.0,1,0.001\n2.9,2,0.001\n,3,0.0005\n,4,0.0001\n")
    made = read_part_curve(file)
    assert made.schedule.lr.tolist() == [0.001, 0.001, 0.0005, 0.0001]
    assert made.share == 0.5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("step,loss\n1,2\n", "no column lr"),
        ("step,lr,loss\n1,x,2\n", "no number"),
        ("step,lr,loss\n", "no rows"),
        ("step,lr,loss\n1,0.1,2\n2,0.1,nan\n", "1 rows with a written nan .* diverged there"),
        ("step,lr,loss\n0,0.1,2\n", "step of at least 1"),
        ("step,lr,loss\n1,0.1,\n", "no loss yet"),
        ("step,lr,loss\n1,-0.1,2\n", "at least 0"),
    ],
)
def test_a_file_that_is_no_curve_is_refused(tmp_path, text, said):
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(SourceError, match=said):
        read_part_curve(file)


def test_a_loss_that_rises_is_named_and_one_spike_is_none():
    step = np.arange(1.0, 101.0)
    falling = 2.0 + step**-0.5
    spiked = falling + (step == 60)
    lr = np.full(100, 1e-3)
    for loss, named in ((falling, False), (spiked, False), (np.linspace(2.0, 3.0, 100), True)):
        made = outlook(planned("run", step, lr, loss, steps=200), draws=20)
        assert any(doubt.startswith("non-monotone") for doubt in made.doubts) == named


def test_one_spike_is_named_and_moves_the_end_no_more_than_noise_does():
    curve = simulated().upto(0.5)
    spiked = replace(curve, loss=curve.loss + 2.0 * (np.arange(len(curve.loss)) == len(curve.loss) // 2))
    plain, other = outlook(curve, draws=100), outlook(spiked, draws=100)
    assert any(doubt.startswith("spikes: 1 of") for doubt in other.doubts)
    assert not any(doubt.startswith("spikes") for doubt in plain.doubts)
    assert other.end == pytest.approx(plain.end, rel=0.002)
    assert np.ptp(other.interval(0.8)) < 1.3 * np.ptp(plain.interval(0.8))


def test_a_loss_that_is_not_positive_is_refused(tmp_path):
    file = tmp_path / "bad.csv"
    file.write_text("step,lr,loss\n1,0.1,2\n2,0.1,inf\n")
    with pytest.raises(TableError, match="diverged"):
        read_part_curve(file)


@pytest.mark.parametrize(("decay", "last"), [("constant", 1.0), ("linear", 0.1), ("cosine", 0.1), ("sqrt", 0.1)])
def test_the_rate_goes_on_as_planned(decay, last):
    step = np.arange(1.0, 51.0)
    made = planned("run", step, np.ones(50), np.full(50, 2.0), steps=100, decay=decay, final=0.1)
    assert len(made.schedule) == 100
    assert made.schedule.lr[-1] == pytest.approx(last, abs=1e-3)
    assert (np.diff(made.schedule.lr[50:]) <= 1e-12).all()
    again = carried_on(made.upto(0.5), 120)
    assert len(again.schedule) == 120


def test_a_rung_in_training_is_read_from_its_curves(tmp_path):
    from foretell.rung import Rung, Shape

    shape = Shape(layers=2, width=32, heads=1, kv_heads=1, mlp_width=96, vocabulary=264, sequence=64)
    rung = Rung(name="5K", shape=shape, D=(32000, 64000), batch=5, learning_rate=1e-2, warmup=10)
    folder = tmp_path / "rungs" / "5K"
    (folder / "curves").mkdir(parents=True)
    (folder / "rung.json").write_text(json.dumps({"rung": rung.model_dump(mode="json")}))
    for name, first, last in (("trunk", 0, 50), ("trunk", 50, 80), ("5K-32K", 80, 100), ("trunk", 80, 120)):
        table = np.stack([np.linspace(5, 4, last - first), np.full(last - first, 1e-2)], axis=1).astype(np.float32)
        np.save(folder / "curves" / f"{name}-{first:09d}-{last:09d}.npy", table)
    curves = curves_of_rung(tmp_path, "5K")
    assert curves["5K-32K"].share == 1.0
    assert curves["5K-64K"].share == pytest.approx(0.6)
    assert curves["5K-64K"].schedule.lr[-1] == 0.0
    with pytest.raises(SourceError, match="cannot be read"):
        curves_of_rung(tmp_path, "6K")


def test_kin_without_learning_rates_forecast_the_end(olmo):
    kin = kin_of(olmo, "c4/loss")
    for share, within in ((0.3, 0.01), (0.5, 0.005), (0.9, 0.002)):
        inside = 0
        for run in kin:
            rest = rest_of(run, share, kin)
            truth = float(np.exp(run.log_loss[-1]))
            low, high = rest.interval(0.8)
            inside += low <= truth <= high
            assert rest.end[0] == pytest.approx(truth, rel=within)
        assert 0.55 <= inside / len(kin) <= 1.0  # 16 runs: 80 % give 10 to 16 in 99 % of cases


def test_fewer_than_three_kin_are_refused(olmo):
    kin = kin_of(olmo, "c4/loss")
    with pytest.raises(MethodError, match="3 are needed"):
        rest_of(kin[0], 0.5, kin[1:3])


def test_the_outlook_of_a_run_of_a_study(olmo):
    settings = Settings(draws=60, starts=8)
    made, watched = api.outlook(olmo, "1.3B-2xC", upto=0.5, settings=settings)
    assert made.axis == "D"
    assert made.share <= 0.5
    truth = float(olmo.only_runs(["1.3B-2xC"]).metric("c4/loss").value[0])
    assert made.end == pytest.approx(truth, rel=0.005)
    assert watched.alarm is None
    with pytest.raises(MethodError, match="cannot end"):
        api.outlook(olmo, "1.3B-2xC", D="1B", settings=settings)


def test_the_verb_takes_a_file_or_a_study(tmp_path, olmo):
    app = typer.Typer()
    app.command()(verb)
    run = simulated(every=100)
    table = np.stack([run.step, run.schedule.lr[run.step.astype(int) - 1], run.loss], axis=1)
    np.savetxt(tmp_path / "run.csv", table, delimiter=",", header="step,lr,loss", comments="", fmt="%.8g")
    asked = [str(tmp_path / "run.csv"), "--upto", "0.5", "--draws", "40"]
    shown = CliRunner().invoke(app, [*asked, "--figure", str(tmp_path / "run.png")])
    assert shown.exit_code == 0, shown.output
    assert "50% of the way to step = 6K" in shown.output
    assert (tmp_path / "run.png").exists()
    told = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert told["low"] < told["value"] < told["high"]
    assert not told["left"]
    save_study(olmo.only_metrics(["c4/loss"]), tmp_path / "study")
    shown = CliRunner().invoke(app, [str(tmp_path / "study"), "190M-2xC", "--upto", "0.5", "--draws", "40"])
    assert shown.exit_code == 0, shown.output
    assert "190M-2xC" in shown.output
    nameless = CliRunner().invoke(app, [str(tmp_path / "study")])
    assert isinstance(nameless.exception, MethodError)


def test_the_picture_says_where_a_run_left(tmp_path):
    run = simulated(seed=2, every=100)
    loss = run.loss * np.where(run.step > 3000, 1.1, 1.0)
    gone = replace(run, loss=loss)
    found = watch(gone, draws=40)
    assert found.alarm is not None
    path = draw_outlook(outlook(gone.upto(0.6), draws=40), found, tmp_path / "left.png")
    assert path.stat().st_size > 5000


def test_a_sudden_drop_of_the_rate_is_no_departure(public):
    # its rate falls to a tenth at step 8,000, whose loss was read before the drop took effect
    assert watch(public[25e6, "wsdcon_3"], draws=100).alarm is None
