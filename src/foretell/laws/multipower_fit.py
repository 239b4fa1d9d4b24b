"""The fit of the multi-power law, and forecasts of annealed runs from curves of other schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError, UnknownName
from foretell.laws.multipower import BLOCK, NAMES, Curve, Sums, multi_power_loss, sums_of
from foretell.laws.schedule import Schedule

Array = NDArray[np.float64]

GAIN = ("B", "C", "beta", "gamma")  # what only a falling learning rate can tell
HUBER = 1e-3  # on log loss, as the authors fit
TRIED, POLISHED = 256, 6  # cold starts whose linear part is solved, and how many of them are fitted to the end
RANGES = {"alpha": (0.2, 0.9), "C": (0.3, 10.0), "beta": (0.2, 1.2), "gamma": (0.2, 1.0)}  # of cold starts
# C, beta and gamma are nearly the same at 100M and 400M (PUBLISHED): their mean, towards which a fit is pulled. Without
# it the three follow the noise: held-out curves of the 25M fit set are missed by .33 %, with it by .12 % (measured).
PRIOR = {"C": 2.08, "beta": 0.596, "gamma": 0.645}
STRENGTH = 0.03  # a residual of log loss for each log unit away from the prior
NEAR = 0.1  # log units
LOWEST = 1e-6  # of a loss, so that it has a logarithm while the descent looks around
FURTHEST = 12.0  # log units that a coefficient may move from its start


@dataclass(frozen=True)
class MultiPowerFit:
    """Hold fitted coefficients by name, the curves they were fitted to, and the doubts about them.

    `objective_value` is the sum over rows of Huber's penalty on log loss plus the prior's; `share_of_starts` says how
    many cold starts of those fitted to the end came there.
    """

    coefficients: Mapping[str, float]
    curves: tuple[Curve, ...] = field(repr=False)
    borrowed: tuple[str, ...]
    prior: Mapping[str, float]
    objective_value: float
    share_of_starts: float

    def predict(self, schedule: Schedule, steps: Array) -> Array:
        """Forecast the loss (n,) at steps (n,) of any schedule of the same model and batch."""
        return multi_power_loss(self.coefficients, schedule, steps)

    @cached_property
    def relative_errors(self) -> Array:
        """Give (fitted − measured)/measured of all rows of all curves, in their order."""
        return np.concatenate([self.predict(c.schedule, c.step) / c.loss - 1.0 for c in self.curves])

    @cached_property
    def doubts(self) -> tuple[str, ...]:
        """List what stands against these coefficients, one sentence each."""
        found = []
        if self.borrowed:
            found.append(f"{', '.join(self.borrowed)} are borrowed from other runs, not fitted to these")
        if sum(c.schedule.anneals for c in self.curves) == 1 and not self.borrowed:
            found.append("only one schedule anneals: B, C, beta and gamma rest on it alone")
        near = [name for name, value in self.prior.items() if abs(np.log(self.coefficients[name] / value)) < NEAR]
        if near:
            found.append(f"{', '.join(near)} rest on the prior: these curves hardly move them")
        if self.share_of_starts < 0.5:
            found.append(f"only {self.share_of_starts:.0%} of the starts came to this minimum")
        return tuple(found)


def fit_multi_power(
    curves: Sequence[Curve],
    *,
    start: Mapping[str, float] | None = None,
    borrowed: Mapping[str, float] | None = None,
    prior: Mapping[str, float] | None = None,
    strength: float = STRENGTH,
    block: int = BLOCK,
) -> MultiPowerFit:
    """Fit the law to curves of one model by Huber's penalty on log loss, from cold starts or from one given `start`.

    `borrowed` fixes coefficients by name, such as those of annealing from another size. A cold start draws alpha, C,
    beta, gamma evenly from `RANGES` and solves the rest, which the loss is linear in. `prior` gives the values that
    coefficients are pulled towards, with `strength` as the residual of log loss for each log unit; 0 is a free fit.
    Raises FitError when no curve anneals and the coefficients of annealing are not borrowed, there are fewer rows than
    coefficients, or a value given is not positive; UnknownName for a coefficient that the law does not have.
    """
    fixed, pulled = dict(borrowed or {}), dict(PRIOR if prior is None else prior)
    for name, value in [*fixed.items(), *pulled.items(), *(start or {}).items()]:
        if name not in NAMES:
            raise UnknownName("coefficient", name, NAMES)
        if not 0.0 < value < np.inf:
            raise FitError(f"{name} is given as {value}; coefficients of the multi-power law are positive")
    absent = [name for name in NAMES if start is not None and name not in start and name not in fixed]
    if absent:
        raise FitError(f"the start has no {', '.join(absent)}; give them all, or no start")
    free = tuple(name for name in NAMES if name not in fixed)
    rows = sum(len(curve.loss) for curve in curves)
    if rows <= len(free):
        raise FitError(f"{rows} losses cannot carry {len(free)} coefficients of the law; give longer curves")
    if not any(curve.schedule.anneals for curve in curves) and set(GAIN) & set(free):
        raise FitError(
            "the learning rate never falls in these curves, so they cannot tell what annealing gains; add a run that "
            "anneals, or borrow B, C, beta and gamma from another size (foretell.laws.multipower.PUBLISHED)"
        )
    problem = _Problem(
        sums=tuple(sums_of(c.schedule, c.step, block) for c in curves),
        loss=np.concatenate([c.loss for c in curves]),
        prior={name: value for name, value in pulled.items() if name in free},
        strength=strength,
    )
    begins = [{**start, **fixed}] if start is not None else problem.cold_starts(fixed)
    made = [problem.solve(begin, free) for begin in begins]
    best_value, best = min(made, key=lambda one: one[0])
    near = float(np.mean([value <= best_value * (1 + 1e-4) + 1e-15 for value, _ in made]))
    return MultiPowerFit(best, tuple(curves), tuple(sorted(fixed)), problem.prior, best_value, near)


def forecast_annealed(
    curves: Sequence[Curve], schedule: Schedule, steps: Array, borrowed: Mapping[str, float] | None = None
) -> Array:
    """Forecast the loss (n,) that a schedule would give at steps (n,), from the curves of other schedules.

    Raises FitError as `fit_multi_power` does: runs that never anneal need `borrowed` coefficients of annealing.
    """
    return fit_multi_power(curves, borrowed=borrowed).predict(schedule, steps)


@dataclass(frozen=True)
class _Problem:
    sums: tuple[Sums, ...]
    loss: Array
    prior: Mapping[str, float]
    strength: float

    def gains(self, c: Mapping[str, float]) -> list[Array]:
        parts = [sums.gains(c["C"], c["beta"], c["gamma"]) for sums in self.sums]
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    @cached_property
    def area(self) -> Array:
        return np.concatenate([sums.area for sums in self.sums])

    def value_and_slopes(self, c: Mapping[str, float]) -> tuple[Array, dict[str, Array]]:
        """Give the loss (n,), and its slope (n,) in the logarithm of each coefficient."""
        gain, by_C, by_beta, by_gamma = self.gains(c)
        learned = c["A"] * self.area ** -c["alpha"]
        slopes = {
            "A": learned,
            "B": -c["B"] * gain,
            "C": -c["B"] * by_C,
            "L0": np.full(len(gain), c["L0"]),
            "alpha": -c["alpha"] * np.log(self.area) * learned,
            "beta": -c["B"] * by_beta,
            "gamma": -c["B"] * by_gamma,
        }
        return c["L0"] + learned - c["B"] * gain, slopes

    def solve(self, begin: Mapping[str, float], free: Sequence[str]) -> tuple[float, dict[str, float]]:
        """Descend from a start in the logarithms of the free coefficients; give the objective and all coefficients."""
        from scipy.optimize import least_squares

        def named(u: Array) -> dict[str, float]:
            return {**begin, **{name: float(np.exp(x)) for name, x in zip(free, u, strict=True)}}

        n = len(self.loss)
        centre = self.strength * np.log(np.array(list(self.prior.values()), dtype=np.float64))
        pull = self.strength * np.array([[float(name == other) for name in free] for other in self.prior])
        pull = pull.reshape(-1, len(free))

        def residuals(u: Array) -> Array:
            value, _ = self.value_and_slopes(named(u))
            return np.append(np.log(np.maximum(value, LOWEST)) - np.log(self.loss), pull @ u - centre)

        def jacobian(u: Array) -> Array:
            value, slopes = self.value_and_slopes(named(u))
            return np.vstack([np.stack([slopes[name] / np.maximum(value, LOWEST) for name in free], axis=1), pull])

        def penalty(z: Array) -> Array:  # Huber's of (residual/HUBER)², and its slopes; the prior stays quadratic
            far = z > 1.0
            far[n:] = False
            root = np.sqrt(np.where(far, z, 1.0))
            return np.stack([np.where(far, 2 * root - 1, z), 1 / root, np.where(far, -0.5 / root**3, 0.0)])

        u = np.log([begin[name] for name in free])
        found: Any = least_squares(
            residuals, u, jacobian, bounds=(u - FURTHEST, u + FURTHEST), loss=penalty, f_scale=HUBER, x_scale="jac",
            xtol=1e-10, ftol=1e-12, gtol=1e-14, max_nfev=200,
        )  # fmt: skip
        return float(found.cost), named(found.x)

    def cold_starts(self, fixed: Mapping[str, float]) -> list[dict[str, float]]:
        """Give the best of `TRIED` points of a Kronecker sequence, their L0, A and B by non-negative least squares."""
        from scipy.optimize import nnls

        golden = 1.1673039782614187  # x^5 = x + 1: the plastic number of four dimensions
        shares = (0.5 + np.outer(np.arange(1, TRIED + 1), golden ** -np.arange(1.0, 5.0))) % 1.0
        tried: list[tuple[float, dict[str, float]]] = []
        for row in shares:
            shape = {name: low * (high / low) ** x for (name, (low, high)), x in zip(RANGES.items(), row, strict=True)}
            c = {**shape, **fixed}
            columns = {"L0": np.ones(len(self.loss)), "A": self.area ** -c["alpha"], "B": -self.gains(c)[0]}
            unknown = [name for name in columns if name not in fixed]
            rest = self.loss - sum((fixed[name] * columns[name] for name in columns if name in fixed), np.zeros(1))
            solved, norm = nnls(np.stack([columns[name] for name in unknown], axis=1), rest)
            amplitudes = {name: max(float(x), 1e-6) for name, x in zip(unknown, solved, strict=True)}
            tried.append((float(norm), {**c, **amplitudes}))
        return [c for _, c in sorted(tried, key=lambda one: one[0])[:POLISHED]]
