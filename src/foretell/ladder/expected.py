"""What a ladder will tell: the interval that runs not yet trained would give at a target."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from foretell.errors import LadderError
from foretell.fitting import Fit, parse_objective
from foretell.fitting.coordinates import coordinates_of
from foretell.laws import LAWS, Law

Array = NDArray[np.float64]

SPARE_ROWS = 2  # beyond the coefficients, as `methods.lossfit` asks before it trusts a law
LOOSE = 5.0  # what is known of a fitted coordinate before any run, as a standard deviation: a factor 150 either way
BENDS = 3  # log² N, log N · log D, log² D
# Measured (benchmarks/plan.py bend): small ladders cut from Farseer's 404 real runs miss its large runs as if the truth
# bent away so much. It is reported, not designed for: designs that weigh it missed a law of another form no less.
BEND = 0.011
FEWEST_FREE = 2.0  # degrees of freedom of the residuals' spread, as `fitting.resample` grants at least
OBJECTIVE = parse_objective("huber:1e-3")  # only its space is used: logarithms


@dataclass(frozen=True)
class Prior:
    """Hold what is believed of a loss before the ladder is trained: a law, its coefficients, the noise around it.

    Relative to the loss, one standard deviation each: `form` is what a run lies off the law by whatever its seed,
    `seed` what a second seed redraws, `bend` how the truth leaves the law away from the target, per decade² of N and
    D. `N` and `D` (n,) are runs already measured. `in_N_total` says that the law counts all parameters.
    """

    law: Law
    coefficients: dict[str, float]
    form: float
    seed: float
    source: str
    bend: float = BEND
    N: Array = field(default_factory=lambda: np.empty(0))
    D: Array = field(default_factory=lambda: np.empty(0))
    in_N_total: bool = False

    @cached_property
    def theta(self) -> Array:
        """Give the coefficients (p,) in the law's order."""
        return self.law.theta(self.coefficients)

    @property
    def rows(self) -> int:
        """Count the runs already measured."""
        return len(self.N)

    @property
    def noise(self) -> float:
        """Give the relative standard deviation of one run around the law."""
        return math.hypot(self.form, self.seed)

    def value(self, N: float, D: float) -> float:
        """Compute the law's loss of one run."""
        return float(self._value_and_slope(np.array([N]), np.array([D]))[0][0])

    def slopes(self, N: Array, D: Array) -> Array:
        """Compute the derivative (n, p) of the logarithm of the loss in the fitted coordinates."""
        value, natural = self._value_and_slope(np.asarray(N, dtype=np.float64), np.asarray(D, dtype=np.float64))
        coordinates = coordinates_of(self.law, OBJECTIVE)
        slopes: Array = (natural / value * coordinates.slope(coordinates.fitted(self.theta))[:, None]).T
        return slopes

    def _value_and_slope(self, N: Array, D: Array) -> tuple[Array, Array]:
        inputs = {"N": N, "D": D, "M": D / N, "C": 6.0 * N * D}
        missing = sorted(set(self.law.variables) - set(inputs))
        if missing:
            raise LadderError(
                f"the law {self.law.name} needs {', '.join(missing)}, which a plan of N and D does not vary; "
                "plan by a law in N and D, such as --law skaling"
            )
        return self.law.gradient(self.theta, self.law.features(inputs))


@dataclass(frozen=True)
class Lens:
    """See runs as what they tell of one target (N, D), under a prior.

    What a run tells is a block (p, p + 3): its information on the p fitted coordinates, and how a truth that bends by
    log² N, log N · log D or log² D around the target would pull them. Blocks of several runs add.
    """

    prior: Prior
    N: float
    D: float

    @cached_property
    def slope(self) -> Array:
        """Give the derivative (p,) of the target's logarithm."""
        slope: Array = self.prior.slopes(np.array([self.N]), np.array([self.D]))[0]
        return slope

    @cached_property
    def known(self) -> Array:
        """Give the block of what is known before any new run."""
        p = len(self.slope)
        loose = np.hstack([np.eye(p) / LOOSE**2, np.zeros((p, BENDS))])
        known: Array = loose + self.told_by(self.prior.N, self.prior.D).sum(axis=0)
        return known

    def told_by(self, N: Array, D: Array, seeds: int = 1) -> Array:
        """Compute the blocks (n, p, p + 3) of runs, each trained with so many seeds."""
        slopes = self.prior.slopes(N, D)
        n, d = np.log10(np.asarray(N) / self.N), np.log10(np.asarray(D) / self.D)
        seen = np.hstack([slopes, np.stack([n * n, n * d, d * d], axis=-1)])
        told: Array = slopes[:, :, None] * seen[:, None, :] / (self.prior.form**2 + self.prior.seed**2 / seeds)
        return told

    def doubts(self, told: Array) -> tuple[Array, Array]:
        """Give two variances (…,) of the target's logarithm from blocks (…, p, p + 3): the coefficients', the bend's.

        The first is the linearised covariance's; the second the squared bias of least squares, expected over bends of
        the prior's size (Box and Draper 1959).
        """
        p = len(self.slope)
        weight = np.linalg.solve(told[..., :p], np.broadcast_to(self.slope[:, None], (*told.shape[:-1], 1)))[..., 0]
        pulled = np.einsum("...p,...pq->...q", weight, told[..., p:])
        return np.asarray(weight @ self.slope), self.prior.bend**2 * np.sum(pulled**2, axis=-1)

    def expected(self, told: Array, rows: int, level: float = 0.8) -> Expected:
        """Give the forecast expected of a fit to so many rows; raises LadderError for a level outside 0..1.

        Student's t stands for a spread that is estimated from the same rows.
        """
        from scipy.special import stdtrit

        if not 0 < level < 1:
            raise LadderError(f"level is {level}; it lies between 0 and 1, such as 0.8")
        coefficients, bend = (math.sqrt(float(variance)) for variance in self.doubts(told))
        t = float(stdtrit(max(FEWEST_FREE, rows - len(self.slope)), 0.5 + level / 2))
        return Expected(
            self.prior.value(self.N, self.D), coefficients, bend, t * math.hypot(coefficients, self.prior.noise),
            t * math.hypot(coefficients, bend, self.prior.noise), level, rows,
        )  # fmt: skip


