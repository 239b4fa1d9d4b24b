"""The lm-eval reader gives every value that lm-evaluation-harness wrote, and recomputes each document's scores."""

import json
import math
import shutil

import numpy as np
import polars as pl
import pytest

from foretell.errors import SourceError, TableError
from foretell.sources import read_harness, read_lm_eval, save_harness
from foretell.table import open_study
from foretell.table.items import open_items
from made_files import FIXTURES

FOLDER = FIXTURES / "lm-eval"
WORDS = {"bits_per_byte": "bpb", "perplexity": "ppl", "byte_perplexity": "byte_ppl", "word_perplexity": "word_ppl"}


@pytest.fixture(scope="module")
def harness():
    return read_harness(FOLDER, tokens_per_step=1000)


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "copy")
    return tmp_path / "copy"


def results():
    for file in sorted(FOLDER.rglob("results*.json")):
        content = json.loads(file.read_text())
        run, _, step = content["model_name"].partition("/checkpoint-")
        yield run, float(step), content


def samples(run="small", step=100, task="toy_mc"):
    file = next((FOLDER / f"{run}__checkpoint-{step}").glob(f"samples_{task}_*"))
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_every_value_and_stderr_is_that_of_the_results(harness):
    rows = {(r["run"], r["step"], r["metric"]): r for r in harness.observations.values.iter_rows(named=True)}
    compared = 0
    for run, step, content in results():
        for task, measures in {**content["groups"], **content["results"]}.items():
            for key, value in measures.items():
                name, _, filtered = key.partition(",")
                if not filtered or name.endswith("_stderr"):
                    continue
                where = task if filtered == "none" else f"{task}[{filtered}]"
                row = rows[run, step, f"{where}/{WORDS.get(name, name)}"]
                assert row["value"] == value
                stderr = measures[f"{name}_stderr,{filtered}"]
                assert row["stderr"] == (None if stderr == "N/A" else stderr)
                assert row["items"] == (12 if task == "toy_all" else 6)
                compared += 1
    assert compared == 4 * 12


def test_accuracies_recomputed_from_log_likelihoods_are_those_logged(harness):
    assert not [note for note in harness.observations.notes if "anew" in note]
    for measure in ("acc", "acc_norm", "acc_bytes"):
        kept = harness.outcomes.filter(run="small", D=100_000.0, metric=f"toy_mc/{measure}")
        logged = {sample["doc_hash"][:24]: sample[measure] for sample in samples()}
        assert dict(kept.select("item", "outcome").iter_rows()) == logged


def test_accuracies_that_were_not_logged_are_recomputed(copy):
    file = next((copy / "small__checkpoint-100").glob("samples_toy_mc_*"))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    told = {line["doc_hash"][:24]: line.pop("acc_norm") for line in lines}
    for line in lines:
        line["metrics"].remove("acc_norm")
    file.write_text("\n".join(map(json.dumps, lines)))
    made = read_harness(copy, tokens_per_step=1000)
    kept = made.outcomes.filter(run="small", D=100_000.0, metric="toy_mc/acc_norm")
    assert dict(kept.select("item", "outcome").iter_rows()) == told


def test_bpb_soft_and_margin_follow_from_the_log_likelihoods(harness):
    kept = {
        (row["metric"], row["item"]): row["value"]
        for row in harness.scores.filter(run="small", D=100_000.0).iter_rows(named=True)
    }
    for sample in samples():
        item, gold = sample["doc_hash"][:24], int(sample["target"])
        lls = np.array([float(ll) for ll, _ in sample["filtered_resps"]])
        size = len(sample["doc"]["choices"][gold].encode())
        shares = np.exp(lls - lls.max()) / np.exp(lls - lls.max()).sum()
        assert kept["toy_mc/bpb", item] == pytest.approx(-lls[gold] / math.log(2) / size)
        assert kept["toy_mc/soft", item] == pytest.approx(shares[gold])
        assert kept["toy_mc/margin", item] == pytest.approx(lls[gold] - np.delete(lls, gold).max())


