"""`trainer_state.json` of the Hugging Face Trainer, from any number of runs and checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foretell.errors import SourceError
from foretell.sources.guard import found_files, json_document, label, number
from foretell.sources.metric_map import MetricMap
from foretell.sources.run_table import RunTable, step_in
from foretell.sources.training_log import TrainingLog, observe
from foretell.table import Observations

SUMMARY = "train_loss"  # the last entry of a run holds means over the whole run: no checkpoint's values


def read_trainer(
    path: str | Path,
    *,
    runs: str | Path | None = None,
    map: str | Path | None = None,
    tokens_per_step: float | None = None,
    final_mean: int = 1,
) -> Observations:
    """Read trainer_state.json files: one, or all below a folder; checkpoints of one folder are one run.

    D is num_input_tokens_seen, which the Trainer keeps with include_num_input_tokens_seen, or step × tokens_per_step.
    N is counted from the config.json beside. Raises SourceError, listing the runs, where N or D is not known.
    """
    rules, table = MetricMap.read(map), RunTable.read(runs)
    root = Path(path)
    files = found_files(root, ("trainer_state.json",), "the Trainer's output_dir")
    states = sorted(((_state(file), file) for file in files), key=lambda pair: (pair[0][0], str(pair[1])))
    logs: dict[Path, TrainingLog] = {}
    for (_, state), file in states:
        folder = file.absolute().parent
        home = folder.parent if step_in(folder.name) is not None else folder
        if home not in logs:
            logs[home] = TrainingLog(label(home.name or folder.name), rules, aliases=(label(home),))
        log = logs[home]
        if (folder / "config.json").is_file():
            log.folder = folder
        _add(log, state, file)
    _name_apart(list(logs.items()))
    return observe(logs.values(), table, tokens_per_step=tokens_per_step, final_mean=final_mean)


def _state(file: Path) -> tuple[float, dict[str, Any]]:
    state = json_document(file)
    if not isinstance(state, dict) or not isinstance(state.get("log_history"), list):
        raise SourceError(f"{file} has no list 'log_history'; it is no trainer_state.json")
    return number(state.get("global_step")) or 0.0, state


def _add(log: TrainingLog, state: dict[str, Any], file: Path) -> None:
    for place, entry in enumerate(state["log_history"], 1):
        step = number(entry.get("step")) if isinstance(entry, dict) else None
        if step is None:
            raise SourceError(f"entry {place} of log_history in {file} has no step; the file may be damaged")
        if SUMMARY in entry:
            continue
        for key, value in entry.items():
            if key != "step" and isinstance(value, int | float | str):
                log.add(step, str(key), value)
    step, seen = number(state.get("global_step")), number(state.get("num_input_tokens_seen"))
    if step is not None and seen is not None and seen > 0:
        log.add(step, "num_input_tokens_seen", seen)


def _name_apart(logs: list[tuple[Path, TrainingLog]]) -> None:
    """Call runs of one folder name by the folder above as well."""
    names = [log.name for _, log in logs]
    for home, log in logs:
        if names.count(log.name) > 1:
            log.name = label(f"{home.parent.name}/{home.name}")
