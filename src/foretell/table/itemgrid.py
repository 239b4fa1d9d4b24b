"""An item grid: the outcomes of one metric as items × checkpoints."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.errors import TableError

Array = NDArray[np.float64]
Counts = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class ItemGrid:
    """Hold the outcomes of I items on J checkpoints.

    `item` (I,) names the items in order, `run` and `D` (J,) the checkpoints, ordered by both. Of `trials` (I, J) tries
    `successes` (I, J) succeeded; an outcome that was never measured has no tries.
    """

    metric: str
    item: NDArray[np.str_]
    run: NDArray[np.str_]
    D: Array
    successes: Counts
    trials: Counts

    def __post_init__(self) -> None:
        shape = (len(self.item), len(self.run))
        for what in ("successes", "trials"):
            if getattr(self, what).shape != shape:
                raise TableError(f"{what} of {self.metric} have shape {getattr(self, what).shape}, the axes {shape}")

    def at(self, checkpoints: NDArray[np.bool_] | NDArray[np.intp]) -> ItemGrid:
        """Keep the given checkpoints (a mask or indices) and every item."""
        return replace(
            self,
            run=self.run[checkpoints],
            D=self.D[checkpoints],
            successes=np.ascontiguousarray(self.successes[:, checkpoints]),
            trials=np.ascontiguousarray(self.trials[:, checkpoints]),
        )

    def of_items(self, names: NDArray[np.str_]) -> ItemGrid:
        """Keep the named items, in that order; one that is not here has no tries."""
        place = {name: i for i, name in enumerate(self.item)}
        rows = np.array([place.get(name, -1) for name in names], dtype=np.intp)
        successes, trials = self.successes[rows], self.trials[rows]
        successes[rows < 0] = 0
        trials[rows < 0] = 0
        return replace(self, item=names, successes=successes, trials=trials)

    def ends(self) -> NDArray[np.intp]:
        """Give the index of each run's last checkpoint, in the order of the runs' names."""
        return np.array([np.flatnonzero(self.run == run)[-1] for run in np.unique(self.run)], dtype=np.intp)

    def accuracy(self) -> Array:
        """Give the mean outcome (J,) of the items measured on each checkpoint; nan where none was."""
        tries = self.trials.sum(axis=0, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            return np.asarray(self.successes.sum(axis=0, dtype=np.float64) / tries)

    def rates(self) -> Array:
        """Give the share (I,) of each item's tries that succeeded; nan for an item that was never tried."""
        tries = self.trials.sum(axis=1, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            return np.asarray(self.successes.sum(axis=1, dtype=np.float64) / tries)

    def unchanging(self) -> NDArray[np.bool_]:
        """Say which items (I,) had one and the same outcome on every checkpoint."""
        rate = self.rates()
        return np.asarray((rate == 0.0) | (rate == 1.0), dtype=np.bool_)
