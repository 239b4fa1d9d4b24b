"""Auto: many published ways, weighed for each metric by hold-outs inside the data given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError, ForetellError, MethodError
from foretell.forecast import Forecast, Settings, Target
from foretell.judge.split import families_of, splits_of, targets_of
from foretell.methods.intermediate import choose_intermediate
from foretell.methods.lossfit import AUTO
from foretell.methods.pieces import Pieces
from foretell.methods.ways import LAWLESS, Numbers, Way, loss_ways, share_ways
from foretell.table import Observations

# Chosen on hold-outs inside the fit parts of ten public families, targets unseen (docs/decisions.md):
OWN_SHARE = 0.3  # how far a metric's own hold-out error counts, beside the mean over all metrics of its kind
LOSS_POWER, SHARE_POWER = 4.0, 8.0  # weight = error^−power
PREFERRED = {"skaling": 4.0, "direct": 16.0}  # times the weight that such a way has by its errors alone
FLOOR = 1e-4  # added to every hold-out error: less than the noise of any metric
WEIGHT_SAID = 0.1  # of a way whose doubts are told beside the heaviest way's
LEAST_WEIGHT = 0.02  # ways that weigh less are left out
MOST_TARGETS = 30  # rows a hold-out and metric
MOST_ALIKE = 12  # metrics of a kind over which errors are pooled
HOLD_OUT_STARTS = 32
MOST_TOLD = 3  # ways named in the reason


@dataclass(frozen=True)
class Auto:
    """Forecast each metric by a weighted mean of published ways.

    A way's weight is a power of its mean error on progressive hold-outs inside the training runs: the error on the
    metric itself, shrunk towards that on all metrics of its kind, because picking by one metric alone over-fits. The
    draws come from the ways in proportion to their weights, so that their disagreement is part of the interval.
    `intermediate` names the shared loss, as for the ladder.
    """

    intermediate: str = AUTO

    name = "auto"
    source = "the ways of arXiv 2403.08540, 2412.04403, 2512.08894, 2608.07222; weighed by hold-outs inside the data"

    def forecast(
        self, observations: Observations, targets: Sequence[Target], metrics: Sequence[str], settings: Settings
    ) -> list[Forecast]:
        """Forecast every metric of every target; raises MethodError where no way leads to a metric."""
        training = observations.training()
        alike = _alike(training, metrics)
        shared = self._shared(training, alike, settings)
        own = {f"{name.rsplit('/', 1)[0]}/bpb" for name in shared} & set(training.metrics)
        pieces = Pieces(training, {*alike, *filter(None, shared.values()), *own}, settings)
        errors = self._errors(pieces, alike, shared)
        weighed: dict[str, tuple[list[Way], dict[str, float]]] = {}
        for name in metrics:
            ways = self._ways(pieces, name, shared)
            is_share = training.metrics[name].is_share
            of_kind = [errors[other] for other in alike if training.metrics[other].is_share == is_share]
            weighed[name] = ways, _weights(ways, errors[name], of_kind, is_share=is_share)
        made: list[Forecast] = []
        for name, (ways, weights) in weighed.items():
            kind = [other for other in weighed if (other in shared) == (name in shared)]
            reason = _told(kind, weighed, errors, len(training.runs), "points" if name in shared else "%")
            made += [replace(_mix(ways, weights, target, settings), reason=reason) for target in targets]
        return made

    def _shared(self, training: Observations, metrics: Sequence[str], settings: Settings) -> dict[str, str | None]:
        """Name the loss that leads to each share; none where a study holds no loss."""
        shares = [metric for name in metrics if (metric := training.metric_named(name)).is_share]
        if self.intermediate == AUTO and not any(metric.is_loss for metric in training.metrics.values()):
            return dict.fromkeys(metric.name for metric in shares)
        return {m.name: choose_intermediate(training, m, self.intermediate, settings) for m in shares}

    def _ways(self, pieces: Pieces, metric: str, shared: dict[str, str | None]) -> list[Way]:
        if metric in shared:
            return share_ways(pieces, metric, shared[metric], self.name)
        return loss_ways(pieces, metric, self.name)

    def _errors(
        self, whole: Pieces, metrics: Sequence[str], shared: dict[str, str | None]
    ) -> dict[str, dict[str, float]]:
        """Give for each metric the mean |error| of each way over the hold-outs inside the training runs."""
        training = whole.training
        quick = replace(whole.settings, draws=0, starts=min(whole.settings.starts, HOLD_OUT_STARTS))
        found: dict[str, dict[str, list[float]]] = {name: {} for name in metrics}
        families = families_of(training)
        try:
            splits = splits_of(training, "C")
        except ForetellError:  # nothing to hold out: every way keeps its default weight
            splits = []
        for split in splits:
            pieces = Pieces(split.fit, whole.names, quick, sparse=True, within=whole)
            hidden = Pieces(split.test, whole.names, quick, within=whole)
            for name in metrics:
                rows = targets_of(hidden.points(name), MOST_TARGETS, families)
                is_share = training.metrics[name].is_share
                try:
                    ways = self._ways(pieces, name, shared)
                except (FitError, MethodError):  # a split of so few runs that nothing can be fitted to them
                    continue
                for way in ways:
                    found[name].setdefault(way.role, []).extend(_hidden_errors(way, rows, is_share=is_share))
        return {name: {way: float(np.mean(seen)) for way, seen in of.items() if seen} for name, of in found.items()}


def _alike(training: Observations, metrics: Sequence[str]) -> list[str]:
    """Name the metrics asked for, and others of their kinds, at most MOST_ALIKE of each, spread over the alphabet."""
    found = list(dict.fromkeys(metrics))
    for share in {training.metric_named(name).is_share for name in metrics}:
        kind = [m.name for m in training.metrics.values() if m.is_share == share and (share or m.is_loss)]
        places = {round(i) for i in np.linspace(0, len(kind) - 1, min(len(kind), MOST_ALIKE))}
        found += [name for i, name in enumerate(kind) if i in places and name not in found]
    return found


def _hidden_errors(way: Way, rows: Sequence[tuple[Target, float]], *, is_share: bool) -> list[float]:
    """Give a way's |error| on the hidden rows: in shares, or of logarithms and at most 1; none where it fails."""
    errors = []
    for target, measured in rows:
        try:
            value = way.value(target)
        except (FitError, MethodError):
            return []
        if is_share:
            errors.append(abs(float(np.clip(value, 0.0, 1.0)) - measured))
        else:
            errors.append(min(abs(float(np.log(value / measured))), 1.0) if value > 0 and measured > 0 else 1.0)
    return errors


