"""Metrics files of OLMo-core and its model ladder, and the tracker files of Levanter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretell.errors import SourceError
from foretell.sources.guard import found_files, json_document, json_lines, label, mapping, number
from foretell.sources.metric_map import MetricMap
from foretell.sources.run_table import RunTable, step_in
from foretell.sources.training_log import TrainingLog, observe
from foretell.table import Observations

ABOUT = frozenset({"name", "step", "size", "num_params"})  # what the ladder says besides metrics
SAVED = re.compile(r"(?P<run>.*?)[-_.]?metrics(?:_step\d+)?\.json")


def read_olmo_core(
    path: str | Path,
    *,
    runs: str | Path | None = None,
    map: str | Path | None = None,
    tokens_per_step: float | None = None,
    final_mean: int = 1,
) -> Observations:
    """Read `metrics.json` and `metrics_step{step}.json`: one file, or all below a folder; a folder is a run.

    The step is the file's own entry, or in its name; D is its entry of tokens, or step × tokens_per_step. Raises
    SourceError for a file without either.
    """
    rules, table = MetricMap.read(map), RunTable.read(runs)
    saved: dict[str, list[_Saved]] = {}
    for file in found_files(Path(path), ("*metrics*.json",), "the folder that OLMo-core saved its metrics to"):
        read = _read(file, rules)
        saved.setdefault(read.run, []).append(read)
    notes: list[str] = []
    logs = [_log(run, files, rules, notes) for run, files in saved.items()]
    return observe(logs, table, tokens_per_step=tokens_per_step, final_mean=final_mean, notes=notes)


@dataclass(frozen=True)
class _Saved:
    """Hold one file of metrics, with what it tells of its run, step and tokens."""

    file: Path
    run: str
    step: float | None
    tokens: float | None
    values: dict[str, Any]


def _read(file: Path, rules: MetricMap) -> _Saved:
    content = json_document(file)
    if not isinstance(content, dict):
        raise SourceError(f"{file} is no object of metrics by name")
    match = SAVED.fullmatch(file.name)
    name = content.get("name")
    if not isinstance(name, str) or not name:
        name = (match["run"] if match else "") or file.absolute().parent.name
    step = next((at for at in (number(content.get("step")), step_in(file.stem)) if at is not None), None)
    tokens = next(
        (read for key in content if _is_tokens(rules, key) and (read := number(content[key])) is not None), None
    )
    if step is None and tokens is None:
        raise SourceError(f"{file} tells neither its step nor its tokens; name it metrics_step1000.json")
    return _Saved(file, label(name), step, tokens, {key: value for key, value in content.items() if key not in ABOUT})


def _log(run: str, files: list[_Saved], rules: MetricMap, notes: list[str]) -> TrainingLog:
    """Put one run's files in order of step.

    A file holds the latest value of every metric, so that an evaluation which did not change is of an earlier step.
    """
    log = TrainingLog(run, rules, folder=files[0].file.parent)
    steps = {saved.tokens: saved.step for saved in files if saved.step is not None}
    ordered: list[tuple[float, _Saved]] = []
    for saved in files:
        step = saved.step if saved.step is not None else steps.get(saved.tokens)
        if step is None and steps:
            notes.append(f"{saved.file.name} of {run} tells no step, and no file of a step has its tokens; left out")
            continue
        ordered.append((saved.tokens or 0.0 if step is None else step, saved))
    before: dict[str, tuple[float, Any]] = {}
    carried = 0
    for step, saved in sorted(ordered, key=lambda pair: (pair[0], pair[1].file.name)):
        for key, value in saved.values.items():
            if not isinstance(value, int | float | str):
                continue
            first, last = before.get(key, (step, None))
            if key.startswith("eval/") and last == value and first < step:
                carried += 1
                continue
            before[key] = (step, value)
            log.add(step, key, value)
    if carried:
        notes.append(f"{run}: {carried} values are those of an earlier step, carried along; left out")
    return log


def read_levanter(
    path: str | Path,
    *,
    runs: str | Path | None = None,
    map: str | Path | None = None,
    tokens_per_step: float | None = None,
    final_mean: int = 1,
) -> Observations:
    """Read `tracker_metrics.jsonl`: each line one run's configuration and what it last measured.

    D is the summary's throughput/total_tokens, N_total its parameter_count. Raises SourceError.
    """
    rules, table = MetricMap.read(map), RunTable.read(runs)
    logs: list[TrainingLog] = []
    for file in found_files(Path(path), ("tracker_metrics*.jsonl",), "the tracker_metrics.jsonl of Levanter"):
        lines = list(json_lines(file))
        for line, content in lines:
            config, summary = mapping(content.get("config")), mapping(content.get("summary"))
            if not summary:
                raise SourceError(f"line {line} of {file} has no object 'summary'; it is no tracker file of Levanter")
            name = _run_name(config, summary) or file.absolute().parent.name + (f"#{line}" if len(lines) > 1 else "")
            log = TrainingLog(label(name), rules)
            log.configure("config", config)
            log.configure("summary", {key: value for key, value in summary.items() if key == "parameter_count"})
            step = number(summary.get("_step", summary.get("global_step"))) or 0.0
            step = step or next(
                (read for key in summary if _is_tokens(rules, key) and (read := number(summary[key]))), 0.0
            )
            for key, value in summary.items():
                if not key.startswith("_") and key != "parameter_count" and isinstance(value, int | float | str):
                    log.add(step, key, value)
            logs.append(log)
    return observe(logs, table, tokens_per_step=tokens_per_step, final_mean=final_mean)


def _is_tokens(rules: MetricMap, key: str) -> bool:
    return (found := rules.of_log(key)) is not None and found[1].role == "tokens"


def _run_name(*places: dict[str, Any]) -> str:
    inner = [mapping(mapping(place.get("trainer")).get("tracker")) for place in places]
    told = (place.get(name) for place in (*places, *inner) for name in ("run_name", "run_id", "name"))
    return next((value for value in told if isinstance(value, str) and value), "")
