"""The wandb reader gives what was logged, from local run folders, CSV exports and JSON rows alike."""

import json
import math
import shutil

import pytest

from foretell.errors import SourceError
from foretell.sources import read_wandb
from made_files import FIXTURES

FOLDER = FIXTURES / "wandb"
LOGGED = json.loads((FOLDER / "expected.json").read_text())
NAMES = {
    "train/CE loss": "train/loss",
    "eval/lm/c4_en-validation/CE loss": "c4_en/loss",
    "eval/downstream/hellaswag_rc_5shot (length-normalized accuracy)": "hellaswag_rc_5shot/acc_norm",
    "eval/downstream/hellaswag_rc_5shot (BPB v2)": "hellaswag_rc_5shot/bpb_v2",
}


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("run,N\n190M-1xC,190354176\n370M-1xC,371262464\n")
    return path


def logged():
    return {
        (run, float(row["_step"]), NAMES[key]): (float(row["throughput/total tokens"]), value)
        for run, rows in LOGGED.items()
        for row in rows
        for key, value in row.items()
        if key in NAMES and math.isfinite(value)
    }


def values(made):
    return {(r["run"], r["step"], r["metric"]): (r["D"], r["value"]) for r in made.values.iter_rows(named=True)}


def test_a_local_run_gives_every_value_its_name_and_its_configuration():
    made = read_wandb(FOLDER / "offline")
    assert values(made) == logged()
    assert dict(made.runs.select("name", "N").iter_rows()) == {"190M-1xC": 190_354_176, "370M-1xC": 371_262_464}
    assert made.metrics["hellaswag_rc_5shot/acc_norm"].chance == 0.25


def test_scan_history_rows_give_the_same(table):
    assert values(read_wandb(FOLDER / "export", runs=table)) == logged()


def test_panels_of_a_page_join_by_run(tmp_path, table):
    for file in FOLDER.glob("panel_*.csv"):
        shutil.copyfile(file, tmp_path / file.name)
    made = read_wandb(tmp_path, runs=table)  # the table lies in the same folder
    assert values(made) == {key: value for key, value in logged().items() if key[2] == "train/loss"}


def test_one_csv_a_run_is_named_by_its_file(tmp_path):
    rows = LOGGED["190M-1xC"]
    keys = ["_step", "throughput/total tokens", "train/CE loss"]
    lines = [",".join(f'"{key}"' for key in keys)] + [",".join(str(row[key]) for key in keys) for row in rows]
    (tmp_path / "190M-1xC.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "runs.toml").write_text('["190M-1xC"]\nN = "190M"\n')
    made = read_wandb(tmp_path / "190M-1xC.csv", runs=tmp_path / "runs.toml")
    assert values(made) == {k: v for k, v in logged().items() if k[0] == "190M-1xC" and k[2] == "train/loss"}


def test_unmapped_keys_are_listed_as_text_and_nan_is_counted():
    notes = " ".join(read_wandb(FOLDER / "offline").notes)
    assert "odd/<script>alert(1)</script>" in notes
    assert "1 values are no finite numbers" in notes


def test_a_run_that_still_writes_counts_up_to_its_last_whole_record(tmp_path):
    content = (FOLDER / "offline" / "run-190M-1xC.wandb").read_bytes()
    (tmp_path / "run-a.wandb").write_bytes(content[: len(content) * 2 // 3])
    made = read_wandb(tmp_path / "run-a.wandb")
    assert 0 < len(made.values) < 25
    assert set(values(made).items()) < set(logged().items())
    assert any("ends within a record" in note for note in made.notes)


@pytest.mark.parametrize("at", [200, 2000, 5000])
def test_a_flipped_byte_is_an_error_with_its_place(tmp_path, at):
    content = bytearray((FOLDER / "offline" / "run-190M-1xC.wandb").read_bytes())
    content[at] ^= 0x10
    (tmp_path / "run-a.wandb").write_bytes(content)
    with pytest.raises(SourceError, match=r"byte \d+"):
        read_wandb(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "Step,b\n1,2\n", "neither a column _step"),
        ("a.csv", "Step,r - loss\n1,2,3\n", "line 2"),
        ("a.csv", "Step,r - loss\nx,2\n", "line 2"),
        ("a.csv", "Relative Time,r - loss\n1,2\n", "export it over Step"),
        ("a.csv", "_step,_step\n1,2\n", "two columns"),
        ("a.csv", "", "no first line"),
        ("a.json", '{"a": 1}', "no list of rows"),
        ("a.json", "[{}]", "row 1"),
        ("a.jsonl", '{"_step": 1}\n{"_step"', "line 2"),
        ("a.wandb", "nothing", "does not begin"),
    ],
)
def test_what_is_no_history_is_refused_with_file_and_place(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(SourceError, match=said) as error:
        read_wandb(tmp_path / name, tokens_per_step=1)
    assert name in str(error.value)


def test_two_folders_of_one_run_are_one_run(tmp_path):
    for name in ("a", "b"):
        shutil.copyfile(FOLDER / "offline" / "run-190M-1xC.wandb", tmp_path / f"run-{name}.wandb")
    assert len(read_wandb(tmp_path).runs) == 1
    assert len(read_wandb(tmp_path).values) == 25
