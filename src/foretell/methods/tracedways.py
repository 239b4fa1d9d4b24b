"""The way that `auto` weighs beside the others where a study was traced: the link that the trace speaks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from foretell.forecast import Forecast, Settings, Target, reach_of
from foretell.forecast.from_fit import predict_at, target_doubts
from foretell.methods.lossfit import AUTO
from foretell.methods.pieces import Pieces, limited_share
from foretell.methods.sharelink import ShareLink, fit_share_link
from foretell.methods.tracedlink import is_traced

ROLE = "skaling of the shared loss, the traced link"


def traced_ways(
    pieces: Pieces, metric: str, shared: str, method: str
) -> list[tuple[str, str, Callable[[Target], float], Callable[..., Forecast]]]:
    """Give name, role, value and forecast of the way through a traced link; none where the metric was not traced.

    A forecast keeps the draws of the given numbers (b,), all by default.
    """
    training, what = pieces.training, pieces.training.metrics[metric]
    if not is_traced(training, metric):
        return []
    links: dict[bool, ShareLink] = {}

    def read(target: Target, settings: Settings) -> Forecast:
        drawn = settings.draws > 0
        if drawn not in links:
            links[drawn] = fit_share_link(training, shared, what, settings)
        link = links[drawn]
        steps = [pieces.loss(name, AUTO, draws=drawn) for name in link.inputs]
        rng = np.random.default_rng([settings.seed, 2])
        reached = [predict_at(one.made, target, settings, rng) for one in steps]
        value, draws = link.at(reached, target.N, settings, rng)
        first = steps[0]
        doubts = (*first.doubts, *link.doubts, *target_doubts(first.made, target))
        return Forecast(
            target=target,
            metric=what,
            method=method,
            value=float(limited_share(what, np.array([value]))[0]),
            draws=limited_share(what, draws),
            parts=settings.parts,
            reach=reach_of(first.made.points, target),
            doubts=tuple(dict.fromkeys(doubts)),
            reason=link.reason,
        )

    def forecast(target: Target, part: NDArray[np.intp] | None = None) -> Forecast:
        made = read(target, pieces.settings)
        return made if part is None else replace(made, draws=made.draws[part])

    quick = replace(pieces.settings, draws=0)
    return [(f"skaling of {shared}, the traced link", ROLE, lambda target: read(target, quick).value, forecast)]
