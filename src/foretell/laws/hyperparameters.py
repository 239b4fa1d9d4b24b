"""The step law: the learning rate and the batch at which N parameters learn D tokens best (2503.04715).

    lr*(N, D) = lr_0 · N^lr_N · D^lr_D        batch*(D) = batch_0 · D^batch_D tokens

N counts parameters without the vocabulary's, a batch is counted in tokens, and the learning rate is the peak's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError

Array = NDArray[np.float64]

COLUMNS = ("lr", "batch", "N", "D", "loss")
NAMES = ("lr_0", "lr_N", "lr_D", "batch_0", "batch_D")
# Runs within this share of the lowest loss of one (N, D) make its bowl. Measured on steplaw: of .0025 to .03 it has the
# least regret when the cheaper half of the sweeps advises the dearer (.10 %; the published law .08 %).
WITHIN = 0.005
FEWEST_RUNS = 9  # of one (N, D) within that: a bowl has six coefficients
DRAWS = 1000


@dataclass(frozen=True)
class StepLaw:
    """Hold the five coefficients of the law."""

    lr_0: float
    lr_N: float
    lr_D: float
    batch_0: float
    batch_D: float

    def learning_rate(self, N: float | Array, D: float | Array) -> Array:
        """Give the best peak learning rate (…) for N parameters without vocabulary and D tokens."""
        return np.asarray(self.lr_0 * np.power(N, self.lr_N) * np.power(D, self.lr_D), dtype=np.float64)

    def batch(self, D: float | Array) -> Array:
        """Give the best batch (…) in tokens for D tokens."""
        return np.asarray(self.batch_0 * np.power(D, self.batch_D), dtype=np.float64)


# arXiv 2503.04715: the mean of the authors' released bootstraps
STEP_LAW = StepLaw(lr_0=1.79, lr_N=-0.713, lr_D=0.307, batch_0=0.58, batch_D=0.571)


@dataclass(frozen=True)
class Optimum:
    """Hold the best learning rate and batch found for one (N, D); `inside` says whether its bowl had a bottom."""

    N: float
    D: float
    lr: float
    batch: float
    inside: bool


@dataclass(frozen=True)
class StepLawFit:
    """Hold a fitted step law, the optima it goes through, its draws (B, 5) in the order of `NAMES`, and its doubts."""

    law: StepLaw
    optima: tuple[Optimum, ...]
    draws: Array = field(repr=False)
    doubts: tuple[str, ...] = ()

    def intervals(self, level: float = 0.8) -> dict[str, tuple[float, float]]:
        """Give for each coefficient the central interval of its draws."""
        tail = 50.0 * (1.0 - level)
        low, high = np.percentile(self.draws, [tail, 100.0 - tail], axis=0)
        return {name: (float(a), float(b)) for name, a, b in zip(NAMES, low, high, strict=True)}


def fit_step_law(
    table: Mapping[str, Array], *, within: float = WITHIN, draws: int = DRAWS, seed: int = 0
) -> StepLawFit:
    """Fit the step law to a sweep: columns lr, batch (tokens), N, D and loss, one row a run.

    Each (N, D) gives one optimum, the bottom of a quadratic bowl in log lr and log batch through the runs within a
    share `within` of its lowest loss, or its best run where the bowl has no bottom there. The law is a straight line
    through their logarithms; draws resample them. Raises FitError for a column that is missing or not positive and
    finite, or when the optima cannot tell N from D.
    """
    columns = _checked(table)
    optima = tuple(_optimum(columns, rows, within) for rows in groups_of(columns))
    known = np.array([[np.log(o.N), np.log(o.D), np.log(o.lr), np.log(o.batch)] for o in optima])
    full = np.column_stack([np.ones(len(known)), known[:, :2]])
    if len(optima) < 4 or np.linalg.matrix_rank(full - full.mean(axis=0)) < 2:
        raise FitError(
            f"{len(optima)} pairs of N and D cannot tell how the best learning rate depends on each; sweep at least "
            "four pairs, with N and D varied apart"
        )
    line = _line(known)
    rng = np.random.default_rng(seed)
    drawn = [_line(known + _redrawn(known, line, rng)) for _ in range(draws)]
    outside = sum(not o.inside for o in optima)
    doubts = [f"{outside} of {len(optima)} pairs of N and D have no bowl: their best run is taken"] if outside else []
    if len(optima) < 8:
        doubts.append(f"only {len(optima)} pairs of N and D: the exponents are loose")
    return StepLawFit(_named(line), optima, np.array(drawn).reshape(-1, len(NAMES)), tuple(doubts))


def regret(law: StepLaw, table: Mapping[str, Array]) -> Array:
    """Give for each (N, D) of a sweep how far the run nearest to the law's advice lies above its lowest loss.

    Returns relative losses (groups,) in order of N and D; nearest in log lr and log batch.
    """
    columns = _checked(table)
    found = []
    for rows in groups_of(columns):
        part = {name: columns[name][rows] for name in COLUMNS}
        away_lr = np.log(part["lr"] / law.learning_rate(part["N"], part["D"]))
        away_batch = np.log(part["batch"] / law.batch(part["D"]))
        nearest = int(np.argmin(away_lr**2 + away_batch**2))
        found.append(part["loss"][nearest] / part["loss"].min() - 1.0)
    return np.array(found)


def groups_of(columns: Mapping[str, Array]) -> list[NDArray[np.intp]]:
    """Give the rows of each (N, D), in order of N and D."""
    pairs, index = np.unique(np.column_stack([columns["N"], columns["D"]]), axis=0, return_inverse=True)
    return [np.nonzero(index.ravel() == i)[0] for i in range(len(pairs))]


def _checked(table: Mapping[str, Array]) -> dict[str, Array]:
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise FitError(f"the sweep has no {', '.join(missing)}; it has {', '.join(sorted(table))}")
    columns = {name: np.asarray(table[name], dtype=np.float64) for name in COLUMNS}
    for name, column in columns.items():
        if not (np.isfinite(column) & (column > 0)).all():
            raise FitError(f"{name} is not positive and finite on every row of the sweep; leave out diverged runs")
    return columns


def _optimum(columns: Mapping[str, Array], rows: NDArray[np.intp], within: float) -> Optimum:
    N, D = (float(columns[name][rows[0]]) for name in ("N", "D"))
    loss = columns["loss"][rows]
    best = rows[int(np.argmin(loss))]
    taken = Optimum(N, D, float(columns["lr"][best]), float(columns["batch"][best]), inside=False)
    near = rows[loss <= (1.0 + within) * loss.min()]
    x, y = np.log(columns["lr"][near] / taken.lr), np.log(columns["batch"][near] / taken.batch)
    if len(near) < FEWEST_RUNS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return taken
    design = np.column_stack([np.ones(len(near)), x, y, x * x, x * y, y * y])
    _, gx, gy, xx, xy, yy = np.linalg.lstsq(design, columns["loss"][near], rcond=None)[0]
    bowl = np.array([[2 * xx, xy], [xy, 2 * yy]])
    if np.linalg.eigvalsh(bowl)[0] <= 0:
        return taken
    bottom = np.linalg.solve(bowl, [-gx, -gy])
    if not (x.min() <= bottom[0] <= x.max() and y.min() <= bottom[1] <= y.max()):
        return taken
    return Optimum(N, D, taken.lr * float(np.exp(bottom[0])), taken.batch * float(np.exp(bottom[1])), inside=True)


def _line(known: Array) -> Array:
    """Fit log lr on log N and log D, and log batch on log D; prefactors as they stand in the law."""
    ones = np.ones(len(known))
    lr = np.linalg.lstsq(np.column_stack([ones, known[:, :2]]), known[:, 2], rcond=None)[0]
    batch = np.linalg.lstsq(np.column_stack([ones, known[:, 1]]), known[:, 3], rcond=None)[0]
    return np.array([np.exp(lr[0]), lr[1], lr[2], np.exp(batch[0]), batch[1]])


def _redrawn(known: Array, line: Array, rng: np.random.Generator) -> Array:
    """Give what to add to log N, log D, log lr, log batch: other rows' residuals in place of their own.

    Whole pairs (N, D) are not resampled: few sizes would remain, and N not be told from D. Residuals are widened by
    the coefficients they were spent on.
    """
    law, n = _named(line), len(known)
    N, D = np.exp(known[:, 0]), np.exp(known[:, 1])
    lines = np.column_stack([known[:, 0], known[:, 1], np.log(law.learning_rate(N, D)), np.log(law.batch(D))])
    residuals = known - lines
    wide = np.sqrt(n / np.maximum(1, n - np.array([1, 1, 3, 2])))
    moved: Array = residuals[rng.integers(0, n, n)] * wide - residuals
    moved[:, :2] = 0.0
    return moved


def _named(line: Array) -> StepLaw:
    return StepLaw(**dict(zip(NAMES, (float(x) for x in line), strict=True)))
