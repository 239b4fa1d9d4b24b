"""The published law of over-trained models lands where its paper landed."""

import numpy as np
import polars as pl
import pytest

from foretell.errors import FitError, MethodError, TableError, UnknownName
from foretell.forecast import Settings, Target
from foretell.methods.average_error import average_error, seventeen_tasks
from foretell.methods.overtrained_published import LOSS_RUNS, PublishedOvertrained, chosen_runs, fit_loss
from foretell.methods.point_forecast import NO_INTERVAL
from foretell.sources import read
from foretell.table import Observations
from protocols import testbeds

SMALL, LARGE = 1_439_795_200, 6_889_410_560
# methods.md §3.5, |relative error| in percent: C4 loss, mean error over 17 tasks, over 46 tasks
PAPER = {
    ("rpj", SMALL, 640): (0.71, 3.64, 3.44),
    ("rpj", LARGE, 20): (0.73, 0.05, 2.10),
    ("c4", SMALL, 80): (1.50, 9.58, 3.08),
    ("c4", LARGE, 20): (4.30, 0.14, 0.07),
    ("rw", SMALL, 320): (0.01, 5.62, 4.30),
    ("rw", LARGE, 20): (1.62, 2.94, 2.76),
}
# methods.md §3.5: A, exponent of N, B, E; then epsilon, k, gamma of the 17-task error
COEFFICIENTS = {
    "rpj": (166.2, -0.2729, 366.7, 1.8366, 0.8570, 2.2065, 0.7146),
    "c4": (113.7, -0.2425, 189.5, 1.5083, 0.8497, 2.0789, 0.7561),
    "rw": (125.1, -0.2544, 246.2, 1.7345, 0.8653, 2.2148, 0.7070),
}
SEVENTEEN = {
    "bigbench_operators", "pubmed_qa_labeled", "hellaswag_zeroshot", "boolq", "arc_easy", "coqa", "bigbench_dyck_languages",
    "lambada_openai", "bigbench_novel_concepts", "winograd", "bigbench_cs_algorithms", "commonsense_qa",
    "bigbench_qa_wikidata", "hellaswag", "copa", "squad", "piqa",
}  # fmt: skip
METRICS = ["c4/loss", "average_17/err", "average_46/err"]


@pytest.fixture(scope="module")
def models() -> Observations:
    whole = read("gadre", testbeds() / "gadre")
    tasks = accuracies(whole)
    return average_error(average_error(whole, seventeen_tasks(whole), "average_17/err"), tasks, "average_46/err")


def accuracies(models: Observations) -> list[str]:
    return [name for name in models.metrics if name.endswith("/acc")]


def measured(models: Observations, family: str, N: float, multiplier: float, metric: str) -> float:
    of_family = models.only_runs(models.runs.filter(pl.col("family") == family)["name"])
    return float(chosen_runs(of_family.metric(metric), [(int(N), int(multiplier))]).value[0])


def relative_error(forecast: float, actual: float) -> float:
    return 100 * abs(forecast / actual - 1)


def test_the_rule_chooses_the_papers_17_tasks(models):
    assert {task.removesuffix("/acc") for task in seventeen_tasks(models)} == SEVENTEEN
    assert len(accuracies(models)) == 46


@pytest.mark.parametrize(("family", "N", "multiplier"), PAPER)
def test_every_target_meets_the_papers_printed_digits(models, family, N, multiplier):
    made = PublishedOvertrained(family).forecast(models, [Target(N=N, D=multiplier * N)], METRICS, Settings())
    errors = [relative_error(f.value, measured(models, family, N, multiplier, f.metric.name)) for f in made]
    assert [round(error, 2) for error in errors] == list(PAPER[family, N, multiplier])


@pytest.mark.parametrize("family", COEFFICIENTS)
def test_both_laws_land_on_the_papers_coefficients(models, family):
    A, exponent, B, E, *error = COEFFICIENTS[family]
    of_family = models.where(f"family = '{family}'")
    law = fit_loss(chosen_runs(of_family.metric("c4/loss"), LOSS_RUNS))
    np.testing.assert_allclose([law.A, law.B], [A, B], atol=0.05)
    assert [-2 * law.eta, law.E] == pytest.approx([exponent, E], abs=6e-5)
    link = PublishedOvertrained(family).fit_error(models, "average_17/err")
    assert [link.epsilon, link.k, link.gamma] == pytest.approx(error, abs=6e-5)


@pytest.mark.parametrize(("family", "error"), [("c4", 5.62), ("rw", 5.41)])
def test_the_true_loss_makes_the_error_of_the_large_model_worse(models, family, error):
    link = PublishedOvertrained(family).fit_error(models, "average_17/err")
    loss, actual = (measured(models, family, LARGE, 20, name) for name in ("c4/loss", "average_17/err"))
    assert round(relative_error(link.error(loss), actual), 2) == error


