"""Clustering on difficulty: a task's score from the questions whose scaling can be read (COD, arXiv 2502.17262v4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError, MethodError
from foretell.fitting import Fit, fit, redraw_noise
from foretell.forecast import Forecast, Settings, Target
from foretell.laws import Law
from foretell.laws.law import Coefficient
from foretell.methods.item_clusters import FEWEST_ITEMS, RADIUS, Clusters, clusters_of
from foretell.methods.item_outcomes import ItemOutcomes
from foretell.methods.linkfit import falls_with
from foretell.table import Metric, Observations, Points
from foretell.table.items import Items

Array = NDArray[np.float64]

# C is in thousandths of the smallest model's compute, whatever the FLOP: with it the paper's condition a > 1 asks that
# a model a thousand times smaller than the smallest would solve less than 1/e of what is above the floor. The paper
# does not state its unit in what we could read.
UNIT = 1e-3
LAW = Law(
    "cluster",
    "g + (1 - g)*exp(-a/C**b - c)",
    {
        "g": Coefficient(0.0, 1.0, (0.001, 0.4), "share"),
        "a": Coefficient(0.0, 1e4, (1.0, 100.0), "(10⁻³ of the smallest model's FLOP)^b"),
        "b": Coefficient(0.0, 3.0, (0.1, 1.0), "1"),
        "c": Coefficient(0.0, 1.0, (0.001, 0.3), "1"),
    },
    response="share",
    source="COD, arXiv 2502.17262v4: g is the score of guessing, exp(−c) what compute cannot reach",
)
LEAST_A, LEAST_B, MOST_C = 1.0, 0.1, 0.99  # the paper's conditions: a > 1, b > 0.1, 0 ≤ c < 1
FEWEST_RUNS = 5  # one more than the law's coefficients
RISE_T = 4.0  # standard errors by which a cluster must rise over the models; ours, since a flat one fits any a and b
ROUGH = 0.05  # root mean square residual of a cluster beyond which it does not scale smoothly; ours
FEW_TRIES = 20  # of an item, below which groups blur (measured, benchmarks/cluster.py); the paper takes 100
MAP_ERROR = 0.005  # of the mapping's spline at the models (the paper's bound)
FEW_ITEMS_LEFT = 0.3  # of all, below which the subset says little of the whole
STARTS = 32


@dataclass(frozen=True)
class ClusterFit:
    """Hold one group of items: which they are, their mean rates (J,), the fitted law, and why it is set aside."""

    items: NDArray[np.intp]
    rate: Array
    fit: Fit | None
    refused: str

    @property
    def kept(self) -> bool:
        """Say whether the group's score can be extrapolated."""
        return not self.refused


