"""Every doubt is raised by data that deserve it, and by no others."""

from dataclasses import replace

import numpy as np

from foretell.fitting import doubts_of, fit, reach_doubts
from foretell.laws import LAWS
from ladders import CHINCHILLA, TRUTH, in_N_and_D, points_of, rungs

N, D = rungs(np.geomspace(3e7, 3e9, 7), (0.5, 1.0, 2.0, 5.0, 20.0))
INPUTS = in_N_and_D(N, D)
KINDS = (
    "at a bound", "starts disagree", "ill-conditioned", "a single D/N ray", "too few sizes", "floor above the data",
    "residual trend", "outliers",
)  # fmt: skip


def kinds_of(made):
    return {next(kind for kind in KINDS if doubt.startswith(kind)): doubt for doubt in doubts_of(made)}


def made_of(law, coefficients, inputs, noise=0.002, **options):
    return fit(law, points_of(law, coefficients, inputs, noise=noise, seed=options.pop("seed", 0)), **options)


def test_clean_well_designed_ladders_raise_no_doubt():
    doubted = [bool(doubts_of(made_of(CHINCHILLA, TRUTH, INPUTS, noise=0.001, seed=s, starts=24))) for s in range(40)]
    assert sum(doubted) <= 2  # a row may be a stray by bad luck


def test_clean_shares_raise_no_doubt():
    link = {"a": -0.7, "b": 0.95, "k": 4.0, "L0": 1.2}
    made = made_of(LAWS["sigmoid"], link, {"L": np.linspace(0.4, 2.4, 40)}, noise=0.005, objective="gaussian")
    assert doubts_of(made) == []


def test_a_floor_of_zero_is_a_coefficient_at_its_bound():
    made = made_of(LAWS["power-N"], {"E": 0.0, "A": 50.0, "alpha": 0.2}, INPUTS, noise=0.0)
    assert kinds_of(made)["at a bound"].startswith("at a bound: E = ")


def test_a_ladder_that_fits_with_a_floor_and_without_has_starts_that_disagree():
    made = made_of(CHINCHILLA, TRUTH, in_N_and_D(*rungs()), noise=0.01, seed=36)
    floors = np.exp([made.u[2], *made.rivals[:, 2]])
    assert floors.min() < 1e-6 < 0.1 < floors.max()  # E is the third coefficient by name
    assert "other coefficients" in kinds_of(made)["starts disagree"]


def test_a_minimum_found_by_one_start_in_a_hundred_is_doubted():
    made = made_of(CHINCHILLA, TRUTH, INPUTS)
    assert "only 1.0%" in kinds_of(replace(made, share_of_starts=0.01))["starts disagree"]


def test_a_short_noisy_ladder_is_ill_conditioned():
    short = in_N_and_D(*rungs((1e9, 1.3e9, 1.6e9), (1.0, 1.5, 2.2)))
    doubt = kinds_of(made_of(CHINCHILLA, TRUTH, short, noise=0.01))["ill-conditioned"]
    assert "do not pin down" in doubt


def test_runs_of_one_ratio_are_a_single_ray():
    sizes = np.geomspace(3e7, 3e9, 12)
    doubt = kinds_of(made_of(CHINCHILLA, TRUTH, in_N_and_D(sizes, 20 * sizes)))["a single D/N ray"]
    assert "about 20 tokens a parameter" in doubt


def test_the_law_of_a_ray_is_not_blamed_for_its_ray():
    sizes = np.geomspace(3e7, 3e9, 12)
    made = made_of(LAWS["ray"], {"psi": 400.0, "alpha": 0.33, "E": 1.7}, in_N_and_D(sizes, 20 * sizes))
    assert "a single D/N ray" not in kinds_of(made)


def test_two_sizes_are_too_few():
    two = in_N_and_D(*rungs((1e8, 1e9), (0.5, 1.0, 2.0, 5.0, 20.0)))
    assert "only 2 values of N" in kinds_of(made_of(CHINCHILLA, TRUTH, two))["too few sizes"]


def test_a_loss_below_the_laws_floor_is_told():
    points = points_of(CHINCHILLA, TRUTH, INPUTS, noise=0.001)
    points.value[0] = 1.2
    found = kinds_of(fit(CHINCHILLA, points))
    assert "but 1.2 was measured" in found["floor above the data"]


def test_a_bend_that_the_law_lacks_is_a_residual_trend():
    bent = {"a": 1.0, "b": 60.0, "c0": 0.05, "c1": 0.3, "d1": 3e19, "f1": 0.1}
    points = points_of(LAWS["bnsl"], bent, INPUTS, noise=0.002)
    doubt = kinds_of(fit(LAWS["power-C"], points, objective="gaussian"))["residual trend"]
    assert "residuals bend with C" in doubt


def test_checkpoints_of_few_runs_do_not_make_a_trend_out_of_one_runs_luck():
    runs = [f"run {i}" for i in range(9)]
    inputs = {name: np.repeat(column[:9], 40) for name, column in INPUTS.items()}
    luck = np.repeat(0.01 * np.random.default_rng(1).normal(size=9), 40)
    points = points_of(LAWS["power-C"], {"E": 1.7, "A": 500.0, "alpha": 0.13}, inputs, run=list(np.repeat(runs, 40)))
    made = fit(LAWS["power-C"], replace(points, value=points.value * np.exp(luck)), objective="gaussian")
    assert "residual trend" not in kinds_of(made)


def test_a_stray_run_is_named():
    points = points_of(CHINCHILLA, TRUTH, INPUTS, noise=0.002)
    points.value[17] *= 1.2
    doubt = kinds_of(fit(CHINCHILLA, points))["outliers"]
    assert doubt.startswith("outliers: 1 of 35 rows")
    assert "run 017" in doubt


def test_every_doubt_is_one_sentence_of_its_own():
    points = points_of(CHINCHILLA, TRUTH, in_N_and_D(*rungs((1e9, 1.1e9), (1.0, 1.2, 1.4, 1.6))), noise=0.02)
    doubts = doubts_of(fit(CHINCHILLA, points))
    assert len(doubts) == len(set(doubts)) >= 3
    assert all("\n" not in doubt and not doubt.endswith(".") for doubt in doubts)


# -- about a target -------------------------------------------------------------------------------------------------

RANGES = {"N": (1e8, 1e9), "D": (2e9, 2e11), "M": (20.0, 200.0)}


def test_a_target_a_decade_beyond_on_a_known_ratio_is_not_doubted():
    assert reach_doubts(1.0, {"N": 3e9, "D": 6e11}, RANGES) == []


def test_a_target_far_beyond_is_a_heavy_extrapolation():
    assert "2.5 decades" in reach_doubts(2.5, {"N": 2e10, "D": 2e12}, RANGES)[0]


def test_a_target_inside_the_data_is_an_interpolation():
    assert reach_doubts(-0.5, {"N": 5e8, "D": 2e10}, RANGES) == [
        "the target lies inside the data: this is an interpolation"
    ]


def test_a_ratio_never_trained_is_told():
    assert "2K tokens a parameter" in reach_doubts(1.0, {"N": 1e9, "D": 2e12}, RANGES)[0]
    assert "1 tokens a parameter" in reach_doubts(1.0, {"N": 1e11, "D": 1e11}, RANGES)[0]
