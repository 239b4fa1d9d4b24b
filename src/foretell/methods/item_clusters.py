"""Item clusters: groups of questions whose pass rates rise alike over the models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.methods.item_outcomes import ItemOutcomes

Array = NDArray[np.float64]

FEWEST_ITEMS = 10  # a smaller group counts as outliers (arXiv 2502.17262)
# Half-width of a group in pass rate, per model, on top of what sampling the tries makes; measured on simulated items
# (benchmarks/cluster.py): .05 to .12 find the same classes.
RADIUS = 0.08
SHIFTS = 50


@dataclass(frozen=True)
class Clusters:
    """Hold for each item (I,) the number of its group from 0, or −1 for outliers; `radius` bounds each group."""

    label: NDArray[np.intp]
    radius: float

    @property
    def count(self) -> int:
        """Count the groups."""
        return int(self.label.max(initial=-1)) + 1


def clusters_of(outcomes: ItemOutcomes, radius: float = RADIUS, fewest: int = FEWEST_ITEMS) -> Clusters:
    """Group items by their pass rates over the models, densest group first, by mean shift with a bounded radius.

    From the item with most neighbours the mean moves until it stays; all items within the radius of it form a group,
    are taken out, and the rest goes on until no group has `fewest` items (the improved mean shift of arXiv 2502.17262,
    from its description: within-group distances stay bounded and stragglers are set aside). The radius is
    √(J·(radius² + mean sampling variance of a rate)) over J models. Ties go to the first item by name.
    """
    from scipy.spatial import cKDTree

    rates = outcomes.filled()
    usable = np.flatnonzero(~np.isnan(rates).any(axis=1))
    label = np.full(len(rates), -1, dtype=np.intp)
    size = bounded_radius(outcomes, radius)
    left, group = usable, 0
    while len(left) >= fewest:
        points = rates[left]
        tree = cKDTree(points)
        neighbours = tree.query_ball_point(points, size, return_length=True)
        centre = points[int(np.argmax(neighbours))]
        inside: NDArray[np.intp] = np.empty(0, dtype=np.intp)
        for _ in range(SHIFTS):
            now = np.sort(np.asarray(tree.query_ball_point(centre, size), dtype=np.intp))
            if not len(now) or np.array_equal(now, inside):
                break
            inside, centre = now, points[now].mean(axis=0)
        if len(inside) < fewest:
            break
        label[left[inside]] = group
        left, group = np.delete(left, inside), group + 1
    return Clusters(label, size)


def bounded_radius(outcomes: ItemOutcomes, radius: float) -> float:
    """Give the radius of a group in the space of pass rates over all models."""
    known = ~np.isnan(outcomes.rate)
    if not known.any():
        return 0.0
    rate = outcomes.rate[known]
    # a rate of 0 or 1 from few tries is not certain: Laplace's rule of succession
    smooth = (rate * outcomes.trials[known] + 1.0) / (outcomes.trials[known] + 2.0)
    sampling = float(np.mean(smooth * (1.0 - smooth) / outcomes.trials[known]))
    return float(np.sqrt(len(outcomes.run) * (radius**2 + sampling)))