def test_a_means_stderr_is_the_spread_over_documents(harness):
    for metric in ("toy_mc/bpb", "toy_mc/soft", "toy_last/bpb"):
        values = harness.scores.filter(run="large", D=200_000.0, metric=metric)["value"]
        row = harness.observations.values.filter(run="large", D=200_000.0, metric=metric).row(0, named=True)
        assert row["value"] == pytest.approx(values.mean())
        assert row["stderr"] == pytest.approx(values.std() / math.sqrt(len(values)))


def test_the_right_answer_is_found_where_choices_stand_in_the_question(harness):
    kept = dict(
        harness.scores.filter(run="small", D=100_000.0, metric="toy_pair/margin").select("item", "value").iter_rows()
    )
    for sample in samples(task="toy_pair"):
        lls, gold = [float(ll) for ll, _ in sample["filtered_resps"]], sample["doc"]["gold"] % 2
        assert kept[sample["doc_hash"][:24]] == pytest.approx(lls[gold] - lls[1 - gold])


def test_bits_of_whole_texts_are_pooled(copy):
    for file in copy.rglob("results*.json"):
        content = json.loads(file.read_text())
        del content["results"]["toy_text"]["bits_per_byte,none"]
        file.write_text(json.dumps(content))
    made = read_lm_eval(copy, tokens_per_step=1000)
    for run, step, content in results():
        row = made.values.filter(run=run, step=step, metric="toy_text/bpb").row(0, named=True)
        assert row["value"] == pytest.approx(content["results"]["toy_text"]["bits_per_byte,none"])
        assert 0 < row["stderr"] < 1


def test_models_are_paired_by_their_documents(harness):
    items = {
        run: set(harness.outcomes.filter(run=run, D=100_000.0, metric="toy_mc/acc")["item"])
        for run in ("small", "large")
    }
    assert items["small"] == items["large"]
    assert len(items["small"]) == 6


def test_documents_that_occur_twice_are_numbered(copy):
    file = next((copy / "small__checkpoint-100").glob("samples_toy_mc_*"))
    lines = file.read_text().splitlines()
    again = {**json.loads(lines[0]), "doc_id": 6}
    file.write_text("\n".join([json.dumps(again), *lines]))
    made = read_harness(copy, tokens_per_step=1000)
    kept = made.outcomes.filter(run="small", D=100_000.0, metric="toy_mc/acc")["item"].to_list()
    assert len(kept) == len(set(kept)) == 7
    assert again["doc_hash"][:24] + "#2" == kept[0]


def test_n_comes_from_config_and_must_agree_with_the_harness(harness):
    runs = {row["name"]: row for row in harness.observations.runs.iter_rows(named=True)}
    for run, _, content in results():
        assert runs[run]["N_total"] == content["config"]["model_num_parameters"]
    assert runs["small"]["N"] == 13424 - 2 * 257 * 16
    assert harness.observations.law_N == "N"


def test_without_config_the_harness_count_is_n_total(copy):
    for file in copy.rglob("config.json"):
        file.unlink()
    made = read_lm_eval(copy, tokens_per_step=1000)
    assert made.law_N == "N_total"
    assert made.runs["N_total"].to_list() == [41920, 13424]


def test_unknown_tokens_are_an_error_that_lists_the_models_and_what_to_give():
    with pytest.raises(SourceError) as error:
        read_lm_eval(FOLDER)
    for said in ("D is not known for", "large/checkpoint-100", "small/checkpoint-200", "--runs runs.csv", "model,N,D"):
        assert said in str(error.value)


def test_a_table_gives_n_d_family_and_attributes(tmp_path):
    table = tmp_path / "runs.csv"
    table.write_text(
        "model,step,N,D,tokens_per_step,family,held_out,lr\nsmall,,1M,,2K,toy,,0.1\nlarge,100,2M,5M,,toy,true,0.2\n"
        "large,200,2M,2xC,,toy,true,0.2\n"
    )
    made = read_lm_eval(FOLDER, runs=table)
    runs = {row["name"]: row for row in made.runs.iter_rows(named=True)}
    assert (runs["small"]["N"], runs["small"]["D"], runs["small"]["lr"]) == (1e6, 400_000, 0.1)
    assert (runs["large"]["N"], runs["large"]["D"], runs["large"]["held_out"]) == (2e6, 8e7, True)
    assert set(made.values.filter(run="large")["D"]) == {5e6, 8e7}


