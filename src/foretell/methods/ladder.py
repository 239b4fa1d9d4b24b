"""The model ladder: a loss law, then a sigmoid from the loss to task accuracy (Bhagia 2024)."""

from __future__ import annotations

from dataclasses import dataclass

from foretell.methods.lossfit import AUTO
from foretell.methods.twostep import TwoStep


@dataclass(frozen=True)
class Ladder(TwoStep):
    """Forecast accuracy by a loss law and a sigmoid through the ideal point.

    By default the loss is one that all tasks share and its law Skaling: on the paper's own ladder that halves the error
    of task bpb and Chinchilla, and hold-outs inside the ladder choose it without seeing a target.
    """

    law: str = AUTO
    link: str = "sigmoid"
    intermediate: str = AUTO
    ideal_point: bool = True

    name = "ladder"
    source = (
        "Bhagia 2024, arXiv 2412.04403, with a shared loss and Skaling (arXiv 2608.07222) for task bpb and Chinchilla"
    )
