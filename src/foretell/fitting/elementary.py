"""Exponential and logarithm that the compiler can run on several rows at once."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

# fdlibm's split of ln 2: the high part has 21 trailing zero bits, so that k · LN2_HIGH is exact for |k| < 2¹¹
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_LOG2_E = 1.44269504088896338700
_SHIFT = 6755399441055744.0  # 1.5 · 2⁵²: adding it rounds to an integer, held in the low bits
_MANTISSA = 0x000FFFFFFFFFFFFF
_ONE = 0x3FF0000000000000
_HALF_SQRT2_BITS = 0x3FE6A09E667F3BCD  # bits of √½
_CAREFUL = {"contract"}  # fused multiply-add only: reassociating would undo the rounding trick


@intrinsic
def _bits(typing: Any, x: Any) -> Any:
    def cast(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), cast


@intrinsic
def _number(typing: Any, x: Any) -> Any:
    def cast(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), cast


@njit(fastmath=_CAREFUL, error_model="numpy")
def exp(x: float) -> float:
    """Compute eˣ to 2 ulp for |x| < 708; beyond that the nearest number that is neither 0 nor infinite."""
    x = min(max(x, -708.0), 709.0) if x == x else x
    shifted = x * _LOG2_E + _SHIFT
    k = shifted - _SHIFT
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    p = 1.0 / 6227020800.0  # Taylor to r¹³: the rest is below 4e-18 for |r| ≤ ln2/2
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    return _number(_bits(p) + (_bits(shifted) << 52))


@njit(fastmath=_CAREFUL, error_model="numpy")
def log(x: float) -> float:
    """Compute ln x to 2 ulp for normal x > 0; nan for x ≤ 0."""
    bits = _bits(x)
    # the exponent that leaves a mantissa in [√½, √2)
    e = (bits - _HALF_SQRT2_BITS) >> 52
    m = _number(bits - (e << 52))
    k = _number(_bits(_SHIFT) + e) - _SHIFT
    f = (m - 1.0) / (m + 1.0)
    s = f * f
    p = 1.0 / 21.0  # atanh series: the rest is below 1e-17 for |f| ≤ 0.1716
    p = p * s + 1.0 / 19.0
    p = p * s + 1.0 / 17.0
    p = p * s + 1.0 / 15.0
    p = p * s + 1.0 / 13.0
    p = p * s + 1.0 / 11.0
    p = p * s + 1.0 / 9.0
    p = p * s + 1.0 / 7.0
    p = p * s + 1.0 / 5.0
    p = p * s + 1.0 / 3.0
    value = k * _LN2_HIGH + (2.0 * f + (2.0 * f * s * p + k * _LN2_LOW))
    return value if x > 0.0 else _number(0x7FF8000000000000)
