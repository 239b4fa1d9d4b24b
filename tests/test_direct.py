"""The direct law: from N and D, or C, straight to a share."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from foretell.errors import FitError, MethodError, UnknownName
from foretell.forecast import Settings, Target, held_out_targets
from foretell.methods.direct import RECIPES, Direct
from foretell.methods.pass_at_k import Attempts, fit_pass_at_k
from foretell.sources import read
from foretell.table import Observations, Run, metric_named
from protocols import testbeds

POINT = Settings(draws=0)
TARGET = Target(N=7e9, D=4e12, name="7B")
CHANCE, ITEMS = 0.25, 4000


@pytest.fixture(scope="module")
def ladder() -> Observations:
    return read("olmo-ladder", testbeds() / "olmo-ladder")


def in_N_and_D(N, D):
    return 500 / N**0.32 + 800 / D**0.3


def in_C(N, D):
    return 2500 / (6 * N * D) ** 0.17


def study(logs=in_N_and_D, *, multiples=(20, 60, 200), unit="accuracy", chance=CHANCE, ceiling=1.0, items=None):
    """Make runs whose −log Q' is what `logs` says."""
    runs, rows = [], []
    for N in (1.9e8, 3.7e8, 7.6e8, 1.3e9):
        for multiple in multiples:
            D = multiple * N
            share = chance + (1 - chance) * ceiling * np.exp(-logs(N, D))
            value = 1 - share if unit == "error" else share
            runs.append(Run(f"{N:g} {multiple}", D, N=N))
            rows.append({"run": runs[-1].name, "D": D, "metric": "task", "value": value})
    return Observations.of(runs, pl.DataFrame(rows), [metric_named("task", unit=unit, chance=chance, items=items)])


def share_at(logs, target=TARGET, ceiling=1.0):
    return CHANCE + (1 - CHANCE) * ceiling * np.exp(-logs(target.N, target.D))


@pytest.mark.parametrize("recipe", RECIPES)
def test_equation_4_is_recovered_by_every_recipe(recipe):
    made = Direct(recipe=recipe).forecast(study(items=ITEMS), [TARGET], ["task"], POINT)[0]
    assert made.value == pytest.approx(share_at(in_N_and_D), abs=2e-4)


@pytest.mark.parametrize("recipe", RECIPES)
def test_equation_2_is_recovered_on_a_single_ray(recipe):
    target = Target(N=7e9, D=20 * 7e9)
    made = Direct(recipe=recipe).forecast(study(in_C, multiples=(20,), items=ITEMS), [target], ["task"], POINT)[0]
    assert made.value == pytest.approx(share_at(in_C, target), abs=1e-5)
    assert any("a single D/N ray" in doubt for doubt in made.doubts)


def test_equation_6_recovers_the_ceiling():
    made = Direct(recipe="log", ceiling=True).forecast(study(ceiling=0.9), [TARGET], ["task"], POINT)[0]
    assert made.value == pytest.approx(share_at(in_N_and_D, ceiling=0.9), abs=2e-3)


def test_an_error_is_forecast_as_one_minus_the_accuracy():
    settings = Settings(draws=40)
    error, accuracy = (
        Direct(recipe="share").forecast(study(unit=u), [TARGET], ["task"], settings)[0] for u in ("error", "accuracy")
    )
    assert error.value == pytest.approx(1 - accuracy.value, abs=1e-6)
    assert error.interval() == pytest.approx(tuple(1 - end for end in reversed(accuracy.interval())), abs=1e-5)


def test_draws_contain_the_parts_asked_for():
    rng = np.random.default_rng(0)
    base = study(items=ITEMS)
    noisy = base.values.with_columns(pl.col("value") + 0.01 * rng.normal(size=len(base.values)))
    for recipe in RECIPES:
        widths = []
        for parts in ("coefficients", "noise", "coefficients,noise"):
            settings = Settings(draws=300, parts=frozenset(parts.split(",")))
            made = Direct(recipe=recipe).forecast(replace(base, values=noisy), [TARGET], ["task"], settings)[0]
            widths.append(float(np.std(made.draws)))
        assert 0 < min(widths[:2])
        assert widths[2] > max(widths[:2]) * 0.95


def test_counts_are_used_where_known_and_their_absence_is_doubted():
    known = Direct().forecast(study(items=ITEMS), [TARGET], ["task"], POINT)[0]
    unknown = Direct().forecast(study(), [TARGET], ["task"], POINT)[0]
    assert any("least squares instead of counts" in doubt for doubt in unknown.doubts)
    assert not any("counts" in doubt for doubt in known.doubts)
    assert unknown.value == Direct(recipe="share").forecast(study(), [TARGET], ["task"], POINT)[0].value


def test_rows_near_chance_are_counted_when_left_out(ladder):
    made = Direct(recipe="published").forecast(ladder, held_out_targets(ladder), ["mmlu/acc", "piqa/acc"], POINT)
    assert any("6 of 16 rows of mmlu/acc are left out" in doubt for doubt in made[0].doubts)
    assert not any("left out" in doubt for doubt in made[2].doubts)


def test_a_task_without_signal_is_forecast_flat():
    made = Direct().forecast(study(lambda N, D: 4 + 0.3 * np.sin(N * D)), [TARGET], ["task"], POINT)[0]
    assert any("no signal yet" in doubt for doubt in made.doubts)
    assert made.value < 0.28


def test_compute_over_several_rays_is_doubted():
    made = Direct(form="C").forecast(study(), [TARGET], ["task"], POINT)[0]
    assert any("Eq. 2 holds for one number of tokens a parameter" in doubt for doubt in made.doubts)


