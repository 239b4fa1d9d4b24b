"""Truths of flp-m: domain losses from compute by source, and the link to a task."""

import numpy as np
import polars as pl
import pytest

from foretell.errors import FitError, MethodError, UnknownName
from foretell.forecast import Settings, Target
from foretell.methods.flp_m import FlpM, fit_link
from foretell.table import Observations, Run, metric_named

SETTINGS = Settings(draws=60)


def losses_of(N, D, code):
    C = 6 * N * D
    text = 30 * ((1 - code) * C) ** -0.05
    coded = 25 * (code * C) ** -0.06
    return text, coded


def accuracy_of(text, coded):
    return 0.25 + 0.7 / (1 + np.exp(4 * (text - 3.6) + 2 * (coded - 2.2)))


def made_study(n=30, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    runs, rows = [], []
    for i in range(n):
        N, D, code = 10 ** rng.uniform(7.5, 9), 10 ** rng.uniform(9, 10.5), rng.uniform(0.1, 0.9)
        text, coded = (loss * np.exp(noise * rng.normal()) for loss in losses_of(N, D, code))
        runs.append(Run(f"r{i:02d}", D=D, N=N, weights={"code": code, "text": 1 - code}))
        for name, value in (("text/loss", text), ("code/loss", coded), ("hard/acc", accuracy_of(text, coded))):
            rows.append({"run": f"r{i:02d}", "D": D, "metric": name, "value": value})
    return Observations.of(runs, pl.DataFrame(rows), [metric_named(n) for n in ("text/loss", "code/loss", "hard/acc")])


def target(code=0.4, N=2e9, D=6e10):
    return Target(N, D, inputs={"w_code": code, "w_text": 1 - code})


def test_losses_that_follow_the_law_are_forecast_exactly():
    text, coded = losses_of(2e9, 6e10, 0.4)
    made = FlpM().forecast(made_study(), [target()], ["text/loss", "code/loss"], SETTINGS)
    assert made[0].value == pytest.approx(text, rel=0.01)
    assert made[1].value == pytest.approx(coded, rel=0.01)


def test_a_task_is_forecast_near_the_truth_with_an_interval_that_holds_it():
    aim = target(N=1e9, D=4e10)
    truth = accuracy_of(*losses_of(1e9, 4e10, 0.4))
    (made,) = FlpM().forecast(made_study(40, noise=0.002), [aim], ["hard/acc"], SETTINGS)
    low, high = made.interval(0.9)
    assert made.value == pytest.approx(truth, abs=0.05)
    assert low < truth + 0.03
    assert high > truth - 0.03
    assert "runs left out" in made.reason


def test_the_network_bends_where_a_line_cannot_and_a_line_is_kept_where_it_suffices():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(80, 2))
    run = np.array([f"r{i}" for i in range(80)])
    bent = np.tanh(4 * x[:, 0]) * 0.3 + 0.5
    chosen = fit_link(x, bent, run)
    assert "network" in chosen.reason.split(";")[0]
    assert chosen.error < fit_link(x, bent, run, "linear").error
    straight = 0.3 * x[:, 0] - 0.2 * x[:, 1] + 0.01 * rng.normal(size=80)
    assert fit_link(x, straight, run).reason.startswith("a line")


def test_the_same_seed_gives_the_same_forecast():
    first, second = (FlpM().forecast(made_study(12), [target()], ["hard/acc"], SETTINGS)[0] for _ in range(2))
    assert first.value == second.value
    assert (first.draws == second.draws).all()


def test_what_flp_m_cannot_forecast_is_refused_with_the_reason():
    study = made_study(12)
    with pytest.raises(MethodError, match="w_code"):
        FlpM().forecast(study, [Target(1e9, 1e10)], ["hard/acc"], SETTINGS)
    with pytest.raises(FitError, match="at least 6"):
        FlpM().forecast(study.only_runs([f"r{i:02d}" for i in range(4)]), [target()], ["hard/acc"], SETTINGS)
    with pytest.raises(UnknownName, match="linear"):
        FlpM("lines")
