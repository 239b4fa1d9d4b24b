"""A run table: what a user's file says of runs, where the tools' own files do not."""

from __future__ import annotations

import csv
import io
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foretell.errors import SourceError, UnitError
from foretell.sources.guard import label, number, some, whole_text
from foretell.table.observations import RUN_COLUMNS, VALUE_COLUMNS
from foretell.units import parse_count, parse_tokens

COLUMNS = ("run", "model", "step", "N", "N_total", "D", "C", "U", "tokens_per_step", "family", "held_out")
TRUE, FALSE = frozenset({"1", "true", "yes"}), frozenset({"", "0", "false", "no"})

_STEP = re.compile(r"(?:^|[^a-z])(?:global_?step|step|checkpoint|ckpt|iter)[-_=]?0*(\d{1,12})(?!\d)", re.IGNORECASE)


@dataclass(frozen=True)
class Described:
    """Hold what is known of a run, or of one of its checkpoints."""

    N: float | None = None
    N_total: float | None = None
    D: float | None = None
    C: float | None = None
    U: float | None = None
    tokens_per_step: float | None = None
    family: str = ""
    held_out: bool = False
    attributes: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunTable:
    """Hold one entry a run, or one a run and step; an entry without step describes the whole run."""

    entries: Mapping[tuple[str, float | None], Described] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str | Path | None) -> RunTable:
        """Read a CSV (columns run or model, N, N_total, D, …) or a TOML file (`[runs."name"]` with the same entries).

        Counts may be written `7B`; D may be `2xC`. Other columns become attributes. Raises SourceError, naming the
        line, for what cannot be read and for two entries of one run and step.
        """
        if path is None:
            return cls()
        file = Path(path)
        rows = _toml_rows(file) if file.suffix == ".toml" else _csv_rows(file)
        entries: dict[tuple[str, float | None], Described] = {}
        for place, row in rows:
            name = label(row.get("run") or row.get("model") or "")
            if not name:
                raise SourceError(f"{place} of {file} names no run; fill the column run (or model)")
            step = row.get("step")
            at = None if step in (None, "") else number(step)
            if step not in (None, "") and at is None:
                raise SourceError(f"{place} of {file}: the step {label(step)!r} is no number")
            if (name, at) in entries:
                raise SourceError(f"{place} of {file} describes {name!r} again; one row a run, or a run and step")
            entries[name, at] = _described(row, f"{place} of {file}")
        if not entries:
            raise SourceError(f"{file} describes no runs; write one row a run: run,N,D")
        return cls(entries)

    def of(self, names: Iterable[str], step: float | None = None) -> Described | None:
        """Find what is said of a run known by any of these names, the entry of that step first."""
        known = list(names)
        for at in (step, None) if step is not None else (None,):
            for name in known:
                if (name, at) in self.entries:
                    return self.entries[name, at]
        return None


def step_in(*texts: object) -> float | None:
    """Read the training step off a path or revision: step1000, checkpoint-1000, iter_0001000; else None."""
    for text in texts:
        if isinstance(text, str) and (found := _STEP.findall(text[-500:])):
            return float(found[-1])
    return None


def ask_for(missing_N: Iterable[str], missing_D: Iterable[str], *, key: str = "run") -> SourceError:
    """Make the error that lists the runs whose N or D is not known, and tells how to give it."""
    no_N, no_D = sorted(set(missing_N)), sorted(set(missing_D))
    parts = [f"{what} is not known for {some(names)}" for what, names in (("N", no_N), ("D", no_D)) if names]
    example = (no_N or no_D)[0]
    return SourceError(
        f"{'; '.join(parts)}. Give a table with --runs runs.csv, such as: {key},N,D on the first line and "
        f"{example},190M,3.8B below (N_total for all parameters; tokens_per_step in place of D where steps are known)"
    )


def _described(row: Mapping[str, Any], place: str) -> Described:
    counts: dict[str, float] = {}
    try:
        for name in ("N", "N_total", "C", "U", "tokens_per_step"):
            if row.get(name) not in (None, ""):
                counts[name] = parse_count(_written(row[name]), name)
        if row.get("D") not in (None, ""):
            counts["D"] = parse_tokens(_written(row["D"]), counts.get("N", counts.get("N_total")))
    except UnitError as error:
        raise SourceError(f"{place}: {error}") from None
    held = str(row.get("held_out") or "").strip().lower()
    if held not in TRUE | FALSE:
        raise SourceError(f"{place}: held_out is {label(held)!r}; write true or false")
    attributes: dict[str, float | str] = {}
    for name, value in row.items():
        if name not in COLUMNS and value not in (None, ""):
            if name in RUN_COLUMNS or name in VALUE_COLUMNS or name in ("M", "L") or name.startswith("w_"):
                raise SourceError(f"{place}: a column may not be called {name!r}; that name is the table's own")
            read = number(value)
            attributes[name] = label(value) if read is None else read
    return Described(family=label(row.get("family") or ""), held_out=held in TRUE, attributes=attributes, **counts)


def _written(value: object) -> str | float:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise UnitError(f"{value!r:.20}… is too large a number") from None
    raise UnitError(f"{label(value)!r} is no count; write a number such as 190M")


def _csv_rows(file: Path) -> list[tuple[str, dict[str, Any]]]:
    try:
        reader = csv.DictReader(io.StringIO(whole_text(file), newline=""), strict=True)
        names = [label(name) for name in reader.fieldnames or ()]
        if not {"run", "model"} & set(names):
            raise SourceError(f"{file} has no column run or model; found: {some(names) or 'nothing'}")
        if len(set(names)) < len(names):
            raise SourceError(f"{file} names a column twice; give each a name of its own")
        reader.fieldnames = names
        found = []
        for row in reader:
            if None in row or None in row.values():
                raise SourceError(f"line {reader.line_num} of {file} has not {len(names)} cells, as its first line has")
            found.append((f"line {reader.line_num}", {name: value.strip() for name, value in row.items()}))
    except csv.Error as error:
        raise SourceError(f"{file} cannot be read as CSV: {error}") from None
    return found


def _toml_rows(file: Path) -> list[tuple[str, dict[str, Any]]]:
    try:
        content = tomllib.loads(whole_text(file))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SourceError(f"{file} cannot be read as TOML: {error}") from None
    runs = content.get("runs", content)
    if not isinstance(runs, dict) or not all(isinstance(entry, dict) for entry in runs.values()):
        raise SourceError(f'{file} has no tables [runs."name"] of N, D and so on')
    return [(f"entry {label(name)!r}", {"run": name, **entry}) for name, entry in runs.items()]
