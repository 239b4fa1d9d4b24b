"""An ablation: the same hidden rows forecast from less of a ladder, or in another way."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import polars as pl

from foretell.errors import ForetellError, MethodError, TableError, UnknownName
from foretell.forecast import Method, Settings
from foretell.judge.backtest import Backtest, backtest
from foretell.judge.split import Split, splits_of
from foretell.markup import small_table
from foretell.table import Observations
from foretell.units import format_count

Kind = Literal["sizes", "horizons", "checkpoints", "compute", "forms"]

KINDS: tuple[Kind, ...] = ("sizes", "horizons", "checkpoints", "compute", "forms")
WHOLE = "the whole ladder"
SAME = 0.1  # relative; sizes and horizons nearer than this are one, as `horizons.SAME`
LASTS = (1, 2, 5, 10, 20)  # checkpoints that a final value averages
SHARES = (0.0, 0.1, 0.3, 0.5)  # of each run's checkpoints that are dropped
HIDDEN_SHARE = 0.7  # of the runs, by compute, that are fitted where no run is held out
MOST_TARGETS = 40


@dataclass(frozen=True)
class Variant:
    """Hold one way of fitting: what is kept of the ladder, and by which method it is forecast."""

    kind: Kind
    label: str
    kept: Observations
    method: Method


@dataclass(frozen=True)
class Arm:
    """Hold what came of a variant: the FLOP spent on the runs kept, and the backtest or why there is none.

    A trunk that several runs share counts once for each of them.
    """

    kind: Kind
    label: str
    compute: float
    runs: int
    checkpoints: int
    backtest: Backtest | None
    failure: str = ""

    def error(self, *, share: bool) -> float:
        """Give the mean |error| of shares, or of everything else; nan where there is none."""
        return self.backtest.of_shares(share).error() if self.backtest else float("nan")

    def errors(self, *, share: bool) -> dict[tuple[str, str], float]:
        """Give each |error| by metric and target."""
        outcomes = self.backtest.of_shares(share).outcomes if self.backtest else ()
        return {(o.forecast.metric.name, o.forecast.target.label): abs(o.error) for o in outcomes}


@dataclass(frozen=True)
class Ablation:
    """Hold the whole ladder's arm and those with less of it; `split` names the hidden rows that all forecast."""

    split: str
    whole: Arm
    arms: tuple[Arm, ...]
    target_compute: float

    @property
    def kinds(self) -> list[Kind]:
        """Name the kinds of arms there are."""
        return [kind for kind in KINDS if any(arm.kind == kind for arm in self.arms)]

    def of_kind(self, kind: str) -> list[Arm]:
        """Give the arms of a kind, and the whole ladder's."""
        return [self.whole, *(arm for arm in self.arms if arm.kind == kind)]

    @property
    def shares(self) -> list[bool]:
        """Say which sorts of metric were forecast: shares, others, or both."""
        backtest = self.whole.backtest
        return [share for share in (True, False) if backtest and backtest.of_shares(share).outcomes]

    def difference(self, arm: Arm, *, share: bool) -> tuple[float, float]:
        """Give by how much an arm's mean |error| exceeds the whole ladder's, and that number's standard error.

        Paired by hidden row; whole metrics are the units, since the targets of one metric err alike. Only rows that
        both forecast count. The standard error is nan for fewer than two metrics.
        """
        mine, theirs = arm.errors(share=share), self.whole.errors(share=share)
        apart: dict[str, list[float]] = {}
        for key in mine.keys() & theirs.keys():
            apart.setdefault(key[0], []).append(mine[key] - theirs[key])
        means = np.array([np.mean(of_metric) for _, of_metric in sorted(apart.items())])
        if not len(means):
            return float("nan"), float("nan")
        spread = float(means.std(ddof=1) / np.sqrt(len(means))) if len(means) > 1 else float("nan")
        return float(means.mean()), spread

    @property
    def findings(self) -> list[str]:
        """Say in sentences where more of the ladder did not help, and what dropping hurt most."""
        found = []
        for share in self.shares:
            for kind, sign in (("sizes", "N ≤"), ("horizons", "D/N ≤")):
                grown = [arm for arm in self.of_kind(kind) if arm.label.startswith(sign)]
                grown = [arm for arm in [*grown, self.whole] if arm.backtest]
                for less, more in pairwise(grown):
                    a, b = 100 * less.error(share=share), 100 * more.error(share=share)
                    if b > a:
                        unit = "points" if share else "%"
                        found.append(
                            f"more is not always better: from {less.label} to {more.label} the error rises from "
                            f"{a:.2f} to {b:.2f} {unit}"
                        )
        return found

    def to_json(self) -> dict[str, Any]:
        """Give every arm as plain values."""
        return {
            "hidden": self.split,
            "target_compute": self.target_compute,
            "arms": [self._arm(arm) for arm in (self.whole, *self.arms)],
            "findings": self.findings,
        }

    def _repr_html_(self) -> str:
        rows = []
        for arm in (self.whole, *self.arms):
            errors = (f"{100 * arm.error(share=share):.2f}" if arm.backtest else "none" for share in self.shares)
            rows.append((arm.kind if arm is not self.whole else "whole", arm.label, f"{arm.compute:.3g}", *errors))
        units = ("mean |error|, points" if share else "mean |error|, %" for share in self.shares)
        notes = [*self.findings, *(f"{arm.label}: {arm.failure}" for arm in self.arms if arm.failure)]
        return small_table(f"ablation, hidden: {self.split}", ("kind", "kept", "FLOP", *units), rows, notes)

    def _arm(self, arm: Arm) -> dict[str, Any]:
        told: dict[str, Any] = {
            "kind": arm.kind if arm is not self.whole else "whole", "label": arm.label, "compute": arm.compute,
            "runs": arm.runs, "checkpoints": arm.checkpoints, "failure": arm.failure,
        }  # fmt: skip
        for share in self.shares:
            difference, spread = self.difference(arm, share=share)
            told["shares" if share else "others"] = {
                "mean_abs_error": arm.error(share=share),
                "n": len(arm.errors(share=share)),
                "difference": difference,
                "difference_standard_error": spread,
            }
        if arm.backtest:
            told["failures"] = list(arm.backtest.failures)
        return told


