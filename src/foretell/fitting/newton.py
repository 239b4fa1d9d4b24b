"""A damped Newton method over a batch of problems that share one kernel."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit, types
from numba.core.types import FunctionType
from numpy.typing import NDArray

from foretell.fitting.coordinates import LARGEST, LOG, LOGIT, NEAREST, PLAIN, Coordinates
from foretell.fitting.shear import shear, shear_slopes

Array = NDArray[np.float64]

MOST_STEPS = 400
LONGEST = 1.5  # of a step, in logarithms
# with a majorised kernel (each measured on the draws of 93 public fits):
RIDGE = 1e-3  # added to the parabola's diagonal, where no row sees a coefficient
SHRINK = 0.5  # of the damping after a step that won what was foretold; 0.2 without
ENOUGH = 1e-9  # of the objective: what a barely damped step must promise; a hundred times more saves 3 % of the time
CONVERGED, STUCK, OUT_OF_STEPS, LOST = 0, 1, 2, 3

_KERNEL = FunctionType(
    types.void(
        types.float64[::1],
        types.Array(types.float64, 2, "C"),
        types.float64[::1],
        types.float64[::1],
        types.float64,
        types.int64,
        types.float64[::1],
    )
)
_MATRIX = types.Array(types.float64, 2, "C")
_FASTMATH = {"contract"}


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FASTMATH)
def _to_natural(u, kind, low, high, theta, slope, curve):  # type: ignore[no-untyped-def]
    for i in range(len(u)):
        if kind[i] == LOG:
            e = np.exp(u[i])
            theta[i] = low[i] + e
            slope[i] = e
            curve[i] = e
        elif kind[i] == LOGIT:
            s = 1.0 / (1.0 + np.exp(-u[i]))
            width = high[i] - low[i]
            theta[i] = low[i] + width * s
            slope[i] = width * s * (1.0 - s)
            curve[i] = slope[i] * (1.0 - 2.0 * s)
        else:
            theta[i] = u[i]
            slope[i] = 1.0
            curve[i] = 0.0


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FASTMATH)
def _cholesky_solve(H, g, damping, factor, step):  # type: ignore[no-untyped-def]
    """Solve (H + damping) step = -g; say whether the matrix is positive definite."""
    q = len(g)
    for i in range(q):
        for j in range(i + 1):
            total = H[i, j] + damping[i, j]
            for k in range(j):
                total -= factor[i, k] * factor[j, k]
            if i == j:
                if not total > 1e-14 * (abs(H[i, i]) + damping[i, i]) or not np.isfinite(total):
                    return False
                factor[i, i] = np.sqrt(total)
            else:
                factor[i, j] = total / factor[j, j]
    for i in range(q):
        total = -g[i]
        for k in range(i):
            total -= factor[i, k] * step[k]
        step[i] = total / factor[i, i]
    for i in range(q - 1, -1, -1):
        total = step[i]
        for k in range(i + 1, q):
            total -= factor[k, i] * step[k]
        step[i] = total / factor[i, i]
    return True


@njit(
    types.void(
        _KERNEL, _MATRIX, _MATRIX, _MATRIX, types.float64[::1], _MATRIX,
        types.int64[::1], types.float64[::1], types.float64[::1],
        types.float64[::1], types.float64[::1], types.Array(types.int64, 2, "C"), types.float64[::1],
        types.int64, types.int64, types.int64, types.boolean,
        _MATRIX, types.float64[::1], types.int64[::1], types.int64[::1],
    ),
    cache=True, nogil=True, error_model="numpy", fastmath=_FASTMATH,
)  # fmt: skip
def _minimise_range(  # type: ignore[no-untyped-def]
    kernel, X, targets, weights, parameters, starts, kind, low, high, centre, precision, pair, at, begin, end,
    most_steps, majorised, best, objective, status, steps,
):  # fmt: skip
    f_count, n = X.shape
    q = starts.shape[1]
    size = 1 + q + q * (q + 1) // 2 * (2 if majorised else 1)
    out = np.empty(size)
    u, trial, v, ahead = np.empty(q), np.empty(q), np.empty(q), np.empty(q)
    theta, slope, curve = np.empty(q), np.empty(q), np.empty(q)
    g, step = np.empty(q), np.empty(q)
    H, factor = np.empty((q, q)), np.empty((q, q))
    metric, damping = np.zeros((q, q)), np.zeros((q, q))
    rows, row_target, row_weight = np.empty((f_count, n)), np.empty(n), np.empty(n)
    for b in range(begin, end):
        # rows with weight zero (left out by a resample) are not visited
        w, y = weights[b % len(weights)], targets[b % len(targets)]
        parameter = parameters[b % len(parameters)]
        m = 0
        for i in range(n):
            if w[i] != 0.0:
                for f in range(f_count):
                    rows[f, m] = X[f, i]
                row_target[m] = y[i]
                row_weight[m] = w[i]
                m += 1
        for i in range(q):
            trial[i] = starts[b, i]
        mu = 0.0
        value = np.inf
        state = OUT_OF_STEPS
        count = 0
        predicted = 0.0
        while count < most_steps:
            count += 1
            _to_natural(trial, kind, low, high, theta, slope, curve)
            kernel(theta, rows, row_target, row_weight, parameter, m, out)
            new = out[0]
            for i in range(q):
                away = trial[i] - centre[i]
                new += 0.5 * precision[i] * away * away
            gain = value - new
            if np.isfinite(new) and (gain >= 0.0 or value == np.inf):
                ratio = gain / predicted if predicted > 0.0 else 1.0
                if value < np.inf and ratio > 0.7:
                    mu = mu * (SHRINK if majorised else 0.2) if mu > 1e-7 else 0.0
                elif ratio < 0.2:
                    mu = max(3.0 * mu, 1e-4)
                small = value < np.inf and gain <= 1e-15 * abs(new) and predicted <= 1e-13 * abs(new)
                value = new
                for i in range(q):
                    u[i] = trial[i]
                    g[i] = out[1 + i] * slope[i] + precision[i] * (u[i] - centre[i])
                k = 1 + q
                for i in range(q):
                    for j in range(i, q):
                        H[j, i] = H[i, j] = out[k] * slope[i] * slope[j]
                        k += 1
                    H[i, i] += out[1 + i] * curve[i] + precision[i]
                if majorised:
                    for i in range(q):
                        for j in range(i, q):
                            metric[j, i] = metric[i, j] = out[k] * slope[i] * slope[j]
                            k += 1
                        metric[i, i] += precision[i]
                else:
                    metric[:, :] = 0.0
                shear_slopes(u, kind, pair, at, slope, curve, theta, g, H, metric)
                shear(u, kind, low, high, pair, at, 1.0, v)
                for i in range(q):
                    metric[i, i] = metric[i, i] * (1.0 + RIDGE) if majorised else abs(H[i, i])
                if small:
                    state = CONVERGED
                    break
            elif value == np.inf:
                state = LOST
                break
            else:
                if predicted <= 1e-14 * abs(value):
                    state = CONVERGED
                    break
                mu = max(5.0 * mu, 1e-4)
            found = False
            while mu < 1e12:
                for i in range(q):
                    for j in range(i):
                        damping[i, j] = mu * metric[i, j]
                    damping[i, i] = mu * (metric[i, i] + 1e-12 * abs(value))
                if _cholesky_solve(H, g, damping, factor, step):
                    found = True
                    break
                mu = max(4.0 * mu, 1e-5)
            if not found:
                state = STUCK
                break
            longest = 0.0
            for i in range(q):
                longest = max(longest, abs(step[i]) / (1.0 if kind[i] != PLAIN else 0.5 * (1.0 + abs(v[i]))))
            shrink = min(1.0, LONGEST / longest) if longest > 0.0 else 1.0
            predicted = 0.0
            for i in range(q):
                step[i] *= shrink
            for i in range(q):
                total = 0.0
                for j in range(q):
                    total += (H[i, j] if j <= i else H[j, i]) * step[j]
                predicted -= step[i] * (g[i] + 0.5 * total)
            if not predicted > (ENOUGH if majorised and mu < 1e-2 else 1e-16) * abs(value):
                state = CONVERGED
                break
            for i in range(q):
                ahead[i] = v[i] + step[i]
            shear(ahead, kind, low, high, pair, at, -1.0, trial)
            for i in range(q):
                if kind[i] != PLAIN:
                    trial[i] = min(max(trial[i], NEAREST), LARGEST if kind[i] == LOG else -NEAREST)
        for i in range(q):
            best[b, i] = u[i] if value < np.inf else starts[b, i]
        objective[b] = value
        status[b] = state
        steps[b] = count


@dataclass(frozen=True)
class Minima:
    """Hold where each of B problems ended: coordinates (B, q), objective, status, steps and any scale (B,)."""

    u: Array
    objective: Array
    status: NDArray[np.int64]
    steps: NDArray[np.int64]
    scale: Array | None = None

    def beside(self, other: Minima) -> Minima:
        """Put other problems' minima behind these; scales are dropped."""
        return Minima(
            np.concatenate([self.u, other.u]),
            np.concatenate([self.objective, other.objective]),
            np.concatenate([self.status, other.status]),
            np.concatenate([self.steps, other.steps]),
        )

    @property
    def converged(self) -> NDArray[np.bool_]:
        """Say which problems reached a point that no Newton step improves."""
        return self.status == CONVERGED


