"""Item outcomes: how often each question of a task was solved by each model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.errors import TableError
from foretell.table import Observations
from foretell.table.items import Items

Array = NDArray[np.float64]
Names = NDArray[np.str_]


@dataclass(frozen=True)
class ItemOutcomes:
    """Hold the pass rates of I items on J models.

    `rate` (I, J) is the share of `trials` (I, J) tries that succeeded, nan where an item was not asked; with one try it
    is 0 or 1. `C` (J,) is each model's training compute in FLOP. Items are ordered by name and models by compute, so
    that the order they came in cannot matter. Make one with `of`.
    """

    metric: str
    item: Names
    run: Names
    C: Array
    rate: Array
    trials: Array

    @classmethod
    def of(
        cls,
        metric: str,
        item: Sequence[str],
        run: Sequence[str],
        C: Array,
        rate: Array,
        trials: Array | float = 1.0,
    ) -> ItemOutcomes:
        """Check and order outcomes; raises TableError for shapes, names, rates or computes that cannot be."""
        items, runs = np.asarray(item, dtype=np.str_), np.asarray(run, dtype=np.str_)
        compute, rates = np.asarray(C, dtype=np.float64), np.asarray(rate, dtype=np.float64)
        tries = np.broadcast_to(np.asarray(trials, dtype=np.float64), rates.shape)
        if rates.shape != (len(items), len(runs)) or compute.shape != (len(runs),):
            raise TableError(
                f"outcomes of {metric}: the rates have shape {rates.shape}, but there are {len(items)} items, "
                f"{len(runs)} runs and {len(compute)} computes"
            )
        for what, names in (("items", items), ("runs", runs)):
            values, count = np.unique(names, return_counts=True)
            if (count > 1).any():
                raise TableError(f"outcomes of {metric}: two {what} are called {values[count > 1][0]!r}")
        known = ~np.isnan(rates)
        if not ((rates[known] >= 0) & (rates[known] <= 1)).all():
            raise TableError(f"outcomes of {metric}: a pass rate lies outside 0..1; divide counts by their trials")
        if not (np.isfinite(compute) & (compute > 0)).all():
            raise TableError(f"outcomes of {metric}: a run has no positive compute; give C in FLOP")
        if not (tries[known] >= 1).all():
            raise TableError(f"outcomes of {metric}: a pass rate rests on fewer than one trial")
        rows, columns = np.argsort(items), np.lexsort((runs, compute))
        grid = np.ix_(rows, columns)
        return cls(metric, items[rows], runs[columns], compute[columns], rates[grid], tries[grid])

    @classmethod
    def of_items(cls, items: Items, observations: Observations, metric: str) -> ItemOutcomes:
        """Take a study's outcomes of items, on the last checkpoint there of each run that is not held out.

        Checkpoints that the observations do not reach are left out. C is as the study has it, else 6ND. Raises
        UnknownName for a metric without items, TableError where a run's compute there is not known.
        """
        training = observations.training()
        grid = items.grid(metric)
        reached = dict(training.values.group_by("run").agg(pl.col("D").max()).iter_rows())
        there = np.array(
            [D <= reached.get(run, -1.0) for run, D in zip(grid.run.tolist(), grid.D.tolist(), strict=True)]
        )
        grid = grid.at(there)
        ends = grid.at(grid.ends())
        logged = {(run, D): C for run, D, C in training.values.select("run", "D", "C").iter_rows()}
        size = dict(training.runs.select("name", training.law_N).iter_rows())
        C = np.array([
            logged.get((run, D)) or 6.0 * (size[run] or np.nan) * D
            for run, D in zip(ends.run.tolist(), ends.D.tolist(), strict=True)
        ])  # fmt: skip
        tries = ends.trials.astype(np.float64)
        with np.errstate(invalid="ignore"):
            rate = ends.successes / tries
        return cls.of(metric, ends.item.tolist(), ends.run.tolist(), C, rate, tries)

    @property
    def score(self) -> Array:
        """Give each model's score (J,): the mean pass rate of the items that it was asked."""
        asked = ~np.isnan(self.rate)
        total = np.where(asked, self.rate, 0.0).sum(axis=0)
        with np.errstate(invalid="ignore"):
            return np.where(asked.any(axis=0), total / asked.sum(axis=0), np.nan)

    def only(self, items: NDArray[np.bool_] | NDArray[np.intp]) -> ItemOutcomes:
        """Keep the given items (a mask or indices) of every model."""
        return replace(self, item=self.item[items], rate=self.rate[items], trials=self.trials[items])

    def up_to(self, C: float) -> ItemOutcomes:
        """Keep the models of at most C FLOP."""
        kept = self.C <= C
        return replace(self, run=self.run[kept], C=self.C[kept], rate=self.rate[:, kept], trials=self.trials[:, kept])

    def filled(self) -> Array:
        """Give rates (I, J) with holes interpolated along ln C between the item's own models, flat at the ends.

        For telling items apart only: no score is computed from what was filled in. An item never asked keeps its holes.
        """
        x = np.log(self.C)
        made = self.rate.copy()
        for i in np.flatnonzero(np.isnan(made).any(axis=1)):
            known = ~np.isnan(made[i])
            if known.any():
                made[i] = np.interp(x, x[known], made[i, known])
        return made
