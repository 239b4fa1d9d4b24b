"""A forecast: a value, what else it could be, and how far it reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.errors import MethodError, UnknownName
from foretell.forecast.target import Target
from foretell.markup import small_table
from foretell.table import Metric

Array = NDArray[np.float64]

PARTS: tuple[str, ...] = ("coefficients", "noise", "form")
DEFAULT_PARTS = frozenset(PARTS)


@dataclass(frozen=True)
class Forecast:
    """Hold the forecast of one metric of one target.

    `value` is the point forecast, `draws` (B,) what the observation could be, `parts` which sources of doubt the draws
    contain, `reach` the decades of compute beyond the data, `reason` why a method chose what it did, where it chooses.
    """

    target: Target
    metric: Metric
    method: str
    value: float
    draws: Array
    parts: frozenset[str]
    reach: float
    doubts: tuple[str, ...] = ()
    reason: str = ""

    def interval(self, level: float = 0.8) -> tuple[float, float]:
        """Give the central interval of the draws; `level` lies between 0 and 1. Raises MethodError without draws."""
        check_level(level)
        if not len(self.draws):
            raise MethodError("this forecast has no draws, so it has no interval; ask for draws")
        tail = 0.5 * (1.0 - level)
        low, high = np.quantile(self.draws, [tail, 1.0 - tail])
        return float(low), float(high)

    def to_json(self, level: float = 0.8) -> dict[str, Any]:
        """Give target, metric, method, value, low, high, level, reach and doubts as plain values."""
        low, high = self.interval(level) if len(self.draws) else (None, None)
        target: dict[str, Any] = {"N": self.target.N, "D": self.target.D}
        if self.target.C is not None:
            target["C"] = self.target.C
        if self.target.name:
            target["name"] = self.target.name
        return {
            "target": target,
            "metric": self.metric.name,
            "method": self.method,
            "value": self.value,
            "low": low,
            "high": high,
            "level": level,
            "reach": self.reach,
            "doubts": list(self.doubts),
        }

    def _repr_html_(self) -> str:
        unit = 100.0 if self.metric.is_share else 1.0
        between = "{:.4g} – {:.4g}".format(*(unit * x for x in self.interval(0.8))) if len(self.draws) else "none"
        row = (self.target.label, self.metric.name, f"{unit * self.value:.4g}", between, f"{self.reach:.1f}")
        head = ("target", "metric", "forecast", "80 % interval", "decades beyond")
        return small_table(f"forecast by {self.method}", head, [row], self.doubts)


class Forecasts(list[Forecast]):
    """Several forecasts, which a notebook shows as one table."""

    def _repr_html_(self) -> str:
        rows = []
        for one in self:
            unit = 100.0 if one.metric.is_share else 1.0
            between = "{:.4g} – {:.4g}".format(*(unit * x for x in one.interval(0.8))) if len(one.draws) else "none"
            value = f"{unit * one.value:.4g}"
            rows.append((one.target.label, one.metric.name, one.method, value, between, f"{one.reach:.1f}"))
        head = ("target", "metric", "method", "forecast", "80 % interval", "decades beyond")
        doubts: dict[str, list[str]] = {}
        for one in self:
            for doubt in one.doubts:
                doubts.setdefault(doubt, []).append(one.metric.name)
        said = [f"{doubt} ({', '.join(dict.fromkeys(names))})" for doubt, names in doubts.items()]
        return small_table(f"{len(self)} forecasts", head, rows, said)


def parse_parts(text: str) -> frozenset[str]:
    """Read `coefficients,noise` or `all`; raises UnknownName for another part."""
    if text.strip() == "all":
        return DEFAULT_PARTS
    parts = frozenset(part.strip() for part in text.split(","))
    for part in parts:
        if part not in PARTS:
            raise UnknownName("part of an interval", part, PARTS)
    return parts


def check_level(level: float) -> None:
    """Raise MethodError for an interval's level that does not lie between 0 and 1."""
    if not 0 < level < 1:
        raise MethodError(f"level is {level}; it lies between 0 and 1, such as 0.8")


def within_limits(metric: Metric, values: Array) -> Array:
    """Keep values where the metric can be: shares in 0..1, losses and perplexities above zero."""
    if metric.is_share:
        return np.clip(values, 0.0, 1.0)
    if metric.is_loss or metric.unit == "perplexity":
        return np.maximum(values, 0.0)
    return values


def forecast_of(forecasts: Sequence[Forecast], target: str, metric: str) -> Forecast:
    """Find a forecast by its target's name and its metric; raises UnknownName."""
    for forecast in forecasts:
        if forecast.target.label == target and forecast.metric.name == metric:
            return forecast
    raise UnknownName("forecast", f"{target} {metric}", [f"{f.target.label} {f.metric.name}" for f in forecasts])
