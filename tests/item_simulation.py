"""Simulated items: questions of known scaling classes, asked of small models, with the truth at a large one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foretell.methods.item_outcomes import ItemOutcomes

Array = NDArray[np.float64]

C_SMALL = np.geomspace(1e19, 3e21, 8)
C_TARGET = 6e23
CLASSES = ("easy", "middle", "hard", "flat", "late", "noisy")
RISING = {"easy": (0.10, 1.2, 0.30, 0.02), "middle": (0.05, 3.0, 0.28, 0.04), "hard": (0.01, 6.0, 0.26, 0.03)}
SIZES = {"easy": 120, "middle": 160, "hard": 160, "flat": 60, "late": 60, "noisy": 80}


def rate_of(kind: str, C: Array, rng: np.random.Generator) -> Array:
    """Give the true pass rates of one item of a class at computes C."""
    x = C / C_SMALL[0]
    if kind in RISING:
        g, a, b, c = RISING[kind]
        a = a * np.exp(0.08 * rng.normal())
        return g + (1.0 - g) * np.exp(-a * x**-b - c)
    if kind == "flat":
        return np.full(len(C), 0.3)
    if kind == "late":  # nothing below 1e22 FLOP, then half solved at the target
        return 0.55 / (1.0 + np.exp(-2.5 * (np.log(C) - np.log(2e23))))
    return rng.uniform(0.05, 0.95, size=len(C))


def simulated(
    seed: int = 0, *, trials: int = 100, sizes: dict[str, int] | None = None
) -> tuple[ItemOutcomes, float, NDArray[np.str_]]:
    """Give outcomes on eight small models, the true full score at 6e23 FLOP, and each item's class."""
    rng = np.random.default_rng(seed)
    kinds = np.array([kind for kind, count in (sizes or SIZES).items() for _ in range(count)])
    C = np.append(C_SMALL, C_TARGET)
    truth = np.array([rate_of(kind, C, rng) for kind in kinds])
    rates = rng.binomial(trials, truth[:, :-1]) / trials
    names = [f"item {i:04d}" for i in range(len(kinds))]
    runs = [f"model {i}" for i in range(len(C_SMALL))]
    return ItemOutcomes.of("task/acc", names, runs, C_SMALL, rates, trials), float(truth[:, -1].mean()), kinds
