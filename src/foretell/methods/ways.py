"""The ways from small runs to one number that `auto` weighs against each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foretell.fitting import Fit, fit, reach_doubts
from foretell.forecast import Forecast, Settings, Target, ranges_of, reach_of, within_limits
from foretell.forecast.from_fit import forecast_from_fit, with_draws
from foretell.laws import LAWS
from foretell.methods.lossfit import AUTO
from foretell.methods.pieces import Path, Pieces
from foretell.methods.tracedways import traced_ways
from foretell.table import Points

LOSS_LAWS = (AUTO, "chinchilla", "chinchilla-tied")
# loss, law, link, with the ideal point or without: the shared loss, or the task's own bits per byte where there are any
LAWLESS = ("the largest run", "the runs' mean")  # ways that know no law
SHARED_PATHS = (
    (AUTO, "sigmoid", True), (AUTO, "sigmoid", False), (AUTO, "sigmoid-floor", False), (AUTO, "sigmoid-fixed", False),
    ("chinchilla", "sigmoid", True), ("chinchilla", "sigmoid", False), (AUTO, "linear", False),
)  # fmt: skip
OWN_PATHS = ((AUTO, "sigmoid", True), ("chinchilla", "sigmoid", True))


Numbers = NDArray[np.intp]


@dataclass(frozen=True)
class Way:
    """Name one way, and how to take it; either function raises FitError or MethodError where it leads nowhere.

    `role` is the same for the same way to another metric of the kind. A forecast is asked for the draws of the given
    numbers (b,) only, of those that the settings ask for.
    """

    name: str
    role: str
    value: Callable[[Target], float]
    forecast: Callable[[Target, Numbers], Forecast]


def loss_ways(pieces: Pieces, metric: str, method: str) -> list[Way]:
    """List the ways to a loss: one law each."""

    def way(law: str) -> Way:
        def value(target: Target) -> float:
            made = pieces.loss(metric, law, draws=False).made
            return float(made.predict(target.columns(made.points.metric))[0])

        def forecast(target: Target, part: Numbers) -> Forecast:
            first = pieces.loss(metric, law, draws=len(part))
            how = pieces.drawing(len(part))
            return _first(forecast_from_fit(first.made, target, how, method, first.doubts), part)

        name = "skaling" if law == AUTO else law
        return Way(name, name, value, forecast)

    return [way(law) for law in LOSS_LAWS]


def share_ways(pieces: Pieces, metric: str, shared: str | None, method: str) -> list[Way]:
    """List the ways to a share: through a shared loss, the task's own loss, straight from N and D, or no law at all.

    Without a shared loss those that need none.
    """
    if shared is None:
        return _without_loss(pieces, metric, method)
    own = f"{metric.rsplit('/', 1)[0]}/bpb"
    paths = [Path(shared, *rest) for rest in SHARED_PATHS]
    if own in pieces.training.metrics and own != shared:
        paths += [Path(own, *rest) for rest in OWN_PATHS]

    def along(path: Path) -> Way:
        ideal = " and the ideal point" if path.ideal_point else ""
        law = "skaling" if path.law == AUTO else path.law
        return Way(
            f"{law} of {path.loss}, {path.link}{ideal}",
            f"{law} of {'its own bits per byte' if path.loss == own else 'the shared loss'}, {path.link}{ideal}",
            lambda target: pieces.value(path, metric, target),
            lambda target, part: pieces.forecast(path, metric, target, method, part),
        )

    if pieces.link(paths[0], metric, draws=False).law.name == "flat":  # no signal: nothing to weigh
        return [along(paths[0])]
    traced = [Way(*way) for way in traced_ways(pieces, metric, shared, method)]
    return [*(along(path) for path in paths), *traced, *_without_loss(pieces, metric, method)]


def _without_loss(pieces: Pieces, metric: str, method: str) -> list[Way]:
    made: dict[int, Fit] = {}
    points = pieces.points(metric)

    def direct(draws: int = 0) -> Fit:
        if draws not in made:
            if draws:
                made[draws] = with_draws(direct(), pieces.drawing(draws))
            else:
                s = pieces.settings
                known = points.with_chance()
                made[draws] = fit(LAWS["direct"], known, objective="gaussian@linear", starts=s.starts, seed=s.seed)
        return made[draws]

    def direct_forecast(target: Target, part: Numbers) -> Forecast:
        return _first(forecast_from_fit(direct(len(part)), target, pieces.drawing(len(part)), method, ()), part)

    def direct_value(target: Target) -> float:
        found = direct()
        return float(found.predict(target.columns(found.points.metric))[0])

    def constant(name: str, value: float) -> Way:
        return Way(
            name,
            name,
            lambda _: value,
            lambda target, part: _first(_constant(pieces.drawing(len(part)), points, target, value, method), part),
        )

    lawless = [
        constant(LAWLESS[0], points.largest_value),
        constant(LAWLESS[1], float(points.value.mean())),
    ]
    if pieces.training.metrics[metric].unit == "error":  # the direct law is of accuracies
        return lawless
    return [Way("direct", "direct", direct_value, direct_forecast), *lawless]


def _first(forecast: Forecast, part: Numbers) -> Forecast:
    """Keep as many draws as numbers were asked for."""
    return replace(forecast, draws=forecast.draws[: len(part)])


def _constant(settings: Settings, points: Points, target: Target, value: float, method: str) -> Forecast:
    """Forecast the same value everywhere; its noise is that of sampling the items, where their number is known."""
    metric = points.metric
    spread = np.sqrt(value * (1.0 - value) / metric.items) if metric.items and "noise" in settings.parts else 0.0
    draws = value + spread * np.random.default_rng([settings.seed, 4]).normal(size=settings.draws)
    reach = reach_of(points, target)
    doubts = reach_doubts(reach, {"N": target.N, "D": target.D}, ranges_of(points))
    return Forecast(target, metric, method, value, within_limits(metric, draws), settings.parts, reach, tuple(doubts))
