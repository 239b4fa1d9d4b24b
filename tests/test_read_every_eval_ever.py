"""Records that every_eval_ever's converter made of harness files tell what these files do."""

import json
import re
import shutil

import pytest

from foretell.errors import SourceError
from foretell.sources import read_every_eval_ever, read_harness, read_records
from made_files import FIXTURES

FOLDER = FIXTURES / "every-eval-ever"


@pytest.fixture(scope="module")
def records():
    return read_records(FOLDER, tokens_per_step=1000)


def test_scores_and_stderrs_are_those_of_the_harness(records):
    harness = read_harness(FIXTURES / "lm-eval", tokens_per_step=1000)
    told = {(r["run"], r["D"], r["metric"]): r for r in harness.observations.values.iter_rows(named=True)}
    for row in records.observations.values.iter_rows(named=True):
        task, _, measure = row["metric"].rpartition("/")
        task, _, filtered = task.partition("/")
        same = told[row["run"], row["D"], f"{task}[{filtered}]/{measure}" if filtered else row["metric"]]
        assert (row["value"], row["stderr"], row["items"]) == (same["value"], same["stderr"], same["items"])
    assert len(records.observations.values) == 4 * 6


def test_outcomes_are_keyed_by_the_document_as_the_harness_keys_them(records):
    harness = read_harness(FIXTURES / "lm-eval", tokens_per_step=1000)
    for measure in ("acc", "acc_norm", "acc_bytes"):
        mine = records.outcomes.filter(run="small", D=1e5, metric=f"toy_mc/{measure}").sort("item")
        other = harness.outcomes.filter(run="small", D=1e5, metric=f"toy_mc/{measure}").sort("item")
        assert mine.equals(other)


def test_all_parameters_are_known_by_the_record(records):
    assert records.observations.runs["N_total"].to_list() == [41920, 13424]


def test_percentages_become_shares(tmp_path):
    shutil.copytree(FOLDER / "toy_all", tmp_path / "toy_all")
    for file in tmp_path.rglob("*.json"):
        content = json.loads(file.read_text())
        result = content["evaluation_results"][0]
        result["metric_config"]["metric_unit"] = "percent"
        result["score_details"]["score"] = 45.5
        file.write_text(json.dumps(content))
    assert read_every_eval_ever(tmp_path, tokens_per_step=1000).values["value"].to_list() == pytest.approx([0.455] * 4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ('{"evaluation_results": []}', "schema"),
        ('{"schema_version": "0.3.0", "evaluation_results": 1}', "model_info.id"),
        ('{"other": 1}', "evaluation_results"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path, text, said):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(SourceError, match=said):
        read_every_eval_ever(tmp_path / "a.json", tokens_per_step=1)


@pytest.mark.parametrize("score", ["NaN", '"high"', "null"])
def test_a_score_that_is_no_number_is_counted(tmp_path, score):
    shutil.copytree(FOLDER / "toy_all", tmp_path / "toy_all")
    file = sorted(tmp_path.rglob("*.json"))[0]
    file.write_text(re.sub(r'"score": [\d.]+', f'"score": {score}', file.read_text()))
    notes = read_every_eval_ever(tmp_path, tokens_per_step=1000).notes
    assert "1 scores are no finite numbers; left out" in notes
