"""A plan stays within its budget, says what it costs, and foresees the interval that its ladder gives."""

from dataclasses import replace

import numpy as np
import pytest

from foretell.errors import LadderError, UnitError, UnknownName
from foretell.fitting import fit
from foretell.ladder import (
    DEVICES,
    Lens,
    Recipe,
    Request,
    aim_at,
    device_hours,
    device_named,
    make_plan,
    parse_budget,
    prior_of,
    rank_next,
    shape_near,
    shipped_prior,
    write_ladder,
)  # fmt: skip
from foretell.ladder.expected import SHIPPED
from foretell.rung import Shape, read_ladder
from foretell.sources import read
from ladders import MULTIPLES, SIZES, in_N_and_D, points_of, rungs
from protocols import testbeds

TINY = Request(rungs=5, seeds=2, vocabulary=264, sequence=256, precision="fp32")
LENS = Lens(SHIPPED[0], 7e9, 4e12)


@pytest.fixture(scope="module")
def plan_of_7B():
    request = Request()
    aim = aim_at(7e9, 4e12, request)
    return make_plan(aim, parse_budget("1%", aim), request)


@pytest.fixture(scope="module")
def tiny_plan():
    aim = aim_at(3e6, 6e7, TINY)
    return make_plan(aim, parse_budget("10%", aim), TINY)


def published(**change):
    sizes = {"190M": (12, 768, 12), "370M": (16, 1024, 16), "760M": (16, 1536, 16), "1B": (16, 2048, 16)}
    return {
        name: Shape(layers=layers, width=width, heads=heads, kv_heads=heads, mlp_width=4 * width, vocabulary=100352,
                    sequence=4096, tied=False, **change)
        for name, (layers, width, heads) in sizes.items()
    }  # fmt: skip


# -- shapes and recipes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("N", np.geomspace(2e4, 1e12, 60))
def test_a_shape_has_the_parameters_asked_for(N):
    shape = shape_near(float(N), 1000, 256, tied=True)
    assert shape.N == pytest.approx(N, rel=0.04)
    assert shape.head_width >= 16
    assert 10 <= shape.width / shape.layers <= 160


def test_a_size_outside_the_family_is_refused():
    with pytest.raises(LadderError, match="outside the family"):
        shape_near(1e3, 264, 256, tied=True)


def test_the_olmo_recipe_gives_what_the_olmo_ladder_trained_with():
    rates = {"190M": 9.7e-4, "370M": 7.8e-4, "760M": 6.1e-4, "1B": 5.2e-4}  # arXiv 2412.04403
    for name, shape in published().items():
        setting = Recipe().advise(shape, MULTIPLES, 20.0 * shape.N)
        assert setting.learning_rate == pytest.approx(rates[name], rel=0.01)
    first = Recipe().advise(published()["190M"], MULTIPLES, 20.0 * 190_354_176)
    assert (first.batch, first.warmup) == (128, 363)


def test_the_step_law_recipe_is_the_step_law():
    shape = shape_near(1e9, 100_000, 2048, tied=True)
    D = 100.0 * shape.N
    setting = Recipe("step-law").advise(shape, (1.0, 5.0), 20.0 * shape.N)
    assert setting.learning_rate == pytest.approx(1.79 * shape.N**-0.713 * D**0.307, rel=5e-3)
    assert 2**-0.5 <= setting.batch * 2048 / (0.58 * D**0.571) <= 2**0.5
    assert Recipe("step-law", "24").advise(shape, (1.0, 5.0), 20.0 * shape.N).batch == 24


def test_an_unknown_recipe_or_batch_is_refused():
    with pytest.raises(UnknownName, match="olmo"):
        Recipe("olma")
    with pytest.raises(UnknownName, match="batch rule"):
        Recipe("olmo", "big")
    with pytest.raises(LadderError, match="trains nothing"):
        Recipe("olmo", "0")


def test_an_hour_of_a_device_is_its_peak_times_its_share():
    assert device_hours(989e12 * 0.4 * 7200, DEVICES["h100"]) == pytest.approx(2.0)
    assert device_hours(1e11 * 3600, device_named("CPU")) == pytest.approx(1.0)
    with pytest.raises(UnknownName, match="h100"):
        device_named("h1000")
    with pytest.raises(LadderError, match="mfu"):
        device_hours(1.0, DEVICES["h100"], 1.5)


# -- what is expected ------------------------------------------------------------------------------------------------


def test_the_shipped_priors_are_what_the_olmo_ladder_gives():
    points = read("olmo-ladder", testbeds() / "olmo-ladder").training().metric("c4/loss")
    for prior, objective in zip(SHIPPED, ("huber:1e-3", "gaussian"), strict=True):
        made = fit(prior.law, points, objective=objective)
        at = {"N": np.array([7e9]), "D": np.array([4e12])}
        assert float(made.predict(at)[0]) == pytest.approx(prior.value(7e9, 4e12), rel=1e-4)
        assert prior.noise == pytest.approx(made.spread, rel=0.03)


