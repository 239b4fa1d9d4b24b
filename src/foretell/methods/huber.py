"""Huber's penalty on residuals, summed with its gradient, for the optimisers of SciPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DELTA = 1e-3  # Hoffmann 2022 (arXiv 2203.15556), approach 3; Bhagia 2024 (arXiv 2412.04403), released code


def huber(residuals: Array, slopes: Array, delta: float = DELTA) -> tuple[float, Array]:
    """Sum the penalty over residuals (n,), and give its gradient (p,) from their slopes (p, n) in p coefficients."""
    size = np.abs(residuals)
    penalty = np.where(size < delta, 0.5 * residuals**2, delta * (size - 0.5 * delta))
    gradient: Array = np.sum(slopes * np.clip(residuals, -delta, delta), axis=1)  # no BLAS: it rounds by machine
    return float(penalty.sum()), gradient
