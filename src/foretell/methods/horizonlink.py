"""The horizon link: how often a task's items succeed as a sigmoid of a validation loss, fitted to counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from foretell.errors import UnknownName
from foretell.fitting import Fit, fit
from foretell.forecast import Settings
from foretell.forecast.data_doubts import no_counts
from foretell.laws import LAWS, Coefficient, Law
from foretell.methods.linkfit import LINK_STARTS, has_signal, link_rows, worsens
from foretell.table import Metric, Observations, Points

Array = NDArray[np.float64]

DROPPED = 0.1  # of each run's checkpoints, as the ladder's link does: the warm-up says little of the end
FLOORS = ("fitted", "chance")
BELOW = 0.9  # of chance: a fitted floor further down is said
BORDER = 1e-9  # how near 0 and 1 a probability is let

RISING = Law(
    "sigmoid-horizon",
    "chance + (1 - chance)/(1 + exp(b*L - a))",
    {
        "a": Coefficient(-np.inf, np.inf, (-2.0, 12.0), "1"),
        "b": Coefficient(start=(0.3, 12.0), unit="1/loss"),
    },
    response="share",
    source="Cao 2025 (talk, NLIP seminar Cambridge): our reading of its sigmoid regression of binary outcomes",
    inputs=frozenset({"chance"}),
)

SUNKEN = Law(
    "sigmoid-horizon-floor",
    "chance*f + (1 - chance*f)/(1 + exp(b*L - a))",
    {**RISING.bounds, "f": Coefficient(0.0, 1.0, (0.3, 0.97), "share of chance")},
    response="share",
    source="ours: as sigmoid-horizon, its floor anywhere from 0 to chance",
    note="Scores of the most likely answer may lie below chance before a task is learned.",
    inputs=frozenset({"chance"}),
)

SHIFT = Coefficient(-np.inf, np.inf, (-0.5, 0.5), "1")
SIZED = Law(
    "sigmoid-horizon-size",
    "chance + (1 - chance)/(1 + exp(b*L - a - s*size))",
    {**RISING.bounds, "s": SHIFT},
    response="share",
    source="ours: as sigmoid-horizon, with s·ln(N/N̄) beside the loss where sizes part at one loss",
    inputs=frozenset({"chance", "size"}),
)
SUNKEN_SIZED = Law(
    "sigmoid-horizon-floor-size",
    "chance*f + (1 - chance*f)/(1 + exp(b*L - a - s*size))",
    {**SUNKEN.bounds, "s": SHIFT},
    response="share",
    source=SIZED.source,
    inputs=SIZED.inputs,
)


def link_points(training: Observations, loss: str, metric: Metric) -> Points:
    """Give the checkpoints on which loss and share were both measured, as accuracies with a known chance (0 if none).

    Where runs have checkpoints their first tenth is left out. Raises MethodError when there are none.
    """
    both = training.only_metrics([loss, metric.name])
    per_run = both.values.group_by("run", "metric").len()["len"].to_numpy()
    kept = both.drop_first(DROPPED) if len(per_run) and np.median(per_run) > 1 else both
    return link_rows(kept, loss, metric).with_chance()


def with_size(points: Points) -> Points:
    """Add the input `size`, ln N less its mean over the distinct sizes."""
    size = np.log(points.input("N"))
    return replace(points, inputs={**points.inputs, "size": size - np.unique(size).mean()})


def size_of(made: Fit, N: float) -> float:
    """Give the input `size` of a model of N parameters for a link; 0 where the link has no term in size."""
    points = made.points
    if "size" not in points.inputs:
        return 0.0
    return float(np.log(N / points.input("N")[0]) + points.input("size")[0])


def fit_link(points: Points, settings: Settings, floor: str = "fitted", *, sized: bool = False) -> Fit:
    """Fit the sigmoid to counts by maximum likelihood, or a constant where the runs show no signal.

    Its floor is `chance`, or `fitted` between 0 and chance: hold-outs inside the OLMo ladder's 16 runs err by 1.5
    points instead of 5.3 so (larger C), 3.0 instead of 3.4 (larger D), as two tasks score below chance at first.
    With `sized` the link has a term in ln N beside the loss. Without item counts every checkpoint counts as one and the
    same number of items, which leaves the estimate as it is.
    Raises UnknownName for another floor, FitError when the rows are too few.
    """
    if floor not in FLOORS:
        raise UnknownName("floor", floor, FLOORS)
    sunken = floor == "fitted" and points.inputs["chance"][0] > 0
    law = LAWS["flat"]
    if has_signal(points):
        law = (SUNKEN_SIZED if sized else SUNKEN) if sunken else (SIZED if sized else RISING)
        points = with_size(points) if sized else points
    if np.isnan(points.items).any():
        points = replace(points, items=np.ones(len(points)))
    starts = min(settings.starts, LINK_STARTS)
    return fit(law, points, objective="binomial", starts=starts, seed=settings.seed)


def share_at(made: Fit, theta: Array, loss: Array, size: float = 0.0) -> Array:
    """Compute the share at losses, for coefficients (…, p) against losses (…) that broadcast, at an input `size`."""
    if made.law.name == "flat":
        return np.broadcast_to(theta[..., 0], np.broadcast_shapes(theta.shape[:-1], loss.shape)).copy()
    of = {name: theta[..., i] for i, name in enumerate(made.law.coefficients)}
    floor = made.points.inputs["chance"][0] * of.get("f", 1.0)
    eta = np.clip(of["a"] - of["b"] * loss + of.get("s", 0.0) * size, -300.0, 300.0)
    return np.asarray(np.clip(floor + (1.0 - floor) / (1.0 + np.exp(-eta)), BORDER, 1.0 - BORDER))


def dispersion(made: Fit) -> float:
    """Give how many times the residuals' variance exceeds that of counts (Pearson's χ² over its degrees of freedom)."""
    p = np.clip(made.fitted, BORDER, 1.0 - BORDER)
    chi2 = float(np.sum(made.points.items * made.residuals**2 / (p * (1.0 - p))))
    return chi2 / max(1, len(p) - len(made.theta))


OVER = 2.0  # times the variance of counts above which it is said


def link_doubts(made: Fit, measured: Points) -> list[str]:
    """List the doubts about a link: signal, chance, inverse scaling, counts, over-dispersion."""
    found = []
    metric, value, items = measured.metric, measured.value, measured.items
    best = f"the runs score {value.min():.1%} to {value.max():.1%}"
    if metric.chance is None:
        found.append("chance is not known: taken as 0; say it when reading (--chance) if there is a floor")
    elif value.max() <= metric.chance:
        found.append(f"at or below chance: {best}, chance is {metric.chance:.1%}")
    if made.coefficients.get("f", 1.0) < BELOW:
        floor = made.coefficients["f"] * (metric.chance or 0.0)
        found.append(f"below chance at high losses ({best}): the floor is fitted, {floor:.1%}, and not taken as chance")
    if made.law.name == "flat":
        if worsens(measured):
            found.append(
                f"gets worse as the loss falls (inverse scaling): {best}; the link can only rise: the forecast stays "
                "at the runs' mean"
            )
        else:
            found.append(f"no signal yet: {best}; the forecast stays at their mean, and the task may still emerge")
    if np.isnan(items).any():
        found.append("the number of items is not known: every checkpoint counts alike")
    else:
        apart = no_counts(value, items)
        if apart.mean() > 0.5:
            found.append(
                f"contradictory counts: share × {items[0]:.0f} items is no whole number on {int(apart.sum())} of "
                f"{len(apart)} checkpoints; it is a mean of something else, and its counts are approximate"
            )
        if (phi := dispersion(made)) > OVER:
            found.append(
                f"over-dispersed: the checkpoints scatter with {phi:.1f} times the variance of counts; intervals use "
                "their scatter"
            )
    return found
