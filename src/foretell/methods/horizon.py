"""The horizon method: success as a sigmoid of a validation loss, read off at the extrapolated loss (Cao 2025)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foretell.errors import MethodError
from foretell.fitting import Fit
from foretell.forecast import Forecast, Settings, Target, reach_of, within_limits
from foretell.forecast.from_fit import Prediction, forecast_from_fit, predict_at, target_doubts, with_draws
from foretell.methods.intermediate import choose_intermediate
from foretell.methods.itemfit import ItemFit
from foretell.methods.itemlink import fit_item_link, shifts_over_runs
from foretell.methods.lossfit import AUTO, LossFit, fit_loss
from foretell.methods.sharelink import fit_share_link
from foretell.table import Metric, Observations
from foretell.table.items import Items

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Horizon:
    """Forecast accuracy at a long horizon by a sigmoid regression of outcomes on a validation loss at short ones.

    Our reading of a talk that has no paper: correct ~ Binomial(n, g + (1 − g)·σ(a − b·L)) with g the chance level,
    by maximum likelihood on the runs given, read off at the loss that a law extrapolates. `intermediate` is the
    validation loss (`c4/loss`), `bpb` for each task's own, or `auto`: the study's shared loss; `law` the loss law; the
    `floor` is `fitted` between 0 and chance, or `chance` itself as the talk has it.
    Where `items` holds a task's outcomes one by one, each item has its own sigmoid, shrunk to the others'. In a study
    that was traced, the link says whether one curve serves all sizes, and has a term in ln N where it does not.
    """

    intermediate: str = AUTO
    law: str = AUTO
    floor: str = "fitted"
    items: Items | None = None

    name = "horizon"
    source = "Cao 2025, talk at the NLIP seminar, Cambridge (talks.cam.ac.uk 235297); our reading"

    def forecast(
        self, observations: Observations, targets: Sequence[Target], metrics: Sequence[str], settings: Settings
    ) -> list[Forecast]:
        """Forecast every metric of every target; raises MethodError where no loss leads to a metric."""
        training = observations.training()
        steps: dict[str, LossFit] = {}
        with_items = set() if self.items is None else set(self.items.metrics())

        def step(name: str) -> LossFit:
            if name not in steps:
                found = fit_loss(training.metric(name), self.law, settings)
                steps[name] = replace(found, made=with_draws(found.made, settings))
            return steps[name]

        made: list[Forecast] = []
        for name in metrics:
            metric = training.metric_named(name)
            if not metric.is_share:
                first = step(name)
                made += [forecast_from_fit(first.made, t, settings, self.name, first.doubts) for t in targets]
                continue
            loss = choose_intermediate(training, metric, self.intermediate, settings)
            if self.items is not None and name in with_items:
                made += self._by_item(self.items, training, loss, metric, step(loss), targets, settings)
            else:
                made += self._by_task(training, loss, metric, step, targets, settings)
        return made

    def _by_task(
        self,
        training: Observations,
        loss: str,
        metric: Metric,
        step: Callable[[str], LossFit],
        targets: Sequence[Target],
        settings: Settings,
    ) -> list[Forecast]:
        link = fit_share_link(training, loss, metric, settings, self.floor)
        steps = [step(name) for name in link.inputs]
        doubts = (*steps[0].doubts, *link.doubts)
        made = []
        for target in targets:
            rng = np.random.default_rng([settings.seed, 2])
            reached = [predict_at(one.made, target, settings, rng) for one in steps]
            value, draws = link.at(reached, target.N, settings, rng)
            one = self._forecast(metric, target, value, draws, steps[0].made, doubts, settings)
            made.append(replace(one, reason=link.reason))
        return made

    def _by_item(
        self,
        items: Items,
        training: Observations,
        loss: str,
        metric: Metric,
        first: LossFit,
        targets: Sequence[Target],
        settings: Settings,
    ) -> list[Forecast]:
        if metric.unit == "error":
            raise MethodError(f"{metric.name} is an error; outcomes of items are successes: name the accuracy")
        link = fit_item_link(items, training, loss, metric)
        doubts = (*first.doubts, *link.doubts)
        shifts = np.zeros((1, len(link.made.mode), 2))
        if settings.draws and "coefficients" in settings.parts:
            shifts = shifts_over_runs(link.made, settings)
        made = []
        for target in targets:
            rng = np.random.default_rng([settings.seed, 2])
            reached = predict_at(first.made, target, settings, rng)
            value = float(link.made.accuracy(np.array([reached.value]))[0])
            draws = _item_draws(link.made, shifts, reached, settings, rng)
            made.append(self._forecast(metric, target, value, draws, first.made, doubts, settings))
        return made

    def _forecast(
        self,
        metric: Metric,
        target: Target,
        value: float,
        draws: Array,
        first: Fit,
        doubts: Sequence[str],
        settings: Settings,
    ) -> Forecast:
        flip = metric.unit == "error"
        return Forecast(
            target=target,
            metric=metric,
            method=self.name,
            value=float(within_limits(metric, np.array([1.0 - value if flip else value]))[0]),
            draws=within_limits(metric, 1.0 - draws if flip else draws),
            parts=settings.parts,
            reach=reach_of(first.points, target),
            doubts=tuple(dict.fromkeys([*doubts, *target_doubts(first, target)])),
        )


def _item_draws(
    made: ItemFit, shifts: Array, reached: Prediction, settings: Settings, rng: np.random.Generator
) -> Array:
    """Draw accuracies (B,): runs resampled behind the curves, the loss drawn, and every item's own outcome."""
    if not settings.draws:
        return np.empty(0)
    order = np.argsort(reached.draws)
    low, high = reached.draws[order[0]], reached.draws[order[-1]]
    grid = np.linspace(low, high, 15) if high > low else np.array([low])
    draws = np.empty(settings.draws)
    noise = np.zeros(settings.draws)
    curves = np.array([made.accuracy(grid, shift) for shift in shifts])
    which = rng.integers(len(shifts), size=settings.draws)
    for r in range(len(shifts)):
        mine = which == r
        draws[mine] = np.interp(reached.draws[mine], grid, curves[r])
    if "noise" in settings.parts:
        p = made.probability(np.array([reached.value]))[:, 0]
        noise = np.sqrt(np.sum(p * (1.0 - p))) / len(p) * rng.normal(size=settings.draws)
    return np.asarray(draws + noise)
