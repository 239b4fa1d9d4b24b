"""The pieces of two-step forecasts: fits of losses and links, each made once however many paths use it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from foretell.fitting import Fit
from foretell.forecast import Forecast, Settings, Target, reach_of, within_limits
from foretell.forecast.from_fit import Prediction, predict_at, target_doubts, with_draws
from foretell.forecast.method import FEWEST_DRAWS
from foretell.methods.linkfit import (
    fit_link,
    has_signal,
    link_at,
    link_doubts,
    link_rows,
    observation_noise,
    smoothed,
    thinned,
    with_link_draws,
)  # fmt: skip
from foretell.methods.lossfit import LossFit, fit_loss
from foretell.table import Metric, Observations, Points


@dataclass(frozen=True)
class Path:
    """Name a way to a share: which loss, by which law, through which link, with the ideal point or without."""

    loss: str
    law: str
    link: str
    ideal_point: bool


@dataclass
class Pieces:
    """Keep the rows and fits that paths through the same training runs share.

    `sparse` ones are meant for hold-outs; those `within` others take their rows from them, where a hold-out parts whole
    runs: reading a study's tables takes longer than fitting them.
    """

    training: Observations
    names: Iterable[str]
    settings: Settings
    sparse: bool = False
    within: Pieces | None = None
    _points: dict[str, Points] = field(default_factory=dict)
    _pairs: dict[tuple[str, str], tuple[Points, bool]] = field(default_factory=dict)
    _losses: dict[tuple[str, str, int], LossFit] = field(default_factory=dict)
    _links: dict[tuple[str, str, str, bool, int], Fit] = field(default_factory=dict)
    _predictions: dict[tuple[object, ...], Prediction] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.training.rows != "final":  # a hold-out parts runs, too
            self.within = None

    @cached_property
    def _smooth(self) -> Observations:
        return smoothed(self.training.only_metrics(self.names))

    @cached_property
    def _runs(self) -> NDArray[np.str_]:
        return self.training.runs["name"].to_numpy().astype(np.str_)

    def points(self, name: str) -> Points:
        """Give the rows of a metric that laws are fitted to."""
        if name not in self._points:
            whole = None if self.within is None else self.within.points(name)
            found = self.training.metric(name) if whole is None else whole.take(np.isin(whole.run, self._runs))
            self._points[name] = found
        return self._points[name]

    def pairs(self, loss: str, metric: str) -> tuple[Points, bool]:
        """Give the smoothed checkpoints with both a loss and a share, and whether the one tells the other.

        Every fifth of them in sparse pieces.
        """
        key = (loss, metric)
        if key not in self._pairs:
            if self.within is None:
                found = link_rows(self._smooth, loss, self.training.metrics[metric]).with_chance()
            else:
                whole, _ = self.within.pairs(loss, metric)
                found = whole.take(np.isin(whole.run, self._runs))
            found = thinned(found) if self.sparse else found
            self._pairs[key] = found, has_signal(found)
        return self._pairs[key]

    def drawing(self, count: int) -> Settings:
        """Give the settings for `count` draws, and never fewer than settings allow."""
        return replace(self.settings, draws=max(count, FEWEST_DRAWS) if count else 0)

    def loss(self, name: str, law: str, *, draws: bool | int) -> LossFit:
        """Fit a loss law to a metric, with draws where they are asked for: the settings' number, or `draws`."""
        count = (self.settings.draws if draws else 0) if isinstance(draws, bool) else draws
        key = (name, law, count)
        if key not in self._losses:
            if count:
                found = self.loss(name, law, draws=False)
                self._losses[key] = replace(found, made=with_draws(found.made, self.drawing(count)))
            else:
                self._losses[key] = fit_loss(self.points(name), law, self.settings)
        return self._losses[key]

    def link(self, path: Path, metric: str, *, draws: bool | int) -> Fit:
        """Fit a path's link to a metric, with draws where they are asked for: the settings' number, or `draws`."""
        count = (self.settings.draws if draws else 0) if isinstance(draws, bool) else draws
        key = (path.loss, metric, path.link, path.ideal_point, count)
        if key not in self._links:
            if count:
                plain = self.link(path, metric, draws=False)
                self._links[key] = with_link_draws(plain, self.settings, count)
            else:
                rows, signal = self.pairs(path.loss, metric)
                self._links[key] = fit_link(
                    rows, path.link, self.settings, signal=signal, ideal_point=path.ideal_point, sparse=self.sparse
                )
        return self._links[key]

    def value(self, path: Path, metric: str, target: Target) -> float:
        """Compute the share that a path leads to, without draws."""
        first, second = self.loss(path.loss, path.law, draws=False), self.link(path, metric, draws=False)
        loss = first.made.predict(target.columns(first.made.points.metric))
        return float(limited_share(self.training.metrics[metric], link_at(second, second.theta[None, :], loss))[0])

    def forecast(
        self, path: Path, metric: str, target: Target, method: str, part: NDArray[np.intp] | None = None
    ) -> Forecast:
        """Forecast a share along a path; the loss's noise and the share's own are both in the draws.

        `part` (b,) numbers the draws of the loss that are used, all by default; so many draws the forecast has.
        """
        settings = self.settings
        B = settings.draws if part is None else len(part)
        own = part is not None and path.loss.rsplit("/", 1)[0] == metric.rsplit("/", 1)[0]  # no other share's loss
        first = self.loss(path.loss, path.law, draws=B if own else True)
        second = self.link(path, metric, draws=B)
        loss = self._loss_at(path, first.made, target, B if own else settings.draws)
        used = loss.draws[:B] if part is None or own else loss.draws[part]
        rng = np.random.default_rng([settings.seed, 2])
        what = self.training.metrics[metric]
        draws = np.empty(0)
        if B:
            theta = second.draws if second.draws is not None else np.tile(second.theta, (B, 1))
            draws = link_at(second, theta, used)
            if "noise" in settings.parts:
                draws = draws + observation_noise(second, what, draws, rng)
        doubts = [*first.doubts, *link_doubts(second, loss.value), *target_doubts(first.made, target)]
        return Forecast(
            target=target,
            metric=what,
            method=method,
            value=float(limited_share(what, link_at(second, second.theta[None, :], np.array([loss.value])))[0]),
            draws=limited_share(what, draws),
            parts=settings.parts,
            reach=reach_of(first.made.points, target),
            doubts=tuple(dict.fromkeys(doubts)),
        )

    def _loss_at(self, path: Path, made: Fit, target: Target, count: int) -> Prediction:
        """Predict a loss at a target; the same draws for every share that it leads to."""
        key = (path.loss, path.law, count, target.N, target.D, target.C, tuple(sorted(target.inputs.items())))
        if key not in self._predictions:
            rng = np.random.default_rng([self.settings.seed, 1])
            self._predictions[key] = predict_at(made, target, self.drawing(count), rng)
        return self._predictions[key]


def limited_share(metric: Metric, share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Write a share of right answers as its metric counts it, accuracy or error, within what that can be."""
    return within_limits(metric, 1.0 - share if metric.unit == "error" else share)
