"""Item curves: each item's sigmoid in a validation loss, shrunk towards what the items have in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError
from foretell.methods.itemnewton import climb, weigh
from foretell.table.itemgrid import ItemGrid

Array = NDArray[np.float64]

PRIOR_OUTCOMES = 4_000_000  # that the prior is learned from, by items evenly spaced over the grid …
PRIOR_ITEMS = 2000  # … but of at least so many: its means are then known to 1/45 of a spread
ROUNDS = 200
SETTLED = 1e-3  # of the prior's standard deviations: where EM stops
FIRST_SPREAD = (2.0, 0.7)  # of log-odds and of the logarithm of the slope, before any item has spoken
LEAST_SPREAD = 0.02
TYPICAL_SLOPE = 2.0  # log-odds over the spread of the losses, where the search for the prior begins
NODES = 5  # Gauss–Hermite nodes an axis; 5 and 9 give accuracies within 1e-3 (measured, tests/test_horizon.py)


@dataclass(frozen=True)
class ItemFit:
    """Hold the curves g + (1 − g)·σ(a_i − b_i·(L − centre)) of I items.

    `mode` (I, 2) holds the most probable (a_i, log b_i); `nodes` (I, Q, 2) with `weight` (I, Q) are the posterior of
    both, by adaptive Gauss–Hermite quadrature. `mean` (2,) and `spread` (2, 2) are the Normal prior, learned from the
    items. `centre` is the mean loss of the data: a_i is the log-odds there. `unchanging` (I,) marks items with one
    outcome throughout, whose curves are mostly the prior's.
    """

    grid: ItemGrid
    loss: Array
    centre: float
    floor: float
    mean: Array
    spread: Array
    mode: Array
    nodes: Array
    weight: Array
    unchanging: NDArray[np.bool_]

    @property
    def estimate(self) -> Array:
        """Give the posterior mean (I, 2) of (a_i, log b_i)."""
        return np.asarray(np.sum(self.weight[:, :, None] * self.nodes, axis=1))

    @property
    def covariance(self) -> Array:
        """Give the posterior covariance (I, 2, 2) of (a_i, log b_i)."""
        return _moments(self.nodes, self.weight)[1]

    @property
    def slope(self) -> Array:
        """Give b_i (I,), log-odds per unit of loss."""
        return np.exp(self.estimate[:, 1])

    @property
    def threshold(self) -> Array:
        """Give the loss L*_i (I,) at which an item is half way from chance to certainty."""
        estimate = self.estimate
        return np.asarray(self.centre + estimate[:, 0] / np.exp(estimate[:, 1]))

    def probability(self, loss: Array, shift: Array | None = None) -> Array:
        """Compute each item's probability of success (I, m) at losses (m,): the mean over its posterior.

        `shift` (I, 2) moves the posterior, as when the modes are found again on resampled runs.
        """
        x = np.asarray(loss, dtype=np.float64)[None, :] - self.centre
        total = np.zeros((len(self.mode), x.shape[1]))
        for q in range(self.weight.shape[1]):
            at = self.nodes[:, q] if shift is None else self.nodes[:, q] + shift
            eta = at[:, 0:1] - np.exp(np.clip(at[:, 1:2], -30.0, 30.0)) * x
            total += self.weight[:, q : q + 1] / (1.0 + np.exp(-np.clip(eta, -300.0, 300.0)))
        return self.floor + (1.0 - self.floor) * total

    def accuracy(self, loss: Array, shift: Array | None = None) -> Array:
        """Compute the expected accuracy (m,) at losses (m,): the mean of the items' probabilities."""
        return np.asarray(self.probability(loss, shift).mean(axis=0))

    def reweighted(self, weight: Array) -> Array:
        """Find by how much the modes move (I, 2) with other weights (J,) of the checkpoints, under the same prior."""
        x = self.loss - self.centre
        return _climb(self.grid, x, weight, self.floor, self.mean, self.spread, self.mode)[0] - self.mode

    def doubts(self) -> list[str]:
        """List what is to be doubted about the curves: items that never change, holes, and no slope."""
        found = []
        if stuck := int(self.unchanging.sum()):
            right = int((self.grid.rates() == 1.0).sum())
            found.append(
                f"{stuck} of {len(self.mode)} items never change ({right} always right): "
                "their curves are mostly those of the others"
            )
        tries = self.grid.trials.sum(axis=1, dtype=np.float64)
        low = self.grid.rates() < self.floor - BELOW * np.sqrt(self.floor * (1.0 - self.floor) / tries)
        if self.floor > 0 and low.any():
            found.append(
                f"{int(low.sum())} of {len(self.mode)} items succeed less often than chance ({self.floor:.1%}): a "
                "wrong answer draws the runs, and the floor does not hold for them"
            )
        if holes := int((self.grid.trials == 0).sum()):
            found.append(f"{holes} of {self.grid.trials.size} outcomes of items are missing; the others are used")
        if float(np.exp(self.mean[1])) * float(np.ptp(self.loss)) < FLAT:
            found.append("the items do not get easier as the loss falls: no signal yet, or a task that gets worse")
        return found


BELOW = 3.0  # standard errors below chance at which an item is said to lie there
FLAT = 0.1  # log-odds over the whole range of losses below which the typical item has no slope worth the name


