"""Numeric derivatives, to hold generated ones against."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

STENCIL = ((-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12))  # five points: the error is of fourth order


def derivative(function: Callable[[Array], Array], at: Array, step: float = 2e-4) -> Array:
    """Give the derivatives (p, …) of a function of p numbers; `step` is relative to each number."""
    rows = []
    for i, number in enumerate(at):
        h = step * max(abs(number), 1e-3)
        moved = np.eye(len(at))[i] * h
        rows.append(sum(weight * np.asarray(function(at + k * moved)) for k, weight in STENCIL) / h)
    return np.array(rows)
