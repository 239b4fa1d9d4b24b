"""Quantities as people write them: `7B`, `4T`, `1e21`, `2xC`; nats, bits and bits per byte."""

from __future__ import annotations

import math
import re

from foretell.errors import UnitError

SUFFIXES = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12, "Q": 1e15}
TOKENS_PER_PARAMETER = 20.0  # one "xC" of tokens, the rounded Chinchilla optimum (arXiv 2203.15556, Table 3)

_COUNT = re.compile(r"^\s*([0-9][0-9_,]*\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z]?)\s*$")
_MULTIPLE = re.compile(r"^\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*xC\s*$", re.IGNORECASE)


def parse_count(text: str | float, what: str = "count") -> float:
    """Read a positive count such as `7B`, `4T`, `190M`, `1e21`, `1_000` or a plain number.

    Returns the count itself (parameters, tokens or FLOP). Raises UnitError when it cannot be read, or
    is not a positive finite number.
    """
    if isinstance(text, int | float):
        number = float(text)
    else:
        match = _COUNT.match(text)
        if match is None:
            raise UnitError(f"{what} {text!r} cannot be read; write a number such as 7B, 4T, 190M or 1e21")
        suffix = match[2].upper()
        if suffix and suffix not in SUFFIXES:
            raise UnitError(
                f"{what} {text!r} ends in the unknown unit {match[2]!r}; known units: "
                + ", ".join(f"{name} = {value:.0e}" for name, value in SUFFIXES.items())
            )
        number = float(match[1].replace(",", "").replace("_", "")) * SUFFIXES.get(suffix, 1.0)
    if not math.isfinite(number) or number <= 0:
        raise UnitError(f"{what} is {text!r}; it must be a positive finite number")
    return number


def parse_tokens(text: str | float, N: float | None = None) -> float:
    """Read training tokens: a count, or a Chinchilla multiple such as `2xC`, which is 2 × 20 N tokens.

    Raises UnitError when a multiple is given without N.
    """
    if isinstance(text, str) and (match := _MULTIPLE.match(text)):
        if N is None:
            raise UnitError(f"tokens {text!r} are a multiple of 20 N, but no N was given; give -N as well")
        return parse_count(float(match[1]), "tokens") * TOKENS_PER_PARAMETER * N
    return parse_count(text, "tokens")


def parse_compute(text: str | float) -> float:
    """Read training compute in FLOP: `1e21`, or a count with a suffix."""
    return parse_count(text, "compute")


def format_four(value: float) -> str:
    """Write a number with four digits, its last zeros kept, so that 2.320 stands beside 2.426."""
    return f"{value:#.4g}".rstrip(".") if 1e-4 <= abs(value) < 1e4 else f"{value:.4g}"


def format_count(number: float, digits: int = 3) -> str:
    """Write a count as people do: `6.89B`, `3.95T`, `190M`; beyond Q, as `1.2e+21`."""
    if not math.isfinite(number):
        return str(number)
    for suffix, size in (("", 1.0), *SUFFIXES.items()):
        scaled = float(f"{number / size:.{digits}g}")
        if abs(scaled) < 1000:
            return f"{scaled:.{digits}g}{suffix}"
    return f"{number:.{digits}g}"


def nats_to_bits(nats: float) -> float:
    """Turn nats into bits: 1 nat = 1/ln 2 bits."""
    return nats / math.log(2)


def bits_to_nats(bits: float) -> float:
    """Turn bits into nats: 1 bit = ln 2 nats."""
    return bits * math.log(2)


def loss_to_bpb(loss: float, tokens_per_byte: float) -> float:
    """Turn a loss in nats/token into bits/byte, for a text that has `tokens_per_byte` tokens a byte."""
    return nats_to_bits(loss) * parse_count(tokens_per_byte, "tokens per byte")


def bpb_to_loss(bpb: float, tokens_per_byte: float) -> float:
    """Turn bits/byte into a loss in nats/token, for a text that has `tokens_per_byte` tokens a byte."""
    return bits_to_nats(bpb) / parse_count(tokens_per_byte, "tokens per byte")
