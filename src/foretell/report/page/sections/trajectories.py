"""The loss of each run as it was trained."""

from __future__ import annotations

import numpy as np
import polars as pl

from foretell.report.page.chart import axis, series, xy
from foretell.report.page.contents import Contents
from foretell.report.page.section import Section
from foretell.table import leading_loss

MOST_RUNS, MOST_POINTS = 40, 60
FEWEST_CHECKPOINTS = 5
SETTLED = 0.03  # of a run; before, the loss falls so steeply that nothing else would be seen


def trajectories(contents: Contents) -> Section | None:
    """Draw one loss over training; nothing where the runs have no checkpoints."""
    observations = contents.observations
    metric = leading_loss(observations.metrics, observations.shared_loss)
    if metric is None:
        return None
    values = observations.values.filter(pl.col("metric") == metric)
    counts = values.group_by("run").len().filter(pl.col("len") >= FEWEST_CHECKPOINTS)
    if not len(counts):
        return None
    held = set(observations.held_out().runs["name"])
    names = sorted(counts["run"], key=lambda name: (name in held, name))[:MOST_RUNS]
    lines = []
    for name in names:
        rows = values.filter(pl.col("run") == name).sort("D")
        rows = rows.filter(pl.col("D") >= SETTLED * pl.col("D").max())
        at = np.round(np.linspace(0, len(rows) - 1, min(len(rows), MOST_POINTS))).astype(np.intp)
        D, y = rows["D"].to_numpy()[at], rows["value"].to_numpy()[at]
        lines.append(series(name, "line", D, y, colour="green" if name in held else "thin", text=[name] * len(at)))
    chart = xy(
        f"{metric} of {len(names)} runs over training; green: held out",
        axis("D, tokens seen", unit="count", log=True),
        axis(f"{metric}, {observations.metrics[metric].unit}", log=True),
        lines,
        height=320,
    )
    return Section("trajectories", "How the runs went", chart, "Training")
