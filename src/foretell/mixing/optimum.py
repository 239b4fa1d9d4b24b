"""The best mixture: where an objective is least on the simplex, and how far that is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.errors import MethodError, UnknownName
from foretell.markup import small_table
from foretell.mixing.model import MixtureModel
from foretell.mixture import Mixture, Pools, Region, sample_mixtures

Array = NDArray[np.float64]
Objective = Callable[[Array], Array]

CANDIDATES = 2000  # mixtures looked at before going down from the best of them
STARTS = 6
ROUNDS = 60
FIRST_STEP, LAST_STEP = 0.15, 1e-4  # of a share
DRAW_CANDIDATES = 2000
NEIGHBOUR = 0.05  # of a share moved to or from one source
NEAR = 2.0  # times the farthest visited share: beyond, an optimum lies in a corner nobody visited


@dataclass(frozen=True)
class Optimum:
    """Hold the best mixture `weights` (k,), its objective, what it could as well be, and what its neighbours cost.

    `draws` (B, k) are the best mixtures of refits; `regret` (B,) is what `weights` costs beyond each refit's best.
    `neighbours` maps a source to the regrets of 5 points more and 5 points less of it; `losses` (m,) are forecast.
    """

    domains: tuple[str, ...]
    weights: Array
    value: float
    losses: Array
    loss_draws: Array
    draws: Array
    regret: Array
    epochs: Array
    neighbours: Mapping[str, tuple[float, float]]
    next_mixture: Array
    prior_value: float
    doubts: tuple[str, ...]

    def interval(self, level: float = 0.8) -> tuple[Array, Array]:
        """Give the central interval of every share over the refits."""
        tail = 50.0 * (1.0 - level)
        low, high = np.percentile(self.draws, [tail, 100.0 - tail], axis=0)
        return low, high

    def _repr_html_(self) -> str:
        low, high = self.interval(0.8) if len(self.draws) else (self.weights, self.weights)
        rows = [
            (name, f"{self.weights[i]:.3f}", f"{low[i]:.3f} – {high[i]:.3f}" if len(self.draws) else "none",
             f"{self.epochs[i]:.2f}", f"{self.next_mixture[i]:.3f}")
            for i, name in enumerate(self.domains)
        ]  # fmt: skip
        title = f"best mixture: objective {self.value:.4f}, {self.prior_value:.4f} for the prior mixture"
        head = ("source", "share", "80 % interval", "epochs", "next to train")
        return small_table(title, head, rows, self.doubts)

    @property
    def mixture(self) -> Mixture:
        """Give the best mixture by name."""
        return Mixture(dict(zip(self.domains, (float(x) for x in self.weights), strict=True)))


@dataclass(frozen=True)
class Goal:
    """Say what is to be made small: a weighted sum of metrics of a run of N parameters on D tokens.

    `closeness` adds that many nats per nat of KL(w ‖ prior) (Olmix: 0.05–0.1).
    """

    N: float
    D: float
    metrics: Mapping[str, float]
    pools: Pools
    region: Region
    closeness: float = 0.0
    prior: Array | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.closeness < math.inf:
            raise MethodError(f"closeness is {self.closeness}; it is a positive number of nats, such as 0.05")
        if self.closeness and self.prior is None:
            raise MethodError("staying close needs a mixture to stay close to; give --prior")


def best_mixture(model: MixtureModel, goal: Goal, *, seed: int = 0) -> Optimum:
    """Find the mixture of least objective inside a region, and its uncertainty from the model's draws.

    Raises UnknownName for a metric that the model does not forecast.
    """
    panel = model.panel
    share = _shares_of_metrics(model, goal)
    rng = np.random.default_rng([seed, 6])
    pools = goal.pools.row(panel.domains)
    prior = np.full(len(panel.domains), 1.0 / len(panel.domains)) if goal.prior is None else goal.prior

    def close(weights: Array) -> Array:
        if not goal.closeness:
            return np.zeros(len(weights))
        base = np.maximum(prior, 1e-4)
        far = np.where(weights > 0, weights * np.log(np.maximum(weights, 1e-300) / base), 0.0)
        return np.asarray(goal.closeness * far.sum(axis=1))

    def counts(weights: Array) -> tuple[Array, Array]:
        return np.full(len(weights), goal.N), np.full(len(weights), goal.D)

    def objective(weights: Array) -> Array:
        return share @ model.at(weights, *counts(weights), pools) + close(weights)

    first = [sample_mixtures(goal.region, CANDIDATES, rng), goal.region.project(panel.weights[:500])]
    first += [goal.region.project(prior[None]), goal.region.project(np.eye(len(prior)))]
    pool = np.concatenate(first)
    values = objective(pool)
    starts = pool[np.argsort(values)[:STARTS]]
    weights, value = descend(objective, starts, goal.region)
    N, D = counts(weights[None])
    losses = model.at(weights[None], N, D, pools)[:, 0]
    draws, regret, loss_draws, next_mixture = (
        np.empty((0, len(prior))),
        np.empty(0),
        np.empty((0, len(losses))),
        weights,
    )
    if model.draws is not None:
        near = _around(weights, goal.region, rng)
        look = np.concatenate([weights[None], near, pool[np.argsort(values)[: DRAW_CANDIDATES - len(near)]]])
        by_draw = np.einsum("m,bmq->bq", share, _in_parts(model, look, goal, pools)) + close(look)
        best = np.argmin(by_draw, axis=1)
        draws, regret = look[best], by_draw[:, 0] - by_draw.min(axis=1)
        loss_draws = model.observed_at(weights[None], N, D, pools, seed=seed)[:, :, 0]
        next_mixture = _most_informative(by_draw, look, best)
    return Optimum(
        panel.domains, weights, value, losses, loss_draws, draws, regret,
        goal.pools.epochs(weights, goal.D, panel.domains), _neighbours(objective, weights, value, goal.region),
        next_mixture, float(objective(goal.region.project(prior[None]))[0]), _doubts(model, goal, weights),
    )  # fmt: skip


def descend(objective: Objective, starts: Array, region: Region) -> tuple[Array, float]:
    """Go down from starts (s, k): try moving share between every pair of sources, with steps that shrink."""
    k = starts.shape[1]
    moves = np.array([np.eye(k)[i] - np.eye(k)[j] for i in range(k) for j in range(k) if i != j])
    towards = np.array([np.eye(k)[i] - 1.0 / k for i in range(k)])
    moves = np.concatenate([moves, towards, -towards])
    best, best_value = starts[0], np.inf
    for start in starts:
        at, value, step = start, float(objective(start[None])[0]), FIRST_STEP
        for _ in range(ROUNDS):
            trial = region.project(at + step * moves)
            values = objective(trial)
            lowest = int(np.argmin(values))
            if values[lowest] < value - 1e-12:
                at, value = trial[lowest], float(values[lowest])
            else:
                step *= 0.5
                if step < LAST_STEP:
                    break
        if value < best_value:
            best, best_value = at, value
    return best, best_value


def _shares_of_metrics(model: MixtureModel, goal: Goal) -> Array:
    for name in goal.metrics:
        if name not in model.panel.names:
            raise UnknownName("measured metric", name, model.panel.names)
    return np.array([goal.metrics.get(name, 0.0) for name in model.panel.names])


def _around(weights: Array, region: Region, rng: np.random.Generator, count: int = 1200) -> Array:
    """Draw mixtures around one, nearer and farther."""
    size = np.exp(rng.uniform(np.log(0.005), np.log(0.4), size=(count, 1)))
    other = sample_mixtures(region, count, rng)
    return region.project(
        weights + size * (other - weights) + 0.1 * size * rng.normal(size=(count, len(weights))) * (weights > 1e-4)
    )


def _in_parts(model: MixtureModel, look: Array, goal: Goal, pools: Array, part: int = 500) -> Array:
    """Give the refits' losses (B, m, q), spread as far as runs left out say they should be."""
    made = []
    for i in range(0, len(look), part):
        rows = look[i : i + part]
        drawn = model.draws_at(rows, np.full(len(rows), goal.N), np.full(len(rows), goal.D), pools)
        middle = drawn.mean(axis=0)
        made.append(middle + model.shortfall[:, None] * (drawn - middle))
    return np.concatenate(made, axis=2)


