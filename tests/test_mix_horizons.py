"""Truths of horizons and of what is carried over them, of designs, and of the verbs."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from foretell.cli.mix import app
from foretell.errors import FitError, LadderError, MethodError, UnknownName
from foretell.mixing.design import design_ladder, mixture_grid, write_design
from foretell.mixing.horizon import Horizon, best_of, horizons_of
from foretell.mixing.transfer import carry, series_of
from foretell.mixture import Pools
from foretell.rung import read_ladder
from foretell.rung.shape import Shape
from foretell.table import save_study
from mixture_protocols import panels
from protocols import protocol

DOMAINS = ("hq", "web")
POOL = 1e8
TARGET = 3.2e9
SHAPE = Shape(layers=2, width=64, heads=2, kv_heads=2, mlp_width=168, vocabulary=264, sequence=256)


def made_horizon(share, matched, best, noise=0.0, seed=0):
    D = share * TARGET
    x = np.clip(best + np.linspace(-0.2, 0.2, 7), 0.01, 1.0)
    losses = 3.0 + (x - best) ** 2 + noise * np.random.default_rng(seed).normal(size=len(x))
    pools = np.array([POOL * (share if matched else 1.0), np.inf])
    return Horizon(DOMAINS, 1e8, D, pools, np.column_stack([x, 1 - x]), losses)


def epoch_law(share, matched, a=2.2, b=0.5, c=-0.2):
    """Give the best share under log e = a + b log(D/T) + c log(U/U_T)."""
    cut = share if matched else 1.0
    epochs = np.exp(a + b * np.log(share) + c * np.log(cut))
    return epochs * POOL * cut / (share * TARGET)


def test_a_parabola_is_found_exactly():
    best = best_of(made_horizon(0.25, False, 0.4))
    assert best.weights[0] == pytest.approx(0.4, abs=0.002)
    assert best.form == "parabola"


@pytest.mark.parametrize("form", ["log-linear", "gp"])
def test_other_forms_find_the_same_minimum(form):
    assert best_of(made_horizon(0.25, False, 0.4), form, draws=2).weights[0] == pytest.approx(0.4, abs=0.04)


def test_an_edge_is_confessed_and_too_few_mixtures_are_refused():
    horizon = made_horizon(0.25, False, 0.4)
    left = replace(horizon, weights=horizon.weights[:3], losses=horizon.losses[:3])
    assert "edge" in best_of(left).doubts[0]
    with pytest.raises(FitError, match="at least 3"):
        best_of(replace(horizon, weights=horizon.weights[:2], losses=horizon.losses[:2]))
    with pytest.raises(UnknownName, match="parabola"):
        best_of(horizon, "cubic")


def test_full_and_matched_series_are_told_apart_by_their_pools():
    horizons = [made_horizon(s, m, 0.4) for s in (1 / 16, 1 / 8) for m in (True, False)]
    series = series_of(horizons, Pools({"hq": POOL}), TARGET)
    assert [len(series[name]) for name in ("full", "matched")] == [2, 2]
    assert all(h.pools[0] == POOL for h in series["full"])


def test_the_joint_epoch_law_is_recovered_and_its_lines_meet_at_the_target():
    horizons = [made_horizon(s, m, epoch_law(s, m)) for s in (1 / 8, 1 / 4) for m in (True, False)]
    made = carry(horizons, Pools({"hq": POOL}), TARGET, draws=20)
    truth = epoch_law(1.0, False)
    assert made.way == "epochs"
    for way in ("epochs", "epochs-full", "epochs-matched"):
        assert made.others[way][0] == pytest.approx(truth, rel=0.02)
    low, high = made.interval()
    assert low[0] <= made.weights[0] <= high[0]
    assert made.weights.sum() == pytest.approx(1.0)


def test_the_target_where_it_was_trained_says_how_good_each_way_was_and_carries_nothing():
    truth = epoch_law(1.0, False)
    shorter = [made_horizon(s, m, epoch_law(s, m)) for s in (1 / 8, 1 / 4) for m in (True, False)]
    target = made_horizon(1.0, False, truth + 0.1)  # not where the law says: it must not be believed
    blind = carry(shorter, Pools({"hq": POOL}), TARGET, draws=5)
    made = carry([target, *shorter], Pools({"hq": POOL}), TARGET, draws=5)
    assert blind.measured is None
    assert made.weights.tolist() == blind.weights.tolist()
    assert made.draws.tolist() == blind.draws.tolist()
    assert made.measured.weights[0] == pytest.approx(truth + 0.1, abs=0.002)
    assert made.measured.regret(made.weights) == pytest.approx(0.1**2, rel=0.1)
    with pytest.raises(MethodError, match="no other horizon"):
        carry([target], Pools({"hq": POOL}), TARGET, draws=2)


def test_seeds_of_one_mixture_count_as_one_loss():
    horizon = made_horizon(0.25, False, 0.4)
    lucky = replace(
        horizon,
        weights=np.vstack([horizon.weights, horizon.weights[:1]]),
        losses=np.append(horizon.losses, horizon.losses.min() - 0.02),
    )
    assert lucky.lowest[0] == pytest.approx(0.4)
    assert lucky.regret(horizon.weights[0]) == pytest.approx(
        (horizon.losses[0] + horizon.losses.min() - 0.02) / 2 - horizon.losses.min()
    )


def test_with_one_matched_horizon_its_best_mixture_is_taken_as_it_is():
    made = carry([made_horizon(1 / 16, True, 0.3)], Pools({"hq": POOL}), TARGET, draws=5)
    assert made.way == "matched"
    assert made.weights[0] == pytest.approx(0.3, abs=0.01)


def test_a_single_full_horizon_is_naive_and_says_so():
    made = carry([made_horizon(1 / 16, False, 0.3)], Pools({"hq": POOL}), TARGET, draws=5)
    assert made.way == "naive"
    assert any("nothing tells" in doubt for doubt in made.doubts)


def test_what_the_horizons_cannot_carry_is_refused():
    horizons = [made_horizon(1 / 16, True, 0.3)]
    pools = Pools({"hq": POOL})
    with pytest.raises(MethodError, match="needs 2 horizons of the full series"):
        carry(horizons, pools, TARGET, way="epochs", draws=2)
    with pytest.raises(UnknownName, match="matched"):
        carry(horizons, pools, TARGET, way="matchd", draws=2)
    with pytest.raises(MethodError, match="no other horizon is over the pools"):
        carry(horizons, Pools({"hq": 40 * POOL}), TARGET, draws=2)
    with pytest.raises(MethodError, match="several sizes"):
        carry([*horizons, replace(horizons[0], N=2e8)], pools, TARGET, draws=2)


def test_three_sources_are_carried_too():
    rng = np.random.default_rng(0)
    domains = ("hq", "code", "web")
    horizons = []
    for share in (1 / 16, 1 / 8):
        weights = rng.dirichlet(np.ones(3), size=15)
        losses = 3 + (weights[:, 0] - 0.3) ** 2 + 2 * (weights[:, 1] - 0.2) ** 2
        horizons.append(
            Horizon(domains, 1e8, share * TARGET, np.array([POOL * share, np.inf, np.inf]), weights, losses)
        )
    made = carry(horizons, Pools({"hq": POOL}), TARGET, way="matched", draws=3)
    assert made.weights == pytest.approx([0.3, 0.2, 0.5], abs=0.06)


def test_seed_noise_is_read_off_repeated_mixtures():
    horizon = made_horizon(0.25, False, 0.4)
    rng = np.random.default_rng(0)
    twice = replace(
        horizon, weights=np.vstack([horizon.weights] * 20),
        losses=np.concatenate([horizon.losses + 0.01 * rng.normal(size=7) for _ in range(20)]),
    )  # fmt: skip
    assert twice.noise == pytest.approx(0.01, rel=0.2)


def test_the_default_carries_both_measured_tasks_within_four_thousandths_of_a_nat():
    for _, fit, test in panels("repetition"):
        pool = float(test.pools[0, list(test.domains).index("hq")])
        made = carry(horizons_of(fit, "hq/loss"), Pools({"hq": pool}), float(test.D[0]), draws=2)
        assert made.way == "epochs"
        assert horizons_of(test, "hq/loss")[0].regret(made.weights) < 0.004


def test_a_designed_ladder_matches_repetition_and_reads_back(tmp_path):
    design = design_ladder(SHAPE, 2_000_000, Pools({"hq": 62_500}), DOMAINS, learning_rate=5e-3, seeds=2)
    write_design(design, tmp_path / "ladder.toml")
    ladder = read_ladder(tmp_path / "ladder.toml")
    assert [rung.model_dump() for rung in ladder.rungs] == [rung.model_dump() for rung in design.rungs]
    target = {rung.weights["hq"]: rung for rung in ladder.rungs if rung.family == "target" and not rung.seed}
    for rung in ladder.rungs:
        passes = rung.weights["hq"] * rung.D[0] / rung.pools_at(rung.D[0])["hq"]
        long = target[rung.weights["hq"]]
        if rung.family == "matched":
            assert passes == pytest.approx(rung.weights["hq"] * long.D[0] / 62_500, rel=0.02)
        assert passes <= rung.most_epochs
    with pytest.raises(LadderError, match="--force"):
        write_design(design, tmp_path / "ladder.toml")


def test_grids_fill_two_and_three_sources():
    assert [m.shares["hq"] for m in mixture_grid(DOMAINS, 3)] == pytest.approx([0.05, 0.3859, 1.0], abs=1e-3)
    three = mixture_grid(("a", "b", "c"), 10)
    assert len(three) >= 10
    assert all(sum(m.shares.values()) == pytest.approx(1) for m in three)
    with pytest.raises(LadderError, match="two or three"):
        mixture_grid(("a", "b", "c", "d"))


def test_designs_without_a_finite_pool_or_of_stray_pools_are_refused():
    with pytest.raises(LadderError, match="nothing repeats"):
        design_ladder(SHAPE, 2_000_000, Pools({}), DOMAINS, learning_rate=5e-3)
    with pytest.raises(LadderError, match="no sources"):
        design_ladder(SHAPE, 2_000_000, Pools({"wiki": 1e5}), DOMAINS, learning_rate=5e-3)


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies")
    save_study(protocol("five-mix").groups[0].fit, folder / "five", source="test")
    save_study(protocol("repetition").groups[0].fit, folder / "rep", source="test")
    return folder


def run(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_best_prints_json_that_sums_to_one_and_keeps_caps(studies, tmp_path):
    said = json.loads(run(
        "best", studies / "five", "-D", "1T", "--pool", "academic=3B", "--most-epochs", 4, "--draws", 20, "--law",
        "saturating", "--figure", tmp_path / "best.png", "--json",
    ))  # fmt: skip
    assert sum(said["mixture"].values()) == pytest.approx(1)
    assert said["epochs"]["academic"] <= 4 + 1e-6
    assert set(said["region"]) == set(said["mixture"]) == set(said["next"])
    assert any("a longer horizon" in doubt for doubt in said["doubts"])
    assert (tmp_path / "best.png").stat().st_size > 1000


def test_best_and_fit_and_plan_and_rank_print_their_tables(studies, tmp_path):
    shown = run(
        "best", studies / "five", "--draws", 20, "--law", "power", "--objective", "Github", "--cap", "symbolic=0.2"
    )
    assert "next mixture to train" in shown
    assert "equal shares" in shown
    shown = run(
        "fit", studies / "rep", "-D", 3740270592, "--pool", "hq=116.9M", "--draws", 20, "--figure", tmp_path / "f.svg"
    )
    assert "epochs (chosen)" in shown
    shown = run(
        "plan",
        tmp_path / "ladder.toml",
        "-D",
        "2M",
        "--source",
        "hq",
        "--source",
        "web",
        "--pool",
        "hq=62500",
        "--points",
        5,
    )
    assert "45 runs" in shown
    assert "at most 32.0 epochs" in shown


def test_an_objective_that_nobody_measured_is_refused_by_name(studies):
    with pytest.raises(UnknownName, match="Github/loss"):
        run("best", studies / "five", "--objective", "Gthub")


def test_a_swarm_is_drawn_within_caps_and_reads_back(tmp_path):
    shown = run(
        "plan", tmp_path / "swarm.toml", "-D", "1M", "--source", "hq", "--source", "code", "--source", "web", "--swarm", 12,
        "--pool", "hq=62500", "--most-epochs", 4,
    )  # fmt: skip
    assert "swarm: 12 runs" in shown
    for rung in read_ladder(tmp_path / "swarm.toml").rungs:
        assert rung.weights.get("hq", 0.0) * rung.D[0] / 62500 <= 4.01
