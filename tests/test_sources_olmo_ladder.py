"""The olmo-ladder reader gives 16 runs to fit, and two targets that no fit sees."""

import json
import shutil
import time

import numpy as np
import polars as pl
import pytest

from foretell.errors import SourceError
from foretell.sources import published_sets, read_olmo_ladder
from protocols import entries, testbeds


def folder():
    return testbeds() / "olmo-ladder"


@pytest.fixture(scope="module")
def ladder():
    return read_olmo_ladder(folder())


@pytest.fixture
def copy(tmp_path):
    """Copy the config and its 18 files, so that a test may damage them."""
    for path in published_sets()["olmo-ladder"].files:
        target = tmp_path / "copy" / path.removeprefix("data/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder() / path.removeprefix("data/"), target)
    return tmp_path / "copy"


def rewrite(file, alter):
    alter(pl.read_csv(file, infer_schema=False)).write_csv(file)


def test_sixteen_runs_are_fitted_and_two_held_out(ladder):
    assert len(ladder.training().runs) == 16
    assert ladder.held_out().runs["name"].to_list() == ["13B-5T", "7B-4T"]
    assert {"190M-1xC", "1.3B-10xC", "760M-5xC", "370M-2xC"} < set(ladder.runs["name"])


def test_tokens_and_compute_of_the_targets_are_the_published(ladder):
    ends = {row["name"]: (row["N"], row["D"], row["C"]) for row in ladder.runs.iter_rows(named=True)}
    assert ends["7B-4T"] == (6887575552.0, 3945065873408.0, 3945065873408.0 * 49412071424.0)
    assert ends["13B-5T"] == (13202396160.0, 5000088518656.0, 5000088518656.0 * 91335915520.0)


def test_final_values_are_means_of_the_last_five_rows(ladder):
    for name, file in (("13B-5T", "peteish13_eval_final"), ("190M-1xC", "190M-1xC"), ("7B-4T", "peteish7_eval_anneal")):
        frame = pl.read_csv(folder() / "ladder-runs" / f"{file}.csv", infer_schema_length=None).tail(5)
        points = ladder.only_runs([name]).metric("arc_easy/acc")
        assert points.value[0] == pytest.approx(
            frame["eval/downstream/arc_easy_test_rc_5shot_len_norm"].mean(), rel=1e-14
        )
        loss = ladder.only_runs([name]).metric("c4/loss").value[0]
        assert loss == pytest.approx(frame["eval/c4_en-validation/CrossEntropyLoss"].mean(), rel=1e-14)


def test_mmlu_is_the_weighted_mean_of_its_four_parts(ladder):
    frame = pl.read_csv(folder() / "ladder-runs" / "peteish7_eval_anneal.csv", infer_schema_length=None)
    parts = ("stem", "humanities", "social_sciences", "other")
    shares = [frame[f"eval/downstream/mmlu_{part}_test_rc_5shot_len_norm"][0] for part in parts]
    expected = np.dot(entries()["olmo-ladder"]["tasks"]["mmlu"]["weights"], shares)
    assert ladder.only_runs(["7B-4T"]).metric("mmlu/acc").value[0] == pytest.approx(expected)


def test_tasks_are_those_of_the_protocol(ladder):
    for task, stated in entries()["olmo-ladder"]["tasks"].items():
        metric = ladder.metric_named(f"{task}/acc")
        assert (metric.chance, metric.items, metric.better) == (stated["chance"], stated["items"], "higher")
        assert ladder.metric_named(f"{task}/bpb").unit == "bits/byte"


def test_eleven_validation_losses_are_read(ladder):
    losses = [name for name in ladder.metrics if name.endswith("/loss")]
    assert len(losses) == 11
    assert {"c4/loss", "dolma_books/loss", "pile/loss", "wikitext_103/loss"} < set(losses)
    assert (ladder.shared_loss, ladder.final_mean, ladder.rows, ladder.law_N) == ("c4/loss", 5, "final", "N")


def test_reading_takes_less_than_a_second():
    start = time.perf_counter()
    read_olmo_ladder(folder())
    assert time.perf_counter() - start < 1.0


def test_all_files_add_the_larger_and_repeated_runs_and_hold_out_the_targets():
    whole = read_olmo_ladder(folder(), all_files=True)
    assert len(whole.runs) == 41
    assert {"3B-1xC-rerun", "1.3B-0.5xC", "3B-10xC"} < set(whole.training().runs["name"])
    assert whole.training().runs["N"].max() == 3169537280.0
    assert all(name.startswith("peteish") or name in ("7B-4T", "13B-5T") for name in whole.held_out().runs["name"])
    assert any("step 0" in note for note in whole.notes)


def test_the_order_of_the_config_does_not_matter(copy, ladder):
    config = copy / "configs" / "final.json"
    content = json.loads(config.read_text())
    config.write_text(json.dumps({key: content[key] for key in reversed(content)}))
    again = read_olmo_ladder(copy)
    assert again.values.equals(ladder.values)
    assert again.runs.equals(ladder.runs)


def test_the_order_of_rows_does_not_matter(copy, ladder):
    rewrite(copy / "ladder-runs" / "190M-1xC.csv", lambda frame: frame.reverse())
    assert read_olmo_ladder(copy).values.equals(ladder.values)


def test_tokens_are_steps_times_batch_where_their_cell_is_empty(copy, ladder):
    column = "throughput/total_tokens"
    rewrite(copy / "ladder-runs" / "190M-1xC.csv", lambda frame: frame.with_columns(pl.lit(None).alias(column)))
    assert read_olmo_ladder(copy).runs["D"].to_list() == ladder.runs["D"].to_list()


def test_an_empty_cell_is_a_hole(copy, ladder):
    column = "eval/c4_en-validation/CrossEntropyLoss"
    empty_first = pl.when(pl.int_range(pl.len()) == 0).then(None).otherwise(pl.col(column)).alias(column)
    rewrite(copy / "ladder-runs" / "190M-1xC.csv", lambda frame: frame.with_columns(empty_first))
    read = read_olmo_ladder(copy)
    assert len(read.values) == len(ladder.values) - 1
    assert read.notes == ("1 cells are empty",)


@pytest.mark.parametrize("cell", ["nan", "NaN", "inf", "-inf"])
def test_a_written_nan_or_inf_is_refused(copy, cell):
    column = "eval/c4_en-validation/CrossEntropyLoss"
    rewrite(copy / "ladder-runs" / "190M-1xC.csv", lambda frame: frame.with_columns(pl.lit(cell).alias(column)))
    with pytest.raises(ValueError, match="not a finite number"):
        read_olmo_ladder(copy)


@pytest.mark.parametrize("place", ["gadre", "README.md", "nowhere"])
def test_a_folder_of_another_kind_is_refused(place):
    with pytest.raises(SourceError, match=r"expected configs/final.json"):
        read_olmo_ladder(testbeds() / place)


def test_a_missing_file_is_named(copy):
    (copy / "ladder-runs" / "370M-2xC.csv").unlink()
    with pytest.raises(SourceError, match=r"lacks 370M-2xC.csv"):
        read_olmo_ladder(copy)


def test_a_missing_column_is_named(copy):
    rewrite(copy / "ladder-runs" / "370M-2xC.csv", lambda f: f.drop("eval/downstream/piqa_val_rc_5shot_len_norm"))
    with pytest.raises(SourceError, match="lacks the column 'eval/downstream/piqa"):
        read_olmo_ladder(copy)


def test_a_damaged_file_is_named(copy):
    file = copy / "ladder-runs" / "370M-2xC.csv"
    file.write_text(file.read_text()[:3000].replace("2.", "two"))
    with pytest.raises(SourceError, match=r"370M-2xC.csv"):
        read_olmo_ladder(copy)


def test_a_checkout_of_the_repository_is_found(copy, tmp_path, ladder):
    paper = tmp_path / "checkout" / "src" / "scripts" / "paper"
    paper.mkdir(parents=True)
    shutil.move(copy / "configs", paper / "configs")
    (paper / "data").mkdir()
    shutil.move(copy / "ladder-runs", paper / "data" / "ladder-runs")
    assert read_olmo_ladder(tmp_path / "checkout").values.equals(ladder.values)
