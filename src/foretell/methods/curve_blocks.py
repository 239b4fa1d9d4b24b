"""Blocks: the part of a run that was seen, as means over stretches that a curve is fitted to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError
from foretell.methods.part_curve import PartCurve

Array = NDArray[np.float64]

BLOCKS = 40  # means over this many stretches of the part seen: neighbours within one say the same
LEAST_BLOCKS = 4
WARM_SHARE = 1.5  # warm-ups that are left out at the beginning: the law does not describe them
JUMP, SETTLED = 0.2, 0.01  # of the peak rate, within this share of the run: a drop just after which the law is no guide
SPIKE, LEAST_SPIKE = 10.0, 0.01  # a loss so many times the noise, and so far, above the median of five, is none to fit
AROUND = 2  # neighbours on either side


@dataclass(frozen=True)
class Blocks:
    """Hold the mean log loss (k,) of stretches of the part seen, at their middle steps.

    `spread` is the noise of a block, `single` that of one loss, `spikes` how many losses were left out as such.
    """

    step: Array
    log_loss: Array
    spread: float
    single: float
    spikes: int

    @cached_property
    def last(self) -> float:
        """Give the log loss of the last block."""
        return float(self.log_loss[-1])


def blocks_of(part: PartCurve) -> Blocks:
    """Take means over stretches of the part seen after its warm-up; raises FitError where too little was seen."""
    skipped = WARM_SHARE * part.schedule.warmup
    kept = (part.step > min(skipped, 0.5 * part.step[-1])) & ~_jumped(part)
    step, log_loss = part.step[kept], np.log(part.loss[kept])
    single = _noise(log_loss)
    spiked = _spiked(log_loss, single)
    step, log_loss = step[~spiked], log_loss[~spiked]
    k = min(BLOCKS, len(step))
    if k < LEAST_BLOCKS:
        raise FitError(
            f"only {len(step)} losses of {part.name!r} were measured after its warm-up; a curve needs {LEAST_BLOCKS}"
        )
    places = np.array_split(np.arange(len(step)), k)
    middle = np.rint([step[rows].mean() for rows in places])
    means = np.array([log_loss[rows].mean() for rows in places])
    return Blocks(middle, means, single / np.sqrt(max(1.0, len(step) / k)), single, int(spiked.sum()))


def _noise(log_loss: Array) -> float:
    """Give the standard deviation of one loss from the second differences of what is a smooth curve without."""
    steady = np.diff(log_loss, n=2) if len(log_loss) > 2 else np.zeros(1)
    return float(np.median(np.abs(steady)) / (0.6745 * np.sqrt(6.0)))


def _spiked(log_loss: Array, single: float) -> NDArray[np.bool_]:
    """Say which losses (n,) stand alone far above their neighbours; the first and last two are never taken for one."""
    spiked = np.zeros(len(log_loss), dtype=np.bool_)
    if len(log_loss) > 2 * AROUND:
        windows = np.lib.stride_tricks.sliding_window_view(log_loss, 2 * AROUND + 1)
        above = log_loss[AROUND:-AROUND] - np.median(windows, axis=1)
        spiked[AROUND:-AROUND] = above > max(SPIKE * single, LEAST_SPIKE)
    return spiked


def _jumped(part: PartCurve) -> NDArray[np.bool_]:
    """Say which rows (n,) were measured just after the rate jumped, where a step more or less decides what they are."""
    lr = part.schedule.lr
    now = np.clip(part.step.astype(np.intp), 0, len(lr) - 1)
    before = np.maximum(now - int(np.ceil(SETTLED * len(lr))), 0)
    return np.asarray(np.abs(lr[now] - lr[before]) > JUMP * lr.max())
