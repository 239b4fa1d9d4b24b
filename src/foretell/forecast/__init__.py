"""Forecasts, their targets, and the protocol that every method keeps."""

from foretell.forecast.forecast import (
    DEFAULT_PARTS,
    PARTS,
    Forecast,
    Forecasts,
    check_level,
    forecast_of,
    parse_parts,
    within_limits,
)
from foretell.forecast.method import Method, Settings
from foretell.forecast.target import Target, held_out_targets, ranges_of, reach_of

__all__ = [
    "DEFAULT_PARTS",
    "PARTS",
    "Forecast",
    "Forecasts",
    "Method",
    "Settings",
    "Target",
    "check_level",
    "forecast_of",
    "held_out_targets",
    "parse_parts",
    "ranges_of",
    "reach_of",
    "within_limits",
]