@dataclass(frozen=True)
class ClusterScaling:
    """Hold a task's groups of items, and the map from the extrapolatable subset's score to that of all items."""

    outcomes: ItemOutcomes
    clusters: Clusters
    fits: tuple[ClusterFit, ...]

    @cached_property
    def kept(self) -> tuple[ClusterFit, ...]:
        """Give the groups that are extrapolated."""
        return tuple(found for found in self.fits if found.kept)

    @cached_property
    def predictable(self) -> NDArray[np.bool_]:
        """Say which items (I,) belong to an extrapolated group."""
        mask = np.zeros(len(self.outcomes.item), dtype=np.bool_)
        for found in self.kept:
            mask[found.items] = True
        return mask

    @cached_property
    def mapping(self) -> Callable[[Array], Array]:
        """Give the map from the subset's score to the full score, through (0, 0), the models and (1, 1)."""
        return mapped(self.outcomes.only(self.predictable).score, self.outcomes.score)

    def subset(self, C: Array) -> Array:
        """Compute the subset's score at computes C (m,) in FLOP."""
        weights = self._weights
        columns = {"C": np.asarray(C) / (UNIT * self.outcomes.C[0])}
        return np.asarray(weights @ np.array([found.fit.predict(columns) for found in self.kept if found.fit]))

    def full(self, C: Array) -> Array:
        """Compute the score of all items at computes C (m,) in FLOP."""
        made: Array = self.mapping(self.subset(C))
        return made

    @cached_property
    def _weights(self) -> Array:
        sizes = np.array([len(found.items) for found in self.kept], dtype=np.float64)
        return np.asarray(sizes / sizes.sum(), dtype=np.float64)

    def draws(self, C: float, settings: Settings) -> Array:
        """Draw the score (B,) at compute C: clusters refitted to new noise, and the scatter of models about the map."""
        B = settings.draws
        total = np.zeros(B)
        columns = {"C": np.array([C / (UNIT * self.outcomes.C[0])])}
        for k, found in enumerate(self.kept):
            assert found.fit is not None
            if "coefficients" in settings.parts:
                drawn = redraw_noise(found.fit, B, seed=settings.seed + k).predict_draws(columns)[:, 0]
                value = float(found.fit.predict(columns)[0])
                total += self._weights[k] * np.where(np.isfinite(drawn), drawn, value)
            else:
                total += self._weights[k] * float(found.fit.predict(columns)[0])
        made: Array = self.mapping(total)
        if "noise" in settings.parts:
            rng = np.random.default_rng([settings.seed, 6])
            inside = self.outcomes.score - self.mapping(self.outcomes.only(self.predictable).score)
            asked = max(1, int((~np.isnan(self.outcomes.rate)).sum(axis=0).max()))
            trials = float(np.nanmedian(self.outcomes.trials))
            sampling = made * (1.0 - made) / (asked * trials)
            made = made + np.sqrt(np.mean(inside**2) + sampling) * rng.normal(size=B)
        return np.asarray(np.clip(made, 0.0, 1.0), dtype=np.float64)

    def doubts(self) -> list[str]:
        """List what is doubtful about the items: those that never change, were not asked, or were set aside."""
        rate, total = self.outcomes.rate, len(self.outcomes.item)
        known = ~np.isnan(rate)
        doubts = []
        low, high = np.nanmin(np.where(known, rate, np.inf), axis=1), np.nanmax(np.where(known, rate, -np.inf), axis=1)
        if same := int(np.sum((low == high) & (known.sum(axis=1) > 1))):
            doubts.append(f"items that never change: {same} of {total} have one pass rate on every model")
        score = self.outcomes.score
        if falls_with(np.log(self.outcomes.C), score):
            doubts.append(
                f"gets worse with compute (inverse scaling): the models score {score[0]:.1%} to {score[-1]:.1%}; a "
                "group's curve can only rise"
            )
        if holes := int((~known).sum()):
            doubts.append(f"missing: {holes} of {rate.size} outcomes were not measured; scores are means of the others")
        if never := int((~known).all(axis=1).sum()):
            doubts.append(f"{never} items were asked of no model; they are left out")
        tries = float(np.median(self.outcomes.trials[known]))
        if tries < FEW_TRIES:
            doubts.append(f"few tries: a pass rate rests on {tries:g}, so groups of items blur; the paper takes 100")
        aside = {"outliers": int(np.sum(self.clusters.label < 0))}
        for found in self.fits:
            if found.refused:
                aside[found.refused] = aside.get(found.refused, 0) + len(found.items)
        if said := [f"{count} {why}" for why, count in aside.items() if count]:
            doubts.append(f"set aside as unpredictable, of {total} items: {', '.join(said)}")
        if self.predictable.mean() < FEW_ITEMS_LEFT:
            doubts.append(
                f"only {self.predictable.mean():.0%} of the items can be extrapolated: the map carries the rest"
            )
        return doubts


@dataclass(frozen=True)
class Cluster:
    """Forecast a task's score at a compute, from the pass rates of its items on small models.

    `items` are a study's outcomes, `radius` the half-width of a group in pass rate per model, `fewest` its least number
    of items. Only C of a target counts (6ND where it has none).
    """

    items: Items | None = None
    radius: float = RADIUS
    fewest: int = FEWEST_ITEMS

    name = "cluster"
    source = "COD, arXiv 2502.17262v4; the tests for a rise and a rough fit are ours"

    def forecast(
        self, observations: Observations, targets: Sequence[Target], metrics: Sequence[str], settings: Settings
    ) -> list[Forecast]:
        """Forecast every metric of every target from the items on the runs that are not held out.

        Raises MethodError without outcomes of the metric's items, FitError as `of_outcomes` does.
        """
        made: list[Forecast] = []
        for name in metrics:
            metric = observations.metric_named(name)
            if self.items is None or name not in self.items.metrics():
                raise MethodError(
                    f"the method cluster reads the outcome of every question, and {name} has none; keep them with "
                    "foretell read lm-eval or foretell evaluate"
                )
            if metric.unit == "error":
                raise MethodError(f"{name} is an error; outcomes of items are successes: name the accuracy")
            outcomes = ItemOutcomes.of_items(self.items, observations, name)
            made += [replace(one, metric=metric) for one in self.of_outcomes(outcomes, targets, settings)]
        return made

    def of_outcomes(self, outcomes: ItemOutcomes, targets: Sequence[Target], settings: Settings) -> list[Forecast]:
        """Forecast the mean pass rate over all items at each target.

        Raises FitError for fewer than five models, or when no group of items can be extrapolated.
        """
        made = self.fit(outcomes, settings)
        doubts = made.doubts()
        metric = Metric(name=outcomes.metric, unit="accuracy", better="higher")
        forecasts = []
        for target in targets:
            C = target.C if target.C is not None else 6.0 * target.N * target.D
            value = float(made.full(np.array([C]))[0])
            draws = made.draws(C, settings) if settings.draws else np.empty(0)
            reach = float(np.log10(C / outcomes.C.max()))
            beyond = [] if made.subset(np.array([C]))[0] <= 0.98 else ["the subset is all but solved at the target"]
            own = (*doubts, *beyond)
            forecasts.append(Forecast(target, metric, self.name, value, draws, settings.parts, reach, own))
        return forecasts

    def fit(self, outcomes: ItemOutcomes, settings: Settings) -> ClusterScaling:
        """Group the items, fit each group, and keep those that can be extrapolated.

        Raises FitError for fewer than five models, or when every group is set aside.
        """
        if len(np.unique(outcomes.C)) < FEWEST_RUNS:
            raise FitError(
                f"{len(np.unique(outcomes.C))} computes cannot fix the {len(LAW.coefficients)} coefficients of a group"
                f"; measure at least {FEWEST_RUNS} models of different compute"
            )
        clusters = clusters_of(outcomes, self.radius, self.fewest)
        found = [_fit_cluster(outcomes, np.flatnonzero(clusters.label == k), settings) for k in range(clusters.count)]
        made = ClusterScaling(outcomes, clusters, tuple(found))
        if not made.kept:
            raise FitError(
                f"none of {clusters.count} groups of {outcomes.metric} can be extrapolated "
                f"({'; '.join(made.doubts()) or 'no item was measured'}); train larger models, or more of them"
            )
        return made


