"""Borrowed exponents: a loss law whose prior other families set, so that one run is enough (arXiv 2410.11840)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError, MethodError, UnknownName
from foretell.fitting import reach_doubts
from foretell.forecast import Forecast, Settings, Target, ranges_of, reach_of, within_limits
from foretell.methods.lossfit import AUTO
from foretell.methods.posterior import Posterior, Problem, draw_posterior
from foretell.methods.priors import D0, N0, SHAPES, Prior, learn_prior, recognise, shipped
from foretell.table import Metric, Observations, Points

Array = NDArray[np.float64]

DROPPED = 0.1  # of each run's tokens, whose checkpoints are not used (paper: the first 10 %, or 10B tokens)
MOST_ROWS = 30  # of a run, evenly over its checkpoints: neighbours say the same
SHARED = 0.5  # of the residuals' variance that rows of one run share; measured: 0.2 (OLMo ladder) to 0.98 (Gemstones)
ROWS = (AUTO, "checkpoints", "final")
# Runs from which final values do better than checkpoints, whose learning rate has not come down: measured on the two
# largest rungs of the OLMo ladder, from its 1, 2, 3, 6 and 14 smallest: 3.0, 1.5, 2.4, 2.9, 1.4 % with checkpoints,
# 4.8, 1.7, 1.7, 2.2, 0.6 % without.
FINAL_FROM = 3
STARTS = 6
FAR_FROM_PRIOR = 3.0  # standard deviations of the prior, per coefficient, at which a family is called unlike the others
FEW_EFFECTIVE = 0.02


@dataclass(frozen=True)
class Borrowed:
    """Forecast losses by laws whose coefficients have a prior learned from other families' runs.

    `law` is `skaling`, `chinchilla` or `auto`: both, each weighted by how probable it makes the rows. `rows` is
    `checkpoints` (every checkpoint after the first tenth of its run, as the paper has it), `final` (what the study fits
    laws to) or `auto`: checkpoints of one or two runs, or where the study fits laws to checkpoints, and final values
    otherwise. A family is never its own prior: those that the study's families name, those whose rows the study shares
    and those that `leave_out` lists (between commas) are left out, with all that come from the same source. The value
    is the posterior's mode. From its 1, 2, 3 and 6 smallest runs, 3.2 decades of compute below in the median, the
    largest tenth of a family's runs is missed by 8.8, 5.3, 4.6 and 4.9 % (benchmarks/borrowed.py, own source left out).
    """

    law: str = AUTO
    rows: str = AUTO
    leave_out: str = ""

    name = "borrowed"
    source = "Choshen 2024, arXiv 2410.11840, with a normal prior over families for its fixed exponents"

    def __post_init__(self) -> None:
        if self.law not in (AUTO, *SHAPES):
            raise UnknownName("law with priors", self.law, (AUTO, *SHAPES))
        if self.rows not in ROWS:
            raise UnknownName("rows", self.rows, ROWS)

    def forecast(
        self, observations: Observations, targets: Sequence[Target], metrics: Sequence[str], settings: Settings
    ) -> list[Forecast]:
        """Forecast every metric of every target; one run is enough.

        Raises MethodError for a metric that is no loss, FitError where its values are not positive, UnknownName for a
        family to leave out that is not there.
        """
        training = observations.training()
        made: list[Forecast] = []
        for name in metrics:
            metric = training.metric_named(name)
            if metric.is_share:
                raise MethodError(f"{name} is {metric.unit}; borrowed exponents forecast losses: use the method ladder")
            points = self.rows_of(training, name)
            found = [fit_under(prior, points, settings) for prior in self.priors(training, name)]
            doubts = [doubt for one in found for doubt in _doubts(one, points)]
            made += [_forecast(found, points, metric, target, settings, doubts) for target in targets]
        return made

    @property
    def laws(self) -> tuple[str, ...]:
        """Name the laws whose forecasts are joined."""
        return tuple(SHAPES) if self.law == AUTO else (self.law,)

    def priors(self, training: Observations, metric: str) -> list[Prior]:
        """Learn each law's prior for a study's metric, from every family but its own."""
        made = []
        for law in self.laws:
            families = shipped(law)
            made.append(learn_prior(families, SHAPES[law], recognise(families, training, metric, self.leave_out)))
        return made

    def rows_of(self, training: Observations, metric: str) -> Points:
        """Give the rows that are fitted; raises FitError for a value that has no logarithm."""
        every = replace(training, rows="all").metric(metric)
        few = training.rows == "all" or every.run_count < FINAL_FROM
        points = _thin(every) if (few and self.rows == AUTO) or self.rows == "checkpoints" else training.metric(metric)
        if not len(points):
            raise FitError(f"{metric} was measured on no run that may be fitted")
        if (points.value <= 0).any():
            raise FitError(f"{metric} has values ≤ 0, which have no logarithm")
        return points


@dataclass(frozen=True)
class Borrowing:
    """Hold a prior and what the family's own rows made of it."""

    prior: Prior
    posterior: Posterior

    def value(self, N: float, D: float) -> float:
        """Compute the loss of a run at the posterior's mode."""
        return self.posterior.value(shape_inputs(np.array([N]), np.array([D])))

    def draws(self, N: float, D: float, parts: frozenset[str], rng: np.random.Generator) -> Array:
        """Draw what may be observed of a run, with the coefficients' and the observation's part as asked for."""
        own = "coefficients" in parts
        count = len(self.posterior.draws)
        spreads = self.posterior.spreads if own else np.full(count, self.posterior.spread)
        draws = np.full(count, self.value(N, D))
        if own:
            draws = self.posterior.values(shape_inputs(np.array([N]), np.array([D])))
        if "noise" in parts:
            draws = draws * np.exp(spreads * rng.normal(size=count))
        return draws


