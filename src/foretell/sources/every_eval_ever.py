"""Records of Every Eval Ever: one JSON a model and benchmark, with optional JSONL of its samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from foretell.errors import SourceError
from foretell.sources.guard import found_files, json_document, json_lines, label, mapping, number, some
from foretell.sources.lm_eval import Harness, describe_checkpoints, harness_of
from foretell.sources.lm_eval_files import HarnessFiles, checkpoint_of, name_apart
from foretell.sources.lm_eval_samples import HASH
from foretell.sources.metric_map import MetricMap
from foretell.sources.run_table import RunTable, step_in
from foretell.table import Metric, Observations

MAJOR = "0."  # of the schema; 0.3.0 is the newest known
SCALES = {"percent": 0.01, "%": 0.01}


def read_every_eval_ever(path: str | Path, **options: Any) -> Observations:
    """Read records of Every Eval Ever; the options are those of `read_records`."""
    return read_records(path, **options).observations


def read_records(
    path: str | Path,
    *,
    runs: str | Path | None = None,
    map: str | Path | None = None,
    tokens_per_step: float | None = None,
) -> Harness:
    """Read a record, or all below a folder, with the samples that lie beside (`…_samples.jsonl`).

    A metric is the record's evaluation_name and metric_name; the latest record of a model counts. Percentages become
    shares. Samples whose score is 0 or 1 become outcomes, keyed by their document's hash. Raises SourceError, listing
    the models, where N or D is not known.
    """
    table, rules, notes = RunTable.read(runs), MetricMap.read(map), list[str]()
    points: dict[tuple[str, float | None], HarnessFiles] = {}
    latest: dict[tuple[int, str], tuple[float, dict[str, Any], Metric]] = {}
    unmapped: set[str] = set()
    samples: list[tuple[HarnessFiles, Path]] = []
    count = older = holes = 0
    root = Path(path)
    for file in found_files(root, ("*.json",), "records of Every Eval Ever"):
        content = json_document(file)
        if not isinstance(content, dict) or "evaluation_results" not in content:
            if root.is_file():
                raise SourceError(f"{file} has no list 'evaluation_results'; it is no record of Every Eval Ever")
            continue
        count += 1
        if not str(content.get("schema_version", "")).startswith(MAJOR):
            raise SourceError(f"{file} follows schema {label(content.get('schema_version'))}; known is 0.x")
        info = mapping(content.get("model_info"))
        model = info.get("id") or info.get("name")
        if not isinstance(model, str) or not isinstance(content["evaluation_results"], list):
            raise SourceError(f"{file} names no model_info.id, or its evaluation_results are no list")
        details = mapping(info.get("additional_details"))
        point = checkpoint_of(points, label(model), step_in(model, details.get("revision")), file.parent)
        total = number(details.get("num_parameters"))
        point.N_total = total if total is not None and total > 0 else point.N_total
        written = number(content.get("evaluation_timestamp")) or number(content.get("retrieved_timestamp")) or 0.0
        for result in content["evaluation_results"]:
            found = _result(mapping(result), rules, unmapped)
            if found is None:
                holes += number(mapping(mapping(result).get("score_details")).get("score")) is None
                continue
            row, metric = found
            key = (id(point), metric.name)
            older += key in latest
            if key not in latest or written >= latest[key][0]:
                latest[key] = (written, row, metric)
        beside = file.with_name(f"{file.stem}_samples.jsonl")
        if beside.is_file():
            samples.append((point, beside))
    if not count:
        raise SourceError(f"{path} holds no record of Every Eval Ever: no JSON there has evaluation_results")
    if older:
        notes.append(f"{older} scores were followed by a later one of the same model; the latest counts")
    if holes:
        notes.append(f"{holes} scores are no finite numbers; left out")
    if unmapped:
        notes.append(f"{len(unmapped)} measures are not in the metric map; left out: {some(unmapped, 60)}")
    ordered = sorted(points.values(), key=lambda point: (point.run, point.step or 0.0, point.full))
    name_apart(ordered)
    described = describe_checkpoints(ordered, table, None, tokens_per_step)
    places = {
        id(point): {"run": point.run, "D": said.D, "step": point.step, "C": said.C}
        for point, said in zip(ordered, described, strict=True)
    }
    rows = [{**places[of], **row} for (of, _), (_, row, _) in latest.items()]
    metrics = {metric.name: metric for _, _, metric in latest.values()}
    outcomes = [
        frame
        for point, file in samples
        if (frame := _outcomes(file, places[id(point)], rules, set(metrics))) is not None
    ]
    return harness_of(ordered, described, rows, metrics, outcomes, [], notes, str(path))


def _result(result: dict[str, Any], rules: MetricMap, unmapped: set[str]) -> tuple[dict[str, Any], Metric] | None:
    config, details = mapping(result.get("metric_config")), mapping(result.get("score_details"))
    task, measure = result.get("evaluation_name"), config.get("metric_name") or result.get("evaluation_result_id")
    score = number(details.get("score"))
    if not isinstance(task, str) or not isinstance(measure, str) or score is None:
        return None
    if (found := rules.of_measure(label(measure))) is None:
        unmapped.add(label(measure))
        return None
    _, rule, word = found
    if rule.role == "ignore":
        return None
    scale = rule.scale * SCALES.get(str(config.get("metric_unit", "")).lower(), 1.0)
    doubt = mapping(details.get("uncertainty"))
    stderr, items = number(mapping(doubt.get("standard_error")).get("value")), number(doubt.get("num_samples"))
    metric = rules.metric(f"{label(task)}/{word}", rule)
    row = {
        "metric": metric.name,
        "value": score * scale,
        "stderr": None if stderr is None else stderr * scale,
        "items": items if items is not None and items > 0 else None,
    }
    return row, metric


def _outcomes(file: Path, at: dict[str, Any], rules: MetricMap, known: set[str]) -> pl.DataFrame | None:
    """Read the outcomes of samples; those of one document and metric are numbered in order."""
    rows: list[tuple[str, str, int]] = []
    seen: dict[tuple[str, str], int] = {}
    for line, sample in json_lines(file):
        task, result = sample.get("evaluation_name"), sample.get("evaluation_result_id")
        score = number(mapping(sample.get("evaluation")).get("score"))
        if not isinstance(task, str):
            raise SourceError(f"line {line} of {file} names no evaluation; it is no sample of Every Eval Ever")
        measure = result.partition(":")[0] if isinstance(result, str) else ""
        found = rules.of_measure(label(measure))
        if found is None or found[1].unit != "accuracy" or score not in (0.0, 1.0):
            continue
        name = f"{label(task)}/{found[2]}"
        told = mapping(sample.get("metadata")).get("doc_hash") or sample.get("sample_hash") or sample.get("sample_id")
        item = label(told if isinstance(told, str) else json.dumps(told))[:HASH]
        again = seen[name, item] = seen.get((name, item), 0) + 1
        if name in known:
            rows.append((name, item if again == 1 else f"{item}#{again}", int(score)))
    if not rows:
        return None
    frame = pl.DataFrame(rows, schema={"metric": pl.String, "item": pl.String, "outcome": pl.UInt16}, orient="row")
    return frame.select(pl.lit(at["run"]).alias("run"), pl.lit(at["D"]).cast(pl.Float64).alias("D"), "metric", "item",
                        "outcome", trials=pl.lit(1, dtype=pl.UInt16))  # fmt: skip
