"""A ranking of validation losses by how well they foretold the long horizons from the short ones (Cao 2025)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.errors import ForetellError, MethodError, TableError, UnknownName
from foretell.forecast import Settings
from foretell.judge import Split
from foretell.judge.horizons import FEWEST_SHORT, Horizons, split_horizons
from foretell.markup import small_table
from foretell.methods.intermediate import OWN
from foretell.methods.lossfit import AUTO
from foretell.methods.rankcell import Cell, Extrapolation, extrapolate, item_cell, task_cell
from foretell.table import Metric, Observations
from foretell.table.items import Items

Array = NDArray[np.float64]

MOST_MISSING = 0.2  # of the runs: a loss missing on more is set aside, on fewer those runs are left out for all


@dataclass(frozen=True)
class Score:
    """Hold a score of one loss, and what resampled runs and items make of it.

    A resample adds noise to errors that have it already, so that their mean grows: draws are shifted to centre on the
    score.
    """

    value: float
    draws: Array

    def interval(self, level: float = 0.8) -> tuple[float, float]:
        """Give the central interval of the resamples; nan without any."""
        if not len(self.draws):
            return float("nan"), float("nan")
        low, high = np.quantile(self.draws, [0.5 * (1 - level), 0.5 * (1 + level)])
        return float(low), float(high)


@dataclass(frozen=True)
class LossScore:
    """Hold how well one validation loss foretold the tasks.

    `end` is the mean |accuracy error| at the loss extrapolated, by which losses are ranked; `link` that at the loss
    observed. `log_skill` and `brier_skill` are 1 − score/reference of the end-to-end forecast, 0 for saying what the
    short horizons scored; `loss_error` is the mean |relative error| of the loss itself. `rank` counts from 1.
    """

    loss: str
    end: Score
    link: Score
    log_skill: Score
    brier_skill: Score
    rank: Score
    loss_error: float
    cells: tuple[Cell, ...]

    @property
    def best(self) -> float:
        """Give the share of resamples in which this loss came first; nan without any."""
        return float(np.mean(self.rank.draws == 1.0)) if len(self.rank.draws) else float("nan")


@dataclass(frozen=True)
class Ranking:
    """Hold the losses in order of their end-to-end error, what could not be ranked, and the doubts by subject."""

    horizons: Horizons
    tasks: tuple[str, ...]
    scores: tuple[LossScore, ...]
    failures: tuple[str, ...]
    doubts: tuple[tuple[str, str], ...]

    def to_json(self, level: float = 0.8) -> dict[str, Any]:
        """Give everything as plain values."""
        horizons = self.horizons

        def plain(score: Score) -> dict[str, float]:
            low, high = score.interval(level)
            return {"value": score.value, "low": low, "high": high}

        return {
            "horizon": horizons.split.name,
            "short": list(horizons.short),
            "long": list(horizons.long),
            "tasks": list(self.tasks),
            "level": level,
            "losses": [
                {
                    "loss": s.loss,
                    **{n: plain(getattr(s, n)) for n in ("rank", "end", "link", "log_skill", "brier_skill")},
                    "best": s.best,
                    "loss_error": s.loss_error,
                    "tasks": {
                        c.task: {
                            "end": float(c.end[0]),
                            "link": float(c.link[0]),
                            "by_item": c.by_item,
                            "runs": list(c.run),
                            "measured": c.measured.tolist(),
                            "linked": c.linked.tolist(),
                            "reached": c.reached.tolist(),
                        }
                        for c in s.cells
                    },
                }
                for s in self.scores
            ],
            "failures": list(self.failures),
            "doubts": [{"about": about, "doubt": doubt} for about, doubt in self.doubts],
        }

    def _repr_html_(self) -> str:
        rows = []
        for one in self.scores:
            low, high = (100 * end for end in one.end.interval(0.8))
            between = f"{low:.2f} – {high:.2f}" if len(one.end.draws) else "none"
            rows.append((f"{one.rank.value:.0f}", one.loss, f"{100 * one.end.value:.2f}", between,
                         f"{100 * one.link.value:.2f}", f"{100 * one.loss_error:.1f} %"))  # fmt: skip
        head = ("#", "validation loss", "end to end, points", "80 % interval", "link alone", "loss error")
        notes = [*(f"{about}: {doubt}" for about, doubt in self.doubts), *self.failures]
        return small_table(f"losses by what they foretold, {self.horizons.split.name}", head, rows, notes)


def losses_of(observations: Observations, tasks: Sequence[str], pattern: str | None = None) -> list[str]:
    """Name the validation losses that match a pattern such as `dolma_*`: shared ones, and `bpb` for each task's own.

    Without a pattern all shared losses, and `bpb` where every task has one. Raises UnknownName when none matches.
    """
    own = {own_loss(task) for task in tasks}
    of_tasks = {own_loss(metric.name) for metric in observations.metrics.values() if metric.is_share}
    shared = [name for name, metric in observations.metrics.items() if metric.is_loss and name not in of_tasks]
    known = [*shared, *([OWN] if own and own <= set(observations.metrics) else [])]
    if pattern is None:
        chosen = known
    else:
        every = [*known, *(n for n, m in observations.metrics.items() if m.is_loss and n not in known)]
        chosen = [n for n in every if n == pattern] or [n for n in every if fnmatchcase(n, pattern)]
    if not chosen:
        raise UnknownName(
            "validation loss", pattern or "*/loss", [n for n, m in observations.metrics.items() if m.is_loss]
        )
    return chosen


def own_loss(task: str) -> str:
    """Name a task's own bits per byte."""
    return f"{task.rsplit('/', 1)[0]}/{OWN}"


