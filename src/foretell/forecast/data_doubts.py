"""Data doubts: what is wrong with the rows behind a forecast, whichever method reads them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.table import Metric, Observations

WHOLE = 0.02  # of one item: how far share × items may lie from a whole number
BELOW = 3.0  # standard errors of a count below chance at which a run is said to lie there
RISES = 0.01  # relative: the seeds of public ladders scatter by a tenth of this
SMOOTHED = 5  # checkpoints averaged before one is compared with another, as links are fitted (arXiv 2412.04403)
NAMED = 3  # runs or losses that a doubt names before it only counts


def data_doubts(
    training: Observations, names: Iterable[str], through: str = "", *, loss: bool = True
) -> dict[str, list[str]]:
    """List for each metric what is doubtful about its rows, and about those of the losses that may lead to it.

    `through` names the loss on the way to a share; without it the study's shared loss is meant, else every loss in
    nats/token; without `loss` none leads there. Each doubt begins with its name:
    missing, never changes, contradictory counts, below chance, at or below chance, or non-monotone.
    """
    rising: dict[str, str] = {}  # tasks share their losses
    return {name: _of_metric(training, name, through, rising, loss=loss) for name in names}


def _of_metric(training: Observations, name: str, through: str, rising: dict[str, str], *, loss: bool) -> list[str]:
    metric = training.metric_named(name)
    mine = training.values.filter(pl.col("metric") == name)
    found = _missing(name, set(training.runs["name"]), set(mine["run"]), "runs")
    if len(mine) > 1 and mine["value"].n_unique() == 1:
        found.append(f"never changes: {name} is {mine['value'][0]:.4g} on all {len(mine)} checkpoints of these runs")
    lost: list[str] = []
    losses = _losses(training, name, through) if metric.is_share and loss else [name] if metric.is_loss else []
    if metric.is_share:
        for one in losses:
            common = mine.join(_of(training, one), on=["run", "D"], how="semi")
            lost += _missing(one, set(mine["run"]), set(common["run"]), f"runs with {name}")
        found += _first(lost, "missing: {} further losses in some runs as well")
        if not training.steps:  # a mean over checkpoints is no count
            found += _counts(metric, mine)
        found += _below_chance(metric, mine)
    for one in losses:
        if one not in rising:
            rising[one] = _non_monotone(training, one)
    shown = [rising[one] for one in losses if rising[one]]
    return [*found, *_first(shown, "non-monotone: {} further losses rise as well")]


def _first(doubts: list[str], more: str) -> list[str]:
    return [*doubts[:NAMED], *([more.format(len(doubts) - NAMED)] if len(doubts) > NAMED else [])]


def _losses(training: Observations, name: str, through: str) -> list[str]:
    own = f"{name.rsplit('/', 1)[0]}/bpb"
    if through == "bpb" and own in training.metrics:
        return [own]
    if through in training.metrics:
        return [through]
    if training.shared_loss is not None:
        return [training.shared_loss]
    plain = [metric.name for metric in training.metrics.values() if metric.unit == "nats/token"]
    return plain or ([own] if own in training.metrics else [])


def _of(training: Observations, name: str) -> pl.DataFrame:
    return training.values.filter(pl.col("metric") == name)


def _missing(name: str, wanted: set[str], have: set[str], of: str) -> list[str]:
    lost = sorted(wanted - have)
    if not lost:
        return []
    return [
        f"missing: {name} was not measured in {len(lost)} of {len(wanted)} {of} ({_some(lost)}); "
        "what is read off it rests on the others"
    ]


def no_counts(share: NDArray[np.float64], items: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say of which shares (n,) of items (n,) the product is no whole number; of none whose items are not known."""
    count = share * items
    return np.asarray(np.abs(count - np.round(count)) > WHOLE)


def _counts(metric: Metric, rows: pl.DataFrame) -> list[str]:
    items = rows["items"].fill_null(metric.items or np.nan).to_numpy()
    share = rows["value"].to_numpy()
    apart = no_counts(share, items)
    if not apart.any():
        return []
    first = int(np.argmax(apart))
    solved = share[first] * items[first]
    where = f"{int(apart.sum())} of {len(rows)} checkpoints (first: run {rows['run'][first]!r}, {solved:.2f})"
    return [
        f"contradictory counts: share × {items[first]:.0f} items is no whole number on {where}; it is a mean of "
        "something else, or one of the two is wrong"
    ]


def _below_chance(metric: Metric, rows: pl.DataFrame) -> list[str]:
    if metric.chance is None:
        return []
    ends = rows.sort("run", "D").group_by("run", maintain_order=True).last()
    value = ends["value"].to_numpy()
    right = 1.0 - value if metric.unit == "error" else value
    items = ends["items"].fill_null(metric.items or np.nan).to_numpy()
    error = np.nan_to_num(np.sqrt(metric.chance * (1.0 - metric.chance) / items), nan=RISES)
    low = right < metric.chance - BELOW * error
    if low.any():
        names = ends["run"].to_numpy()[low].tolist()
        return [
            f"below chance: {len(names)} of {len(ends)} runs ({_some(names)}) score less than a guess, "
            f"{metric.chance:.1%}, by more than counts scatter"
        ]
    if right.max() <= metric.chance:
        return [f"at or below chance: no run scores above a guess, {metric.chance:.1%} (the best: {right.max():.1%})"]
    return []


def _non_monotone(training: Observations, loss: str) -> str:
    """Say which runs end above their own lowest loss, or above that of a run no larger and no longer; else nothing."""
    count = "N" if training.law_N == "N" else "N_total"
    rows = _of(training, loss).sort("run", "D").group_by("run", maintain_order=True).agg("D", "value")
    known = rows.join(training.runs.select("name", "family", N=count), left_on="run", right_on="name").sort("run")
    smooth = [_smooth(np.array(values)) for values in known["value"]]
    ends = known.with_columns(
        D=pl.col("D").list.last(),
        end=pl.Series([float(values[-1]) for values in smooth]),
        least=pl.Series([float(values.min()) for values in smooth]),
    )
    names, end, least = (ends[column].to_numpy() for column in ("run", "end", "least"))
    N, D, family = (ends[column].to_numpy() for column in ("N", "D", "family"))
    within = end > least * (1.0 + RISES)
    more = (N[:, None] >= N) & (D[:, None] >= D) & ((N[:, None] > N) | (D[:, None] > D))
    among = (more & (family[:, None] == family) & (end[:, None] > end * (1.0 + RISES))).any(axis=1)
    said = [
        f"{int(where.sum())} of {len(ends)} runs end above {what} ({_some(names[where].tolist())})"
        for where, what in ((within, "their own lowest loss"), (among, "a smaller or shorter run"))
        if where.any()
    ]
    return f"non-monotone: in {loss} {' and '.join(said)}, by more than {RISES:.0%}" if said else ""


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average over as many neighbours as a tenth of the checkpoints are, at most SMOOTHED."""
    width = min(SMOOTHED, max(1, len(values) // 10))
    averaged: NDArray[np.float64] = np.convolve(values, np.full(width, 1.0 / width), mode="valid")
    return averaged


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
