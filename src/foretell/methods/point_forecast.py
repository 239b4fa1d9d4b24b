"""A point forecast: what a paper's own fit says of a target, without an interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foretell.errors import FitError
from foretell.forecast import Forecast, Target, reach_of, within_limits
from foretell.table import Metric, Points

NO_INTERVAL = "as published: the paper gives no interval"


def point_forecast(
    method: str, target: Target, metric: Metric, value: float, points: Points, doubts: Sequence[str] = ()
) -> Forecast:
    """Make a forecast without draws; `points` are the rows of the loss law, from which its reach counts.

    A value outside the metric's limits is brought back to them, and a doubt says so. Raises FitError when it is not
    a finite number.
    """
    if not np.isfinite(value):
        raise FitError(
            f"the published fit gives {value} for {metric.name} at {target.label}; its optimiser went astray"
        )
    kept = float(within_limits(metric, np.array([value]))[0])
    if kept != value:
        doubts = (
            *doubts,
            f"the published curve gives {value:.4g}, which {metric.unit} cannot be: brought back to {kept:g}",
        )
    return Forecast(
        target=target,
        metric=metric,
        method=method,
        value=kept,
        draws=np.empty(0),
        parts=frozenset(),
        reach=reach_of(points, target),
        doubts=(NO_INTERVAL, *doubts),
    )
