"""The tensorboard reader gives what TensorBoard's own reader does, and sees damage."""

import json
import shutil

import pytest

from foretell.errors import SourceError
from foretell.sources import read_tensorboard
from made_files import FIXTURES

FOLDER = FIXTURES / "tensorboard"
TOLD = json.loads((FOLDER / "expected.json").read_text())
NAMES = {"loss_metrics/global_avg_loss": "train/loss", "validation_metrics/loss": "val/loss"}


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("run,N\n60M,60M\n150M,150M\n")
    return path


@pytest.fixture
def events(tmp_path):
    shutil.copytree(FOLDER / "60M", tmp_path / "60M")
    return sorted((tmp_path / "60M").iterdir())


def test_every_scalar_is_that_of_tensorboard_the_later_record_of_a_step_counting(table):
    made = read_tensorboard(FOLDER, runs=table)
    found = {(r["run"], r["metric"], r["step"]): r["value"] for r in made.values.iter_rows(named=True)}
    expected = {
        (run, NAMES[tag], step): value  # later records of a step replace earlier ones
        for run, tags in TOLD.items()
        for tag, points in tags.items()
        if tag in NAMES
        for step, value in points
    }
    assert found == expected
    assert any("logged again" in note for note in made.notes)


def test_tokens_give_d(table):
    made = read_tensorboard(FOLDER, runs=table)
    assert (made.values["D"] == made.values["step"] * 1024).all()


def test_scalars_of_torchtitan_are_read(tmp_path):
    (tmp_path / "runs.csv").write_text("run,N\ndebug-8M,8M\ndebug-16M,16M\n")
    made = read_tensorboard(FIXTURES / "torchtitan" / "tb", runs=tmp_path / "runs.csv")
    assert len(made.values) == 24
    assert made.values.filter(run="debug-8M", step=50, metric="train/loss")["value"][0] == pytest.approx(7.24, abs=1e-6)


def test_a_file_that_breaks_off_counts_up_to_there(events, table):
    content = events[0].read_bytes()
    events[1].unlink()
    events[0].write_bytes(content[: len(content) // 8])
    made = read_tensorboard(events[0].parent, runs=table)
    assert any("ends within an event" in note for note in made.notes)
    assert 0 < len(made.values) < 16


def test_any_flipped_bit_of_scalars_is_seen(events, table):
    content = events[0].read_bytes()
    for at in range(0, 1500, 97):
        damaged = bytearray(content)
        damaged[at] ^= 0x04
        events[0].write_bytes(damaged)
        with pytest.raises(SourceError, match=r"byte \d+ of .*tfevents.* damaged"):
            read_tensorboard(events[0].parent, runs=table)


def test_an_absurd_length_is_refused_and_not_allocated(tmp_path):
    from foretell.sources.tensorboard_events import _crc, _masked

    head = (1 << 62).to_bytes(8, "little")
    (tmp_path / "events.out.tfevents.1").write_bytes(head + _masked(_crc(head)).to_bytes(4, "little") + b"x" * 100)
    with pytest.raises(SourceError, match="claims"):
        read_tensorboard(tmp_path)
