"""Truths of mixture laws: slopes against differences, limits, recovery, and the fitted model."""

from dataclasses import replace

import numpy as np
import pytest

from foretell.errors import FitError, FormulaError, MethodError, TableError, UnknownName
from foretell.laws.mixtures import MIXTURE_LAWS, OWN_LAWS, mixture_inputs, mixture_law, symbols_of
from foretell.mixing import Goal, best_mixture, choose_model, fit_model, objective_weights, panel_of, survival
from foretell.mixing.adjoint import Adjoint
from foretell.mixing.panel import Panel
from foretell.mixing.swarm import decision_accuracy, spearman
from foretell.mixture import Pools, Region, sample_mixtures
from foretell.table import Metric, metric_named
from mixture_protocols import parts
from protocols import protocol

DOMAINS = ("code", "pile-cc", "wiki")


def made_panel(n=40, noise=0.0, seed=0, domains=DOMAINS, sizes=(1e8,), tokens=(1e9,), names=("a/loss", "b/loss")):
    """Make a panel whose losses come from a saturating law, the second loss with the sources' roles reversed."""
    rng = np.random.default_rng(seed)
    weights = sample_mixtures(Region.whole(domains), n, rng)
    N, D = rng.choice(sizes, n), rng.choice(tokens, n)
    worth = np.linspace(0.3, 3.0, len(domains))
    losses = []
    for j in range(len(names)):
        value = worth if j == 0 else worth[::-1]
        loss = 1.5 + ((np.maximum(weights, 1e-6) ** 0.7) @ value) ** -0.4 * (1 + 0.5 * (N / 1e9) ** -0.3 * 0 + 0)
        losses.append(loss + 0.2 * (D / 1e9) ** -0.5 + noise * rng.normal(size=n))
    metrics: tuple[Metric, ...] = tuple(metric_named(name) for name in names)
    return Panel(
        tuple(domains), metrics, np.array([f"run{i:03d}" for i in range(n)]), weights, N.astype(float), D.astype(float),
        np.full(weights.shape, np.inf), np.stack(losses, axis=1),
    )  # fmt: skip


@pytest.mark.parametrize("name", [*MIXTURE_LAWS, *OWN_LAWS])
def test_slopes_equal_differences_and_values_the_formula(name):
    law = mixture_law(name, DOMAINS, "wiki")
    rng = np.random.default_rng(1)
    weights = rng.dirichlet(np.ones(3), size=6)
    inputs = mixture_inputs(
        weights, DOMAINS, np.full(6, 2e8), np.geomspace(1e9, 1e11, 6), np.array([np.inf, np.inf, 1e9])
    )
    rows = Adjoint(law, inputs)
    theta = rng.uniform(0.3, 0.9, size=(2, len(law.coefficients)))
    value, slopes = rows.slopes(theta)
    named = dict(zip(law.coefficients, theta[1], strict=True))
    assert value[1] == pytest.approx(law.value(named, inputs), rel=1e-12)
    for i in range(len(law.coefficients)):
        step = np.zeros_like(theta)
        step[:, i] = 1e-6
        assert slopes[:, i] == pytest.approx(
            (rows.value(theta + step) - rows.value(theta - step)) / 2e-6, rel=2e-4, abs=1e-7
        )


def test_the_adjoint_agrees_with_the_engine_s_own_derivatives():
    law = mixture_law("power", ("a", "b"))
    inputs = mixture_inputs(np.array([[0.2, 0.8], [0.5, 0.5]]), ("a", "b"))
    theta = np.array([[1.2, 0.7, 0.4, 2.0]])
    value, slopes = law.gradient(theta, law.features(inputs))
    mine, own = Adjoint(law, inputs).slopes(theta)
    assert mine == pytest.approx(value)
    assert own == pytest.approx(slopes)


def test_repetition_wears_out_in_one_law_and_harms_in_the_other():
    few, many = (
        mixture_inputs(np.array([[0.5, 0.5]]), ("web", "wiki"), np.array([1e8]), np.array([D]), np.array([np.inf, 1e9]))
        for D in (4e9, 4e12)
    )
    same = {"E": 1.0, "A": 0.1, "alpha": 0.3, "b": 0.3, "C_web": 1e-9, "C_wiki": 1.0, "g_web": 0.7, "g_wiki": 0.7}
    worn = mixture_law("repeated", ("web", "wiki"))
    ended = [float(worn.value({**same, "Rstar": 15.0}, rows)[0]) for rows in (few, many)]
    assert ended[1] < ended[0]
    endless = mixture_inputs(np.array([[0.5, 0.5]]), ("web", "wiki"), np.array([1e8]), np.array([4e12]))
    assert ended[1] > float(worn.value({**same, "Rstar": 15.0}, endless)[0])
    harmed = mixture_law("penalised", ("web", "wiki"), "wiki")
    harm = {**same, "P_R": 0.01, "delta": 1.0, "kappa": 0.5}
    assert float(harmed.value(harm, many)[0]) > float(harmed.value(harm, few)[0])


