"""The published Chinchilla fit does what its paper says, early stop included."""

import math

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from foretell.errors import FitError, MethodError
from foretell.forecast import Settings, Target
from foretell.methods.chinchilla_published import GRID, STOPS_EARLY, PublishedChinchilla, mean_penalty
from foretell.methods.point_forecast import NO_INTERVAL
from foretell.table import Points
from protocols import protocol

TRUE_LEAST = 1.018274e-3  # summed over the 240 rows: protocols.toml [chinchilla], methods.md §11.8


def points() -> Points:
    return protocol("chinchilla").fit.metric("loss")


def summed(law, rows: Points) -> float:
    theta = np.array([law.alpha, law.beta, math.log(law.E), math.log(law.A), math.log(law.B)])
    return len(rows) * mean_penalty(theta, np.log(rows.input("N")), np.log(rows.input("D")), np.log(rows.value))[0]


def test_the_grid_has_the_papers_4500_starts():
    assert len(GRID) == len(set(GRID)) == 4500


def test_the_gradient_is_the_penaltys_slope():
    rows = points()
    data = np.log(rows.input("N")), np.log(rows.input("D")), np.log(rows.value)
    for theta in np.array([[0.34, 0.36, 0.6, 6.2, 7.6], [0.5, 1.0, -1.0, 5.0, 20.0], [0.3, 0.3, 0.5, 6.0, 6.0]]):
        _, gradient = mean_penalty(theta, *data)
        numeric = approx_fprime(theta, lambda t: mean_penalty(t, *data)[0], 1e-7)
        np.testing.assert_allclose(gradient, numeric, atol=1e-7, rtol=1e-3)


def test_it_stops_short_of_the_least_penalty_as_the_paper_did():
    rows = points()
    law = PublishedChinchilla(starts=200).fit(rows)
    assert summed(law, rows) / TRUE_LEAST == pytest.approx(1.09, abs=0.02)


@pytest.mark.slow
def test_the_whole_grid_ends_where_it_was_measured_to_end():
    rows = points()
    law = PublishedChinchilla().fit(rows)
    np.testing.assert_allclose([law.A, law.B], [840, 685], rtol=0.04)  # how sums round moves A by 2 %
    np.testing.assert_allclose([law.alpha, law.beta, law.E], [0.380, 0.311, 1.782], atol=4e-3)
    assert summed(law, rows) / TRUE_LEAST == pytest.approx(1.089, abs=0.003)


def test_order_of_rows_changes_nothing():
    rows = points()
    shuffled = rows.take(np.random.default_rng(4).permutation(len(rows)))
    assert PublishedChinchilla(starts=20).fit(shuffled) == PublishedChinchilla(starts=20).fit(rows)


def test_a_forecast_says_that_it_has_no_interval_and_that_the_fit_stops_early():
    target = Target(N=70e9, D=1.4e12)
    (made,) = PublishedChinchilla(starts=100).forecast(protocol("chinchilla").fit, [target], ["loss"], Settings())
    assert made.doubts == (NO_INTERVAL, STOPS_EARLY)
    assert (made.method, len(made.draws), made.parts) == ("chinchilla", 0, frozenset())
    assert made.value == pytest.approx(1.97, abs=0.05)  # the law of methods.md §11.8 (2404.10102) gives 1.972
    assert made.reach > 1


def test_what_cannot_be_forecast_is_refused_with_the_reason():
    fit = protocol("chinchilla").fit
    with pytest.raises(MethodError, match="1 to 4500"):
        PublishedChinchilla(starts=0)
    with pytest.raises(FitError, match="4 rows"):
        PublishedChinchilla(starts=1).fit(points().take(np.arange(4)))
    gadre = protocol("gadre").groups[0].fit
    with pytest.raises(MethodError, match="losses only"):
        PublishedChinchilla(starts=1).forecast(gadre, [Target(N=7e9, D=1e11)], ["piqa/acc"], Settings())
    assert fit.metric("loss").metric.is_loss
