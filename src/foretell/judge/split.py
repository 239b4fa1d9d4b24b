"""A split: some of the observations to fit, the larger rest to forecast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl

from foretell.errors import TableError, UnknownName
from foretell.forecast import Target
from foretell.table import Observations, Points
from foretell.units import format_count

Axis = Literal["C", "N", "D", "family", "held-out"]

AXES: tuple[Axis, ...] = ("C", "N", "D", "family", "held-out")
SHARES = (0.3, 0.5, 0.7)  # of the rows (of the distinct sizes, by N or D) that are fitted, one split each


@dataclass(frozen=True)
class Split:
    """Hold a fit part and a test part that share no row; `name` says where they part."""

    name: str
    fit: Observations
    test: Observations


def splits_of(observations: Observations, by: str = "C", shares: Sequence[float] = SHARES) -> list[Split]:
    """Part observations progressively by C, N or D, by family, or into the runs held out and the others.

    By C, N and D the part up to a quantile is fitted and the rest forecast; whole runs where laws use final values,
    rows otherwise. Raises UnknownName for another axis, TableError when nothing can be parted.
    """
    if by not in AXES:
        raise UnknownName("axis", by, AXES)
    if by == "held-out":
        if not len(observations.held_out().runs):
            raise TableError("no run is held out; mark some when reading, or split by C, N, D or family")
        return [Split("held out", observations.training(), observations.held_out())]
    training = observations.training()
    made = _by_family(training) if by == "family" else _by_size(training, by, shares)
    if not made:
        raise TableError(f"the runs cannot be split by {by}: there are too few different values")
    return made


def _by_family(training: Observations) -> list[Split]:
    families = sorted(set(training.runs["family"]))
    parts = []
    for family in families if len(families) > 1 else []:
        inside = training.runs.filter(pl.col("family") == family)["name"].to_list()
        outside = training.runs.filter(pl.col("family") != family)["name"].to_list()
        parts.append(Split(f"without {family}", training.only_runs(outside), training.only_runs(inside)))
    return parts


def _by_size(training: Observations, by: str, shares: Sequence[float]) -> list[Split]:
    count = "N" if training.law_N == "N" else "N_total"
    runs = training.runs.with_columns(pl.col("C").fill_null(6.0 * pl.col(count) * pl.col("D")), N=pl.col(count))
    whole = training.rows == "final"
    if whole:
        rows = runs.select(run="name", x=by)
    else:
        joined = training.values.join(runs.select(run="name", N="N"), on="run", how="left", maintain_order="left")
        joined = joined.with_columns(pl.col("C").fill_null(6.0 * pl.col("N") * pl.col("D")))
        rows = joined.select("run", x=by)
    sizes = rows["x"].sort() if by == "C" else rows["x"].unique().sort()
    parts: list[Split] = []
    for cut in dict.fromkeys(sizes[max(0, round(share * len(sizes)) - 1)] for share in shares):
        mask = rows["x"] <= cut
        if not 0 < int(mask.sum()) < len(rows):
            continue
        name = f"{by} ≤ {format_count(cut)}" if by != "C" else f"C ≤ {cut:.3g}"
        if whole:
            below, above = rows.filter(mask)["run"].to_list(), rows.filter(~mask)["run"].to_list()
            parts.append(Split(name, training.only_runs(below), training.only_runs(above)))
        else:
            parts.append(Split(name, _rows(training, mask), _rows(training, ~mask)))
    return parts


def _rows(training: Observations, mask: pl.Series) -> Observations:
    values = training.values.filter(mask)
    runs = training.runs.filter(pl.col("name").is_in(values["run"].unique().to_list()))
    return replace(training, runs=runs, values=values)


def families_of(observations: Observations) -> dict[str, str]:
    """Give the family of every run by its name."""
    return dict(observations.runs.select("name", "family").iter_rows())


def targets_of(
    points: Points, most: int | None = None, families: Mapping[str, str] | None = None
) -> list[tuple[Target, float]]:
    """Make a target of every row, beside the value measured there, in the order of compute.

    Of more than `most` rows, so many are taken, spread evenly over that order. `families` gives the family of each run.
    """
    family = families or {}
    order = sorted(range(len(points)), key=lambda i: (points.input("C")[i], points.run[i]))
    if most is not None and len(order) > most:
        order = [order[round(i)] for i in np.linspace(0, len(order) - 1, most)]
    others = [name for name in points.inputs if name not in ("N", "D", "C", "M", "N_total", "L", "chance")]
    several = len(set(points.run)) < len(points)
    made = []
    for i in order:
        D = float(points.input("D")[i])
        target = Target(
            N=float(points.input("N")[i]),
            D=D,
            C=float(points.input("C")[i]),
            name=f"{points.run[i]} at {format_count(D, 6)}" if several else str(points.run[i]),
            family=family.get(str(points.run[i]), ""),
            inputs={name: float(points.input(name)[i]) for name in others},
        )
        made.append((target, float(points.value[i])))
    return made
