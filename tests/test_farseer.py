"""On Farseer's grid, fitted on the half of least compute: Skaling's error is a third of Chinchilla's."""

import numpy as np
import pytest

from foretell.forecast import Settings
from foretell.judge import targets_of
from foretell.methods import method_named
from protocols import protocol


@pytest.fixture(scope="module")
def errors():
    farseer = protocol("farseer")
    hidden = targets_of(farseer.test.metric("loss"))
    assert len(hidden) == 202
    found = {}
    for law in ("chinchilla", "skaling", "farseer"):
        method = method_named("chinchilla", law=law)
        made = method.forecast(farseer.fit, [target for target, _ in hidden], ["loss"], Settings(draws=0))
        found[law] = np.mean([abs(f.value / value - 1) for f, (_, value) in zip(made, hidden, strict=True)])
    return found


def test_chinchilla_errs_by_about_two_percent(errors):
    assert 0.019 < errors["chinchilla"] < 0.024


def test_skaling_errs_by_a_third_of_that(errors):
    assert errors["skaling"] <= 0.0066
    assert errors["skaling"] <= 0.35 * errors["chinchilla"]


def test_farseers_own_law_fits_farseers_own_grid_best(errors):
    assert errors["farseer"] < errors["skaling"]