def test_names_that_no_formula_can_hold_become_words_and_clashes_are_refused():
    assert symbols_of(DOMAINS) == ["code", "pile_cc", "wiki"]
    with pytest.raises(FormulaError, match="alike"):
        symbols_of(["pile-cc", "pile_cc"])
    with pytest.raises(FormulaError, match="at least two"):
        symbols_of(["web"])
    with pytest.raises(UnknownName, match="saturating"):
        mixture_law("saturatin", DOMAINS)
    with pytest.raises(FormulaError, match="name it"):
        mixture_law("own-domain", DOMAINS)


def test_exact_losses_are_recovered_where_nothing_was_trained():
    panel = made_panel(60)
    model = fit_model(panel, "saturating")
    fresh = sample_mixtures(Region.whole(DOMAINS), 30, np.random.default_rng(9))
    truth = made_panel(60)
    made = model.at(panel.weights, panel.N, panel.D)
    assert np.abs(made.T - truth.losses).max() < 0.01
    assert model.at(fresh, np.full(30, 1e8), np.full(30, 1e9)).shape == (2, 30)


def test_row_order_and_domain_order_do_not_matter():
    panel = made_panel(30, noise=0.01)
    order = np.random.default_rng(2).permutation(30)
    folds = np.arange(30) % 5
    first = fit_model(panel, "power", folds=folds)
    second = fit_model(panel.take(order), "power", folds=folds[order])
    where = (panel.weights[:5], panel.N[:5], panel.D[:5])
    assert first.at(*where) == pytest.approx(second.at(*where), abs=1e-5)
    turned = Panel(
        panel.domains[::-1],
        panel.metrics,
        panel.run,
        panel.weights[:, ::-1],
        panel.N,
        panel.D,
        panel.pools,
        panel.losses,
    )
    third = fit_model(turned, "power", folds=folds)
    assert third.at(where[0][:, ::-1], *where[1:]) == pytest.approx(first.at(*where), abs=2e-3)


def test_intervals_of_simulated_runs_cover_about_what_they_promise():
    inside = []
    for seed in range(4):
        panel = made_panel(60, noise=0.02, seed=seed)
        fit, test = panel.take(np.arange(60) < 40), panel.take(np.arange(60) >= 40)
        model = fit_model(fit, "saturating", draws=60, seed=seed)
        low, high = np.quantile(model.observed_at(test.weights, test.N, test.D), [0.1, 0.9], axis=0)
        inside.append(((low.T <= test.losses) & (test.losses <= high.T)).mean())
    assert 0.68 < np.mean(inside) < 0.92


def test_the_optimum_lies_where_a_known_law_has_it():
    panel = made_panel(80, noise=0.002, names=("a/loss",))
    model = choose_model(panel, "saturating", draws=40).model
    goal = Goal(1e8, 1e9, {"a/loss": 1.0}, Pools({}), Region.whole(DOMAINS))
    made = best_mixture(model, goal)
    grid = sample_mixtures(Region.whole(DOMAINS), 20000, np.random.default_rng(4))
    worth = np.linspace(0.3, 3.0, 3)
    truth = 1.5 + (np.maximum(grid, 1e-6) ** 0.7 @ worth) ** -0.4
    here = 1.5 + float((np.maximum(made.weights, 1e-6) ** 0.7 @ worth) ** -0.4)
    assert here - (truth.min()) < 0.002
    assert (made.regret >= 0).all()
    assert all(more >= -1e-6 and less >= -1e-6 for more, less in made.neighbours.values())


def test_caps_hold_at_the_optimum_and_epochs_are_counted():
    panel = made_panel(40, names=("a/loss",))
    model = choose_model(panel, "power", draws=20).model
    pools = Pools({"wiki": 1e8})
    region = pools.region(DOMAINS, 1e9, most_epochs=2)
    made = best_mixture(model, Goal(1e8, 1e9, {"a/loss": 1.0}, pools, region))
    assert made.weights[2] <= 0.2 + 1e-9
    assert made.epochs[2] == pytest.approx(made.weights[2] * 10)
    assert any("repetition unseen" in doubt for doubt in made.doubts) == (made.epochs[2] > 1.5)


