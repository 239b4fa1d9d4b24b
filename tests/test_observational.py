from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from foretell.errors import MethodError
from foretell.forecast import Method, Settings, Target
from foretell.judge import targets_of
from foretell.methods.capability_regression import CapabilityRegression
from foretell.methods.floored_sigmoid import sigmoid
from foretell.methods.observational import Observational
from foretell.methods.observational_published import published_from_scores
from foretell.methods.principal import components_of, fit_imputer, score_table
from foretell.table import Metric, Observations, Run
from ladders import ladder
from protocols import protocol

POINT = Settings(draws=0)
FAMILIES = {"Aa": 6, "Bb": 5, "Cc": 4, "Dd": 4, "Ee": 1}
EFFECT = {"Aa": 0.0, "Bb": 0.8, "Cc": -0.6, "Dd": 0.4, "Ee": 1.5}
TASKS = {"one": (0.0, 1.0), "two": (-1.0, 1.3), "three": (-2.0, 0.9), "late": (-4.0, 1.6)}


def zoo(
    *,
    noise: float = 0.0,
    seed: int = 0,
    shuffled: bool = False,
    holes: float = 0.0,
    change: Callable[[dict[str, float]], None] | None = None,
) -> Observations:
    """Make families of models whose capability is ln C plus the family's own shift, and four tasks of it."""
    rng = np.random.default_rng(seed)
    runs, rows = [], []
    for family, count in FAMILIES.items():
        for i in range(count):
            C = 1e20 * 10 ** (i * 0.5)
            N = float(np.sqrt(C / 120))
            run = Run(f"{family}-{i}", 20 * N, N=N, C=C, family=family)
            runs.append(run)
            scores = {task: score(task, C, EFFECT[family]) + noise * rng.normal() for task in TASKS}
            if change:
                change(scores)
            rows += [
                {"run": run.name, "D": run.D, "metric": task, "value": float(np.clip(value, 0, 1))}
                for task, value in scores.items()
                if rng.uniform() >= holes
            ]
    if shuffled:
        runs, rows = runs[::-1], [rows[i] for i in rng.permutation(len(rows))]
    return Observations.of(
        runs, pl.DataFrame(rows), [Metric(name=task, unit="accuracy", better="higher") for task in TASKS]
    )


def score(task: str, C: float, effect: float) -> float:
    shift, slope = TASKS[task]
    return float(0.1 + 0.9 * sigmoid(np.array(shift + slope * (0.6 * np.log(C / 1e21) + effect))))


def large(family: str, C: float = 1e24) -> Target:
    return Target(N=1e10, D=C / 6e10, C=C, name=f"{family}-large")


def families(*names: str) -> dict[str, str]:
    return {f"{name}-large": name for name in names}


# -- from compute ---------------------------------------------------------------------------------------------------


def test_it_keeps_the_protocol_of_methods() -> None:
    method: Method = Observational()
    assert method.name == "observational"
    assert "2405.10938" in method.source


# two decades beyond the data; components of bounded scores bend where log-odds do not
@pytest.mark.parametrize(("through", "within"), [("own", 0.08), ("components", 0.12)])
def test_a_large_model_of_a_known_family_is_forecast(through: str, within: float) -> None:
    method = Observational(through=through, families=families("Aa", "Bb", "Cc"))  # type: ignore[arg-type]
    made = method.forecast(zoo(noise=0.005), [large(f) for f in ("Aa", "Bb", "Cc")], ["one", "two"], POINT)
    for forecast in made:
        truth = score(forecast.metric.name, 1e24, EFFECT[forecast.target.name[:2]])
        assert forecast.value == pytest.approx(truth, abs=within)


def test_a_better_family_is_forecast_to_be_better() -> None:
    method = Observational(families=families("Bb", "Cc"))
    better, worse = method.forecast(zoo(noise=0.01), [large("Bb", 1e22), large("Cc", 1e22)], ["two"], POINT)
    assert better.value > worse.value + 0.1


