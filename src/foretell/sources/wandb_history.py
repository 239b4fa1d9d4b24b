"""Weights & Biases: histories exported as CSV or JSON, and local run folders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from foretell.errors import SourceError
from foretell.sources.csv_rows import csv_rows
from foretell.sources.guard import found_files, json_document, json_lines, label, number
from foretell.sources.metric_map import MetricMap
from foretell.sources.run_table import RunTable
from foretell.sources.training_log import TrainingLog, observe
from foretell.sources.wandb_offline import read_offline_run
from foretell.table import Observations

FILES = ("*.wandb", "*.csv", "*.csv.gz", "*.json", "*.jsonl", "*.jsonl.gz")
BESIDE = frozenset({"wandb-metadata.json", "wandb-summary.json", "config.json"})  # in a run's folder, no histories
RANGE = ("__MIN", "__MAX")


def read_wandb(
    path: str | Path,
    *,
    runs: str | Path | None = None,
    map: str | Path | None = None,
    tokens_per_step: float | None = None,
    final_mean: int = 1,
) -> Observations:
    """Read histories of Weights & Biases: one file, or a folder of them.

    Read are the page's CSV export (`Step`, `RUN - KEY`, …), one CSV or JSON of `scan_history` rows a run (its name is
    the file's), and `.wandb` files of local runs. D is what the run logged as tokens. Raises SourceError.
    """
    rules, table = MetricMap.read(map), RunTable.read(runs)
    notes: list[str] = []
    logs: dict[str, TrainingLog] = {}
    files = found_files(Path(path), FILES, "an exported history, or the folder wandb/ with its runs")
    if len(files) > 1 and runs is not None:  # the table may lie among the histories
        files = [file for file in files if file.absolute() != Path(runs).absolute()]
    local = any(file.suffix == ".wandb" for file in files)
    for file in files:
        if len(files) > 1 and (file.name in BESIDE or (local and file.suffix != ".wandb" and "files" in file.parts)):
            continue
        if file.suffix == ".wandb":
            log = read_offline_run(file, rules, notes)
            if log.name in logs and logs[log.name].aliases == log.aliases:  # the run was resumed in a folder of its own
                logs[log.name].absorb(log)
                continue
            if log.name in logs:
                log.name = f"{log.name} ({log.aliases[0]})"
            logs[log.name] = log
        elif ".csv" in file.name:
            _read_csv(file, rules, logs)
        else:
            _add_rows(_named(logs, _stem(file), rules), _json_rows(file), str(file))
    return observe(logs.values(), table, tokens_per_step=tokens_per_step, final_mean=final_mean, notes=notes)


def _read_csv(file: Path, rules: MetricMap, logs: dict[str, TrainingLog]) -> None:
    names, rows = csv_rows(file)
    if "_step" in names:
        _add_rows(_named(logs, _stem(file), rules), (row for _, row in rows), str(file))
        return
    keys = {
        column: (label(run), key)
        for column in names[1:]
        if not column.endswith(RANGE)
        for run, dash, key in [column.rpartition(" - ")]
        if dash and run and not key.startswith("_")
    }
    if not keys:
        raise SourceError(
            f"{file} is no history of W&B: neither a column _step nor columns 'RUN - KEY'; found: {names[:5]}"
        )
    axis = names[0]
    by_tokens = (found := rules.of_log(axis)) is not None and found[1].role == "tokens"
    if axis not in ("Step", "_step", "trainer/global_step", "train/global_step", "global_step") and not by_tokens:
        raise SourceError(f"the axis of {file} is {label(axis)!r}; export it over Step, or over tokens")
    for line, row in rows:
        if (step := number(row[axis])) is None:
            raise SourceError(f"line {line} of {file} has the {label(axis)} {label(row[axis])!r}, which is no number")
        for column, (run, key) in keys.items():
            if row[column] != "":
                log = _named(logs, run, rules)
                log.add(step, key, row[column])
                if by_tokens:
                    log.add(step, axis, step)


def _add_rows(log: TrainingLog, rows: Iterable[Mapping[str, Any]], place: str) -> None:
    for count, row in enumerate(rows, 1):
        if (step := number(row.get("_step"))) is None:
            raise SourceError(f"row {count} of {place} has no _step; export rows of run.scan_history()")
        for key, value in row.items():
            if not key.startswith("_") and isinstance(value, int | float | str) and value != "":
                log.add(step, key, value)


def _json_rows(file: Path) -> Iterable[Mapping[str, Any]]:
    if ".jsonl" in file.name:
        return (row for _, row in json_lines(file))
    content = json_document(file)
    if isinstance(content, dict):
        content = content.get("history", content.get("rows"))
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise SourceError(f"{file} is no list of rows; write json.dump(list(run.scan_history()), file)")
    return content


def _named(logs: dict[str, TrainingLog], name: str, rules: MetricMap) -> TrainingLog:
    if name not in logs:
        logs[name] = TrainingLog(name, rules)
    return logs[name]


def _stem(file: Path) -> str:
    return label(file.name.removesuffix(".gz").rpartition(".")[0])
