"""The form's part of an interval: hold-outs inside the data, and other families', say how wrong a law can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from zlib import crc32

import numpy as np

from foretell.errors import ForetellError
from foretell.forecast import Forecast, Method, Settings, within_limits
from foretell.judge.calibration import growth_of, shipped
from foretell.judge.hidden import forecast_split
from foretell.judge.score import spread_of
from foretell.judge.split import Split, splits_of
from foretell.judge.strangers import NONE, Spread, spread_between_families
from foretell.table import Observations

PART = "form"
SHARES = (0.4, 0.6, 0.8)  # of the rows, by compute: three hold-outs a metric
MOST_TARGETS = 8  # rows a hold-out and metric
DRAWS, STARTS = 60, 16  # a hold-out's own spread needs no more
SHORTEST = 0.3  # decades; nearer hold-outs say little of how an error grows


def widened(
    method: Method, observations: Observations, forecasts: Sequence[Forecast], settings: Settings
) -> list[Forecast]:
    """Add to intervals what the method's errors on hold-outs inside the data exceed its own intervals by.

    For each metric the form's error at one decade of reach is the root mean square of that excess over progressive
    hold-outs, shrunk to a prior; it is carried to each reach by a power that other families taught, and added as
    independent normal noise. A target of a family that is not among the runs' also gets the spread between
    the runs' families. Values stay as they are. Forecasts whose parts lack `form`, or that have no draws, are returned
    unchanged.
    """
    if PART not in settings.parts or not all(len(forecast.draws) for forecast in forecasts):
        return list(forecasts)
    names = sorted({forecast.metric.name for forecast in forecasts})
    inner = hold_out_settings(settings)
    known = shipped().of(observations, method.name)
    excess = form_excess(method, observations, names, inner)
    strangers = spread_between_families(method, observations, forecasts, inner, MOST_TARGETS)
    made = []
    for forecast in forecasts:
        name, share = forecast.metric.name, forecast.metric.is_share
        form = growth_of(excess[name], share=share) * known.factor(forecast.reach, share=share)
        made.append(_widen(forecast, form, strangers.get(name, NONE), settings.seed))
    return made


def hold_out_settings(settings: Settings) -> Settings:
    """Give the settings of a forecast inside a hold-out: fewer draws and starts, and no form of its own."""
    return replace(
        settings, draws=min(DRAWS, settings.draws), starts=min(STARTS, settings.starts), parts=settings.parts - {PART}
    )


def form_excess(
    method: Method, observations: Observations, names: Sequence[str], settings: Settings
) -> dict[str, list[float]]:
    """Give for each metric, of each hold-out inside, the mean of (error² − the draws' variance) per squared decade."""
    found: dict[str, list[float]] = {name: [] for name in names}
    try:
        splits = splits_of(observations, "C", SHARES)
    except ForetellError:  # nothing to hold out: the prior stands alone
        splits = []
    for split in splits:
        for name, excess in _excess(method, split, names, settings).items():
            found[name].append(excess)
    return found


def _excess(method: Method, split: Split, names: Sequence[str], settings: Settings) -> dict[str, float]:
    excess: dict[str, list[float]] = {}
    for forecast, measured in forecast_split(method, split, names, settings, MOST_TARGETS):
        size = 1.0 if forecast.metric.is_share else abs(measured)
        error, spread = (forecast.value - measured) / size, spread_of(forecast.draws) / size
        squared = (error**2 - spread**2) / max(forecast.reach, SHORTEST) ** 2
        excess.setdefault(forecast.metric.name, []).append(squared)
    return {name: max(0.0, float(np.mean(found))) for name, found in excess.items()}


def _widen(forecast: Forecast, form: float, between: Spread, seed: int) -> Forecast:
    # one stream a forecast: its interval does not depend on what else was asked for
    key = crc32(f"{forecast.metric.name} {forecast.target.label}".encode())
    rng = np.random.default_rng([seed, 3, key])
    size = 1.0 if forecast.metric.is_share else abs(forecast.value)
    draws = forecast.draws + form * size * rng.normal(size=len(forecast.draws))
    if forecast.target.family in between.strangers:
        draws = draws + between.draw(len(draws), np.random.default_rng([seed, 6, key])) * size
    return replace(forecast, draws=within_limits(forecast.metric, draws))
