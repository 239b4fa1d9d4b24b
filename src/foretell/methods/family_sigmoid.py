"""The family sigmoid: a floored sigmoid in which each family of models stands a little above or below the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.forecast import Settings
from foretell.methods.floored_sigmoid import FlooredSigmoid, fit_floored_sigmoid

Array = NDArray[np.float64]

# The unit of every penalty, in questions. Measured inside the fit rows of the obsscaling protocol (progressive and
# leave-families-out hold-outs, benchmarks/observational.py): a ridge a third or three times as strong costs 4 and 12 %
# of the capability regression's error there.
PULL = 0.0056


@dataclass(frozen=True)
class Member:
    """Say how one sigmoid of an average is fitted: its inputs, and how hard it is pulled to what is common.

    `inputs` (n, p) are standardised, `targets` (m, p) alike, or (B, m, p) where draws of them are known. `ridge` pulls
    the weights to zero for every row, `effect` each family's shift (None: families do not differ), `slope` each
    family's own weight on the first input (None: families share it).
    """

    inputs: Array
    targets: Array
    ridge: float
    effect: float | None = None
    slope: float | None = None
    target_draws: Array | None = None


@dataclass(frozen=True)
class Shares:
    """Hold forecast shares `value` (m,), `draws` (B, m) of what may be observed, and the models' fitted shares (n,)."""

    value: Array
    draws: Array
    fitted: Array


def shares_of(
    members: Sequence[Member],
    share: Array,
    family: Sequence[str],
    target_family: Sequence[str],
    limit: float,
    settings: Settings,
) -> Shares:
    """Average the members' forecasts of m targets from the shares (n,) of models in families.

    Draws weigh families and models at random (Rubin's Bayesian bootstrap, both levels), take one member each where
    `form` is among the parts, add what is not known of the target's family, and the scatter of models about the fit.
    """
    known = tuple(sorted(set(family)))
    mine, theirs = _dummies(family, known), _dummies(target_family, known)
    fits = [_fit(member, share, mine, limit) for member in members]
    at = [_columns(member, member.targets, theirs) for member in members]
    value = np.mean([fit.predict(columns)[0] for fit, columns in zip(fits, at, strict=True)], axis=0)
    fitted = np.mean(
        [fit.predict(_columns(member, member.inputs, mine))[0] for fit, member in zip(fits, members, strict=True)],
        axis=0,
    )
    B = settings.draws
    if not B:
        return Shares(value, np.empty((0, len(value))), fitted)
    rng = np.random.default_rng([settings.seed, 4])
    draws = np.tile(value, (B, 1))
    scatter = _dispersion(share, fitted, len(known) + members[0].inputs.shape[1])
    if "coefficients" in settings.parts:
        weights = bootstrap_weights(family, B, rng)
        of_member = []
        for member, fit in zip(members, fits, strict=True):
            made = _fit(member, share, mine, limit, weights, fit)
            drawn = member.targets if member.target_draws is None else member.target_draws
            of_member.append(made.predict(_columns(member, drawn, theirs)))
        stack = np.array(of_member)
        picked = stack[rng.integers(len(members), size=B), np.arange(B)]
        draws = picked if "form" in settings.parts else stack.mean(axis=0)
        unknown = _unknown_of_family(members, fits, mine, theirs, scatter, fitted)
        draws = _shift(draws, unknown[None, :] * rng.normal(size=(B, len(value))))
    if "noise" in settings.parts:
        size = np.sqrt(scatter * draws * (1.0 - draws))
        draws = draws + size * rng.normal(size=draws.shape)
    return Shares(value, np.clip(draws, 0.0, 1.0), fitted)


def bootstrap_weights(family: Sequence[str], draws: int, rng: np.random.Generator) -> Array:
    """Draw weights (B, n): exponential for each family times exponential for each model, each row summing to n.

    The rows are taken in the order given; sort them by name for draws that do not depend on it.
    """
    names = np.unique(np.asarray(family, dtype=np.str_), return_inverse=True)[1]
    of_family = rng.exponential(size=(draws, int(names.max()) + 1))[:, names]
    weights = of_family * rng.exponential(size=(draws, len(names)))
    made: Array = weights * (len(names) / weights.sum(axis=1, keepdims=True))
    return made


def _dummies(family: Sequence[str], known: tuple[str, ...]) -> Array:
    same = np.asarray(family, dtype=np.str_)[:, None] == np.array(known, dtype=np.str_)[None, :]
    return np.asarray(same, dtype=np.float64)


def _columns(member: Member, inputs: Array, dummies: Array) -> Array:
    shape = (*inputs.shape[:-1], dummies.shape[1])
    wide = np.broadcast_to(dummies, shape)
    parts = [inputs]
    if member.effect is not None:
        parts.append(wide)
    if member.slope is not None:
        parts.append(wide * inputs[..., :1])
    return np.concatenate(parts, axis=-1)


def _fit(
    member: Member, share: Array, dummies: Array, limit: float, weights: Array | None = None,
    near: FlooredSigmoid | None = None,
) -> FlooredSigmoid:  # fmt: skip
    n, p = member.inputs.shape
    pulls = [np.full(p, PULL * member.ridge * n)]
    for pull in (member.effect, member.slope):
        if pull is not None:
            pulls.append(np.full(dummies.shape[1], PULL * pull))
    columns = _columns(member, member.inputs, dummies)
    return fit_floored_sigmoid(columns, share, np.concatenate(pulls), limit=limit, weights=weights, near=near)


def _dispersion(share: Array, fitted: Array, used: int) -> float:
    """Give how much wider than one question's binomial spread the models scatter (Pearson's estimate)."""
    n = len(share)
    inside = np.clip(fitted, 1e-3, 1.0 - 1e-3)
    return float(np.sum((share - inside) ** 2 / (inside * (1.0 - inside)))) / max(1.0, n / 4.0, n - used)


def _unknown_of_family(
    members: Sequence[Member], fits: Sequence[FlooredSigmoid], mine: Array, theirs: Array, scatter: float, fitted: Array
) -> Array:
    """Give what is not known (m,) of each target's family shift, in log-odds: nothing where families do not differ.

    The spread between families is the moment estimate of a random effect; a family of n models leaves
    τ²/(1 + n τ²/s²) of it.
    """
    found = [
        fit.weight[0, member.inputs.shape[1] :][: mine.shape[1]]
        for member, fit in zip(members, fits, strict=True)
        if member.effect is not None
    ]
    if not found:
        return np.zeros(len(theirs))
    shift, count = np.mean(found, axis=0), mine.sum(axis=0)
    inside = np.clip(fitted, 0.01, 0.99)
    residual = max(scatter / float(np.mean(inside * (1.0 - inside))), 1e-12)
    between = float(np.mean(shift**2)) + 1e-12
    for _ in range(50):
        between = float(np.mean(shift**2 + between / (1.0 + count * between / residual)))
        between = min(between, 25.0)
    left = between / (1.0 + theirs @ count * between / residual)
    made: Array = np.sqrt(left) * (len(found) / len(members))
    return made


def _shift(share: Array, log_odds: Array) -> Array:
    inside = np.clip(share, 1e-9, 1.0 - 1e-9)
    made: Array = 1.0 / (1.0 + (1.0 - inside) / inside * np.exp(-log_odds))
    return made
