"""The example notebooks run from their first cell on what ships alone, and are kept without outputs."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))
RUN = """
import sys, nbclient, nbformat
book = nbformat.read(sys.argv[1], 4)
nbclient.NotebookClient(book, timeout=600, resources={"metadata": {"path": sys.argv[2]}}).execute()
nbformat.write(book, sys.argv[3])
"""
SAID_BY = {  # what the outputs of a notebook must say
    "1_forecast_a_run": ["decades beyond", "hard/acc  0.753", "image/png", "E + A/N**alpha + B/D**beta"],
    "2_plan_a_ladder": ["H100 hours", "% of the target&#x27;s FLOP|% of the target's FLOP", "3%"],
    "3_judge_a_method": ["backtest of ladder", "copying the largest run: 15.03%", "borrowed", "whole ladder|ladder"],
    "4_mixtures": ["share", "nats more"],
    "5_trajectories": ["109|101|10", "cloze_kernel/acc: perplexity 8.1", "image/png"],
    "6_from_lm_eval": ["quiz/bpb", "forecast by ladder", "quiz/acc"],
}

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def test_there_is_one_for_each_main_job():
    assert [path.stem for path in NOTEBOOKS] == list(SAID_BY)


@each
def test_a_notebook_is_kept_without_outputs(path):
    code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
    assert code
    for cell in code:
        assert (cell["outputs"], cell["execution_count"]) == ([], None)
        ast.parse("".join(cell["source"]))


@each
def test_a_notebook_begins_with_its_question(path):
    first = cells(path)[0]
    assert first["cell_type"] == "markdown"
    assert first["source"][0].startswith("# ")


@pytest.mark.slow
@each
def test_a_notebook_runs_and_says_what_it_should(path, tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (tmp_path / "runs.csv").symlink_to(ROOT / "examples" / "runs.csv")
    made = tmp_path / "made.ipynb"
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(path), str(folder), str(made)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    outputs = [output for cell in cells(made) for output in cell.get("outputs", [])]
    told = json.dumps(outputs)
    assert [output for output in outputs if output.get("name") == "stderr"] == []
    for said in SAID_BY[path.stem]:
        assert any(way in told for way in said.split("|")), said
