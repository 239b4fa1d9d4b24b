"""Learning-rate schedules and the laws of annealing: sums against their definition, recovery, and the multi-power curves."""

import math

import numpy as np
import pytest

from differences import derivative
from foretell.errors import FitError, FormulaError, UnknownName
from foretell.fitting import fit
from foretell.laws import MORE_LAWS
from foretell.laws.multipower import NAMES, PUBLISHED, Curve, multi_power_loss, sums_of
from foretell.laws.multipower_fit import PRIOR, fit_multi_power, forecast_annealed
from foretell.laws.schedule import Schedule, annealing_inputs
from foretell.table import Observations, Points, metric_named
from protocols import protocol

PEAK, FINAL, WARMUP = 3e-4, 3e-5, 2160
FITTED = ("constant_24000", "cosine_24000", "wsdcon_9")
SMALL = PUBLISHED["25M"]
STEPS = np.array([1.0, 40.0, 120.0, 300.0])


def published_schedule(name: str) -> Schedule:
    kind, *numbers = name.split("_")
    if kind == "cosine":
        return Schedule.cosine(int(numbers[0]), PEAK, FINAL, WARMUP)
    if kind == "constant":
        return Schedule.constant(int(numbers[0]), PEAK, WARMUP)
    if kind == "wsdcon":
        return Schedule.two_stage(16000, PEAK, int(numbers[0]) * 1e-5, 8000, WARMUP)
    decay_from, steps = (int(number) for number in numbers)
    return Schedule.stable_decay(steps, PEAK, FINAL, decay_from, WARMUP, linear=kind == "wsdld")


def curves_of(study: Observations) -> dict[str, tuple[Curve, np.ndarray]]:
    """Give by schedule the curve of the protocol and the learning rates recorded beside it."""
    joined = study.values.join(study.runs.select("name", "schedule"), left_on="run", right_on="name").sort("step")
    made = {}
    for (name,), rows in joined.group_by("schedule"):
        step, loss, lr = (rows[c].to_numpy().astype(float) for c in ("step", "value", "lr"))
        made[name] = (Curve(published_schedule(name), step, loss, name), lr)
    return made


def small_schedule() -> Schedule:
    return Schedule.cosine(300, 1e-2, 1e-3, warmup=20)


def made_up(name: str, coefficients: dict[str, float], every: int = 128) -> Curve:
    schedule = published_schedule(name)
    step = np.arange(WARMUP, len(schedule), every, dtype=float)
    return Curve(schedule, step, multi_power_loss(coefficients, schedule, step), name)


# -- schedules ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [*FITTED, "cosine_72000", "constant_72000", "wsd_20000_24000", "wsdld_20000_24000", "wsdcon_3"]
)
def test_schedules_are_those_that_the_runs_recorded(name):
    made = protocol("multipower")
    curve, lr = {**curves_of(made.fit), **curves_of(made.test)}[name]
    np.testing.assert_allclose(curve.schedule.lr[curve.step.astype(int) - 1], lr, rtol=1e-12)


def test_a_recorded_schedule_is_the_one_it_was_recorded_from():
    true = published_schedule("cosine_24000")
    step = np.arange(WARMUP, len(true) + 1, 20, dtype=float)
    recorded = Schedule.recorded(step, true.lr[step.astype(int) - 1], WARMUP)
    np.testing.assert_allclose(recorded.lr, true.lr[: len(recorded)], rtol=1e-4, atol=1e-9)


