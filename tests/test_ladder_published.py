"""The published ladder lands where its paper landed."""

import numpy as np
import polars as pl
import pytest
from scipy.optimize import approx_fprime

from foretell.errors import FitError, MethodError, UnknownName
from foretell.forecast import Method, Settings, Target, held_out_targets
from foretell.methods.huber import huber
from foretell.methods.ladder_published import (
    DROPPED,
    SMOOTHED,
    PublishedLadder,
    fit_accuracy_in_loss,
    fit_loss_in_C,
    fit_loss_in_N_and_D,
)
from foretell.methods.point_forecast import NO_INTERVAL
from foretell.sources import read
from foretell.table import Metric, Observations, Points, Run, metric_named
from protocols import testbeds

# methods.md §4.4: accuracy forecast for 7B-4T and 13B-5T, in points
PAPER = {
    "mmlu": (48.4, 51.3), "hellaswag": (82.5, 85.3), "arc_challenge": (51.5, 52.7), "arc_easy": (76.6, 77.2),
    "piqa": (81.2, 82.1), "csqa": (75.7, 77.6), "socialiqa": (58.7, 59.9), "openbookqa": (44.2, 44.9),
}  # fmt: skip
# methods.md §4.3: A, B, alpha, beta, E of step 1; a, L0, k, b of step 2
COEFFICIENTS = {
    "mmlu": (38.07, 100.1, 0.226, 0.236, 0.454, -0.742, 0.616, 4.833, 1.000),
    "hellaswag": (11.23, 60.37, 0.196, 0.256, 0.502, -0.730, 0.767, 12.742, 0.992),
    "arc_challenge": (7.03e5, 38.45, 0.788, 0.197, 0.655, -0.778, 0.709, 5.911, 1.000),
    "arc_easy": (7.94e4, 3958, 0.661, 0.419, 0.558, -0.646, 0.741, 4.130, 1.000),
    "piqa": (405.7, 10.16, 0.398, 0.153, 0.722, -0.459, 0.963, 5.033, 1.000),
    "csqa": (56.86, 10.91, 0.235, 0.111, 0.000, -0.856, 1.131, 2.209, 1.000),
    "socialiqa": (1201, 7897, 0.447, 0.477, 0.949, -0.599, 0.894, 7.164, 0.999),
    "openbookqa": (8.63e4, 137.3, 0.687, 0.261, 1.198, -0.791, 1.081, 4.310, 1.000),
}
# methods.md §4.5: |relative error| in percent of the compute variant, 7B-4T then 13B-5T
FROM_COMPUTE = {
    "mmlu": (4.8, 6.3), "hellaswag": (1.9, 2.1), "arc_challenge": (10.8, 10.0), "arc_easy": (6.4, 8.3),
    "piqa": (1.0, 1.1), "csqa": (4.6, 4.9), "socialiqa": (4.0, 5.7), "openbookqa": (7.2, 3.3),
}  # fmt: skip
ACCURACIES = [f"{task}/acc" for task in PAPER]
TARGETS = ("7B-4T", "13B-5T")


@pytest.fixture(scope="module")
def ladder() -> Observations:
    return read("olmo-ladder", testbeds() / "olmo-ladder")


def forecasts(method: Method, ladder: Observations, metrics=ACCURACIES) -> dict[tuple[str, str], float]:
    made = method.forecast(ladder, held_out_targets(ladder), metrics, Settings())
    return {(f.target.name, f.metric.name): f.value for f in made}


def measured(ladder: Observations) -> dict[tuple[str, str], float]:
    held_out = ladder.held_out()
    return {
        (run, name): value
        for name in [*ACCURACIES, "c4/loss"]
        for run, value in zip(held_out.metric(name).run, held_out.metric(name).value, strict=True)
    }


def mean_error(made: dict[tuple[str, str], float], ladder: Observations) -> list[float]:
    actual = measured(ladder)
    return [float(np.mean([100 * abs(made[t, a] - actual[t, a]) for a in ACCURACIES])) for t in TARGETS]