def test_a_checkpoint_may_be_named_in_full(tmp_path):
    table = tmp_path / "runs.csv"
    names = [f"{run}/checkpoint-{step}" for run in ("small", "large") for step in (100, 200)]
    table.write_text("model,D\n" + "".join(f"{name},{at}M\n" for at, name in enumerate(names, 1)))
    made = read_lm_eval(FOLDER, runs=table)
    assert set(made.values.filter(run="small")["D"]) == {1e6, 2e6}


def test_a_whole_runs_tokens_are_not_taken_for_a_checkpoints(tmp_path):
    (tmp_path / "runs.csv").write_text("model,N,D\nsmall,1M,10M\nlarge,2M,20M\n")
    with pytest.raises(SourceError, match="D is not known for large/checkpoint-100"):
        read_lm_eval(FOLDER, runs=tmp_path / "runs.csv")


def test_tokens_are_read_off_the_trainers_state_below_a_folder(tmp_path):
    for run in ("small", "large"):
        for step in (100, 200):
            place = tmp_path / run / f"checkpoint-{step}"
            place.mkdir(parents=True)
            (place / "trainer_state.json").write_text(
                json.dumps({"num_input_tokens_seen": step * 7, "log_history": []})
            )
    made = read_lm_eval(FOLDER, checkpoints=tmp_path)
    assert set(made.values["D"]) == {700, 1400}


def test_older_forms_read_the_same(copy, harness):
    for file in copy.rglob("samples*.jsonl"):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        for line in lines:
            line["arguments"] = [list(entry.values()) for entry in line["arguments"].values()]
            line["filtered_resps"] = [
                [float(pair[0]), pair[1] == "True"] if isinstance(pair, list) else pair
                for pair in line["filtered_resps"]
            ]
            if line["target"].isdecimal():
                line["target"] = int(line["target"])
            del line["metrics"], line["doc_hash"]
        if "toy_mc" in file.name:
            file.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines))
    for file in copy.rglob("results*.json"):
        content = json.loads(file.read_text())
        given = content["config"]["model_args"]
        content["config"]["model_args"] = ",".join(f"{name}={value}" for name, value in given.items())
        file.write_text(json.dumps(content))
    made = read_harness(copy, tokens_per_step=1000)
    assert made.observations.values.equals(harness.observations.values)
    assert made.scores.sort(pl.all()).equals(harness.scores.sort(pl.all()))


def test_samples_alone_are_read(copy, harness):
    for file in copy.rglob("results*.json"):
        file.unlink()
    made = read_harness(copy, tokens_per_step=1000)
    assert made.scores.sort(pl.all()).equals(harness.scores.sort(pl.all()))
    kept = made.observations.values.filter(metric="toy_mc/acc").select("run", "D", "value")
    assert kept.equals(harness.observations.values.filter(metric="toy_mc/acc").select("run", "D", "value"))


def test_chance_is_told_by_the_number_of_choices(harness):
    metrics = harness.observations.metrics
    assert (metrics["toy_mc/acc"].chance, metrics["toy_pair/acc"].chance, metrics["toy_last/acc"].chance) == (
        0.25,
        0.5,
        None,
    )


def test_the_latest_of_two_results_counts_whatever_the_order(copy):
    place = copy / "small__checkpoint-100"
    old = next(place.glob("results*.json"))
    content = json.loads(old.read_text())
    content["results"] = {"toy_mc": {"acc,none": 0.9, "acc_stderr,none": 0.1}}
    content["groups"] = {}
    for date, value in (("2020-01-01T00-00-00.0", 0.1), ("2030-01-01T00-00-00.0", 0.9)):
        content["results"]["toy_mc"]["acc,none"] = value
        (place / f"results_{date}.json").write_text(json.dumps(content))
    made = read_lm_eval(copy, tokens_per_step=1000)
    assert made.values.filter(run="small", step=100, metric="toy_mc/acc")["value"].to_list() == [0.9]
    assert any("the latest counts" in note for note in made.notes)


