"""Descent: from starts to minima, under any objective."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from foretell.fitting.coordinates import coordinates_of
from foretell.fitting.kernel import kernel_of
from foretell.fitting.newton import Minima, minimise
from foretell.fitting.objective import Objective
from foretell.laws.law import Law

Array = NDArray[np.float64]

WIDEST = 1.0  # of log loss: where every residual is within the Huber width, so that the first descent is least squares
NARROWING = 1e-1  # each step of the continuation divides the Huber width by ten
FIRST_SCALE = 1e-3
SCALE_ROUNDS = 60
NEAR_STEPS = 80


def descend(
    law: Law,
    objective: Objective,
    features: Array,
    targets: Array,
    weights: Array,
    starts: Array,
    *,
    straight: bool = False,
) -> Minima:
    """Minimise an objective from starts (B, q); targets (T, n) and weights (W, n) are reused in turn.

    A narrow Huber penalty, and the likelihood of `huber-scale`, are nearly absolute errors, which a Newton step sees as
    flat: they are followed down from a wide Huber penalty (measured on made-up ladders: 40 % of starts ran out of steps
    without, none with), except that `straight` descents begin with the width asked for.
    """
    coordinates = coordinates_of(law, objective)
    if objective.kind != "huber-scale":
        kernel = kernel_of(law, objective)
        if objective.kind == "huber" and not straight:
            for wide in _widths(objective, targets, objective.parameter):
                starts = minimise(kernel, features, targets, weights, wide, starts, coordinates).u
        return minimise(kernel, features, targets, weights, np.array([objective.parameter]), starts, coordinates)
    plain = Objective("huber", objective.space)
    kernel = kernel_of(law, plain)
    B = len(starts)
    target, weight = targets[np.arange(B) % len(targets)], weights[np.arange(B) % len(weights)]
    width = np.full(B, FIRST_SCALE)
    scale = np.full(B, np.nan)
    for wide in [] if straight else _widths(plain, targets, FIRST_SCALE):
        starts = minimise(kernel, features, target, weight, wide, starts, coordinates).u
    found = minimise(kernel, features, target, weight, width, starts, coordinates)
    for _ in range(SCALE_ROUNDS):
        with np.errstate(all="ignore"):
            value = law.gradient(coordinates.natural(found.u), features)[0]
            residuals = (np.log(value) if objective.space == "log" else value) - target
        new = _scale(residuals, weight, objective.parameter)
        goal = objective.parameter * new
        settled = (width <= goal * (1 + 1e-9)) & (np.abs(new - scale) <= 1e-9 * new)
        scale = new
        if settled.all():
            break
        width = np.maximum(width * NARROWING, goal)
        found = minimise(kernel, features, target, weight, width, found.u, coordinates)
    z = residuals / scale[:, None]
    d = objective.parameter
    penalty = np.where(np.abs(z) <= d, 0.5 * z**2, d * (np.abs(z) - 0.5 * d))
    likelihood = np.sum(weight * (penalty + np.log(scale)[:, None]), axis=1)
    return replace(found, objective=np.where(np.isfinite(found.objective), likelihood, np.inf), scale=scale)


def refine(
    law: Law,
    objective: Objective,
    features: Array,
    targets: Array,
    weights: Array,
    starts: Array,
) -> Minima:
    """Minimise an objective from starts (B, q) that are near a minimum, as those of draws are.

    Under a Huber penalty the amplitudes are taken at the rows' centre and steps damped by the majorising parabola: 80
    such steps end as low as 400 of `descend` (measured on the draws of 277 public fits; lower for nine coefficients).
    From far starts they find fewer minima.
    """
    if objective.kind != "huber":
        return descend(law, objective, features, targets, weights, starts, straight=True)
    kernel = kernel_of(law, objective, majorised=True)
    coordinates = coordinates_of(law, objective).centred(law, features)
    width = np.array([objective.parameter])
    return minimise(
        kernel, features, targets, weights, width, starts, coordinates, most_steps=NEAR_STEPS, majorised=True
    )


def _widths(objective: Objective, targets: Array, least: float) -> list[Array]:
    """Give the widths (1,) of the continuation, from one that holds every residual down to above the least."""
    width = WIDEST if objective.space == "log" else WIDEST * float(np.max(np.abs(targets)))
    found = []
    while width > least:
        found.append(np.array([width]))
        width *= NARROWING
    return found


def _scale(residuals: Array, weight: Array, width: float) -> Array:
    """Solve Σ w (1 − zρ'(z)) = 0 with z = r/s for the scale s (B,), by bisection on its logarithm."""
    size = np.abs(np.nan_to_num(residuals, nan=1.0, posinf=1.0, neginf=1.0))
    low = np.full(len(residuals), -60.0)
    high = np.full(len(residuals), 10.0)
    for _ in range(80):
        middle = 0.5 * (low + high)
        z = size * np.exp(-middle)[:, None]
        too_small = np.sum(weight * (1.0 - np.where(z <= width, z * z, width * z)), axis=1) < 0
        low, high = np.where(too_small, middle, low), np.where(too_small, high, middle)
    scale: Array = np.exp(0.5 * (low + high))
    return scale