def rank_losses(
    observations: Observations,
    tasks: Sequence[str],
    losses: Sequence[str],
    *,
    horizon: str = "0.5",
    law: str = AUTO,
    floor: str = "fitted",
    items: Items | None = None,
    settings: Settings | None = None,
    progress: Callable[[str], object] = lambda _: None,
) -> Ranking:
    """Rank validation losses: fitted on short horizons, scored on long ones, with runs and items resampled.

    Runs that are held out are never looked at. Runs of the links are resampled whole, loss laws by new noise on their
    curve (a ladder that loses a rung says nothing of it), long runs and items (or their counts) by drawing again.
    Raises MethodError when no loss can be ranked.
    """
    how = settings or Settings(draws=200)
    metrics = [observations.metric_named(task) for task in tasks]
    if not metrics:
        raise MethodError("there is no task to rank losses by; name an accuracy (--task arc_easy)")
    for metric in metrics:
        if not metric.is_share:
            raise MethodError(f"{metric.name} is {metric.unit}; losses are ranked by accuracies")
    horizons = split_horizons(observations, horizon)
    doubts: list[tuple[str, str]] = [("horizons", doubt) for doubt in horizons.doubts]
    failures: list[str] = []
    needed = {loss: [own_loss(m.name) for m in metrics] if loss == OWN else [loss] for loss in losses}
    for name in sorted({name for names in needed.values() for name in names}):
        if not observations.metric_named(name).is_loss:
            raise MethodError(f"{name} is {observations.metrics[name].unit}; only losses are ranked")
    split = _common(horizons.split, needed, failures, doubts)
    if items is not None:
        doubts += [("items", doubt) for doubt in items.doubts(observations)]
    with_items = set() if items is None else set(items.metrics())
    long = sorted(split.test.runs["name"])
    drawn = np.random.default_rng([how.seed, 6]).multinomial(len(long), np.full(len(long), 1 / len(long)), how.draws)
    weights = {run: drawn[:, j].astype(np.float64) for j, run in enumerate(long)}
    _missing_tasks(split, metrics, doubts)
    carried: dict[str, Extrapolation] = {}
    found: dict[str, list[Cell]] = {}
    for loss, names in needed.items():
        progress(loss)
        try:
            cells = []
            for metric, name in zip(metrics, names * (1 if loss == OWN else len(metrics)), strict=True):
                if name not in carried:
                    carried[name] = extrapolate(split, name, law, how)
                if items is not None and metric.name in with_items and metric.unit == "accuracy":
                    cells.append(item_cell(split, metric, name, carried[name], items, weights, how))
                else:
                    cells.append(task_cell(split, metric, name, carried[name], floor, weights, how))
            found[loss] = cells
        except ForetellError as error:
            failures.append(f"{loss}: {error}")
    if not found:
        raise MethodError(f"no loss could be ranked; the first: {failures[0] if failures else 'none was given'}")
    doubts += _of_links(found)
    doubts += [(name, doubt) for name, fitted in carried.items() for doubt in fitted.law.doubts]
    errors = {loss: [carried[name].error for name in needed[loss]] for loss in found}
    scores = _scored(found, {loss: float(np.mean(error)) for loss, error in errors.items()})
    return Ranking(horizons, tuple(m.name for m in metrics), scores, tuple(failures), _once(doubts))


