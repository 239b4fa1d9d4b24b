"""What a fitted law says of a target: its value there, and the draws of what may be observed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError
from foretell.fitting import Fit, reach_doubts, redraw_noise
from foretell.fitting.resample import spread_draws
from foretell.forecast.forecast import Forecast, within_limits
from foretell.forecast.method import Settings
from foretell.forecast.target import Target, ranges_of, reach_of

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Prediction:
    """Hold a fitted law's value at a target and the draws (B,) of what may be observed there."""

    value: float
    draws: Array


def with_draws(made: Fit, settings: Settings) -> Fit:
    """Give a fit the draws that its forecast needs; raises FitError when there are too few runs for any."""
    if not settings.draws or "coefficients" not in settings.parts:
        return made
    return redraw_noise(made, settings.draws, seed=settings.seed)


def predict_at(made: Fit, target: Target, settings: Settings, rng: np.random.Generator) -> Prediction:
    """Compute a fit's value at a target, and draws with the coefficients' and the observation's part as asked for.

    Raises FitError when the law is not finite there, or needs an input that the target does not have.
    """
    columns = target.columns(made.points.metric)
    unknown = [name for name in made.law.variables if name not in columns]
    if unknown:
        told = "U (unique tokens)" if "U_D" in unknown else "them"
        raise FitError(
            f"the law {made.law.name} needs {', '.join(unknown)} of the target {target.label}, of which only "
            f"{', '.join(sorted(columns))} are known; give {told} by --input"
        )
    value = float(made.predict(columns)[0])
    if not np.isfinite(value):
        raise FitError(
            f"the law {made.law.name} of {made.points.metric.name} has no finite value at {target.label}; "
            "it cannot be carried that far"
        )
    B = settings.draws
    if not B:
        return Prediction(value, np.empty(0))
    draws = made.predict_draws(columns)[:, 0] if made.draws is not None else np.full(B, value)
    finite = draws[np.isfinite(draws)]
    if len(finite) < B:  # coefficients that a resample carried out of range: the others stand in for them
        draws = rng.choice(finite, size=B) if len(finite) else np.full(B, value)
    if "noise" in settings.parts:
        noise = spread_draws(made, B, rng) * rng.normal(size=B)
        draws = draws * np.exp(noise) if made.objective.space == "log" else draws + noise
    return Prediction(value, draws)


def forecast_from_fit(made: Fit, target: Target, settings: Settings, method: str, doubts: tuple[str, ...]) -> Forecast:
    """Forecast a fitted metric of a target; `doubts` are the fit's, to which the target's are added."""
    rng = np.random.default_rng([settings.seed, 1])
    predicted = predict_at(made, target, settings, rng)
    metric = made.points.metric
    return Forecast(
        target=target,
        metric=metric,
        method=method,
        value=float(within_limits(metric, np.array([predicted.value]))[0]),
        draws=within_limits(metric, predicted.draws),
        parts=settings.parts,
        reach=reach_of(made.points, target),
        doubts=tuple(dict.fromkeys([*doubts, *target_doubts(made, target)])),
    )


def target_doubts(made: Fit, target: Target) -> list[str]:
    """List the doubts about a target as seen from a fit's rows."""
    where = {"N": target.N, "D": target.D}
    return reach_doubts(reach_of(made.points, target), where, ranges_of(made.points))