@lru_cache(maxsize=1)
def _pool(cores: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=cores, thread_name_prefix="foretell")


if hasattr(os, "register_at_fork"):  # a forked child has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


def minimise(
    kernel: Any,
    X: Array,
    targets: Array,
    weights: Array,
    parameters: Array,
    starts: Array,
    coordinates: Coordinates,
    *,
    most_steps: int = MOST_STEPS,
    majorised: bool = False,
) -> Minima:
    """Minimise B problems from starts (B, q) on features (f, n), on all cores.

    `targets` (T, n), `weights` (W, n) and the objective's `parameters` (P,) are reused in turn: problem b takes row
    b mod T, b mod W and b mod P. A `majorised` kernel's parabola damps the steps in place of the Hessian's diagonal.
    """
    B, q = starts.shape
    best, objective = np.empty((B, q)), np.empty(B)
    status, steps = np.empty(B, dtype=np.int64), np.empty(B, dtype=np.int64)
    fixed = (
        kernel, *(np.require(array, np.float64, ["C", "W"]) for array in (X, targets, weights, parameters, starts)),
        coordinates.kind, coordinates.low, coordinates.high, coordinates.centre, coordinates.precision,
        coordinates.pair, coordinates.at,
    )  # fmt: skip
    results = (best, objective, status, steps)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    chunk = max(1, min(64, -(-B // cores)))
    ranges = [(begin, min(begin + chunk, B)) for begin in range(0, B, chunk)]
    if cores == 1 or len(ranges) == 1:
        for begin, end in ranges:
            _minimise_range(*fixed, begin, end, most_steps, majorised, *results)
    else:
        pool = _pool(cores)
        asked = [(*fixed, begin, end, most_steps, majorised, *results) for begin, end in ranges]
        done = [pool.submit(_minimise_range, *arguments) for arguments in asked]
        try:
            for future in done:
                future.result()
        except BaseException:  # an interrupt, above all: what has not begun does not begin
            for future in done:
                future.cancel()
            raise
    return Minima(best, objective, status, steps)
