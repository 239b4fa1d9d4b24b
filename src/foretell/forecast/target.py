"""A target: the run that is to be forecast."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from foretell.errors import MethodError
from foretell.laws import repetition_inputs
from foretell.table import Metric, Observations, Points
from foretell.units import format_count

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Target:
    """Describe a run to forecast: N parameters (counted as the study counts them), D tokens, C FLOP where known.

    `inputs` adds what else a law may need (U, shares `w_…`, attributes). Raises MethodError for a count that is not
    positive.
    """

    N: float
    D: float
    C: float | None = None
    name: str = ""
    family: str = ""
    inputs: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what, count in (("N", self.N), ("D", self.D), ("C", self.C)):
            if count is not None and not (math.isfinite(count) and count > 0):
                raise MethodError(f"the target has {what} = {count}; it must be a positive finite number")

    @property
    def label(self) -> str:
        """Give its name, or N and D as people write them."""
        return self.name or f"{format_count(self.N)} on {format_count(self.D)}"

    def columns(self, metric: Metric) -> dict[str, Array]:
        """Give the inputs of a law as arrays of one row; C is 6ND where unknown."""
        values = {"N": self.N, "D": self.D, "M": self.D / self.N, "C": self.C or 6.0 * self.N * self.D, **self.inputs}
        if metric.chance is not None:
            values["chance"] = metric.chance
        columns = {name: np.array([float(value)]) for name, value in values.items()}
        return repetition_inputs(columns) if "U" in columns else columns


def reach_of(points: Points, target: Target) -> float:
    """Give the decades of compute from the largest row to the target: of C where the target's is known, else of 6ND."""
    N, D = points.input("N"), points.input("D")
    if target.C is not None:
        return math.log10(target.C / float(points.input("C").max()))
    return math.log10(target.N) + math.log10(target.D) - math.log10(float((N * D).max()))


def ranges_of(points: Points) -> dict[str, tuple[float, float]]:
    """Give the smallest and largest N, D and M = D/N of the rows."""
    return {name: (float(points.input(name).min()), float(points.input(name).max())) for name in ("N", "D", "M")}


def held_out_targets(observations: Observations) -> list[Target]:
    """Make a target of every run that is held out, so that its forecast can be set beside what was measured."""
    runs = observations.held_out().runs
    count = "N" if observations.law_N == "N" else "N_total"
    return [
        Target(N=row[count], D=row["D"], C=row["C"], name=row["name"], family=row["family"])
        for row in runs.sort("C", "N", "D").iter_rows(named=True)
    ]