def ablate(
    observations: Observations,
    method: Method,
    metrics: Sequence[str],
    settings: Settings,
    *,
    by: Sequence[str] = KINDS,
    forms: Mapping[str, Method] | None = None,
    progress: Callable[[str], object] = lambda _: None,
) -> Ablation:
    """Forecast the same hidden rows from the whole ladder and from less of it.

    Hidden are the runs held out or, without any, those of most compute. `by` names kinds of `KINDS`; `forms` are the
    methods that stand in for `method` by label. What a variant cannot forecast is kept as its failure. Raises
    UnknownName for another kind, MethodError when the whole ladder forecasts nothing.
    """
    for kind in by:
        if kind not in KINDS:
            raise UnknownName("kind of ablation", kind, KINDS)
    split = hidden_split(observations)
    progress(WHOLE)
    whole = _judged(Variant("sizes", WHOLE, split.fit, method), split, metrics, settings)
    if whole.backtest is None:
        raise MethodError(f"the whole ladder forecasts nothing: {whole.failure}")
    arms = []
    for variant in variants(split.fit, method, by, forms or {}):
        progress(variant.label)
        arms.append(_judged(variant, split, metrics, settings))
    runs = split.test.runs
    count = "N" if split.test.law_N == "N" else "N_total"
    target = runs.select(pl.col("C").fill_null(6.0 * pl.col(count) * pl.col("D")))["C"].max()
    return Ablation(split.name, whole, tuple(arms), float(str(target)))


def hidden_split(observations: Observations) -> Split:
    """Part the rows to forecast from those to fit: the runs held out or, without any, those of most compute."""
    if observations.runs["held_out"].any():
        return splits_of(observations, "held-out")[0]
    return splits_of(observations, "C", [HIDDEN_SHARE])[0]


def variants(whole: Observations, method: Method, by: Sequence[str], forms: Mapping[str, Method]) -> list[Variant]:
    """List the variants of the kinds asked for; none keeps the whole ladder and the method as they are."""
    made: list[Variant] = []
    if "sizes" in by:
        made += [Variant("sizes", label, kept, method) for label, kept in fewer_sizes(whole)]
    if "horizons" in by:
        made += [Variant("horizons", label, kept, method) for label, kept in fewer_horizons(whole)]
    if "checkpoints" in by:
        made += [Variant("checkpoints", label, kept, method) for label, kept in fewer_checkpoints(whole)]
    if "compute" in by:
        made += [Variant("compute", label, kept, method) for label, kept in boxes(whole)]
    if "forms" in by:
        made += [Variant("forms", label, whole, form) for label, form in forms.items()]
    return made


def fewer_sizes(whole: Observations) -> list[tuple[str, Observations]]:
    """Drop the largest sizes, then the smallest, then each in turn."""
    return _dropped(whole, "N", "N")


