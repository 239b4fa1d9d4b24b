"""The trainer reader gives the Hugging Face Trainer's values, its tokens, and N from config.json."""

import json
import shutil

import pytest

from foretell.errors import SourceError
from foretell.sources import read_trainer
from foretell.sources.model_size import count_parameters
from made_files import FIXTURES

FOLDER = FIXTURES / "trainer" / "runs"
COUNTED = json.loads((FIXTURES / "trainer" / "counted.json").read_text())


def test_every_loss_is_the_one_logged():
    made = read_trainer(FOLDER)
    rows = {(r["run"], r["step"], r["metric"]): (r["D"], r["value"]) for r in made.values.iter_rows(named=True)}
    compared = 0
    for run in ("tiny", "small"):
        history = json.loads((FOLDER / run / "trainer_state.json").read_text())["log_history"]
        tokens = {entry["step"]: entry["num_input_tokens_seen"] for entry in history if "loss" in entry}
        for entry in history:
            for key, metric in (("loss", "train/loss"), ("eval_c4_loss", "c4/loss"), ("eval_wiki_loss", "wiki/loss")):
                if key in entry:
                    assert rows[run, entry["step"], metric] == (tokens[entry["step"]], entry[key])
                    compared += 1
    assert compared == len(rows) == 16


def test_n_is_counted_from_config_and_checkpoints_are_one_run():
    made = read_trainer(FOLDER)
    assert made.runs["name"].to_list() == ["small", "tiny"]
    assert made.law_N == "N"
    assert made.runs["N_total"].to_list() == [32992, 9840]
    assert not made.notes


@pytest.mark.parametrize("kind", COUNTED)
def test_parameters_counted_from_config_are_those_of_the_model(kind):
    size = count_parameters(COUNTED[kind]["config"])
    assert (size.N, size.N_total) == (COUNTED[kind]["N"], COUNTED[kind]["N_total"])


def test_an_unknown_model_is_not_guessed():
    assert count_parameters({"model_type": "mamba", "hidden_size": 8}) is None
    assert count_parameters({**COUNTED["llama"]["config"], "hidden_size": "wide"}) is None
    assert count_parameters({**COUNTED["llama"]["config"], "num_attention_heads": 0}) is None


def test_tokens_per_step_stands_in_where_tokens_were_not_counted(tmp_path):
    shutil.copytree(FOLDER / "tiny" / "checkpoint-20", tmp_path / "run")
    file = tmp_path / "run" / "trainer_state.json"
    state = json.loads(file.read_text())
    for entry in (state, *state["log_history"]):
        entry.pop("num_input_tokens_seen", None)
    file.write_text(json.dumps(state))
    with pytest.raises(SourceError, match="D is not known for run"):
        read_trainer(tmp_path / "run")
    assert set(read_trainer(tmp_path / "run", tokens_per_step=100).values["D"]) == {500, 1000, 1500, 2000}


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"log_history": 3}', '{"log_history": [{"loss": 1}]}', "[" * 99999, "\xff"]
)
def test_what_is_no_state_is_refused_with_its_file(tmp_path, text):
    (tmp_path / "trainer_state.json").write_text(text, encoding="latin-1")
    with pytest.raises(SourceError, match=r"trainer_state\.json"):
        read_trainer(tmp_path)