def test_closeness_pulls_the_optimum_to_the_prior():
    panel = made_panel(40, names=("a/loss",))
    model = choose_model(panel, "power", draws=0).model
    prior = np.array([0.5, 0.3, 0.2])
    far, near = (
        best_mixture(model, Goal(1e8, 1e9, {"a/loss": 1.0}, Pools({}), Region.whole(DOMAINS), pull, prior)).weights
        for pull in (0.0, 50.0)
    )
    assert np.abs(near - prior).max() < 0.02 < np.abs(far - prior).max()
    with pytest.raises(MethodError, match="--prior"):
        Goal(1e8, 1e9, {"a/loss": 1.0}, Pools({}), Region.whole(DOMAINS), 0.1)


def test_a_panel_confesses_what_its_mixtures_cannot_tell():
    panel = made_panel(30, domains=("a", "b", "c", "d"))
    weights = panel.weights.copy()
    weights[:, 1] = weights[:, 0]
    weights[:, 2] = 0.1
    weights /= weights.sum(axis=1, keepdims=True)
    weights = 0.3 * weights + 0.7 * np.array([0.0, 0.0, 0.0, 1.0])
    weights[:, 2] = 0.05
    weights[:, 3] = 1 - weights[:, :3].sum(axis=1)
    doubts = " ".join(
        Panel(panel.domains, panel.metrics, panel.run, weights, panel.N, panel.D, panel.pools, panel.losses).doubts
    )
    assert "no variation: the share of c" in doubts
    assert "moving together: b and a" in doubts
    assert "unvisited corners" in doubts


def test_fewer_rows_than_coefficients_is_a_doubt_and_two_mixtures_are_refused():
    panel = made_panel(6)
    assert any("fewer rows than coefficients" in doubt for doubt in fit_model(panel, "saturating").doubts)
    with pytest.raises(FitError, match="at least 3"):
        fit_model(panel.take(np.arange(6) < 2), "power")


def test_an_objective_on_a_metric_nobody_measured_names_those_that_were():
    assert objective_weights(["a/loss", "b/loss"], ["a=1", "b/loss=3"]) == {"a/loss": 0.25, "b/loss": 0.75}
    assert objective_weights(["a/loss", "b/loss"], ["avg"]) == {"a/loss": 0.5, "b/loss": 0.5}
    with pytest.raises(UnknownName, match="a/loss"):
        objective_weights(["a/loss"], ["c"])
    with pytest.raises(MethodError, match="much"):
        objective_weights(["a/loss"], ["a=much"])


def test_unknown_laws_and_residuals_are_named():
    with pytest.raises(UnknownName, match="saturating"):
        fit_model(made_panel(10), "saturated")
    with pytest.raises(UnknownName, match="trees"):
        fit_model(made_panel(10), "power+tree")
    with pytest.raises(MethodError, match="named after none"):
        fit_model(made_panel(10), "own-domain")


@pytest.mark.parametrize("kind", ["gp", "trees"])
def test_what_a_law_leaves_over_is_learned_from_the_other_mixtures(kind):
    panel = made_panel(120)
    panel = replace(panel, losses=panel.losses + 0.5 * (panel.weights[:, :1] > 0.35))  # a step that no law has
    seen = np.arange(len(panel)) % 4 > 0
    fitted, hidden = panel.take(seen), panel.take(~seen)

    def error(law):
        model = fit_model(fitted, law, draws=0)
        made = model.at(hidden.weights, hidden.N, hidden.D, hidden.pools).T
        return np.abs(made - hidden.losses).mean()

    assert error(f"power+{kind}") < 0.7 * error("power")


def test_runs_without_mixtures_are_refused():
    with pytest.raises(TableError, match="no mixtures"):
        panel_of(protocol("farseer").fit)


def test_decision_accuracy_and_spearman_of_known_rankings():
    small = np.array([1.0, 2.0, 3.0, 4.0])
    assert decision_accuracy(small, small * 2) == 1.0
    assert decision_accuracy(small, -small) == 0.0
    assert decision_accuracy(small, np.array([1.0, 2.0, 4.0, 3.0])) == pytest.approx(5 / 6)
    assert spearman(small, np.array([1.0, 2.0, 4.0, 3.0])) == pytest.approx(0.8)


def test_survival_needs_mixtures_in_common():
    panel = made_panel(20, sizes=(1e8, 2e8))
    with pytest.raises(MethodError, match="in common"):
        survival(panel, np.array([0.5, 0.5]))


def test_five_mix_is_forecast_within_the_figure_asked_for():
    errors = []
    made_of = protocol("five-mix")
    for group in made_of.groups[::16]:
        fit, test = parts(group, made_of.metrics)
        model = fit_model(fit, "saturating")
        made = model.at(test.weights, test.N, test.D).T
        errors.append(np.abs(made.mean(axis=1) - test.losses.mean(axis=1)).mean())
    assert np.mean(errors) < 0.01
