"""The reader of any table: columns mapped by name, one row a checkpoint or a run."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from foretell.errors import SourceError, TableError, UnknownName
from foretell.sources.columns import ROW, ColumnExpression, labels, matching
from foretell.sources.datafile import read_frame, stem
from foretell.sources.mapping import ColumnMap
from foretell.table import Observations, Run

COUNTS = ("N", "N_total", "D", "C", "U")
ROUNDING = 0.02  # shares whose sum is this near to 1 were rounded (measured: RegMix sums are 0.996–1.003)
PERCENT = 1.0 + 1e-6
_METRIC, _WEIGHT, _ATTRIBUTE = "metric ", "weight ", "attribute "  # prefixes that keep kinds of columns apart


def read_table(
    path: str | Path, columns: ColumnMap | None = None, *, toml: str | Path | None = None, **mapping: Any
) -> Observations:
    """Read a CSV, Parquet or JSONL file, its columns mapped by name.

    Give a ColumnMap, or its entries by name, or a TOML file of them. Everything is checked before anything is
    returned: raises SourceError, UnknownName, FormulaError or TableError, naming column and row.
    """
    if columns is not None and (mapping or toml is not None):
        raise SourceError("give either a ColumnMap or its entries, not both")
    read = ColumnMap.of(toml, **mapping) if columns is None else columns
    read.checked()
    frame = read_frame(path)
    if read.join is not None:
        frame = _joined(frame, read_frame(read.join), read.on, Path(read.join).name)
    try:
        return tabulate(frame, read, label=stem(path))
    except TableError as error:
        raise TableError(f"{path}: {error}") from None


def tabulate(frame: pl.DataFrame, columns: ColumnMap, *, label: str = "table") -> Observations:
    """Turn a frame into observations as a column map says; `label` names the runs where no column does."""
    columns.checked()
    whole = frame.with_columns(
        pl.col(name).cast(pl.Float64) for name, kind in frame.schema.items() if kind.is_numeric()
    )
    kept = whole.with_row_index(ROW, offset=1)
    if columns.where is not None:
        kept = kept.filter(matching(kept, columns.where))
        if not len(kept):
            raise TableError(f"no row of {label} fulfils {columns.where!r}; there are {len(frame)} rows")
    names = frame.columns
    metrics = columns.metric_expressions(names)
    described = columns.described(list(metrics))
    law_N = columns.law_N or ("N" if columns.N is not None else "N_total")
    if columns.shared_loss is not None and columns.shared_loss not in metrics:
        raise UnknownName("metric", columns.shared_loss, metrics)
    notes: list[str] = []

    rows = _rows(kept, columns, metrics, label)
    rows = _without_holes(rows, (law_N, "D"), notes)
    _refuse_nonpositive(rows)
    rows = _with_shares(rows, notes)
    rows = _merged(rows, notes)
    if columns.replicates:
        rows = _numbered(rows, notes)
    rows, varying = _constants(rows, notes)
    values = rows.unpivot(
        [name for name in rows.columns if name.startswith(_METRIC)],
        index=["run", "D", "C", "step", *varying],
        variable_name="metric",
        value_name="value",
    ).with_columns(pl.col("metric").str.strip_prefix(_METRIC))
    holes = values["value"].is_nan().sum()
    if holes:
        notes.append(
            f"{holes} cells of {values.filter(pl.col('value').is_nan())['metric'].n_unique()} metrics are empty"
        )
    values = values.filter(~pl.col("value").is_nan()).with_columns(pl.col("C", "step").fill_nan(None))
    along = rows.group_by("run").agg(pl.col("D").n_unique())["D"].max()
    return Observations.of(
        _runs(rows, varying),
        values.rename({name: name.removeprefix(_ATTRIBUTE) for name in varying}),
        described,
        law_N=law_N,
        rows=columns.rows or ("all" if isinstance(along, int) and along > 1 else "final"),
        final_mean=columns.final_mean,
        shared_loss=columns.shared_loss,
        notes=tuple(notes),
    )


def _joined(frame: pl.DataFrame, other: pl.DataFrame, on: Sequence[str], label: str) -> pl.DataFrame:
    for name in on:
        for there in (frame, other):
            if name not in there.columns:
                raise UnknownName("column", name, there.columns)
    twice = sorted((set(frame.columns) & set(other.columns)) - set(on))
    if twice:
        raise SourceError(f"both files have columns called {', '.join(twice)}; name them among --on, or drop them")
    if other.select(on).is_duplicated().any():
        raise SourceError(
            f"several rows of {label} agree in {', '.join(on)}; the file that is joined has one row a key"
        )
    try:
        return frame.join(other, on=list(on), how="left", maintain_order="left")
    except pl.exceptions.PolarsError as error:
        raise SourceError(f"{label} cannot be joined on {', '.join(on)}: {str(error).splitlines()[0]}") from None


def _rows(frame: pl.DataFrame, columns: ColumnMap, metrics: dict[str, ColumnExpression], label: str) -> pl.DataFrame:
    """Evaluate every expression: one row a row of the file, holes as nan."""
    known = [name for name in frame.columns if name != ROW]
    made: dict[str, Any] = {ROW: frame[ROW]}
    if columns.run:
        parts = [labels(frame, name) for name in columns.run]
        made["run"] = (
            pl.DataFrame({str(i): part for i, part in enumerate(parts)})
            .select(pl.concat_str(pl.all(), separator="/"))
            .to_series()
        )
    else:
        width = max(4, len(str(frame[ROW].max())))
        made["run"] = [f"{label}:{row:0{width}d}" for row in frame[ROW]]
    made["family"] = labels(frame, columns.family) if columns.family is not None else [""] * len(frame)
    held = (
        matching(frame, columns.held_out) if columns.held_out is not None else pl.repeat(False, len(frame), eager=True)
    )
    made["held_out"] = held
    for name in (*COUNTS, "step"):
        text = getattr(columns, name)
        made[name] = np.full(len(frame), np.nan) if text is None else ColumnExpression.read(text, known).evaluate(frame)
    for name, text in sorted(columns.attribute.items()):
        if text in known and _is_text(frame[text]):
            made[_ATTRIBUTE + name] = frame[text]
        else:
            made[_ATTRIBUTE + name] = ColumnExpression.read(text, known).evaluate(frame)
    for name, share in sorted(columns.weight_expressions(known).items()):
        made[_WEIGHT + name] = share.evaluate(frame)
    for name, expression in sorted(metrics.items()):
        made[_METRIC + name] = expression.evaluate(frame)
    return pl.DataFrame(made)


def _is_text(series: pl.Series) -> bool:
    """Say whether a column holds words; a written nan counts as a number, so that it is refused as one."""
    if series.dtype != pl.String:
        return False
    known = series.drop_nulls()
    return bool(known.str.strip_chars().cast(pl.Float64, strict=False).is_null().any())


def _without_holes(rows: pl.DataFrame, needed: Sequence[str], notes: list[str]) -> pl.DataFrame:
    for name in needed:
        holes = rows[name].is_nan()
        if holes.any():
            notes.append(f"{holes.sum()} rows have no {name}; left out")
            rows = rows.filter(~holes)
    measured = [name for name in rows.columns if name.startswith(_METRIC)]
    empty = rows.select(pl.all_horizontal(pl.col(measured).is_nan()).alias("empty"))["empty"]
    if empty.any():
        notes.append(f"{empty.sum()} rows hold no metric at all; left out")
        rows = rows.filter(~empty)
    if not len(rows):
        raise TableError(f"no row is left that has {', '.join(needed)} and a metric; nothing can be fitted")
    return rows


def _refuse_nonpositive(rows: pl.DataFrame) -> None:
    for name in COUNTS:
        bad = rows.filter((pl.col(name) <= 0) & ~pl.col(name).is_nan())
        if len(bad):
            raise TableError(
                f"{name} is {bad[name][0]:g} in row {bad[ROW][0]}, run {bad['run'][0]!r} ({len(bad)} such rows); "
                "it must be positive: mend it, or leave such rows out with --where"
            )


def _with_shares(rows: pl.DataFrame, notes: list[str]) -> pl.DataFrame:
    """Check the mixture's shares, and make shares that were rounded sum to 1."""
    shares = [name for name in rows.columns if name.startswith(_WEIGHT)]
    for name in shares:
        said = name.removeprefix(_WEIGHT)
        missing = rows.filter(pl.col(name).is_nan())
        if len(missing):
            raise TableError(
                f"the share {said!r} is empty in row {missing[ROW][0]} ({len(missing)} such rows); a missing share "
                "is not zero: fill it, or leave such rows out with --where"
            )
        bad = rows.filter((pl.col(name) < 0) | (pl.col(name) > PERCENT))
        if len(bad):
            raise TableError(
                f"the share {said!r} is {bad[name][0]:g} in row {bad[ROW][0]}; a share lies in 0..1: "
                "divide percentages by 100"
            )
    if not shares:
        return rows
    # exact, since polars' threads add in an order that changes: row order and chance must not move the last bit
    total = pl.Series("total", [fsum(row) for row in rows.select(shares).iter_rows()], dtype=pl.Float64)
    low, high = float(np.min(total.to_numpy())), float(np.max(total.to_numpy()))
    off = max(1 - low, high - 1)
    if off > ROUNDING:
        notes.append(f"shares sum to {low:.3g}–{high:.3g}; kept as they are")
        return rows
    if off > 1e-6:
        notes.append(f"shares sum to {low:.4g}–{high:.4g}; scaled to sum to 1")
    return rows.with_columns(pl.col(name) / total for name in shares)


