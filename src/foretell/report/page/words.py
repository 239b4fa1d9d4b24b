"""How a page writes numbers: shares in points, losses with four digits, each beside its interval."""

from __future__ import annotations

from foretell.forecast import Forecast
from foretell.table import Metric
from foretell.units import format_four


def value_words(metric: Metric, value: float) -> str:
    """Write a value in its metric's way."""
    return f"{100 * value:.1f}" if metric.is_share else format_four(value)


def interval_words(forecast: Forecast, level: float) -> str:
    """Write an interval, or `none` where there are no draws."""
    if not len(forecast.draws):
        return "none"
    low, high = forecast.interval(level)
    return f"{value_words(forecast.metric, low)} – {value_words(forecast.metric, high)}"


def unit_words(metric: Metric) -> str:
    """Name the unit that a metric is written in."""
    return f"{metric.unit}, points" if metric.is_share else metric.unit


def level_words(level: float) -> str:
    """Write a confidence level: `80 %`."""
    return f"{100 * level:.4g} %"


def axis_unit(metric: Metric) -> str:
    """Name the unit as charts know it."""
    return "share" if metric.is_share else "number"


def error_of(metric: Metric, value: float, measured: float) -> float:
    """Give value − measured for shares, relative to what was measured otherwise."""
    return value - measured if metric.is_share else (value - measured) / measured


def error_words(metric: Metric, error: float) -> str:
    """Write an error in points for shares, in per cent otherwise."""
    return f"{100 * error:+.1f} {'pt' if metric.is_share else '%'}".replace("-", "−")


def reach_words(reach: float) -> str:
    """Say how far a target lies beyond the data."""
    return f"{reach:.1f} decades of compute beyond the data" if reach > 0.05 else "within the compute of the data"


def task_words(metric: Metric) -> str:
    """Shorten a metric's name where its unit says the rest."""
    return metric.name.removesuffix("/acc")
