"""The floored sigmoid: a share that rises from a floor towards one as a weighted sum of inputs rises."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError

Array = NDArray[np.float64]

STEPS = 100
TOLERANCE = 1e-9  # of the objective: far below what moves a share in its fourth digit
EDGE = 1e-9  # how near 0 or 1 a share counts as certain
FLOOR_PULL = 1e-3  # a penalty that keeps the floor's coordinate finite; worth a thousandth of one model
LOWEST, HIGHEST = 0.02, 0.6  # between which the floor's limit is read off the data


@dataclass(frozen=True)
class FlooredSigmoid:
    """Hold y = b + (1 − b)·σ(w·x + c) fitted B times over (Ruan 2024, arXiv 2405.10938, Eq. 3, with a = 1 − b).

    `weight` (B, p) multiplies the inputs, `shift` (B,) is c, `floor` (B,) is b. All are pure numbers when y is a share.
    """

    weight: Array
    shift: Array
    floor: Array

    def predict(self, inputs: Array) -> Array:
        """Compute the shares (B, m) at inputs (m, p), the same for every fit, or (B, m, p)."""
        product = "bmp,bp->bm" if inputs.ndim == 3 else "mp,bp->bm"
        summed = self.shift[:, None] + np.einsum(product, inputs, self.weight)
        return self.floor[:, None] + (1.0 - self.floor[:, None]) * sigmoid(summed)


def sigmoid(x: Array) -> Array:
    """Compute 1/(1 + e^−x) without overflow."""
    made: Array = 0.5 * (1.0 + np.tanh(0.5 * x))
    return made


def floor_limit(value: Array, chance: float | None = None) -> float:
    """Give the highest floor that the data allow: their lowest tenth, and at least chance where it is known.

    The paper allows 0.2, which is below the chance of a task with two choices.
    """
    lowest = float(np.clip(np.quantile(value, 0.1), LOWEST, HIGHEST))
    return lowest if chance is None else min(max(lowest, chance), 0.9)


def fit_floored_sigmoid(
    inputs: Array,
    value: Array,
    penalty: Array,
    *,
    limit: float,
    weights: Array | None = None,
    near: FlooredSigmoid | None = None,
) -> FlooredSigmoid:
    """Fit shares (n,) to inputs (n, p) by penalised binomial deviance, once for each row of `weights` (B, n).

    `penalty` (p,) multiplies half the square of each weight; a row counts as one question asked, so only the ratio of
    penalties to rows matters. The floor lies between 0 and `limit`. `near` is where to start: a fit to the same rows.
    Fisher scoring with Levenberg's damping; row order does not matter. Raises FitError for a value that is no share,
    or fewer than three rows.
    """
    n, p = inputs.shape
    if n < 3:
        raise FitError(f"{n} models cannot fix a floor, a shift and a slope; measure at least 3")
    if not (np.isfinite(inputs).all() and np.isfinite(value).all() and value.min() >= 0 and value.max() <= 1):
        raise FitError("a floored sigmoid is fitted to shares between 0 and 1 at finite inputs; scale the metric first")
    W = np.ones((1, n)) if weights is None else weights
    B = len(W)
    design = np.column_stack([inputs, np.ones(n)])
    pull = np.concatenate([penalty, [1e-6, FLOOR_PULL]])  # the shift is free but for rounding
    start = np.clip(0.8 * value.min() / limit, 0.05, 0.9)
    floor = limit * start
    middle = np.clip((np.average(value) - floor) / (1.0 - floor), 0.02, 0.98)
    begin = np.concatenate([np.zeros(p), [np.log(middle / (1.0 - middle)), np.log(start / (1.0 - start))]])
    if near is not None:
        inside = np.clip(near.floor[0] / limit, EDGE, 1.0 - EDGE)
        begin = np.concatenate([near.weight[0], near.shift[:1], [np.log(inside / (1.0 - inside))]])
    theta = np.tile(begin, (B, 1))
    damping = np.full(B, 1e-3 if near is None else 1e-6)
    objective = _objective(design, value, W, theta, pull, limit)
    going = np.ones(B, dtype=bool)
    for _ in range(STEPS):
        rows = np.flatnonzero(going)
        if not len(rows):
            break
        gradient, hessian = _scores(design, value, W[rows], theta[rows], pull, limit)
        scale = np.einsum("bii->bi", hessian)
        damped = hessian + (damping[rows, None] * scale)[:, :, None] * np.eye(p + 2)
        trial = theta[rows] - np.linalg.solve(damped, gradient[:, :, None])[:, :, 0]
        reached = _objective(design, value, W[rows], trial, pull, limit)
        better = reached < objective[rows]
        gain = objective[rows] - reached
        done = (better & (gain <= TOLERANCE * (np.abs(reached) + TOLERANCE))) | (damping[rows] > 1e12)
        theta[rows[better]] = trial[better]
        objective[rows[better]] = reached[better]
        damping[rows] = np.where(better, damping[rows] / 5.0, damping[rows] * 8.0)
        going[rows[done]] = False
    return FlooredSigmoid(theta[:, :p], theta[:, p], limit * sigmoid(theta[:, p + 1]))


def _shares(design: Array, theta: Array, limit: float) -> tuple[Array, Array, Array]:
    floor = limit * sigmoid(theta[:, -1:])
    rise = sigmoid(theta[:, :-1] @ design.T)
    return np.clip(floor + (1.0 - floor) * rise, EDGE, 1.0 - EDGE), rise, floor


def _objective(design: Array, value: Array, W: Array, theta: Array, pull: Array, limit: float) -> Array:
    share, _, _ = _shares(design, theta, limit)
    loss = -(value * np.log(share) + (1.0 - value) * np.log1p(-share))
    made: Array = np.sum(W * loss, axis=1) + 0.5 * np.sum(pull * theta**2, axis=1)
    return made


def _scores(design: Array, value: Array, W: Array, theta: Array, pull: Array, limit: float) -> tuple[Array, Array]:
    share, rise, floor = _shares(design, theta, limit)
    information = W / (share * (1.0 - share))
    slope = (1.0 - floor) * rise * (1.0 - rise)
    of_floor = (1.0 - rise) * floor * (1.0 - floor / limit)
    jacobian = np.concatenate([slope[:, :, None] * design, of_floor[:, :, None]], axis=2)
    turned = (information[:, :, None] * jacobian).transpose(0, 2, 1)
    gradient = (turned @ (share - value)[:, :, None])[:, :, 0] + pull * theta
    return gradient, turned @ jacobian + np.diag(pull)
