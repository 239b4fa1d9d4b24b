"""Joint fits: exponents shared over the losses and families of one study, each with a level and floor of its own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from foretell.errors import FitError, ForetellError, MethodError, UnknownName
from foretell.fitting import reach_doubts
from foretell.forecast import Forecast, Settings, Target, ranges_of, reach_of, within_limits
from foretell.methods.borrowed import Borrowing, fit_under, joined, joined_draws
from foretell.methods.lossfit import AUTO
from foretell.methods.priors import FEWEST_FAMILIES, SHAPES, Family, Prior, base, learn_prior, recognise, shipped
from foretell.table import Metric, Observations, Points

FEWEST_ROWS = 4  # of a sibling: fewer say nothing of its exponents
MOST_SIBLINGS = 8  # of more, so many spread over the alphabet
EXPECTED = 0.01  # spread of log loss supposed of a sibling before its rows are seen


@dataclass(frozen=True)
class Joint:
    """Forecast losses by laws whose exponents are shrunk towards those of the study's other losses and families.

    Each loss of each family has its own level, floor and share of N, and exponents drawn from one normal population;
    the population of a loss is learned from its siblings, never from itself: the same runs' other losses and, where a
    target names its family, the same loss of the other families. With fewer than three siblings, public families stand
    beside them, without the study's own source (`leave_out` names more). The population is found by expectation
    maximisation, the fit is the posterior's mode; `law` is `skaling`, `chinchilla` or `auto`: both, by their evidence.
    """

    law: str = AUTO
    leave_out: str = ""

    name = "joint"
    source = "exponents shared over tasks and families: a normal hierarchy (Laird 1982) of the laws of arXiv 2608.07222"

    def __post_init__(self) -> None:
        if self.law not in (AUTO, *SHAPES):
            raise UnknownName("law with priors", self.law, (AUTO, *SHAPES))

    def forecast(
        self, observations: Observations, targets: Sequence[Target], metrics: Sequence[str], settings: Settings
    ) -> list[Forecast]:
        """Forecast every metric of every target; raises MethodError for one that is no loss, FitError without rows."""
        training = observations.training()
        made: list[Forecast] = []
        fits = Siblings(training, settings, tuple(SHAPES) if self.law == AUTO else (self.law,), self.leave_out)
        for name in metrics:
            metric = training.metric_named(name)
            if metric.is_share:
                raise MethodError(f"{name} is {metric.unit}; joint exponents are of losses: use the method ladder")
            made += [self._forecast(fits, metric, target, settings) for target in targets]
        return made

    def _forecast(self, fits: Siblings, metric: Metric, target: Target, settings: Settings) -> Forecast:
        family = target.family if target.family in fits.families else ""
        points, found = fits.points(metric.name, family), fits.found(metric.name, family)
        others = found[0].prior.families
        reach = reach_of(points, target)
        doubts = [
            f"exponents are shrunk towards those of {len(others)} others: {_some(others)}",
            *reach_doubts(reach, {"N": target.N, "D": target.D}, ranges_of(points)),
        ]
        rng = np.random.default_rng([settings.seed, 1])
        return Forecast(
            target=target,
            metric=metric,
            method=self.name,
            value=float(within_limits(metric, np.array([joined(found, target.N, target.D)]))[0]),
            draws=within_limits(metric, joined_draws(found, target.N, target.D, settings.parts, rng)),
            parts=settings.parts,
            reach=reach,
            doubts=tuple(dict.fromkeys(doubts)),
        )


@dataclass
class Siblings:
    """Keep the fits of a study's losses, each under the prior that its siblings give."""

    training: Observations
    settings: Settings
    laws: Collection[str]
    leave_out: str = ""
    _points: dict[tuple[str, str], Points] = field(default_factory=dict)
    _alone: dict[tuple[str, str, str], Family | None] = field(default_factory=dict)
    _found: dict[tuple[str, str], list[Borrowing]] = field(default_factory=dict)

    @property
    def families(self) -> list[str]:
        """Name the families that are told apart: none where there is only one."""
        found = sorted(set(self.training.runs["family"]))
        return found if len(found) > 1 else []

    def points(self, metric: str, family: str) -> Points:
        """Give the rows of a loss, of one family where it is named; raises FitError where there are none to fit."""
        key = (metric, family)
        if key not in self._points:
            whole = self.training.metric(metric)
            if family:
                of = dict(self.training.runs.select("name", "family").iter_rows())
                whole = whole.take(np.array([of[run] == family for run in whole.run], dtype=np.bool_))
            if not len(whole):
                raise FitError(f"{metric} was measured on no run of {family or 'the study'}")
            if (whole.value <= 0).any():
                raise FitError(f"{metric} has values ≤ 0, which have no logarithm")
            self._points[key] = whole
        return self._points[key]

    def found(self, metric: str, family: str) -> list[Borrowing]:
        """Give the posterior of each law under the prior of the loss's siblings."""
        key = (metric, family)
        if key not in self._found:
            points = self.points(metric, family)
            self._found[key] = [fit_under(self.prior(law, metric, family), points, self.settings) for law in self.laws]
        return self._found[key]

    def prior(self, law: str, metric: str, family: str) -> Prior:
        """Learn a law's population from a loss's siblings, with public families beside them where they are few."""
        siblings = [found for other in self._siblings(metric, family) if (found := self._fit_alone(law, *other))]
        if len(siblings) >= FEWEST_FAMILIES:
            return learn_prior(siblings, SHAPES[law])
        public = shipped(law)
        left = recognise(public, self.training, metric, self.leave_out)
        return learn_prior([*(f for f in public if f.source not in left), *siblings], SHAPES[law])

    def _siblings(self, metric: str, family: str) -> list[tuple[str, str]]:
        """Name the other losses of the family, and the same loss of the other families."""
        names = [m.name for m in self.training.metrics.values() if m.is_loss and m.name != metric]
        others = [(name, family) for name in names]
        if family:
            others += [(metric, other) for other in self.families if other != family]
        if len(others) > MOST_SIBLINGS:
            others = [others[round(i)] for i in np.linspace(0, len(others) - 1, MOST_SIBLINGS)]
        return others

    def _fit_alone(self, law: str, metric: str, family: str) -> Family | None:
        """Fit one sibling under the base prior and nothing else; none where its rows cannot be fitted."""
        key = (law, metric, family)
        if key not in self._alone:
            self._alone[key] = None
            try:
                points = self.points(metric, family)
                if len(points) >= FEWEST_ROWS:
                    self._alone[key] = _alone(law, points, f"{family} {metric}".strip(), self.settings)
            except ForetellError:
                pass
        return self._alone[key]


def _alone(law: str, points: Points, label: str, settings: Settings) -> Family:
    centre, precision = base(SHAPES[law])
    wide = Prior(SHAPES[law], centre, np.diag(1.0 / precision), EXPECTED, (), ())
    posterior = fit_under(wide, points, replace(settings, draws=0)).posterior
    name = label.replace("/", ":")  # a name's first part is its source: every sibling counts once
    return Family(
        name, (name,), "the study", points.run_count, posterior.spread, frozenset(), posterior.u, posterior.covariance
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
