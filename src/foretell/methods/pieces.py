"""The pieces of two-step forecasts: fits of losses and links, each made once however many paths use it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from foretell.fitting import Fit
from foretell.forecast import Forecast, Settings, Target, reach_of, within_limits
from foretell.forecast.from_fit import Prediction, predict_at, target_doubts, with_draws
from foretell.methods.linkfit import fit_link, link_at, link_doubts, observation_noise, smoothed, with_link_draws
from foretell.methods.lossfit import LossFit, fit_loss
from foretell.table import Observations


@dataclass(frozen=True)
class Path:
    """Name a way to a share: which loss, by which law, through which link, with the ideal point or without."""

    loss: str
    law: str
    link: str
    ideal_point: bool


@dataclass
class Pieces:
    """Keep the fits that paths through the same training runs share."""

    training: Observations
    names: Iterable[str]
    settings: Settings
    _losses: dict[tuple[str, str, bool], LossFit] = field(default_factory=dict)
    _links: dict[tuple[str, str, str, bool, bool], Fit] = field(default_factory=dict)
    _predictions: dict[tuple[object, ...], Prediction] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._smooth = smoothed(self.training.only_metrics(self.names))

    def loss(self, name: str, law: str, *, draws: bool) -> LossFit:
        """Fit a loss law to a metric, with the draws of its coefficients where they are asked for."""
        key = (name, law, draws)
        if key not in self._losses:
            if draws:
                found = self.loss(name, law, draws=False)
                self._losses[key] = replace(found, made=with_draws(found.made, self.settings))
            else:
                self._losses[key] = fit_loss(self.training.metric(name), law, self.settings)
        return self._losses[key]

    def link(self, path: Path, metric: str, *, draws: bool) -> Fit:
        """Fit a path's link to a metric, with draws where they are asked for."""
        key = (path.loss, metric, path.link, path.ideal_point, draws)
        if key not in self._links:
            if draws:
                self._links[key] = with_link_draws(self.link(path, metric, draws=False), self.settings)
            else:
                what = self.training.metrics[metric]
                self._links[key] = fit_link(
                    self._smooth, path.loss, what, path.link, self.settings, ideal_point=path.ideal_point
                )
        return self._links[key]

    def value(self, path: Path, metric: str, target: Target) -> float:
        """Compute the share that a path leads to, without draws."""
        first, second = self.loss(path.loss, path.law, draws=False), self.link(path, metric, draws=False)
        loss = first.made.predict(target.columns(first.made.points.metric))
        return float(self._limited(metric, link_at(second, second.theta[None, :], loss))[0])

    def forecast(self, path: Path, metric: str, target: Target, method: str) -> Forecast:
        """Forecast a share along a path; the loss's noise and the share's own are both in the draws."""
        settings = self.settings
        first, second = self.loss(path.loss, path.law, draws=True), self.link(path, metric, draws=True)
        loss = self._loss_at(path, first.made, target)
        rng = np.random.default_rng([settings.seed, 2])
        what = self.training.metrics[metric]
        draws = np.empty(0)
        if settings.draws:
            theta = second.draws if second.draws is not None else np.tile(second.theta, (settings.draws, 1))
            draws = link_at(second, theta, loss.draws)
            if "noise" in settings.parts:
                draws = draws + observation_noise(second, what, draws, rng)
        doubts = [*first.doubts, *link_doubts(second, loss.value), *target_doubts(first.made, target)]
        return Forecast(
            target=target,
            metric=what,
            method=method,
            value=float(self._limited(metric, link_at(second, second.theta[None, :], np.array([loss.value])))[0]),
            draws=self._limited(metric, draws),
            parts=settings.parts,
            reach=reach_of(first.made.points, target),
            doubts=tuple(dict.fromkeys(doubts)),
        )

    def _loss_at(self, path: Path, made: Fit, target: Target) -> Prediction:
        """Predict a loss at a target; the same draws for every share that it leads to."""
        key = (path.loss, path.law, target.N, target.D, target.C, tuple(sorted(target.inputs.items())))
        if key not in self._predictions:
            rng = np.random.default_rng([self.settings.seed, 1])
            self._predictions[key] = predict_at(made, target, self.settings, rng)
        return self._predictions[key]

    def _limited(self, metric: str, share: NDArray[np.float64]) -> NDArray[np.float64]:
        what = self.training.metrics[metric]
        return within_limits(what, 1.0 - share if what.unit == "error" else share)
