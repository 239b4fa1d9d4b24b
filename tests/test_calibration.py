"""Intervals are widened by what other families taught, never by the study's own, and by what lies between families."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from foretell.errors import ForetellError, MethodError
from foretell.forecast import Forecast, Settings, Target
from foretell.judge import Backtest, Outcome, splits_of
from foretell.judge.calibration import (
    PRIOR,
    SHARED,
    UNCALIBRATED,
    Calibration,
    _hashes,
    _shared,
    growth_of,
    parse,
    shipped,
    sketch_of,
)
from foretell.judge.strangers import NONE, PRIOR_LOSS, Spread, spread_between_families
from foretell.methods.chinchilla import Chinchilla
from foretell.report.calibration_figure import draw_pit
from foretell.table import metric_named
from ladders import ladder
from protocols import protocol

QUICK = Settings(draws=60, starts=8)
PLAIN = replace(QUICK, parts=frozenset({"coefficients", "noise"}))


def families(offsets):
    """Make ladders that differ by an offset of the log loss, as one study with a family each."""
    whole = None
    for name, offset in offsets.items():
        made = ladder(0.002, seed=len(name))
        runs = made.runs.with_columns(name=name + pl.col("name"), family=pl.lit(name))
        values = made.values.with_columns(run=name + pl.col("run"), value=pl.col("value") * np.exp(offset))
        made = replace(made, runs=runs, values=values)
        whole = made if whole is None else whole.merge(made)
    return whole


# -- which calibration a study is given -----------------------------------------------------------------------------


def text(*names, sketch=()):
    """Write calibrations as the benchmark does: each source left out has a power of its own."""
    sources = "".join(
        f"[[source]]\nname = '{name}'\nnames = ['{name}-runs']\norigin = 'o'\nsketch = {list(sketch) if i == 0 else []}\n"
        for i, name in enumerate(names)
    )
    rows = "".join(
        f"[[calibration]]\nmethod = 'ladder'\nwithout = '{name}'\nshares = 1.5\nothers = {1.25 + 0.25 * i}\n"
        for i, name in enumerate(("", *names))
    )
    return sources + rows


def named(family, prefix=""):
    study = ladder()
    runs = study.runs.with_columns(name=prefix + pl.col("name"), family=pl.lit(family))
    return replace(study, runs=runs, values=study.values.with_columns(run=prefix + pl.col("run")))


def test_a_study_of_a_source_is_never_calibrated_on_that_source():
    known = parse(text("one", "two"))
    for family in ("two", "two-runs"):
        given = known.of(named(family), "ladder")
        assert given.left_out == ("two",)
        assert given.sources == ("one",)
        assert given.others == 1.75


def test_a_study_that_is_in_no_source_is_calibrated_on_all():
    given = parse(text("one", "two")).of(named("mine"), "ladder")
    assert (given.left_out, given.sources, given.others) == ((), ("one", "two"), 1.25)


def test_half_of_a_sources_runs_under_other_names_are_recognised_by_their_values():
    fit = protocol("gadre.open").groups[0].fit
    renamed = fit.runs.with_columns(name="x" + pl.col("name"), family=pl.lit("mine"))
    mine = replace(fit, runs=renamed, values=fit.values.with_columns(run="x" + pl.col("run")))
    part = splits_of(mine, "C")[1].fit.only_metrics(["c4/loss"])
    known = parse(text("gadre", "two", sketch=[int(x) for x in sketch_of(fit, 6)]))
    assert known.of(part, "ladder").left_out == ("gadre",)
    assert known.of(named("mine"), "ladder").left_out == ()


def test_two_rows_that_are_alike_by_chance_make_no_study_of_a_source():
    sketch, many, few = (np.arange(n, dtype=np.uint64) for n in (280, 5000, 10))
    assert _shared(sketch, many + np.uint64(278)) < SHARED < _shared(sketch, few + np.uint64(278))
    assert _shared(sketch, many) == 1.0
    assert _shared(sketch, many[:0]) == 0.0


def test_the_olmo_ladder_is_taken_for_itself_alone():
    known = shipped()
    fit = protocol("olmo-ladder").groups[0].fit
    assert known.of(fit, "ladder").left_out == ("olmo-ladder",)


def test_a_method_without_powers_of_its_own_takes_those_of_the_ladder():
    known = parse(text("one"))
    assert known.of(named("mine"), "chinchilla") == known.of(named("mine"), "ladder") != UNCALIBRATED


def test_a_study_of_several_sources_is_not_calibrated():
    both = named("one").merge(named("two", "o"))
    assert parse(text("one", "two")).of(both, "ladder") == UNCALIBRATED
    assert parse("").of(named("one"), "ladder") == UNCALIBRATED


def test_every_shipped_method_has_powers_without_each_source():
    known = shipped()
    for of in known.methods.values():
        assert set(of) == {"", *(source.name for source in known.sources)}
        assert all(1.0 <= power <= 2.0 for one in of.values() for power in (one.shares, one.others))


# -- growth ---------------------------------------------------------------------------------------------------------


def test_a_power_leaves_one_decade_as_it_is_and_widens_only_beyond():
    given = Calibration(shares=1.0, others=1.5)
    assert given.factor(1.0, share=False) == given.factor(1.0, share=True) == 1.0
    assert given.factor(0.25, share=False) == pytest.approx(0.125)
    assert given.factor(2.0, share=False) > given.factor(2.0, share=True) == 2.0
    assert given.factor(-1.0, share=False) == 0.0


def test_without_hold_outs_the_growth_is_the_prior_and_many_outweigh_it():
    assert growth_of([], share=True) == PRIOR["shares"]
    growth = [growth_of([0.04**2] * n, share=False) for n in (0, 1, 3, 30)]
    assert growth == sorted(growth)
    assert growth[0] == PRIOR["others"]
    assert growth[-1] == pytest.approx(0.04, rel=0.05)


def test_hashes_are_the_same_on_every_machine_and_see_five_digits():
    tokens = np.array([2e9, 2e9, 2e9])
    found = _hashes(tokens, np.array([3.14159, 3.141591, 3.1417]))
    assert found[0] == found[1] != found[2]
    assert found[0] == _hashes(np.array([2e9]), np.array([3.14159]))[0]
    assert int(found[0]) < 2**40
    study = ladder()
    shuffled = replace(study, values=study.values.sample(fraction=1.0, shuffle=True, seed=1))
    np.testing.assert_array_equal(sketch_of(study, 5), sketch_of(shuffled, 5))
    assert len(sketch_of(study, 5)) == 5 * len(study.metrics)


# -- between families -----------------------------------------------------------------------------------------------


def forecasts(study, family):
    targets = [Target(1e9, 2e10, name="new", family=family)]
    return Chinchilla().forecast(study, targets, ["c4/loss"], PLAIN)


def test_a_family_never_seen_is_given_the_spread_between_those_seen():
    apart, alike = families({"a": 0.0, "bb": 0.2, "ccc": -0.2}), families({"a": 0.0, "bb": 0.0, "ccc": 0.0})
    of = [spread_between_families(Chinchilla(), s, forecasts(s, "new"), PLAIN, 8)["c4/loss"] for s in (apart, alike)]
    assert of[0].deviation == pytest.approx(0.2, rel=0.5)
    assert of[0].families == 3
    assert of[1].deviation < PRIOR_LOSS


@pytest.mark.parametrize("family", ["", "a"])
def test_a_family_that_was_fitted_or_is_not_named_gets_none(family):
    study = families({"a": 0.0, "bb": 0.04})
    assert spread_between_families(Chinchilla(), study, forecasts(study, family), PLAIN, 8) == {}


def test_of_one_family_alone_the_next_is_as_far_as_public_families_are():
    study = families({"a": 0.0})
    found = spread_between_families(Chinchilla(), study, forecasts(study, "new"), PLAIN, 8)["c4/loss"]
    assert found.deviation == pytest.approx(PRIOR_LOSS * np.sqrt(2.0))
    unnamed = families({"": 0.0})
    assert spread_between_families(Chinchilla(), unnamed, forecasts(unnamed, "new"), PLAIN, 8) == {}


def test_few_families_make_heavier_tails():
    rng = np.random.default_rng(0)
    one, ten = (np.abs(Spread(1.0, k, frozenset()).draw(20_000, rng)) for k in (1, 10))
    assert np.quantile(one, 0.8) == pytest.approx(1.89, rel=0.05)  # Student's t of two degrees of freedom
    assert np.quantile(ten, 0.8) == pytest.approx(1.36, rel=0.05)
    assert not np.any(NONE.draw(5, rng))


def test_hidden_families_are_held_by_their_intervals():
    from foretell.judge import backtest

    held = []
    for seed in range(4):
        offsets = np.random.default_rng(seed).normal(scale=0.03, size=3)
        study = families(dict(zip(("a", "bb", "ccc"), offsets, strict=True)))
        made = backtest(Chinchilla(), splits_of(study, "family"), ["c4/loss"], QUICK, most_targets=4)
        held += [outcome.covered(0.8) for outcome in made.outcomes]
    assert 0.6 < np.mean(held) <= 1.0


# -- what a backtest says of it -------------------------------------------------------------------------------------


def made_backtest(n=400, narrow=1.0):
    rng = np.random.default_rng(1)
    metric = metric_named("c4/loss")
    outcomes = []
    for i in range(n):
        draws = 3.0 + 0.01 * narrow * rng.normal(size=200)
        forecast = Forecast(Target(1e9, 1e10), metric, "test", 3.0, draws, frozenset(), i / n * 2 - 0.5)
        outcomes.append(Outcome("s", forecast, 3.0 + 0.01 * rng.normal(), 3.1, None))
    return Backtest("test", tuple(outcomes))


def test_the_pit_is_flat_where_draws_are_right_and_piles_up_at_the_ends_where_they_are_narrow():
    right, narrow = (np.histogram(made_backtest(narrow=s).pit(), 10, (0, 1))[0] / 40 for s in (1.0, 0.4))
    assert np.abs(right - 1.0).max() < 0.55
    assert min(narrow[0], narrow[-1]) > 2.0


def test_a_backtest_without_draws_has_no_pit():
    made = made_backtest(2)
    bare = replace(
        made, outcomes=tuple(replace(o, forecast=replace(o.forecast, draws=np.empty(0))) for o in made.outcomes)
    )
    with pytest.raises(MethodError, match="no draws"):
        bare.pit()
    assert bare.to_json()["others"]["pit"] is None


def test_parts_by_reach_lose_nothing():
    made = made_backtest()
    parts = made.by_reach()
    assert list(parts) == ["≤ 0", "0 to 0.5", "0.5 to 1", "> 1"]
    assert sum(len(part.outcomes) for part in parts.values()) == len(made.outcomes)
    assert all(outcome.forecast.reach <= 0 for outcome in parts["≤ 0"].outcomes)
    assert set(made.to_json()["others"]["by_reach"]) == set(parts)
    assert sum(made.to_json()["others"]["pit"]) == len(made.outcomes)


def test_the_figure_of_a_pit_is_written(tmp_path):
    file = draw_pit({"before": made_backtest(50, 0.4).pit(), "after": made_backtest(50).pit()}, tmp_path / "pit.svg")
    told = file.read_text(encoding="utf-8")
    assert "before (n = 50)" in told
    with pytest.raises(ForetellError, match="at least one measurement"):
        draw_pit({}, tmp_path / "none.png")