def test_the_area_is_the_sum_of_rates_and_the_drops_add_up():
    schedule = small_schedule()
    assert schedule.area[-1] == pytest.approx(schedule.lr.sum())
    assert schedule.drops.sum() == pytest.approx(-schedule.lr[-1])
    assert schedule.anneals
    assert not Schedule.constant(300, 1e-2, warmup=20).anneals


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Schedule(np.array([1.0, -1.0])), "finite learning rate ≥ 0"),
        (lambda: Schedule(np.zeros(5)), "zero after the warm-up"),
        (lambda: Schedule(np.ones(5), warmup=5), "cannot warm up"),
        (lambda: Schedule.recorded(np.array([5.0, 3.0]), np.ones(2)), "must rise"),
        (lambda: Schedule.stable_decay(10, 1.0, 0.1, 10), "does not lie between"),
        (lambda: small_schedule().at(np.array([301.0])), "do not lie within"),
        (lambda: annealing_inputs(small_schedule(), STEPS, memory=1.0), "below 1"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(make, match):
    with pytest.raises(FormulaError, match=match):
        make()


# -- annealing law --------------------------------------------------------------------------------------------------


def test_annealing_areas_are_the_papers_double_sum():
    schedule, memory = small_schedule(), 0.9
    inputs = annealing_inputs(schedule, STEPS, memory)
    drops = np.where(np.arange(300) < 20, 0.0, schedule.drops)
    for S1, S2, step in zip(inputs["S1"], inputs["S2"], STEPS.astype(int), strict=True):
        double = sum(drops[k] * memory ** (i - k) for i in range(step) for k in range(i + 1))
        assert S1 == pytest.approx(schedule.lr[:step].sum())
        assert S2 == pytest.approx(double, abs=1e-12)


def test_without_annealing_the_annealing_law_is_a_power_of_the_area():
    inputs = annealing_inputs(Schedule.constant(300, 1e-2, warmup=20), STEPS)
    np.testing.assert_array_equal(inputs["S2"], 0.0)
    c = {"L0": 3.0, "A": 0.5, "alpha": 0.5, "C_S2": 0.4}
    np.testing.assert_allclose(MORE_LAWS["annealing"].value(c, inputs), 3.0 + 0.5 * inputs["S1"] ** -0.5)


def annealing_points(curves: list[Curve]) -> Points:
    inputs = [annealing_inputs(curve.schedule, curve.step) for curve in curves]
    names = np.concatenate([np.full(len(curve.loss), curve.name) for curve in curves])
    columns = {name: np.concatenate([part[name] for part in inputs]) for name in ("S1", "S2")}
    loss = np.concatenate([curve.loss for curve in curves])
    return Points(metric_named("loss"), names, columns, loss, np.full(len(loss), np.nan))


def test_the_annealing_law_foretells_other_schedules_to_a_sixth_of_a_percent():
    made = protocol("multipower")
    fitted, test = (annealing_points([c for c, _ in curves_of(part).values()]) for part in (made.fit, made.test))
    forecast = fit(MORE_LAWS["annealing"], fitted).predict(test.inputs)
    assert 100 * np.mean(np.abs(forecast / test.value - 1)) == pytest.approx(0.164, abs=0.005)


# -- multi-power law ------------------------------------------------------------------------------------------------


def test_the_multi_power_law_is_its_double_sum():
    schedule, c = small_schedule(), {**SMALL, "B": 30.0}
    for step in STEPS.astype(int):
        gain = 0.0
        for k in range(1, step + 1):
            before = schedule.lr[k - 2] if k > 1 else 0.0
            x = schedule.lr[k - 1] ** -c["gamma"] * schedule.lr[k - 1 : step].sum()
            gain += (before - schedule.lr[k - 1]) * (1 - (1 + c["C"] * x) ** -c["beta"])
        by_hand = c["L0"] + c["A"] * schedule.lr[:step].sum() ** -c["alpha"] - c["B"] * gain
        assert multi_power_loss(c, schedule, np.array([step]), block=1)[0] == pytest.approx(by_hand, rel=1e-12)


def test_taking_steps_together_hardly_moves_the_loss():
    schedule = published_schedule("cosine_24000")
    step = np.linspace(WARMUP, 24000, 50).round()
    np.testing.assert_allclose(
        multi_power_loss(SMALL, schedule, step), multi_power_loss(SMALL, schedule, step, block=1), atol=1e-4
    )


def test_slopes_of_the_gain_of_annealing_are_right():
    sums = sums_of(small_schedule(), STEPS, 1)
    at = np.array([2.0, 0.6, 0.64])  # C, beta, gamma
    slopes = np.array(sums.gains(*at)[1:])
    numeric = derivative(lambda c: sums.gains(*c)[0], at) * at[:, None]
    np.testing.assert_allclose(slopes, numeric, rtol=1e-6, atol=1e-12)


def test_without_gain_from_annealing_the_multi_power_law_is_a_power_of_the_area():
    schedule = small_schedule()
    power = 3.0 + 0.5 * schedule.area[STEPS.astype(int)] ** -0.5
    c = {**SMALL, "L0": 3.0, "A": 0.5, "alpha": 0.5, "B": 0.0}
    np.testing.assert_allclose(multi_power_loss(c, schedule, STEPS), power, rtol=1e-13)


def test_long_after_a_drop_all_of_its_gain_has_come():
    schedule = Schedule.two_stage(4_000_000, 1.0, 0.1, 1000)
    c = {**SMALL, "B": 1.0, "beta": 3.0}
    at = np.array([4_000_000.0])
    area = schedule.area[-1]
    by_hand = c["L0"] + c["A"] * area ** -c["alpha"] - (1.0 - 0.1 - 1.0)  # the warm-up's rise of 1 counts against it
    assert multi_power_loss(c, schedule, at)[0] == pytest.approx(by_hand, abs=1e-6)


def test_coefficients_are_recovered_from_exact_curves_without_a_start():
    curves = [made_up(name, dict(SMALL)) for name in FITTED]
    made = fit_multi_power(curves, strength=0.0)
    assert np.abs(made.relative_errors).max() < 1e-7
    assert {name: made.coefficients[name] for name in NAMES} == pytest.approx(dict(SMALL), rel=1e-3)
    assert made.share_of_starts > 0.5


def test_the_order_of_curves_does_not_matter():
    curves = [made_up(name, dict(SMALL)) for name in FITTED]
    one, other = (fit_multi_power(order, start=PUBLISHED["100M"]) for order in (curves, curves[::-1]))
    assert one.coefficients == pytest.approx(other.coefficients, rel=1e-6)


def test_curves_that_never_anneal_cannot_tell_what_annealing_gains():
    curve = made_up("constant_24000", dict(SMALL))
    with pytest.raises(FitError, match="never falls in these curves"):
        fit_multi_power([curve])
    borrowed = {name: SMALL[name] for name in ("B", "C", "beta", "gamma")}
    made = fit_multi_power([curve], borrowed=borrowed)
    assert made.coefficients == pytest.approx(dict(SMALL), rel=1e-4)
    assert "are borrowed from other runs" in made.doubts[0]


def test_a_fit_says_which_coefficients_rest_on_the_prior():
    curves = [made_up(name, {**SMALL, **PRIOR}) for name in FITTED]
    assert any("rest on the prior" in doubt for doubt in fit_multi_power(curves, start=SMALL).doubts)
    one = fit_multi_power(curves[:2], start=SMALL)
    assert any("only one schedule anneals" in doubt for doubt in one.doubts)


def test_too_few_losses_and_unknown_coefficients_are_refused():
    curve = made_up("cosine_24000", dict(SMALL), every=4000)
    with pytest.raises(FitError, match="6 losses cannot carry 7 coefficients"):
        fit_multi_power([curve])
    with pytest.raises(UnknownName, match="did you mean alpha"):
        fit_multi_power([curve], borrowed={"alhpa": 1.0})
    whole = made_up("cosine_24000", dict(SMALL))
    with pytest.raises(FitError, match="the start has no A, B, C, L0"):
        fit_multi_power([whole], start={"alpha": 0.5, "beta": 0.5, "gamma": 0.5})
    with pytest.raises(FitError, match=r"C is given as -1\.0; coefficients of the multi-power law are positive"):
        fit_multi_power([whole], prior={"C": -1.0})
    with pytest.raises(FitError, match="not positive and finite"):
        Curve(small_schedule(), STEPS, np.array([1.0, 2.0, math.nan, 1.0]))


def scores(predicted: list[np.ndarray], curves: list[Curve]) -> dict[str, float]:
    """Score as protocols.toml does (pooled), and as the authors' code does (the mean over curves)."""
    of_curve = [100 * np.abs(p / c.loss - 1) for p, c in zip(predicted, curves, strict=True)]
    p, y = np.concatenate(predicted), np.concatenate([c.loss for c in curves])
    return {
        "R2": 1 - float(np.sum((p - y) ** 2) / np.sum((y - y.mean()) ** 2)),
        "mean": float(np.concatenate(of_curve).mean()),
        "curve mean": float(np.mean([e.mean() for e in of_curve])),
        "curve worst": float(np.mean([e.max() for e in of_curve])),
    }


def test_the_published_coefficients_give_the_published_errors():
    # README of the authors' code: R2 .9988, PredE .00110, WorstE .00409, each a mean over the six test curves
    curves = [curve for curve, _ in curves_of(protocol("multipower").test).values()]
    found = scores([multi_power_loss(SMALL, c.schedule, c.step) for c in curves], curves)
    assert found["R2"] == pytest.approx(0.9987, abs=1e-4)
    assert found["curve mean"] == pytest.approx(0.115, abs=0.002)
    assert found["curve worst"] == pytest.approx(0.409, abs=0.01)


@pytest.mark.parametrize("start", [None, SMALL])
def test_other_schedules_are_foretold_from_three_curves_from_any_start(start):
    made = protocol("multipower")
    curves = [curve for curve, _ in curves_of(made.test).values()]
    found = fit_multi_power([curve for curve, _ in curves_of(made.fit).values()], start=start)
    got = scores([found.predict(c.schedule, c.step) for c in curves], curves)
    assert got == pytest.approx({"R2": 0.9982, "mean": 0.156, "curve mean": 0.125, "curve worst": 0.409}, rel=0.02)


def test_an_annealed_end_is_foretold_from_runs_that_did_not_anneal_so_far():
    # a constant run and one that drops once; the cosine run was never seen
    curves = curves_of(protocol("multipower").fit)
    cosine, _ = curves["cosine_24000"]
    known = [curves[name][0] for name in ("constant_24000", "wsdcon_9")]
    forecast = forecast_annealed(known, cosine.schedule, cosine.step)
    end = forecast[-10:].mean() / cosine.loss[-10:].mean() - 1
    unannealed = known[0].loss[-10:].mean() / cosine.loss[-10:].mean() - 1
    assert abs(end) < 0.003 < 0.01 < unannealed