def test_a_target_without_a_family_is_an_average_one_and_says_so() -> None:
    method = Observational(families=families("Bb", "Cc"))
    targets = [large("Bb", 1e22), large("nobody", 1e22), large("Cc", 1e22)]
    best, average, worst = (f for f in method.forecast(zoo(noise=0.01), targets, ["two"], Settings(draws=100)))
    assert worst.value < average.value < best.value
    assert any("average family stands in" in doubt for doubt in average.doubts)
    assert not any("average family stands in" in doubt for doubt in best.doubts)
    assert np.ptp(average.interval(0.8)) > 1.3 * np.ptp(best.interval(0.8))


@pytest.mark.parametrize("through", ["own", "components"])
def test_row_order_does_not_matter(through: str) -> None:
    method = Observational(through=through, families=families("Aa"))  # type: ignore[arg-type]
    settings = Settings(draws=20)
    tidy, mixed = (
        method.forecast(zoo(shuffled=shuffled), [large("Aa")], ["two"], settings)[0] for shuffled in (False, True)
    )
    assert tidy.value == pytest.approx(mixed.value, abs=1e-9)
    np.testing.assert_allclose(tidy.draws, mixed.draws, atol=1e-9)


def test_held_out_models_are_never_seen() -> None:
    study = zoo(noise=0.01)
    hidden = study.runs.with_columns(held_out=pl.col("name") == "Aa-5")
    changed = study.values.with_columns(value=pl.when(pl.col("run") == "Aa-5").then(0.0).otherwise(pl.col("value")))
    method = Observational()
    target = Target(N=1e10, D=1e12, C=1e23, name="Aa-5")
    one = method.forecast(replace(study, runs=hidden), [target], ["two"], POINT)[0]
    other = method.forecast(replace(study, runs=hidden, values=changed), [target], ["two"], POINT)[0]
    assert one.value == other.value
    assert not any("average family" in doubt for doubt in one.doubts)  # its family is known from the study's runs


def test_a_metric_that_never_changes_is_named() -> None:
    def flat(scores: dict[str, float]) -> None:
        scores["late"] = 0.0

    made = Observational(families=families("Aa")).forecast(zoo(change=flat), [large("Aa")], ["late"], POINT)[0]
    assert any("late is 0 on every model" in doubt for doubt in made.doubts)
    assert made.value < 0.05


def test_families_of_one_model_are_named() -> None:
    made = Observational(family="Ee").forecast(zoo(), [large("Ee")], ["two"], POINT)[0]
    assert any(doubt.startswith("families of one model: Ee") for doubt in made.doubts)


def test_a_loss_is_refused() -> None:
    with pytest.raises(MethodError, match="not a share"):
        Observational().forecast(ladder(), [large("Aa")], ["c4/loss"], POINT)


def test_intervals_of_known_families_hold_the_truth_about_as_often_as_they_say() -> None:
    inside = []
    for seed in range(12):
        study = zoo(noise=0.02, seed=seed)
        method = Observational(families=families("Aa", "Bb", "Cc", "Dd"))
        rng = np.random.default_rng([seed, 9])
        for forecast in method.forecast(
            study, [large(f, 1e23) for f in ("Aa", "Bb", "Cc", "Dd")], ["two"], Settings(draws=200)
        ):
            measured = score("two", 1e23, EFFECT[forecast.target.name[:2]]) + 0.02 * rng.normal()
            low, high = forecast.interval(0.8)
            inside.append(low <= measured <= high)
    assert 0.6 <= np.mean(inside) <= 1.0


# -- from the other scores ------------------------------------------------------------------------------------------


def split(study: Observations, C: float = 5e21) -> tuple[Observations, Observations]:
    return study.where(f"C <= {C!r}"), study.where(f"C > {C!r}")


