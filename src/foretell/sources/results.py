"""Results of one run, as people note them down: metric and value, in a CSV or JSON file."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretell.encoding import not_utf8
from foretell.errors import SourceError, UnitError
from foretell.units import parse_count, parse_tokens

LARGEST_FILE = 50_000_000  # bytes
COLUMNS = ("metric", "value", "target", "N", "D")


@dataclass(frozen=True)
class Result:
    """Hold one measured value; `target` is the name of the run it is of, N and D its size, where they are told."""

    metric: str
    value: float
    target: str = ""
    N: float | None = None
    D: float | None = None


def read_results(path: str | Path) -> list[Result]:
    """Read a CSV with the columns metric,value[,target][,N,D], or JSON: `{metric: value}` or a list of such rows.

    JSON may name N and D beside `values: {…}`. Raises SourceError, with the line where there is one, for a file that
    cannot be read, a value that is no finite number, or a metric that is there twice.
    """
    file = Path(path)
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise SourceError(f"{file} has {file.stat().st_size} bytes; results of one run have at most {LARGEST_FILE}")
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(not_utf8(error, str(file))) from None
    except OSError as error:
        raise SourceError(f"the results {file} cannot be read: {error}") from None
    rows = _json(file, text) if text.lstrip()[:1] in ("{", "[") else _csv(file, text)
    made = [_result(where, row) for where, row in rows]
    if not made:
        raise SourceError(f"the results {file} hold no value; write the columns metric,value")
    seen: set[tuple[str, str]] = set()
    for result in made:
        if (result.target, result.metric) in seen:
            raise SourceError(f"{file} holds {result.metric} twice; keep one value, or name the target of each")
        seen.add((result.target, result.metric))
    return made


def _csv(file: Path, text: str) -> list[tuple[str, Mapping[str, Any]]]:
    reader = csv.DictReader(text.splitlines())
    try:
        found = [name.strip() for name in reader.fieldnames or ()]
        if not {"metric", "value"} <= set(found):
            raise SourceError(
                f"the results {file} need the columns metric,value[,target][,N,D]; found: {', '.join(found) or 'none'}"
            )
        reader.fieldnames = found
        return [(f"line {reader.line_num} of {file}", row) for row in reader]
    except csv.Error as error:
        raise SourceError(f"line {reader.line_num} of {file} is no CSV: {error}") from None


def _json(file: Path, text: str) -> list[tuple[str, Mapping[str, Any]]]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"the results {file} are no JSON: {error}") from None
    if isinstance(told, dict) and isinstance(told.get("values"), dict):
        size = {key: told.get(key) for key in ("target", "N", "D")}
        return [(f"{name!r} in {file}", {"metric": name, "value": v, **size}) for name, v in told["values"].items()]
    if isinstance(told, dict):
        return [(f"{name!r} in {file}", {"metric": name, "value": value}) for name, value in told.items()]
    rows = [(f"entry {i} of {file}", row) for i, row in enumerate(told, start=1)]
    for where, row in rows:
        if not isinstance(row, dict) or not {"metric", "value"} <= set(row):
            raise SourceError(f"{where} is not an object with metric and value")
    return rows


def _result(where: str, row: Mapping[str, Any]) -> Result:
    metric, value = row.get("metric"), row.get("value")
    if not isinstance(metric, str) or not metric.strip():
        raise SourceError(f"{where} names no metric")
    try:
        number = float("nan") if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not math.isfinite(number):
        raise SourceError(f"{where}: the value of {metric} is {value!r}, which is no finite number; leave a hole out")
    try:
        N = parse_count(row["N"], "N") if row.get("N") else None
        D = parse_tokens(row["D"], N) if row.get("D") else None
    except UnitError as error:
        raise SourceError(f"{where}: {error}") from None
    return Result(metric.strip(), number, str(row.get("target") or "").strip(), N, D)
