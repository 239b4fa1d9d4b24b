"""The learning rate over a run: warm-up, then a plateau with a cool-down at its end, or a cosine."""

from __future__ import annotations

import math
from typing import Literal

ScheduleName = Literal["wsd", "cosine"]
COSINE_FLOOR = 0.1  # of the peak, where a cosine ends (2203.15556, App. B)


def cooldown_steps(steps: int, share: float) -> int:
    """Count the steps of a run's cool-down: a share of the run, at least one."""
    return max(1, round(share * steps))


def warmed(step: int, warmup: int) -> float:
    """Give the share of the peak learning rate that a linear warm-up allows at a step, counted from 0."""
    return min(1.0, (step + 1) / warmup) if warmup else 1.0


def wsd_share(step: int, steps: int, warmup: int, share: float) -> float:
    """Give the learning rate at a step, over its peak: warm-up, plateau, and 1 − √t over the cool-down.

    The cool-down takes the last `share` of `steps`; before it the rate does not depend on where the run ends, so that
    one trunk serves every end. Source: 2405.18392, Eq. (1) and §4 (1 − sqrt is their best shape).
    """
    start = steps - cooldown_steps(steps, share)
    if step < start:
        return warmed(step, warmup)
    done = (step - start + 1) / (steps - start)
    return warmed(step, warmup) * (1.0 - math.sqrt(done)) if done < 1 else 0.0


def cosine_share(step: int, steps: int, warmup: int) -> float:
    """Give the learning rate at a step, over its peak: warm-up, then half a cosine down to a tenth."""
    if step < warmup:
        return warmed(step, warmup)
    done = (step - warmup) / max(1, steps - warmup)
    return COSINE_FLOOR + (1.0 - COSINE_FLOOR) * 0.5 * (1.0 + math.cos(math.pi * done))
