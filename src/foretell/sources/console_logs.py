"""Logs on disk of torchtitan's console, and of Lightning's and litgpt's CSVLogger."""

from __future__ import annotations

import re
from pathlib import Path

from foretell.errors import SourceError
from foretell.sources.csv_rows import csv_rows
from foretell.sources.guard import found_files, label, number, text_lines
from foretell.sources.metric_map import MetricMap
from foretell.sources.run_table import RunTable
from foretell.sources.training_log import TrainingLog, observe
from foretell.table import Observations

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
NUMBER = r"([+-]?(?:\d[\d,]*\.?\d*(?:e[+-]?\d+)?|nan|inf))"
LINE = re.compile(rf"(validate )?step:\s*(\d+)\s+loss:\s*{NUMBER}", re.IGNORECASE)
STEPS = ("step", "global_step", "iter_num")


def read_torchtitan(
    path: str | Path,
    *,
    runs: str | Path | None = None,
    map: str | Path | None = None,
    tokens_per_step: float | None = None,
    final_mean: int = 1,
) -> Observations:
    """Read what torchtitan prints (`step: 10  loss:  7.12345 …`): one log, or all *.log and *.txt below a folder.

    A run is called as its file. The console tells no tokens: give tokens_per_step, or a column of it in the table of
    `runs`. (Its TensorBoard and W&B logs are read by the readers of these.) Raises SourceError.
    """
    rules, table = MetricMap.read(map), RunTable.read(runs)
    logs: list[TrainingLog] = []
    for file in found_files(Path(path), ("*.log", "*.log.gz", "*.txt", "*.out"), "a log of torchtitan's console"):
        log = TrainingLog(_name(file, Path(path)), rules)
        for _, line in text_lines(file):
            match = LINE.search(COLOUR.sub("", line[:2000]))
            if match is not None:
                key = "validation_metrics/loss" if match[1] else "loss_metrics/global_avg_loss"
                log.add(number(match[2]) or 0.0, key, match[3].replace(",", ""))
        logs.append(log)
    if not any(log.rules for log in logs):
        raise SourceError(f"{path} holds no line such as 'step: 10  loss:  7.12345'; give what torchtitan printed")
    return observe(logs, table, tokens_per_step=tokens_per_step, final_mean=final_mean)


def read_lightning(
    path: str | Path,
    *,
    runs: str | Path | None = None,
    map: str | Path | None = None,
    tokens_per_step: float | None = None,
    final_mean: int = 1,
) -> Observations:
    """Read metrics.csv of Lightning's CSVLogger, which litgpt uses: one, or all below a folder.

    A run is called as the folder of its file below the given one. D is the column total_tokens (litgpt), or step ×
    tokens_per_step. Raises SourceError, naming the line.
    """
    rules, table = MetricMap.read(map), RunTable.read(runs)
    root = Path(path)
    logs: list[TrainingLog] = []
    for file in found_files(root, ("metrics.csv", "metrics.csv.gz"), "the folder that CSVLogger wrote to"):
        names, rows = csv_rows(file)
        axis = next((name for name in STEPS if name in names), None)
        if axis is None:
            raise SourceError(
                f"{file} has no column {' or '.join(STEPS)}; found: {', '.join(label(n) for n in names[:8])}"
            )
        folder = file.absolute().parent
        inner = file.parent.relative_to(root).as_posix() if root.is_dir() else "."
        log = TrainingLog(
            label(folder.name if inner == "." else inner),
            rules,
            aliases=(label(folder.name), label(folder.parent.name)),
            folder=folder,
        )
        for line, row in rows:
            if (step := number(row[axis])) is None:
                raise SourceError(f"line {line} of {file} has the {axis} {label(row[axis])!r}, which is no number")
            for key, cell in row.items():
                if cell != "" and key != axis:
                    log.add(step, key, cell)
        logs.append(log)
    return observe(logs, table, tokens_per_step=tokens_per_step, final_mean=final_mean)


def _name(file: Path, root: Path) -> str:
    inner = file.relative_to(root) if root.is_dir() else Path(file.name)
    return label(inner.as_posix().removesuffix(".gz").rpartition(".")[0])
