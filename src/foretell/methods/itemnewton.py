"""The modes of many items' curves: a damped Newton method on two numbers an item, over the exact losses."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from foretell.fitting.elementary import exp, log

Array = NDArray[np.float64]

MOST_STEPS = 100
CHUNK = 64  # items a task of the pool takes: enough to hide its cost, few enough to share evenly
FARTHEST = 2.0  # no step moves a log-odds or the logarithm of a slope further
_LIMIT = 300.0  # log-odds beyond which a probability is 0 or 1 to every digit


def _sums(k, n, x, weight, g, a, b, out) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Sum log-likelihood, dη, x·dη and the three second sums of one item's outcomes, η = a − b·x.

    With e = exp(η) the success probability is (g + e)/(1 + e), so that a floor costs one division and one logarithm
    more, and nothing is subtracted.
    """
    value, d, dx, h, hx, hxx = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    floor = g > 0.0
    for j in range(len(x)):
        w = weight[j]
        successes, tries = w * k[j], w * n[j]
        eta = min(max(a - b * x[j], -_LIMIT), _LIMIT)
        e = exp(eta)
        s = e / (1.0 + e)
        if floor:
            r = e / (g + e)
            value += successes * log(g + e) - tries * log(1.0 + e)
            first = successes * r - tries * s
            second = successes * r * (1.0 - r) - tries * s * (1.0 - s)
        else:
            value += successes * eta - tries * log(1.0 + e)
            first = successes - tries * s
            second = -tries * s * (1.0 - s)
        d += first
        dx += first * x[j]
        h += second
        hx += second * x[j]
        hxx += second * x[j] * x[j]
    out[0], out[1], out[2], out[3], out[4], out[5] = value, d, dx, h, hx, hxx


_compiled_sums: Any = njit(
    cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"}
)(_sums)


def _modes(successes, trials, x, weight, floor, mean, precision, begin, end, u, curvature, value, steps) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Climb from u (I, 2) = (a, log b) to each item's mode, and leave the curvature (I, 3) of −log posterior there."""
    out = np.empty(6)
    p00, p01, p11 = precision[0, 0], precision[0, 1], precision[1, 1]
    for i in range(begin, end):
        ta, tb = u[i, 0], u[i, 1]
        a, beta = ta, tb
        best = -np.inf
        mu, predicted = 0.0, 0.0
        ga, gb, haa, hab, hbb = 0.0, 0.0, 1.0, 0.0, 1.0
        count = 0
        while count < MOST_STEPS:
            count += 1
            b = np.exp(min(max(tb, -30.0), 30.0))
            _compiled_sums(successes[i], trials[i], x, weight, floor, ta, b, out)
            da, db = ta - mean[0], tb - mean[1]
            new = out[0] - 0.5 * (p00 * da * da + 2.0 * p01 * da * db + p11 * db * db)
            gain = new - best
            if gain >= 0.0 or best == -np.inf:
                best = new
                a, beta = ta, tb
                ga = out[1] - p00 * da - p01 * db
                gb = -b * out[2] - p01 * da - p11 * db
                haa = -out[3] + p00
                hab = b * out[4] + p01
                hbb = -(b * b * out[5] - b * out[2]) + p11
                mu = 0.2 * mu if mu > 1e-6 else 0.0
            else:
                if predicted <= 1e-12 * (1.0 + abs(best)):
                    break
                mu = max(5.0 * mu, 1e-3)
            sa, sb = 0.0, 0.0
            while mu < 1e12:
                da2, db2 = haa + mu * (abs(haa) + p00), hbb + mu * (abs(hbb) + p11)
                determinant = da2 * db2 - hab * hab
                if da2 > 0.0 and determinant > 1e-12 * da2 * db2:
                    sa = (db2 * ga - hab * gb) / determinant
                    sb = (da2 * gb - hab * ga) / determinant
                    break
                mu = max(4.0 * mu, 1e-3)
            longest = max(abs(sa), abs(sb))
            if longest > FARTHEST:
                sa, sb = sa * FARTHEST / longest, sb * FARTHEST / longest
            predicted = sa * ga + sb * gb - 0.5 * (haa * sa * sa + 2.0 * hab * sa * sb + hbb * sb * sb)
            if not (longest > 1e-6 and predicted > 1e-13 * (1.0 + abs(best))):
                break
            ta, tb = a + sa, beta + sb
        u[i, 0], u[i, 1] = a, beta
        curvature[i, 0], curvature[i, 1], curvature[i, 2] = haa, hab, hbb
        value[i] = best
        steps[i] = count


