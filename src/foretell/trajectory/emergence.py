"""Emergence: how straight or how sudden a task is over sizes, and where it leaves chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError
from foretell.methods.floored_sigmoid import FlooredSigmoid, fit_floored_sigmoid, floor_limit

Array = NDArray[np.float64]

MARGIN = 0.05  # above chance: where a task counts as emerged (2410.08527, §3.2)
DRAWS = 400
PENALTY = 1e-4  # on the slope: it only keeps a perfect step finite


def linearity(y: Array) -> float:
    """Give BIG-bench's linearity of performances `y` (n,) in order of size: I(y)/RMS of the steps (2206.04615).

    I(y) is the range of y, negative where its highest lies before its lowest; 0 where y is constant.
    """
    steps = np.diff(y)
    rms = float(np.sqrt(np.mean(steps**2)))
    return _range(y) / rms if rms > 0 else 0.0


def breakthroughness(y: Array) -> float:
    """Give BIG-bench's breakthroughness: I(y) over the root median square of the steps (2206.04615).

    Infinite where more than half of the steps are nought and y is not constant.
    """
    rooted = float(np.sqrt(np.median(np.diff(y) ** 2)))
    if rooted > 0:
        return _range(y) / rooted
    return float(np.sign(_range(y)) * np.inf) if np.ptp(y) > 0 else 0.0


def _range(y: Array) -> float:
    return float(np.sign(int(np.argmax(y)) - int(np.argmin(y))) * np.ptp(y))


@dataclass(frozen=True)
class Emergence:
    """Hold the validation loss (nats) at which one curve of a task passes chance + margin.

    `loss` is nan where the curve never does within the data; `draws` are those of resampled runs, nan likewise, and
    `found` the share of them that pass.
    """

    name: str
    threshold: float
    loss: float
    draws: Array

    @property
    def found(self) -> float:
        """Give the share of resamples in which the curve passes within the data."""
        return float(np.mean(np.isfinite(self.draws)))

    def interval(self, level: float = 0.8) -> tuple[float, float]:
        """Give the central interval of the loss over the resamples that pass; nan where fewer than half do."""
        if self.found < 0.5:
            return np.nan, np.nan
        tail = 50.0 * (1.0 - level)
        low, high = np.nanpercentile(self.draws, [tail, 100.0 - tail])
        return float(low), float(high)


def emergence_point(
    name: str, loss: Array, accuracy: Array, run: NDArray[np.str_], chance: float, *, seed: int = 0
) -> Emergence:
    """Find where accuracy (n,) as one floored sigmoid of the validation loss (n,) passes chance + 5 points.

    The interval resamples runs. Raises FitError for shares outside 0..1 or fewer than three runs.
    """
    names, index = np.unique(run, return_inverse=True)
    if len(names) < 3:
        raise FitError(f"{name}: {len(names)} runs cannot be resampled; an emergence point needs at least 3")
    rng = np.random.default_rng(seed)
    weights = np.ones((DRAWS + 1, len(loss)))
    weights[1:] = rng.multinomial(len(names), np.full(len(names), 1.0 / len(names)), size=DRAWS)[:, index]
    middle, width = float(loss.mean()), float(loss.std()) or 1.0
    made = fit_floored_sigmoid(
        ((middle - loss) / width)[:, None],
        accuracy,
        np.array([PENALTY]),
        limit=floor_limit(accuracy, chance),
        weights=weights,
    )
    threshold = chance + MARGIN
    at = middle - width * _crossing(made, threshold)
    at = np.where((at >= loss.min()) & (at <= loss.max()), at, np.nan)
    return Emergence(name, threshold, float(at[0]), at[1:])


def _crossing(made: FlooredSigmoid, threshold: float) -> Array:
    """Give the input (B,) at which each curve passes a threshold; nan for a curve that falls or begins above."""
    share = (threshold - made.floor) / (1.0 - made.floor)
    rises = (made.weight[:, 0] > 0) & (share > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        logit = np.log(np.where(rises, share, np.nan) / (1.0 - share))
        return np.asarray(np.where(rises, (logit - made.shift) / made.weight[:, 0], np.nan))