def fit_items(grid: ItemGrid, loss: Array, floor: float, *, prior: tuple[Array, Array] | None = None) -> ItemFit:
    """Fit every item's curve to its outcomes at the exact losses (J,) of its checkpoints.

    The prior's mean and covariance come from the items themselves (empirical Bayes: EM, Laplace's approximation for
    each item), unless `prior` gives them. Raises FitError for fewer than three checkpoints, one loss throughout,
    an item that was never tried, or a floor outside 0..1.
    """
    J = len(grid.run)
    if not 0 <= floor < 1:
        raise FitError(f"chance on {grid.metric} is {floor}; it lies in 0..1, below 1")
    if len(loss) != J or not np.isfinite(loss).all():
        raise FitError(f"{grid.metric} has {J} checkpoints and {int(np.isfinite(loss).sum())} finite losses of them")
    if J < 3 or np.ptp(loss) == 0:
        raise FitError(f"{J} checkpoints of {grid.metric} at {len(np.unique(loss))} losses cannot carry a sigmoid")
    tried = grid.trials.any(axis=1)
    if not tried.all():
        raise FitError(
            f"{int((~tried).sum())} items of {grid.metric} have no outcome (first: {grid.item[~tried][0]!r})"
        )
    centre = float(loss.mean())
    x, weight = loss - centre, np.ones(J)
    if prior is None:
        prior = _learn(grid, x, weight, floor)
    mean, spread = prior
    starts = _starts(grid, floor, mean)
    mode, covariance = _climb(grid, x, weight, floor, mean, spread, starts)
    nodes, share = _posterior(grid, x, weight, floor, mean, spread, mode, covariance)
    return ItemFit(grid, loss, centre, floor, mean, spread, mode, nodes, share, grid.unchanging())


def _starts(grid: ItemGrid, floor: float, mean: Array) -> Array:
    """Start each item at its own log-odds above chance, and at the typical slope."""
    tries = grid.trials.sum(axis=1, dtype=np.float64)
    above = (grid.successes.sum(axis=1, dtype=np.float64) + 0.5) / (tries + 1.0)
    share = np.clip((above - floor) / (1.0 - floor), 0.02, 0.98)
    return np.column_stack([np.log(share / (1.0 - share)), np.full(len(share), mean[1])])


def _climb(
    grid: ItemGrid, x: Array, weight: Array, floor: float, mean: Array, spread: Array, starts: Array
) -> tuple[Array, Array]:
    mode, curvature, _, _ = climb(
        grid.successes, grid.trials, x, weight, floor, mean, np.asarray(np.linalg.inv(spread), dtype=np.float64), starts
    )
    aa, ab, bb = curvature.T
    determinant = aa * bb - ab * ab
    covariance = np.empty((len(mode), 2, 2))
    covariance[:, 0, 0], covariance[:, 1, 1] = bb / determinant, aa / determinant
    covariance[:, 0, 1] = covariance[:, 1, 0] = -ab / determinant
    astray = ~((determinant > 0) & (aa > 0))  # a mode that was not reached in MOST_STEPS: nothing beyond the prior
    covariance[astray] = spread
    return mode, covariance


def _posterior(
    grid: ItemGrid, x: Array, weight: Array, floor: float, mean: Array, spread: Array, mode: Array, covariance: Array
) -> tuple[Array, Array]:
    """Give nodes (I, Q, 2) and weights (I, Q) of every item's posterior.

    Laplace's Normal alone puts the slopes too high where an item has few outcomes: log b is skewed. (Measured on 2,000
    made-up items of 50 outcomes: 3 points of accuracy, half a loss beyond the data.)
    """
    z, share = np.polynomial.hermite_e.hermegauss(NODES)
    places = np.array([(p, q) for p in z for q in z])
    shares = np.array([p * q for p in share for q in share])
    factor = np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
    found = weigh(
        grid.successes,
        grid.trials,
        x,
        weight,
        floor,
        mean,
        np.asarray(np.linalg.inv(spread), dtype=np.float64),
        mode,
        factor,
        places,
        shares,
    )
    return mode[:, None, :] + np.einsum("ikl,ql->iqk", factor, places), found


def _moments(nodes: Array, weight: Array) -> tuple[Array, Array]:
    middle = np.sum(weight[:, :, None] * nodes, axis=1)
    away = nodes - middle[:, None, :]
    return middle, np.einsum("iq,iqk,iql->ikl", weight, away, away)


def _learn(grid: ItemGrid, x: Array, weight: Array, floor: float) -> tuple[Array, Array]:
    """Learn the prior by EM from items spread evenly over the grid."""
    most = max(PRIOR_ITEMS, PRIOR_OUTCOMES // len(x))
    if len(grid.item) > most:
        rows = np.unique(np.linspace(0, len(grid.item) - 1, most).round().astype(np.intp))
        grid = ItemGrid(grid.metric, grid.item[rows], grid.run, grid.D, grid.successes[rows], grid.trials[rows])
    mean = np.array([0.0, np.log(TYPICAL_SLOPE / float(np.std(x)))])
    spread = np.diag(np.square(FIRST_SPREAD))
    mode = _starts(grid, floor, mean)
    for _ in range(ROUNDS):
        mode, covariance = _climb(grid, x, weight, floor, mean, spread, mode)
        middle, within = _moments(*_posterior(grid, x, weight, floor, mean, spread, mode, covariance))
        new_mean = middle.mean(axis=0)
        away = middle - new_mean
        new_spread = within.mean(axis=0) + away.T @ away / len(mode)
        new_spread += np.diag(np.maximum(0.0, LEAST_SPREAD**2 - np.diag(new_spread)))
        size = np.sqrt(np.diag(spread))
        moved = max(
            float(np.max(np.abs(new_mean - mean) / size)),
            float(np.max(np.abs(np.sqrt(np.diag(new_spread)) / size - 1.0))),
        )
        mean, spread = new_mean, new_spread
        if moved < SETTLED:
            break
    return mean, spread
