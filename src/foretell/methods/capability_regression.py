"""Capability regression: a metric of a model from its scores on other benchmarks (Ruan 2024, arXiv 2405.10938)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError, MethodError
from foretell.forecast import Forecast, Settings, Target, reach_of
from foretell.methods.family_sigmoid import Member, Shares, shares_of
from foretell.methods.floored_sigmoid import floor_limit
from foretell.methods.principal import components_of, fit_imputer, score_table, share_of
from foretell.table import Metric, Observations

Array = NDArray[np.float64]

COMPONENTS = 3  # the paper's default
EDGE = 0.005  # nearest to 0 or 1 that a score's log-odds are taken
RIDGE, EFFECT = 1.0, 1.0  # chosen inside the fit rows of obsscaling (benchmarks/observational.py)
FEWEST = 6  # models
OUTSIDE = 0.25  # of the models' range, beyond which a capability counts as extrapolated


@dataclass(frozen=True)
class CapabilityRegression:
    """Forecast a metric of models whose other benchmarks were measured, by a sigmoid on their capabilities.

    The paper fits one floored sigmoid to three principal components. This averages six: on three components of the
    scores, three of their standardised log-odds, and all log-odds; each with and without a shift of every
    family. All are fitted by penalised binomial deviance. `benchmarks` are the predictors (default: all shares of the
    study but the metric itself); `scales` gives the largest value of metrics that are no shares (`{"bleu": 100}`).
    The metric may be anything measured on the models: an emergent task, or a score after post-training.
    """

    benchmarks: tuple[str, ...] = ()
    scales: Mapping[str, float] = field(default_factory=dict)

    name = "capabilities"
    source = "Ruan 2024, arXiv 2405.10938, §3–4; ridge, family shifts, deviance and the average are ours"

    def forecast(
        self, observations: Observations, targets: Observations, metrics: Sequence[str], settings: Settings
    ) -> list[Forecast]:
        """Forecast metrics of every run of `targets` from its other scores there; the metrics' own are not read.

        Models without a score of the metric are left out of its fit. Raises MethodError for a metric that is no share
        and a target without any benchmark, FitError for fewer than six models.
        """
        training = observations.training()
        return [forecast for name in metrics for forecast in self._forecast(training, targets, name, settings)]

    def _forecast(self, training: Observations, targets: Observations, name: str, settings: Settings) -> list[Forecast]:
        chosen = self._predictors(training, targets, name)
        points = training.metric(name)
        value = share_of(training, name, points.value, self.scales)
        if len(value) < FEWEST:
            raise FitError(
                f"{len(value)} models have {name}; at least {FEWEST} are needed to regress it on capabilities"
            )
        runs, known = score_table(training.only_runs(points.run), chosen, self.scales)
        value = value[np.argsort(points.run)]
        names, given = score_table(targets, chosen, self.scales)
        if bare := [run for run, row in zip(names, given, strict=True) if np.isnan(row).all()]:
            raise MethodError(
                f"no benchmark was measured on {', '.join(bare)}; {', '.join(chosen)} could tell of {name}"
            )
        imputer, filled = fit_imputer(known)
        filled_given = imputer.fill(given)
        family, of_target = _families(training, runs), _families(targets, names)
        members = [
            Member(*standardised(*space(filled, filled_given)), ridge=RIDGE, effect=effect)
            for space in SPACES
            for effect in (None, EFFECT)
        ]
        made = shares_of(members, value, family, of_target, floor_limit(value, training.metrics[name].chance), settings)
        doubts = _doubts_of_models(known, value, family, name)
        outside = extrapolated(members[0].inputs, members[0].targets)
        rows = {row["name"]: row for row in targets.runs.iter_rows(named=True)}
        forecasts = []
        for i, run in enumerate(names):
            target = _target(rows[run], training.law_N)
            own = [*doubts, *_doubts_of_target(given[i], chosen, outside[i], of_target[i], family)]
            forecasts.append(
                forecast_of_shares(made, i, target, training.metrics[name], self.scales.get(name), self.name, settings)(
                    reach_of(points, target), tuple(own)
                )
            )
        return forecasts

    def _predictors(self, training: Observations, targets: Observations, name: str) -> list[str]:
        wanted = self.benchmarks or tuple(m.name for m in training.metrics.values() if m.is_share)
        chosen = sorted({other for other in wanted if other != name and other in targets.metrics})
        if not chosen:
            raise MethodError(f"nothing can tell of {name}: the targets have no other benchmark; give `benchmarks`")
        return chosen


def _scores(known: Array, given: Array) -> tuple[Array, Array]:
    made = components_of(known, COMPONENTS)
    return made.of(known), made.of(given)


def _every(known: Array, given: Array) -> tuple[Array, Array]:
    return _log_odds(known), _log_odds(given)


def _spread_log_odds(known: Array, given: Array) -> tuple[Array, Array]:
    return _scores(*standardised(*_every(known, given)))


SPACES: tuple[Callable[[Array, Array], tuple[Array, Array]], ...] = (_scores, _spread_log_odds, _every)


def _log_odds(share: Array) -> Array:
    inside = np.clip(share, EDGE, 1.0 - EDGE)
    made: Array = np.log(inside / (1.0 - inside))
    return made


def standardised(known: Array, given: Array) -> tuple[Array, Array]:
    """Bring columns to mean 0 and deviation 1 over the known rows; a constant column becomes 0 there."""
    middle, spread = known.mean(axis=0), known.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    return (known - middle) / spread, (given - middle) / spread


def forecast_of_shares(
    made: Shares, i: int, target: Target, metric: Metric, scale: float | None, method: str, settings: Settings
) -> Callable[[float, tuple[str, ...]], Forecast]:
    """Give what makes a forecast in the metric's own unit of share i, once its reach and doubts are known."""

    def own(share: Array) -> Array:
        return share * scale if scale is not None else (1.0 - share if metric.unit == "error" else share)

    def forecast(reach: float, doubts: tuple[str, ...]) -> Forecast:
        value, draws = float(own(made.value[i : i + 1])[0]), own(made.draws[:, i])
        return Forecast(target, metric, method, value, draws, settings.parts, reach, doubts)

    return forecast


