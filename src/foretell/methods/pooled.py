"""Does one curve fit all sizes? A pooled curve against a curve for each size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError
from foretell.table import Observations

Array = NDArray[np.float64]
Names = NDArray[np.str_]

DEGREES = (1, 2, 3)  # of each size's polynomial in log perplexity that compete; rows left out choose
SHARED_DEGREES = (1, 2, 3, 4, 5, 6, 7)  # of the one for all, which has a longer way to bend: a sigmoid needs 5 and more
DRAWS = 2000
SPARE = 2  # rows of a size beyond the coefficients of its curve
EDGE = 0.02  # of the width of the others' range: how far beyond it a size left out is still asked about


@dataclass(frozen=True)
class Pooling:
    """Hold the comparison of one curve with one for each size, on n rows.

    `F` (df1, df2) and `p` test that sizes differ in nothing; rows of a run are taken as independent there, which they
    are not, and the polynomial as true: it rejects too often. `pooled` and `separate` are root mean squares of the
    errors on rows left out one at a time, those at the ends of a size's perplexities but read; `ratio` is
    pooled/separate, with its `draws` by resampling runs. `left_out` is the root mean square error on each size whose
    rows took no part in the curve, within the perplexities of the others; nan where there are none.
    """

    name: str
    degree: int
    sizes: tuple[float, ...]
    n: int
    runs: int
    F: float
    df: tuple[int, int]
    p: float
    pooled: float
    separate: float
    ratio: float
    draws: Array
    left_out: tuple[float, ...]
    dropped: tuple[str, ...] = ()

    def interval(self, level: float = 0.8) -> tuple[float, float]:
        """Give the central interval of the ratio."""
        tail = 50.0 * (1.0 - level)
        low, high = np.percentile(self.draws, [tail, 100.0 - tail])
        return float(low), float(high)

    def one_fits_all(self, level: float = 0.8) -> bool:
        """Say whether the pooled curve's errors are not surely larger than those of curves for each size."""
        return self.interval(level)[0] <= 1.0


def compare_pooled(
    name: str,
    x: Array,
    y: Array,
    size: Array,
    run: Names,
    *,
    degrees: Sequence[int] = DEGREES,
    shared_degrees: Sequence[int] = SHARED_DEGREES,
    seed: int = 0,
) -> Pooling:
    """Compare one polynomial of `y` (n,) in `x` (n,), a loss in nats, with one for each `size` (n,) of its own.

    Each side has the degree at which it errs least on rows left out; the F-test that of the pooled curve, and at most
    the highest of a size's own. A size with too few rows for a curve of its own takes no part. The interval resamples
    runs. Raises FitError where fewer than two sizes are left, or x does not vary.
    """
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise FitError(f"{name}: perplexity or outcome holds a value that is not finite; leave such rows out")
    widest = max(degrees)
    kinds, counts = np.unique(size, return_counts=True)
    enough = kinds[counts >= widest + 1 + SPARE]
    kept = np.isin(size, enough)
    dropped = tuple(
        f"{kind:.4g} ({count} rows)" for kind, count in zip(kinds, counts, strict=True) if kind not in enough
    )
    if len(enough) < 2:
        raise FitError(
            f"{name}: {len(enough)} sizes have the {widest + 1 + SPARE} checkpoints that a curve of their own needs; "
            "at least 2 are compared: measure more checkpoints"
        )
    x, y, size, run = x[kept], y[kept], size[kept], run[kept]
    if np.ptp(x) == 0:
        raise FitError(f"{name}: every checkpoint has the same perplexity; there is no curve to fit")
    x = (x - x.mean()) / x.std()
    able = [degree for degree in shared_degrees if len(x) > degree + 1 + SPARE]
    shared = {degree: _left_one_out(x, y, np.zeros(len(x)), degree) for degree in able}
    apart = {degree: _left_one_out(x, y, size, degree) for degree in degrees}
    asked = _inner(x, size)  # the ends of a size's own curve are extrapolated, of the pooled one mostly not
    degree = min(able, key=lambda d: (float(np.mean(shared[d][asked] ** 2)), d))
    own = min(degrees, key=lambda d: (float(np.mean(apart[d][asked] ** 2)), d))
    of_all, of_each = np.where(asked, shared[degree], 0.0), np.where(asked, apart[own], 0.0)
    nested = min(degree, widest)
    few, many = nested + 1, (nested + 1) * len(enough)
    rss_all, rss_each = (float(np.sum(_residuals(x, y, g, nested) ** 2)) for g in (np.zeros(len(x)), size))
    df = (many - few, len(x) - many)
    gain = max(rss_all - rss_each, 0.0) / df[0]
    F = gain / (rss_each / df[1]) if rss_each > 0 else (np.inf if gain > 0 else 0.0)
    from scipy.stats import f as f_distribution

    names, index = np.unique(run, return_inverse=True)
    sums = np.array([np.bincount(index, errors**2, len(names)) for errors in (of_all, of_each)])
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(names), np.full(len(names), 1.0 / len(names)), size=DRAWS)
    drawn = weights @ sums.T
    tiny = np.finfo(float).tiny
    return Pooling(
        name=name,
        degree=degree,
        sizes=tuple(float(kind) for kind in enough),
        n=len(x),
        runs=len(names),
        F=float(F),
        df=df,
        p=float(f_distribution.sf(F, *df)),
        pooled=float(np.sqrt(np.mean(of_all[asked] ** 2))),
        separate=float(np.sqrt(np.mean(of_each[asked] ** 2))),
        ratio=float(np.sqrt((sums[0].sum() + tiny) / (sums[1].sum() + tiny))),
        draws=np.sqrt((drawn[:, 0] + tiny) / (drawn[:, 1] + tiny)),
        left_out=tuple(_without(x, y, size, kind, degree) for kind in enough),
        dropped=dropped,
    )


