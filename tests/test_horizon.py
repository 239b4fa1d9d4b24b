"""The horizon method recovers made-up truths, shrinks what few outcomes cannot tell, and says what it doubts."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from foretell.errors import FitError, MethodError, UnknownName
from foretell.forecast import Settings, Target, held_out_targets
from foretell.judge.horizons import split_horizons
from foretell.methods.horizon import Horizon
from foretell.methods.horizonlink import RISING, SUNKEN, fit_link, link_points, share_at
from foretell.methods.itemfit import fit_items
from foretell.table.itemgrid import ItemGrid
from foretell.table.items import Items
from ladders import CHINCHILLA, MULTIPLES, SIZES, TRUTH, ladder, rungs

POINT = Settings(draws=0)
A, B = 9.0, 4.0
BIG = (7e9, 1e12)


def task(loss):
    return 0.25 + 0.75 / (1.0 + np.exp(B * loss - A))


def falling(loss):
    return 0.25 + 0.75 / (1.0 + np.exp(A - B * loss))


def chance(loss):
    return np.full(len(loss), 0.25)


def study(of_loss=task, *, noise=0.001, seed=0, items=2000):
    return ladder(noise, seed, held_out=[BIG], tasks={"task/acc": of_loss}, items=items)


def forecast(observations, method=None, settings=POINT):
    aims = held_out_targets(observations)
    return (method or Horizon()).forecast(observations, aims, ["task/acc"], settings)[0]


def made_up(items=300, checkpoints=40, floor=0.25, seed=0, spread=(1.8, 0.5), low=2.6, high=4.0):
    """Give a grid of outcomes whose truth is known: a_i at the mean loss, b_i, and the losses."""
    rng = np.random.default_rng(seed)
    loss = np.sort(rng.uniform(low, high, checkpoints))[::-1]
    a, b = rng.normal(-0.5, spread[0], items), np.exp(rng.normal(np.log(2.5), spread[1], items))
    p = floor + (1 - floor) / (1 + np.exp(-(a[:, None] - b[:, None] * (loss - loss.mean())[None, :])))
    k = (rng.random(p.shape) < p).astype(np.uint8)
    text = np.array([f"q{i:04d}" for i in range(items)])
    runs = np.array([f"r{j // 5:02d}" for j in range(checkpoints)])
    return ItemGrid("task/acc", text, runs, np.arange(1.0, checkpoints + 1), k, np.ones_like(k)), loss, a, b


# -- the task's link ------------------------------------------------------------------------------------------------


def test_the_link_recovers_its_coefficients_from_exact_shares():
    observations = study(items=10**9, noise=0.0)
    points = link_points(observations.training(), "c4/loss", observations.metrics["task/acc"])
    made = fit_link(points, POINT, "chance")
    assert made.law is RISING
    assert made.coefficients == pytest.approx({"a": A, "b": B}, rel=1e-3)
    assert fit_link(points, POINT).coefficients == pytest.approx({"a": A, "b": B, "f": 1.0}, rel=5e-3)


def test_the_link_is_the_maximum_of_the_binomial_likelihood():
    from scipy.optimize import minimize

    observations = study(items=300)
    points = link_points(observations.training(), "c4/loss", observations.metrics["task/acc"])
    k, n, L = points.value * points.items, points.items, points.input("L")

    def objective(u):
        p = 0.25 + 0.75 / (1 + np.exp(u[1] * L - u[0]))
        return -np.sum(k * np.log(p) + (n - k) * np.log(1 - p))

    best = minimize(objective, [A, B], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000})
    assert fit_link(points, POINT, "chance").theta == pytest.approx(best.x, rel=1e-5)


def test_the_long_horizon_is_read_off_at_the_extrapolated_loss():
    observations = study(items=10**6, noise=0.0)
    loss = CHINCHILLA.value(TRUTH, {"N": np.array([BIG[0]]), "D": np.array([BIG[1]])})
    assert forecast(observations).value == pytest.approx(task(loss)[0], abs=0.01)


def test_row_order_does_not_matter():
    observations = study()
    shuffled = replace(
        observations,
        values=observations.values.sample(fraction=1.0, shuffle=True, seed=3),
        runs=observations.runs.sample(fraction=1.0, shuffle=True, seed=4),
    )
    settings = Settings(draws=50)
    first, second = forecast(observations, settings=settings), forecast(shuffled, settings=settings)
    assert second.value == pytest.approx(first.value, rel=1e-9)


def test_an_error_is_forecast_as_one_minus_the_accuracy():
    observations = study()
    metric = observations.metrics["task/acc"].model_copy(update={"unit": "error", "better": "lower"})
    is_task = pl.col("metric") == "task/acc"
    errors = replace(
        observations,
        metrics={**observations.metrics, "task/acc": metric},
        values=observations.values.with_columns(
            value=pl.when(is_task).then(1 - pl.col("value")).otherwise(pl.col("value"))
        ),
    )
    settings = Settings(draws=40)
    right, wrong = forecast(observations, settings=settings), forecast(errors, settings=settings)
    assert wrong.value == pytest.approx(1 - right.value, abs=1e-9)
    np.testing.assert_allclose(np.sort(wrong.draws), np.sort(1 - right.draws), atol=0.05)


def test_a_floor_below_chance_is_fitted_and_said():
    observations = study(lambda loss: 0.15 + 0.85 / (1 + np.exp(8.0 * (loss - 2.2))), items=10**6)
    made = forecast(observations)
    assert any(d.startswith("below chance at high losses") for d in made.doubts)
    points = link_points(observations.training(), "c4/loss", observations.metrics["task/acc"])
    assert fit_link(points, POINT).law is SUNKEN
    assert fit_link(points, POINT).coefficients["f"] == pytest.approx(0.6, abs=0.05)
    with pytest.raises(UnknownName, match="fitted"):
        fit_link(points, POINT, "chanse")


@pytest.mark.parametrize(
    ("of_loss", "doubt"),
    [
        (falling, "gets worse as the loss falls"),
        (chance, "no signal yet"),
        (lambda loss: 0.2 + 0 * loss, "at or below chance"),
    ],
)
def test_a_task_that_does_not_rise_is_named_and_stays_where_it_is(of_loss, doubt):
    made = forecast(study(of_loss, items=20000), settings=Settings(draws=30))
    assert any(d.startswith(doubt) for d in made.doubts), made.doubts
    loss = ladder(0.0).metric("c4/loss").value
    assert made.value == pytest.approx(np.mean(of_loss(loss)), abs=0.02)


def test_unknown_items_unknown_chance_and_contradictory_counts_are_doubted():
    observations = study()
    metric = observations.metrics["task/acc"]

    def with_metric(**change):
        changed = metric.model_copy(update=change)
        return replace(observations, metrics={**observations.metrics, "task/acc": changed})

    def doubts(changed):
        return " ".join(forecast(changed).doubts)

    assert "number of items is not known" in doubts(with_metric(items=None))
    assert "contradictory counts" in doubts(with_metric(items=1234))
    assert "contradictory counts" not in doubts(observations)
    assert "chance is not known" in doubts(with_metric(chance=None))


def test_scatter_beyond_counts_is_called_over_dispersed():
    rng = np.random.default_rng(0)
    noisy = study(lambda loss: np.clip(task(loss) + 0.03 * rng.normal(size=len(loss)), 0, 1), items=20000)
    assert any(d.startswith("over-dispersed") for d in forecast(noisy).doubts)
    assert not any(d.startswith("over-dispersed") for d in forecast(study(items=500)).doubts)


def test_a_loss_is_forecast_by_its_law_and_a_value_measured_apart_is_refused():
    observations = study()
    (made,) = Horizon().forecast(observations, [Target(*BIG)], ["c4/loss"], POINT)
    loss = CHINCHILLA.value(TRUTH, {"N": np.array([BIG[0]]), "D": np.array([BIG[1]])})[0]
    assert made.value == pytest.approx(loss, rel=0.01)
    is_task = pl.col("metric") == "task/acc"
    apart = replace(
        observations, values=observations.values.with_columns(D=pl.when(is_task).then(pl.col("D") + 1).otherwise("D"))
    )
    with pytest.raises(MethodError, match="never measured on the same checkpoint"):
        forecast(apart)


# -- items ----------------------------------------------------------------------------------------------------------


def test_the_prior_of_the_items_and_their_curves_are_recovered():
    grid, loss, a, b = made_up(1500, 80)
    made = fit_items(grid, loss, 0.25)
    assert made.mean == pytest.approx([-0.5, np.log(2.5)], abs=0.15)
    assert np.sqrt(np.diag(made.spread)) == pytest.approx([1.8, 0.5], abs=0.12)
    for i, true in enumerate((a, np.log(b))):
        inside = np.abs(made.estimate[:, i] - true) < 1.2816 * np.sqrt(made.covariance[:, i, i])
        assert 0.75 < inside.mean() < 0.85
    far = np.array([2.0])
    true_accuracy = np.mean(0.25 + 0.75 / (1 + np.exp(-(a - b * (far[0] - loss.mean())))))
    assert made.accuracy(far)[0] == pytest.approx(true_accuracy, abs=0.02)
    threshold = made.centre + a / b
    inner = np.abs(threshold - 3.3) < 0.5
    assert np.corrcoef(made.threshold[inner], threshold[inner])[0, 1] > 0.8


@pytest.mark.parametrize("floor", [0.0, 0.25])
def test_shrunken_items_forecast_better_than_each_item_alone(floor):
    grid, loss, a, b = made_up(400, 30, floor)
    far = np.array([2.3])
    truth = floor + (1 - floor) / (1 + np.exp(-(a - b * (far[0] - loss.mean()))))
    shrunk = fit_items(grid, loss, floor).probability(far)[:, 0]
    alone = fit_items(grid, loss, floor, prior=(np.array([0.0, np.log(2.0)]), np.diag([1e4, 1e4]))).mode
    eta = np.clip(alone[:, 0] - np.exp(np.clip(alone[:, 1], -30, 30)) * (far[0] - loss.mean()), -300, 300)
    by_itself = floor + (1 - floor) / (1 + np.exp(-eta))
    assert np.mean((shrunk - truth) ** 2) < 0.6 * np.mean((by_itself - truth) ** 2)
    assert abs(shrunk.mean() - truth.mean()) < abs(by_itself.mean() - truth.mean()) + 0.01


def test_modes_are_those_that_scipy_finds():
    from scipy.optimize import minimize

    grid, loss, _, _ = made_up(12, 40)
    made = fit_items(grid, loss, 0.25)
    x, precision = loss - made.centre, np.linalg.inv(made.spread)
    for i in range(12):
        k = grid.successes[i]

        def objective(u, k=k):
            p = 0.25 + 0.75 / (1 + np.exp(-(u[0] - np.exp(u[1]) * x)))
            away = u - made.mean
            return -np.sum(k * np.log(p) + (1 - k) * np.log(1 - p)) + 0.5 * away @ precision @ away

        best = minimize(objective, made.mean, method="L-BFGS-B", bounds=[(-20, 20), (-4, 4)], tol=1e-12)
        np.testing.assert_allclose(made.mode[i], best.x, atol=1e-3)


def test_five_quadrature_nodes_an_axis_are_enough(monkeypatch):
    from foretell.methods import itemfit

    grid, loss, _, _ = made_up(200, 20)
    five = fit_items(grid, loss, 0.25).accuracy(np.array([2.3, 2.6, 3.0]))
    monkeypatch.setattr(itemfit, "NODES", 11)
    np.testing.assert_allclose(five, fit_items(grid, loss, 0.25).accuracy(np.array([2.3, 2.6, 3.0])), atol=5e-3)


def test_the_order_of_items_and_checkpoints_does_not_matter():
    grid, loss, _, _ = made_up(60, 20)
    rows, columns = np.random.default_rng(1).permutation(60), np.random.default_rng(2).permutation(20)
    mixed = ItemGrid(
        grid.metric, grid.item[rows], grid.run[columns], grid.D[columns],
        np.ascontiguousarray(grid.successes[rows][:, columns]), np.ascontiguousarray(grid.trials[rows][:, columns]),
    )  # fmt: skip
    first, second = fit_items(grid, loss, 0.25), fit_items(mixed, loss[columns], 0.25)
    np.testing.assert_allclose(second.estimate, first.estimate[rows], rtol=1e-5, atol=1e-5)


def test_a_hole_is_not_a_failure():
    grid, loss, _, _ = made_up(50, 30)
    trials = grid.trials.copy()
    trials[:, ::3] = 0
    holed = replace(grid, trials=trials, successes=grid.successes * trials)
    kept = np.arange(30) % 3 > 0
    centre = loss.mean()
    without = fit_items(grid.at(kept), loss[kept] - loss[kept].mean() + centre, 0.25)
    with_holes = fit_items(holed, loss, 0.25)
    assert "outcomes of items are missing" in " ".join(with_holes.doubts())
    shifted = with_holes.probability(np.array([2.5])).mean()
    assert shifted == pytest.approx(without.probability(np.array([2.5 - loss[kept].mean() + centre])).mean(), abs=0.01)


def test_items_that_never_change_lie_where_the_others_say_and_are_counted():
    grid, loss, _, _ = made_up(200, 15, spread=(4.0, 0.3))
    made = fit_items(grid, loss, 0.25)
    assert made.unchanging.any()
    assert any("never change" in doubt for doubt in made.doubts())
    assert np.isfinite(made.estimate).all()
    log_slopes = made.estimate[made.unchanging, 1]
    assert np.all(np.abs(log_slopes - made.mean[1]) < 2 * np.sqrt(made.spread[1, 1]))


def test_items_below_chance_and_items_without_outcome_are_named():
    grid, loss, _, _ = made_up(60, 60)
    grid.successes[0] = 0
    assert any("succeed less often than chance" in doubt for doubt in fit_items(grid, loss, 0.25).doubts())
    grid.trials[1] = 0
    with pytest.raises(FitError, match=r"1 items .*'q0001'"):
        fit_items(grid, loss, 0.25)
    with pytest.raises(FitError, match="cannot carry a sigmoid"):
        fit_items(grid.at(np.arange(2)), loss[:2], 0.25)


def with_items(seed=0, count=200):
    """Make a ladder whose task is the mean of items with curves of their own."""
    rng = np.random.default_rng([7, seed])
    a, b = rng.normal(0.0, 1.5, count), np.exp(rng.normal(1.2, 0.3, count))
    observations = ladder(0.002, seed, held_out=[BIG])
    N, D = rungs(SIZES, MULTIPLES)
    N, D = np.append(N, BIG[0]), np.append(D, BIG[1])
    loss = CHINCHILLA.value(TRUTH, {"N": N, "D": D})
    p = 1 / (1 + np.exp(-(a[:, None] - b[:, None] * (loss - 2.6)[None, :])))
    k = rng.random(p.shape) < p
    rows = [
        {"run": f"run {j:02d}", "D": D[j], "metric": "task/acc", "item": f"q{i}", "outcome": int(k[i, j])}
        for j in range(len(N)) for i in range(count)
    ]  # fmt: skip
    means = pl.DataFrame(
        {"run": [f"run {j:02d}" for j in range(len(N))], "D": D, "metric": "task/acc", "value": k.mean(axis=0)}
    )
    from foretell.table import metric_named

    values = pl.concat([observations.values, means.select("run", "D", "metric", "value")], how="diagonal")
    joined = replace(
        observations, values=values.sort("run", "D", "metric"),
        metrics={**observations.metrics, "task/acc": metric_named("task/acc", chance=0.0, items=count)},
    )  # fmt: skip
    return joined, Items.of(pl.DataFrame(rows)), float(k[:, -1].mean())


def test_a_forecast_by_items_covers_and_names_its_doubts():
    observations, items, measured = with_items()
    made = forecast(observations, Horizon(items=items), Settings(draws=200))
    assert made.value == pytest.approx(measured, abs=0.06)
    low, high = made.interval(0.8)
    assert 0.01 < high - low < 0.2
    assert any("never change" in doubt for doubt in made.doubts)


def test_items_that_get_harder_as_the_loss_falls_are_named():
    observations, items, _ = with_items()
    (rows,) = items.sources
    turned = Items.of(rows.with_columns(outcome=1 - pl.col("outcome").cast(pl.Int64)))
    mine = pl.col("metric") == "task/acc"
    values = observations.values.with_columns(value=pl.when(mine).then(1 - pl.col("value")).otherwise(pl.col("value")))
    made = forecast(replace(observations, values=values), Horizon(items=turned), Settings(draws=20))
    assert any("inverse scaling" in doubt for doubt in made.doubts)


@pytest.mark.slow
def test_intervals_cover_on_simulated_horizons():
    inside = {"task": [], "items": []}
    parts = frozenset({"coefficients", "noise"})
    for seed in range(60):
        observations = study(noise=0.002, seed=seed, items=1000)
        low, high = forecast(observations, settings=Settings(draws=200, parts=parts, starts=16)).interval(0.8)
        hidden = observations.held_out().metric("task/acc").value[0]
        inside["task"].append(low <= hidden <= high)
        observations, items, hidden = with_items(seed)
        settings = Settings(draws=200, parts=parts, starts=16)
        low, high = forecast(observations, Horizon(items=items), settings).interval(0.8)
        inside["items"].append(low <= hidden <= high)
    for name, found in inside.items():
        assert 0.68 <= np.mean(found) <= 0.95, (name, np.mean(found))


# -- horizons -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cut", "short"), [("0.5", 8), ("0.25", 4), ("0.75", 12), ("2xC", 8), ("5xC", 12)])
def test_a_cut_keeps_whole_horizons(cut, short):
    made = split_horizons(ladder(), cut)
    assert len(made.split.fit.runs) == short
    assert len(made.split.fit.runs) + len(made.split.test.runs) == 16
    assert max(made.short) < min(made.long)
    assert all("families" in doubt for doubt in made.doubts)


def test_shares_of_a_point_are_the_shares_of_its_link():
    points = link_points(study().training(), "c4/loss", study().metrics["task/acc"])
    made = fit_link(points, POINT)
    np.testing.assert_allclose(share_at(made, made.theta, points.input("L")), made.fitted, rtol=1e-9)
