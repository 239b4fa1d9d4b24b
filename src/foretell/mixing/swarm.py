"""A swarm: many small runs of different mixtures, and whether their ranking survives in larger models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.errors import MethodError
from foretell.mixing.panel import Panel

Array = NDArray[np.float64]

FEWEST = 3  # mixtures in common


@dataclass(frozen=True)
class Survival:
    """Say how well the ranking of mixtures at one size (or horizon) foretold that at another.

    `accuracy` is the share of pairs of mixtures that both rank alike (DataDecide, arXiv 2504.11393), `spearman` the
    rank correlation, `regret` the loss at the larger size of the smaller one's favourite over the least there.
    Draws (B,) are over mixtures.
    """

    small: tuple[float, float]
    large: tuple[float, float]
    mixtures: int
    accuracy: float
    spearman: float
    regret: float
    accuracy_draws: Array
    spearman_draws: Array

    def interval(self, draws: Array, level: float = 0.8) -> tuple[float, float]:
        """Give the central interval of draws."""
        tail = 50.0 * (1.0 - level)
        low, high = np.nanpercentile(draws, [tail, 100.0 - tail])
        return float(low), float(high)


def decision_accuracy(small: Array, large: Array) -> float:
    """Give the share of pairs that two columns (n,) order alike; a tie in either counts half. Nan for one value."""
    first = np.sign(small[:, None] - small[None, :])
    second = np.sign(large[:, None] - large[None, :])
    pairs = np.triu_indices(len(small), 1)
    if not len(pairs[0]):
        return float("nan")
    return float(np.mean(0.5 + 0.5 * first[pairs] * second[pairs]))


def spearman(small: Array, large: Array) -> float:
    """Give Spearman's rank correlation of two columns (n,), ties sharing their mean rank."""
    a, b = (_ranks(column) for column in (small, large))
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _ranks(column: Array) -> Array:
    _, index, count = np.unique(column, return_inverse=True, return_counts=True)
    ends = np.cumsum(count)
    ranks: Array = (ends - 0.5 * (count - 1))[index.reshape(-1)]
    return ranks


def survival(panel: Panel, objective: Array, *, draws: int = 200, seed: int = 0) -> list[Survival]:
    """Compare the rankings of each size and horizon with the next larger one, on the mixtures that both trained.

    `objective` (m,) weighs the panel's metrics. Raises MethodError when no two sizes have mixtures in common.
    """
    score = panel.losses @ objective
    cells: dict[tuple[float, float], dict[tuple[float, ...], float]] = {}
    for i in range(len(panel)):
        cell = (float(panel.N[i]), float(panel.D[i]))
        cells.setdefault(cell, {})[tuple(np.round(panel.weights[i], 6))] = float(score[i])
    order = sorted(cells, key=lambda cell: cell[0] * cell[1])
    rng = np.random.default_rng([seed, 9])
    found = []
    for i, small in enumerate(order):
        for large in order[i + 1 :]:
            shared = sorted(set(cells[small]) & set(cells[large]))
            if len(shared) < FEWEST:
                continue
            a, b = (np.array([cells[cell][mixture] for mixture in shared]) for cell in (small, large))
            picks = rng.integers(len(shared), size=(draws, len(shared)))
            found.append(
                Survival(
                    small, large, len(shared), decision_accuracy(a, b), spearman(a, b),
                    float(b[np.argmin(a)] - b.min()), np.array([decision_accuracy(a[p], b[p]) for p in picks]),
                    np.array([spearman(a[p], b[p]) for p in picks]),
                )
            )  # fmt: skip
            break
    if not found:
        raise MethodError(
            f"no two sizes or horizons trained {FEWEST} mixtures in common; there is no ranking to follow from "
            "one to the next"
        )
    return found