def test_a_metric_is_forecast_from_the_other_scores() -> None:
    fit, test = split(zoo(noise=0.005))
    made = CapabilityRegression().forecast(fit, test, ["two"], POINT)
    truth = test.metric("two")
    measured = dict(zip(truth.run, truth.value, strict=True))
    assert {forecast.target.name for forecast in made} == set(measured)
    assert np.mean([abs(f.value - measured[f.target.name]) for f in made]) < 0.06


def test_the_target_s_own_score_is_never_read() -> None:
    fit, test = split(zoo(noise=0.005))
    changed = test.values.with_columns(value=pl.when(pl.col("metric") == "two").then(0.0).otherwise(pl.col("value")))
    one, other = (
        CapabilityRegression().forecast(fit, t, ["two"], POINT) for t in (test, replace(test, values=changed))
    )
    assert [f.value for f in one] == [f.value for f in other]


def test_missing_scores_of_models_and_targets_are_named() -> None:
    fit, test = split(zoo(noise=0.005, holes=0.2, seed=3))
    made = CapabilityRegression().forecast(fit, test, ["two"], POINT)
    doubts = [doubt for forecast in made for doubt in forecast.doubts]
    assert any("of the models' benchmark scores are missing" in doubt for doubt in doubts)
    assert any(doubt.startswith("imputed: the target has no") for doubt in doubts)


def test_a_target_far_outside_the_models_is_named() -> None:
    fit, test = split(zoo(noise=0.005), 1.5e21)
    made = CapabilityRegression().forecast(fit, test.where("C > 2e22"), ["late"], POINT)
    assert all(any("extrapolated capabilities: PC-1" in doubt for doubt in forecast.doubts) for forecast in made)


def test_a_target_without_any_other_score_is_refused() -> None:
    fit, test = split(zoo())
    bare = test.only_metrics(["two"])
    with pytest.raises(MethodError, match="no other benchmark"):
        CapabilityRegression().forecast(fit, bare, ["two"], POINT)


# -- the paper's data -----------------------------------------------------------------------------------------------

AUTHORS = 0.0118, 0.0161  # mean squared error over 8 benchmarks: three PCs of the other scores, ln C alone


def test_larger_public_models_are_forecast_better_than_by_the_authors_form() -> None:
    group = protocol("obsscaling").groups[0]
    scores = sorted(group.fit.metrics)
    ours, theirs, compute = [], [], []
    family = dict(zip(group.test.runs["name"], group.test.runs["family"], strict=True))
    for metric in scores:
        points = group.test.metric(metric)
        measured = dict(zip(points.run, points.value, strict=True))
        test = group.test.only_runs(measured)
        fit = group.fit.only_runs(set(group.fit.metric(metric).run))
        others = [name for name in scores if name != metric]
        published = published_from_scores(fit, test, metric, others)
        theirs.append(np.mean([(published[run] - value) ** 2 for run, value in measured.items()]))
        made = CapabilityRegression(tuple(others)).forecast(fit, test, [metric], POINT)
        ours.append(np.mean([(f.value - measured[f.target.name]) ** 2 for f in made]))
        targets = [target for target, _ in targets_of(points)]
        alone = Observational(families=family).forecast(group.fit, targets, [metric], POINT)
        compute.append(np.mean([(f.value - measured[f.target.name]) ** 2 for f in alone]))
    assert np.mean(theirs) == pytest.approx(AUTHORS[0], abs=2e-4)
    assert np.mean(ours) < 0.65 * np.mean(theirs)
    assert np.mean(compute) < AUTHORS[1]


def test_three_capabilities_hold_most_of_the_variance_of_public_models() -> None:
    group = protocol("obsscaling").groups[0]
    _, known = score_table(group.fit.merge(group.test), sorted(group.fit.metrics))
    share = components_of(fit_imputer(known)[1], 3).share
    assert share[0] > 0.7
    assert share.sum() > 0.94
