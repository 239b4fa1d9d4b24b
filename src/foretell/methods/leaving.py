"""Leaving: a test at every look whether a run still does what was forecast of it, with one false-alarm rate for all."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError, MethodError

Array = NDArray[np.float64]

RATE = 0.05  # of false alarms over the whole run
FIRST = 0.05  # of the run: where the first forecast is frozen
STEP = 1.25  # each look has a quarter more steps than the last
FREEDOM = 8.0  # of Student's t: a forecast that fails, fails by more than a normal says
HALF = 3  # looks ago: about half as long a run, which has not yet learned from a drift to expect it
TESTS = 3  # a look: against the forecasts of the look before, of half the length, and the first


@dataclass(frozen=True)
class Look:
    """Hold one test: what was measured around a place of the run, and what a forecast frozen earlier said of it.

    `score` is the distance in standard deviations of log loss, positive where the run is worse than forecast; `p` its
    two-sided p-value under Student's t.
    """

    at: float
    measured: float
    forecast: float
    score: float
    p: float
    frozen: float


@dataclass(frozen=True)
class Watch:
    """Hold every look, and the first that raised the alarm; `rate` bounds the chance of any false alarm in a run."""

    looks: tuple[Look, ...]
    alarm: Look | None
    rate: float
    length: float

    @property
    def said(self) -> str:
        """Say in one sentence whether the run left its forecast."""
        if self.alarm is None:
            return (
                f"it does what was forecast ({len(self.looks)} looks; false alarms in at most {self.rate:.0%} of runs)"
            )
        side = "worse" if self.alarm.score > 0 else "better"
        return (
            f"it left its forecast at {self.alarm.at / self.length:.0%} of its length: {self.alarm.measured:.4g} "
            f"measured, {self.alarm.forecast:.4g} forecast at {self.alarm.frozen / self.length:.0%}, "
            f"{abs(self.alarm.score):.1f} standard deviations {side} (false alarms in at most {self.rate:.0%} of runs)"
        )


def watch(
    x: Array, loss: Array, length: float, forecast: Callable[[float, Array], tuple[Array, Array]], *,
    rate: float = RATE, first: float = FIRST,
) -> Watch:  # fmt: skip
    """Test at growing lengths whether what was measured since agrees with what was forecast before.

    Losses (n,) were measured at rising `x` (n,), steps or tokens, of a run of `length`. `forecast` takes how far may be
    seen and where to look ahead (m,), and gives log loss (m,) and its standard deviation (m,); FitError or MethodError
    where too little is seen. At each look the median of the losses since the last one is set beside three frozen
    forecasts: the last look's, that of about half the length, and the first. Each test of the whole run's plan has an
    equal part of `rate` (Bonferroni), so no dependence between looks can raise it. Raises MethodError for a rate
    outside 0..1.
    """
    if not 0 < rate < 1:
        raise MethodError(f"a false-alarm rate of {rate} is not between 0 and 1; give one such as 0.05")
    ends = looks_of(x, length, first)
    planned = max(1, math.ceil(math.log(1.0 / first) / math.log(STEP)))
    each = rate / (planned * TESTS)
    frozen: list[tuple[float, Array, Array, Array]] = []
    looks: list[Look] = []
    for i, (end, after) in enumerate(pairwise(ends)):
        ahead = np.array([_middle(x, a, b) for a, b in pairwise(ends[i:])])
        try:
            frozen.append((end, ahead, *forecast(end, ahead)))
        except (FitError, MethodError):
            if not frozen:
                continue
        middle, measured = _middle(x, end, after), float(np.median(loss[(x > end) & (x <= after)]))
        earlier = (frozen[-1], frozen[-1 - HALF] if len(frozen) > HALF else frozen[0], frozen[0])
        for at, places, log_loss, spread in {one[0]: one for one in earlier}.values():
            place = int(np.argmin(np.abs(places - middle)))
            score = (math.log(measured) - float(log_loss[place])) / float(spread[place])
            looks.append(Look(middle, measured, math.exp(float(log_loss[place])), score, _p(score), at))
    alarm = next((look for look in looks if look.p < each), None)
    return Watch(tuple(looks), alarm, rate, length)


def looks_of(x: Array, length: float, first: float) -> list[float]:
    """Give where the looks end: from the first share of the run on, each a quarter later, up to what was seen."""
    ends: list[float] = []
    at = max(first * length, float(x[0]))
    while at < x[-1]:
        if not ends or ((x > ends[-1]) & (x <= at)).any():
            ends.append(at)
        at *= STEP
    return [*ends, float(x[-1])] if ends else []


def _middle(x: Array, after: float, upto: float) -> float:
    """Give where a smooth curve has the median loss of a stretch; a single spike moves neither."""
    return float(np.median(x[(x > after) & (x <= upto)]))


def _p(score: float) -> float:
    from scipy.special import stdtr

    return float(2.0 * stdtr(FREEDOM, -abs(score)))