def _most_informative(by_draw: Array, look: Array, best: NDArray[np.intp]) -> Array:
    """Choose the mixture whose loss, once known, would tell most about which mixture is best.

    For each candidate: how much of the spread of each refit's best value, relative to the common optimum, is explained
    by the refit's objective there (squared correlation with the regret, times how often it could itself be best).
    """
    regret = by_draw[:, 0] - by_draw.min(axis=1)
    contrast = by_draw - by_draw[:, :1]
    centred = contrast - contrast.mean(axis=0)
    wanted = regret - regret.mean()
    size = np.maximum((centred**2).sum(axis=0) * (wanted**2).sum(), 1e-30)
    gained = (centred * wanted[:, None]).sum(axis=0) ** 2 / size * contrast.std(axis=0)
    gained[0] = 0.0
    rivals = np.unique(best)
    pool = rivals[rivals != 0]
    chosen = pool if len(pool) else np.arange(1, len(look))
    row: Array = look[chosen[np.argmax(gained[chosen])]]
    return row


def _neighbours(objective: Objective, weights: Array, value: float, region: Region) -> dict[str, tuple[float, float]]:
    """Give what 5 points more and 5 points less of each source cost, the others keeping their proportions."""
    k = len(weights)
    trial = []
    for j in range(k):
        for change in (NEIGHBOUR, -NEIGHBOUR):
            moved = weights.copy()
            new = float(np.clip(weights[j] + change, region.lower[j], region.upper[j]))
            rest = 1.0 - weights[j]
            moved *= (1.0 - new) / rest if rest > 1e-9 else 0.0
            if rest <= 1e-9:
                moved[:] = (1.0 - new) / (k - 1)
            moved[j] = new
            trial.append(region.project(moved))
    values = objective(np.array(trial)) - value
    return {name: (float(values[2 * j]), float(values[2 * j + 1])) for j, name in enumerate(region.domains)}


