"""The over-trained method: a law in compute and token multiplier, then error falling with loss (Gadre 2024)."""

from __future__ import annotations

from dataclasses import dataclass

from foretell.methods.lossfit import AUTO
from foretell.methods.twostep import TwoStep


@dataclass(frozen=True)
class Overtrained(TwoStep):
    """Forecast losses by L(C, M) and error by ε − k·exp(−γL), on all runs given (paper, Eq. 4 and 5)."""

    law: str = "gadre"
    link: str = "exponential"
    intermediate: str = AUTO
    ideal_point: bool = False

    name = "overtrained"
    source = "Gadre 2024, arXiv 2403.08540"