def _merged(rows: pl.DataFrame, notes: list[str]) -> pl.DataFrame:
    """Keep one of the rows that are alike in everything that is read."""
    unique = rows.unique(subset=[name for name in rows.columns if name != ROW], keep="first", maintain_order=True)
    if len(unique) < len(rows):
        notes.append(f"{len(rows) - len(unique)} rows repeat another row's key and values; merged")
    return unique


def _numbered(rows: pl.DataFrame, notes: list[str]) -> pl.DataFrame:
    """Name apart the rows that share run and D: in order of their values, so that the file's order cannot matter."""
    by = [*sorted(name for name in rows.columns if name.startswith((_METRIC, _ATTRIBUTE))), "step", "C"]
    ordered = rows.sort(["run", "D", *by], nulls_last=True)
    number = ordered.select(pl.int_range(1, pl.len() + 1).over("run", "D").alias("number"))["number"]
    again = number > 1
    if not again.any():
        return rows
    runs = ordered.filter(again)["run"].n_unique()
    note = f"{again.sum()} rows are replicates of {runs} runs; named with #2 and up, in order of value"
    several = ordered.filter(pl.col("run").is_in(ordered.filter(again)["run"].unique().to_list()))
    if several.group_by("run").agg(pl.col("D").n_unique() > 1)["D"].any():
        note += "; at each D anew, so a numbered replicate need not be one trajectory"
    notes.append(note)
    name = pl.when(number > 1).then(pl.col("run") + " #" + number.cast(pl.String)).otherwise(pl.col("run"))
    return ordered.with_columns(name.alias("run"))


