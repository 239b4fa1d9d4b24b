"""What is held out is removed before anything is chosen, calibrated or fitted, in every method of the registry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from foretell import api
from foretell.errors import FitError, MethodError
from foretell.forecast import Settings
from foretell.judge import Split, backtest, splits_of
from foretell.methods import METHODS, OF_ITEMS, method_named
from foretell.table import Observations, Run, metric_named
from ladders import CHINCHILLA, TRUTH

QUICK = Settings(draws=20, starts=4)
TASKS = {"a/acc": 2.2, "b/acc": 2.6, "c/acc": 2.4, "d/acc": 2.9}
LOSSES = {"c4/loss": 1.0, "pile/loss": 0.9, "a/bpb": 0.4}
FAMILIES = ("one", "two", "three")


def make_study():
    """Make three families of five sizes on three horizons; the two largest runs of each are held out."""
    rng = np.random.default_rng(3)
    runs, rows = [], []
    for i, family in enumerate(FAMILIES):
        for j, N in enumerate((1e8, 2e8, 4e8, 8e8, 1.6e9)):
            for multiple in (10.0, 40.0, 160.0):
                hidden = j == 4 and multiple > 10
                web = float(rng.uniform(0.3, 0.9))
                mixture = {"web": web, "code": 1.0 - web}
                label = f"{family} {N:.0e} {multiple:.0f}"
                run = Run(label, N * multiple, N=N, family=family, held_out=hidden, weights=mixture)
                runs.append(run)
                place = {"N": np.array([N]), "D": np.array([run.D])}
                loss = float(CHINCHILLA.value(TRUTH, place)[0]) * (1.0 + 0.01 * i)
                for name, scale in LOSSES.items():
                    rows.append(
                        {
                            "run": run.name,
                            "D": run.D,
                            "metric": name,
                            "value": scale * loss * np.exp(0.003 * rng.normal()),
                        }
                    )
                for name, middle in TASKS.items():
                    share = 0.25 + 0.75 / (1.0 + np.exp(3.0 * (loss - middle)))
                    rows.append(
                        {"run": run.name, "D": run.D, "metric": name, "value": rng.binomial(1000, share) / 1000}
                    )
    metrics = [metric_named(name) for name in LOSSES] + [metric_named(name, chance=0.25, items=1000) for name in TASKS]
    return Observations.of(runs, pl.DataFrame(rows), metrics, shared_loss="c4/loss")


@pytest.fixture(scope="module")
def study():
    return make_study()


def spoilt(observations, runs):
    """Replace what was measured on the named runs by garbage of the right kind."""
    rng = np.random.default_rng(9)
    values = observations.values
    shares = [name for name, metric in observations.metrics.items() if metric.is_share]
    garbage = pl.Series(rng.random(len(values)))
    of_run, share = pl.col("run").is_in(list(runs)), pl.col("metric").is_in(shares)
    value = pl.when(of_run & share).then(garbage).when(of_run).then(50.0 + garbage).otherwise(pl.col("value"))
    return replace(observations, values=values.with_columns(value=value))


def outcomes(method, split):
    """Give value and draws of every forecast of a split, of the metrics that the method can forecast."""
    made = {}
    for name in ("c4/loss", "a/acc"):
        try:
            found = backtest(method, [split], [name], QUICK, most_targets=3)
        except (FitError, MethodError):
            continue
        made |= {(name, o.forecast.target.name): (o.forecast.value, o.forecast.draws) for o in found.outcomes}
    return made


def same(one, other):
    assert one
    assert one.keys() == other.keys()
    for key, (value, draws) in one.items():
        assert other[key][0] == value
        np.testing.assert_array_equal(other[key][1], draws)


@pytest.mark.parametrize("name", sorted(METHODS.keys() - OF_ITEMS))  # those have a test beside their own
def test_garbage_in_the_hidden_rows_changes_no_bit_of_a_forecast(study, name):
    method = method_named(name)
    hidden = study.held_out().runs["name"].to_list()
    (held,) = splits_of(study, "held-out")
    (other,) = splits_of(spoilt(study, hidden), "held-out")
    same(outcomes(method, held), outcomes(method, other))


def test_garbage_in_the_test_part_of_any_split_changes_no_bit(study):
    for by in ("C", "N", "family"):
        split = splits_of(study, by)[0]
        runs = split.test.runs["name"].to_list()
        other = Split(split.name, split.fit, spoilt(split.test, runs))
        same(outcomes(method_named("ladder"), split), outcomes(method_named("ladder"), other))


def test_predict_never_reads_what_is_held_out(study):
    hidden = study.held_out().runs["name"].to_list()
    plain, other = (
        api.predict(s, metrics=["c4/loss", "a/acc"], settings=QUICK) for s in (study, spoilt(study, hidden))
    )
    for one, two in zip(plain, other, strict=True):
        assert one.value == two.value
        np.testing.assert_array_equal(one.draws, two.draws)


def test_a_hidden_row_names_its_family(study):
    split = splits_of(study, "family")[0]
    made = backtest(method_named("ladder"), [split], ["c4/loss"], QUICK, most_targets=2)
    assert {outcome.forecast.target.family for outcome in made.outcomes} == {"one"}
