"""A panel: the rows of a study that say what mixtures led to which losses, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foretell.errors import MethodError, TableError, UnknownName
from foretell.laws.mixtures import mixture_inputs
from foretell.mixture import mixture_rows
from foretell.table import Metric, Observations

Array = NDArray[np.float64]

PREFIX = "w_"
TOGETHER = 0.98  # correlation of two shares beyond which their effects cannot be told apart
STILL = 1e-4  # spread of a share below which it does not vary
CORNER = 0.5  # a source that never had half of a run has an unvisited corner


@dataclass(frozen=True)
class Panel:
    """Hold n rows: shares `weights` (n, k), N and D (n,), `pools` (n, k) of unique tokens, and losses (n, m).

    `run` (n,) names the run of each row. Pools are infinite where unknown. `notes` tells what was renormalised or left
    out, `doubts` what these mixtures cannot tell.
    """

    domains: tuple[str, ...]
    metrics: tuple[Metric, ...]
    run: NDArray[np.str_]
    weights: Array
    N: Array
    D: Array
    pools: Array
    losses: Array
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.losses)

    @property
    def names(self) -> tuple[str, ...]:
        """Name the metrics."""
        return tuple(metric.name for metric in self.metrics)

    @property
    def run_index(self) -> NDArray[np.intp]:
        """Number the runs by name and give the number of each row."""
        return np.unique(self.run, return_inverse=True)[1].astype(np.intp)

    @property
    def run_count(self) -> int:
        """Count the runs."""
        return len(set(self.run))

    def inputs(self) -> dict[str, Array]:
        """Give the inputs of a mixture law on these rows."""
        return mixture_inputs(self.weights, self.domains, self.N, self.D, self.pools)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Panel:
        """Keep the given rows."""
        kept = {name: getattr(self, name)[rows] for name in ("run", "weights", "N", "D", "pools", "losses")}
        return replace(self, **kept)

    @property
    def doubts(self) -> tuple[str, ...]:
        """List what these mixtures cannot tell, one sentence each."""
        found = []
        still = [name for j, name in enumerate(self.domains) if np.ptp(self.weights[:, j]) < STILL]
        if still:
            found.append(
                f"no variation: the share of {', '.join(still)} is the same in every run; its effect is guessed"
            )
        pairs = [
            f"{self.domains[i]} and {self.domains[j]}"
            for i in range(len(self.domains))
            for j in range(i)
            if min(np.ptp(self.weights[:, i]), np.ptp(self.weights[:, j])) >= STILL
            and np.corrcoef(self.weights[:, i], self.weights[:, j])[0, 1] > TOGETHER
        ]
        if pairs:
            found.append(
                f"moving together: {'; '.join(pairs)} rise and fall as one; their effects cannot be told apart"
            )
        most = self.weights.max(axis=0)
        corners = [
            f"{name} ({high:.0%} at most)" for name, high in zip(self.domains, most, strict=True) if high < CORNER
        ]
        if corners:
            shown = ", ".join(corners[:5]) + (f" and {len(corners) - 5} more" if len(corners) > 5 else "")
            found.append(f"unvisited corners: no run had half of {shown}; a forecast there extrapolates")
        return tuple(found)


def panel_of(observations: Observations, metrics: Sequence[str] = ()) -> Panel:
    """Gather the rows of a study on which every wanted metric was measured; every loss where none is named.

    Rows that miss a metric are left out and counted in the notes; accuracies enter as errors. Raises
    UnknownName for a metric that nobody measured, TableError when runs have no mixtures or shares do not sum to 1.
    """
    training = observations.training()
    wanted = list(metrics) or [name for name, metric in training.metrics.items() if metric.is_loss]
    if not wanted:
        raise MethodError(f"no loss was measured; name a metric among {', '.join(sorted(training.metrics))}")
    for name in wanted:
        training.metric_named(name)
    points = {name: training.metric(name) for name in dict.fromkeys(wanted)}
    tables = {
        name: {(str(run), float(D)): i for i, (run, D) in enumerate(zip(p.run, p.input("D"), strict=True))}
        for name, p in points.items()
    }
    keys = sorted(set.intersection(*(set(table) for table in tables.values())))
    every = set.union(*(set(table) for table in tables.values()))
    if not keys:
        raise TableError(f"no run has all of {', '.join(wanted)}; name fewer metrics")
    first = points[wanted[0]]
    columns = sorted(column for column in training.runs.columns if column.startswith(PREFIX))
    if not columns:
        raise TableError("the runs have no mixtures: no column is called w_…; name the shares when reading (--weights)")
    absent = [column for column in columns if column not in first.inputs]
    if absent:
        raise TableError(
            f"some runs have no share of {', '.join(c.removeprefix(PREFIX) for c in absent)}; fill the hole"
        )
    rows = np.array([tables[wanted[0]][key] for key in keys])
    domains = tuple(column.removeprefix(PREFIX) for column in columns)
    run = first.run[rows]
    weights, notes = mixture_rows(np.stack([first.inputs[c][rows] for c in columns], axis=1), domains, list(run))
    pools = np.full(weights.shape, np.inf)
    for j, name in enumerate(domains):
        if f"U_{name}" in first.inputs:
            pools[:, j] = first.inputs[f"U_{name}"][rows]
    left = len(every) - len(keys)
    if left:
        notes.append(f"{left} of {len(every)} rows miss one of the metrics and are left out")
    losses = np.stack([points[name].value[[tables[name][key] for key in keys]] for name in points], axis=1)
    for j, name in enumerate(points):
        if points[name].metric.better == "higher" and points[name].metric.is_share:
            losses[:, j] = 1.0 - losses[:, j]
            notes.append(f"{name} enters as its error, 1 − {name}")
    return Panel(
        domains, tuple(points[name].metric for name in points), run, weights, first.input("N")[rows],
        first.input("D")[rows], pools, losses, tuple(notes),
    )  # fmt: skip


def aliases(name: str) -> tuple[str, str, str]:
    """Give what a name in an objective may stand for: a metric, a domain's loss, a task's accuracy."""
    return name, f"{name}/loss", f"{name}/acc"


def wanted_metrics(observations: Observations, asked: Sequence[str]) -> list[str]:
    """Name every loss of a study, and what else an objective asks for."""
    names = [part.partition("=")[0].strip() for given in asked for part in given.split(",")]
    known = observations.metrics
    losses = [name for name, metric in known.items() if metric.is_loss]
    more = [next((full for full in aliases(name) if full in known), "") for name in names]
    return [*losses, *dict.fromkeys(name for name in more if name and name not in losses)]


def objective_weights(panel_metrics: Sequence[str], asked: Sequence[str]) -> dict[str, float]:
    """Read what is to be made small: `avg`, a metric, or several `METRIC=weight`.

    A domain's name stands for its loss. Raises UnknownName for a metric nobody measured, MethodError for weights
    that are not numbers or all zero.
    """
    if not asked or list(asked) == ["avg"]:
        return {name: 1.0 / len(panel_metrics) for name in panel_metrics}
    found: dict[str, float] = {}
    for text in [part.strip() for given in asked for part in given.split(",") if part.strip()]:
        name, sign, number = text.partition("=")
        named = next((full for full in aliases(name) if full in panel_metrics), name)
        if named not in panel_metrics:
            raise UnknownName("measured metric", name, panel_metrics)
        try:
            found[named] = float(number) if sign else 1.0
        except ValueError:
            raise MethodError(
                f"objective {text!r} has the weight {number!r}; write a number, as in c4/loss=2"
            ) from None
    total = sum(abs(value) for value in found.values())
    if not np.isfinite(total) or total <= 0:
        raise MethodError(f"the weights of the objective {', '.join(asked)} are all zero or no numbers")
    return {name: value / total for name, value in found.items()}
