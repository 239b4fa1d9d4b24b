"""The fit of a loss law to a metric: which law the data can carry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foretell.errors import MethodError
from foretell.fitting import Fit, doubts_of, fit
from foretell.fitting.doubts import SAME_RAY
from foretell.forecast import Settings
from foretell.laws import LAWS, Law, law_named
from foretell.table import Points

AUTO = "auto"
SPARE_ROWS = 2  # rows beyond the coefficients before a richer law is trusted


@dataclass(frozen=True)
class LossFit:
    """Hold a fitted loss law, and the doubts about it: why that law was taken, and the fit's own."""

    made: Fit
    doubts: tuple[str, ...]


def fit_loss(points: Points, law: str | Law, settings: Settings, objective: str = "huber:1e-3") -> LossFit:
    """Fit a loss law to points; `auto` takes Skaling where the rows can carry it, and what they can carry otherwise.

    Raises MethodError when the metric is a share, and FitError when the rows are too few.
    """
    if points.metric.is_share:
        raise MethodError(f"{points.metric.name} is a share; a loss law cannot forecast it: use the method ladder")
    chosen, reasons = choose_law(points) if law == AUTO else (_named(law, points), [])
    if chosen.response == "share":
        raise MethodError(
            f"the law {chosen.name} gives a share; {points.metric.name} needs a loss law, see foretell laws"
        )
    if not (points.value > 0).all():
        objective = "gaussian@linear"
        reasons = [
            *reasons,
            f"{points.metric.name} is not positive everywhere: fitted by least squares, not on its logarithm",
        ]
    made = fit(chosen, points, objective=objective, starts=settings.starts, seed=settings.seed)
    return LossFit(made, (*reasons, *doubts_of(made)))


def _named(law: str | Law, points: Points) -> Law:
    return law_named(law, frozenset(points.inputs)) if isinstance(law, str) else law


def choose_law(points: Points) -> tuple[Law, list[str]]:
    """Choose the richest loss law that the rows identify, and say what stood in the way of Skaling."""
    ratio = points.input("D") / points.input("N")
    ray = ratio.max() / ratio.min() < SAME_RAY
    sizes = len(np.unique(np.round(np.log(points.input("N")), 3)))
    if ray:
        return LAWS["ray"], ["a single D/N ray: fitted by psi/N^alpha + E, which holds on that ray only"]
    for name in ("skaling", "chinchilla", "chinchilla-tied"):
        law = LAWS[name]
        if len(points) >= len(law.coefficients) + SPARE_ROWS and sizes >= 2:
            held = [] if name == "skaling" else [f"only {len(points)} rows: fitted by {name}, not by skaling"]
            return law, held
    if sizes == 1:
        return LAWS["power-D"], ["every run has the same N: fitted by a power law in D, which holds for that N only"]
    return LAWS["power-C"], [f"only {len(points)} rows: fitted by a power law in compute"]
