"""Pools: the unique tokens behind each source of a mixture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.errors import MethodError, UnknownName
from foretell.mixture.simplex import Region
from foretell.units import format_count, parse_count

Array = NDArray[np.float64]

ENDLESS = ("inf", "infinite", "∞")


@dataclass(frozen=True)
class Pools:
    """Hold the unique tokens of each source; one that is not named is endless."""

    tokens: Mapping[str, float]

    def __post_init__(self) -> None:
        for name, count in self.tokens.items():
            if not count > 0:
                raise MethodError(f"the pool of {name} holds {count} tokens; leave the source out instead")

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Pools:
        """Read `wiki=3B` and `web=inf`; raises MethodError for a text without a name, UnitError for a count."""
        found: dict[str, float] = {}
        for text in [part for given in texts for part in given.split(",") if part.strip()]:
            name, sign, count = (part.strip() for part in text.partition("="))
            if not sign or not name:
                raise MethodError(f"pool {text!r} cannot be read; write a source and its tokens, such as wiki=3B")
            if name in found:
                raise MethodError(f"the pool of {name} is given twice; give one number of tokens")
            found[name] = math.inf if count.lower() in ENDLESS else parse_count(count, f"pool of {name}")
        return cls(found)

    def row(self, domains: Sequence[str]) -> Array:
        """Give the tokens (k,) in the order of `domains`; raises UnknownName for a pool of no domain."""
        for name in self.tokens:
            if name not in domains:
                raise UnknownName("source", name, domains)
        return np.array([self.tokens.get(name, math.inf) for name in domains])

    def epochs(self, weights: Array, D: float | Array, domains: Sequence[str]) -> Array:
        """Give how often D tokens with shares (…, k) pass over each pool: w·D/U, zero for an endless pool."""
        total = np.asarray(D, dtype=np.float64)[..., None] * weights
        passes: Array = total / self.row(domains)
        return passes

    def matched(self, D: float, target: float) -> Pools:
        """Shrink every pool by D/target, so that D tokens repeat as often as `target` tokens do over the whole.

        One factor for every source, whatever the mixture (arXiv 2606.07597). Raises MethodError when D > target.
        """
        if not 0 < D <= target:
            raise MethodError(
                f"repetition at {format_count(D)} tokens cannot be matched to {format_count(target)}: "
                "a horizon is no longer than its target"
            )
        return Pools({name: tokens * D / target for name, tokens in self.tokens.items()})

    def region(
        self,
        domains: Sequence[str],
        D: float,
        *,
        most_epochs: float = math.inf,
        floors: Mapping[str, float] | None = None,
        caps: Mapping[str, float] | None = None,
    ) -> Region:
        """Give the mixtures of D tokens that pass over no pool more than `most_epochs` times (Olmix: 4–5).

        `floors` and `caps` bound single shares. Raises MethodError when there are none, UnknownName for no source.
        """
        if not most_epochs > 0:
            raise MethodError(f"at most {most_epochs} epochs were asked for; give a positive number")
        lower, upper = np.zeros(len(domains)), np.minimum(1.0, most_epochs * self.row(domains) / D)
        for given, bounds, pick in ((floors, lower, max), (caps, upper, min)):
            for name, share in (given or {}).items():
                if name not in domains:
                    raise UnknownName("source", name, domains)
                place = list(domains).index(name)
                bounds[place] = pick(float(bounds[place]), share)
        return Region(tuple(domains), lower, upper)
