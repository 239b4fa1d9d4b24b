"""Runs, metrics and observations, and the study that keeps them."""

from foretell.table.metric import Metric, Unit, leading_loss, metric_named
from foretell.table.observations import Observations
from foretell.table.points import Points
from foretell.table.run import Run
from foretell.table.study import open_study, save_study

__all__ = [
    "Metric", "Observations", "Points", "Run", "Unit", "leading_loss", "metric_named", "open_study", "save_study",
]  # fmt: skip
