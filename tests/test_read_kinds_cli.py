"""`foretell read KIND` makes a study of what each tool wrote, and reading again adds nothing."""

import json
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from foretell.cli import read as verb
from foretell.cli.app import app
from foretell.errors import ForetellError, SourceError
from foretell.sources import SOURCES
from foretell.table import open_study
from made_files import FIXTURES

CASES = {
    "lm-eval": ("lm-eval", ["--tokens-per-step", "1K"], 19, 76),
    "every-eval-ever": ("every-eval-ever", ["--tokens-per-step", "1K"], 6, 24),
    "wandb": ("wandb/offline", [], 4, 50),
    "trainer": ("trainer/runs", [], 3, 16),
    "tensorboard": ("tensorboard", ["--runs"], 2, 40),
    "olmo-core": ("olmo-core", ["--runs"], 5, 20),
    "torchtitan": ("torchtitan", ["--runs", "--tokens-per-step", "8192"], 2, 24),
    "lightning": ("lightning", ["--runs"], 3, 28),
    "mlflow": ("mlflow/mlflow.db", ["--experiment", "ladder"], 2, 20),
}


@pytest.fixture
def table(tmp_path):
    names = ["60M", "150M", "60M-1xC", "100M-1xC", "debug-8M", "debug-16M", "pythia-14m", "pythia-31m"]
    path = tmp_path / "runs.csv"
    path.write_text("run,N\n" + "".join(f"{name},{re.search('[0-9]+', name)[0]}M\n" for name in names))
    return path


def words(kind, table, study):
    path, given, _, _ = CASES[kind]
    options = [part for word in given for part in ([word, str(table)] if word == "--runs" else [word])]
    return ["read", kind, str(FIXTURES / path), *options, "-o", str(study)]


@pytest.mark.parametrize("kind", CASES)
def test_each_kind_is_read_twice_with_the_same_study(kind, table, tmp_path):
    line = words(kind, table, tmp_path / "s")
    done = CliRunner().invoke(app, [*line, "--json"], catch_exceptions=False)
    told = json.loads(done.stdout)
    assert (len(told["metrics"]), sum(metric["values"] for metric in told["metrics"].values())) == CASES[kind][2:]
    before = open_study(tmp_path / "s")
    again = CliRunner().invoke(app, line, catch_exceptions=False)
    assert f"{CASES[kind][3]} values were already there; merged" in again.stdout
    after = open_study(tmp_path / "s")
    assert after.values.equals(before.values)
    assert after.runs.equals(before.runs)


def test_every_kind_has_a_command_with_an_example():
    for kind in set(SOURCES) - {"gadre", "olmo-ladder"}:
        shown = CliRunner().invoke(app, ["read", kind, "--help"]).stdout
        assert f"foretell read {kind} " in shown, kind
    assert {command.name or command.callback.__name__ for command in verb.app.registered_commands} == set(SOURCES)


def test_help_imports_no_reader():
    code = (
        "import sys; from foretell.cli.app import app; "
        "heavy = {'polars', 'numpy', 'sqlite3', 'foretell.sources'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_error_leaves_an_older_study_as_it_was(tmp_path, table):
    CliRunner().invoke(app, words("trainer", table, tmp_path / "s"), catch_exceptions=False)
    before = {file: file.read_bytes() for file in (tmp_path / "s").rglob("*.*")}
    bad = tmp_path / "trainer_state.json"
    bad.write_text('{"log_history": [{"step": 1, "loss"')
    with pytest.raises(SourceError, match=r"not JSON.*cut off"):
        CliRunner().invoke(app, ["read", "trainer", str(bad), "-o", str(tmp_path / "s")], catch_exceptions=False)
    assert {file: file.read_bytes() for file in (tmp_path / "s").rglob("*.*")} == before


def test_names_of_runs_cannot_steer_the_terminal_or_leave_the_study(tmp_path):
    results = {
        "results": {"t\x1b[2J": {"acc,none": 0.5}},
        "config": {"model_args": {"pretrained": "../../evil\x1b[31m"}, "model_num_parameters": 100},
    }
    (tmp_path / "results.json").write_text(json.dumps(results))
    line = [
        "read",
        "lm-eval",
        str(tmp_path / "results.json"),
        "--runs",
        str(tmp_path / "runs.csv"),
        "-o",
        str(tmp_path / "s"),
    ]
    (tmp_path / "runs.csv").write_text("model,D\nevil\ufffd[31m,5M\n")
    done = CliRunner().invoke(app, line, catch_exceptions=False)
    assert "\x1b" not in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.json", "runs.csv", "s"]


def test_a_wrong_rate_is_refused(tmp_path):
    with pytest.raises(ForetellError, match="tokens per step"):
        CliRunner().invoke(
            app,
            ["read", "wandb", str(tmp_path), "--tokens-per-step", "many", "-o", str(tmp_path / "s")],
            catch_exceptions=False,
        )


def test_a_terminal_is_shown_which_file_is_read_and_how_far(tmp_path):
    rows = "".join(f"{step},{4 - step / 1e5:.5f},{step}000\n" for step in range(1, 5001))
    (tmp_path / "[red]60M.csv").write_text("_step,train/loss,tokens_seen\n" + rows)
    (tmp_path / "sizes.csv").write_text("run,N\n[red]60M,60M\n")
    words = ["read", "wandb", str(tmp_path / "[red]60M.csv"), "--runs", str(tmp_path / "sizes.csv")]
    words += ["--tokens-per-step", "1K", "-o", str(tmp_path / "s")]
    shown = CliRunner().invoke(app, words, env={"FORCE_COLOR": "1"}, catch_exceptions=False).stderr
    assert "reading wandb" in shown
    assert "file 2, [red]60M.csv, line 4,096" in re.sub(r"\x1b\[[0-9;]*m|\s*\n\s*", "", shown)
    plain = CliRunner().invoke(app, words, catch_exceptions=False)
    assert not plain.stderr