def extrapolated(known: Array, given: Array) -> list[list[int]]:
    """Name for each target the components (from 1) that lie over a quarter of the models' range outside it."""
    low, high = known.min(axis=0), known.max(axis=0)
    margin = OUTSIDE * (high - low)
    beyond = (given < low - margin) | (given > high + margin)
    return [[int(k) + 1 for k in np.flatnonzero(row)] for row in beyond]


def singles_doubt(family: Sequence[str]) -> list[str]:
    """Say which families have one model, whose own efficiency is therefore mostly that of the others."""
    names, count = np.unique(np.asarray(family, dtype=np.str_), return_counts=True)
    single = [str(name) for name in names[count == 1]]
    if not single:
        return []
    return [f"families of one model: {', '.join(single)}; what sets them apart is shrunk towards the other families"]


def constant_doubt(value: Array, name: str) -> list[str]:
    """Say that a metric does not change over the models."""
    if np.ptp(value) > 0:
        return []
    return [f"{name} is {value[0]:.4g} on every model: it says nothing of scale, and may still emerge"]


def _families(observations: Observations, runs: Sequence[str]) -> list[str]:
    of = dict(zip(observations.runs["name"], observations.runs["family"], strict=True))
    return [of[run] for run in runs]


def _target(row: Mapping[str, object], law_N: str) -> Target:
    count = row["N"] if law_N == "N" else row["N_total"]
    if not isinstance(count, float):
        raise MethodError(f"{law_N} is not known for the target {row['name']}; the study's laws use {law_N}")
    compute = row["C"]
    return Target(
        N=count, D=float(str(row["D"])), C=compute if isinstance(compute, float) else None, name=str(row["name"])
    )


def _doubts_of_models(known: Array, value: Array, family: Sequence[str], name: str) -> list[str]:
    doubts = [*constant_doubt(value, name), *singles_doubt(family)]
    share = float(np.isnan(known).mean())
    if share > 0:
        doubts.append(f"imputed: {100 * share:.2g} % of the models' benchmark scores are missing and were filled in")
    return doubts


def _doubts_of_target(
    given: Array, benchmarks: Sequence[str], outside: Sequence[int], family: str, families: Sequence[str]
) -> list[str]:
    doubts = []
    if missing := [name for name, score in zip(benchmarks, given, strict=True) if np.isnan(score)]:
        doubts.append(f"imputed: the target has no {', '.join(missing)}; filled in from its other scores")
    if outside:
        named = ", ".join(f"PC-{k}" for k in outside)
        doubts.append(f"extrapolated capabilities: {named} of the target lies well outside the models")
    if family not in families:
        doubts.append(
            f"no model of the target's family ({family or 'not named'}) was fitted: the average family stands in"
        )
    return doubts
