"""The pass@k law: how often one of k attempts is right, from compute (arXiv 2512.08894, Eq. 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError

Array = NDArray[np.float64]

COEFFICIENTS = 4


@dataclass(frozen=True)
class Attempts:
    """Hold one run's attempts: `tried` (i,) a question and `right` (i,) of them. Raises FitError for other counts."""

    run: str
    C: float
    tried: NDArray[np.int64]
    right: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.tried.shape != self.right.shape or not len(self.tried):
            raise FitError(f"run {self.run!r} has {len(self.tried)} questions tried and {len(self.right)} counted")
        if (self.tried < 1).any() or (self.right < 0).any() or (self.right > self.tried).any():
            raise FitError(f"run {self.run!r} has a question with fewer than no, or more than all, attempts right")
        if not (np.isfinite(self.C) and self.C > 0):
            raise FitError(f"run {self.run!r} has C = {self.C}; it must be a positive number of FLOP")

    def pass_at(self, k: int) -> float:
        """Estimate without bias the share of questions that one of k attempts gets right.

        Source: Chen 2021, arXiv 2107.03374, Eq. 1. Raises FitError when a question was tried fewer than k times.
        """
        if not 1 <= k <= int(self.tried.min()):
            least = int(self.tried.min())
            raise FitError(f"pass@{k} of run {self.run!r} cannot be told: some question was tried {least} times")
        wrong = (self.tried - self.right).astype(np.float64)
        missed = np.ones(len(wrong))
        for i in range(k):  # C(wrong, k) / C(tried, k), factor by factor
            missed *= np.maximum(wrong - i, 0.0) / (self.tried - i)
        return float(1.0 - missed.mean())


@dataclass(frozen=True)
class PassLaw:
    """Hold log(−log Q) = log A + alpha log C + beta log k + delta log C log k; `left_out` names what had no such Q."""

    log_A: float
    alpha: float
    beta: float
    delta: float
    spread: float
    left_out: tuple[str, ...]

    def share(self, C: float, k: float) -> float:
        """Compute the share of questions that one of k attempts gets right at a compute."""
        x, y = np.log(C), np.log(k)
        return float(np.exp(-np.exp(self.log_A + self.alpha * x + self.beta * y + self.delta * x * y)))


def fit_pass_at_k(attempts: Sequence[Attempts], ks: Sequence[int]) -> PassLaw:
    """Fit Eq. 5 by least squares to every run at every k; a share of 0 or 1 has no such logarithm, and is named.

    Raises FitError for too few shares, runs of one compute, or a single k.
    """
    rows, left_out = [], []
    for one in sorted(attempts, key=lambda run: (run.C, run.run)):
        for k in sorted(set(ks)):
            share = one.pass_at(k)
            if 0.0 < share < 1.0:
                rows.append((np.log(one.C), np.log(k), np.log(-np.log(share))))
            else:
                left_out.append(f"{one.run}, k = {k}: {share:.0%}")
    if len(rows) <= COEFFICIENTS:
        raise FitError(
            f"{len(rows)} shares cannot carry the {COEFFICIENTS} coefficients of the pass@k law; add runs or other k"
            + (f"; left out, as 0 and 1 have no such logarithm: {'; '.join(left_out[:3])}" if left_out else "")
        )
    x, y, z = np.array(rows).T
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        raise FitError("the pass@k law needs runs of several computes, and several k")
    middle = float(x.mean())  # centred, so that C and k are told apart to full precision
    columns = np.stack([np.ones(len(x)), x - middle, y, (x - middle) * y], axis=1)
    found = np.linalg.lstsq(columns, z, rcond=None)[0]
    level, alpha, slope, delta = (float(value) for value in found)
    residuals = z - columns @ found
    return PassLaw(
        log_A=level - alpha * middle,
        alpha=alpha,
        beta=slope - delta * middle,
        delta=delta,
        spread=float(np.sqrt(np.sum(residuals**2) / max(1, len(z) - COEFFICIENTS))),
        left_out=tuple(left_out),
    )
