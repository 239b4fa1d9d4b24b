"""A family's curve: how far above its end the loss of a run stands at each share of its length, learned from its kin.

For runs whose learning rate is not recorded, but follows one recipe: what the runs that ended had still to gain at a
share of their length is what the run in progress has still to gain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.errors import MethodError
from foretell.table import Observations

Array = NDArray[np.float64]

FEWEST = 3  # runs that ended
RIDGE = 1.0  # of the slopes in standardised log N and log D/N
FEWEST_SLOPES = 6  # runs, below which all are taken to have one curve
RECENT = 0.3  # of the part seen: the measurements that say where the run stands
REACH_WORTH = 1.0  # a decade beyond the largest kin doubles the variance: leaving one out cannot see that


@dataclass(frozen=True)
class Kin:
    """Hold one run: N, M = D/N, and log loss (n,) at shares (n,) of its whole length."""

    name: str
    N: float
    M: float
    share: Array
    log_loss: Array


@dataclass(frozen=True)
class Rest:
    """Hold the forecast log loss (m,) at shares (m,) still to come, and its standard deviation; `freedom` is of t."""

    share: Array
    log_loss: Array
    spread: Array
    freedom: float
    kin: int

    @property
    def end(self) -> tuple[float, float]:
        """Give the loss at the end, and the standard deviation of its logarithm."""
        return float(np.exp(self.log_loss[-1])), float(self.spread[-1])

    def draws(self, count: int, seed: int = 0) -> Array:
        """Draw losses (count, m): one error for the whole rest of a run, since a run that is off stays off."""
        error = np.random.default_rng([seed, 8]).standard_t(self.freedom, size=(count, 1))
        return np.asarray(np.exp(self.log_loss + self.spread * error), dtype=np.float64)

    def interval(self, level: float = 0.8, at: int = -1) -> tuple[float, float]:
        """Give the central interval at the end, or at another of the shares."""
        from scipy.stats import t

        far = float(t.ppf(0.5 * (1 + level), self.freedom)) * self.spread[at]
        return float(np.exp(self.log_loss[at] - far)), float(np.exp(self.log_loss[at] + far))


def kin_of(observations: Observations, metric: str) -> list[Kin]:
    """Give the curve of every run, shares being of the run's own D; a run with one checkpoint has none."""
    count = "N" if observations.law_N == "N" else "N_total"
    ends = dict(observations.runs.select("name", "D").iter_rows())
    sizes = dict(observations.runs.select("name", count).iter_rows())
    rows = observations.only_metrics([metric]).values.filter(pl.col("value") > 0).sort("run", "D")
    made = []
    for (name,), of_run in rows.group_by("run", maintain_order=True):
        run = str(name)
        if len(of_run) > 1 and sizes[run] is not None:
            D = of_run["D"].to_numpy()
            made.append(Kin(run, sizes[run], ends[run] / sizes[run], D / ends[run], np.log(of_run["value"].to_numpy())))
    return made


def rest_of(
    run: Kin, seen: float, family: Sequence[Kin], at: Array | None = None, *, end: tuple[float, float] | None = None
) -> Rest:
    """Forecast the rest of a run from what is seen up to a share of its length, and from its kin that ended.

    The spread is what the kin themselves would have been missed by, each left out in turn. `end` is what a loss law
    says of the end, with the standard deviation of its logarithm: weighed in by its precision. Raises MethodError for
    fewer than three kin that were measured both there and later.
    """
    ahead = np.linspace(seen, 1.0, 41)[1:] if at is None else np.asarray(at, dtype=np.float64)
    places = run.share[run.share <= seen * (1 + 1e-9)]
    if not len(places):
        raise MethodError(f"nothing of {run.name} was measured in the first {seen:.0%} of its length")
    recent = places[places >= (1 - RECENT) * places[-1]]
    kin = [one for one in family if one.name != run.name and one.share[-1] > 0.98 and one.share[0] <= recent[0]]
    if len(kin) < FEWEST:
        raise MethodError(
            f"only {len(kin)} other runs were measured both before {seen:.0%} of their length and at their end; "
            f"{FEWEST} are needed"
        )
    grid = np.concatenate([recent, ahead])
    value = _ahead(run, recent, ahead, kin, grid)
    missed = []
    for i, one in enumerate(kin):
        others = kin[:i] + kin[i + 1 :]
        guess = _ahead(one, recent, ahead, others, grid)
        missed.append(guess - np.interp(ahead, one.share, one.log_loss))
    errors = np.array(missed)
    beyond = max(0.0, np.log10(run.N * run.N * run.M) - max(np.log10(one.N * one.N * one.M) for one in kin))
    spread = np.sqrt(np.mean(errors**2, axis=0) * (1.0 + 1.0 / len(kin) + REACH_WORTH * beyond)) + 1e-5
    if end is not None:
        own, law = spread[-1] ** 2, end[1] ** 2
        weight = own / (own + law)
        shift = weight * (np.log(end[0]) - value[-1])
        scale = spread / spread[-1]  # what moves the end moves the way there in proportion to its doubt
        value = value + shift * scale
        spread = spread * np.sqrt(law / (own + law))
    return Rest(ahead, value, spread, max(2.0, len(kin) - 1.0), len(kin))


def _ahead(run: Kin, recent: Array, ahead: Array, kin: Sequence[Kin], grid: Array) -> Array:
    """Give log loss ahead: where the run stands above its kin's curve now, it stays."""
    curve = _curve(run, kin, grid)
    now = np.interp(recent, run.share, run.log_loss)
    level = float(np.mean(now - curve[: len(recent)]))
    return np.asarray(level + curve[len(recent) :], dtype=np.float64)


def _curve(run: Kin, kin: Sequence[Kin], grid: Array) -> Array:
    """Give log loss over that at the end, at shares: the kin's mean, sloped in log N and log D/N where they suffice."""
    above = np.stack([np.interp(grid, one.share, one.log_loss) - one.log_loss[-1] for one in kin])
    if len(kin) < FEWEST_SLOPES:
        return np.asarray(above.mean(axis=0), dtype=np.float64)
    inputs = np.log(np.array([[one.N, one.M] for one in kin]))
    centre, scale = inputs.mean(axis=0), np.maximum(inputs.std(axis=0), 1e-9)
    X = (inputs - centre) / scale
    x = np.clip((np.log([run.N, run.M]) - centre) / scale, -4.0, 4.0)
    slopes = np.linalg.solve(X.T @ X + RIDGE * np.eye(2), X.T @ (above - above.mean(axis=0)))
    return np.asarray(above.mean(axis=0) + x @ slopes, dtype=np.float64)