def test_every_forecast_of_the_paper_is_met_within_a_fifth_of_a_point(ladder):
    made = forecasts(PublishedLadder(), ladder)
    assert len(made) == 16
    for task, values in PAPER.items():
        for target, value in zip(TARGETS, values, strict=True):
            assert 100 * made[target, f"{task}/acc"] == pytest.approx(value, abs=0.06), (target, task)
    assert mean_error(made, ladder) == pytest.approx([3.82, 4.17], abs=0.005)


@pytest.mark.parametrize("task", COEFFICIENTS)
def test_both_steps_land_on_the_papers_coefficients(ladder, task):
    training = ladder.training()
    A, B, alpha, beta, E, a, L0, k, b = COEFFICIENTS[task]
    first = fit_loss_in_N_and_D(training.metric(f"{task}/bpb"))
    np.testing.assert_allclose([first.A, first.B], [A, B], rtol=1e-3)
    assert [first.alpha, first.beta, first.E] == pytest.approx([alpha, beta, E], abs=6e-4)
    smooth = training.drop_first(DROPPED).moving_average(SMOOTHED)
    second = fit_accuracy_in_loss(smooth.link(f"{task}/bpb", f"{task}/acc"))
    assert [second.a, second.L0, second.k, second.b] == pytest.approx([a, L0, k, b], abs=6e-4)


def test_the_compute_variant_meets_its_figures(ladder):
    made = forecasts(PublishedLadder(from_compute=True), ladder)
    actual = measured(ladder)
    for task, errors in FROM_COMPUTE.items():
        for target, error in zip(TARGETS, errors, strict=True):
            key = target, f"{task}/acc"
            assert 100 * abs(made[key] / actual[key] - 1) == pytest.approx(error, abs=0.06), key
    assert mean_error(made, ladder) == pytest.approx([3.27, 3.54], abs=0.005)


def test_c4_loss_as_the_intermediate_meets_its_figures(ladder):
    made = forecasts(PublishedLadder(intermediate="c4/loss"), ladder)
    assert mean_error(made, ladder) == pytest.approx([2.00, 3.45], abs=0.005)


@pytest.mark.parametrize(("intermediate", "errors"), [("bpb", [5.78, 6.39]), ("c4/loss", [4.48, 4.94])])
def test_without_the_ideal_point_it_is_as_much_worse_as_reported(ladder, intermediate, errors):
    method = PublishedLadder(intermediate=intermediate, ideal_point=False)
    assert mean_error(forecasts(method, ladder), ladder) == pytest.approx(errors, abs=0.005)


def test_a_loss_is_forecast_by_step_1_alone(ladder):
    made = forecasts(PublishedLadder(), ladder, ["c4/loss"])
    actual = measured(ladder)
    errors = [100 * (made[t, "c4/loss"] / actual[t, "c4/loss"] - 1) for t in TARGETS]
    assert errors == pytest.approx([-1.98, -3.83], abs=0.006)  # methods.md §4.5b


@pytest.mark.parametrize("method", [PublishedLadder(), PublishedLadder("c4/loss"), PublishedLadder(from_compute=True)])
def test_order_and_names_of_runs_change_nothing(ladder, method):
    names = ladder.runs["name"].to_list()
    shuffled = dict(zip(names, np.random.default_rng(3).permutation(names), strict=True))
    other = ladder.runs.with_columns(pl.col("name").replace_strict(shuffled))
    runs = [
        Run(name=r["name"], family=r["family"], N=r["N"], D=r["D"], C=r["C"], held_out=r["held_out"])
        for r in other.sample(fraction=1, shuffle=True, seed=5).iter_rows(named=True)
    ]
    values = ladder.values.with_columns(pl.col("run").replace_strict(shuffled)).sample(fraction=1, shuffle=True, seed=6)
    renamed = Observations.of(runs, values, ladder.metrics.values(), final_mean=5, shared_loss="c4/loss")
    targets = held_out_targets(ladder)
    metrics = ["arc_easy/acc", "mmlu/acc", "c4/loss"]
    before = method.forecast(ladder, targets, metrics, Settings())
    after = method.forecast(renamed, targets, metrics, Settings())
    assert [f.value for f in after] == pytest.approx([f.value for f in before], rel=1e-12)