def test_different_numbers_of_examples_are_different_metrics(copy):
    file = next((copy / "small__checkpoint-100").glob("results*.json"))
    content = json.loads(file.read_text())
    content["n-shot"]["toy_mc"] = 5
    file.write_text(json.dumps(content))
    made = read_lm_eval(copy, tokens_per_step=1000)
    assert {"toy_mc_5shot/acc", "toy_mc_0shot/acc"} < set(made.metrics)
    assert "toy_mc/acc" not in made.metrics


def test_what_is_not_in_the_map_is_listed_and_left_out_until_it_is_named(copy, tmp_path):
    file = next((copy / "small__checkpoint-100").glob("results*.json"))
    content = json.loads(file.read_text())
    content["results"]["toy_mc"]["sparkle,none"] = 0.7
    file.write_text(json.dumps(content))
    made = read_lm_eval(copy, tokens_per_step=1000)
    assert any("sparkle" in note for note in made.notes)
    own = tmp_path / "map.toml"
    own.write_text('[[measure]]\nkey = "sparkle"\nmetric = "shine"\nunit = "accuracy"\n[chance]\n"toy_mc" = 0.2\n')
    named = read_lm_eval(copy, tokens_per_step=1000, map=own)
    assert named.metrics["toy_mc/shine"].unit == "accuracy"


def test_a_study_gets_items_and_scores_and_reading_twice_adds_nothing(harness, tmp_path):
    save_harness(harness, tmp_path / "s")
    files = {file: file.read_bytes() for file in sorted((tmp_path / "s").rglob("*.parquet"))}
    save_harness(harness, tmp_path / "s")
    assert {file: file.read_bytes() for file in sorted((tmp_path / "s").rglob("*.parquet"))} == files
    items = open_items(tmp_path / "s")
    assert items.doubts(open_study(tmp_path / "s")) == []
    assert items.grid("toy_mc/acc").successes.shape == (6, 4)
    scores = pl.concat(pl.read_parquet(file) for file in (tmp_path / "s" / "scores").glob("*.parquet"))
    assert len(scores) == len(harness.scores)


def test_contradicting_outcomes_change_nothing(harness, tmp_path):
    save_harness(harness, tmp_path / "s")
    before = {file: file.read_bytes() for file in sorted((tmp_path / "s").rglob("*.*"))}
    flipped = type(harness)(
        harness.observations, harness.outcomes.with_columns(outcome=1 - pl.col("outcome")), harness.scores
    )
    with pytest.raises(TableError, match="contradict"):
        save_harness(flipped, tmp_path / "s")
    assert {file: file.read_bytes() for file in sorted((tmp_path / "s").rglob("*.*"))} == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"doc_id": 0, "filter": "none"', "line 7"),
        ('{"doc_id": 0}', "line 7"),
        ("[1, 2]", "line 7"),
        ('{"arguments": 5, "filtered_resps": [], "doc": {}}', "line 7"),
        ("[" * 100_000, "line 7"),
    ],
)
def test_a_damaged_sample_is_an_error_with_its_line(copy, content, said):
    file = next((copy / "small__checkpoint-100").glob("samples_toy_mc_*"))
    with file.open("a") as stream:
        stream.write(content + "\n")
    with pytest.raises(SourceError, match=said) as error:
        read_lm_eval(copy, tokens_per_step=1000)
    assert file.name in str(error.value)


def test_a_models_name_leads_to_no_file_outside(copy, tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "trainer_state.json").write_text('{"num_input_tokens_seen": 5}')
    (tmp_path / "models").mkdir()
    for file in copy.rglob("results*.json"):
        content = json.loads(file.read_text())
        content["config"]["model_args"]["pretrained"] = "../secret"
        file.write_text(json.dumps(content))
    with pytest.raises(SourceError, match="is not known"):
        read_lm_eval(copy, checkpoints=tmp_path / "models")


@pytest.mark.parametrize("kept", [0, 3])
def test_samples_cut_off_between_two_lines_are_told_of(copy, kept):
    file = next((copy / "small__checkpoint-100").glob("samples_toy_mc*"))
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:kept]))
    told = [note for note in read_lm_eval(copy, tokens_per_step=1000).notes if "cut off" in note]
    assert len(told) == 1
    assert f"holds {kept} samples of toy_mc, its result is of 6" in told[0]