@pytest.mark.parametrize("prior", SHIPPED, ids=lambda prior: prior.law.name)
def test_the_expected_spread_is_that_of_refitted_ladders(prior):
    prior = replace(prior, form=0.0011)
    N, D = rungs()
    lens = Lens(prior, 7e9, 4e12)
    foreseen = lens.expected(lens.known + lens.told_by(N, D).sum(axis=0), len(N)).spread
    at = {"N": np.array([7e9]), "D": np.array([4e12])}
    found = [
        float(np.log(fit(
            prior.law, points_of(prior.law, prior.coefficients, in_N_and_D(N, D), noise=prior.noise, seed=seed), starts=8,
        ).predict(at)[0]))
        for seed in range(60)
    ]  # fmt: skip
    assert foreseen == pytest.approx(np.std(found), rel=0.25)


def test_more_runs_never_widen_what_noise_leaves():
    N, D = rungs()
    some = LENS.known + LENS.told_by(N, D).sum(axis=0)
    more = some + LENS.told_by(np.array([2e9]), np.array([4e10])).sum(axis=0)
    assert LENS.doubts(more)[0] < LENS.doubts(some)[0]


def test_a_second_seed_tells_less_than_a_second_run():
    once, twice = (LENS.told_by(np.array([2e8]), np.array([4e9]), seeds)[0, 0, 0] for seeds in (1, 2))
    assert once < twice < 1.5 * once


def test_a_study_tells_what_its_rows_tell():
    N, D = rungs()
    made = fit(SHIPPED[0].law, points_of(SHIPPED[0].law, SHIPPED[0].coefficients, in_N_and_D(N, D), noise=0.0012))
    prior = prior_of(made, "study")
    assert prior.rows == 16
    assert prior.noise == pytest.approx(made.spread)
    information = Lens(prior, 7e9, 4e12).known[:, :6]
    assert np.trace(information) == pytest.approx(np.trace(made.jacobian.T @ made.jacobian) / made.spread**2, rel=1e-3)


def test_too_few_rows_for_any_law_are_refused():
    assert shipped_prior(7).law.name == "chinchilla"
    with pytest.raises(LadderError, match="raise --rungs or --horizons"):
        shipped_prior(6)


# -- plans -----------------------------------------------------------------------------------------------------------


def test_a_plan_uses_its_budget_and_no_more(plan_of_7B, tiny_plan):
    for plan in (plan_of_7B, tiny_plan):
        assert 0.8 * plan.budget <= plan.flop <= plan.budget
        assert plan.flop == sum(rung.training_flop for rung in plan.rungs)


def test_every_rung_spans_two_rays_apart(plan_of_7B, tiny_plan):
    for rung in (*plan_of_7B.rungs, *tiny_plan.rungs):
        assert rung.D[-1] / rung.D[0] >= 3.95
        assert rung.warmup < rung.trunk_steps(rung.D[0])


def test_the_plan_is_narrower_than_the_published_ladder_at_equal_cost():
    request = Request(schedule="cosine", seeds=1)
    aim = aim_at(7e9, 4e12, request)
    old = [request.rung(aim_at(N, 1e12, request, tied=False).shape, MULTIPLES) for N in SIZES]
    plan = make_plan(aim, sum(rung.training_flop for rung in old), request)
    N, D = (np.array(x, dtype=float) for x in zip(*((r.shape.N, d) for r in old for d in r.D), strict=True))
    theirs = LENS.expected(LENS.known + LENS.told_by(N, D).sum(axis=0), len(N))
    assert plan.expected.half_width < 0.8 * theirs.half_width


def test_a_larger_budget_narrows_the_interval(tiny_plan):
    more = make_plan(tiny_plan.aim, 3 * tiny_plan.budget, TINY)
    assert more.expected.half_width < tiny_plan.expected.half_width


def test_tiny_rungs_are_sensible(tiny_plan):
    sizes = [rung.shape.N for rung in tiny_plan.rungs]
    assert 3e4 < min(sizes) < max(sizes) < 1e6
    assert all(rung.batch >= 8 and rung.steps(rung.D[0]) >= 100 for rung in tiny_plan.rungs)
    seeds = [rung.seed for rung in tiny_plan.rungs]
    assert seeds.count(1) == 2


def test_a_plan_is_the_same_each_time(tiny_plan):
    assert make_plan(tiny_plan.aim, tiny_plan.budget, TINY).rungs == tiny_plan.rungs


def test_the_next_runs_help_and_are_affordable(tiny_plan):
    worth = [run.worth for run in tiny_plan.next_runs]
    assert worth == sorted(worth, reverse=True)
    assert worth[0] == 1.0
    for run in tiny_plan.next_runs:
        assert run.flop <= tiny_plan.budget
        assert run.expected.spread < tiny_plan.expected.spread


