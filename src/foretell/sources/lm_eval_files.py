"""The files of lm-evaluation-harness, sorted by the model and checkpoint that they tell of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foretell.errors import SourceError
from foretell.sources.guard import found_files, json_document, label, mapping, number
from foretell.sources.run_table import step_in

FILES = ("results*.json", "results*.json.gz", "samples_*.jsonl", "samples_*.jsonl.gz")
NAMED = re.compile(r"(?:results|samples_(?P<task>.+?))(?:_(?P<date>\d{4}-\d\d-\d\dT[\d.:-]+))?\.jsonl?(?:\.gz)?")


@dataclass(frozen=True)
class TaskResult:
    """Hold the measures of a task, by their own keys, with shots, number of documents, and when they were written."""

    stamp: str
    measures: Mapping[str, Any]
    shots: Any = None
    items: float | None = None
    delimiter: str = " "


@dataclass
class HarnessFiles:
    """Gather what the files say of one model at one step; `full` is the model as it was given to the harness."""

    full: str
    run: str
    step: float | None
    folder: Path
    N_total: float | None = None
    results: dict[str, TaskResult] = field(default_factory=dict)
    samples: dict[str, tuple[str, Path]] = field(default_factory=dict)

    @property
    def aliases(self) -> tuple[str, ...]:
        """Give the names by which a run table may call this checkpoint itself."""
        return self.full, self.full.replace("/", "__"), self.full.rpartition("/")[2]


def gather(path: Path, notes: list[str]) -> list[HarnessFiles]:
    """Sort all files below a path by model and step; of several results of a task, the latest counts.

    Raises SourceError for a file that is no result, and where there is none.
    """
    files = found_files(path, FILES, "the folder that lm_eval wrote with --output_path")
    found: dict[tuple[str, float | None], HarnessFiles] = {}
    written: dict[tuple[Path, str], HarnessFiles] = {}
    superseded = limited = 0
    for file in files:
        match = NAMED.fullmatch(file.name)
        if file.name.startswith("samples_") or (match is None and len(files) > 1):
            continue
        content = json_document(file)
        if not isinstance(content, dict) or not isinstance(content.get("results"), dict):
            raise SourceError(f"{file} has no object 'results'; it is no result of lm-evaluation-harness")
        config, stamp = mapping(content.get("config")), (match["date"] if match else None) or ""
        point = checkpoint_of(found, *_model(content, config, file), file.parent)
        written[file.parent, stamp] = point
        total = number(config.get("model_num_parameters"))
        point.N_total = total if total is not None and total > 0 else point.N_total
        limited += config.get("limit") is not None
        for task, result in _results(content, stamp, file).items():
            superseded += task in point.results
            if task not in point.results or stamp >= point.results[task].stamp:
                point.results[task] = result
    for file in files:
        match = NAMED.fullmatch(file.name)
        if match is None or not match["task"]:
            continue
        stamp, task = match["date"] or "", label(match["task"])
        point = written.get((file.parent, stamp)) or _of_folder(found, written, file.parent)
        superseded += task in point.samples
        if task not in point.samples or stamp >= point.samples[task][0]:
            point.samples[task] = (stamp, file)
    for point in found.values():
        for task, (stamp, _) in list(point.samples.items()):
            if task in point.results and point.results[task].stamp > stamp:
                del point.samples[task]
    if superseded:
        notes.append(f"{superseded} results were followed by a later one of the same model and task; the latest counts")
    if limited:
        notes.append(f"{limited} files were made with --limit: their scores are of part of each task")
    if not found:
        raise SourceError(f"{path} holds no results and no samples of lm-evaluation-harness")
    points = sorted(found.values(), key=lambda point: (point.run, point.step or 0.0, point.full))
    name_apart(points)
    return points


def _results(content: Mapping[str, Any], stamp: str, file: Path) -> dict[str, TaskResult]:
    sizes, shots = mapping(content.get("n-samples")), mapping(content.get("n-shot"))
    subtasks, configs = mapping(content.get("group_subtasks")), mapping(content.get("configs"))
    found: dict[str, TaskResult] = {}
    for task, measures in {**mapping(content.get("groups")), **content["results"]}.items():
        if not isinstance(measures, dict):
            raise SourceError(f"{file}: the result of {label(task)!r} is no object; the file may be damaged")
        delimiter = mapping(configs.get(task)).get("target_delimiter", " ")
        found[label(task)] = TaskResult(
            stamp=stamp,
            measures=measures,
            shots=shots.get(task),
            items=_asked(task, sizes, subtasks, frozenset()),
            delimiter=delimiter if isinstance(delimiter, str) else " ",
        )
    return found


def _asked(task: str, sizes: Mapping[str, Any], subtasks: Mapping[str, Any], above: frozenset[str]) -> float | None:
    """Count the documents of a task, or of all tasks of a group."""
    own = number(mapping(sizes.get(task)).get("effective"))
    if own is not None:
        return own if own > 0 else None
    parts = subtasks.get(task)
    if not isinstance(parts, list) or not parts or task in above or len(above) > 20:
        return None
    counts = [_asked(part, sizes, subtasks, above | {task}) for part in parts if isinstance(part, str)]
    return None if len(counts) < len(parts) or None in counts else sum(count for count in counts if count is not None)


def _model(content: Mapping[str, Any], config: Mapping[str, Any], file: Path) -> tuple[str, float | None]:
    """Give the model as it was named to the harness, with its revision, and its step."""
    arguments = config.get("model_args")
    if isinstance(arguments, str):
        arguments = dict(part.split("=", 1) for part in arguments.split(",") if "=" in part)
    arguments = mapping(arguments)
    given = (arguments.get(name) for name in ("pretrained", "model", "path", "engine"))
    name = next((value for value in given if isinstance(value, str) and value), None) or content.get("model_name")
    if not isinstance(name, str) or not name:
        name = file.parent.name.replace("__", "/")
    revision = arguments.get("revision") or config.get("model_revision")
    own = "" if not isinstance(revision, str) or revision in ("main", "master", "None", "") else f"@{revision}"
    return label(name.rstrip("/") + own), step_in(name, revision)


def checkpoint_of(
    found: dict[tuple[str, float | None], HarnessFiles], full: str, step: float | None, folder: Path
) -> HarnessFiles:
    """Give the checkpoint of a model's full name and step, made when it is new."""
    if (full, step) not in found:
        path, _, revision = full.partition("@")
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        while len(parts) > 1 and step_in(parts[-1]) is not None:
            parts.pop()
        hub = len(parts) == 2 and not path.startswith(("/", "."))
        run = "/".join(parts[-2:] if hub else parts[-1:]) or full
        if revision and step_in(revision) is None:
            run += f"@{revision}"
        found[full, step] = HarnessFiles(full, run, step, folder)
    return found[full, step]


def _of_folder(
    found: dict[tuple[str, float | None], HarnessFiles], written: Mapping[tuple[Path, str], HarnessFiles], folder: Path
) -> HarnessFiles:
    """Tell whose samples lie in a folder: those of the one model with results there, else the folder's name."""
    there = {id(point): point for (place, _), point in written.items() if place == folder}
    if len(there) == 1:
        return next(iter(there.values()))
    name = label(folder.resolve().name.replace("__", "/"))
    return checkpoint_of(found, name, step_in(name), folder)


def name_apart(points: list[HarnessFiles]) -> None:
    """Call models of one short name by their full ones."""
    roots: dict[str, set[str]] = {}
    for point in points:
        roots.setdefault(point.run, set()).add(_root(point))
    for point in points:
        if len(roots[point.run]) > 1:
            point.run = _root(point)


def _root(point: HarnessFiles) -> str:
    path, _, revision = point.full.partition("@")
    parts = path.split("/")
    while len(parts) > 1 and step_in(parts[-1]) is not None:
        parts.pop()
    return "/".join(parts) + (f"@{revision}" if revision and step_in(revision) is None else "")
