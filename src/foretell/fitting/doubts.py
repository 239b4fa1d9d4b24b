"""Doubts: the reasons a fit itself gives for not being believed, one sentence each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from foretell.fitting.fit import Fit
from foretell.laws.law import Law
from foretell.units import format_count

Array = NDArray[np.float64]

FAR = 1e30  # an input so large that only a law's floor is left
SAME_RAY = 2.0  # D/N within a factor of two is one ray (arXiv 2605.08541: the spread of D/N, not the count, identifies)
FEW_SIZES = 3  # arXiv 2410.11840: at least three sizes, five preferred
UNCERTAIN_FACTOR = 3.0  # a coefficient known to within this factor either way, at one standard error, is not identified
VAST = 10.0  # of the logarithm: 2e4 either way
FEW_STARTS = 0.05
FAR_OUT = 6.0  # robust standard deviations
TREND = 1e-3  # significance of a bend in the residuals
HEAVY_REACH = 2.0  # decades
BEYOND_RAY = 2.0  # times outside the range of D/N that was trained


def doubts_of(made: Fit) -> list[str]:
    """List every doubt that holds of a fit, in a fixed order."""
    found = (check(made) for check in _CHECKS)
    return [doubt for doubt in found if doubt]


def _at_a_bound(made: Fit) -> str | None:
    at = []
    for name, value in made.coefficients.items():
        bound = made.law.coefficient(name)
        for limit in (bound.lower, bound.upper):
            if not np.isfinite(limit):
                continue
            moved = made.law.value({**made.coefficients, name: limit}, made.points.inputs)
            if np.max(np.abs(moved - made.fitted)) < 1e-6 * np.max(np.abs(made.fitted)):  # false where not finite
                at.append(f"{name} = {value:.3g}")
    if not at:
        return None
    named = ", ".join(at)
    return f"at a bound: {named} fits as well on its bound; the law has fewer free coefficients than it seems"


def _starts_disagree(made: Fit) -> str | None:
    if made.share_of_starts < FEW_STARTS:
        found = f"{made.share_of_starts:.1%}"
        return f"starts disagree: only {found} of them found the best minimum; try more (--starts)"
    if len(made.rivals):
        return "starts disagree: another minimum fits within 1 % as well, with other coefficients"
    return None


def _ill_conditioned(made: Fit) -> str | None:
    if len(made) <= len(made.theta):
        return None
    jacobian = made.jacobian
    size = np.linalg.norm(jacobian, axis=0)
    size[size == 0] = 1.0
    inverse = np.linalg.pinv((jacobian / size).T @ (jacobian / size), rcond=1e-13)
    error = made.spread * np.sqrt(np.maximum(np.diag(inverse), 0.0)) / size
    loose = [
        f"{name} (× or ÷ {np.exp(error[i]):.2g})" if error[i] < VAST else f"{name} (at all)"
        for i, name in enumerate(made.law.coefficients)
        if made.law.coefficient(name).scale == "log" and error[i] > np.log(UNCERTAIN_FACTOR)
    ]
    if not loose:
        return None
    return f"ill-conditioned: the data do not pin down {', '.join(loose)}; use the curve, not its coefficients"


def _single_ray(made: Fit) -> str | None:
    inputs = made.points.inputs
    if not {"N", "D"} <= set(made.law.variables) or len(made) < 2:
        return None
    ratio = inputs["D"] / inputs["N"]
    if ratio.max() / ratio.min() >= SAME_RAY:
        return None
    return (
        f"a single D/N ray: every row has about {np.median(ratio):.3g} tokens a parameter, so N and D cannot be told "
        "apart; forecast on that ray only (law `ray`), or train a second, widely separated one"
    )


def _too_few_sizes(made: Fit) -> str | None:
    few = []
    for name in ("N", "D", "C"):
        if name in made.law.variables:
            count = len(np.unique(np.round(np.log(made.points.inputs[name]), 3)))
            if count < FEW_SIZES:
                few.append(f"{count} value{'s' * (count > 1)} of {name}")
    if not few:
        return None
    return f"too few sizes: only {' and '.join(few)}; a power law with a floor needs at least {FEW_SIZES}"


def _floor_above_data(made: Fit) -> str | None:
    if made.law.response != "loss" or not set(made.law.variables) & {"N", "D", "C"}:
        return None
    floor = _limit(made.law, made)
    lowest = float(made.points.value.min())
    if not np.isfinite(floor) or floor <= lowest * (1 + 1e-9):
        return None
    return f"floor above the data: the law never falls below {floor:.4g}, but {lowest:.4g} was measured"


def _limit(law: Law, made: Fit) -> float:
    point = {name: np.array([float(np.median(column))]) for name, column in made.points.inputs.items()}
    point.update({name: np.array([FAR]) for name in ("N", "D", "C") if name in point})
    return float(law.value(made.coefficients, point)[0])


def _residual_trend(made: Fit) -> str | None:
    n, inputs = len(made), made.points.inputs
    index = made.points.run_index
    runs = int(index.max()) + 1
    axis = "L" if "L" in made.law.variables else "C"
    if axis not in inputs or runs < 8 or (inputs[axis] <= 0).any():  # an ideal point at a loss of zero has no logarithm
        return None
    x = np.log(inputs[axis])
    if np.ptp(x) == 0:
        return None
    x = (x - x.mean()) / x.std()
    bend = np.stack([np.ones(n), x, x**2])
    weight = 1.0 / np.bincount(index)[index]  # one run, one voice
    r = made.residuals
    solution = np.linalg.lstsq((bend * np.sqrt(weight)).T, r * np.sqrt(weight), rcond=None)[0]
    left = float(np.sum(weight * (r - solution @ bend) ** 2))
    whole = float(np.sum(weight * (r - np.average(r, weights=weight)) ** 2))
    free = runs - 3
    if left <= 0 or free < 3:
        return None
    statistic = (whole - left) / 2 / (left / free)
    if (1.0 + 2.0 * statistic / free) ** (-free / 2.0) > TREND:  # the survival function of F with 2 and `free` degrees
        return None
    end = (solution @ bend)[np.argmax(x)]
    return f"residual trend: residuals bend with {axis}; at its largest the data lie {end:+.2%} from the law"


def _outlier_driven(made: Fit) -> str | None:
    r = made.residuals
    middle = np.median(r)
    robust = 1.4826 * float(np.median(np.abs(r - middle)))
    if robust <= 0 or len(r) < 8:
        return None
    # with few rows beyond the coefficients the middle residuals are drawn to zero
    robust *= np.sqrt(len(r) / max(1, len(r) - len(made.theta)))
    out = np.abs(r - middle) > FAR_OUT * robust
    if not out.any():
        return None
    order = np.argsort(-np.abs(r))
    names = list(dict.fromkeys(str(made.points.run[i]) for i in order if out[i]))
    more = f" and {len(names) - 3} more runs" if len(names) > 3 else ""
    return (
        f"outliers: {int(out.sum())} of {len(r)} rows lie over {FAR_OUT:g} spreads off ({', '.join(names[:3])}{more})"
    )


_CHECKS: tuple[Callable[[Fit], str | None], ...] = (
    _at_a_bound,
    _starts_disagree,
    _ill_conditioned,
    _single_ray,
    _too_few_sizes,
    _floor_above_data,
    _residual_trend,
    _outlier_driven,
)


def reach_doubts(reach: float, target: dict[str, float], ranges: dict[str, tuple[float, float]]) -> list[str]:
    """List the doubts about a target: far beyond the data, inside them, or at an unseen D/N.

    `reach` is in decades of compute; `ranges` gives the data's smallest and largest N, D and M.
    """
    found = []
    if reach > HEAVY_REACH:
        found.append(f"heavy extrapolation: {reach:.1f} decades of compute beyond the data")
    if reach <= 0 and all(ranges[name][0] <= target[name] <= ranges[name][1] for name in ("N", "D") if name in ranges):
        found.append("the target lies inside the data: this is an interpolation")
    low, high = ranges["M"]
    ratio = target["D"] / target["N"]
    if ratio > BEYOND_RAY * high or ratio < low / BEYOND_RAY:
        found.append(
            f"unseen D/N: {format_count(ratio)} tokens a parameter, the data have "
            f"{format_count(low)} to {format_count(high)}"
        )
    return found