def test_what_cannot_be_forecast_is_refused_by_name(ladder):
    with pytest.raises(MethodError, match="c4/loss is nats/token"):
        Direct().forecast(ladder, [TARGET], ["c4/loss"], POINT)
    with pytest.raises(UnknownName, match="binomial"):
        Direct(recipe="binomal")
    with pytest.raises(UnknownName, match="N-D"):
        Direct(form="ND")
    low = study(lambda N, D: 3.2 + in_N_and_D(N, D))
    with pytest.raises(FitError, match="no row of task lies above chance"):
        Direct(recipe="published").forecast(low, [TARGET], ["task"], POINT)


def test_row_order_does_not_matter(ladder):
    targets = held_out_targets(ladder)
    shuffled = replace(
        ladder,
        values=ladder.values.sample(fraction=1, shuffle=True, seed=1),
        runs=ladder.runs.sample(fraction=1, shuffle=True, seed=2),
    )
    for recipe in RECIPES:
        before, after = (Direct(recipe=recipe).forecast(s, targets, ["piqa/acc"], POINT) for s in (ladder, shuffled))
        assert [f.value for f in after] == pytest.approx([f.value for f in before], abs=1e-7)


def test_it_sees_no_run_that_is_held_out(ladder):
    targets = held_out_targets(ladder)
    before, after = (Direct().forecast(s, targets, ["piqa/acc"], POINT) for s in (ladder, ladder.training()))
    assert [f.value for f in after] == [f.value for f in before]


def errors(method, ladder):
    tasks = [name for name in ladder.metrics if name.endswith("/acc")]
    held_out = ladder.held_out()
    found = {"7B-4T": [], "13B-5T": []}
    for made in method.forecast(ladder, held_out_targets(ladder), tasks, POINT):
        actual = held_out.metric(made.metric.name)
        found[made.target.name].append(100 * abs(made.value - float(actual.value[actual.run == made.target.name][0])))
    return [float(np.mean(of_target)) for of_target in found.values()]


# methods.md §4.5. With chance taken off, tasks of 9 rows have several minima; ours is the lowest, and the reference's
# (3.65, 3.79) lies between it and the next.
@pytest.mark.parametrize(
    ("options", "reference", "within"),
    [
        ({"chance": False}, (3.48, 3.38), 0.005),
        ({"chance": True}, (3.65, 3.79), 0.05),
        ({"chance": True, "ceiling": True}, (3.45, 3.48), 0.005),
        ({"chance": False, "ceiling": True}, (3.49, 3.36), 0.005),
    ],
)
def test_the_papers_recipe_meets_its_figures_on_the_olmo_ladder(ladder, options, reference, within):
    assert errors(Direct(form="N-D", recipe="published", **options), ladder) == pytest.approx(reference, abs=within)


def test_errors_of_the_default_on_the_olmo_ladder_are_those_recorded(ladder):
    assert errors(Direct(), ladder) == pytest.approx([2.85, 2.88], abs=0.01)


# -- pass@k ---------------------------------------------------------------------------------------------------------


def test_pass_at_k_has_no_bias():
    rng = np.random.default_rng(0)
    chance = rng.beta(0.5, 2, size=20_000)
    made = Attempts("run", 1e20, np.full(20_000, 10), rng.binomial(10, chance))
    for k in (1, 3, 10):
        assert made.pass_at(k) == pytest.approx(np.mean(1 - (1 - chance) ** k), abs=0.01)


def test_equation_5_is_recovered_from_counts():
    """One question tried 10^7 times has a pass@1 of any value; k follows from it, so only C varies freely."""
    tried = 10**7
    runs = []
    for C in np.geomspace(1e18, 1e22, 9):
        right = round(tried * np.exp(-40 * C**-0.08))
        runs.append(Attempts(f"{C:.2g}", float(C), np.array([tried]), np.array([right])))
    law = fit_pass_at_k(runs, [1, 2])
    for run in runs:
        for k in (1, 2):
            assert law.share(run.C, k) == pytest.approx(run.pass_at(k), abs=0.02)
    assert law.alpha == pytest.approx(-0.08, abs=1e-3)
    assert law.log_A == pytest.approx(np.log(40), abs=0.05)


def test_shares_of_nothing_and_of_everything_are_named():
    runs = [
        Attempts(f"r{i}", 10.0 ** (18 + i), np.full(50, 8), np.minimum(8, np.arange(50) // 10 * i)) for i in range(5)
    ]
    law = fit_pass_at_k(list(reversed(runs)), [1, 2, 4])
    assert law.left_out == ("r0, k = 1: 0%", "r0, k = 2: 0%", "r0, k = 4: 0%")
    assert law == fit_pass_at_k(runs, [4, 2, 1])


def test_where_all_shares_are_0_or_1_the_error_says_so():
    runs = [Attempts(f"r{i}", 10.0 ** (18 + i), np.full(5, 4), np.full(5, 4)) for i in range(4)]
    with pytest.raises(FitError, match=r"left out, as 0 and 1 have no such logarithm: r0, k = 1: 100%"):
        fit_pass_at_k(runs, [1, 2])


def test_impossible_counts_are_refused():
    with pytest.raises(FitError, match="more than all"):
        Attempts("run", 1e20, np.array([4]), np.array([5]))
    run = Attempts("run", 1e20, np.array([4]), np.array([2]))
    with pytest.raises(FitError, match="pass@5 of run 'run'"):
        run.pass_at(5)
    with pytest.raises(FitError, match="2 shares"):
        fit_pass_at_k([run], [1, 2])
