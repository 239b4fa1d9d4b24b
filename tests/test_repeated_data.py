"""Unique tokens reach the laws of repetition, from a table to a forecast."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from foretell import api
from foretell.errors import FitError
from foretell.forecast import Settings
from foretell.laws import LAWS, MORE_LAWS
from foretell.table import Observations, Run, metric_named

QUICK = Settings(draws=40, starts=32)
LOVELACE = MORE_LAWS["lovelace"]
TRUTH = {**(LAWS["chinchilla"].published or {}), "P_R": 0.05, "delta": 0.4, "kappa": 0.7}


@pytest.fixture(scope="module")
def study():
    shape = [(N, D, U) for N in (1e8, 4e8, 1.6e9) for D in (4e9, 1.6e10, 6.4e10) for U in (1e9, 4e9, 1e12)]
    runs = [Run(f"run {i:02d}", D, N=N, U=U) for i, (N, D, U) in enumerate(shape)]
    N, D, U = (np.array(column) for column in zip(*shape, strict=True))
    inputs = {"N": N, "D": D, "U_D": np.minimum(U, D), "R": np.maximum(D / U - 1.0, 1e-300)}
    loss = LOVELACE.value(TRUTH, inputs)
    values = pl.DataFrame({"run": [run.name for run in runs], "D": D, "metric": "c4/loss", "value": loss})
    return Observations.of(runs, values, [metric_named("c4/loss")], shared_loss="c4/loss")


def test_points_hold_the_unique_tokens_and_the_repetitions(study):
    inputs = study.metric("c4/loss").inputs
    np.testing.assert_array_equal(inputs["U_D"], np.minimum(inputs["U"], inputs["D"]))
    np.testing.assert_allclose(inputs["R"], np.maximum(inputs["D"] / inputs["U"] - 1.0, 1e-300))


def test_a_law_of_repetition_is_recovered_and_carried_to_a_target(study):
    target = api.target("7B", "200B", U="5B")
    (forecast,) = api.predict(study, [target], ["c4/loss"], method="chinchilla", law="lovelace", settings=QUICK)
    columns = {"N": 7e9, "D": 2e11, "U_D": 5e9, "R": 39.0}
    assert forecast.value == pytest.approx(
        float(LOVELACE.value(TRUTH, {k: np.array(v) for k, v in columns.items()})), rel=2e-3
    )


def test_a_target_without_unique_tokens_is_refused_by_name(study):
    with pytest.raises(FitError, match=r"needs R, U_D of the target .* give U \(unique tokens\) by --input"):
        api.predict(study, [api.target("7B", "200B")], ["c4/loss"], method="chinchilla", law="lovelace", settings=QUICK)
