"""The readers of OLMo-core, Levanter, torchtitan and Lightning give what these tools wrote."""

import csv
import json
import re

import pytest

from foretell.errors import SourceError
from foretell.sources import read_levanter, read_lightning, read_olmo_core, read_torchtitan
from made_files import FIXTURES


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "runs.csv"
    names = ["60M-1xC", "100M-1xC", "debug-8M", "debug-16M", "pythia-14m", "pythia-31m"]
    path.write_text("run,N\n" + "".join(f"{name},{re.search('[0-9]+', name)[0]}M\n" for name in names))
    return path


def values(made):
    return {(r["run"], r["metric"], r["step"]): (r["D"], r["value"]) for r in made.values.iter_rows(named=True)}


def test_metrics_of_olmo_core_are_those_saved(table):
    found = values(read_olmo_core(FIXTURES / "olmo-core", runs=table))
    for run in ("60M-1xC", "100M-1xC"):
        for step in (100, 200, 300):
            saved = json.loads((FIXTURES / "olmo-core" / run / f"metrics_step{step}.json").read_text())
            tokens = saved["throughput/total tokens"]
            assert found[run, "train/loss", step] == (tokens, saved["train/CE loss"])
            if step < 300:
                task = "arc_easy_test_rc_5shot"
                assert found[run, "c4_en/loss", step] == (tokens, saved["eval/lm/c4_en-validation/CE loss"])
                assert found[run, f"{task}/bpb_v2", step] == (tokens, saved[f"eval/downstream/{task} (BPB v2)"])


def test_an_evaluation_carried_along_from_an_earlier_step_is_left_out_aloud(table):
    made = read_olmo_core(FIXTURES / "olmo-core", runs=table)
    assert ("60M-1xC", "c4_en/loss", 300.0) not in values(made)
    assert any("carried along" in note for note in made.notes)


def test_a_final_file_without_step_is_placed_by_its_tokens(tmp_path, table):
    run = tmp_path / "60M-1xC"
    run.mkdir()
    (run / "metrics_step10.json").write_text('{"train/CE loss": 5, "throughput/total tokens": 1000}')
    (run / "metrics.json").write_text('{"train/CE loss": 5, "throughput/total tokens": 1000}')
    made = read_olmo_core(tmp_path, runs=table)
    assert values(made) == {("60M-1xC", "train/loss", 10.0): (1000.0, 5.0)}


def test_lines_of_torchtitans_console_are_read_with_and_without_colours(table):
    found = values(read_torchtitan(FIXTURES / "torchtitan", runs=table, tokens_per_step=8192))
    for run, loss in (("debug-8M", 7.0), ("debug-16M", 6.5)):
        for step in range(10, 101, 10):
            assert found[run, "train/loss", step] == (step * 8192, pytest.approx(loss + 12 / step, abs=6e-6))
        assert found[run, "val/loss", 50] == (50 * 8192, pytest.approx(loss + 14 / 50, abs=6e-5))
    assert len(found) == 24


def test_columns_of_lightnings_logger_are_read(table):
    found = values(read_lightning(FIXTURES / "lightning", runs=table))
    compared = 0
    for run in ("pythia-14m", "pythia-31m"):
        with (FIXTURES / "lightning" / run / "version_0" / "metrics.csv").open() as file:
            for row in csv.DictReader(file):
                for column, metric in (("loss", "train/loss"), ("val_loss", "val/loss"), ("val_ppl", "val/ppl")):
                    if row[column]:
                        step = float(row["step"])
                        assert found[f"{run}/version_0", metric, step] == (step * 4096, float(row[column]))
                        compared += 1
    assert compared == len(found) == 28


def test_a_tracker_file_of_levanter_is_read(tmp_path):
    summary = {
        "eval/paloma/c4_en/bpb": 1.1,
        "eval/paloma/c4_en/loss": 3.2,
        "throughput/total_tokens": 1e9,
        "throughput/total_gflops": 6e8,
        "parameter_count": 1e8,
        "_step": 500,
    }
    (tmp_path / "tracker_metrics.jsonl").write_text(
        json.dumps({"config": {"run_name": "d512"}, "summary": summary}) + "\n"
    )
    made = read_levanter(tmp_path)
    assert values(made) == {
        ("d512", "paloma/c4_en/bpb", 500.0): (1e9, 1.1),
        ("d512", "paloma/c4_en/loss", 500.0): (1e9, 3.2),
    }
    assert made.runs.select("N_total", "C").row(0) == (1e8, 6e17)


def test_tokens_between_two_records_lie_on_a_line_and_beyond_them_are_not_known(tmp_path):
    rows = ["step,loss,total_tokens", "10,5,100", "15,4.9,", "20,4.8,300", "30,4.7,"]
    (tmp_path / "metrics.csv").write_text("\n".join(rows))
    (tmp_path / "runs.csv").write_text(f"run,N\n{tmp_path.name},1M\n")
    made = read_lightning(tmp_path / "metrics.csv", runs=tmp_path / "runs.csv")
    assert made.values["D"].to_list() == [100, 200, 300]
    assert any("the tokens at their steps are not known" in note for note in made.notes)


@pytest.mark.parametrize(
    ("read", "name", "text", "said"),
    [
        (read_olmo_core, "metrics_step1.json", "[]", "no object of metrics"),
        (read_olmo_core, "metrics.json", '{"train/CE loss": 1}', "neither its step nor its tokens"),
        (read_torchtitan, "a.log", "nothing here\n", "no line such as"),
        (read_lightning, "metrics.csv", "loss\n1\n", "no column step"),
        (read_lightning, "metrics.csv", "step,loss\n1,2\n3\n", "line 3"),
        (read_lightning, "metrics.csv", 'step,loss\n1,"2\n', "line 2"),
        (read_levanter, "tracker_metrics.jsonl", "{}\n", "line 1"),
    ],
)
def test_what_is_no_log_is_refused_with_its_file(tmp_path, read, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(SourceError, match=said):
        read(tmp_path, tokens_per_step=1)


def test_losses_that_are_all_nan_are_not_said_to_be_missing(tmp_path):
    text = (FIXTURES / "torchtitan/debug-8M.log").read_text()
    (tmp_path / "debug-8M.log").write_text(re.sub(r"loss: +[\d.]+", "loss:  nan", text))
    with pytest.raises(SourceError, match="12 of keys in the metric map are no finite numbers"):
        read_torchtitan(tmp_path, tokens_per_step=8192)


def test_what_levanter_counts_its_parameters_by_is_no_unknown_key(tmp_path):
    summary = {"_step": 5, "parameter_count": 1e8, "throughput/total_tokens": 1e9, "eval/c4_en/loss": 3.2, "odd": 1.0}
    line = {"config": {"run_name": "d512"}, "summary": summary}
    (tmp_path / "tracker_metrics.jsonl").write_text(json.dumps(line))
    assert read_levanter(tmp_path).notes == ("1 keys are not in the metric map and were left out: odd",)