def _constants(rows: pl.DataFrame, notes: list[str]) -> tuple[pl.DataFrame, list[str]]:
    """Refuse what changes along a run and may not; give the numeric attributes that do."""
    fixed = ["family", "N", "N_total", "U", *(name for name in rows.columns if name.startswith(_WEIGHT))]
    attributes = [name for name in rows.columns if name.startswith(_ATTRIBUTE)]
    clean = rows.with_columns(pl.col(pl.Float64).fill_nan(None))
    varying: list[str] = []
    for name in (*fixed, *attributes):
        spread = clean.group_by("run").agg(pl.col(name).drop_nulls().unique().sort()).sort("run")
        odd = spread.filter(pl.col(name).list.len() > 1)
        if not len(odd):
            continue
        said = name.removeprefix(_WEIGHT).removeprefix(_ATTRIBUTE)
        if name in attributes and rows[name].dtype == pl.Float64:
            varying.append(name)
            continue
        found = ", ".join(str(value) for value in odd[name][0].to_list()[:3])
        raise TableError(
            f"{said} changes within run {odd['run'][0]!r} ({found}; {len(odd)} such runs); "
            "it belongs to a whole run: name what tells the runs apart as a run column"
        )
    if not rows["held_out"].all() and rows["held_out"].any():
        mixed = rows.group_by("run").agg(pl.col("held_out").n_unique()).filter(pl.col("held_out") > 1)
        if len(mixed):
            notes.append(f"{len(mixed)} runs are held out whole, though only some of their rows fulfil the condition")
    return rows.with_columns(pl.col(varying).fill_nan(None)) if varying else rows, varying


def _runs(rows: pl.DataFrame, varying: Sequence[str]) -> list[Run]:
    """Describe each run by its rows: the largest D and the C there, everything else constant."""
    clean = rows.with_columns(pl.col(pl.Float64).fill_nan(None)).sort("run", "D")
    constant = [name for name in clean.columns if name.startswith((_WEIGHT, _ATTRIBUTE)) and name not in varying]
    ends = clean.group_by("run", maintain_order=True).agg(
        pl.col("family").first(),
        pl.col("held_out").any(),
        pl.col("D", "C").last(),
        *(pl.col(name).drop_nulls().first() for name in ("N", "N_total", "U", *constant)),
    )
    return [
        Run(
            name=row["run"],
            family=row["family"],
            held_out=row["held_out"],
            **{name: row[name] for name in COUNTS},
            weights={name.removeprefix(_WEIGHT): row[name] for name in constant if name.startswith(_WEIGHT)},
            attributes={
                name.removeprefix(_ATTRIBUTE): row[name]
                for name in constant
                if name.startswith(_ATTRIBUTE) and row[name] is not None
            },
        )
        for row in ends.iter_rows(named=True)
    ]
