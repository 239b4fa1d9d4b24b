"""The rule that puts a token into a category by how its perplexity moves (Xia 2023, arXiv 2212.09803)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from foretell.errors import StudyError

Array = NDArray[np.float64]

STARTS = (10, 20, 30, 40, 50, 60, 70)  # % of training from which trends are read (2212.09803, §3)
SIGNIFICANCE = 0.05  # of the slope's two-sided t-test (2212.09803, §3)
BAND = 0.05  # how far the fitted ends of a stagnated token may lie from its geometric mean (2212.09803, §3)
FEWEST = 3  # checkpoints: with two a line leaves nothing to test against
AT_START = 1e-9  # relative: a checkpoint at p % exactly is one after p %


class Category(IntEnum):
    """Say how a token's perplexity moves: it stays, rises, falls, or none of these surely."""

    STAGNATED = 0
    UPWARD = 1
    DOWNWARD = 2
    OTHER = 3


@dataclass(frozen=True)
class Window:
    """Hold from which checkpoint trends are read: the one after `start` % of training, and those that follow."""

    start: float
    first: int
    count: int


def windows_of(D: Array, starts: Sequence[float] = STARTS, *, run: str = "") -> list[Window]:
    """Find the window of each start among checkpoints at D (c,) tokens, rising.

    Training ends at the last checkpoint. Raises StudyError for a start outside 0..100, or one that leaves fewer than
    three checkpoints.
    """
    of = f"run {run!r}" if run else "the trajectory"
    if len(D) < FEWEST:
        raise StudyError(f"{of} has {len(D)} checkpoints, a trend needs {FEWEST}; measure the probe on more of them")
    if (np.diff(D) <= 0).any():
        raise StudyError(f"the checkpoints of {of} do not rise in D; two were measured at the same number of tokens")
    found = []
    for start in starts:
        if not 0 <= start < 100:
            raise StudyError(f"trends cannot start at {start:g} % of training; give a number from 0 to below 100")
        first = int(np.searchsorted(D, start / 100 * D[-1] * (1.0 - AT_START)))
        found.append(Window(float(start), first, len(D) - first))
    if short := [window for window in found if window.count < FEWEST]:
        latest = 100 * D[-FEWEST] / D[-1]
        raise StudyError(
            f"{of} has {short[0].count} checkpoints from {short[0].start:g} % of training on, a trend needs {FEWEST}; "
            f"start at {np.floor(latest):.0f} % or before, or measure the probe on more checkpoints"
        )
    return found


def starts_that_fit(D: Array, starts: Sequence[float] = STARTS) -> list[float]:
    """Keep the starts that leave enough checkpoints for the rule."""
    if len(D) < FEWEST:
        return []
    return [start for start in starts if start / 100 * D[-1] * (1.0 - AT_START) <= D[-FEWEST]]


def critical_ratio(count: int) -> float:
    """Give the least (explained/residual sum of squares) of a slope that is significant over `count` checkpoints.

    t² = df · explained/residual, so the p-value is below 5 % exactly where the ratio exceeds t²/df.
    """
    from scipy.stats import t

    free = count - 2
    return float(t.ppf(1.0 - SIGNIFICANCE / 2.0, free)) ** 2 / free