def _weights(
    ways: Sequence[Way], own: dict[str, float], of_kind: Sequence[dict[str, float]], *, is_share: bool
) -> dict[str, float]:
    """Weigh each way by its hold-out error on the metric, shrunk to that over all metrics of the kind; sum to 1."""
    pooled = {
        way.name: float(np.mean([errors[way.role] for errors in of_kind if way.role in errors]))
        for way in ways
        if any(way.role in errors for errors in of_kind)
    }
    usual = float(np.median(list(pooled.values()))) if pooled else 1.0
    weights = {}
    for way in ways:
        general = pooled.get(way.name, usual)
        error = OWN_SHARE * own.get(way.role, general) + (1.0 - OWN_SHARE) * general
        trust = (error + FLOOR) ** -(SHARE_POWER if is_share else LOSS_POWER)
        proven = way.name in pooled or not is_share  # straight from N and D only where hold-outs have seen it work
        weights[way.name] = PREFERRED.get(way.role, 1.0) * trust if proven else trust
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def _told(
    kind: Sequence[str],
    weighed: Mapping[str, tuple[Sequence[Way], Mapping[str, float]]],
    errors: Mapping[str, Mapping[str, float]],
    runs: int,
    unit: str,
) -> str:
    """Say in one sentence or three what was weighed for the metrics of a kind, and on what evidence."""
    names: dict[str, set[str]] = {}
    weight: dict[str, list[float]] = {}
    for metric in kind:
        for way in weighed[metric][0]:
            names.setdefault(way.role, set()).add(way.name)
            weight.setdefault(way.role, []).append(weighed[metric][1][way.name])
    mean = {role: sum(of) / len(kind) for role, of in weight.items()}
    ranked = sorted(mean, key=lambda role: (-mean[role], role))
    seen = {role: [errors[m][role] for m in kind if role in errors[m]] for role in ranked}
    parts = []
    for role in ranked[:MOST_TOLD]:
        error = f" (off by {100 * np.mean(seen[role]):.1f} {unit} there)" if seen[role] else ""
        parts.append(f"{100 * mean[role]:.0f} % {min(names[role]) if len(names[role]) == 1 else role}{error}")
    more = f", and {len(ranked) - MOST_TOLD} more" if len(ranked) > MOST_TOLD else ""
    about = kind[0] if len(kind) == 1 else f"{len(kind)} metrics from {kind[0]} to {kind[-1]}"
    if not any(seen.values()):
        return f"{about}: {', '.join(parts)}{more}; the {runs} runs given leave nothing to hold out."
    return (
        f"{about}: {', '.join(parts)}{more}. The weights come from hold-outs inside the runs given, the larger "
        f"of {runs} forecast from the smaller, and from what public families taught."
    )


