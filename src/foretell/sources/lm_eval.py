"""Results and samples of lm-evaluation-harness, of any number of models and checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from foretell.errors import SourceError
from foretell.sources.guard import json_document, label, mapping, number, some
from foretell.sources.lm_eval_files import HarnessFiles, gather
from foretell.sources.lm_eval_samples import LN2, TaskSamples, read_samples
from foretell.sources.metric_map import MetricMap
from foretell.sources.model_size import read_model_size
from foretell.sources.run_table import Described, RunTable, ask_for
from foretell.table import Metric, Observations, Run

SKIPPED = frozenset({"alias", "name", "sample_len", "sample_count", "samples"})
PER_DOCUMENT = ("bpb", "soft", "margin")
COMPUTED = (*PER_DOCUMENT, "acc", "acc_norm", "acc_bytes")
_KEY = {"run": pl.String, "D": pl.Float64, "metric": pl.String, "item": pl.String}


@dataclass(frozen=True)
class Harness:
    """Hold what harness files tell: observations, and each document's outcomes and scores.

    `outcomes` has the columns of a study's items (run, D, metric, item, outcome, trials), `scores` has run, D, metric
    (bpb, soft or margin of a task), item and value. `item` is the document's hash: it pairs models.
    """

    observations: Observations
    outcomes: pl.DataFrame
    scores: pl.DataFrame


@dataclass
class _Gathered:
    """Collect rows on their way into tables."""

    map: MetricMap
    rows: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, Metric] = field(default_factory=dict)
    guesses: dict[str, float] = field(default_factory=dict)
    outcomes: list[pl.DataFrame] = field(default_factory=list)
    scores: list[pl.DataFrame] = field(default_factory=list)
    unmapped: set[str] = field(default_factory=set)
    holes: int = 0


def read_lm_eval(path: str | Path, **options: Any) -> Observations:
    """Read results and samples of lm-evaluation-harness; the options are those of `read_harness`."""
    return read_harness(path, **options).observations


def read_harness(
    path: str | Path,
    *,
    runs: str | Path | None = None,
    map: str | Path | None = None,
    checkpoints: str | Path | None = None,
    tokens_per_step: float | None = None,
) -> Harness:
    """Read a results or samples file, or a folder of them, at most one task's samples at a time.

    Metrics are `TASK/MEASURE` (`TASK[FILTER]/MEASURE` where the filter is not "none"). Samples give also bpb, soft,
    margin, acc_norm and acc_bytes, recomputed per document. `runs` is a table of N and D; steps are read off revision
    or path; config.json is looked up beside the results, and with trainer_state.json below `checkpoints`. Raises
    SourceError, listing the models, where N or D is not known.
    """
    table, made, notes = RunTable.read(runs), _Gathered(MetricMap.read(map)), list[str]()
    points = gather(Path(path), notes)
    described = describe_checkpoints(points, table, Path(checkpoints) if checkpoints else None, tokens_per_step)
    several = _several_shots(points)
    for point, said in zip(points, described, strict=True):
        at = {"run": point.run, "D": said.D, "step": point.step, "C": said.C}
        seen: set[str] = set()
        for task, result in sorted(point.results.items()):
            name = f"{task}_{label(result.shots)}shot" if task in several else task
            for key in result.measures:
                if (row := _row(made, name, key, result.measures, result.items)) is not None:
                    made.rows.append({**at, **row})
                    seen.add(row["metric"])
        for task, (_, file) in sorted(point.samples.items()):
            known = point.results.get(task)
            name = f"{task}_{label(known.shots)}shot" if task in several and known is not None else task
            filters = read_samples(file, task, " " if known is None else known.delimiter)
            counts = {len(samples.doc) for samples in filters} or {0}
            if known is not None and known.items is not None and counts != {known.items}:
                notes.append(
                    f"{point.full}: {file.name} holds {some(f'{count:,}' for count in counts)} samples of {task}, "
                    f"its result is of {known.items:,.0f}; one of the two may be cut off"
                )
            for samples in filters:
                if samples.differ:
                    notes.append(
                        f"{point.full}: {samples.differ} accuracies of {task} are not those that its samples give anew"
                    )
                _take(made, samples, name if samples.filter == "none" else f"{name}[{samples.filter}]", at, seen)
    if made.unmapped:
        notes.append(f"{len(made.unmapped)} measures are not in the metric map; left out: {some(made.unmapped, 60)}")
    if made.holes:
        notes.append(f"{made.holes} measures are no finite numbers; left out")
    for name, guess in made.guesses.items():
        made.metrics[name] = made.metrics[name].model_copy(update={"chance": guess})
    return harness_of(points, described, made.rows, made.metrics, made.outcomes, made.scores, notes, str(path))


def _row(
    made: _Gathered, task: str, key: str, measures: Mapping[str, Any], items: float | None
) -> dict[str, Any] | None:
    """Turn one measure of a result into a row; None for what is no measure, or not mapped."""
    measure, _, rest = key.partition(",")
    if measure in SKIPPED or measure.endswith("_stderr"):
        return None
    if (found := made.map.of_measure(label(measure))) is None:
        if number(measures[key]) is not None:
            made.unmapped.add(label(measure))
        return None
    _, rule, word = found
    if rule.role == "ignore":
        return None
    value = number(measures[key])
    if value is None:
        made.holes += 1
        return None
    name = f"{task}/{word}" if rest in ("", "none") else f"{task}[{label(rest)}]/{word}"
    made.metrics.setdefault(name, made.map.metric(name, rule))
    stderr = number(measures.get(f"{measure}_stderr,{rest}" if rest else f"{measure}_stderr"))
    scale = rule.scale
    return {
        "metric": name,
        "value": value * scale,
        "stderr": None if stderr is None else stderr * scale,
        "items": items,
    }


def _take(made: _Gathered, samples: TaskSamples, task: str, at: Mapping[str, Any], seen: set[str]) -> None:
    """Take a task's samples: what each document scored, and means of what no result tells."""
    item = samples.items()
    for measure in samples.measures():
        values = samples.measure(measure)
        found = made.map.of_measure(measure)
        if measure in PER_DOCUMENT:
            unit: Any = {"bpb": "bits/byte"}.get(measure, "value")
            metric = Metric(name=f"{task}/{measure}", unit=unit, better="lower" if measure == "bpb" else "higher")
        elif found is None or found[1].role == "ignore" or found[1].unit != "accuracy":
            continue
        else:
            metric = made.map.metric(f"{task}/{found[2]}", found[1])
            guess = np.asarray(samples.guess)
            if found[1].guess and not np.isnan(guess).any():
                made.guesses[metric.name] = float(guess.mean())
        known = ~np.isnan(values)
        keyed = pl.DataFrame({"item": item, "value": values}).filter(known)
        keyed = keyed.select(pl.lit(at["run"]).alias("run"), pl.lit(at["D"]).alias("D"),
                             pl.lit(metric.name).alias("metric"), "item", "value")  # fmt: skip
        if measure in PER_DOCUMENT:
            made.scores.append(keyed)
        elif bool(np.isin(values[known], (0.0, 1.0)).all()):
            made.outcomes.append(
                keyed.select("run", "D", "metric", "item", outcome=pl.col("value").cast(pl.UInt16),
                             trials=pl.lit(1, dtype=pl.UInt16))
            )  # fmt: skip
        else:
            continue
        made.metrics.setdefault(metric.name, metric)
        if metric.name not in seen:
            seen.add(metric.name)
            value, stderr = _mean(values[known]) if measure != "bpb" or not samples.bytes else _pooled(samples)
            made.rows.append(
                {**at, "metric": metric.name, "value": value, "stderr": stderr, "items": float(known.sum())}
            )


