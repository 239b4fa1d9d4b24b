"""The ladder that ships, and the demo on it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foretell.cli.app import app
from foretell.forecast.seal import digest_of, open_seal
from foretell.ladder.live import modules
from foretell.rung import read_ladder
from foretell.sources.shipped import shipped_ladder
from protocols import testbeds

ROOT = Path(__file__).parents[1]
TARGET = "2.2M-26M"
ALONE = """
import socket, sys
def refuse(*_): raise OSError("no network")
socket.socket.connect = refuse
from foretell.cli import main
sys.argv = ["foretell", "demo", "--json", "--draws", "100"]
try:
    main()
finally:
    assert "torch" not in sys.modules
"""


def test_the_shipped_ladder_is_the_one_that_its_file_describes():
    ladder, study = read_ladder(ROOT / "examples" / "ladder" / "ladder.toml"), shipped_ladder()
    runs = {row["name"]: row for row in study.runs.iter_rows(named=True)}
    described = {rung.run_name(D): (rung, D) for rung in ladder.rungs for D in rung.D}
    assert set(runs) == set(described)
    for name, (rung, D) in described.items():
        assert (runs[name]["N"], runs[name]["N_total"], runs[name]["D"]) == (
            rung.shape.N, rung.shape.N_total, rung.tokens(D),
        )  # fmt: skip
        assert runs[name]["C"] == rung.shape.training_flop(rung.tokens(D))
        assert runs[name]["held_out"] == rung.held_out == (name == TARGET)


def test_the_target_lies_far_beyond_the_rungs_which_span_two_rays():
    runs = shipped_ladder().runs
    rungs = runs.filter(~runs["held_out"])
    assert runs.filter(runs["held_out"])["C"][0] >= 25 * rungs["C"].max()
    ratios = rungs["D"] / rungs["N"]
    assert ratios.max() / ratios.min() > 100
    seeds = [len(group) for _, group in rungs.group_by("N", "D")]
    assert sorted(seeds)[-8:] == [2] * 8  # two rungs have a second seed


def test_the_sealed_forecast_was_made_from_the_rungs_that_ship():
    seal = open_seal(ROOT / "examples" / "ladder" / "forecast.json")
    assert seal.data == digest_of(shipped_ladder().training())
    target = shipped_ladder().held_out().runs.row(0, named=True)
    assert {(f.target.N, f.target.D) for f in seal.forecasts} == {(target["N"], target["D"])}


def test_the_shipped_files_are_small_and_say_under_which_terms():
    folder = ROOT / "src" / "foretell" / "shipped" / "ladder"
    files = {path.name: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    tables = {"study.toml", "runs.parquet", "observations.parquet"}
    assert set(files) == {*tables, "probe.npz", "texts.json", "LICENSES.txt"}
    assert sum(files.values()) < 5_000_000
    terms = (folder / "LICENSES.txt").read_text()
    assert "PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2" in terms
    assert "public domain" in terms


def test_the_demo_needs_no_network_and_no_torch():
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {row["target"]["name"] for row in rows} == {TARGET}
    assert {"code/loss", "kernel/loss", "cloze_code/acc"} <= {row["metric"] for row in rows}
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows)


def test_the_demo_says_how_far_off_it_was():
    done = CliRunner().invoke(app, ["demo", "--draws", "100"])
    assert done.exit_code == 0, done.output
    assert "28 runs of 26.8K to 443K parameters forecast a model of" in done.stdout
    assert re.search(r"losses off by [\d.]+ % on average, most on \w+/loss", done.stdout)
    assert re.search(r"\d of 7 measurements lie in their 80% interval", done.stdout)
    assert re.search(r" \[\d", done.stdout)
    assert "\\[" not in done.stdout


def test_the_public_ladder_is_a_flag_away(monkeypatch):
    monkeypatch.setenv("FORETELL_TESTBEDS", str(testbeds()))
    done = CliRunner().invoke(app, ["demo", "--olmo", "--draws", "60"])
    assert done.exit_code == 0, done.output
    assert "16 runs of 190M to 1.28B parameters forecast two models" in done.stdout


def test_training_and_a_given_ladder_exclude_each_other():
    done = CliRunner().invoke(app, ["demo", "--train", "--olmo"])
    assert "leave out --olmo" in str(done.exception)


def test_docstrings_are_taken_out_of_code_and_kept_apart(tmp_path):
    (tmp_path / "a.py").write_text('"""Say what."""\n\n\ndef f():\n    """Do it."""\n    return 1\n')
    (tmp_path / "b.py").write_text("x = = 1\n")
    ((code, docs),) = modules(tmp_path)
    assert "Say what" not in code
    assert "return 1" in code
    assert docs == "Say what.\n\nDo it."


@pytest.mark.slow
def test_a_ladder_is_trained_forecast_and_checked_while_one_watches():
    done = subprocess.run(
        [sys.executable, "-m", "foretell", "demo", "--train", "--json"],
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    rows = {row["metric"]: row for row in json.loads(done.stdout)}
    assert {"code/loss", "docs/loss"} <= set(rows)
    assert all(abs(rows[name]["error"]) < 0.2 for name in ("code/loss", "docs/loss"))
