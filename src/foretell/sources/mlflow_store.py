"""MLflow: runs of a SQLite store, a file store, or a tracking server on the network."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from foretell.errors import SourceError
from foretell.sources.guard import found_files, label, number, some, text_lines
from foretell.sources.metric_map import MetricMap
from foretell.sources.mlflow_server import LoggedRun, server_runs
from foretell.sources.run_table import RunTable
from foretell.sources.training_log import TrainingLog, observe
from foretell.table import Observations

SQLITE = b"SQLite format 3\0"
_ENTRY = re.compile(r"(\w+):\s*(.*?)\s*")  # meta.yaml is flat: one `name: value` a line


def read_mlflow(
    path: str | Path,
    *,
    runs: str | Path | None = None,
    map: str | Path | None = None,
    experiment: str | None = None,
    tokens_per_step: float | None = None,
    final_mean: int = 1,
) -> Observations:
    """Read all runs of a SQLite file, a file store (mlruns) or a server (http://127.0.0.1:5000), deleted ones left out.

    `experiment` keeps one experiment, by name. D is what the runs logged as tokens, N among their parameters or in
    the table of `runs`. Raises SourceError for a store that cannot be read, and where N or D is not known.
    """
    rules, table = MetricMap.read(map), RunTable.read(runs)
    names: set[str] = set()
    logs: dict[str, TrainingLog] = {}
    for run in _logged(str(path), rules):
        names.add(run.experiment)
        if experiment is not None and run.experiment != experiment:
            continue
        name = label(run.name or run.id)
        if name in logs:
            name = f"{name} ({label(run.id)[:8]})"
        log = logs[name] = TrainingLog(name, rules, aliases=(label(run.id), label(run.name)))
        for key, value in run.params:
            log.configure(label(key), value)
        for step, key, value in run.points():
            log.add(step, key, value)
    if not logs:
        found = f"experiments are {some(label(name) for name in names)}" if names else "the store is empty"
        raise SourceError(f"{path} holds no runs{f' of {experiment!r}' if experiment else ''}; {found}")
    return observe(logs.values(), table, tokens_per_step=tokens_per_step, final_mean=final_mean)


def _logged(path: str, rules: MetricMap) -> Iterable[LoggedRun]:
    if re.match(r"https?://", path):
        return server_runs(path, wanted=lambda key: (found := rules.of_log(key)) is None or found[1].role != "ignore")
    file = Path(path.removeprefix("sqlite:///").removeprefix("file://"))
    try:
        if file.is_file():
            with file.open("rb") as stream:
                if stream.read(len(SQLITE)) != SQLITE:
                    raise SourceError(f"{file} is no SQLite file; give mlflow.db, the folder mlruns, or http://…")
            return _sqlite_runs(file)
        return _file_runs(file)
    except (OSError, ValueError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{path[:200]!r} cannot be opened: {error}") from None


def _sqlite_runs(file: Path) -> Iterator[LoggedRun]:
    """Read a database that is opened for reading only, its tables as data: no view or trigger of its own runs."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
            database.execute("PRAGMA trusted_schema = OFF")
            database.execute("PRAGMA query_only = ON")
            database.text_factory = lambda content: content.decode("utf-8", "replace")
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if missing := {"runs", "metrics", "params", "experiments"} - tables:
                raise SourceError(f"{file} lacks the tables {some(missing)}; it is no store of MLflow")
            listed = database.execute(
                "SELECT r.run_uuid, r.name, e.name FROM runs r LEFT JOIN experiments e USING (experiment_id) "
                "WHERE r.lifecycle_stage IS NOT 'deleted' ORDER BY r.start_time, r.run_uuid"
            ).fetchall()
            for run_id, name, experiment in listed:
                params = database.execute("SELECT key, value FROM params WHERE run_uuid = ?", (run_id,)).fetchall()
                points = database.execute(
                    "SELECT step, key, CASE WHEN is_nan THEN 'nan' ELSE value END FROM metrics WHERE run_uuid = ? "
                    "ORDER BY timestamp, rowid",
                    (run_id,),
                )
                clean = ((number(step) or 0.0, str(key), value) for step, key, value in points)
                yield LoggedRun(
                    str(run_id), str(name or ""), str(experiment or ""),
                    [(str(key), value) for key, value in params], partial(_same, clean),
                )  # fmt: skip
    except (sqlite3.Error, UnicodeDecodeError) as error:  # a damaged name in the schema is decoded before we see it
        raise SourceError(f"{file} cannot be read as a store of MLflow: {error}; it may be damaged") from None


def _same(points: Iterable[tuple[float, str, object]]) -> Iterable[tuple[float, str, object]]:
    return points


def _file_runs(root: Path) -> Iterator[LoggedRun]:
    experiments: dict[Path, str] = {}
    folders: list[tuple[str, Path, dict[str, str]]] = []
    for file in found_files(root, ("meta.yaml",), "mlflow.db, the folder mlruns, or http://…"):
        entries = {
            match[1]: match[2].strip("'\"")
            for _, line in text_lines(file)
            if (match := _ENTRY.fullmatch(line.rstrip()))
        }
        if "run_id" in entries or "run_uuid" in entries:
            folders.append((entries.get("start_time", ""), file.parent, entries))
        elif "name" in entries:
            experiments[file.parent] = entries["name"]
    for _, folder, entries in sorted(folders, key=lambda found: (found[0], str(found[1]))):
        if entries.get("lifecycle_stage") == "deleted" or ".trash" in folder.parts:
            continue
        params = [
            (file.relative_to(folder / "params").as_posix(), line.rstrip("\n"))
            for file in sorted((folder / "params").rglob("*"))
            if file.is_file()
            for at, line in text_lines(file)
            if at == 1
        ]
        yield LoggedRun(
            entries.get("run_id") or entries["run_uuid"],
            entries.get("run_name", ""),
            experiments.get(folder.parent, ""),
            params,
            partial(_file_points, folder / "metrics"),
        )


def _file_points(folder: Path) -> Iterator[tuple[float, str, object]]:
    for file in sorted(folder.rglob("*")):
        if not file.is_file():
            continue
        key = file.relative_to(folder).as_posix()
        for at, line in text_lines(file):
            parts = line.split()
            if len(parts) not in (2, 3) or number(parts[0]) is None:
                raise SourceError(f"line {at} of {file} is not 'timestamp value step'; the file may be cut off")
            yield number(parts[2] if len(parts) == 3 else 0) or 0.0, key, parts[1]