def _mean(values: np.ndarray[Any, Any]) -> tuple[float, float | None]:
    spread = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    stderr = spread / math.sqrt(len(values))
    return float(values.mean()), stderr if math.isfinite(stderr) else None


def _pooled(samples: TaskSamples) -> tuple[float, float | None]:
    """Give bits per byte of all texts together, with the standard error of a ratio of means."""
    nats, size = np.asarray(samples.nats), np.asarray(samples.bytes)
    value = float(nats.sum() / size.sum() / LN2)
    if len(size) < 2:
        return value, None
    rest = nats / LN2 - value * size
    return value, float(rest.std(ddof=1) / (size.mean() * math.sqrt(len(size))))


def describe_checkpoints(
    points: list[HarnessFiles], table: RunTable, checkpoints: Path | None, tokens_per_step: float | None
) -> list[Described]:
    """Find N and D of each checkpoint: in the table, by its step, or in the files of the model itself."""
    found: list[Described] = []
    no_N: list[str] = []
    no_D: list[str] = []
    for point in points:
        own = table.of(point.aliases, point.step)
        whole = table.of((point.run, point.run.rpartition("/")[2]), point.step)
        said = own or whole or Described()
        rate = said.tokens_per_step or (whole.tokens_per_step if whole else None) or tokens_per_step
        D = said.D if own is not None or point.step is None or (point.run, point.step) in table.entries else None
        if rate and point.step is not None:
            D = rate * point.step
        N, N_total = said.N, said.N_total
        folders = [point.folder, *_folders_of(point, checkpoints)]
        if N is None and N_total is None:
            N_total = point.N_total
            size = next((size for folder in folders if (size := read_model_size(folder)) is not None), None)
            if size is not None and (N_total is None or N_total == size.N_total):
                N, N_total = size.N, size.N_total
        D = D or next((seen for folder in folders if (seen := _tokens_seen(folder)) is not None), None)
        no_N += [point.full] if N is None and N_total is None else []
        no_D += [point.full] if D is None or D <= 0 else []
        found.append(Described(N, N_total, D, said.C, said.U, rate, said.family, said.held_out, said.attributes))
    if no_N or no_D:
        raise ask_for(no_N, no_D, key="model")
    return found


