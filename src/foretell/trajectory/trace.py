"""The trace of a study: what its tokens, texts and tasks do over training and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.errors import FitError, StudyError
from foretell.methods.token_predictor import TokenPredictor
from foretell.table import Observations
from foretell.trajectory.alignment import Alignment, align
from foretell.trajectory.categories import Categories, classify
from foretell.trajectory.losses import RunLosses
from foretell.trajectory.overlap import Overlap, overlap_of
from foretell.trajectory.rule import FEWEST, STARTS, Category, starts_that_fit
from foretell.trajectory.sequences import SequenceCurve
from foretell.trajectory.summaries import category_means
from foretell.trajectory.tasks import TaskTrace

Array = NDArray[np.float64]

CHOSEN = "loss of"  # how curves of tokens chosen by the reference run are called


@dataclass(frozen=True)
class Path:
    """Hold one trajectory: a rung's trunk, its categories at the starts asked for and at every checkpoint.

    `validation` (c,) is the validation loss in nats, `means` (c, 4) the mean loss of the tokens that the reference run
    puts into each category.
    """

    run: str
    rung: str
    size: float
    D: Array
    C: Array
    validation: Array
    categories: Categories
    everywhere: Categories
    means: Array


@dataclass(frozen=True)
class Trace:
    """Hold a trace: trajectories in order of size, and what was compared between them."""

    probe: str
    tokens: int
    loss: str
    paths: tuple[Path, ...]
    overlaps: tuple[Overlap, ...]
    reference: str
    alignments: tuple[Alignment, ...]
    tasks: tuple[TaskTrace, ...] = ()
    texts: tuple[SequenceCurve, ...] = ()
    predictors: tuple[TokenPredictor, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def categories(self) -> list[Categories]:
        """Give the categories of all trajectories, at every checkpoint: what the table keeps."""
        return [path.everywhere for path in self.paths]


def trace_tokens(
    runs: Sequence[RunLosses],
    observations: Observations,
    loss: str,
    *,
    probe: str = "probe",
    starts: Sequence[float] | None = None,
) -> Trace:
    """Trace the tokens of a probe over the trunks of all rungs.

    Of the runs of a rung the one with most checkpoints on its trunk is the trajectory. Starts that leave too few
    checkpoints are left out and said, unless they were asked for. Tokens keep the category that the reference run, the
    middle size, gives them at the first start. Raises StudyError when there is no trajectory.
    """
    if tokens := {run.losses.tokens for run in runs} - {runs[0].losses.tokens} if runs else set():
        raise StudyError(f"the runs were measured on probes of {runs[0].losses.tokens} and {tokens} tokens; trace each")
    chosen = _trajectories(runs)
    if not chosen:
        raise StudyError(
            f"no run has the {FEWEST} checkpoints of its trunk that a trend needs; measure the probe on more of them"
        )
    notes: list[str] = []
    asked = list(starts or STARTS)
    if starts is None:
        fitting = [s for s in asked if all(s in starts_that_fit(run.trajectory.D, asked) for run in chosen)]
        if left := [f"{s:g} %" for s in asked if s not in fitting]:
            notes.append(f"starts at {', '.join(left)} of training leave fewer than {FEWEST} checkpoints: left out")
        asked = fitting or [100 * float(max(run.trajectory.D[0] / run.trajectory.D[-1] for run in chosen))]
    kept, paths = [], []
    for run in chosen:
        validation = _validation(run, observations, loss)
        if np.isnan(validation).any():
            notes.append(f"{run.run} has checkpoints without {loss}: left out of every comparison over perplexity")
        kept.append((run, validation))
    middle = kept[len(kept) // 2][0]
    categories = {run.run: classify(run.trajectory, asked) for run, _ in kept}
    means = category_means([run.trajectory for run, _ in kept], categories[middle.run], asked[0])
    for (run, validation), mean in zip(kept, means, strict=True):
        trunk = run.trajectory
        all_starts = [100 * float(D / trunk.D[-1]) for D in trunk.D[: 1 - FEWEST]]
        everywhere = classify(trunk, all_starts)
        paths.append(
            Path(
                run=run.run,
                rung=run.rung,
                size=run.size,
                D=trunk.D,
                C=run.C[run.trunk],
                validation=validation,
                categories=categories[run.run],
                everywhere=everywhere,
                means=mean,
            )
        )
    return Trace(
        probe=probe,
        tokens=runs[0].losses.tokens,
        loss=loss,
        paths=tuple(paths),
        overlaps=tuple(_overlaps(paths, asked)),
        reference=middle.run,
        alignments=tuple(_alignments(paths, middle.run, notes)),
        notes=tuple(notes),
    )


def _trajectories(runs: Sequence[RunLosses]) -> list[RunLosses]:
    best: dict[str, RunLosses] = {}
    for run in sorted(runs, key=lambda one: (int(one.trunk.sum()), float(one.losses.D[-1]), one.run)):
        best[run.rung] = run
    long = [run for run in best.values() if run.trunk.sum() >= FEWEST]
    return sorted(long, key=lambda run: (run.size, run.rung))


def _validation(run: RunLosses, observations: Observations, loss: str) -> Array:
    rows = observations.values.filter((pl.col("metric") == loss) & (pl.col("run") == run.run))
    known = dict(rows.select("D", "value").iter_rows())
    return np.array([known.get(float(D), np.nan) for D in run.trajectory.D], np.float64)


def _overlaps(paths: Sequence[Path], starts: Sequence[float]) -> list[Overlap]:
    return [
        overlap_of(small.categories, large.categories, category, start)
        for i, small in enumerate(paths)
        for large in paths[i + 1 :]
        for category in (Category.STAGNATED, Category.UPWARD, Category.DOWNWARD)
        for start in starts
    ]


def _alignments(paths: Sequence[Path], reference: str, notes: list[str]) -> list[Alignment]:
    """Align the share of each category, and the mean loss of its tokens, over the trajectories.

    The run that chose the tokens takes no part in the latter: it chose them by its own noise as well.
    """
    made = []
    curves: Mapping[str, list[Array]] = {
        **{f"share {c.name.lower()}": [p.everywhere.shares[:, c] for p in paths] for c in Category},
        **{f"{CHOSEN} {c.name.lower()} tokens": [p.means[:, c] for p in paths] for c in Category},
    }
    for name, ys in curves.items():
        parts = []
        for path, y in zip(paths, ys, strict=True):
            if path.run == reference and name.startswith(CHOSEN):
                continue
            n = len(y)  # shares have no window at the last two checkpoints
            parts.append(
                (y, path.D[:n], path.C[:n], path.validation[:n], np.full(n, path.size), np.repeat(path.rung, n))
            )
        y, D, C, validation, size, rung = (np.concatenate(column) for column in zip(*parts, strict=True))
        known = np.isfinite(y) & np.isfinite(validation)
        try:
            made.append(
                align(name, y[known], D=D[known], C=C[known], loss=validation[known], size=size[known], run=rung[known])
            )
        except FitError as error:
            notes.append(f"not aligned: {error}")
    return made
