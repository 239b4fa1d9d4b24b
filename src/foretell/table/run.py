"""A run: one model trained once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from foretell.errors import TableError


@dataclass(frozen=True)
class Run:
    """Describe one training run.

    `N` counts parameters without embeddings, `N_total` all of them; at least one is known. `D` is training
    tokens at the run's end, `C` training FLOP there, `U` unique tokens available. `weights` is the mixture (shares
    by source), `attributes` whatever else tells runs apart (learning rate, seed, shape, …). A run that is
    `held_out` is never shown to a fit. Raises TableError for a count that is not a positive finite number.
    """

    name: str
    D: float
    N: float | None = None
    N_total: float | None = None
    C: float | None = None
    U: float | None = None
    family: str = ""
    held_out: bool = False
    weights: Mapping[str, float] = field(default_factory=dict)
    attributes: Mapping[str, float | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.N is None and self.N_total is None:
            raise TableError(f"run {self.name!r} has neither N nor N_total; give its number of parameters")
        for what in ("N", "N_total", "D", "C", "U"):
            count = getattr(self, what)
            if count is not None and not (math.isfinite(count) and count > 0):
                raise TableError(f"run {self.name!r} has {what} = {count}; it must be a positive finite number")
