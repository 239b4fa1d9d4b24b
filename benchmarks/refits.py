"""Bootstrap refits of the 240-point Chinchilla fit: this package against scipy with an analytic gradient, same work.

Run: python benchmarks/refits.py
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # scipy's side is one thread: its CPU time is then its wall time

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
from scipy.optimize import minimize

from foretell.fitting import fit
from foretell.fitting.fit import refit
from foretell.laws import LAWS
from protocols import protocol

REFITS = 4000
PEER_REFITS = 200  # of the same resamples; the peer's time a refit does not depend on how many
ROUNDS = 5
DELTA = 1e-3


def peer_objective(log_N: Any, log_D: Any, log_L: Any, weight: Any) -> Callable[[Any], tuple[float, Any]]:
    """Write the usual log-sum-exp objective with its gradient, as in the published notebooks."""

    def objective(theta: Any) -> tuple[float, Any]:
        a, b, e, alpha, beta = theta
        terms = np.stack([a - alpha * log_N, b - beta * log_D, np.full_like(log_N, e)])
        top = terms.max(axis=0)
        parts = np.exp(terms - top)
        total = parts.sum(axis=0)
        share = parts / total
        r = top + np.log(total) - log_L
        inside = np.abs(r) <= DELTA
        value = np.where(inside, 0.5 * r * r, DELTA * (np.abs(r) - 0.5 * DELTA))
        slope = weight * np.where(inside, r, DELTA * np.sign(r))
        gradient = np.array(
            [
                slope @ share[0],
                slope @ share[1],
                slope @ share[2],
                -slope @ (share[0] * log_N),
                -slope @ (share[1] * log_D),
            ]
        )
        return float(weight @ value), gradient

    return objective


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Give a result with the wall and CPU seconds that it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    points = protocol("chinchilla").fit.metric("loss")
    law = LAWS["chinchilla"]
    made = fit(law, points)
    n = len(points)
    weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=REFITS).astype(float)
    refit(made, weights=weights[:8])  # compiled or loaded
    rounds = [timed(lambda: refit(made, weights=weights)) for _ in range(ROUNDS)]
    draws, wall, cpu = min(rounds, key=lambda round_: round_[1])
    print(f"this package: {REFITS} refits, {1e3 * wall / REFITS:.4f} ms wall, {1e3 * cpu / REFITS:.4f} ms CPU a refit")

    log_N, log_D = np.log(points.input("N")), np.log(points.input("D"))
    log_L = np.log(points.value)
    c = made.coefficients
    start = np.array([np.log(c["A"]), np.log(c["B"]), np.log(c["E"]), c["alpha"], c["beta"]])
    names = law.coefficients
    print("| peer | ms a refit | CPU ratio | wall ratio | peer's objective above ours, median | largest |")
    print("|---|---|---|---|---|---|")
    for method in ("BFGS", "L-BFGS-B"):
        tolerance = {"gtol": 1e-9} if method == "BFGS" else {"gtol": 1e-12, "ftol": 1e-15}

        def work(method: str = method, tolerance: dict[str, float] = tolerance) -> list[float]:
            return [
                minimize(peer_objective(log_N, log_D, log_L, w), start, jac=True, method=method, options=tolerance).fun
                for w in weights[:PEER_REFITS]
            ]

        found, peer_wall, peer_cpu = timed(work)
        excess = []
        for w, draw, value in zip(weights, draws, found, strict=False):
            d = dict(zip(names, draw, strict=True))
            ours = np.array([np.log(d["A"]), np.log(d["B"]), np.log(d["E"]), d["alpha"], d["beta"]])
            excess.append(value / peer_objective(log_N, log_D, log_L, w)(ours)[0] - 1)
        per_wall, per_cpu = peer_wall / PEER_REFITS, peer_cpu / PEER_REFITS
        print(
            f"| scipy {method} | {1e3 * per_cpu:.2f} | {per_cpu / (cpu / REFITS):.0f} × "
            f"| {per_wall / (wall / REFITS):.0f} × | {np.median(excess):.1e} | {max(excess):.1e} |"
        )


if __name__ == "__main__":
    main()
