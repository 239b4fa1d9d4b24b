"""A shear: amplitudes taken at the centre of the rows, where they and their exponents do not trade off.

The A of A/N^alpha is what the term is worth at N = 1, a billion times below the data: a little more alpha asks for much
more A, and a fit creeps along a bent valley. With v = log A − alpha · mean(log N), the term's logarithm at the centre,
the valley is straight. `pair` (s, 2) names amplitude i and exponent j, `at` (s,) the mean of x in A exp(x · alpha).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from foretell.fitting.coordinates import LOG, LOGIT

_FASTMATH = {"contract"}


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FASTMATH)
def _natural_of(u, j, kind, low, high):  # type: ignore[no-untyped-def]
    if kind[j] == LOG:
        return low[j] + np.exp(u[j])
    if kind[j] == LOGIT:
        return low[j] + (high[j] - low[j]) / (1.0 + np.exp(-u[j]))
    return u[j]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FASTMATH)
def shear(u, kind, low, high, pair, at, sign, v):  # type: ignore[no-untyped-def]
    """Write v_i = u_i + c θ_j, or u_i exp(c θ_j) where u_i is no logarithm, with c = at · sign; −1 leads back."""
    for i in range(len(u)):
        v[i] = u[i]
    for s in range(len(pair)):
        i = pair[s, 0]
        moved = sign * at[s] * _natural_of(u, pair[s, 1], kind, low, high)
        if kind[i] == LOG:
            v[i] += moved
        else:
            v[i] *= np.exp(moved)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FASTMATH)
def shear_slopes(u, kind, pair, at, slope, curve, theta, g, H, metric):  # type: ignore[no-untyped-def]
    """Turn gradient g, Hessian H and metric (whole symmetric matrices) in u into those in v, in place."""
    q = len(u)
    for s in range(len(pair) - 1, -1, -1):
        i, j, c = pair[s, 0], pair[s, 1], at[s]
        if kind[i] == LOG:
            a, b, cross, second = 1.0, -c * slope[j], 0.0, -c * curve[j]
        else:
            a = np.exp(-c * theta[j])
            b = -c * slope[j] * u[i]
            cross = -c * slope[j] * a
            second = u[i] * (c * c * slope[j] * slope[j] - c * curve[j])
        for M in (H, metric):
            ii, ij, jj = M[i, i], M[i, j], M[j, j]
            for k in range(q):
                if k not in (i, j):
                    M[k, j] += b * M[k, i]
                    M[j, k] = M[k, j]
                    M[k, i] *= a
                    M[i, k] = M[k, i]
            M[i, i] = a * a * ii
            M[i, j] = M[j, i] = a * (ij + b * ii)
            M[j, j] = jj + 2.0 * b * ij + b * b * ii
        H[i, j] += g[i] * cross
        H[j, i] = H[i, j]
        H[j, j] += g[i] * second
        g[j] += b * g[i]
        g[i] *= a
