"""A mixture: the shares of training tokens that come from each source."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.errors import TableError, UnknownName

Array = NDArray[np.float64]

ROUNDING = 0.02  # of the sum: 17 shares written to three digits are off by at most 0.0085 (testbed regmix: 0.004)
EXACT = 1e-9


@dataclass(frozen=True)
class Mixture:
    """Hold the share 0..1 of each source; they sum to 1.

    Raises TableError for a negative share, or a sum that is not 1: use `Mixture.of` for rounded shares.
    """

    shares: Mapping[str, float]

    def __post_init__(self) -> None:
        rows, _ = mixture_rows(np.array([list(self.shares.values())]), list(self.shares))
        if abs(sum(self.shares.values()) - 1.0) > 1e-6:
            raise TableError(f"the shares {_shown(self.shares)} sum to {sum(self.shares.values()):.6g}, not to 1")
        object.__setattr__(self, "shares", dict(zip(self.shares, rows[0].tolist(), strict=True)))

    @classmethod
    def of(cls, shares: Mapping[str, float]) -> tuple[Mixture, list[str]]:
        """Make a mixture of shares that may be rounded, beside what was changed; raises TableError."""
        rows, notes = mixture_rows(np.array([list(shares.values())], dtype=np.float64), list(shares))
        return cls(dict(zip(shares, rows[0].tolist(), strict=True))), notes

    def row(self, domains: Sequence[str]) -> Array:
        """Give the shares (k,) in the order of `domains`; a source that is not in the mixture has none.

        Raises UnknownName for a source that is not among the domains.
        """
        for name in self.shares:
            if name not in domains:
                raise UnknownName("source", name, domains)
        return np.array([self.shares.get(name, 0.0) for name in domains])

    def divergence(self, prior: Mixture) -> float:
        """Give KL(self ‖ prior) in nats; infinite where a source is used that the prior lacks."""
        total = 0.0
        for name, share in self.shares.items():
            if share > 0:
                base = prior.shares.get(name, 0.0)
                total += math.inf if base <= 0 else share * math.log(share / base)
        return total

    def __str__(self) -> str:
        return _shown(self.shares)


def mixture_rows(weights: Array, domains: Sequence[str], runs: Sequence[str] = ()) -> tuple[Array, list[str]]:
    """Check weights (n, k), and renormalise those that rounding kept from summing to 1.

    Gives the rows and a note for what was changed. Raises TableError for a share that is negative or not finite, and
    for rows whose sum is off by more than 2 %.
    """
    named = list(runs) or [f"row {i}" for i in range(len(weights))]
    bad = ~np.isfinite(weights) | (weights < -EXACT)
    if bad.any():
        i, j = (int(x) for x in np.argwhere(bad)[0])
        raise TableError(
            f"{int(bad.any(axis=1).sum())} mixtures have a share that is negative or no number (first: {named[i]}, "
            f"{domains[j]} = {weights[i, j]}); a share lies in 0..1"
        )
    sums = weights.sum(axis=1)
    off = np.abs(sums - 1.0) > ROUNDING
    if off.any():
        first = int(np.argmax(off))
        raise TableError(
            f"{int(off.sum())} mixtures do not sum to 1 (first: {named[first]}, {sums[first]:.4g}); rounding explains "
            f"at most {ROUNDING:.0%}: divide percentages by 100, or name every source"
        )
    rounded = np.abs(sums - 1.0) > EXACT
    made = np.clip(weights, 0.0, None) / sums[:, None]
    notes = []
    if (np.abs(sums - 1.0) > 1e-6).any():
        notes.append(
            f"{int(rounded.sum())} of {len(weights)} mixtures sum to {sums.min():.4g}…{sums.max():.4g}, as rounded "
            "shares do; renormalised to 1"
        )
    return made, notes


def parse_shares(texts: Sequence[str], what: str = "share") -> dict[str, float]:
    """Read `web=0.7`, several of them or comma-separated; raises TableError for what is no number in 0..1."""
    found: dict[str, float] = {}
    for text in [part for given in texts for part in given.split(",") if part.strip()]:
        name, sign, number = text.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not sign or not name.strip() or not 0 <= value <= 1:
            raise TableError(f"{what} {text!r} cannot be read; write a source and a number in 0..1, such as web=0.7")
        found[name.strip()] = value
    return found


def _shown(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {share:.3g}" for name, share in shares.items())
