"""Average error: one metric from the accuracies of many tasks, as Gadre 2024 (arXiv 2403.08540) forecasts it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from foretell.errors import MethodError, TableError
from foretell.forecast import Forecast
from foretell.table import Metric, Observations

RULE_N_TOTAL = 153_677_376  # the paper's 0.154B model, by whose 24 runs the 17 tasks are chosen
RULE_MARGIN = 0.1  # above chance


def average_error(observations: Observations, tasks: Sequence[str], name: str = "average/err") -> Observations:
    """Add the metric `name`: 1 − the mean of the tasks' accuracies, on every checkpoint where any was measured.

    Raises MethodError for a metric that is no accuracy, TableError where a checkpoint lacks one of the tasks.
    """
    if not tasks:
        raise MethodError("the average of no tasks does not exist; name at least one accuracy")
    for task in tasks:
        metric = observations.metric_named(task)
        if metric.unit != "accuracy":
            raise MethodError(f"{task} is {metric.unit}; the average error is that of accuracies")
    if name in observations.metrics:
        raise TableError(f"{name} is already a metric; give the average another name")
    of_tasks = observations.values.filter(pl.col("metric").is_in(list(tasks))).sort("run", "D", "metric")
    kept = [column for column in of_tasks.columns if column not in ("run", "D", "metric", "value", "items", "stderr")]
    means = of_tasks.group_by("run", "D", maintain_order=True).agg(
        pl.col(kept).first(), value=1.0 - pl.col("value").mean(), count=pl.len()
    )
    holes = means.filter(pl.col("count") < len(set(tasks)))
    if len(holes):
        raise TableError(
            f"{len(holes)} checkpoints lack some of the {len(set(tasks))} tasks (first: run {holes['run'][0]!r}); "
            "average fewer tasks, or drop those runs"
        )
    rows = means.drop("count").with_columns(metric=pl.lit(name))
    values = pl.concat([observations.values, rows], how="diagonal").sort("run", "D", "metric")
    metrics = {**observations.metrics, name: Metric(name=name, unit="error", better="lower")}
    return replace(
        observations,
        values=values,
        metrics=dict(sorted(metrics.items())),
        steps=(*observations.steps, f"{name}: mean error over {len(set(tasks))} tasks"),
    )


def seventeen_tasks(observations: Observations) -> tuple[str, ...]:
    """Name the accuracies on which any 0.154B model scores ≥ 10 points above the listed chance.

    On the paper's own 24 such runs these are its 17 tasks. Raises MethodError when there is no such run.
    """
    runs = observations.runs.filter(pl.col("N_total") == RULE_N_TOTAL)["name"].to_list()
    if not runs:
        raise MethodError(f"no run has N_total = {RULE_N_TOTAL:,}; the paper's rule chooses tasks by its 0.154B models")
    best = (
        observations.values.filter(pl.col("run").is_in(runs))
        .group_by("metric")
        .agg(pl.col("value").max())
        .sort("metric")
        .iter_rows()
    )
    chosen = []
    for name, value in best:
        metric = observations.metrics[name]
        if metric.unit == "accuracy" and metric.chance is not None and value >= metric.chance + RULE_MARGIN:
            chosen.append(name)
    return tuple(chosen)


def average_forecast(forecasts: Sequence[Forecast], name: str = "average/err") -> list[Forecast]:
    """Join the forecasts of tasks into that of their average error, one for each target.

    Tasks weigh alike; draws of one number are joined, so that what tasks have in common (the loss) stays in common.
    On hold-outs inside the three ladders of arXiv 2403.08540 this errs less than a law of the average itself (`auto`:
    1.2 against 3.0 % over 46 tasks, 3.2 against 3.6 % over 17). Raises MethodError for a metric that is no accuracy,
    for targets with different tasks, and where there is nothing to join.
    """
    of: dict[str, list[Forecast]] = {}
    for forecast in forecasts:
        if forecast.metric.unit != "accuracy":
            raise MethodError(f"{forecast.metric.name} is {forecast.metric.unit}; the average error is of accuracies")
        of.setdefault(forecast.target.label, []).append(forecast)
    if not of or len({frozenset(one.metric.name for one in tasks) for tasks in of.values()}) > 1:
        raise MethodError("an average needs the same tasks of every target; forecast all of them, or fewer targets")
    metric = Metric(name=name, unit="error", better="lower")
    made = []
    for tasks in of.values():
        counts = {len(one.draws) for one in tasks}
        draws = np.mean([one.draws for one in tasks], axis=0) if len(counts) == 1 else np.empty(0)
        made.append(
            replace(
                tasks[0],
                metric=metric,
                value=1.0 - float(np.mean([one.value for one in tasks])),
                draws=1.0 - draws,
                reach=max(one.reach for one in tasks),
                doubts=tuple(dict.fromkeys(doubt for one in tasks for doubt in one.doubts)),
                reason=f"{name}: the mean of {len(tasks)} tasks, each forecast alone.",
            )
        )
    return made
