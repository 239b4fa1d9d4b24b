"""A link from losses to a share as the horizon method reads it: one for all sizes, or told otherwise by a trace."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.fitting import Fit
from foretell.forecast import Settings
from foretell.forecast.from_fit import Prediction
from foretell.methods.horizonlink import fit_link, link_doubts, link_points, share_at, size_of
from foretell.methods.linkfit import observation_noise, with_link_draws
from foretell.methods.tracedlink import TokenForecast, Told, fit_token_forecast, told_by_trace
from foretell.table import Metric, Observations

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ShareLink:
    """Hold a fitted link, by the loss alone or with a term in size (`made`), or with token quantiles (`tokens`).

    `inputs` name the metrics that it reads, the loss first.
    """

    metric: Metric
    inputs: tuple[str, ...]
    told: Told
    made: Fit | None
    tokens: TokenForecast | None
    doubts: tuple[str, ...]

    @property
    def reason(self) -> str:
        """Say what a trace told; empty where there was none."""
        return f"{self.metric.name}: {self.told.reason}" if self.told.reason else ""

    def at(
        self, reached: list[Prediction], N: float, settings: Settings, rng: np.random.Generator
    ) -> tuple[float, Array]:
        """Give value and draws (B,) of the accuracy of a model of N parameters at what its inputs reach, in order."""
        if self.tokens is not None:
            return self.tokens.at(reached, settings, rng)
        assert self.made is not None, "a link reads token quantiles, or it is a fit"
        link, (loss, *_) = self.made, reached
        size = size_of(link, N)
        value = float(share_at(link, link.theta, np.array([loss.value]), size)[0])
        if not settings.draws:
            return value, np.empty(0)
        theta = link.draws if link.draws is not None else link.theta[None, :]
        draws = share_at(link, theta, loss.draws, size)
        if "noise" in settings.parts:
            draws = draws + observation_noise(link, self.metric, draws, rng)
        return value, draws


def fit_share_link(
    training: Observations, loss: str, metric: Metric, settings: Settings, floor: str = "fitted"
) -> ShareLink:
    """Fit the link from a loss to a metric that the runs given, and a trace of them, speak for; with its draws.

    Raises MethodError when loss and share were never measured together, and as `horizonlink.fit_link`.
    """
    points = link_points(training, loss, metric)
    told = told_by_trace(training, loss, metric, points, settings)
    inputs = (loss, *told.beside)
    if told.beside:
        tokens = fit_token_forecast(training, loss, told.beside, metric, settings)
        return ShareLink(metric, inputs, told, None, tokens, ())
    link = fit_link(points, settings, floor, sized=told.sized)
    doubts = (*told.doubts, *link_doubts(link, points))
    return ShareLink(metric, inputs, told, with_link_draws(link, settings), None, doubts)