def _mix(ways: Sequence[Way], weights: dict[str, float], target: Target, settings: Settings) -> Forecast:
    """Mix the ways that weigh anything; raises the first way's error where none leads anywhere."""
    ranked = sorted(ways, key=lambda way: (-weights[way.name], way.name))
    taken = [way for way in ranked if weights[way.name] >= LEAST_WEIGHT] or [ways[0]]
    parts = _forecasts(taken, weights, target, settings)
    if not parts:
        only = ways[0]
        parts = [(only, only.forecast(target, np.arange(settings.draws)), np.arange(settings.draws))]
        weights = {only.name: 1.0}
    share = np.array([weights[way.name] for way, _, _ in parts])
    share /= share.sum()
    first = parts[0][1]
    values = np.array([forecast.value for _, forecast, _ in parts])
    positive = not first.metric.is_share and bool((values > 0).all())
    value = float(np.exp(share @ np.log(values))) if positive else float(share @ values)
    draws = np.empty(settings.draws)
    for _, forecast, numbers in parts:
        draws[numbers] = forecast.draws
    return replace(first, value=value, draws=draws, doubts=_joined(parts, share))


def _joined(parts: Sequence[tuple[Way, Forecast, Numbers]], share: NDArray[np.float64]) -> tuple[str, ...]:
    """Give the heaviest way's doubts, and those of other kinds that ways of some weight have."""
    found: list[str] = []
    if all(way.role in LAWLESS for way, _, _ in parts):
        found.append("no law could be fitted: the largest run and the runs' mean stand in, whatever the target")
    for i, (_, forecast, _) in enumerate(parts):
        if i == 0 or share[i] >= WEIGHT_SAID:
            kinds = {doubt.partition(":")[0] for doubt in found}
            found += [doubt for doubt in forecast.doubts if doubt.partition(":")[0] not in kinds]
    return tuple(dict.fromkeys(found))


def _forecasts(
    ways: Sequence[Way], weights: dict[str, float], target: Target, settings: Settings
) -> list[tuple[Way, Forecast, Numbers]]:
    """Forecast by every way that leads somewhere, with as many of the draws as its weight is of all, and which."""
    able: list[Way] = []
    for way in ways:
        try:
            way.value(target)
        except (FitError, MethodError):
            continue
        able.append(way)
    while able:
        share = np.cumsum([weights[way.name] for way in able])
        ends = np.rint(settings.draws * share / share[-1]).astype(np.intp)
        order = np.random.default_rng([settings.seed, 5]).permutation(settings.draws)
        made: list[tuple[Way, Forecast, Numbers]] = []
        for way, begin, end in zip(able, [0, *ends[:-1]], ends, strict=True):
            numbers = order[begin:end]
            try:
                made.append((way, way.forecast(target, numbers), numbers))
            except (FitError, MethodError):  # its value can be computed and its draws cannot: without it
                able = [other for other in able if other is not way]
                break
        else:
            return made
    return []
