"""A fit: a law with coefficients, their uncertainty, its residuals and its doubts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError
from foretell.fitting.coordinates import coordinates_of
from foretell.fitting.descent import descend, refine
from foretell.fitting.newton import Minima
from foretell.fitting.objective import Objective, parse_objective
from foretell.fitting.starts import starting_points
from foretell.laws import law_named
from foretell.laws.law import Law
from foretell.markup import small_table
from foretell.table.points import Points

Array = NDArray[np.float64]

DEFAULT_STARTS = 128
STRAIGHT = 4  # one start in so many also descends straight at the width asked for
SAME = 1e-5  # minima whose objectives differ by less, relatively, are one


@dataclass(frozen=True)
class Fit:
    """Hold what a law became on n points.

    `theta` (p,) are the coefficients in the order of `law.coefficients`; `scale` is the residuals' spread where the
    objective fits it; `objective_value` is the sum over rows. `share_of_starts` says how many starts ended there, and
    `rivals` (r, p) are other minima whose objective comes within 1 %. `draws` (B, p) are coefficients that
    the data could as well have had (see `foretell.fitting.resample`).
    """

    law: Law
    points: Points
    objective: Objective
    theta: Array
    scale: float | None
    objective_value: float
    share_of_starts: float
    rivals: Array
    seed: int
    u: Array
    draws: Array | None = None

    def __len__(self) -> int:
        return len(self.points)

    @property
    def coefficients(self) -> dict[str, float]:
        """Give the coefficients by name."""
        return dict(zip(self.law.coefficients, (float(value) for value in self.theta), strict=True))

    def intervals(self, level: float = 0.8) -> dict[str, tuple[float, float]]:
        """Give for each coefficient the central interval of its draws; raises FitError without draws."""
        if self.draws is None:
            raise FitError("this fit has no draws; resample it first")
        tail = 50.0 * (1.0 - level)
        low, high = np.percentile(self.draws, [tail, 100.0 - tail], axis=0)
        names = self.law.coefficients
        return {name: (float(a), float(b)) for name, a, b in zip(names, low, high, strict=True)}

    def predict(self, inputs: Mapping[str, Array]) -> Array:
        """Compute the fitted law (m,) on inputs of shape (m,)."""
        return self.law.gradient(self.theta, self.law.features(inputs))[0]

    def predict_draws(self, inputs: Mapping[str, Array]) -> Array:
        """Compute the law (B, m) for every draw; raises FitError without draws."""
        if self.draws is None:
            raise FitError("this fit has no draws; resample it first")
        return self.law.gradient(self.draws, self.law.features(inputs))[0]

    @cached_property
    def features(self) -> Array:
        """Give what the law's code needs of the fitted rows (f, n)."""
        return self.law.features(self.points.inputs)

    @cached_property
    def fitted(self) -> Array:
        """Give the law's value (n,) on the rows it was fitted to."""
        return self.law.gradient(self.theta, self.features)[0]

    @cached_property
    def residuals(self) -> Array:
        """Give measured minus fitted (n,): of logarithms, or of values where the objective is linear."""
        if self.objective.space == "log":
            return np.log(self.points.value) - np.log(self.fitted)
        return self.points.value - self.fitted

    @cached_property
    def spread(self) -> float:
        """Give the residuals' standard deviation, with n − p degrees of freedom (at least one)."""
        free = max(1, len(self.residuals) - len(self.theta))
        return float(np.sqrt(np.sum(self.residuals**2) / free))

    @cached_property
    def shared_within_runs(self) -> float:
        """Give the share 0..1 of the residuals' variance that rows of one run have in common (one-way ANOVA)."""
        measured = ~self.points.known
        residuals = self.residuals[measured]
        return shared_variance(residuals, np.unique(self.points.run_index[measured], return_inverse=True)[1])

    @cached_property
    def jacobian(self) -> Array:
        """Give the derivative (n, p) of each fitted value (or its logarithm) in the fitted coordinates."""
        value, gradient = self.law.gradient(self.theta, self.features)
        coordinates = coordinates_of(self.law, self.objective)
        natural = gradient / value if self.objective.space == "log" else gradient
        return (natural * coordinates.slope(self.u)[: len(self.theta), None]).T

    @cached_property
    def covariance(self) -> Array:
        """Give the sandwich covariance (p, p) of the fitted coordinates, clustered by run (Gauss–Newton bread)."""
        bread = np.linalg.pinv(self.jacobian.T @ self.jacobian, rcond=1e-12)
        index = self.points.run_index
        runs = int(index.max()) + 1
        scores = np.zeros((runs, len(self.theta)))
        np.add.at(scores, index, self.jacobian * self.residuals[:, None])
        free = max(1, runs - len(self.theta))
        return bread @ (scores.T @ scores) @ bread * (runs / free)

    def _repr_html_(self) -> str:
        bounds = self.intervals(0.8) if self.draws is not None else {}
        rows = [
            (name, f"{value:.5g}", "{:.4g} – {:.4g}".format(*bounds[name]) if name in bounds else "none")
            for name, value in self.coefficients.items()
        ]
        title = f"{self.law.name} of {self.points.metric.name}: {self.law.formula}"
        return small_table(title, ("coefficient", "value", "80 % interval"), rows)


