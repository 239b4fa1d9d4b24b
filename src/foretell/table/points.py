"""Points: the rows of one metric that a law is fitted to, as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from foretell.errors import TableError
from foretell.table.metric import Metric

Array = NDArray[np.float64]

KNOWN = ""  # the run name of rows that are known beforehand, not measured


@dataclass(frozen=True)
class Points:
    """Hold n measured values of one metric beside the inputs of each.

    `run` (n,) names the run of each row: rows of one run are resampled together. `inputs` maps a name to (n,)
    values: N (the study's `law_N`), D, M = D/N, C where known or 6ND, U where known and with it U_D = min(U, D) and
    R = max(D/U − 1, 0), `L` where a link's loss is the input, `w_NAME` for mixture shares, and every numeric attribute
    known on all rows. `items` (n,) counts questions, nan where unknown.
    """

    metric: Metric
    run: NDArray[np.str_]
    inputs: Mapping[str, Array]
    value: Array
    items: Array

    def __post_init__(self) -> None:
        n = len(self.value)
        for name, column in {**self.inputs, "run": self.run, "items": self.items}.items():
            if column.shape != (n,):
                raise TableError(f"points of {self.metric.name}: {name} has shape {column.shape}, the values ({n},)")
        if not np.isfinite(self.value).all():
            raise TableError(f"points of {self.metric.name} hold a value that is not finite")

    def __len__(self) -> int:
        return len(self.value)

    def input(self, name: str) -> Array:
        """Give the values of one input; raises TableError when these points do not have it."""
        if name not in self.inputs:
            raise TableError(
                f"the law needs {name}, which is not known for every row of {self.metric.name}; "
                f"known: {', '.join(sorted(self.inputs))}"
            )
        return self.inputs[name]

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Points:
        """Keep the given rows (a mask or indices)."""
        return Points(
            metric=self.metric,
            run=self.run[rows],
            inputs={name: column[rows] for name, column in self.inputs.items()},
            value=self.value[rows],
            items=self.items[rows],
        )

    def with_known(self, inputs: Mapping[str, float], value: float) -> Points:
        """Add a row that is known beforehand, such as accuracy 1 at loss 0; it is in every resample.

        Of the other inputs only those that are the same on all rows are kept, such as chance. Raises TableError
        for an input that these points do not have.
        """
        for name in inputs:
            self.input(name)
        constant = {name: float(column[0]) for name, column in self.inputs.items() if np.ptp(column) == 0}
        kept = {**constant, **inputs}
        return Points(
            metric=self.metric,
            run=np.append(self.run, KNOWN),
            inputs={name: np.append(self.inputs[name], number) for name, number in kept.items()},
            value=np.append(self.value, value),
            items=np.append(self.items, np.nan),
        )

    def with_chance(self) -> Points:
        """Add the input `chance` where it is unknown, as zero: a generated answer is never right by chance."""
        if "chance" in self.inputs:
            return self
        return replace(self, inputs={**self.inputs, "chance": np.zeros(len(self))})

    @property
    def largest_value(self) -> float:
        """Give the value of the row of most compute; of several, that of the last run by name."""
        return float(self.value[np.lexsort((self.run, self.input("C")))[-1]])

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """Say which rows are known beforehand (n,)."""
        return np.asarray(self.run == KNOWN, dtype=np.bool_)

    @cached_property
    def run_count(self) -> int:
        """Count the runs that were measured."""
        return len(set(self.run) - {KNOWN})

    @cached_property
    def run_index(self) -> NDArray[np.intp]:
        """Number the runs 0…R−1 by name and give the number of each row."""
        return np.unique(self.run, return_inverse=True)[1].astype(np.intp)
