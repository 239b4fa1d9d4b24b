"""The validation loss on which trajectories are laid: one that the study shares, or the mean over its sources."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from foretell.errors import StudyError
from foretell.methods.intermediate import MEAN_OF_SOURCES
from foretell.table import Metric, Observations


def with_validation_loss(observations: Observations, wanted: str | None = None) -> tuple[Observations, str]:
    """Name the validation loss in nats a token, and add it where it is a mean over sources.

    That is the one wanted, else the study's shared loss, else the mean of every `SOURCE/loss` on the checkpoints that
    have them all: `validation/loss`. Raises UnknownName for one that is not there, StudyError when there is none.
    """
    if wanted is not None:
        metric = observations.metric_named(wanted)
        if not metric.is_loss:
            raise StudyError(f"{wanted} is {metric.unit}; trajectories are laid on a loss in nats/token or bits/byte")
        return observations, wanted
    if observations.shared_loss is not None:
        return observations, observations.shared_loss
    if MEAN_OF_SOURCES in observations.metrics:
        return observations, MEAN_OF_SOURCES
    losses = [m.name for m in observations.metrics.values() if m.unit == "nats/token" and m.name.endswith("/loss")]
    if not losses:
        raise StudyError("the study holds no validation loss in nats/token; measure one, or name a metric with --loss")
    if len(losses) == 1:
        return observations, losses[0]
    rows = observations.values.filter(pl.col("metric").is_in(losses))
    mean = (
        rows.group_by("run", "D", maintain_order=True)
        .agg(
            pl.col("step").first(),
            pl.col("C").first(),
            pl.col("value").mean(),
            stderr=(pl.col("stderr") ** 2).sum().sqrt() / len(losses),
            n=pl.len(),
        )
        .filter(pl.col("n") == len(losses))
        .drop("n")
        .with_columns(metric=pl.lit(MEAN_OF_SOURCES), items=pl.lit(None, dtype=pl.Float64))
    )
    values = pl.concat([observations.values, mean], how="diagonal").sort("run", "D", "metric")
    metrics = {**observations.metrics, MEAN_OF_SOURCES: Metric(name=MEAN_OF_SOURCES, unit="nats/token")}
    return replace(observations, values=values, metrics=dict(sorted(metrics.items()))), MEAN_OF_SOURCES
