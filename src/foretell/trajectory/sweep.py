"""The compiled sweep over tokens that reads all starting points of the rule off one pass of sums."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from foretell.trajectory.rule import BAND, Category

TILE = 1024  # tokens whose five sums stay in the first cache
_ST, _UP, _DOWN, _OTHER = (int(category) for category in Category)
_EXPONENT = 0x7C00  # bits of a float16 that is no number

_HALVES = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float64)
with np.errstate(over="ignore", invalid="ignore"):
    PERPLEXITIES: NDArray[np.float64] = np.exp(_HALVES)  # of every float16: a look-up is quicker than exp
LOSSES: NDArray[np.float64] = _HALVES


def _sweep(bits: Any, firsts: Any, ratios: Any, ppl: Any, nats: Any, codes: Any, counts: Any) -> Any:
    """Classify a block of tokens; give the position of a loss that is no number, or −1.

    `bits` (c, m) are float16 as uint16; `firsts` (s,) the first checkpoints, rising, with critical `ratios` (s,);
    `codes` (s, m) and `counts` (s, 4) are filled. Sums run from the last checkpoint backwards, of differences from the
    last perplexity: slope and test do not change, and a constant token has exactly no variance.
    """
    c, m = bits.shape
    starts = len(firsts)
    sz, sxz = np.empty(TILE), np.empty(TILE)
    szz, sl, end = np.empty(TILE), np.empty(TILE), np.empty(TILE)
    for low in range(0, m, TILE):
        width = min(TILE, m - low)
        for k in range(width):
            last = bits[c - 1, low + k]
            if last & _EXPONENT == _EXPONENT:
                return (c - 1) * m + low + k
            sz[k] = sxz[k] = szz[k] = 0.0
            sl[k] = nats[last]
            end[k] = ppl[last]
        s = starts - 1
        for i in range(c - 2, firsts[0] - 1, -1):
            x = float(i - (c - 1))
            bad = 0
            for k in range(width):
                b = bits[i, low + k]
                bad |= b & _EXPONENT == _EXPONENT
                z = ppl[b] - end[k]
                sz[k] += z
                sxz[k] += x * z
                szz[k] += z * z
                sl[k] += nats[b]
            if bad:
                for k in range(width):
                    if bits[i, low + k] & _EXPONENT == _EXPONENT:
                        return i * m + low + k
            while s >= 0 and firsts[s] == i:
                n = float(c - i)
                mean_x = 0.5 * x
                sxx = n * (n * n - 1.0) / 12.0
                ratio = ratios[s]
                for k in range(width):
                    mean = sz[k] / n
                    slope = (sxz[k] - mean_x * sz[k]) / sxx
                    explained = slope * slope * sxx
                    left = max(szz[k] - mean * sz[k] - explained, 0.0)
                    if explained > ratio * left:
                        code = _UP if slope > 0.0 else _DOWN
                    else:
                        usual = np.exp(sl[k] / n)
                        middle = end[k] + mean
                        half = slope * mean_x
                        first, final = (middle + half) / usual, (middle - half) / usual
                        inside = abs(first - 1.0) <= BAND and abs(final - 1.0) <= BAND
                        code = _ST if inside else _OTHER
                    codes[s, low + k] = code
                    counts[s, code] += 1
                s -= 1
    return -1


sweep = njit(nogil=True, cache=True, fastmath=False)(_sweep)
