"""The form's part of an interval: hold-outs inside the data say how wrong the law itself can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from zlib import crc32

import numpy as np

from foretell.errors import ForetellError
from foretell.forecast import Forecast, Method, Settings, within_limits
from foretell.judge.hidden import forecast_split
from foretell.judge.split import Split, splits_of
from foretell.table import Metric, Observations

PART = "form"
SHARES = (0.4, 0.6, 0.8)  # of the rows, by compute: three hold-outs a metric
MOST_TARGETS = 8  # rows a hold-out and metric
DRAWS, STARTS = 60, 16  # a hold-out's own spread needs no more
SHORTEST = 0.3  # decades; nearer hold-outs say little of how an error grows
# What the form's error grows by for each decade of reach before the data say anything, and how many hold-outs that
# is worth.
PRIOR_LOSS = 0.01  # relative; arXiv 2410.11840: about 4 % at 34 × (1.5 decades) across families, less within one recipe
PRIOR_SHARE = 0.02  # of 1; measured: the median error of hold-outs inside the three ladders of arXiv 2403.08540
PRIOR_WORTH = 1.0


def widened(
    method: Method, observations: Observations, forecasts: Sequence[Forecast], settings: Settings
) -> list[Forecast]:
    """Add to intervals what the method's errors on hold-outs inside the data exceed its own intervals by.

    For each metric the form's error per decade of reach is the root mean square of that excess over progressive
    hold-outs, shrunk to a prior; it is carried to each reach and added as independent normal noise. Values stay as they
    are. Forecasts whose parts lack `form`, or that have no draws, are returned unchanged.
    """
    if PART not in settings.parts or not all(len(forecast.draws) for forecast in forecasts):
        return list(forecasts)
    names = sorted({forecast.metric.name for forecast in forecasts})
    squares: dict[str, list[float]] = {name: [_prior(observations.metric_named(name)) ** 2] for name in names}
    inner = replace(
        settings, draws=min(DRAWS, settings.draws), starts=min(STARTS, settings.starts), parts=settings.parts - {PART}
    )
    try:
        splits = splits_of(observations, "C", SHARES)
    except ForetellError:  # nothing to hold out: the prior stands alone
        splits = []
    for split in splits:
        for name, excess in _excess(method, split, names, inner).items():
            squares[name].append(excess)
    growth = {name: float(np.sqrt(np.sum(found) / (PRIOR_WORTH + len(found) - 1))) for name, found in squares.items()}
    return [_widen(forecast, growth[forecast.metric.name], settings.seed) for forecast in forecasts]


def _excess(method: Method, split: Split, names: Sequence[str], settings: Settings) -> dict[str, float]:
    """Give for each metric the mean of (error² − the draws' variance) per squared decade, at least zero."""
    excess: dict[str, list[float]] = {}
    for forecast, measured in forecast_split(method, split, names, settings, MOST_TARGETS):
        size = 1.0 if forecast.metric.is_share else abs(measured)
        error, spread = (forecast.value - measured) / size, _spread(forecast) / size
        squared = (error**2 - spread**2) / max(forecast.reach, SHORTEST) ** 2
        excess.setdefault(forecast.metric.name, []).append(squared)
    return {name: max(0.0, float(np.mean(found))) for name, found in excess.items()}


def _prior(metric: Metric) -> float:
    return PRIOR_SHARE if metric.is_share else PRIOR_LOSS


def _spread(forecast: Forecast) -> float:
    """Give half the width of the central 68 % of the draws: a standard deviation that outliers do not move."""
    low, high = np.quantile(forecast.draws, [0.1587, 0.8413])
    return float(high - low) / 2.0


def _widen(forecast: Forecast, growth: float, seed: int) -> Forecast:
    # one stream a forecast: its interval does not depend on what else was asked for
    rng = np.random.default_rng([seed, 3, crc32(f"{forecast.metric.name} {forecast.target.label}".encode())])
    size = 1.0 if forecast.metric.is_share else abs(forecast.value)
    form = growth * max(forecast.reach, 0.0) * size
    draws = forecast.draws + form * rng.normal(size=len(forecast.draws))
    return replace(forecast, draws=within_limits(forecast.metric, draws))
