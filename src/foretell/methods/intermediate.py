"""The intermediate: the loss through which a task's accuracy is forecast."""

from __future__ import annotations

import numpy as np

from foretell.errors import ForetellError, MethodError, UnknownName
from foretell.forecast import Settings
from foretell.methods.lossfit import AUTO, choose_law, fit_loss
from foretell.table import Metric, Observations, Points

MEAN_OF_SOURCES = "validation/loss"  # the mean of every SOURCE/loss, which a trace adds to a study
OWN = "bpb"  # each task's own bits per byte of the correct answer
HELD_BACK = 0.3  # of the runs, by compute, when losses compete


def choose_intermediate(training: Observations, metric: Metric, wanted: str, settings: Settings) -> str:
    """Name the loss that leads to a task's accuracy: the one wanted, the study's shared one, or the most predictable.

    The most predictable loss is the one whose law, fitted to the runs of least compute, errs least on the rest of
    the ladder; the mean that a trace adds takes no part beside the losses it is made of, so that tracing a study does
    not change what leads to its tasks. Raises MethodError when there is no loss, UnknownName when the wanted one is not
    in the study.
    """
    losses = [m.name for m in training.metrics.values() if m.is_loss]
    if wanted == OWN:
        own = f"{metric.name.rsplit('/', 1)[0]}/bpb"
        if own not in training.metrics:
            raise UnknownName("metric", own, losses)
        return own
    if wanted != AUTO:
        if not training.metric_named(wanted).is_loss:
            raise MethodError(f"{wanted} is {training.metrics[wanted].unit}; the intermediate must be a loss")
        return wanted
    if training.shared_loss is not None:
        return training.shared_loss
    if not losses:
        raise MethodError(
            f"no loss leads to {metric.name}: the study has none; read one as well (--metric c4/loss=COLUMN)"
        )
    own = f"{metric.name.rsplit('/', 1)[0]}/bpb"
    shared = [name for name in losses if not name.endswith("/bpb")] or [own] * (own in losses) or losses
    if len(shared) > 1:
        shared = [name for name in shared if name != MEAN_OF_SOURCES]
    if len(shared) == 1:
        return shared[0]
    errors = {name: _error_within(training.metric(name), settings) for name in shared}
    return min(errors, key=lambda name: (errors[name], name))


def _error_within(points: Points, settings: Settings) -> float:
    """Give the mean |relative error| on the runs of most compute of a law fitted to the others."""
    compute = points.input("C")
    cut = np.quantile(compute, 1.0 - HELD_BACK)
    low, high = points.take(compute <= cut), points.take(compute > cut)
    if not len(high):
        return np.inf
    try:
        made = fit_loss(low, choose_law(low)[0], settings).made
    except ForetellError:
        return np.inf
    return float(np.mean(np.abs(made.predict(high.inputs) / high.value - 1.0)))