def lineages(observations: Observations, run: NDArray[np.str_]) -> NDArray[np.str_]:
    """Name for each row (n,) what was trained as one: the rung where the study says so, else the run.

    The horizons of a rung share their trunk: they are resampled together.
    """
    if "rung" not in observations.runs.columns:
        return run
    rungs = {name: rung or name for name, rung in observations.runs.select("name", "rung").iter_rows()}
    return np.array([rungs[str(name)] for name in run])


def _residuals(x: Array, y: Array, group: Array, degree: int) -> Array:
    left = np.empty(len(x))
    for one in np.unique(group):
        mine = group == one
        basis = np.vander(x[mine], degree + 1)
        left[mine] = y[mine] - basis @ np.linalg.lstsq(basis, y[mine], rcond=None)[0]
    return left


def _left_one_out(x: Array, y: Array, group: Array, degree: int) -> Array:
    """Give the error on each row of the curve fitted to the other rows of its group: residual/(1 − leverage)."""
    left = _residuals(x, y, group, degree)
    for one in np.unique(group):
        mine = group == one
        q = np.linalg.qr(np.vander(x[mine], degree + 1))[0]
        left[mine] /= np.maximum(1.0 - np.sum(q * q, axis=1), 1e-6)
    return left


def _inner(x: Array, size: Array) -> NDArray[np.bool_]:
    """Mark the rows (n,) that lie between others of their size."""
    inside = np.zeros(len(x), np.bool_)
    for one in np.unique(size):
        mine = np.flatnonzero(size == one)
        inside[mine[(x[mine] > x[mine].min()) & (x[mine] < x[mine].max())]] = True
    return inside


def _without(x: Array, y: Array, size: Array, kind: float, degree: int) -> float:
    mine = size == kind
    low, high = x[~mine].min(), x[~mine].max()
    room = EDGE * (high - low)
    asked = mine & (x >= low - room) & (x <= high + room)
    if not asked.any() or (~mine).sum() <= degree + 1:
        return float("nan")
    theta = np.linalg.lstsq(np.vander(x[~mine], degree + 1), y[~mine], rcond=None)[0]
    return float(np.sqrt(np.mean((y[asked] - np.vander(x[asked], degree + 1) @ theta) ** 2)))
