"""Least squares of a mixture law for many responses at once, held in place by its coefficients' first guesses."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.fitting.coordinates import Coordinates, coordinates_of
from foretell.fitting.objective import Objective
from foretell.laws.law import Law
from foretell.mixing.adjoint import Adjoint

Array = NDArray[np.float64]

PLAIN_SQUARES = Objective("gaussian", "linear")
MOST_STEPS = 80
LONGEST = 1.5  # of a step, in fitted coordinates: a factor of 4.5
SETTLED = 1e-7  # relative fall of the objective at which a problem counts as solved
CHUNK = 24  # problems solved side by side: their slopes fit into a few tens of MB
THREADS = 2


@dataclass(frozen=True)
class Prior:
    """Hold the normal prior of the fitted coordinates: middle (p,) and standard deviation (p,)."""

    centre: Array
    deviation: Array


def prior_of(law: Law, coordinates: Coordinates) -> Prior:
    """Read a law's prior off its ranges of first guesses: middle and half-width in the fitted coordinate."""
    ranges = np.array([law.coefficient(name).start or (0.05, 1.0) for name in law.coefficients])
    low, high = coordinates.fitted(ranges.T)
    return Prior(0.5 * (low + high), 0.5 * np.abs(high - low))


@dataclass(frozen=True)
class Solution:
    """Hold fitted coordinates (B, p), coefficients (B, p) and the sum of squares (B,), prior included."""

    u: Array
    theta: Array
    objective: Array


def solve(
    law: Law,
    rows: Adjoint,
    targets: Array,
    spread: Array,
    *,
    starts: Array | None = None,
    weights: Array | None = None,
    most_steps: int = MOST_STEPS,
) -> Solution:
    """Minimise Σ w r² + spread² · prior for each of B targets (B, n) by Levenberg–Marquardt steps.

    `spread` (B,) is the standard deviation of a residual, which weighs the data against the prior; `starts` (B, p) are
    fitted coordinates, the prior's middle where absent; `weights` (B, n) count rows.
    """
    coordinates = coordinates_of(law, PLAIN_SQUARES)
    prior = prior_of(law, coordinates)
    begin = np.tile(prior.centre, (len(targets), 1)) if starts is None else starts

    def part(at: slice) -> tuple[Array, Array]:
        weight = None if weights is None else weights[at]
        with np.errstate(all="ignore"):  # a setting of its own in each thread
            return _descend(rows, coordinates, prior, begin[at], targets[at], spread[at], weight, most_steps)

    slices = [slice(i, i + CHUNK) for i in range(0, len(targets), CHUNK)]
    if len(slices) == 1:
        found = [part(slices[0])]
    else:
        with ThreadPoolExecutor(THREADS) as pool:
            found = list(pool.map(part, slices))
    u = np.concatenate([u for u, _ in found])
    return Solution(u, coordinates.natural(u), np.concatenate([objective for _, objective in found]))


def _descend(
    rows: Adjoint,
    coordinates: Coordinates,
    prior: Prior,
    u: Array,
    targets: Array,
    spread: Array,
    weights: Array | None,
    most_steps: int,
) -> tuple[Array, Array]:
    p = u.shape[1]
    pull = (spread[:, None] / prior.deviation) ** 2
    root = None if weights is None else np.sqrt(weights)
    damping = np.full(len(u), 1e-3)

    def at(point: Array, target: Array, weigh: Array | None, strength: Array) -> tuple[Array, Array, Array]:
        value, slopes = rows.slopes(coordinates.natural(point))  # not finite far out: such a step is not taken
        slopes *= coordinates.slope(point)[:, :, None]
        residual = value - target
        if weigh is not None:
            residual = residual * weigh
            slopes *= weigh[:, None, :]
        away = point - prior.centre
        cost = np.sum(residual**2, axis=1) + np.sum(strength * away**2, axis=1)
        gradient = np.matmul(slopes, residual[:, :, None])[:, :, 0] + strength * away
        curvature = np.matmul(slopes, slopes.transpose(0, 2, 1))
        curvature[:, range(p), range(p)] += strength
        return cost, gradient, curvature

    cost, gradient, curvature = at(u, targets, root, pull)
    cost = np.where(np.isfinite(cost), cost, np.inf)
    active = np.isfinite(cost)
    for _ in range(most_steps):
        live = np.flatnonzero(active)
        if not len(live):
            break
        damped = curvature[live].copy()
        diagonal = np.einsum("bii->bi", damped)
        damped[:, range(p), range(p)] += damping[live, None] * diagonal + 1e-12
        step = -np.linalg.solve(damped, gradient[live][:, :, None])[:, :, 0]
        step *= np.minimum(1.0, LONGEST / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-300))
        trial = u[live] + step
        new_cost, new_gradient, new_curvature = at(
            trial, targets[live], None if root is None else root[live], pull[live]
        )
        better = np.isfinite(new_cost) & (new_cost < cost[live]) & np.isfinite(new_gradient).all(axis=1)
        fall = np.where(better, (cost[live] - new_cost) / np.maximum(cost[live], 1e-300), 0.0)
        won = live[better]
        u[won], cost[won] = trial[better], new_cost[better]
        gradient[won], curvature[won] = new_gradient[better], new_curvature[better]
        damping[live] = np.where(better, 0.2 * damping[live], 6.0 * damping[live])
        active[live[(better & (fall < SETTLED)) | (damping[live] > 1e8)]] = False
    return u, cost
