"""Observations: the one tidy table of what was measured, keyed by run, D and metric."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import polars as pl

from foretell.conditions import read_condition
from foretell.errors import TableError, UnknownName
from foretell.laws.repetition import repetition_inputs
from foretell.table.metric import Metric
from foretell.table.points import Array, Points
from foretell.table.run import Run

LawN = Literal["N", "N_total"]
Rows = Literal["final", "all"]

RUN_COLUMNS = ("name", "family", "N", "N_total", "D", "C", "U", "held_out")
VALUE_COLUMNS = ("run", "D", "step", "C", "metric", "value", "items", "stderr")
KEY = ("run", "D", "metric")

_VALUE_TYPES: dict[str, type[pl.DataType]] = {
    "run": pl.String,
    "D": pl.Float64,
    "step": pl.Float64,
    "C": pl.Float64,
    "metric": pl.String,
    "value": pl.Float64,
    "items": pl.Float64,
    "stderr": pl.Float64,
}


@dataclass(frozen=True)
class Observations:
    """Hold runs, and the values measured on their checkpoints.

    `runs` has one row a run (name, family, N, N_total, D, C, U, held_out, `w_…` shares, attributes), `values` one row a
    (run, D, metric) with value, C there, step, items, stderr and attributes that change along a run.
    `law_N` says which count the laws use; `rows` whether a law is fitted to each run's final value (mean of its last
    `final_mean` checkpoints) or to all checkpoints. `steps` records every smoothing or dropping step taken, `notes`
    what was merged or left out. Make one with `Observations.of`, which checks everything.
    """

    runs: pl.DataFrame
    values: pl.DataFrame
    metrics: Mapping[str, Metric]
    law_N: LawN = "N"
    rows: Rows = "final"
    final_mean: int = 1
    shared_loss: str | None = None
    steps: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def of(
        cls,
        runs: Sequence[Run],
        values: pl.DataFrame,
        metrics: Iterable[Metric],
        *,
        law_N: LawN = "N",
        rows: Rows = "final",
        final_mean: int = 1,
        shared_loss: str | None = None,
        notes: tuple[str, ...] = (),
    ) -> Observations:
        """Check and order runs and values, and join them.

        Rows equal in key and value merge, and are counted in `notes`. Raises TableError when rows of one key
        differ, a value is not finite, an accuracy lies outside 0..1, a loss is not positive, D ≤ 0, two
        runs share a name, or a value belongs to no run or metric.
        """
        _refuse_repeated(run.name for run in runs)
        known = {metric.name: metric for metric in metrics}
        frame = values.with_columns(
            *(
                pl.lit(None, dtype=kind).alias(column)
                for column, kind in _VALUE_TYPES.items()
                if column not in values.columns
            )
        ).cast({column: kind() for column, kind in _VALUE_TYPES.items()})
        frame, merged = _merge_repeats(frame)
        notes = (*notes, f"{merged} rows repeat another row's key and value; merged") if merged else notes
        made = cls(
            runs=_runs_frame(runs),
            values=frame.select(*VALUE_COLUMNS, *sorted(set(frame.columns) - set(VALUE_COLUMNS))).sort(KEY),
            metrics=dict(sorted(known.items())),
            law_N=law_N,
            rows=rows,
            final_mean=final_mean,
            shared_loss=shared_loss,
            notes=notes,
        )
        made._check()
        return made

    def _check(self) -> None:
        unknown = set(self.values["run"]) - set(self.runs["name"])
        if unknown:
            raise TableError(f"values of runs that are not described: {_some(unknown)}; describe each run first")
        unnamed = set(self.values["metric"]) - set(self.metrics)
        if unnamed:
            raise TableError(f"values of metrics that are not described: {_some(unnamed)}")
        for column in ("value", "D"):
            bad = self.values.filter(~pl.col(column).is_finite() | pl.col(column).is_null())
            if len(bad):
                raise TableError(
                    f"{len(bad)} rows have a {column} that is not a finite number (first: run "
                    f"{bad['run'][0]!r}, {bad['metric'][0]} = {bad[column][0]}); leave a hole empty, or drop the row"
                )
        if len(bad := self.values.filter(pl.col("D") <= 0)):
            raise TableError(f"{len(bad)} rows have D ≤ 0 (first: run {bad['run'][0]!r}); D is training tokens")
        for name, metric in self.metrics.items():
            of_metric = self.values.filter(pl.col("metric") == name)
            if metric.is_share:
                bad = of_metric.filter((pl.col("value") < 0) | (pl.col("value") > 1))
                limits = f"an {metric.unit} lies in 0..1; divide percentages by 100"
            elif metric.is_loss or metric.unit == "perplexity":
                bad = of_metric.filter(pl.col("value") <= 0)
                limits = f"{metric.unit} is positive"
            else:
                continue
            if len(bad):
                raise TableError(
                    f"{len(bad)} rows of {name} are out of range (first: run {bad['run'][0]!r}, "
                    f"{bad['value'][0]:.6g}); {limits}"
                )

    # -- choosing -----------------------------------------------------------------------------------------------

    def where(self, condition: str) -> Observations:
        """Keep the rows for which an SQL condition holds, such as `N <= 1.3e9 AND family = 'c4'`.

        The condition may use the runs' columns and attributes. D and C are those of the run's end where the laws
        use final values, else those of each row. Raises TableError when it cannot be read or nothing is left.
        """
        try:
            predicate = read_condition(condition)
            if self.rows == "final":
                runs = self.runs.filter(predicate)
                kept = replace(self, runs=runs, values=self._values_of(runs))
            else:
                joined = self.values.join(
                    self.runs.select(pl.exclude("D", "C")), left_on="run", right_on="name", how="left"
                ).with_columns(name=pl.col("run"))
                mask = joined.select(predicate.alias("keep").fill_null(value=False))["keep"]
                values = self.values.filter(mask)
                kept = replace(
                    self,
                    runs=self.runs.filter(pl.col("name").is_in(values["run"].unique().to_list())),
                    values=values,
                )
        except (pl.exceptions.PolarsError, TypeError) as error:
            columns = ", ".join(self.runs.columns)
            raise TableError(
                f"the condition {condition!r} cannot be used: {str(error).splitlines()[0]}; columns: {columns}"
            ) from None
        if not len(kept.runs):
            raise TableError(f"no run fulfils {condition!r}; there are {len(self.runs)} runs")
        return kept

    def training(self) -> Observations:
        """Leave out the runs that are held out: what every fit starts from; raises TableError when that is all."""
        kept = self.runs.filter(~pl.col("held_out"))
        if not len(kept):
            raise TableError(f"all {len(self.runs)} runs are held out; nothing is left to fit")
        return self._of_runs(kept)

    def held_out(self) -> Observations:
        """Keep only the runs that are held out, to score forecasts with."""
        return self._of_runs(self.runs.filter(pl.col("held_out")))

    def only_runs(self, names: Iterable[str]) -> Observations:
        """Keep the named runs; raises UnknownName for a name that is not here."""
        wanted = list(names)
        for name in wanted:
            if name not in set(self.runs["name"]):
                raise UnknownName("run", name, self.runs["name"])
        return self._of_runs(self.runs.filter(pl.col("name").is_in(wanted)))

    def only_metrics(self, names: Iterable[str]) -> Observations:
        """Keep the values of the named metrics; raises UnknownName for a name that is not here."""
        wanted = {name: self.metric_named(name) for name in names}
        return replace(self, values=self.values.filter(pl.col("metric").is_in(list(wanted))), metrics=wanted)

    def _of_runs(self, runs: pl.DataFrame) -> Observations:
        return replace(self, runs=runs, values=self._values_of(runs))

    def _values_of(self, runs: pl.DataFrame) -> pl.DataFrame:
        return self.values.filter(pl.col("run").is_in(runs["name"].to_list()))

    def metric_named(self, name: str) -> Metric:
        """Give the metric of that name; raises UnknownName."""
        if name not in self.metrics:
            raise UnknownName("metric", name, self.metrics)
        return self.metrics[name]

    # -- recorded steps -----------------------------------------------------------------------------------------

    def final(self, k: int = 1) -> Observations:
        """Reduce every run to its end: for each metric the mean of its last k checkpoints, at the last D."""
        if k < 1:
            raise TableError(f"the mean of the last {k} checkpoints does not exist; k is at least 1")
        last = (
            self.values.sort("D")
            .group_by("run", "metric", maintain_order=True)
            .agg(
                pl.col("D").last(),
                pl.col("step").last(),
                pl.col("C").last(),
                pl.col("value").tail(k).mean(),
                pl.col("items").last(),
                pl.col("stderr").last(),
                pl.exclude("run", "metric", *VALUE_COLUMNS).last(),
            )
        )
        return self._with_values(last, f"final value: mean of the last {k} checkpoints")

    def drop_first(self, share: float) -> Observations:
        """Leave out the first `share` (0..1) of each run's checkpoints, counted per metric and rounded up."""
        if not 0 <= share < 1:
            raise TableError(f"the first {share:.0%} of a run cannot be dropped; give a share in 0..1, below 1")
        rank = pl.int_range(pl.len()).over("run", "metric")
        count = pl.len().over("run", "metric")
        kept = self.values.sort("D").filter(rank >= (share * count).ceil())
        return self._with_values(kept, f"dropped the first {share:.0%} of each run's checkpoints")

    def moving_average(self, k: int) -> Observations:
        """Replace each value by the mean of the last k checkpoints up to it (fewer at the run's beginning)."""
        if k < 1:
            raise TableError(f"a moving average over {k} checkpoints does not exist; k is at least 1")
        smooth = self.values.sort("D").with_columns(
            pl.col("value").rolling_mean(window_size=k, min_samples=1).over("run", "metric")
        )
        return self._with_values(smooth, f"moving average over {k} checkpoints")

    def _with_values(self, values: pl.DataFrame, step: str) -> Observations:
        ordered = values.select(self.values.columns).sort(KEY)
        return replace(self, values=ordered, steps=(*self.steps, step))

    # -- towards laws -------------------------------------------------------------------------------------------

    def metric(self, name: str) -> Points:
        """Give the rows of a metric that a law is fitted to: final values or all checkpoints, as `rows` says."""
        source = self.only_metrics([name])
        if self.rows == "final":
            source = source.final(self.final_mean)
        return source._points(self.metrics[name], source.values)

    def link(self, loss: str, outcome: str) -> Points:
        """Give the rows on which both metrics were measured, with the first as the input `L`."""
        x, y = self.metric_named(loss), self.metric_named(outcome)
        inputs = self.values.filter(pl.col("metric") == x.name).select("run", "D", L="value")
        joined = self.values.filter(pl.col("metric") == y.name).join(inputs, on=["run", "D"], how="inner")
        return self._points(y, joined.sort("run", "D"))

    def _points(self, metric: Metric, values: pl.DataFrame) -> Points:
        extra = [column for column in values.columns if column not in VALUE_COLUMNS and column != "L"]
        rows = values.join(
            self.runs.select("name", "N", "N_total", "U", *self._run_attributes()),
            left_on="run",
            right_on="name",
            how="left",
            maintain_order="left",
        )
        inputs: dict[str, Array] = {}
        for column in ("D", "C", "U", "N", "N_total", *extra, *self._run_attributes()):
            inputs[column] = rows[column].to_numpy().astype(np.float64, copy=False)  # a hole becomes nan
        counted = inputs["N" if self.law_N == "N" else "N_total"]
        if np.isnan(counted).any():
            absent = _some(rows.filter(np.isnan(counted))["run"].unique())
            raise TableError(f"{self.law_N} is not known for runs {absent}; the study's laws use {self.law_N}")
        inputs["N"] = counted
        inputs["M"] = inputs["D"] / counted
        inputs["C"] = np.where(np.isnan(inputs["C"]), 6.0 * counted * inputs["D"], inputs["C"])
        if "L" in values.columns:
            inputs["L"] = values["L"].to_numpy()
        if metric.chance is not None:
            inputs["chance"] = np.full(len(rows), metric.chance)
        items = rows["items"].to_numpy()
        inputs = {name: column for name, column in inputs.items() if not np.isnan(column).any()}
        return Points(
            metric=metric,
            run=rows["run"].to_numpy().astype(np.str_),
            inputs=repetition_inputs(inputs) if "U" in inputs else inputs,
            value=rows["value"].to_numpy(),
            items=np.where(np.isnan(items), float(metric.items or math.nan), items),
        )

    @property
    def attributes(self) -> list[str]:
        """Name the numeric attributes that tell runs, or the rows of one run, apart."""
        return [*self._run_attributes(), *(c for c in self.values.columns if c not in VALUE_COLUMNS)]

    def _run_attributes(self) -> list[str]:
        return [c for c in self.runs.columns if c not in RUN_COLUMNS and self.runs[c].dtype == pl.Float64]

    # -- joining ------------------------------------------------------------------------------------------------

    def merge(self, other: Observations) -> Observations:
        """Join two sets of observations; rows of equal key and value merge, and are counted in `notes`.

        Raises TableError when a run or a value differs between the two, or they count N differently.
        """
        if self.law_N != other.law_N:
            raise TableError(f"one study's laws use {self.law_N}, the other's {other.law_N}; read both the same way")
        for name in sorted(set(self.metrics) & set(other.metrics)):
            old, new = self.metrics[name].unit, other.metrics[name].unit
            if old != new:
                raise TableError(f"{name} is {old} in one study and {new} in the other; give one of them another name")
        for frame, others in ((self.runs, other.runs), (self.values, other.values)):
            for name in sorted(set(frame.columns) & set(others.columns)):
                if frame[name].dtype != others[name].dtype:
                    raise TableError(f"{name} is text in one study and a number in the other; read both the same way")
        runs = pl.concat([self.runs, other.runs], how="diagonal").unique(maintain_order=True)
        twice = runs.filter(pl.col("name").is_duplicated())["name"].unique()
        if len(twice):
            raise TableError(f"runs {_some(twice)} are described differently; give them other names")
        values, merged = _merge_repeats(pl.concat([self.values, other.values], how="diagonal"))
        note = (f"{merged} values were already there; merged",) if merged else ()
        joined = replace(
            self,
            runs=runs.sort("name"),
            values=values.sort(KEY),
            metrics=dict(sorted({**self.metrics, **other.metrics}.items())),
            shared_loss=self.shared_loss or other.shared_loss,
            notes=(*other.notes, *note),
        )
        joined._check()
        return joined


