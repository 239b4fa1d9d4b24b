"""Items: the outcome of every question on every checkpoint, as a study's `items/…parquet` keeps them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.errors import StudyError, TableError, UnknownName
from foretell.table.itemgrid import Counts, ItemGrid
from foretell.table.observations import Observations
from foretell.wholefile import whole_file

FOLDER = "items"
ITEM_COLUMNS = ("run", "D", "metric", "item", "outcome", "trials")
KEY = ("metric", "item", "run", "D")  # in this order on disk: the rows of one item follow one another
_TYPES: dict[str, type[pl.DataType]] = {
    "run": pl.String,
    "D": pl.Float64,
    "metric": pl.String,
    "item": pl.String,
    "outcome": pl.UInt16,
    "trials": pl.UInt16,
}
MOST_TRIALS = 65_535  # what a count of 16 bits holds
BATCH = 2_000_000  # rows read at once: about 0.2 GiB while they are joined (measured, benchmarks/items.py)
ROW_GROUP = 1_000_000
CONTRADICT = "keep one of each, or add them up as outcome and trials"
FAR_APART = 1e-6  # of an accuracy that is said to be the mean of the same items


@dataclass(frozen=True)
class Items:
    """Hold outcomes of items, read from files (or from frames in memory) only when a metric's grid is asked for.

    One row is one item on one checkpoint: run, D, metric, item, `outcome` successes of `trials` tries (1 where the
    column is absent: then the outcome is 0 or 1).
    """

    sources: tuple[Path | pl.DataFrame, ...]

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Items:
        """Check rows in memory and hold them; raises TableError as `write_items` does."""
        return cls((checked(frame),))

    def metrics(self) -> list[str]:
        """Name the metrics that have outcomes of items."""
        parts = [
            frame.select(pl.col("metric").cast(pl.String)).unique().collect()["metric"] for frame in self._frames()
        ]
        return sorted({name for part in parts for name in part})

    def grid(self, metric: str, runs: Sequence[str] | None = None) -> ItemGrid:
        """Give a metric's outcomes as items × checkpoints, of all runs or of those named.

        Streams over the rows, so that memory holds the grid (2 to 4 bytes an outcome) and one batch. Equal rows merge.
        Raises UnknownName for a metric or run without outcomes, TableError for two outcomes of one key.
        """
        wanted = pl.col("metric").cast(pl.String) == metric
        if runs is not None:
            wanted &= pl.col("run").cast(pl.String).is_in(list(runs))
        items, places, most = self._axes(wanted)
        if not len(items):
            known = self.metrics()
            if metric not in known:
                raise UnknownName("metric with items", metric, known)
            raise TableError(f"none of the runs asked for has outcomes of items of {metric}")
        if runs is not None and (absent := sorted(set(runs) - set(places["run"]))):
            raise TableError(f"{len(absent)} runs have no outcomes of items of {metric} (first: {absent[0]!r})")
        counts = np.uint8 if most <= np.iinfo(np.uint8).max else np.uint16
        successes: Counts = np.zeros((len(items), len(places)), counts)
        trials: Counts = np.zeros((len(items), len(places)), counts)
        rows = 0
        for batch in self._batches(wanted):
            at = _places_in(batch, items, places)
            successes[at], trials[at] = batch["outcome"].to_numpy(), batch["trials"].to_numpy()
            rows += len(batch)
        if np.count_nonzero(trials) < rows:  # some key has two rows
            self._refuse_contradictions(metric, wanted, items, places, successes, trials)
        return ItemGrid(
            metric=metric,
            item=items["item"].to_numpy().astype(np.str_),
            run=places["run"].to_numpy().astype(np.str_),
            D=places["D"].to_numpy(),
            successes=successes,
            trials=trials,
        )

    def _refuse_contradictions(
        self, metric: str, wanted: pl.Expr, items: pl.DataFrame, places: pl.DataFrame, successes: Counts, trials: Counts
    ) -> None:
        for batch in self._batches(wanted):
            at = _places_in(batch, items, places)
            differ = (successes[at] != batch["outcome"].to_numpy()) | (trials[at] != batch["trials"].to_numpy())
            if differ.any():
                row = batch.row(int(np.argmax(differ)), named=True)
                raise TableError(
                    f"{int(differ.sum())} outcomes of {metric} contradict another of the same key (first: "
                    f"run {row['run']!r}, D = {row['D']:.6g}, item {row['item']!r}); {CONTRADICT}"
                )

    def doubts(self, observations: Observations) -> list[str]:
        """List where outcomes and the study's table disagree.

        Raises TableError when outcomes belong to a run or metric that the study does not have.
        """
        found: list[str] = []
        for metric in self.metrics():
            means = pl.concat(
                [
                    frame.filter(pl.col("metric").cast(pl.String) == metric)
                    .group_by(pl.col("run").cast(pl.String), "D")
                    .agg(pl.col("outcome").cast(pl.Int64).sum(), pl.col("trials").cast(pl.Int64).sum(), n=pl.len())
                    .collect(engine="streaming")
                    for frame in self._frames()
                ]
            )
            means = means.group_by("run", "D").agg(pl.col("outcome", "trials", "n").sum())
            unknown = sorted(set(means["run"]) - set(observations.runs["name"]))
            if unknown:
                raise TableError(
                    f"outcomes of items of {metric} belong to {len(unknown)} runs that the study does not have "
                    f"(first: {unknown[0]!r}); describe each run first"
                )
            if metric not in observations.metrics:
                raise TableError(f"outcomes of items belong to {metric}, which the study does not have; add the metric")
            stated = observations.values.filter(pl.col("metric") == metric).select("run", "D", "value")
            both = means.join(stated, on=["run", "D"], how="inner").with_columns(
                mean=pl.col("outcome") / pl.col("trials")
            )
            apart = both.filter((pl.col("mean") - pl.col("value")).abs() > FAR_APART).sort("run", "D")
            if len(apart):
                row = apart.row(0, named=True)
                found.append(
                    f"contradictory counts: the items of {metric} average {row['mean']:.4f} on run {row['run']!r} at "
                    f"D = {row['D']:.4g}, the table says {row['value']:.4f} ({len(apart)} of {len(both)} checkpoints "
                    "differ); the items are used"
                )
        return found

    def _frames(self) -> Iterator[pl.LazyFrame]:
        for source in self.sources:
            frame = source.lazy() if isinstance(source, pl.DataFrame) else pl.scan_parquet(source)
            columns = frame.collect_schema().names()
            if absent := [name for name in ITEM_COLUMNS[:5] if name not in columns]:
                raise StudyError(
                    f"{source} lacks the columns {', '.join(absent)}; outcomes of items have {', '.join(ITEM_COLUMNS)}"
                )
            yield frame if "trials" in columns else frame.with_columns(trials=pl.lit(1, dtype=pl.UInt16))

    def _axes(self, wanted: pl.Expr) -> tuple[pl.DataFrame, pl.DataFrame, int]:
        """Give the items and the checkpoints, each numbered in order, and the largest count of tries."""
        items: list[pl.DataFrame] = []
        places: list[pl.DataFrame] = []
        most = 1
        for frame in self._frames():
            chosen = frame.filter(wanted)
            item = chosen.select(pl.col("item").cast(pl.String)).unique()
            place = chosen.select(pl.col("run").cast(pl.String), "D").unique()
            count = chosen.select(pl.col("trials").max())
            found = pl.collect_all([item, place, count], engine="streaming")
            items.append(found[0])
            places.append(found[1])
            most = max(most, found[2].item() or 1)
        item_axis = pl.concat(items).unique().sort("item").with_row_index("i")
        place_axis = pl.concat(places).unique().sort("run", "D").with_row_index("j")
        return item_axis, place_axis, most

    def _batches(self, wanted: pl.Expr) -> Iterator[pl.DataFrame]:
        columns = ("run", "D", "item", "outcome", "trials")
        for frame in self._frames():
            rows = frame.select(pl.len()).collect().item()
            for start in range(0, rows, BATCH):
                batch = frame.slice(start, BATCH).filter(wanted).select(columns)
                yield batch.with_columns(pl.col("run", "item").cast(pl.String)).collect()


def _places_in(
    batch: pl.DataFrame, items: pl.DataFrame, places: pl.DataFrame
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Give for each row its place on both axes; rows of one item usually follow one another, so runs of them join."""
    stretches = batch.select(pl.col("item").rle()).unnest("item")
    of_item = stretches.join(items, left_on="value", right_on="item", how="left", maintain_order="left")
    of_place = batch.select("run", "D").join(places, on=["run", "D"], how="left", maintain_order="left")
    return np.repeat(of_item["i"].to_numpy(), of_item["len"].to_numpy()), of_place["j"].to_numpy()