def test_a_run_that_is_there_is_not_proposed_again(tiny_plan):
    lens = Lens(tiny_plan.prior, tiny_plan.aim.N, tiny_plan.aim.D)
    first = rank_next(lens, lens.known, 0, tiny_plan.aim, TINY, tiny_plan.budget)[0].rung
    there = [(float(first.shape.N), float(first.D[0]))]
    after = rank_next(lens, lens.known, 0, tiny_plan.aim, TINY, tiny_plan.budget, there)
    assert all((run.rung.shape.N, run.rung.D) != (first.shape.N, first.D) for run in after)


def test_a_shared_trunk_costs_less_than_separate_runs(tiny_plan):
    rung = tiny_plan.rungs[0]
    assert rung.training_flop < rung.model_copy(update={"schedule": "cosine"}).training_flop


# -- bad wishes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rungs": 1}, "tells nothing of size"),
        ({"horizons": 1}, "2605.08541"),
        ({"seeds": 0}, "--seeds 0"),
        ({"multiples": (0.0, 1.0)}, "positive"),
        ({"level": 1.0}, "between 0 and 1"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(change, said):
    with pytest.raises(LadderError, match=said):
        Request(**change)


@pytest.mark.parametrize("multiples", [(1.0,), (1.0, 2.0), (1.0, 2.0, 3.0)])
def test_a_single_ray_is_refused_with_the_reason(multiples):
    request = replace(TINY, multiples=multiples)
    aim = aim_at(3e6, 6e7, request)
    with pytest.raises(LadderError, match="single D/N ray"):
        make_plan(aim, 0.1 * aim.flop, request)


def test_a_budget_too_small_says_the_least_that_works():
    aim = aim_at(3e6, 6e7, TINY)
    with pytest.raises(LadderError, match="the cheapest ladder of 5 sizes costs") as told:
        make_plan(aim, 1e10, TINY)
    least = float(str(told.value).split("costs ")[1].split(" ")[0])
    assert make_plan(aim, 1.01 * least, TINY).flop <= 1.01 * least


@pytest.mark.parametrize("text", ["0%", "-1%", "abc", "x%", "0", ""])
def test_a_budget_that_is_none_is_refused(text):
    with pytest.raises(UnitError, match="budget"):
        parse_budget(text, aim_at(3e6, 6e7, TINY))


@pytest.mark.parametrize("text", ["100%", "250%", "1e16"])
def test_a_budget_that_pays_for_the_target_says_so(text):
    with pytest.raises(LadderError, match="pays for the target itself"):
        parse_budget(text, aim_at(3e6, 6e7, TINY))


def test_a_target_without_smaller_rungs_is_refused():
    aim = aim_at(3e4, 1e6, TINY)
    with pytest.raises(LadderError, match="leaves no smaller rung"):
        make_plan(aim, 0.5 * aim.flop, TINY)


# -- the file --------------------------------------------------------------------------------------------------------


def test_a_written_ladder_reads_back_the_same(tmp_path, tiny_plan, plan_of_7B):
    weighted = replace(TINY, weights={"code": 0.25, "a name": 0.75})
    mixed = make_plan(tiny_plan.aim, tiny_plan.budget, weighted)
    for ladder in (plan_of_7B.ladder(), tiny_plan.ladder(with_target=True), mixed.ladder()):
        write_ladder(ladder, tmp_path / "ladder.toml", notes=["a plan"], force=True)
        assert read_ladder(tmp_path / "ladder.toml") == ladder


def test_a_ladder_whose_rungs_share_nothing_reads_back_the_same(tmp_path, tiny_plan, plan_of_7B):
    ladder = tiny_plan.ladder().model_copy(update={"rungs": (tiny_plan.rungs[0], plan_of_7B.rungs[0])})
    write_ladder(ladder, tmp_path / "ladder.toml")
    assert read_ladder(tmp_path / "ladder.toml") == ladder


def test_the_target_waits_for_every_rung(tiny_plan):
    target = tiny_plan.ladder(with_target=True).rung_named("target")
    assert target.held_out
    assert set(target.after) == {rung.name for rung in tiny_plan.rungs}
    assert target.D[0] == pytest.approx(6e7, rel=0.01)


def test_a_file_that_exists_is_kept(tmp_path, tiny_plan):
    file = tmp_path / "ladder.toml"
    file.write_text("mine")
    with pytest.raises(LadderError, match="--force"):
        write_ladder(tiny_plan.ladder(), file)
    assert file.read_text() == "mine"
    with pytest.raises(LadderError, match="cannot be written"):
        write_ladder(tiny_plan.ladder(), tmp_path / "absent" / "ladder.toml")
