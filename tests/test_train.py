"""Training: to the same weights however often it is stopped, and never silently wrong."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from corpora import EVALUATED, TINY, make_corpus, tiny_rung
from foretell.errors import CorpusError, LadderError, TrainError
from foretell.ladder.gather import gather
from foretell.ladder.training import train_ladder
from foretell.lm import train as training
from foretell.lm.checkpoint import complete_checkpoints
from foretell.lm.report import Progress
from foretell.lm.task_checkpoint import load_checkpoint
from foretell.lm.train import train_rung
from foretell.rung import Ladder
from foretell.table import open_study
from foretell.table.items import Items
from train_one import EVALUATION

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of torch's own parts


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    """Train the tiny rung without a stop; give its study."""
    study = tmp_path_factory.mktemp("whole") / "study"
    train_rung(tiny_rung(), corpus, study, evaluation=EVALUATION)
    return study


def kept(study):
    """Give what must not depend on stops: weights, measurements, curves, items, losses of the probe."""
    files = {}
    for path in sorted(study.rglob("*")):
        name = str(path.relative_to(study))
        if "/." in name or "/curves/" in name:  # a killed writer's unfinished file bears a name of its own
            continue
        if path.is_file() and name.startswith(("rungs", "items", "tokens")):
            files[name] = path.read_bytes()
    return files


def curve(study, run):
    parts = sorted(study.glob(f"rungs/*/curves/{run}-*.npy"))
    return np.concatenate([np.load(part) for part in parts])


class Stopped(BaseException):
    pass


def test_a_rung_ends_with_a_model_that_transformers_loads(whole, corpus):
    model = load_checkpoint(whole / "rungs" / "tiny" / "models" / "tiny-2.56K").model
    assert sum(p.numel() for p in model.parameters()) == TINY.N_total
    told = json.loads((whole / "progress" / "tiny.json").read_text())
    assert told["state"] == "done"


def test_training_lowers_the_loss(whole):
    losses = curve(whole, "trunk")[:, 0]
    assert losses[-3:].mean() < losses[0] - 0.5


def test_a_rung_that_is_trained_is_not_trained_again(whole, corpus, monkeypatch):
    before = kept(whole)
    monkeypatch.setattr(training, "_step", lambda *_: pytest.fail("a step was taken"))
    assert train_rung(tiny_rung(), corpus, whole, evaluation=EVALUATION) == ["tiny-1.28K", "tiny-2.56K"]
    assert kept(whole) == before


@pytest.mark.parametrize("every", [1, 5])
def test_stopped_after_every_few_steps_it_ends_with_the_same_bits(every, whole, corpus, tmp_path, monkeypatch):
    steps = 0
    real = Progress.at

    def stop(self, step, loss, rate):
        nonlocal steps
        real(self, step, loss, rate)
        steps += 1
        if steps % every == 0 and steps < 40:
            raise Stopped

    monkeypatch.setattr(Progress, "at", stop)
    for _ in range(60):
        try:
            train_rung(tiny_rung(), corpus, tmp_path / "study", evaluation=EVALUATION, save_every=0.0)
            break
        except Stopped:
            continue
    else:
        pytest.fail("it never ended")
    assert kept(tmp_path / "study") == kept(whole)
    assert np.array_equal(curve(tmp_path / "study", "trunk"), curve(whole, "trunk"))


def test_a_checkpoint_cut_short_is_passed_over(whole, corpus, tmp_path, monkeypatch, caplog):
    real = training.report_measurement

    def stop(*arguments):
        if arguments[-1] == tiny_rung().steps(2560):
            raise Stopped
        real(*arguments)

    monkeypatch.setattr(training, "report_measurement", stop)
    with pytest.raises(Stopped):
        train_rung(tiny_rung(), corpus, tmp_path / "study", evaluation=EVALUATION, save_every=0.0)
    newest = complete_checkpoints(tmp_path / "study" / "rungs" / "tiny" / "checkpoints", "tiny-2.56K")[0]
    (newest / "model.safetensors").write_bytes((newest / "model.safetensors").read_bytes()[:-40])
    monkeypatch.setattr(training, "report_measurement", real)
    train_rung(tiny_rung(), corpus, tmp_path / "study", evaluation=EVALUATION)
    assert "cut short" in caplog.text
    assert kept(tmp_path / "study") == kept(whole)


def test_a_trunk_gives_each_horizon_the_bits_of_a_run_of_its_own(whole, corpus, tmp_path):
    train_rung(tiny_rung(D=(1280,)), corpus, tmp_path / "study", evaluation=EVALUATION)
    place = "rungs/tiny/models/tiny-1.28K/model.safetensors"
    assert (tmp_path / "study" / place).read_bytes() == (whole / place).read_bytes()


def test_two_processes_train_what_one_does(whole, corpus, tmp_path):
    train_rung(tiny_rung(), corpus, tmp_path / "study", evaluation=EVALUATION, processes=2)
    pair, alone = (load_checkpoint(s / "rungs/tiny/models/tiny-2.56K").model for s in (tmp_path / "study", whole))
    for (name, one), (_, other) in zip(pair.named_parameters(), alone.named_parameters(), strict=True):
        assert abs(one - other).max() < 1e-4, name  # sums in another order


@pytest.mark.slow
def test_twenty_kills_leave_weights_and_observations_as_they_were(corpus, tmp_path):
    here = Path(__file__).parent
    alone = tmp_path / "alone"
    command = [sys.executable, str(here / "train_one.py"), str(corpus.folder)]
    threads = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(here)}
    subprocess.run([*command, str(alone)], check=True, env=threads)
    study, rng, kills = tmp_path / "killed", random.Random(0), 0
    while kills < 20:
        process = subprocess.Popen([*command, str(study)], env=threads)
        told = study / "progress" / "tiny.json"
        before = told.stat().st_mtime_ns if told.exists() else 0
        while process.poll() is None and not (told.exists() and told.stat().st_mtime_ns != before):
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.4))
        if process.poll() is not None:
            assert process.returncode == 0
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    subprocess.run([*command, str(study)], check=True, env=threads)
    assert kills == 20
    assert kept(study) == kept(alone)


# -- a ladder --------------------------------------------------------------------------------------------------------

LADDER = """
corpus = "{corpus}"
study = "study"
{evaluated}
[defaults]
shape = {{ layers = 1, width = 16, heads = 1, kv_heads = 1, mlp_width = 32, vocabulary = 264, sequence = 32 }}
batch = 4
D = [1280, 2560]
learning_rate = 0.01
warmup = 2
weights = {{ code = 0.25, prose = 0.75 }}
[[rung]]
name = "tiny"
[[rung]]
name = "wild"
learning_rate = 1e9
[[rung]]
name = "target"
held_out = true
after = ["wild"]
"""


@pytest.fixture(scope="module")
def ladder(corpus, tmp_path_factory):
    """Train a ladder with a rung that diverges; give its folder and how it ended."""
    folder = tmp_path_factory.mktemp("ladder")
    (folder / "ladder.toml").write_text(LADDER.format(corpus=corpus.folder, evaluated=EVALUATED))
    return folder, train_ladder(folder / "ladder.toml")


def test_a_ladder_refuses_a_device_of_no_kind_before_any_job(ladder):
    with pytest.raises(TrainError, match="no device is called 'gpu9'; devices are auto, cpu, cuda"):
        train_ladder(ladder[0] / "ladder.toml", device="gpu9")


def test_a_rung_that_diverges_leaves_the_others_alone(ladder):
    _, made = ladder
    states = {one.name: one.state for one in made.ended}
    assert states == {"tiny": "done", "wild": "failed", "target": "not started"}
    wild = next(one for one in made.ended if one.name == "wild")
    assert "diverged" in wild.error


def test_a_ladder_writes_a_study_with_items_and_exact_accounts(ladder, whole):
    folder, made = ladder
    study = open_study(folder / "study")
    assert study.values.equals(made.observations.values)
    assert sorted(study.runs["name"]) == ["tiny-1.28K", "tiny-2.56K"]
    assert {"code/loss", "prose/bpb", "cloze_prose/acc"} <= set(study.metrics)
    run = study.runs.filter(pl.col("name") == "tiny-2.56K").row(0, named=True)
    assert (run["N"], run["N_total"], run["D"]) == (TINY.N, TINY.N_total, 2560)
    assert run["C"] == TINY.training_flop(2560)
    items = Items(tuple((folder / "study" / "items").glob("*.parquet")))
    assert items.doubts(study) == []
    # the same rung gives the same observations here and in a job
    alone = gather(Ladder(rungs=(tiny_rung(),)), whole)
    assert alone.values.equals(study.values)


def test_a_second_call_trains_only_what_is_missing(ladder):
    folder, _ = ladder
    text = (folder / "ladder.toml").read_text()
    (folder / "ladder.toml").write_text(text.replace("learning_rate = 1e9", "learning_rate = 0.005"))
    with pytest.raises(LadderError, match=r"rung wild was edited .*learning_rate was 1000000000.0, is 0.005"):
        train_rung(
            tiny_rung(name="wild", learning_rate=0.005), make_or_open(folder), folder / "study", evaluation=EVALUATION
        )
    (folder / "ladder.toml").write_text(text)


def make_or_open(folder):
    from foretell.corpus import open_corpus
    from foretell.rung import read_ladder

    return open_corpus(read_ladder(folder / "ladder.toml").corpus)


# -- what cannot be trained --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"weights": {}}, LadderError, "no weights"),
        ({"weights": {"code": 1.0}, "D": (10**6,)}, LadderError, r"epochs, more than most_epochs = 4"),
        ({"shape": TINY.model_copy(update={"vocabulary": 100})}, LadderError, "give at least 264"),
        ({"pools": {"code": 10**9}}, CorpusError, "lower the pool"),
    ],
)
def test_what_a_corpus_cannot_feed_is_refused_before_training(corpus, tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        train_rung(tiny_rung(**changes), corpus, tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_more_epochs_are_taken_when_asked_for(corpus):
    training.check_rung(tiny_rung(weights={"code": 1.0}, D=(10**6,), most_epochs=1000), corpus)


def test_an_unknown_device_names_those_that_are_here(corpus, tmp_path):
    with pytest.raises(TrainError, match="no device 'tpu' here; devices: cpu"):
        train_rung(tiny_rung(), corpus, tmp_path / "study", device="tpu")


def test_a_rung_too_large_for_memory_is_refused(corpus, tmp_path):
    shape = TINY.model_copy(update={"width": 65536, "mlp_width": 262144, "layers": 80})
    with pytest.raises(TrainError, match=r"needs about .* bytes"):
        train_rung(tiny_rung(shape=shape), corpus, tmp_path / "study")


def test_another_corpus_under_a_rung_is_refused(whole, tmp_path):
    other = make_corpus(tmp_path, seed=5)
    with pytest.raises(LadderError, match="corpus changed"):
        train_rung(tiny_rung(), other, whole, evaluation=EVALUATION)


def test_a_full_disk_stops_with_a_word_and_training_goes_on_later(whole, corpus, tmp_path, monkeypatch):
    from foretell.lm import checkpoint

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_model", full)
    with pytest.raises(TrainError, match="free space and train again"):
        train_rung(tiny_rung(), corpus, tmp_path / "study", evaluation=EVALUATION)
    assert not list((tmp_path / "study").rglob("*.part"))
    monkeypatch.undo()
    train_rung(tiny_rung(), corpus, tmp_path / "study", evaluation=EVALUATION)
    assert kept(tmp_path / "study") == kept(whole)