def open_items(study: str | Path) -> Items | None:
    """Find the outcomes of items of a study folder; None when it keeps none."""
    files = sorted(path for path in (Path(study) / FOLDER).glob("*.parquet") if not path.name.startswith("."))
    return Items(tuple(files)) if files else None


def write_items(study: str | Path, frame: pl.DataFrame, writer: str) -> Path:
    """Write one writer's outcomes into a study as a whole file, `items/WRITER.parquet`; an older one gives way.

    Many writers work at once without a lock. Raises TableError for rows that `checked` refuses, StudyError when the
    folder cannot be written.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._=+-]*", writer):
        raise StudyError(f"a writer is called {writer!r}; use letters, digits and . _ = + - (it becomes a file's name)")
    rows = checked(frame)
    folder = Path(study) / FOLDER
    path = folder / f"{writer}.parquet"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part:
            rows.write_parquet(part, row_group_size=ROW_GROUP)
    except OSError as error:
        raise StudyError(f"{path} cannot be written: {error.strerror or error}; nothing was changed") from None
    return path


def checked(frame: pl.DataFrame) -> pl.DataFrame:
    """Check outcomes of items and give them their types, equal rows merged.

    Raises TableError for a column or name that is missing, an outcome outside 0..trials or not whole, no tries, D ≤ 0,
    and two outcomes of one (run, D, metric, item).
    """
    if absent := [name for name in ITEM_COLUMNS[:5] if name not in frame.columns]:
        raise TableError(f"outcomes of items lack the columns {', '.join(absent)}; found: {', '.join(frame.columns)}")
    if "trials" not in frame.columns:
        frame = frame.with_columns(trials=pl.lit(1))
    frame = frame.select(ITEM_COLUMNS)
    if not len(frame):
        raise TableError("there are no outcomes of items; write at least one row")
    for name in ("run", "metric", "item"):
        text = pl.col(name).cast(pl.String)
        if count := int(frame.select((text.is_null() | (text == "")).sum()).item()):
            raise TableError(f"{count} outcomes name no {name}; an unknown {name} cannot be compared over checkpoints")
    for name in ("D", "outcome", "trials"):
        if frame[name].dtype == pl.Boolean:
            frame = frame.with_columns(pl.col(name).cast(pl.UInt16))
        if not frame[name].dtype.is_numeric():
            raise TableError(f"the column {name} of outcomes is {frame[name].dtype}; it holds numbers")
        number = frame[name].cast(pl.Float64)
        _refuse(frame, number.is_null() | ~number.is_finite(), f"a {name} that is not a finite number; leave them out")
    D, k, n = (frame[name].cast(pl.Float64) for name in ("D", "outcome", "trials"))
    _refuse(frame, D <= 0, "D ≤ 0; D is training tokens")
    _refuse(frame, (n < 1) | (n > MOST_TRIALS) | (n != n.floor()), f"trials that are no count of 1 to {MOST_TRIALS}")
    _refuse(
        frame,
        (k < 0) | (k > n) | (k != k.floor()),
        "an outcome outside 0..1 (0..trials) or between whole numbers; an outcome is 0 or 1, or successes of trials",
    )
    typed = frame.cast({name: kind() for name, kind in _TYPES.items()}).sort(*KEY)
    again = pl.all_horizontal(*(pl.col(name) == pl.col(name).shift(1) for name in KEY)).fill_null(value=False)
    alike = again & (pl.col("outcome") == pl.col("outcome").shift(1)) & (pl.col("trials") == pl.col("trials").shift(1))
    if len(twice := typed.filter(again & ~alike)):
        metric, item, run, D_of = twice.select(KEY).row(0)
        raise TableError(
            f"{len(twice)} outcomes contradict another of the same key (first: run {run!r}, D = {D_of:.6g}, {metric}, "
            f"item {item!r}); {CONTRADICT}"
        )
    return typed.filter(~alike)


def _refuse(frame: pl.DataFrame, bad: pl.Series, what: str) -> None:
    if bad.any():
        row = frame.filter(bad).row(0, named=True)
        raise TableError(
            f"{int(bad.sum())} outcomes have {what} (first: run {row['run']!r}, {row['metric']}, item {row['item']!r}, "
            f"outcome {row['outcome']}, trials {row['trials']}, D {row['D']})"
        )
