"""The learning rate of every step of a run, with the sums of it that laws of annealing need."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FormulaError
from foretell.laws.law import Coefficient, Law

Array = NDArray[np.float64]

MEMORY = 0.999  # λ: 2408.11029 (RECALL)


@dataclass(frozen=True)
class Schedule:
    """Hold the learning rate `lr` (T,) of optimiser steps 1…T, of which the first `warmup` warm up.

    Raises FormulaError when a rate is negative or not finite, all are zero, or the warm-up is no part of the run.
    """

    lr: Array
    warmup: int = 0

    def __post_init__(self) -> None:
        if self.lr.ndim != 1 or not len(self.lr) or not (np.isfinite(self.lr) & (self.lr >= 0)).all():
            raise FormulaError("a schedule is one finite learning rate ≥ 0 for each step")
        if not 0 <= self.warmup < len(self.lr):
            raise FormulaError(f"a run of {len(self.lr)} steps cannot warm up for {self.warmup} of them")
        if not self.lr[self.warmup :].any():
            raise FormulaError("the learning rate is zero after the warm-up; nothing would be learned")

    def __len__(self) -> int:
        return len(self.lr)

    @classmethod
    def recorded(cls, step: Array, lr: Array, warmup: int = 0, warmup_lr: float = 0.0) -> Schedule:
        """Make a schedule of rates `lr` (n,) recorded at `step` (n,), linear in between.

        Before the first record it is a linear warm-up from `warmup_lr` over `warmup` steps to the first rate, which it
        keeps from there on. Raises FormulaError when the steps do not rise.
        """
        step, lr = np.asarray(step, dtype=np.float64), np.asarray(lr, dtype=np.float64)
        if len(step) != len(lr) or not len(step) or (np.diff(step) <= 0).any() or step[0] < 1:
            raise FormulaError("recorded steps must rise from at least 1, with one learning rate each")
        every = np.arange(1, int(step[-1]) + 1, dtype=np.float64)
        return cls(_warm(np.interp(every, step, lr), warmup, warmup_lr), warmup)

    @classmethod
    def constant(cls, steps: int, peak: float, warmup: int = 0) -> Schedule:
        """Make a schedule that stays at its peak."""
        return cls(_warm(np.full(steps, float(peak)), warmup), warmup)

    @classmethod
    def cosine(cls, steps: int, peak: float, final: float, warmup: int = 0) -> Schedule:
        """Make a schedule that falls to `final` on half a cosine."""
        share = _share_after(steps, warmup)
        lr = final + 0.5 * (peak - final) * (1.0 + np.cos(math.pi * share))
        return cls(_warm(lr, warmup), warmup)

    @classmethod
    def stable_decay(
        cls, steps: int, peak: float, final: float, decay_from: int, warmup: int = 0, *, linear: bool = False
    ) -> Schedule:
        """Make a schedule that is stable up to step `decay_from`, then falls to `final` by a factor or a line."""
        if not warmup <= decay_from < steps:
            raise FormulaError(f"a decay from step {decay_from} does not lie between warm-up {warmup} and end {steps}")
        share = np.clip((np.arange(1, steps + 1) - decay_from) / (steps - decay_from), 0.0, 1.0)
        lr = peak + (final - peak) * share if linear else peak * (final / peak) ** share
        return cls(_warm(lr, warmup), warmup)

    @classmethod
    def two_stage(cls, steps: int, first: float, second: float, drop_at: int, warmup: int = 0) -> Schedule:
        """Make a schedule with one rate before step `drop_at` and another from it on."""
        if not warmup < drop_at <= steps:
            raise FormulaError(f"a drop at step {drop_at} does not lie between warm-up {warmup} and end {steps}")
        every = np.arange(1, steps + 1)
        return cls(_warm(np.where(every < drop_at, float(first), float(second)), warmup), warmup)

    @cached_property
    def area(self) -> Array:
        """Give S(t) (T + 1,): the sum of rates up to and with step t, warm-up included; S(0) = 0."""
        return np.concatenate([[0.0], np.cumsum(self.lr)])

    @cached_property
    def drops(self) -> Array:
        """Give η_(t−1) − η_t (T,), negative where the rate rises; η_0 = 0."""
        return -np.diff(self.lr, prepend=0.0)

    @property
    def anneals(self) -> bool:
        """Say whether the rate ever falls."""
        return bool((self.drops[self.warmup :] > 0).any())

    def at(self, steps: Array) -> NDArray[np.intp]:
        """Give steps as whole numbers; raises FormulaError for one outside 1…T."""
        whole = np.asarray(np.rint(np.asarray(steps, dtype=np.float64)), dtype=np.intp)
        if len(whole) and not (whole.min() >= 1 and whole.max() <= len(self)):
            raise FormulaError(f"steps {whole.min()} to {whole.max()} do not lie within the schedule's 1…{len(self)}")
        return whole


def _share_after(steps: int, warmup: int) -> Array:
    return np.clip((np.arange(1, steps + 1) - warmup) / max(1, steps - warmup), 0.0, 1.0)


def _warm(lr: Array, warmup: int, lowest: float = 0.0) -> Array:
    if warmup:
        rising = lowest + (lr[warmup - 1] - lowest) * np.arange(1, warmup + 1) / warmup
        lr = np.concatenate([rising, lr[warmup:]])
    return lr


def annealing_inputs(schedule: Schedule, steps: Array, memory: float = MEMORY) -> dict[str, Array]:
    """Give `S1` (n,), the area under the learning rate up to each step, and `S2` (n,), its annealing area.

    S2(t) = Σ_(i≤t) m_i, m_i = λ m_(i−1) + η_(i−1) − η_i, with λ = `memory` in 0..1 (2408.11029). The warm-up
    anneals nothing: so the 25M curves fit better (measured). Raises FormulaError for another λ or a step outside the
    schedule.
    """
    from scipy.signal import lfilter

    if not 0.0 <= memory < 1.0:
        raise FormulaError(f"the memory λ of annealing is {memory}; it lies in 0..1, below 1")
    at = schedule.at(steps)
    drops = schedule.drops.copy()
    drops[: max(1, schedule.warmup)] = 0.0
    momentum = np.asarray(lfilter([1.0], [1.0, -memory], drops), dtype=np.float64)
    return {"S1": schedule.area[at], "S2": np.cumsum(momentum)[at - 1]}


ANNEALING = Law(
    "annealing",
    "L0 + A*S1**(-alpha) - C_S2*S2",
    {
        "L0": Coefficient(start=(0.5, 4.0), unit="nats/token"),
        "A": Coefficient(start=(0.05, 5.0), unit="nats/token · rate^alpha"),
        "alpha": Coefficient(start=(0.1, 1.0), unit="1"),
        "C_S2": Coefficient(start=(0.01, 5.0), unit="nats/token / rate"),
    },
    source="Tissue 2024, arXiv 2408.11029, Eq. 1 (RECALL); its C is called C_S2 here, C being compute",
    note="One model size and one batch: the loss of any step from the learning rates before it.",
    inputs=frozenset({"S1", "S2"}),
)

SCHEDULE_LAWS: tuple[Law, ...] = (ANNEALING,)
