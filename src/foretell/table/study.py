"""A study: the folder that keeps observations on disk."""

from __future__ import annotations

import os
import shutil
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError

from foretell.errors import StudyError
from foretell.table.metric import Metric
from foretell.table.observations import RUN_COLUMNS, VALUE_COLUMNS, LawN, Observations, Rows

FORMAT = 1
OTHER_PARTS = {"items", "tokens", "rungs", "progress", "jobs"}  # what may be there before the tables are
TITLE, RUNS, VALUES = "study.toml", "runs.parquet", "observations.parquet"


class StudyTitle(BaseModel):
    """Describe a study in `study.toml`: what its tables cannot say themselves."""

    model_config = ConfigDict(extra="forbid")

    format: int
    source: str = ""
    law_N: LawN
    rows: Rows
    final_mean: int
    shared_loss: str | None = None
    steps: list[str] = []
    metrics: dict[str, dict[str, Any]]


def open_study(path: str | Path) -> Observations:
    """Read a study folder.

    Raises StudyError when it is absent, is no study, is half-written, or was written by a later version.
    """
    folder = Path(path)
    if not folder.exists():
        raise StudyError(f"there is no study at {folder}; make one with `foretell read … -o {folder}`")
    present = [name for name in (TITLE, RUNS, VALUES) if (folder / name).is_file()]
    if not present:
        raise StudyError(f"{folder} is not a study: it holds no {TITLE}; make one with `foretell read`")
    missing = sorted({TITLE, RUNS, VALUES} - set(present))
    if missing:
        raise StudyError(f"the study {folder} is half-written: {', '.join(missing)} is missing; read it again")
    try:
        title = StudyTitle.model_validate(tomllib.loads((folder / TITLE).read_text(encoding="utf-8")))
        if title.format > FORMAT:
            raise StudyError(
                f"the study {folder} has format {title.format}, this version reads {FORMAT}; upgrade foretell"
            )
        runs = pl.read_parquet(folder / RUNS)
        values = pl.read_parquet(folder / VALUES)
        metrics = {name: Metric(name=name, **entry) for name, entry in title.metrics.items()}
    except (
        OSError,
        pl.exceptions.PolarsError,
        tomllib.TOMLDecodeError,
        UnicodeDecodeError,
        ValidationError,
    ) as error:
        if isinstance(error, StudyError):
            raise
        raise StudyError(
            f"the study {folder} cannot be read: {str(error).splitlines()[0]}; "
            "it may be damaged or half-written: read it again"
        ) from None
    for file, frame, columns in ((RUNS, runs, RUN_COLUMNS), (VALUES, values, VALUE_COLUMNS)):
        absent = sorted(set(columns) - set(frame.columns))
        if absent:
            raise StudyError(f"{folder / file} lacks the columns {', '.join(absent)}; read the study again")
    observations = Observations(
        runs=runs,
        values=values,
        metrics=metrics,
        law_N=title.law_N,
        rows=title.rows,
        final_mean=title.final_mean,
        shared_loss=title.shared_loss,
        steps=tuple(title.steps),
    )
    observations._check()
    return observations


def save_study(observations: Observations, path: str | Path, *, source: str = "") -> Observations:
    """Write observations into a study folder, joining what is already there; return what the folder then holds.

    A new study appears whole or not at all. Into an old one whole files are put in place of the old, so
    that a reader sees the old state or the new. Raises TableError when old and new values differ, and StudyError when
    the folder cannot be written; in both cases nothing has changed.
    """
    folder = Path(path)
    try:
        held = set(os.listdir(folder)) if folder.is_dir() else set()
        if folder.exists() and (not folder.is_dir() or (TITLE not in held and held - OTHER_PARTS)):
            raise StudyError(f"{folder} exists and is not a study; choose another place, or remove it")
        if held:
            if TITLE in held:
                observations = open_study(folder).merge(observations)
            parts = {name: folder / f".{name}.{os.getpid()}.part" for name in (TITLE, RUNS, VALUES)}
            try:
                for name, write in _writers(observations, source).items():
                    write(parts[name])
                for name, part in parts.items():  # the wider title first, values last: each state between reads well
                    os.replace(part, folder / name)
            finally:
                for part in parts.values():
                    part.unlink(missing_ok=True)
            return observations
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
        try:
            for name, write in _writers(observations, source).items():
                write(temporary / name)
            temporary.chmod(0o755)
            os.replace(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        if isinstance(error, StudyError):
            raise
        raise StudyError(
            f"the study {folder} cannot be written: {error.strerror or error}; nothing was changed"
        ) from None
    return observations


def _writers(observations: Observations, source: str) -> dict[str, Callable[[Path], object]]:
    title = StudyTitle(
        format=FORMAT,
        source=source,
        law_N=observations.law_N,
        rows=observations.rows,
        final_mean=observations.final_mean,
        shared_loss=observations.shared_loss,
        steps=list(observations.steps),
        metrics={
            name: metric.model_dump(exclude={"name"}, exclude_none=True)
            for name, metric in observations.metrics.items()
        },
    )
    text = tomli_w.dumps(title.model_dump(exclude_none=True))
    return {
        RUNS: observations.runs.write_parquet,
        VALUES: observations.values.write_parquet,
        TITLE: lambda path: path.write_text(text, encoding="utf-8"),
    }