def test_single_tasks_err_as_much_as_the_protocol_says(models):
    points = []
    for family in COEFFICIENTS:
        targets = [Target(N=N, D=M * N) for of, N, M in PAPER if of == family]
        of_family = models.runs.filter(pl.col("family") == family)
        ends = models.values.join(of_family.select("name", "N_total"), left_on="run", right_on="name")
        actual = {(N, D, name): v for N, D, name, v in ends.select("N_total", "D", "metric", "value").iter_rows()}
        made = PublishedOvertrained(family).forecast(models, targets, accuracies(models), Settings())
        points += [100 * abs(f.value - actual[f.target.N, f.target.D, f.metric.name]) for f in made]
    assert len(points) == 46 * 6
    assert np.mean(points) == pytest.approx(11.71, abs=0.02)  # protocols.toml [gadre] published
    assert np.median(points) == pytest.approx(4.92, abs=0.02)


def test_a_fit_that_does_not_converge_copies_the_largest_run_and_says_so(models):
    target = Target(N=LARGE, D=20 * LARGE)
    (made,) = PublishedOvertrained("rpj").forecast(models, [target], ["winogrande/acc"], Settings())
    assert made.value == pytest.approx(measured(models, "rpj", SMALL, 20, "winogrande/acc"))
    assert any("does not converge" in doubt and "is copied" in doubt for doubt in made.doubts)


def test_a_forecast_says_that_it_has_no_interval(models):
    made = PublishedOvertrained("c4").forecast(models, [Target(N=SMALL, D=80 * SMALL)], METRICS, Settings())
    for forecast in made:
        assert forecast.doubts[0] == NO_INTERVAL
        assert (forecast.method, len(forecast.draws), forecast.parts) == ("overtrained", 0, frozenset())
        largest = max(N * N * M for N, M in LOSS_RUNS)
        assert forecast.reach == pytest.approx(np.log10(80 * SMALL**2 / largest))


def test_order_and_names_of_runs_change_nothing(models):
    target = [Target(N=LARGE, D=20 * LARGE)]
    names = models.runs["name"].to_list()
    renamed = dict(zip(names, np.random.default_rng(2).permutation(names), strict=True))
    other = Observations(
        runs=models.runs.with_columns(pl.col("name").replace_strict(renamed)).sample(fraction=1, shuffle=True, seed=1),
        values=models.values.with_columns(pl.col("run").replace_strict(renamed)).sample(
            fraction=1, shuffle=True, seed=2
        ),
        metrics=models.metrics,
        law_N="N_total",
    )
    before, after = (PublishedOvertrained("rw").forecast(o, target, METRICS, Settings()) for o in (models, other))
    assert [f.value for f in after] == [f.value for f in before]


def test_only_the_papers_runs_are_used(models):
    six = models.where("family = 'rpj'").where(
        "(multiplier = 1 AND N_total < 2e9) OR (multiplier = 16 AND N_total < 2e7)"
    )
    assert len(six.runs) == 6
    target = [Target(N=SMALL, D=640 * SMALL)]
    before, after = (PublishedOvertrained("rpj").forecast(o, target, METRICS, Settings()) for o in (models, six))
    assert [f.value for f in after] == [f.value for f in before]


def test_an_average_refuses_holes_and_what_is_no_accuracy(models):
    some = models.values.filter(~((pl.col("metric") == "piqa/acc") & (pl.col("run") == models.runs["name"][0])))
    holed = Observations(runs=models.runs, values=some, metrics=models.metrics, law_N="N_total")
    with pytest.raises(TableError, match="1 checkpoints lack"):
        average_error(holed, ["piqa/acc", "copa/acc"])
    with pytest.raises(MethodError, match="c4/loss is nats/token"):
        average_error(models, ["c4/loss"])
    with pytest.raises(TableError, match="already a metric"):
        average_error(models, ["piqa/acc"], "average_17/err")


def test_what_cannot_be_forecast_is_refused_with_the_reason(models):
    target = [Target(N=LARGE, D=20 * LARGE)]
    with pytest.raises(MethodError, match="c4, rpj, rw"):
        PublishedOvertrained().forecast(models, target, ["c4/loss"], Settings())
    with pytest.raises(UnknownName, match="rpj"):
        PublishedOvertrained("rpg").forecast(models, target, ["c4/loss"], Settings())
    with pytest.raises(FitError, match=r"0 runs .* N_total = 10,569,312 and M = 320"):
        PublishedOvertrained("c4").forecast(models.where("multiplier < 16"), target, ["c4/loss"], Settings())