def _doubts(model: MixtureModel, goal: Goal, weights: Array) -> tuple[str, ...]:
    panel = model.panel
    found = list(model.doubts)
    seen = panel.weights.max(axis=0)
    far = [
        f"{n} ({w:.0%}, at most {s:.0%} seen)"
        for n, w, s in zip(panel.domains, weights, seen, strict=True)
        if w > s + 0.02
    ]
    if far:
        found.append(f"unvisited corner: the best mixture has more of {', '.join(far)} than any run had")
    passes = goal.pools.epochs(weights, goal.D, panel.domains)
    known = panel.weights * panel.D[:, None] / panel.pools
    often = [
        f"{n} ({e:.1f} epochs, at most {max(1.0, s):.1f} trained)"
        for n, e, s in zip(panel.domains, passes, known.max(axis=0), strict=True)
        if e > 1.2 * max(1.0, s) and e > 1.5
    ]
    if often:
        found.append(
            f"repetition unseen: {', '.join(often)}; these runs cannot say what so many passes cost: cap them "
            "(--most-epochs), or train repetition-controlled runs (`foretell mix plan`)"
        )
    if goal.N > 1.05 * panel.N.max():
        found.append(
            f"a larger model: N = {goal.N:.3g}, at most {panel.N.max():.3g} trained; the ranking may not survive"
        )
    if goal.D > 1.05 * panel.D.max():
        found.append(
            f"a longer horizon: D = {goal.D:.3g}, at most {panel.D.max():.3g} trained; the best mixture may move"
        )
    return tuple(dict.fromkeys(found))