def test_it_sees_no_run_that_is_held_out(ladder):
    targets = held_out_targets(ladder)
    alone = PublishedLadder().forecast(ladder.training(), targets, ["piqa/acc"], Settings())
    assert [f.value for f in alone] == list(forecasts(PublishedLadder(), ladder, ["piqa/acc"]).values())


def test_a_forecast_says_that_it_has_no_interval_and_which_coefficients_met_a_bound(ladder):
    made = PublishedLadder().forecast(ladder, held_out_targets(ladder), ["csqa/acc", "piqa/bpb"], Settings())
    for forecast in made:
        assert forecast.doubts[0] == NO_INTERVAL
        assert forecast.method == "ladder"
        assert not len(forecast.draws)
        assert not forecast.parts
        assert forecast.reach > 1.3
    assert any("step 1 ended on a bound: E = 0" in doubt for doubt in made[0].doubts)
    with pytest.raises(MethodError, match="no draws"):
        made[0].interval()


def test_what_cannot_be_forecast_is_refused_with_the_reason(ladder):
    target = [Target(N=7e9, D=4e12)]
    with pytest.raises(MethodError, match="has no C"):
        PublishedLadder(from_compute=True).forecast(ladder, target, ["piqa/acc"], Settings())
    with pytest.raises(UnknownName, match="pile/loss"):
        PublishedLadder(intermediate="pil/loss").forecast(ladder, target, ["piqa/acc"], Settings())
    with pytest.raises(MethodError, match="losses and accuracies"):
        PublishedLadder().forecast(ladder, target, ["piqa/soft"], Settings())
    few = ladder.where("size = '190M'")
    with pytest.raises(FitError, match="4 rows"):
        PublishedLadder().forecast(few, target, ["piqa/acc"], Settings())


def exact(law, metric: Metric) -> Points:
    N, D = (axis.ravel() for axis in np.meshgrid([2e8, 4e8, 8e8, 1.3e9], [4e9, 1e10, 3e10, 1e11]))
    C = 6 * N * D
    return Points(
        metric=metric,
        run=np.array([f"run {i}" for i in range(len(N))]),
        inputs={"N": N, "D": D, "C": C},
        value=law(N, D, C),
        items=np.full(len(N), np.nan),
    )


def test_step_1_reproduces_exact_losses_far_beyond_the_data():
    target = Target(N=7e9, D=4e12, C=6 * 7e9 * 4e12)

    def in_N_and_D(N, D, C):
        return 20.0 / N**0.2 + 120.0 / D**0.25 + 0.6

    def in_C(N, D, C):
        return 800.0 / C**0.155 + 0.62

    metric = metric_named("task/bpb")
    assert fit_loss_in_N_and_D(exact(in_N_and_D, metric)).loss(target) == pytest.approx(
        in_N_and_D(target.N, target.D, target.C), rel=2e-3
    )
    assert fit_loss_in_C(exact(in_C, metric)).loss(target) == pytest.approx(
        in_C(target.N, target.D, target.C), rel=2e-3
    )


def test_hubers_gradient_is_its_slope():
    rng = np.random.default_rng(0)
    slopes, offset = rng.normal(size=(3, 20)), rng.normal(size=20) * 1e-3
    theta = rng.normal(size=3) * 1e-3
    _, gradient = huber(offset + theta @ slopes, slopes)
    numeric = approx_fprime(theta, lambda t: huber(offset + t @ slopes, slopes)[0], 1e-9)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-3)