def _folders_of(point: HarnessFiles, checkpoints: Path | None) -> list[Path]:
    """Give the folders below `checkpoints` that a model's last names lead to; what a file says leads nowhere else."""
    parts = [part for part in point.full.partition("@")[0].split("/") if part not in ("", ".")]
    if checkpoints is None or ".." in parts or "\0" in point.full:
        return []
    return [checkpoints.joinpath(*parts[-count:]) for count in range(min(len(parts), 3), 0, -1)]


def _tokens_seen(folder: Path) -> float | None:
    """Read the tokens seen off a trainer_state.json."""
    try:
        state = mapping(json_document(folder / "trainer_state.json")) if folder.is_dir() else {}
    except (OSError, SourceError, ValueError):
        return None
    seen = number(state.get("num_input_tokens_seen"))
    return seen if seen is not None and seen > 0 else None


def _several_shots(points: list[HarnessFiles]) -> set[str]:
    """Name the tasks that were asked with different numbers of examples: their metrics are kept apart."""
    shots: dict[str, set[str]] = {}
    for point in points:
        for task, result in point.results.items():
            if result.shots is not None:
                shots.setdefault(task, set()).add(label(result.shots))
    return {task for task, counts in shots.items() if len(counts) > 1}


def harness_of(
    points: list[HarnessFiles],
    described: list[Described],
    rows: list[dict[str, Any]],
    metrics: Mapping[str, Metric],
    outcomes: list[pl.DataFrame],
    scores: list[pl.DataFrame],
    notes: list[str],
    path: str,
) -> Harness:
    """Join what was gathered; raises SourceError where N differs within a run, or no row is left."""
    if not rows:
        raise SourceError(f"no measure of {path} is in the metric map; name its measures in a file for --map")
    ends: dict[str, Described] = {}
    for point, said in zip(points, described, strict=True):
        before = ends.get(point.run)
        if before is not None and (before.N, before.N_total) != (said.N, said.N_total):
            raise SourceError(
                f"N of {point.run!r} differs between its checkpoints ({before.N or before.N_total:,.0f} and "
                f"{said.N or said.N_total:,.0f}); name them apart in the table of --runs"
            )
        if before is None or (said.D or 0) > (before.D or 0):
            ends[point.run] = said
    runs = [
        Run(name=name, N=said.N, N_total=said.N_total, D=said.D or math.nan, C=said.C, U=said.U, family=said.family,
            held_out=said.held_out, attributes=said.attributes)
        for name, said in ends.items()
    ]  # fmt: skip
    law_N: Any = "N" if all(run.N is not None for run in runs) else "N_total"
    if lacking := [run.name for run in runs if getattr(run, law_N) is None]:
        raise ask_for(lacking, [], key="model")
    frame = pl.DataFrame(
        rows,
        schema={"run": pl.String, "D": pl.Float64, "step": pl.Float64, "C": pl.Float64, "metric": pl.String,
                "value": pl.Float64, "stderr": pl.Float64, "items": pl.Float64},
    )  # fmt: skip
    asked = dict(frame.group_by("metric").agg(pl.col("items").unique()).iter_rows())
    counted = [
        metric.model_copy(update={"items": int(asked[name][0]) if len(asked[name]) == 1 and asked[name][0] else None})
        for name, metric in metrics.items()
        if name in asked
    ]
    return Harness(
        Observations.of(runs, frame, counted, law_N=law_N, rows="final", notes=tuple(notes)),
        pl.concat([pl.DataFrame(schema={**_KEY, "outcome": pl.UInt16, "trials": pl.UInt16}), *outcomes]),
        pl.concat([pl.DataFrame(schema={**_KEY, "value": pl.Float64}), *scores]),
    )
