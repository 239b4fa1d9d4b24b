from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from foretell.errors import FitError, MethodError
from foretell.methods.efficiency import pooled_efficiencies
from foretell.methods.floored_sigmoid import fit_floored_sigmoid, sigmoid
from foretell.methods.observational_published import fit_published
from foretell.methods.principal import components_of, fit_imputer
from foretell.methods.subset import best_families

# -- floored sigmoid ------------------------------------------------------------------------------------------------


def test_a_floored_sigmoid_recovers_what_made_the_data() -> None:
    x = np.linspace(-4, 4, 60)[:, None]
    y = 0.15 + 0.85 * sigmoid(0.5 + 1.3 * x[:, 0])
    made = fit_floored_sigmoid(x, y, np.array([0.0]), limit=0.4)
    assert made.weight[0, 0] == pytest.approx(1.3, abs=0.02)
    assert made.shift[0] == pytest.approx(0.5, abs=0.02)
    assert made.floor[0] == pytest.approx(0.15, abs=0.01)


def test_weights_count_rows_as_if_they_were_repeated() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 2)), rng.uniform(0.2, 0.9, 30)
    count = rng.integers(0, 3, 30)
    weighted = fit_floored_sigmoid(x, y, np.ones(2), limit=0.2, weights=count[None, :].astype(float))
    # the floor's limit and start come from the caller and the data; repeated rows share them
    repeated = fit_floored_sigmoid(np.repeat(x, count, axis=0), np.repeat(y, count), np.ones(2), limit=0.2)
    np.testing.assert_allclose(weighted.predict(x), repeated.predict(x), atol=1e-4)


def test_a_ridge_pulls_weights_to_nothing() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 1))
    y = sigmoid(2.0 * x[:, 0])
    weak, strong = (fit_floored_sigmoid(x, y, np.array([pull]), limit=0.2).weight[0, 0] for pull in (0.1, 1e6))
    assert abs(strong) < 1e-3 < weak


def test_a_value_that_is_no_share_is_refused() -> None:
    with pytest.raises(FitError, match="scale the metric"):
        fit_floored_sigmoid(np.ones((5, 1)), np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.ones(1), limit=0.2)


def test_the_published_fit_recovers_its_own_form() -> None:
    x = np.linspace(-3, 3, 40)[:, None]
    made = fit_published(x, 0.1 + 0.9 * sigmoid(1.5 * x[:, 0] - 0.3))
    assert (made.weight[0], made.shift, made.floor) == pytest.approx((1.5, -0.3, 0.1), abs=1e-3)


# -- principal capabilities -----------------------------------------------------------------------------------------


def test_scores_of_one_capability_are_imputed_almost_exactly() -> None:
    rng = np.random.default_rng(0)
    ability = rng.uniform(-1, 1, 40)
    truth = 0.5 + np.outer(ability, [0.3, 0.2, 0.4, -0.1])
    holes = rng.uniform(size=truth.shape) < 0.1
    imputer, filled = fit_imputer(np.where(holes, np.nan, truth))
    assert np.abs(filled - truth).max() < 0.02
    np.testing.assert_array_equal(filled[~holes], truth[~holes])
    given = np.array([[0.5 + 0.3 * 0.7, np.nan, 0.5 + 0.4 * 0.7, np.nan]])
    np.testing.assert_allclose(imputer.fill(given), [[0.71, 0.64, 0.78, 0.43]], atol=0.02)


def test_imputed_scores_stay_shares() -> None:
    scores = np.array([[0.9, 0.95], [0.95, 0.99], [0.5, 0.4], [1.0, np.nan]])
    assert fit_imputer(scores)[1].max() <= 1.0


def test_a_benchmark_without_any_score_is_refused() -> None:
    with pytest.raises(MethodError, match="no score at all"):
        fit_imputer(np.array([[0.1, np.nan], [0.2, np.nan]]))


def test_components_are_uncorrelated_and_take_the_variance_in_order() -> None:
    scores = np.random.default_rng(0).uniform(size=(50, 5))
    made = components_of(scores, 5)
    spread = np.cov(made.of(scores).T)
    np.testing.assert_allclose(spread - np.diag(np.diag(spread)), 0, atol=1e-12)
    assert np.all(np.diff(made.share) <= 0)
    assert made.share.sum() == pytest.approx(1.0)


