"""Outcomes and scores of a harness's documents, on their way into a study's folder."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import polars as pl

from foretell.errors import StudyError, TableError
from foretell.sources.lm_eval import Harness
from foretell.table import Observations, save_study
from foretell.table.items import FOLDER, checked, write_items
from foretell.wholefile import whole_file

SCORES = "scores"  # the folder beside items/: run, D, metric, item, value
KEY = ("metric", "item", "run", "D")


def save_harness(harness: Harness, study: str | Path, *, source: str = "") -> Observations:
    """Write observations, and each document's outcomes and scores, into a study; join what is there already.

    Everything is joined and checked before anything is written. Outcomes go to `items/`, scores to `scores/`, one
    file a run. Raises TableError where old and new contradict each other, StudyError when the folder cannot be written.
    """
    folder = Path(study)
    outcomes = {
        writer: checked(_joined(folder / FOLDER / f"{writer}.parquet", frame))
        for writer, frame in _by_run(harness.outcomes)
    }
    scores = {
        writer: _unique(_joined(folder / SCORES / f"{writer}.parquet", frame))
        for writer, frame in _by_run(harness.scores)
    }
    saved = save_study(harness.observations, folder, source=source)
    for writer, frame in outcomes.items():
        write_items(folder, frame, writer)
    for writer, frame in scores.items():
        _write(folder / SCORES, writer, frame)
    return saved


def _by_run(frame: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    return [(_writer(str(run)), rows) for (run,), rows in frame.sort("run").group_by("run", maintain_order=True)]


def _writer(run: str) -> str:
    """Name the file of a run: what is safe of its name, and a hash that tells names apart."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", run).strip(".-")[:60]
    return f"harness.{plain or 'run'}.{hashlib.sha256(run.encode()).hexdigest()[:8]}"


def _joined(path: Path, frame: pl.DataFrame) -> pl.DataFrame:
    if not path.is_file():
        return frame
    try:
        return pl.concat([pl.read_parquet(path).select(frame.columns).cast(frame.schema), frame])
    except (pl.exceptions.PolarsError, OSError) as error:
        raise StudyError(f"{path} cannot be read: {str(error).splitlines()[0]}; remove it and read again") from None


def _unique(frame: pl.DataFrame) -> pl.DataFrame:
    unique = frame.unique().sort(KEY)
    twice = unique.filter(pl.struct(KEY).is_duplicated())
    if len(twice):
        row = twice.row(0, named=True)
        raise TableError(
            f"{len(twice)} scores contradict another of the same key (first: run {row['run']!r}, {row['metric']}, item "
            f"{row['item']!r}); read the runs into studies of their own, or name them apart"
        )
    return unique


def _write(folder: Path, writer: str, frame: pl.DataFrame) -> None:
    path = folder / f"{writer}.parquet"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part:
            frame.write_parquet(part)
    except OSError as error:
        raise StudyError(f"{path} cannot be written: {error.strerror or error}; nothing was changed") from None
