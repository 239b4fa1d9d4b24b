"""The multi-power law: the loss of every step of a run under any learning-rate schedule (2503.12811).

    L(t) = L0 + A·S(t)^(−alpha) − B·Σ_(k≤t) (η_(k−1) − η_k)·G(η_k^(−gamma)·S_k(t)),   G(x) = 1 − (1 + C·x)^(−beta)

S(t) is the area under the learning rate up to step t, warm-up included, and S_k(t) that from step k on. The inner sum
depends on coefficients, so this law has its own evaluation, and its own fit (`multipower_fit`), instead of a formula.
The warm-up's rises count in the sum as they do in the authors' code: without them the published coefficients are 3 %
off (measured).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError, UnknownName
from foretell.laws.schedule import Schedule

Array = NDArray[np.float64]

NAMES = ("A", "B", "C", "L0", "alpha", "beta", "gamma")
BLOCK = 32  # steps of a moving rate that are taken together; measured: the loss moves by less than 5e-5 (25M cosine)


@dataclass(frozen=True)
class Curve:
    """Hold the loss (n,) measured at steps (n,) of a run under a schedule."""

    schedule: Schedule
    step: Array
    loss: Array
    name: str = ""

    def __post_init__(self) -> None:
        if len(self.step) != len(self.loss) or not len(self.loss):
            raise FitError(f"curve {self.name!r} has {len(self.step)} steps and {len(self.loss)} losses")
        if not (np.isfinite(self.loss) & (self.loss > 0)).all():
            raise FitError(f"curve {self.name!r} has losses that are not positive and finite; leave them out")
        self.schedule.at(self.step)


@dataclass(frozen=True)
class Sums:
    """Hold what the law needs of n steps: S(t), and three numbers for each pair of a step and an earlier block of them.

    The pairs of step i are the slice `first[i] : first[i + 1]`.
    """

    area: Array
    drop: Array
    log_rate: Array
    area_since: Array
    first: NDArray[np.intp]

    def total(self, pairs: Array) -> Array:
        """Sum pairs (m,) by step (n,)."""
        running: Array = np.concatenate([[0.0], np.cumsum(pairs)])
        return running[self.first[1:]] - running[self.first[:-1]]

    def gains(self, C: float, beta: float, gamma: float) -> tuple[Array, Array, Array, Array]:
        """Give LD/B (n,), and its slopes (n,) in log C, log beta and log gamma."""
        grown = C * np.exp(-gamma * self.log_rate) * self.area_since  # C·x
        logs = np.log1p(grown)
        left = np.exp(-beta * logs)  # 1 − G
        by_C = self.drop * beta * left * (grown / (1.0 + grown))
        return (
            self.total(self.drop * (1.0 - left)),
            self.total(by_C),
            self.total(self.drop * left * beta * logs),
            self.total(-gamma * self.log_rate * by_C),
        )


def sums_of(schedule: Schedule, steps: Array, block: int = BLOCK) -> Sums:
    """Give the sums of a schedule at steps (n,); raises FormulaError for a step outside it."""
    at = schedule.at(steps)
    drops, area, T = schedule.drops, schedule.area, len(schedule)
    # blocks end where a loss was measured, so that each lies wholly before a step or wholly after it
    ends = np.unique(np.concatenate([at, np.arange(block, T, block), [T]]))
    begins = np.concatenate([[0], ends[:-1]])
    total = np.add.reduceat(drops, begins)
    weight = np.abs(drops)
    mass = np.add.reduceat(weight, begins)
    used = np.nonzero(mass > 0)[0]

    def mean(values: Array) -> Array:  # over a block, by how much the rate moves at each of its steps
        return np.add.reduceat(weight * values, begins)[used] / mass[used]

    with np.errstate(divide="ignore"):
        rate = np.log(np.maximum(schedule.lr, 1e-30))
    node_drop, node_rate, node_area, node_end = total[used], mean(rate), mean(area[:-1]), ends[used]
    counts = np.searchsorted(node_end, at, side="right")
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
    which = np.arange(first[-1]) - np.repeat(first[:-1], counts)
    since = np.repeat(area[at], counts) - node_area[which]
    return Sums(area[at], node_drop[which], node_rate[which], since, first)


def multi_power_loss(coefficients: Mapping[str, float], schedule: Schedule, steps: Array, block: int = BLOCK) -> Array:
    """Compute the loss (n,) at steps (n,) of a schedule; `block` = 1 sums every step by itself.

    Raises UnknownName for a coefficient that is not given, FormulaError for a step outside the schedule.
    """
    for name in NAMES:
        if name not in coefficients:
            raise UnknownName("coefficient", name, coefficients)
    c = coefficients
    losses = []
    for part in np.array_split(np.asarray(steps), max(1, len(steps) // 64)):  # pairs of 64 steps at a time
        sums = sums_of(schedule, part, block)
        learned = c["A"] * sums.area ** -c["alpha"]
        losses.append(c["L0"] + learned - c["B"] * sums.gains(c["C"], c["beta"], c["gamma"])[0])
    return np.concatenate(losses)


PUBLISHED: Mapping[str, Mapping[str, float]] = {
    # 2503.12811, README of the authors' code (READ); N, peak rate 3e-4, warm-up 2160 steps
    "25M": {"L0": 3.040, "A": 0.525, "alpha": 0.508, "B": 363.788, "C": 2.066, "beta": 0.583, "gamma": 0.641},
    "100M": {"L0": 2.651, "A": 0.601, "alpha": 0.453, "B": 437.946, "C": 2.132, "beta": 0.598, "gamma": 0.655},
    "400M": {"L0": 2.375, "A": 0.654, "alpha": 0.429, "B": 523.425, "C": 2.025, "beta": 0.594, "gamma": 0.635},
}
"""Coefficients of the multi-power law by model size."""
