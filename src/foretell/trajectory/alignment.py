"""On which abscissa do the curves of all sizes lie on one another: tokens, compute or perplexity?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.methods.pooled import Pooling, compare_pooled

Array = NDArray[np.float64]

ABSCISSAE = ("D", "C", "perplexity")


@dataclass(frozen=True)
class Alignment:
    """Hold for each abscissa how one curve compares with a curve for each size."""

    name: str
    by: Mapping[str, Pooling]

    @property
    def best(self) -> str:
        """Name the abscissa on which one curve errs least."""
        return min(self.by, key=lambda name: (self.by[name].pooled, name))


def align(name: str, y: Array, *, D: Array, C: Array, loss: Array, size: Array, run: NDArray[np.str_]) -> Alignment:
    """Compare abscissae for `y` (n,): log tokens, log FLOP, log validation perplexity (a loss in nats), each (n,).

    Raises FitError as `compare_pooled` does.
    """
    axes = {"D": np.log(D), "C": np.log(C), "perplexity": loss}
    return Alignment(name, {axis: compare_pooled(name, x, y, size, run) for axis, x in axes.items()})