@dataclass(frozen=True)
class Expected:
    """Hold the forecast that a ladder is expected to give: the prior's loss, and relative half-widths at `level`.

    `spread` and `bend` are standard deviations: what noise leaves of the coefficients, and how far a truth that bends
    away from the law would carry the forecast. `half_width` is of the interval from coefficients and noise, that a
    fit will print; `whole` is with the bend.
    """

    loss: float
    spread: float
    bend: float
    half_width: float
    whole: float
    level: float
    rows: int

    @property
    def interval(self) -> tuple[float, float]:
        """Give the interval around the prior's loss that a fit will print."""
        return self.loss * math.exp(-self.half_width), self.loss * math.exp(self.half_width)


# Measured on the OLMo ladder (arXiv 2412.04403; benchmarks/plan.py): laws fitted to the C4 loss of its 16 runs, N with
# the output head; the residuals' spread, and the seeds' part from the five 1xC runs that were repeated.
SEED_NOISE = 0.00044
SHIPPED: tuple[Prior, ...] = (
    Prior(
        LAWS["skaling"],
        {"A": 1.2635612e8, "B": 4.8267101e7, "E": 1.5156091, "alpha": 0.84667957, "beta": 0.66841302, "k": 0.21403782},
        form=0.0011, seed=SEED_NOISE, source="Skaling fitted to the OLMo ladder's C4 loss",
    ),
    Prior(
        LAWS["chinchilla"],
        {"A": 46.202732, "B": 18.093905, "E": 1.5035505, "alpha": 0.2032363, "beta": 0.12524748},
        form=0.0038, seed=SEED_NOISE, source="Chinchilla fitted to the OLMo ladder's C4 loss",
    ),
)  # fmt: skip


def shipped_prior(rows: int, law: str = "") -> Prior:
    """Give the shipped prior of the richest law that so many rows carry (or of the law named).

    Raises LadderError where no law is carried.
    """
    known = [prior for prior in SHIPPED if law in ("", prior.law.name)]
    if not known:
        raise LadderError(f"no prior ships for the law {law}; known: {', '.join(p.law.name for p in SHIPPED)}")
    for prior in known:
        if rows >= fewest_rows(prior):
            return prior
    raise LadderError(
        f"{rows} rungs × horizons cannot carry a law: {known[-1].law.name} has {len(known[-1].theta)} coefficients and "
        f"needs {fewest_rows(known[-1])} rows; raise --rungs or --horizons"
    )


def fewest_rows(prior: Prior) -> int:
    """Count the rows that a law needs before its fit is trusted."""
    return len(prior.theta) + SPARE_ROWS


def prior_of(made: Fit, source: str, *, in_N_total: bool = False) -> Prior:
    """Take a study's own fit as prior, with what its rows already tell.

    Raises LadderError for a fit of values, not of their logarithms.
    """
    if made.objective.space != "log":
        raise LadderError(f"{made.points.metric.name} is not fitted on its logarithm; plan from a loss")
    noise = max(made.spread, 1e-6)  # a made-up study can lie on its law
    seed = min(SEED_NOISE, noise / 2)
    return Prior(
        made.law, made.coefficients, math.sqrt(noise**2 - seed**2), seed, source,
        N=made.points.input("N"), D=made.points.input("D"), in_N_total=in_N_total,
    )  # fmt: skip
