"""The item link: outcomes of items joined to a validation loss by run and D, and their curves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.errors import MethodError
from foretell.forecast import Settings
from foretell.methods.itemfit import ItemFit, fit_items
from foretell.methods.linkfit import falls_with
from foretell.table import Metric, Observations
from foretell.table.itemgrid import ItemGrid
from foretell.table.items import Items

Array = NDArray[np.float64]

RESAMPLES = 60  # of runs behind the items' curves; each finds every item's mode again from where it was


@dataclass(frozen=True)
class ItemLink:
    """Hold the items' curves in a validation loss, and the doubts about them."""

    made: ItemFit
    doubts: tuple[str, ...]


def losses_at(observations: Observations, loss: str, grid: ItemGrid) -> Array:
    """Give a loss (J,) on each checkpoint of a grid; nan where it was not measured."""
    known = observations.values.filter(pl.col("metric") == loss).select("run", "D", "value")
    places = pl.DataFrame({"run": grid.run, "D": grid.D})
    found = places.join(known, on=["run", "D"], how="left", maintain_order="left")
    return found["value"].fill_null(np.nan).to_numpy()


def fit_item_link(items: Items, training: Observations, loss: str, metric: Metric) -> ItemLink:
    """Fit every item of a task to a loss on the checkpoints of the given runs.

    Raises MethodError when no checkpoint has both, FitError when they are too few.
    """
    runs = training.runs["name"].to_list()
    grid = items.grid(metric.name)
    mine = np.isin(grid.run, runs)
    value = losses_at(training, loss, grid)
    both = mine & np.isfinite(value)
    if not both.any():
        raise MethodError(f"{loss} was measured on no checkpoint that has outcomes of items of {metric.name}")
    doubts = []
    if lost := int((mine & ~both).sum()):
        names = sorted(set(grid.run[mine & ~both]))
        doubts.append(
            f"{loss} is missing on {lost} of {int(mine.sum())} checkpoints with outcomes of {metric.name} "
            f"(runs {', '.join(names[:3])}{' …' if len(names) > 3 else ''}); they are left out"
        )
    if metric.chance is None:
        doubts.append("chance is not known: taken as 0; say it when reading (--chance) if there is a floor")
    kept = grid.at(both)
    tried = kept.trials.max(axis=1) > 0
    if not tried.all():
        doubts.append(f"{int((~tried).sum())} of {len(tried)} items of {metric.name} were never tried on these runs")
        kept = ItemGrid(
            kept.metric, kept.item[tried], kept.run, kept.D, kept.successes[tried], kept.trials[tried]
        )  # fmt: skip
    accuracy = kept.accuracy()
    if metric.chance is not None and accuracy.max() <= metric.chance:
        doubts.append(
            f"at or below chance: the runs score {accuracy.min():.1%} to {accuracy.max():.1%}, chance is "
            f"{metric.chance:.1%}"
        )
    if falls_with(-value[both], accuracy):
        doubts.append(
            f"gets worse as the loss falls (inverse scaling): the runs score {accuracy.min():.1%} to "
            f"{accuracy.max():.1%}; an item's curve can only rise"
        )
    made = fit_items(kept, value[both], metric.chance or 0.0)
    return ItemLink(made, (*doubts, *made.doubts()))


def run_weights(run: NDArray[np.str_], draws: int, seed: int) -> Array:
    """Draw how often each row (n,) counts when whole runs are drawn with replacement (draws, n)."""
    index = np.unique(run, return_inverse=True)[1]
    R = int(index.max()) + 1
    counts = np.random.default_rng(seed).multinomial(R, np.full(R, 1.0 / R), size=draws)
    return np.asarray(counts[:, index], dtype=np.float64)


def shifts_over_runs(made: ItemFit, settings: Settings) -> Array:
    """Give by how much every item's mode moves (R, I, 2) when whole runs are resampled; no more than 60 times."""
    weights = run_weights(made.grid.run, min(settings.draws, RESAMPLES), settings.seed)
    return np.array([made.reweighted(weight) for weight in weights])