def fewer_horizons(whole: Observations) -> list[tuple[str, Observations]]:
    """Drop the longest horizons D/N, then the shortest, then each in turn."""
    return _dropped(whole, "M", "D/N")


def _dropped(whole: Observations, column: str, name: str) -> list[tuple[str, Observations]]:
    of_run = _axis(whole, column)
    steps = sorted(set(of_run.values()))
    if len(steps) < 2:
        return []

    def kept(label: str, steps: Collection[float]) -> tuple[str, Observations]:
        return label, whole.only_runs([run for run, value in of_run.items() if value in steps])

    made = [kept(f"{name} ≤ {format_count(steps[i - 1])}", steps[:i]) for i in range(1, len(steps))]
    made += [kept(f"{name} ≥ {format_count(steps[i])}", steps[i:]) for i in range(1, len(steps))]
    # without one of the ends it is one of the above
    made += [kept(f"without {name} = {format_count(s)}", [one for one in steps if one != s]) for s in steps[1:-1]]
    return made


def boxes(whole: Observations) -> list[tuple[str, Observations]]:
    """Keep every N up to one and every D/N up to another: what a smaller ladder would have cost and said."""
    N, M = _axis(whole, "N"), _axis(whole, "M")
    largest = (max(N.values()), max(M.values()))
    made = []
    for n in sorted(set(N.values())):
        for m in sorted(set(M.values())):
            runs = [run for run in N if N[run] <= n and M[run] <= m]
            if (n, m) != largest and runs:
                made.append((f"N ≤ {format_count(n)}, D/N ≤ {format_count(m)}", whole.only_runs(runs)))
    return made


def fewer_checkpoints(whole: Observations) -> list[tuple[str, Observations]]:
    """Average other numbers of last checkpoints, keep the ends only, and drop the first parts of runs."""
    counts = whole.values.group_by("run", "metric").len()["len"]
    fewest, usual = int(str(counts.min())), float(str(counts.median()))
    if usual < 2:
        return []
    made: list[tuple[str, Observations]] = []
    if whole.rows == "final":
        lasts = [k for k in LASTS if k <= fewest and k != whole.final_mean]
        made += [(f"final value: mean of the last {k}", replace(whole, final_mean=k)) for k in lasts]
        k = min(whole.final_mean, fewest)
        made.append(("no checkpoint but the end", replace(whole.final(k), final_mean=1)))
        made += [
            (f"only the last {k} checkpoints", replace(_last(whole, k), final_mean=min(k, whole.final_mean)))
            for k in LASTS if 1 < k < usual
        ]  # fmt: skip
    made += [(f"without each run's first {s:.0%}", whole.drop_first(s)) for s in SHARES if s > 0]
    return made


def _last(whole: Observations, k: int) -> Observations:
    rank = pl.int_range(pl.len()).over("run", "metric")
    kept = whole.values.sort("D").filter(rank >= pl.len().over("run", "metric") - k)
    return replace(whole, values=kept.select(whole.values.columns).sort("run", "D", "metric"))


def _axis(whole: Observations, column: str) -> dict[str, float]:
    """Give N or M = D/N of each run, values within SAME of a group's first taken as its first."""
    count = "N" if whole.law_N == "N" else "N_total"
    if whole.runs[count].is_null().any():
        raise TableError(f"{count} is not known for some runs; sizes and horizons are told apart by it: give it")
    runs = whole.runs.select("name", N=count, M=pl.col("D") / pl.col(count)).sort(column, "name")
    made: dict[str, float] = {}
    first = -np.inf
    for name, value in runs.select("name", column).iter_rows():
        if value > first * (1.0 + SAME):
            first = float(value)
        made[name] = first
    return made


def _judged(variant: Variant, split: Split, metrics: Sequence[str], settings: Settings) -> Arm:
    count = "N" if variant.kept.law_N == "N" else "N_total"
    runs = variant.kept.runs
    spent = runs.select(pl.col("C").fill_null(6.0 * pl.col(count) * pl.col("D")))["C"].sum()
    checkpoints = len(variant.kept.values.select("run", "D").unique())
    found: Backtest | None = None
    failure = ""
    try:
        part = Split(split.name, variant.kept, split.test)
        found = backtest(variant.method, [part], metrics, settings, most_targets=MOST_TARGETS)
        failure = found.failures[0] if found.failures else ""
    except ForetellError as error:
        failure = str(error)
    return Arm(variant.kind, variant.label, float(spent), len(runs), checkpoints, found, failure)
