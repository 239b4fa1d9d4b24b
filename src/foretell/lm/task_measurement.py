"""A measurement: one metric's value on one checkpoint, with its standard error."""

from __future__ import annotations

import math
from dataclasses import dataclass

from foretell.lm.scoring import Scores
from foretell.lm.validation import Loss
from foretell.table.metric import Metric, metric_named


@dataclass(frozen=True)
class Measurement:
    """Hold a metric's value; `stderr` is None where unknown, `items` counts questions where there are some."""

    metric: Metric
    value: float
    stderr: float | None = None
    items: int | None = None


def of_loss(source: str, loss: Loss) -> list[Measurement]:
    """Name the two values of a source's validation loss: SOURCE/loss in nats a token, SOURCE/bpb in bits a byte."""
    return [
        Measurement(metric_named(f"{source}/loss"), loss.nats_per_token, known(loss.stderr)),
        Measurement(metric_named(f"{source}/bpb"), loss.bits_per_byte, known(loss.stderr_bpb)),
    ]


def of_scores(task: str, scores: Scores) -> list[Measurement]:
    """Name what ranked options tell: TASK/acc by length, TASK/acc_raw, TASK/bpb, TASK/soft_loss and TASK/margin.

    Each is a mean over items: right or wrong, the bits a byte of the right option, −log of its share among all
    options, and its lead over the best wrong one; the last two compare options by length, as the first does.
    """
    n, chance = len(scores), scores.chance
    found = [
        (metric_named(f"{task}/acc", chance=chance, items=n), scores.outcomes()),
        (metric_named(f"{task}/acc_raw", chance=chance, items=n), scores.outcomes("none")),
        (metric_named(f"{task}/bpb", items=n), scores.bits_per_byte()),
        (metric_named(f"{task}/soft_loss", unit="value", items=n), scores.soft_losses()),
        (Metric(name=f"{task}/margin", unit="value", better="higher", items=n), scores.margins()),
    ]
    means = [(metric, *scores.mean(values)) for metric, values in found]
    return [Measurement(metric, value, known(error), n) for metric, value, error in means]


def known(stderr: float) -> float | None:
    """Give a standard error, or None where there is none."""
    return stderr if math.isfinite(stderr) else None
