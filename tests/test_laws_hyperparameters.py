"""The step law: its advice, its recovery from made-up sweeps, and what it is worth on the authors' runs."""

import numpy as np
import pytest

from foretell.errors import FitError
from foretell.laws.hyperparameters import STEP_LAW, StepLaw, fit_step_law, regret
from foretell.sources.datafile import read_frame
from protocols import testbeds

SEQUENCE = 2048.0  # tokens: measured, D / (batch × steps) on every row
TRUTH = StepLaw(lr_0=30.0, lr_N=-0.8, lr_D=0.25, batch_0=0.9, batch_D=0.55)


def sweep(law: StepLaw = TRUTH, pairs: int = 12, noise: float = 0.0, seed: int = 0) -> dict[str, np.ndarray]:
    """Make grids of learning rate and batch around the optimum of each (N, D), with a tilted bowl of losses."""
    rng = np.random.default_rng(seed)
    rows = []
    for N, D in zip(np.geomspace(1e8, 2e9, pairs), rng.permutation(np.geomspace(2e9, 2e11, pairs)), strict=True):
        for x in np.linspace(-1.1, 1.0, 7):
            for y in np.linspace(-0.9, 1.2, 7):
                loss = 2.5 + 0.02 * x * x + 0.01 * y * y + 0.008 * x * y
                rows.append((law.learning_rate(N, D) * np.exp(x), law.batch(D) * np.exp(y), N, D, loss))
    table = dict(zip(("lr", "batch", "N", "D", "loss"), np.array(rows, dtype=float).T, strict=True))
    table["loss"] = table["loss"] * np.exp(noise * rng.normal(size=len(rows)))
    return table


def steplaw(where=lambda C: C > 0) -> dict[str, np.ndarray]:
    frame = read_frame(testbeds() / "steplaw" / "dense_lr_bs_loss.csv")
    N, D, lr, bs, loss = (frame[c].to_numpy().astype(float) for c in ("N", "D", "lr", "bs", "smooth loss"))
    rows = where(N * D)
    table = {"lr": lr, "batch": bs * SEQUENCE, "N": N, "D": D, "loss": loss}
    return {name: column[rows] for name, column in table.items()}


def test_published_advice_for_a_billion_parameters_on_a_hundred_billion_tokens():
    assert STEP_LAW.learning_rate(1e9, 1e11) == pytest.approx(1.79 * 1e9**-0.713 * 1e11**0.307, rel=1e-14)
    assert STEP_LAW.learning_rate(1e9, 1e11) == pytest.approx(1.63e-3, rel=0.01)
    assert STEP_LAW.batch(1e11) == pytest.approx(1.11e6, rel=0.01)


def test_the_best_rate_falls_with_parameters_and_rises_with_tokens():
    N = np.geomspace(1e8, 1e11, 5)
    assert (np.diff(STEP_LAW.learning_rate(N, 1e11)) < 0).all()
    assert (np.diff(STEP_LAW.learning_rate(1e9, N)) > 0).all()
    assert (np.diff(STEP_LAW.batch(N)) > 0).all()


def test_the_step_law_is_recovered_from_exact_bowls():
    made = fit_step_law(sweep(), draws=10)
    for name in ("lr_0", "lr_N", "lr_D", "batch_0", "batch_D"):
        assert getattr(made.law, name) == pytest.approx(getattr(TRUTH, name), rel=1e-6)
    assert all(optimum.inside for optimum in made.optima)
    assert made.doubts == ()


def test_the_order_of_runs_does_not_matter():
    table = sweep(noise=1e-4)
    order = np.random.default_rng(1).permutation(len(table["lr"]))
    one, other = fit_step_law(table, draws=5), fit_step_law({name: c[order] for name, c in table.items()}, draws=5)
    assert [getattr(one.law, n) for n in ("lr_0", "lr_N", "batch_D")] == pytest.approx(
        [getattr(other.law, n) for n in ("lr_0", "lr_N", "batch_D")], rel=1e-9
    )


def test_intervals_of_exponents_hold_the_truth_as_often_as_they_say():
    held = []
    for seed in range(40):
        found = fit_step_law(sweep(noise=3e-4, seed=seed), draws=200, seed=seed).intervals(0.8)
        held += [found[name][0] <= getattr(TRUTH, name) <= found[name][1] for name in ("lr_N", "lr_D", "batch_D")]
    assert 0.68 <= np.mean(held) <= 0.92


def test_a_sweep_whose_best_run_lies_at_its_edge_is_said_to_have_no_bowl():
    table = sweep()
    low = table["lr"] < TRUTH.learning_rate(table["N"], table["D"]) * 0.7
    made = fit_step_law({name: column[low] for name, column in table.items()}, draws=5, within=1.0)
    assert "have no bowl: their best run is taken" in made.doubts[0]


def test_sweeps_that_cannot_tell_N_from_D_are_refused():
    table = sweep()
    tied = {**table, "D": 20 * table["N"]}
    with pytest.raises(FitError, match="cannot tell how the best learning rate depends on each"):
        fit_step_law(tied)
    with pytest.raises(FitError, match="3 pairs of N and D cannot tell"):
        fit_step_law(sweep(pairs=3))


def test_holes_in_a_sweep_are_refused():
    table = sweep()
    with pytest.raises(FitError, match="the sweep has no batch"):
        fit_step_law({name: column for name, column in table.items() if name != "batch"})
    table["loss"][3] = np.nan
    with pytest.raises(FitError, match="leave out diverged runs"):
        fit_step_law(table)


def test_published_advice_costs_a_tenth_of_a_percent_on_the_authors_runs():
    found = regret(STEP_LAW, steplaw())
    assert len(found) == 15
    assert (100 * found.mean(), 100 * found.max()) == (pytest.approx(0.100, abs=0.002), pytest.approx(0.310, abs=0.002))


def test_cheap_sweeps_advise_dear_ones_to_a_tenth_of_a_percent():
    table = steplaw()
    cut = np.sort(np.unique(table["N"] * table["D"]))[7]
    cheap, dear = steplaw(lambda C: C <= cut), steplaw(lambda C: C > cut)
    assert 100 * regret(fit_step_law(cheap, draws=5).law, dear).mean() == pytest.approx(0.097, abs=0.003)


def test_a_fit_to_the_authors_runs_agrees_with_theirs_about_the_batch():
    made = fit_step_law(steplaw())
    low, high = made.intervals(0.8)["batch_D"]
    assert low < STEP_LAW.batch_D < high
    assert made.law.batch(5e10) == pytest.approx(float(STEP_LAW.batch(5e10)), rel=0.15)
