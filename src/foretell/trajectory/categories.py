"""The category of every token of a probe, at each starting point of the rule."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.errors import StudyError
from foretell.trajectory.losses import TokenLosses, not_a_number
from foretell.trajectory.rule import STARTS, Category, Window, critical_ratio, windows_of

Array = NDArray[np.float64]
Codes = NDArray[np.uint8]


@dataclass(frozen=True)
class Categories:
    """Hold the category of each token at each start: `codes` (starts, tokens), numbers of `Category`.

    `D` (starts,) are the training tokens of the checkpoint at which each window begins.
    """

    run: str
    windows: tuple[Window, ...]
    D: Array
    codes: Codes
    counts: NDArray[np.int64]

    @property
    def starts(self) -> tuple[float, ...]:
        """Give the starts in % of training."""
        return tuple(window.start for window in self.windows)

    @property
    def shares(self) -> Array:
        """Give the share of the tokens in each category at each start (starts, 4)."""
        return np.asarray(self.counts / self.counts.sum(1, keepdims=True))

    def tokens_in(self, category: Category, start: float) -> NDArray[np.bool_]:
        """Mark the tokens (tokens,) of a category at a start; raises StudyError for a start not computed."""
        if start not in self.starts:
            raise StudyError(f"run {self.run!r} was not classified from {start:g} % on; starts: {self.starts}")
        return np.asarray(self.codes[self.starts.index(start)] == category)


def classify(losses: TokenLosses, starts: Sequence[float] = STARTS, *, threads: int | None = None) -> Categories:
    """Classify every token from every start on.

    With j the first checkpoint after p % of training and i ≥ j the later ones, by number, ordinary least squares of
    PPL_i/PPL_j on i − j: a slope with p < .05 is upward or downward; else a token whose fitted values at the first and
    the last checkpoint lie within 5 % of its geometric mean is stagnated, and any other is other (2212.09803, §3).
    Sums are float64. Raises StudyError as `windows_of` does, and for losses that are no numbers.
    """
    from foretell.trajectory.sweep import LOSSES, PERPLEXITIES, sweep

    asked = windows_of(losses.D, starts, run=losses.run)
    order = sorted(range(len(asked)), key=lambda at: asked[at].first)
    firsts = np.array([asked[at].first for at in order], np.int64)
    ratios = np.array([critical_ratio(asked[at].count) for at in order])
    codes = np.empty((len(asked), losses.tokens), np.uint8)
    counts = np.zeros((len(asked), len(Category)), np.int64)

    def run(block: tuple[int, int]) -> NDArray[np.int64]:
        first, last = block
        mine = np.zeros_like(counts)
        into = np.empty((len(asked), last - first), np.uint8)
        bits = losses.read(first, last).view(np.uint16)
        at = int(sweep(bits, firsts, ratios, PERPLEXITIES, LOSSES, into, mine))
        if at >= 0:
            checkpoint, token = divmod(at, last - first)
            raise not_a_number(losses.run, losses.D[checkpoint], first + token)
        codes[order, first:last] = into
        return mine

    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        for mine in pool.map(run, losses.blocks()):
            counts[order] += mine
    return Categories(losses.run, tuple(asked), np.array([losses.D[w.first] for w in asked]), codes, counts)
