"""Every method is compared on the same hidden rows."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

import foretell
from foretell import api
from foretell.cli.app import app
from foretell.errors import ExecuteError, MethodError, UnknownName
from foretell.execute import Ended
from foretell.execute.worker import function_of
from foretell.forecast import Settings
from foretell.judge import backtest as judge_splits
from foretell.judge import splits_of
from foretell.judge.carried import carried, outcome_of
from foretell.methods import METHODS, method_named, spread
from foretell.methods.spread import _joined, judge_one
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


def parts_of(made, failures):
    """Give everything that two comparisons must have in common, to the last bit."""
    told = [(backtest.method, backtest.failures, len(backtest.outcomes)) for backtest in made]
    outcomes = [carried(outcome) for backtest in made for outcome in backtest.outcomes]
    return told, outcomes, failures


def test_an_outcome_comes_back_as_it_was_sent(compared):
    for made in compared[0]:
        for outcome in made.outcomes:
            back = outcome_of(json.loads(json.dumps(carried(outcome), allow_nan=False)))
            assert carried(back) == carried(outcome)
            assert np.array_equal(back.forecast.draws, outcome.forecast.draws, equal_nan=True)
            assert back.error == outcome.error


def test_numbers_that_are_not_finite_are_carried_too(compared):
    outcome = compared[0][0].outcomes[0]
    odd = replace(outcome, forecast=replace(outcome.forecast, draws=np.array([np.nan, np.inf, -np.inf, 0.1])))
    back = outcome_of(json.loads(json.dumps(carried(odd), allow_nan=False)))
    assert np.array_equal(back.forecast.draws, odd.forecast.draws, equal_nan=True)


class InThisProcess:
    """Carry out jobs one after another here, their arguments and results sent as JSON as they are to a worker."""

    def run(self, jobs, folder, *, on_end=None, retries=2):
        ended = []
        for job in jobs:
            result = function_of(job.call)(**json.loads(json.dumps(dict(job.arguments), allow_nan=False)))
            ended.append(Ended(job.name, "done", json.loads(json.dumps(result, allow_nan=False)), tries=1))
            on_end(ended[-1])
        return ended


def test_jobs_one_by_one_give_what_one_call_gives(study, tmp_path, monkeypatch):
    monkeypatch.setattr(spread, "executor_named", lambda name: InThisProcess())
    asked = {"by": "C", "methods": ["chinchilla", "ladder", "direct"], "settings": QUICK}
    here = api.compare(study, ["c4/loss", "task/acc"], **asked)
    told = []
    there = api.compare(study, ["c4/loss", "task/acc"], **asked, on="local", folder=tmp_path, progress=told.append)
    assert parts_of(*there) == parts_of(*here)
    assert len(told) == 9


def test_workers_give_what_one_process_gives(study, tmp_path):
    asked = {"by": "held-out", "methods": ["chinchilla", "direct"], "settings": QUICK}
    here = api.compare(study, ["c4/loss"], **asked)
    there = api.compare(study, ["c4/loss"], **asked, on="local", folder=tmp_path / "work")
    assert parts_of(*there) == parts_of(*here)
    done = sorted((tmp_path / "work" / "jobs").glob("*/result.json"))
    assert len(done) == 2
    times = [path.stat().st_mtime_ns for path in done]
    again = api.compare(study, ["c4/loss"], **asked, on="local", folder=tmp_path / "work")
    assert parts_of(*again) == parts_of(*here)
    assert [path.stat().st_mtime_ns for path in done] == times  # what was done is not done again
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".pkl", ".pickle")]


def test_a_job_that_forecasts_nothing_reports_its_failures(study, tmp_path):
    save_study(study, tmp_path / "study")
    told = judge_one(str(tmp_path / "study"), "direct", 0, "C", ["c4/loss"], 40, ["noise"], 8, 0, foretell.__version__)
    assert told["outcomes"] == []
    with pytest.raises(MethodError) as here:
        judge_splits(method_named("direct"), splits_of(study, "C")[:1], ["c4/loss"], QUICK)
    with pytest.raises(MethodError) as there:
        _joined("direct", [told])
    assert str(there.value) == str(here.value)


def test_workers_need_a_folder_and_the_same_version(study, tmp_path):
    with pytest.raises(ExecuteError, match="folder that all of them see"):
        api.compare(study, ["c4/loss"], on="local")
    with pytest.raises(UnknownName, match="did you mean ladder"):
        api.compare(study, ["c4/loss"], methods=["laddr"], on="local", folder=tmp_path)
    with pytest.raises(ExecuteError, match="install the same everywhere"):
        judge_one("study", "ladder", 0, "C", ["c4/loss"], 40, ["noise"], 8, 0, "0.0.0")
    assert not (tmp_path / "jobs").exists()


def test_an_executor_is_of_no_use_in_this_process(study, tmp_path):
    save_study(study, tmp_path / "study")
    done = CliRunner().invoke(app, ["compare", str(tmp_path / "study"), "--executor", "cores=1"])
    assert isinstance(done.exception, ExecuteError)


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
