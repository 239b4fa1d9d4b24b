"""Outcomes as JSON: what a backtest made elsewhere sends home, every number to its last bit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from foretell.forecast import Forecast, Target
from foretell.judge.backtest import Outcome
from foretell.table import Metric


def carried(outcome: Outcome) -> dict[str, Any]:
    """Write an outcome as JSON values; numbers that are not finite are written as text."""
    forecast, target = outcome.forecast, outcome.forecast.target
    return {
        "split": outcome.split,
        "measured": _number(outcome.measured),
        "largest_run": _number(outcome.largest_run),
        "chance": None if outcome.chance is None else _number(outcome.chance),
        "target": {
            "N": target.N, "D": target.D, "C": target.C, "name": target.name, "family": target.family,
            "inputs": {name: _number(value) for name, value in target.inputs.items()},
        },
        "metric": forecast.metric.model_dump(),
        "method": forecast.method,
        "value": _number(forecast.value),
        "draws": [_number(draw) for draw in forecast.draws.tolist()],
        "parts": sorted(forecast.parts),
        "reach": _number(forecast.reach),
        "doubts": list(forecast.doubts),
        "reason": forecast.reason,
    }  # fmt: skip


def outcome_of(told: Mapping[str, Any]) -> Outcome:
    """Read an outcome that `carried` wrote: the same to the last bit."""
    target = dict(told["target"])
    target["inputs"] = {name: float(value) for name, value in target["inputs"].items()}
    forecast = Forecast(
        target=Target(**target),
        metric=Metric.model_validate(told["metric"]),
        method=told["method"],
        value=float(told["value"]),
        draws=np.array([float(draw) for draw in told["draws"]], dtype=np.float64),
        parts=frozenset(told["parts"]),
        reach=float(told["reach"]),
        doubts=tuple(told["doubts"]),
        reason=told["reason"],
    )
    chance = told["chance"]
    return Outcome(
        split=told["split"],
        forecast=forecast,
        measured=float(told["measured"]),
        largest_run=float(told["largest_run"]),
        chance=None if chance is None else float(chance),
    )


def _number(value: float) -> float | str:
    number = float(value)
    return number if math.isfinite(number) else repr(number)  # "nan", "inf": JSON has no word for them
