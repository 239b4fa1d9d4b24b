"""A chain: the fits that lead from N and D to one metric, with the draws of every part of its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError, MethodError
from foretell.fitting import Fit
from foretell.fitting.resample import spread_draws
from foretell.forecast import Forecast, Method, Settings, Target
from foretell.judge import widened
from foretell.judge.calibration import Calibration, shipped
from foretell.methods.chinchilla import Chinchilla
from foretell.methods.intermediate import choose_intermediate
from foretell.methods.ladder import Ladder
from foretell.methods.pieces import Path, Pieces
from foretell.methods.twostep import TwoStep
from foretell.table import Metric, Observations

Array = NDArray[np.float64]

PROBE, PROBE_REACH = 0.5, 1e-2  # a value far from every limit, carried so little that it stays there


@dataclass(frozen=True)
class Chain:
    """Hold the law of a loss and, for a share, the link behind it, with draws (B,) of all that is added to them.

    `loss_noise` is added to the loss (to its logarithm where it is fitted there), `link_spread` · `link_normal` to the
    share, and `form` · reach^`power`, reach in decades, as a share of the value for metrics that are no shares. What
    does not vary has no draws: its arrays hold zeros.
    """

    metric: Metric
    loss: Fit
    loss_noise: Array
    link: Fit | None
    link_spread: Array
    link_normal: Array
    form: Array
    power: float
    doubts: tuple[str, ...] = ()


def chains_of(
    observations: Observations, metrics: Sequence[str], method: Method, settings: Settings, label: str
) -> tuple[list[Chain], bool, list[str]]:
    """Refit what a method's forecasts are made of; give the chains, whether they are the method's own, and failures.

    A two-step method's chain gives the very draws of its forecast of the target called `label`. For a method that is
    no such chain (a mixture of ways, a prior), the chains are those of `ladder`, and the answer's second part is False.
    """
    training = observations.training()
    exact = isinstance(method, TwoStep | Chinchilla)
    steps: TwoStep | Chinchilla = method if isinstance(method, TwoStep | Chinchilla) else Ladder()
    failures: list[str] = []
    through: dict[str, str | None] = {}
    for name in metrics:
        metric = training.metric_named(name)
        try:
            through[name] = _intermediate(training, metric, steps, settings)
        except (FitError, MethodError) as error:
            failures.append(f"{name}: {error}")
    known = shipped().of(training, steps.name)
    form = _form(steps, training, list(through), known, settings, label)
    pieces = Pieces(training, {*through, *(loss for loss in through.values() if loss)}, settings)
    made: list[Chain] = []
    for name, loss in through.items():
        try:
            made.append(_chain(pieces, steps, training.metrics[name], loss, form[name], known, settings))
        except (FitError, MethodError) as error:
            failures.append(f"{name}: {error}")
    return made, exact, failures


def _intermediate(
    training: Observations, metric: Metric, method: TwoStep | Chinchilla, settings: Settings
) -> str | None:
    if not metric.is_share:
        return None
    if not isinstance(method, TwoStep):
        raise MethodError(f"{metric.name} is {metric.unit}; {method.name} forecasts losses")
    return choose_intermediate(training, metric, method.intermediate, settings)


def _chain(
    pieces: Pieces, method: TwoStep | Chinchilla, metric: Metric, through: str | None, form: Array,
    known: Calibration, settings: Settings,
) -> Chain:  # fmt: skip
    B, noise = settings.draws, "noise" in settings.parts
    power = known.shares if metric.is_share else known.others
    first = pieces.loss(through or metric.name, method.law, draws=True)
    rng = np.random.default_rng([settings.seed, 1])  # as foretell.forecast.from_fit and methods.pieces draw it
    loss_noise = spread_draws(first.made, B, rng) * rng.normal(size=B) if noise else np.zeros(B)
    if through is None or not isinstance(method, TwoStep):
        return Chain(metric, first.made, loss_noise, None, np.zeros(B), np.zeros(B), form, power, first.doubts)
    second = pieces.link(Path(through, method.law, method.link, method.ideal_point), metric.name, draws=True)
    rng = np.random.default_rng([settings.seed, 2])
    spread = spread_draws(second, B, rng) if noise else np.zeros(B)
    normal = rng.normal(size=B) if noise else np.zeros(B)
    return Chain(metric, first.made, loss_noise, second, spread, normal, form, power, first.doubts)


def _form(
    method: Method, training: Observations, metrics: Sequence[str], known: Calibration, settings: Settings, label: str
) -> dict[str, Array]:
    """Read off what `widened` adds to a forecast of known draws: its draws for one decade, and a value of one."""
    target = Target(1.0, 1.0, name=label)
    probes = [
        Forecast(
            target=target,
            metric=training.metrics[name],
            method=method.name,
            value=PROBE,
            draws=np.full(settings.draws, PROBE),
            parts=settings.parts,
            reach=PROBE_REACH,
        )
        for name in metrics
    ]
    if not probes:
        return {}
    wide = widened(method, training, probes, settings)
    return {
        probe.metric.name: (probe.draws - PROBE)
        / known.factor(PROBE_REACH, share=probe.metric.is_share)
        / (1.0 if probe.metric.is_share else PROBE)
        for probe in wide
    }