def _scored(found: dict[str, list[Cell]], errors: dict[str, float]) -> tuple[LossScore, ...]:
    names = sorted(found)
    ends = np.array([_centred(np.mean([cell.end for cell in found[name]], axis=0)) for name in names])
    order = np.argsort(ends, axis=0, kind="stable")
    ranks = np.empty(ends.shape)
    np.put_along_axis(ranks, order, np.arange(1.0, len(names) + 1.0)[:, None], axis=0)

    def skill(cells: list[Cell], score: str) -> Score:
        own = np.mean([getattr(cell, score) for cell in cells], axis=0)
        reference = np.mean([getattr(cell, f"{score}_reference") for cell in cells], axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return _score(_centred(np.where(reference > 0, 1.0 - own / reference, np.nan)))

    made = [
        LossScore(
            loss=name,
            end=_score(np.maximum(ends[i], 0.0)),
            link=_score(np.maximum(_centred(np.mean([cell.link for cell in found[name]], axis=0)), 0.0)),
            log_skill=skill(found[name], "log"),
            brier_skill=skill(found[name], "brier"),
            rank=_score(ranks[i]),
            loss_error=errors[name],
            cells=tuple(found[name]),
        )
        for i, name in enumerate(names)
    ]
    return tuple(sorted(made, key=lambda score: score.rank.value))


def _centred(rows: Array) -> Array:
    """Shift the resamples (rows 1 to B) so that their mean is row 0."""
    if len(rows) > 1:
        rows = rows.copy()
        rows[1:] += rows[0] - rows[1:].mean()
    return rows


def kind_of(doubt: str) -> str:
    """Give what a doubt says before its numbers, so that one that many losses share is told once."""
    return re.split(r"[:(]", doubt, maxsplit=1)[0].strip()


def _of_links(found: dict[str, list[Cell]]) -> list[tuple[str, str]]:
    """Give the doubts about each task's links, with the loss they came through where not every loss has them."""
    told: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for loss in sorted(found):
        for cell in found[loss]:
            for doubt in cell.doubts:
                told.setdefault((cell.task, kind_of(doubt)), []).append((loss, doubt))
    made = []
    for (task, _), each in told.items():
        more = f" and {len(each) - 1} more" if len(each) > 1 else ""
        about = task if len({loss for loss, _ in each}) == len(found) else f"{task} through {each[0][0]}{more}"
        made.append((about, each[0][1]))
    return made


def _once(doubts: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    kept: dict[tuple[str, str], tuple[str, str]] = {}
    for about, doubt in doubts:
        kept.setdefault((about, kind_of(doubt)), (about, doubt))
    return tuple(kept.values())


def _score(rows: Array) -> Score:
    return Score(float(rows[0]), rows[1:])


def _common(split: Split, needed: dict[str, list[str]], failures: list[str], doubts: list[tuple[str, str]]) -> Split:
    """Keep the runs on which every ranked loss was measured; set aside losses that many runs lack.

    Losses are compared on the same runs or not at all. Takes what is set aside out of `needed`.
    """
    runs = [*split.fit.runs["name"], *split.test.runs["name"]]
    values = pl.concat([split.fit.values, split.test.values], how="diagonal")
    have = {
        name: set(values.filter(pl.col("metric") == name)["run"])
        for name in {n for names in needed.values() for n in names}
    }
    lost: dict[str, list[str]] = {}
    for loss in list(needed):
        missing = sorted(run for run in runs if not all(run in have[name] for name in needed[loss]))
        if len(missing) > MOST_MISSING * len(runs):
            failures.append(
                f"{loss}: missing in {len(missing)} of {len(runs)} runs ({', '.join(missing[:3])} …); not ranked, as "
                "the others are compared on all of them"
            )
            del needed[loss]
        elif missing:
            lost[loss] = missing
    if not lost:
        return split
    for loss, missing in lost.items():
        doubts.append(
            (loss, f"missing in {len(missing)} runs ({', '.join(missing)}): they are left out for every loss")
        )
    gone = {run for missing in lost.values() for run in missing}
    parts = [[run for run in part.runs["name"] if run not in gone] for part in (split.fit, split.test)]
    if len(parts[0]) < FEWEST_SHORT or not parts[1]:
        raise TableError(
            f"{len(parts[0])} short and {len(parts[1])} long runs have every loss; choose losses that more runs have "
            f"(--loss): {', '.join(lost)} are missing in some"
        )
    return Split(split.name, split.fit.only_runs(parts[0]), split.test.only_runs(parts[1]))


def _missing_tasks(split: Split, metrics: Sequence[Metric], doubts: list[tuple[str, str]]) -> None:
    for metric in metrics:
        missing = [
            run
            for part in (split.fit, split.test)
            for run in part.runs["name"]
            if run not in set(part.values.filter(pl.col("metric") == metric.name)["run"])
        ]
        if missing:
            doubts.append((metric.name, f"missing in {len(missing)} runs ({', '.join(sorted(missing)[:3])} …)"))
