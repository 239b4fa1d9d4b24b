"""Observational scaling: a model from compute alone, through the efficiency of its family (arXiv 2405.10938)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError, MethodError
from foretell.fitting.doubts import HEAVY_REACH
from foretell.forecast import Forecast, Settings, Target, reach_of
from foretell.methods.capability_regression import (
    COMPONENTS,
    constant_doubt,
    extrapolated,
    forecast_of_shares,
    singles_doubt,
    standardised,
)
from foretell.methods.efficiency import pooled_efficiencies
from foretell.methods.family_sigmoid import Member, Shares, shares_of
from foretell.methods.floored_sigmoid import floor_limit
from foretell.methods.principal import components_of, fit_imputer, score_table, share_of
from foretell.table import Observations, Points

Array = NDArray[np.float64]
Through = Literal["own", "components"]

FEWEST = 6  # models
MOST_HOLES = 0.5  # of a benchmark's scores, beyond which it is no part of the capabilities
# Chosen inside the fit rows of obsscaling (benchmarks/observational.py): the ridge on the common slope, and how hard
# a family's shift and its own slope in ln C are pulled to nothing. The average of both members is the forecast.
RIDGE, EFFECT, SLOPE = 0.1, 3.0, 10.0
COMPONENT_RIDGE = 0.3


@dataclass(frozen=True)
class Observational:
    """Forecast a share from the compute C (FLOP) of a model and what its family has made of compute so far.

    `through="own"`: the metric's own log-odds above a floor are θ_f·ln C + ν_f, with θ_f and ν_f pooled over families.
    `through="components"`: the paper's way by principal capabilities of all `benchmarks` (default: every share that
    at least half the models have), each θ_f·ln C + ν_f pooled, then a floored sigmoid of three of them. Hold-outs
    inside the fit rows of obsscaling prefer `own`. A target's family is `families[name]`, else `family`, else that of
    the run of its name in the study; without one it is an average family. `scales` gives the largest value of metrics
    that are no shares.
    """

    through: Through = "own"
    family: str = ""
    families: Mapping[str, str] = field(default_factory=dict)
    benchmarks: tuple[str, ...] = ()
    scales: Mapping[str, float] = field(default_factory=dict)

    name = "observational"
    source = "Ruan 2024, arXiv 2405.10938, Eq. 2 and 3; pooling over families and binomial deviance are ours"

    def __post_init__(self) -> None:
        if self.through not in ("own", "components"):
            raise MethodError(f"through is {self.through!r}; capabilities are read off `own` scores or `components`")

    def forecast(
        self, observations: Observations, targets: Sequence[Target], metrics: Sequence[str], settings: Settings
    ) -> list[Forecast]:
        """Forecast every metric of every target from models that are not held out; all checkpoints' ends count once.

        Raises MethodError for a metric that is no share, FitError for fewer than six models.
        """
        training = observations.training()
        families = [self._family_of(target, observations) for target in targets]
        made: list[Forecast] = []
        for name in metrics:
            points, value, of_points = self._rows(training, name)
            x, x_new = np.log(points.input("C")), np.log([t.C if t.C is not None else 6.0 * t.N * t.D for t in targets])
            limit = floor_limit(value, training.metrics[name].chance)
            if self.through == "own":
                known, new = standardised(x[:, None], x_new[:, None])
                members = [
                    Member(known, new, RIDGE, EFFECT),
                    Member(known, new, RIDGE, EFFECT, slope=SLOPE),
                ]
                doubts: list[str] = []
                outside: list[list[int]] = [[] for _ in targets]
            else:
                member, doubts, outside = self._through_components(training, x_new, families, points, settings)
                members = [member]
            shares = shares_of(members, value, of_points, families, limit, settings)
            doubts = [
                *constant_doubt(value, name),
                *_floor_doubt(shares, value, name),
                *singles_doubt(of_points),
                *doubts,
            ]
            for i, target in enumerate(targets):
                own = [*doubts, *_target_doubts(families[i], of_points, outside[i])]
                metric, scale = training.metrics[name], self.scales.get(name)
                finish = forecast_of_shares(shares, i, target, metric, scale, self.name, settings)
                reach = reach_of(points, target)
                if reach > HEAVY_REACH:
                    own.append(f"heavy extrapolation: {reach:.1f} decades of compute beyond the data")
                made.append(finish(reach, tuple(own)))
        return made

    def _rows(self, training: Observations, name: str) -> tuple[Points, Array, list[str]]:
        """Give the models that have the metric in order of name, their shares and their families."""
        points = training.final(training.final_mean).metric(name)
        points = points.take(np.argsort(points.run))
        value = share_of(training, name, points.value, self.scales)
        if len(value) < FEWEST:
            raise FitError(f"{len(value)} models have {name}; at least {FEWEST} are needed to see how it grows with C")
        of = dict(zip(training.runs["name"], training.runs["family"], strict=True))
        return points, value, [of[str(run)] for run in points.run]

    def _family_of(self, target: Target, observations: Observations) -> str:
        of = dict(zip(observations.runs["name"], observations.runs["family"], strict=True))
        return self.families.get(target.name) or self.family or target.family or of.get(target.name, "")

    def _through_components(
        self, training: Observations, x_new: Array, families: Sequence[str], points: Points, settings: Settings
    ) -> tuple[Member, list[str], list[list[int]]]:
        """Give the capabilities of the metric's models and, by their families' efficiencies, of the targets."""
        chosen = self.benchmarks or tuple(m.name for m in training.metrics.values() if m.is_share)
        runs, scores = score_table(training, sorted(chosen), self.scales)
        full = np.asarray(np.isnan(scores).mean(axis=0) <= MOST_HOLES)
        some = np.asarray(~np.isnan(scores[:, full]).all(axis=1))
        if not full.any():
            raise MethodError("no benchmark was measured on half of the models; give `benchmarks`, or through='own'")
        _, filled = fit_imputer(scores[some][:, full])
        capability = components_of(filled, COMPONENTS)
        S, _ = standardised(capability.of(filled), np.empty((0, len(capability.axes))))
        kept = [run for run, has in zip(runs, some.tolist(), strict=True) if has]
        if lost := sorted(set(points.run) - set(kept)):
            raise MethodError(f"no benchmark was measured on {', '.join(lost)}, so they have no capabilities")
        of = {row["name"]: row for row in training.runs.iter_rows(named=True)}
        count = training.law_N
        x = np.log([of[run]["C"] or 6.0 * of[run][count] * of[run]["D"] for run in kept])
        of_run = [of[run]["family"] for run in kept]
        rng = np.random.default_rng([settings.seed, 5])
        means, draws = [], []
        for k in range(S.shape[1]):
            mean, doubt = pooled_efficiencies(x, S[:, k], of_run).at(x_new, families)
            means.append(mean)
            draws.append(mean + doubt * rng.normal(size=(max(settings.draws, 1), len(mean))))
        row = {run: i for i, run in enumerate(kept)}
        known = S[[row[str(run)] for run in points.run]]
        new = np.column_stack(means)
        uncertain = "coefficients" in settings.parts
        member = Member(known, new, COMPONENT_RIDGE, target_draws=np.stack(draws, axis=2) if uncertain else None)
        share = float(np.isnan(scores[some][:, full]).mean())
        imputed = f"imputed: {100 * share:.2g} % of the models' benchmark scores are missing and were filled in"
        doubts = [imputed] if share > 0 else []
        if not full.all():
            left = ", ".join(name for name, has in zip(sorted(chosen), full.tolist(), strict=True) if not has)
            doubts.append(f"left out of the capabilities, being missing on most models: {left}")
        return member, doubts, extrapolated(S, new)


def _floor_doubt(shares: Shares, value: Array, name: str) -> list[str]:
    """Say that no model has risen far above the lowest: when the rise begins is then a guess."""
    residual = float(np.std(value - shares.fitted))
    if np.ptp(value) > 0 and float(np.ptp(shares.fitted)) < 2.0 * residual:
        return [f"{name} barely rises over the models ({value.min():.1%} to {value.max():.1%}): its growth is a guess"]
    return []


def _target_doubts(family: str, families: Sequence[str], outside: Sequence[int]) -> list[str]:
    doubts = []
    if family not in families:
        named = f"family {family}" if family else "target's family (not named)"
        doubts.append(f"no model of the {named} was fitted: the average family stands in")
    if outside:
        named = ", ".join(f"PC-{k}" for k in outside)
        doubts.append(f"extrapolated capabilities: {named} of the target lies well outside the models")
    return doubts
