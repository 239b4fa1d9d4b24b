"""Every method is compared on the same hidden rows."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from foretell import api
from foretell.cli.app import app
from foretell.errors import MethodError, UnknownName
from foretell.forecast import Settings
from foretell.methods import METHODS
from foretell.report import draw_comparison
from foretell.table import save_study
from ladders import ladder, sigmoid_task

QUICK = Settings(draws=40, starts=16)


@pytest.fixture(scope="module")
def study():
    return ladder(tasks={"task/acc": sigmoid_task}, held_out=[(5e9, 1e12)])


@pytest.fixture(scope="module")
def compared(study):
    return api.compare(study, by="held-out", settings=QUICK)


def test_every_method_is_compared_or_said_not_to_be(compared):
    made, failures = compared
    assert {backtest.method for backtest in made} | {failure.split(":")[0] for failure in failures} == set(METHODS)
    assert len(made) >= 6


def test_all_methods_are_scored_on_the_same_rows(compared):
    made, _ = compared
    rows = {(o.forecast.metric.name, o.forecast.target.name, o.measured) for b in made for o in b.outcomes}
    assert len(rows) == 2
    for backtest in made:
        assert {(o.forecast.metric.name, o.forecast.target.name, o.measured) for o in backtest.outcomes} <= rows


def test_methods_may_be_named_and_a_wrong_name_is_refused(study):
    made, failures = api.compare(study, ["c4/loss"], by="held-out", methods=["ladder", "direct"], settings=QUICK)
    assert [backtest.method for backtest in made] == ["ladder"]
    assert failures[0].startswith("direct:")
    with pytest.raises(UnknownName, match="did you mean ladder"):
        api.compare(study, methods=["laddr"], settings=QUICK)


def test_nothing_to_compare_is_an_error(study):
    with pytest.raises(MethodError, match="no method could be compared"):
        api.compare(study, ["c4/loss"], by="held-out", methods=["direct"], settings=QUICK)


def test_the_picture_is_drawn(compared, tmp_path):
    assert draw_comparison(compared[0], tmp_path / "methods.png").stat().st_size > 10_000


def test_the_table_has_the_least_error_first(study, tmp_path):
    save_study(study, tmp_path / "study")
    asked = ["compare", str(tmp_path / "study"), "--by", "C", "--draws", "40", "--metric", "c4/loss", "--task", "task"]
    named = [part for name in ("flp", "borrowed", "ladder") for part in ("--method", name)]
    lines = CliRunner().invoke(app, [*asked, *named]).output.splitlines()
    for kind in ("shares", "others"):
        errors = [float(line.split("│")[4]) for line in lines if kind in line and "largest" not in line]
        assert len(errors) >= 2
        assert errors == sorted(errors)


def test_the_verb_prints_a_table_or_json(study, tmp_path):
    save_study(study, tmp_path / "study")
    asked = ["compare", str(tmp_path / "study"), "--by", "held-out", "--method", "ladder", "--draws", "40"]
    shown = CliRunner().invoke(app, asked)
    assert shown.exit_code == 0
    assert "ladder" in shown.output
    assert "largest run" in shown.output
    told = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert told[0]["method"] == "ladder"
    assert {"shares", "others"} <= set(told[0])