def fit(
    law: Law | str,
    points: Points,
    *,
    objective: str | Objective = "huber:1e-3",
    starts: int = DEFAULT_STARTS,
    seed: int = 0,
    weights: Array | None = None,
) -> Fit:
    """Fit a law, or the one of that name or formula, to points from Sobol starts and the published coefficients.

    `weights` (n,) counts each row. Raises FitError when there are fewer rows than coefficients, a row has
    a value the objective cannot take (a loss ≤ 0 in log space, no item counts for a binomial), or no start converges.
    """
    law = law_named(law) if isinstance(law, str) else law
    chosen = (
        objective
        if isinstance(objective, Objective)
        else parse_objective(objective, share=law.response == "share" or points.metric.is_share)
    )
    if starts < 1 or seed < 0:
        raise FitError(f"{starts} starts and seed {seed} were asked for; give starts ≥ 1 and seed ≥ 0")
    _check(law, points, chosen)
    target, weight = _targets(points, chosen, None, None if weights is None else weights[None, :])
    begin = starting_points(law, chosen, points, starts, seed)
    features = law.features(points.inputs)
    minima = descend(law, chosen, features, target, weight, begin)
    if chosen.kind == "huber":  # the way down from a wide penalty can lead every start past a lower minimum
        straight = descend(law, chosen, features, target, weight, begin[: -(-starts // STRAIGHT)], straight=True)
        minima = minima.beside(straight)
    coordinates = coordinates_of(law, chosen)
    usable = np.isfinite(minima.objective)
    if not usable.any():
        raise FitError(
            f"none of {starts} starts of {law.name} on {points.metric.name} gave a finite objective; "
            "check the values and the bounds"
        )
    best = int(np.nanargmin(np.where(usable, minima.objective, np.inf)))
    value = float(minima.objective[best])
    near = minima.objective <= value + SAME * abs(value) + 1e-300
    close = minima.objective <= value + 1e-2 * abs(value)
    theta = coordinates.natural(minima.u)
    p = len(law.coefficients)
    made = Fit(
        law=law,
        points=points,
        objective=chosen,
        theta=theta[best, :p],
        scale=_scale_of(minima, best, p, chosen),
        objective_value=value + chosen.constant * float(len(points) if weights is None else weights.sum()),
        share_of_starts=float(near[:starts].mean()),
        rivals=_distinct(minima.u[close & ~near]),
        seed=seed,
        u=minima.u[best],
    )
    if not np.isfinite(made.fitted).all():
        raise FitError(f"{law.name} is not finite on the rows of {points.metric.name}; its formula grows too fast")
    return made


def shared_variance(residuals: Array, index: NDArray[np.intp]) -> float:
    """Give the share 0..1 of the variance of residuals (n,) that rows of one run have in common (one-way ANOVA)."""
    count = np.bincount(index)
    if count.max() == 1:
        return 0.0
    mean = np.bincount(index, residuals) / count
    within = float(np.sum((residuals - mean[index]) ** 2)) / max(1, len(residuals) - len(count))
    between = float(np.sum(count * mean**2)) / len(count)
    common = max(0.0, (between - within) * len(count) / len(residuals))
    return common / (common + within) if common + within > 0 else 0.0


def refit(made: Fit, *, weights: Array | None = None, values: Array | None = None) -> Array:
    """Refit on other weights or values (B, n), from the fit's own minimum and its rivals; give coefficients (B, p)."""
    law, chosen = made.law, made.objective
    coordinates = coordinates_of(law, chosen)
    target, weight = _targets(made.points, chosen, values, weights)
    B = max(len(target), len(weight))
    seeds = np.vstack([made.u[None, :], made.rivals])
    best_u, best_value = np.repeat(made.u[None, :], B, axis=0), np.full(B, np.inf)
    for start in seeds:
        minima = refine(law, chosen, made.features, target, weight, np.tile(start, (B, 1)))
        better = minima.objective < best_value
        best_u[better], best_value[better] = minima.u[better], minima.objective[better]
    return coordinates.natural(best_u)[:, : len(law.coefficients)]


def _scale_of(minima: Minima, best: int, p: int, objective: Objective) -> float | None:
    if objective.free_scale:
        return float(np.exp(minima.u[best, p]))
    return None if minima.scale is None else float(minima.scale[best])


def _targets(points: Points, objective: Objective, values: Array | None, weights: Array | None) -> tuple[Array, Array]:
    measured = points.value[None, :] if values is None else values
    weight = np.ones((1, len(points))) if weights is None else weights
    if objective.kind == "binomial":
        return measured, weight * points.items[None, :]
    return (np.log(measured) if objective.space == "log" else measured), weight


def _check(law: Law, points: Points, objective: Objective) -> None:
    p = len(law.coefficients)
    if len(points) <= p:
        raise FitError(
            f"{len(points)} rows of {points.metric.name} cannot carry the {p} coefficients of {law.name}; "
            f"at least {p + 1} are needed: train more runs, choose a law with fewer coefficients, or, for a loss, "
            "--method borrowed"
        )
    if objective.space == "log" and (points.value <= 0).any():
        raise FitError(f"{points.metric.name} has values ≤ 0, which have no logarithm; use an objective with @linear")
    if objective.kind == "binomial":
        if not points.metric.is_share:
            raise FitError(f"{points.metric.name} is {points.metric.unit}; only a share in 0..1 can be binomial")
        if np.isnan(points.items).any():
            raise FitError(f"{points.metric.name} has no item counts; give them (--items), or use another objective")


def _distinct(u: Array, most: int = 3) -> Array:
    kept: list[Array] = []
    for row in u:
        if all(np.max(np.abs(row - other)) > 0.1 for other in kept):
            kept.append(row)
        if len(kept) == most:
            break
    return np.array(kept).reshape(len(kept), u.shape[1])
