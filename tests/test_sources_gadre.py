"""The gadre reader gives every run its counts, losses and accuracies."""

import json
import shutil

import numpy as np
import polars as pl
import pytest

from foretell.errors import SourceError, TableError
from foretell.sources import read_gadre
from protocols import testbeds


@pytest.fixture(scope="module")
def gadre():
    return read_gadre(testbeds() / "gadre")


@pytest.fixture
def copy(tmp_path):
    """Copy two runs, so that a test may damage them."""
    source, target = testbeds() / "gadre" / "exp_data", tmp_path / "exp_data"
    for name in ("models", "evals"):
        (target / name).mkdir(parents=True)
    shutil.copyfile(source / "eval_metadata.csv", target / "eval_metadata.csv")
    for name in ("c4_original-open_lm_1b-4.0", "rpj-d=96_l=8_h=4-1.0"):
        shutil.copyfile(source / "models" / f"{name}.json", target / "models" / f"{name}.json")
        shutil.copyfile(
            source / "evals" / f"evaluation_{name}_heavy.json", target / "evals" / f"evaluation_{name}_heavy.json"
        )
    return target


def change(file, alter):
    content = json.loads(file.read_text())
    alter(content)
    file.write_text(json.dumps(content))


def test_all_104_runs_have_eight_losses_and_46_accuracies(gadre):
    assert dict(gadre.runs["family"].value_counts().iter_rows()) == {"c4": 34, "rpj": 35, "rw": 35}
    units = [metric.unit for metric in gadre.metrics.values()]
    assert (units.count("nats/token"), units.count("accuracy")) == (8, 46)
    assert len(gadre.values) == 104 * 54
    assert not gadre.runs["held_out"].any()


def test_tokens_are_twenty_times_the_multiplier_times_all_parameters(gadre):
    runs = gadre.runs
    np.testing.assert_allclose(runs["D"], 20 * runs["multiplier"] * runs["N_total"], rtol=1e-15)
    np.testing.assert_allclose(runs["C"], 6 * runs["N_total"] * runs["D"], rtol=1e-15)
    assert (runs["N"] < runs["N_total"]).all()
    assert gadre.law_N == "N_total"


def test_the_loss_of_a_known_run_is_the_files(gadre):
    points = gadre.only_runs(["rw_original-d=96_l=8_h=4-1.0"]).metric("c4/loss")
    assert points.value.tolist() == [5.271892380117802]
    assert points.inputs["N"].tolist() == [10569312.0]
    assert points.inputs["M"].tolist() == [20.0]


def test_twelve_runs_come_from_another_site(gadre):
    assert len(gadre.where("site = 'tri-ml-datasets'").runs) == 12


def test_a_standard_error_is_a_fraction_of_its_loss(gadre):
    losses = gadre.values.filter(pl.col("metric") == "c4/loss")
    assert (losses["stderr"] > 0).all()
    assert (losses["stderr"] < 0.01 * losses["value"]).all()


def test_accuracies_outside_category_means_are_counts(gadre):
    for name, metric in gadre.metrics.items():
        if metric.unit == "accuracy" and name not in {f"{t}/acc" for t in ("bbq", "jeopardy", "mmlu", "mmlu_zeroshot")}:
            counts = gadre.metric(name).value * metric.items
            np.testing.assert_allclose(counts, np.round(counts), atol=0.01, err_msg=name)


def test_the_folder_itself_and_its_parents_are_found(gadre):
    for path in (testbeds(), testbeds() / "gadre" / "exp_data"):
        assert read_gadre(path).values.equals(gadre.values)


@pytest.mark.parametrize("place", ["olmo-ladder", "README.md", "nowhere"])
def test_a_folder_of_another_kind_is_refused(place):
    with pytest.raises(SourceError, match="expected exp_data with models"):
        read_gadre(testbeds() / place)


def test_a_truncated_file_is_named(copy):
    file = copy / "models" / "rpj-d=96_l=8_h=4-1.0.json"
    file.write_text(file.read_text()[:500])
    with pytest.raises(SourceError, match=r"rpj-d=96_l=8_h=4-1.0.json cannot be read"):
        read_gadre(copy)


def test_a_missing_evaluation_is_named(copy):
    (copy / "evals" / "evaluation_rpj-d=96_l=8_h=4-1.0_heavy.json").unlink()
    with pytest.raises(SourceError, match="evaluation_rpj"):
        read_gadre(copy)


def test_a_missing_entry_is_told(copy):
    change(copy / "models" / "rpj-d=96_l=8_h=4-1.0.json", lambda run: run["hyperparameters"].pop("params"))
    with pytest.raises(SourceError, match="params"):
        read_gadre(copy)


def test_a_loss_that_is_not_a_number_is_refused(copy):
    change(copy / "models" / "rpj-d=96_l=8_h=4-1.0.json", lambda run: run["results"][0].update(loss=float("nan")))
    with pytest.raises(TableError, match="not a finite number"):
        read_gadre(copy)


def test_tokens_that_contradict_the_multiplier_are_refused(copy):
    change(copy / "models" / "rpj-d=96_l=8_h=4-1.0.json", lambda run: run["hyperparameters"].update(tokens=1))
    with pytest.raises(SourceError, match="states 1 tokens"):
        read_gadre(copy)


def test_an_unknown_task_is_refused(copy):
    evaluation = copy / "evals" / "evaluation_rpj-d=96_l=8_h=4-1.0_heavy.json"
    change(evaluation, lambda content: content["eval_metrics"]["icl"].update(juggling=0.5))
    with pytest.raises(SourceError, match="'juggling'"):
        read_gadre(copy)