def _runs_frame(runs: Sequence[Run]) -> pl.DataFrame:
    if not runs:
        raise TableError("there are no runs; nothing can be fitted")
    attributes: dict[str, list[float | str | None]] = {}
    for name in sorted({name for run in runs for name in run.attributes}):
        if name in RUN_COLUMNS or name in ("M", "L"):
            raise TableError(f"an attribute may not be called {name!r}; that name is the table's own")
        attributes[name] = [run.attributes.get(name) for run in runs]
    for name in sorted({name for run in runs for name in run.weights}):
        attributes[f"w_{name}"] = [run.weights.get(name, 0.0) if run.weights else None for run in runs]
    types = {
        name: pl.Float64 if all(v is None or isinstance(v, int | float) for v in column) else pl.String
        for name, column in attributes.items()
    }
    columns = {
        name: [None if v is None else (str(v) if types[name] == pl.String else float(v)) for v in column]
        for name, column in attributes.items()
    }
    counts = {c: [getattr(run, c) for run in runs] for c in ("N", "N_total", "D", "C", "U")}
    return pl.DataFrame(
        {
            "name": [run.name for run in runs],
            "family": [run.family for run in runs],
            **counts,
            "held_out": [run.held_out for run in runs],
            **columns,
        },
        schema_overrides={**dict.fromkeys(counts, pl.Float64), **types},
    ).sort("name")


def _merge_repeats(frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    repeats = frame.filter(pl.struct(KEY).is_duplicated())
    spread = repeats.group_by(KEY).agg(lowest=pl.col("value").min(), highest=pl.col("value").max())
    differ = spread.filter(pl.col("lowest") != pl.col("highest")).sort(KEY)
    if len(differ):
        run, D, metric, lowest, highest = differ.row(0)
        raise TableError(
            f"{len(differ)} keys (run, D, metric) have different values (first: run {run!r}, D = {D:.6g}, {metric} = "
            f"{lowest:.6g} and {highest:.6g}); name what tells the rows apart as a run column, "
            "or number them as replicates"
        )
    unique = frame.unique(subset=KEY, keep="first", maintain_order=True)
    return unique, len(frame) - len(unique)


def _refuse_repeated(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise TableError(f"two runs are called {name!r}; give each run a name of its own")
        seen.add(name)


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:5]) + (f" and {len(ordered) - 5} more" if len(ordered) > 5 else "")