def weights_of(found: Sequence[Borrowing]) -> Array:
    """Weigh laws by their evidence, one law as probable beforehand as another."""
    evidence = np.array([one.posterior.log_evidence for one in found])
    weight = np.exp(evidence - evidence.max())
    return np.asarray(weight / weight.sum(), dtype=np.float64)


def joined(found: Sequence[Borrowing], N: float, D: float) -> float:
    """Join the values of several laws into one: their weighted geometric mean."""
    return float(np.exp(np.sum(weights_of(found) * np.log([one.value(N, D) for one in found]))))


def joined_draws(
    found: Sequence[Borrowing], N: float, D: float, parts: frozenset[str], rng: np.random.Generator
) -> Array:
    """Take each law's share of the draws of what may be observed of a run."""
    draws = [one.draws(N, D, parts, rng) for one in found]
    counts = np.diff(np.round(np.cumsum([0.0, *weights_of(found)]) * len(draws[0])).astype(np.intp))
    return np.concatenate([of_law[:count] for of_law, count in zip(draws, counts, strict=True)])


def _forecast(
    found: Sequence[Borrowing], points: Points, metric: Metric, target: Target, settings: Settings, doubts: list[str]
) -> Forecast:
    rng = np.random.default_rng([settings.seed, 6])
    reach = reach_of(points, target)
    doubts = [*doubts, *reach_doubts(reach, {"N": target.N, "D": target.D}, ranges_of(points))]
    draws = joined_draws(found, target.N, target.D, settings.parts, rng)
    return Forecast(
        target=target,
        metric=metric,
        method=Borrowed.name,
        value=float(within_limits(metric, np.array([joined(found, target.N, target.D)]))[0]),
        draws=within_limits(metric, draws),
        parts=settings.parts,
        reach=reach,
        doubts=tuple(dict.fromkeys(doubts)),
    )


def shape_inputs(N: Array, D: Array) -> dict[str, Array]:
    """Give the inputs of the laws that have priors."""
    return {"n": np.log(N / N0), "d": np.log(D / D0)}


def fit_under(prior: Prior, points: Points, settings: Settings) -> Borrowing:
    """Find the posterior of a law's coefficients under a prior; rows in any order."""
    points = points.take(np.lexsort((points.value, points.input("D"), points.input("N"), points.run)))
    law = prior.law
    count = np.bincount(points.run_index)[points.run_index].astype(np.float64)
    precision = np.asarray(np.linalg.inv(prior.covariance), dtype=np.float64)
    weight: Array = 1.0 / (1.0 + (count - 1.0) * SHARED)
    problem = Problem(
        law=law,
        features=law.features(shape_inputs(points.input("N"), points.input("D"))),
        log_value=np.log(points.value),
        weight=weight,
        centre=prior.centre,
        precision=precision,
        spread=prior.spread,
    )
    starts = _starts(problem, prior, settings.seed)
    return Borrowing(prior, draw_posterior(problem, starts, settings.draws, settings.seed))


def _starts(problem: Problem, prior: Prior, seed: int) -> Array:
    """Start at the prior's centre and at draws from it, each with S moved to where the rows are."""
    rng = np.random.default_rng([seed, 7])
    root = np.linalg.cholesky(prior.covariance)
    starts = prior.centre + rng.normal(size=(STARTS, len(prior.centre))) @ root.T
    starts[0] = prior.centre
    scale = prior.law.coefficients.index("S")
    starts[:, scale] = prior.centre[scale]
    value = np.log(prior.law.gradient(problem.coordinates.natural(starts), problem.features)[0])
    starts[:, scale] += np.mean(problem.log_value - value, axis=1)
    return starts


def _thin(points: Points) -> Points:
    """Leave out the first tenth of each run's tokens; of the rest keep at most 30 checkpoints, the last included."""
    kept: list[int] = []
    D = points.input("D")
    for run in np.unique(points.run):
        rows = np.flatnonzero(points.run == run)
        rows = rows[np.argsort(D[rows], kind="stable")]
        rows = rows[D[rows] > DROPPED * D[rows[-1]]]
        if len(rows) > MOST_ROWS:
            rows = rows[np.round(np.linspace(0, len(rows) - 1, MOST_ROWS)).astype(np.intp)]
        kept += rows.tolist()
    return points.take(np.array(kept, dtype=np.intp))


def _doubts(found: Borrowing, points: Points) -> list[str]:
    """List the doubts about a posterior: what it borrows, from whom, and where the rows contradict it."""
    prior, posterior = found.prior, found.posterior
    left = f"; left out: {', '.join(prior.left_out)}" if prior.left_out else ""
    doubts = [f"exponents are borrowed from {len(prior.families)} other families{left}"]
    if points.run_count == 1:
        doubts.append("a single run: how the loss falls with N is the other families' word")
    free = np.array([name != "S" for name in prior.law.coefficients])
    away = (posterior.u - prior.centre)[free]
    distance = float(np.sqrt(away @ np.linalg.inv(prior.covariance[np.ix_(free, free)]) @ away / free.sum()))
    if distance > FAR_FROM_PRIOR:
        doubts.append(
            f"unlike the other families: its coefficients of {prior.law.name} lie {distance:.1f} of their spreads from "
            "the middle"
        )
    if posterior.effective < FEW_EFFECTIVE:
        doubts.append(
            f"the draws of {prior.law.name} are worth only {posterior.effective:.1%} of their proposals: the interval "
            "is rough"
        )
    return doubts