def _fit_cluster(outcomes: ItemOutcomes, items: NDArray[np.intp], settings: Settings) -> ClusterFit:
    mine = outcomes.only(items)
    rate = mine.score
    if np.isnan(rate).any():
        return ClusterFit(items, rate, None, "not asked of every model")
    if not rises(mine):
        return ClusterFit(items, rate, None, "flat" if rate.mean() > 0 else "never solved")
    points = points_of(rate, outcomes)
    starts = min(settings.starts, STARTS)
    try:
        made = fit(LAW, points, objective="gaussian@linear", starts=starts, seed=settings.seed)
    except FitError:
        return ClusterFit(items, rate, None, "without a fit")
    theta = made.coefficients
    refused = ""
    if np.sqrt(np.mean(made.residuals**2)) > ROUGH:
        refused = "rough"
    elif not (theta["a"] > LEAST_A and theta["b"] > LEAST_B and theta["c"] < MOST_C):
        refused = "without a steady rise (a ≤ 1, b ≤ 0.1 or c ≥ 1)"
    return ClusterFit(items, rate, made, refused)


def points_of(rate: Array, outcomes: ItemOutcomes) -> Points:
    """Make points of a mean pass rate (J,) in the law's unit of compute."""
    metric = Metric(name=f"{outcomes.metric} cluster", unit="accuracy", better="higher")
    return Points(metric, outcomes.run, {"C": outcomes.C / (UNIT * outcomes.C[0])}, rate, np.full(len(rate), np.nan))


def rises(outcomes: ItemOutcomes) -> bool:
    """Say whether the mean rate rises with ln C by more than four standard errors of the items' own slopes."""
    x = np.log(outcomes.C)
    x = (x - x.mean()) / np.sum((x - x.mean()) ** 2)
    slope = outcomes.filled() @ x
    error = float(slope.std(ddof=1)) / np.sqrt(len(slope)) if len(slope) > 1 else np.inf
    return bool(slope.mean() > RISE_T * error and slope.mean() > 0)


def mapped(subset: Array, full: Array) -> Callable[[Array], Array]:
    """Make the map from subset score to full score: a cubic smoothing spline through (0, 0), the models and (1, 1).

    It smooths until the root mean square error at the models reaches .005. Where such a spline would fall anywhere it
    is replaced by the monotone cubic (PCHIP) through the same points put in order.
    """
    from scipy.interpolate import PchipInterpolator, UnivariateSpline

    inner = np.unique(np.round(subset[(subset > 0) & (subset < 1)], 9))
    mean = np.array([full[np.round(subset, 9) == s].mean() for s in inner])
    x, y = np.concatenate([[0.0], inner, [1.0]]), np.concatenate([[0.0], mean, [1.0]])
    grid = np.linspace(0.0, 1.0, 401)
    if len(x) > 3:
        weights = np.ones(len(x))
        weights[[0, -1]] = 1e3  # the ends are known
        spline = UnivariateSpline(x, y, w=weights, k=3, s=len(inner) * MAP_ERROR**2)
        if np.all(np.diff(spline(grid)) >= -1e-6):
            return lambda s: np.clip(spline(np.clip(s, 0.0, 1.0)), 0.0, 1.0)
    rising = PchipInterpolator(x, np.maximum.accumulate(np.clip(y, 0.0, 1.0)))
    return lambda s: np.clip(rising(np.clip(s, 0.0, 1.0)), 0.0, 1.0)