_compiled: Any = njit(cache=True, nogil=True, error_model="numpy")(_modes)


def _weigh(successes, trials, x, weight, floor, mean, precision, begin, end, mode, factor, nodes, share, found) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Give the posterior's weight (I, Q) of each node mode + factor·z, relative to the Normal that placed it."""
    out = np.empty(6)
    p00, p01, p11 = precision[0, 0], precision[0, 1], precision[1, 1]
    for i in range(begin, end):
        top = -np.inf
        for q in range(len(share)):
            z0, z1 = nodes[q, 0], nodes[q, 1]
            a = mode[i, 0] + factor[i, 0, 0] * z0
            beta = mode[i, 1] + factor[i, 1, 0] * z0 + factor[i, 1, 1] * z1
            _compiled_sums(successes[i], trials[i], x, weight, floor, a, np.exp(min(max(beta, -30.0), 30.0)), out)
            da, db = a - mean[0], beta - mean[1]
            prior = 0.5 * (p00 * da * da + 2.0 * p01 * da * db + p11 * db * db)
            found[i, q] = out[0] - prior + 0.5 * (z0 * z0 + z1 * z1)
            top = max(top, found[i, q])
        total = 0.0
        for q in range(len(share)):
            found[i, q] = share[q] * np.exp(found[i, q] - top)
            total += found[i, q]
        for q in range(len(share)):
            found[i, q] /= total


_compiled_weigh: Any = njit(cache=True, nogil=True, error_model="numpy")(_weigh)


def weigh(
    successes: Any, trials: Any, x: Array, weight: Array, floor: float, mean: Array, precision: Array,
    mode: Array, factor: Array, nodes: Array, share: Array,
) -> Array:  # fmt: skip
    """Weigh the nodes of an adaptive quadrature (Q, 2) around each item's mode, on all cores; give weights (I, Q).

    `factor` (I, 2, 2) is the Cholesky factor of each item's covariance, `share` (Q,) the quadrature's own weights.
    """
    found = np.empty((len(successes), len(share)))
    _on_all_cores(
        _compiled_weigh,
        _contiguous(successes, trials, x, weight, float(floor), mean, precision),
        _contiguous(mode, factor, nodes, share, found),
    )
    return found


def climb(
    successes: Any, trials: Any, x: Array, weight: Array, floor: float, mean: Array, precision: Array, starts: Array
) -> tuple[Array, Array, Array, NDArray[np.int64]]:
    """Find every item's posterior mode (I, 2) of (a, log b), on all cores.

    `x` (J,) is the centred loss of each checkpoint, `weight` (J,) counts it, `floor` is chance; the prior is Normal
    with `mean` (2,) and `precision` (2, 2). Gives modes, curvatures (I, 3) as (aa, ab, bb), log posteriors (I,) up to
    a constant, and the steps each item took.
    """
    count = len(successes)
    u = np.array(starts, dtype=np.float64, order="C")
    curvature, value, steps = np.empty((count, 3)), np.empty(count), np.empty(count, dtype=np.int64)
    _on_all_cores(
        _compiled,
        _contiguous(successes, trials, x, weight, float(floor), mean, precision),
        (u, curvature, value, steps),
    )
    return u, curvature, value, steps


def _contiguous(*arguments: Any) -> tuple[Any, ...]:
    return tuple(np.ascontiguousarray(a) if isinstance(a, np.ndarray) else a for a in arguments)


def _on_all_cores(work: Any, fixed: tuple[Any, ...], results: tuple[Any, ...]) -> None:
    """Call work(*fixed, begin, end, *results) over stretches of the items."""
    count = len(fixed[0])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    ranges = [(begin, min(begin + CHUNK, count)) for begin in range(0, count, CHUNK)]
    if cores == 1 or len(ranges) == 1:
        for begin, end in ranges:
            work(*fixed, begin, end, *results)
        return
    work(*fixed, 0, 0, *results)  # compiles once, before the threads
    with ThreadPoolExecutor(max_workers=cores, thread_name_prefix="foretell") as pool:
        for future in [pool.submit(work, *(*fixed, begin, end, *results)) for begin, end in ranges]:
            future.result()
