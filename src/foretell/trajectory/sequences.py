"""The perplexity of one kind of text over training and size, with where it halts and where it turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Trend = Literal["falls", "halts", "turns", "too few"]

CHANCE = 0.05  # that a curve is said to fall or rise where it does not, shared among its checkpoints
FEWEST = 3
OPTIONS, RIGHT, WRONG = "options", "right", "wrong"  # how curves of a task's options are called


@dataclass(frozen=True)
class SequenceCurve:
    """Hold the loss of one kind of text on the checkpoints of one size, in order of training.

    `kind` groups texts (noised, options, decoded), `name` is one of them. `D` (c,) tokens, `validation` (c,) the
    validation loss in nats, `loss` (c,) nats a token with its standard error `stderr` (c,) over texts; `change` (c, c)
    is the standard error of the difference between two checkpoints, which the same texts make smaller.
    """

    kind: str
    name: str
    rung: str
    size: float
    D: Array
    validation: Array
    loss: Array
    stderr: Array
    change: Array


@dataclass(frozen=True)
class Turning:
    """Say what a curve does in the end: it falls, it halts (no surer fall after `at`), or it turns and rises from `at`.

    `at` numbers a checkpoint; None where the curve falls to its end. `rise` is the loss at the end less that at the
    lowest, in nats.
    """

    trend: Trend
    at: int | None
    rise: float


@dataclass(frozen=True)
class OptionGap:
    """Hold by how much the wrong options of a task are less likely than the right ones, as one size is trained.

    `gap` (c,) is in nats a token, at `D` (c,) tokens and `validation` (c,) nats.
    """

    task: str
    rung: str
    size: float
    D: Array
    validation: Array
    gap: Array


def option_gaps(curves: Sequence[SequenceCurve]) -> list[OptionGap]:
    """Pair the curves of right and wrong options, by task, smallest size first; others are passed over."""
    known = {(curve.name, curve.rung): curve for curve in curves if curve.kind == OPTIONS}
    made = []
    for (name, rung), right in known.items():
        task = name.removesuffix(f" {RIGHT}")
        wrong = known.get((f"{task} {WRONG}", rung))
        if task != name and wrong is not None:
            made.append(OptionGap(task, rung, right.size, right.D, right.validation, wrong.loss - right.loss))
    return sorted(made, key=lambda one: (one.task, one.size, one.rung))


def curve_of(
    kind: str,
    name: str,
    rung: str,
    size: float,
    D: Sequence[float],
    validation: Sequence[float],
    losses: Sequence[Array],
) -> SequenceCurve:
    """Make a curve of the losses (texts,) in nats a token that each checkpoint gives the same texts."""
    order = np.argsort(np.asarray(D), kind="stable")
    table = np.asarray(losses, np.float64)[order]
    n = table.shape[1]
    apart = (table[:, None, :] - table[None, :, :]).std(axis=2, ddof=1) if n > 1 else np.zeros((len(table),) * 2)
    return SequenceCurve(
        kind=kind,
        name=name,
        rung=rung,
        size=size,
        D=np.asarray(D, np.float64)[order],
        validation=np.asarray(validation, np.float64)[order],
        loss=table.mean(axis=1),
        stderr=(table.std(axis=1, ddof=1) if n > 1 else np.zeros(len(table))) / np.sqrt(n),
        change=apart / np.sqrt(n),
    )


def turning_of(curve: SequenceCurve) -> Turning:
    """Say whether and where a curve halts or turns.

    It turns where the end lies surely above the lowest checkpoint, and halts at the first checkpoint after which no
    later one lies surely below it (5 % shared among the checkpoints, paired over texts), if that is not the last.
    """
    y, change, sure = curve.loss, curve.change, _sure(len(curve.loss))
    last = len(y) - 1
    if len(y) < FEWEST:
        return Turning("too few", None, 0.0)
    low = int(np.argmin(y))
    rise = float(y[last] - y[low])
    if low < last and rise > sure * change[low, last]:
        return Turning("turns", low, rise)
    for at in range(last):
        if not (y[at + 1 :] < y[at] - sure * change[at, at + 1 :]).any():
            return Turning("halts", at, rise)
    return Turning("falls", None, rise)


def turns_over_size(curves: Sequence[SequenceCurve]) -> bool:
    """Say whether a text of one name grows less likely with size: inverse scaling.

    The loss at the end of each curve's training rises with log N (a slope with one-sided p < .05, three curves or more)
    and is higher at the largest size than at the smallest.
    """
    from scipy.stats import linregress

    ends = sorted((curve.size, float(curve.loss[-1])) for curve in curves)
    if len({size for size, _ in ends}) < FEWEST:
        return False
    line = linregress(np.log([size for size, _ in ends]), [loss for _, loss in ends])
    return bool(line.slope > 0 and line.pvalue / 2 < CHANCE and ends[-1][1] > ends[0][1])


def _sure(count: int) -> float:
    """Give the standard errors by which one of so many must differ."""
    return NormalDist().inv_cdf(1.0 - CHANCE / max(1, count - 1))
