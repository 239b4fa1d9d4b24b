"""A study on disk is the old state or the new, never half of either."""

import os

import polars as pl
import pytest

from foretell.errors import StudyError, TableError
from foretell.table import Observations, Run, metric_named, open_study, save_study
from foretell.table import study as study_module
from test_table import ladder


def one_more(value=3.0, name="new"):
    frame = pl.DataFrame([{"run": name, "D": 1e9, "metric": "wiki/loss", "value": value}])
    return Observations.of([Run(name=name, N=1e8, D=1e9)], frame, [metric_named("wiki/loss")])


def test_a_study_reads_back_as_it_was_written(tmp_path):
    whole = ladder(final_mean=5, shared_loss="c4/loss").moving_average(2)
    save_study(whole, tmp_path / "study", source="test")
    back = open_study(tmp_path / "study")
    assert back.values.equals(whole.values)
    assert back.runs.equals(whole.runs)
    assert back.metrics == whole.metrics
    assert (back.steps, back.final_mean, back.shared_loss) == (whole.steps, 5, "c4/loss")


def test_writing_into_a_study_joins_what_is_there(tmp_path):
    save_study(ladder(), tmp_path / "study")
    joined = save_study(one_more(), tmp_path / "study")
    assert set(joined.runs["name"]) == {"a", "b", "target", "new"}
    assert open_study(tmp_path / "study").values.equals(joined.values)


def test_a_contradiction_changes_nothing(tmp_path):
    save_study(one_more(), tmp_path / "study")
    before = {file.name: file.read_bytes() for file in (tmp_path / "study").iterdir()}
    with pytest.raises(TableError, match="different values"):
        save_study(one_more(3.5), tmp_path / "study")
    assert {file.name: file.read_bytes() for file in (tmp_path / "study").iterdir()} == before


@pytest.mark.parametrize("broken", ["study.toml", "runs.parquet", "observations.parquet"])
def test_a_missing_or_damaged_file_is_told(tmp_path, broken):
    folder = tmp_path / "study"
    save_study(ladder(), folder)
    (folder / broken).write_bytes(b"\x00 not what it was")
    with pytest.raises(StudyError, match=r"cannot be read"):
        open_study(folder)
    (folder / broken).unlink()
    with pytest.raises(StudyError, match=f"half-written: {broken}"):
        open_study(folder)


def test_a_folder_that_is_no_study_is_neither_read_nor_overwritten(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(StudyError, match="is not a study"):
        open_study(tmp_path)
    with pytest.raises(StudyError, match="is not a study"):
        save_study(ladder(), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["precious.txt"]


def test_an_absent_study_is_told():
    with pytest.raises(StudyError, match="there is no study"):
        open_study("/nowhere/at/all")


def test_a_later_format_asks_for_an_upgrade(tmp_path):
    save_study(ladder(), tmp_path / "study")
    title = tmp_path / "study" / "study.toml"
    title.write_text(title.read_text().replace("format = 1", "format = 99"))
    with pytest.raises(StudyError, match="upgrade foretell"):
        open_study(tmp_path / "study")


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="cannot be written"):
        save_study(ladder(), tmp_path / "file" / "study")


def test_no_permission_leaves_nothing_behind(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(study_module.os, "replace", refuse)
    with pytest.raises(StudyError, match="Permission denied; nothing was changed"):
        save_study(ladder(), tmp_path / "study")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_writing_a_new_study_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pl.DataFrame, "write_parquet", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_study(ladder(), tmp_path / "study")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("done", [0, 1, 2])
def test_ctrl_c_between_files_leaves_a_study_that_reads(tmp_path, monkeypatch, done):
    folder = tmp_path / "study"
    save_study(ladder(), folder)
    calls, replace = [], os.replace

    def stop_at_some(*paths):
        if len(calls) == done:
            raise KeyboardInterrupt
        calls.append(paths)
        replace(*paths)

    monkeypatch.setattr(study_module.os, "replace", stop_at_some)
    with pytest.raises(KeyboardInterrupt):
        save_study(one_more(), folder)
    assert open_study(folder).values.equals(ladder().values)
    assert sorted(file.name for file in folder.iterdir()) == ["observations.parquet", "runs.parquet", "study.toml"]