# -- family efficiency ----------------------------------------------------------------------------------------------


def test_families_with_many_models_keep_their_own_line() -> None:
    rng = np.random.default_rng(0)
    x = np.tile(np.linspace(0, 5, 12), 3)
    family = np.repeat(["a", "b", "c"], 12)
    slopes, starts = {"a": 1.0, "b": 2.0, "c": 0.5}, {"a": 0.0, "b": -1.0, "c": 2.0}
    S = np.array([starts[f] + slopes[f] * t for f, t in zip(family, x, strict=True)]) + 0.02 * rng.normal(size=36)
    made = pooled_efficiencies(x, S, family)
    for name, slope in slopes.items():
        assert made.line(name) == pytest.approx((slope, starts[name]), abs=0.06)


def test_a_family_of_one_lies_between_itself_and_the_others() -> None:
    rng = np.random.default_rng(0)
    x = np.append(np.tile(np.linspace(0, 5, 8), 4), 2.0)
    family = np.append(np.repeat(["a", "b", "c", "d"], 8), "single")
    shift = {"a": 0.3, "b": -0.3, "c": 0.1, "d": -0.1, "single": 2.0}
    S = np.array([t + shift[f] for f, t in zip(family, x, strict=True)]) + 0.2 * rng.normal(size=33)
    made = pooled_efficiencies(x, S, family)
    (mean,), (doubt,) = made.at(np.array([2.0]), ["single"])
    assert 2.3 < mean < S[-1]
    assert doubt > made.at(np.array([2.0]), ["a"])[1][0]


def test_an_unseen_family_takes_the_common_line_with_more_doubt() -> None:
    x = np.tile(np.linspace(0, 5, 8), 4)
    family = np.repeat(["a", "b", "c", "d"], 8)
    S = x + np.repeat([0.5, -0.5, 0.2, -0.2], 8) + 0.05 * np.random.default_rng(0).normal(size=32)
    made = pooled_efficiencies(x, S, family)
    (mean,), (doubt,) = made.at(np.array([6.0]), ["new"])
    assert mean == pytest.approx(6.0, abs=0.15)
    assert doubt > 3 * made.at(np.array([6.0]), ["a"])[1][0]


def test_the_unit_of_compute_does_not_change_a_capability() -> None:
    rng = np.random.default_rng(0)
    x, family = rng.uniform(40, 50, 20), np.repeat(["a", "b"], 10)
    S = 0.3 * x + rng.normal(size=20)
    one, other = pooled_efficiencies(x, S, family), pooled_efficiencies(x + np.log(1e21), S, family)
    at = one.at(np.array([52.0]), ["a"])[0], other.at(np.array([52.0 + np.log(1e21)]), ["a"])[0]
    assert at[0] == pytest.approx(at[1], rel=1e-9)


# -- the model subset -----------------------------------------------------------------------------------------------


def test_the_best_families_leave_least_variance_of_all_subsets() -> None:
    rng = np.random.default_rng(0)
    S = rng.normal(size=(20, 2))
    family = np.repeat(list("abcde"), 4)
    best = best_families(S, family, 8)

    def variance(names: tuple[str, ...]) -> float:
        part = S[np.isin(family, names)]
        return float(np.trace(S.T @ S @ np.linalg.inv(part.T @ part)))

    assert best.models == 8
    assert best.variance == pytest.approx(min(variance(pair) for pair in combinations("abcde", 2)))


def test_the_exchange_finds_what_trying_all_subsets_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    S, family = rng.normal(size=(30, 3)), np.repeat([f"f{i}" for i in range(10)], 3)
    every = best_families(S, family, 12)
    monkeypatch.setattr("foretell.methods.subset.MOST_SUBSETS", 0)
    assert best_families(S, family, 12).variance <= 1.05 * every.variance


def test_a_budget_that_cannot_be_met_is_refused() -> None:
    with pytest.raises(MethodError, match="raise the budget"):
        best_families(np.random.default_rng(0).normal(size=(8, 3)), np.repeat(["a", "b"], 4), 3)
