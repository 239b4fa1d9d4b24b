"""The model subset: the families whose models say most about all others for a budget of models."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.errors import MethodError

Array = NDArray[np.float64]

MOST_SUBSETS = 200_000  # beyond which the search exchanges families instead of trying all
SINGULAR = 1e-9  # smallest eigenvalue of a subset's Gram matrix, relative to that of all models


@dataclass(frozen=True)
class Subset:
    """Hold chosen families, how many models they have, and tr(XᵀX (X_SᵀX_S)⁻¹): the variance they leave."""

    families: tuple[str, ...]
    models: int
    variance: float


def best_families(capabilities: Array, family: Sequence[str], budget: int, *, include: Sequence[str] = ()) -> Subset:
    """Choose families of at most `budget` models whose capabilities X_S leave least variance (V-optimality).

    Minimises tr(XᵀX (X_SᵀX_S)⁻¹) over whole families (Ruan 2024, arXiv 2405.10938, §5), `capabilities` (n, k) being
    centred principal components. All subsets are tried up to 200,000, beyond which families are exchanged greedily.
    Ties go to the first in the alphabet. Raises MethodError when no subset within the budget has k independent models.
    """
    names = sorted(set(family))
    index = np.array([names.index(name) for name in family])
    if stray := sorted(set(include) - set(names)):
        raise MethodError(f"{', '.join(stray)} is no family here; known: {', '.join(names)}")
    counts = np.bincount(index)
    grams = {name: capabilities[index == i].T @ capabilities[index == i] for i, name in enumerate(names)}
    sizes = dict(zip(names, counts.tolist(), strict=True))
    whole = np.sum(list(grams.values()), axis=0)
    least = SINGULAR * float(np.linalg.eigvalsh(whole)[-1])
    free = [name for name in names if name not in include]
    fixed = tuple(sorted(set(include)))

    def judged(chosen: tuple[str, ...]) -> Subset:
        models = sum(sizes[name] for name in chosen)
        gram = np.sum([grams[name] for name in chosen], axis=0) if chosen else np.zeros_like(whole)
        if models > budget or float(np.linalg.eigvalsh(gram)[0]) <= least:
            return Subset(chosen, models, math.inf)
        return Subset(chosen, models, float(np.trace(whole @ np.linalg.inv(gram))))

    if 2 ** len(free) <= MOST_SUBSETS:
        every = (c for r in range(len(free) + 1) for c in itertools.combinations(free, r))
        best = min((judged(tuple(sorted((*fixed, *c)))) for c in every), key=_order)
    else:
        best = _exchange(judged, fixed, free, sizes, budget)
    if not math.isfinite(best.variance):
        raise MethodError(
            f"no families of together at most {budget} models have {capabilities.shape[1]} independent capabilities; "
            "raise the budget, or use fewer components"
        )
    return best


def _order(subset: Subset) -> tuple[float, tuple[str, ...]]:
    return round(subset.variance, 12), subset.families


def _exchange(
    judged: Callable[[tuple[str, ...]], Subset],
    fixed: tuple[str, ...],
    free: Sequence[str],
    sizes: Mapping[str, int],
    budget: int,
) -> Subset:
    """Add the family that helps most until none fits, then exchange, drop and add while that helps."""
    best = judged(fixed)
    seeds = [tuple(sorted({*fixed, a, b, c})) for a, b, c in itertools.combinations(free, 3)]
    best = min([best, *(judged(seed) for seed in seeds)], key=_order)
    while True:
        inside = [name for name in best.families if name not in fixed]
        outside = [name for name in free if name not in best.families]
        moves = [{*best.families, new} for new in outside]
        moves += [{*best.families} - {old} for old in inside]
        moves += [({*best.families} - {old}) | {new} for old in inside for new in outside]
        fit = [move for move in moves if sum(sizes[name] for name in move) <= budget]
        found = min([best, *(judged(tuple(sorted(move))) for move in fit)], key=_order)
        if found == best:
            return best
        best = found
