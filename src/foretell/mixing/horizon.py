"""A horizon: the mixtures trained at one number of tokens over one set of pools, and the best among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError, MethodError, UnknownName
from foretell.laws.law import Coefficient, Law
from foretell.mixing.adjoint import Adjoint
from foretell.mixing.panel import Panel
from foretell.mixing.solve import solve

Array = NDArray[np.float64]

FORMS = ("parabola", "log-linear", "gp")
AUTO = "auto"
SEED_NOISE = 0.003  # nats: seed-to-seed spread of small models where no mixture was trained twice (a guess)
MISFIT = 0.3  # of the rise above the lowest loss: how wrong a form may be there; rows far up the sides count little
CLEARLY = 0.5  # of the parabola's leave-one-out error: only a form this much better replaces it
GRID = 0.001  # of a share, on which the least loss is looked for
COARSE = 0.02  # the same with three sources

TWO_SLOPES = Law(
    "log-linear",
    "E + exp(a - s*x) + exp(b + t*x)",
    {
        "E": Coefficient(start=(0.5, 4.0)),
        "a": Coefficient(-np.inf, np.inf, (-3.0, 1.0)),
        "b": Coefficient(-np.inf, np.inf, (-8.0, -2.0)),
        "s": Coefficient(start=(2.0, 20.0)),
        "t": Coefficient(start=(2.0, 20.0)),
    },
    source="two log-linear terms (arXiv 2602.12237): what more of a source brings, what its repetition costs",
    inputs=frozenset({"x"}),
)


@dataclass(frozen=True)
class Horizon:
    """Hold the losses (n,) of mixtures (n, k) trained by models of N parameters on D tokens over pools (k,)."""

    domains: tuple[str, ...]
    N: float
    D: float
    pools: Array
    weights: Array
    losses: Array

    @property
    def lowest(self) -> Array:
        """Give the mixture (k,) of the lowest loss measured, seeds averaged."""
        mixtures, losses, _ = self.averaged()
        row: Array = mixtures[np.argmin(losses)]
        return row

    def averaged(self) -> tuple[Array, Array, NDArray[np.intp]]:
        """Give the different mixtures (m, k), the mean loss of each over seeds (m,), and which each row is of (n,)."""
        _, first, index = np.unique(np.round(self.weights, 6), axis=0, return_index=True, return_inverse=True)
        index = index.reshape(-1)
        return self.weights[first], np.bincount(index, self.losses) / np.bincount(index), index

    @property
    def noise(self) -> float:
        """Give the spread of a loss from seed to seed: of repeated mixtures, else a measured default (nats)."""
        _, mean, index = self.averaged()
        spare = len(index) - len(mean)
        if not spare:
            return SEED_NOISE
        return max(float(np.sqrt(np.sum((self.losses - mean[index]) ** 2) / spare)), 1e-4)

    def regret(self, mixture: Array) -> float:
        """Give the loss at a mixture (k,) of two sources, by a parabola through three points, over the least.

        Raises MethodError with three sources, whose surface only a form gives (`Best.regret`).
        """
        if len(self.domains) != 2:
            raise MethodError("the regret between measured mixtures is only defined for two sources")
        mixtures, y, _ = self.averaged()
        x = mixtures[:, 0]
        at = float(np.clip(mixture[0], x[0], x[-1]))
        start = int(np.clip(np.argsort(np.abs(x - at))[:3].min(), 0, max(0, len(x) - 3)))
        near = slice(start, start + 3)
        if len(x) < 3:
            return float(np.interp(at, x, y) - y.min())
        return float(np.polyval(np.polyfit(x[near], y[near], 2), at) - y.min())


@dataclass(frozen=True)
class Best:
    """Hold the best mixture (k,) of a horizon, draws of it (B, k), the form that found it, and each form's error."""

    horizon: Horizon
    weights: Array
    draws: Array
    form: str
    errors: dict[str, float]
    doubts: tuple[str, ...] = ()

    def interval(self, level: float = 0.8) -> tuple[Array, Array]:
        """Give the central interval of every share."""
        return central(self.draws, level)

    def regret(self, mixture: Array) -> float:
        """Give what training on a mixture (k,) costs at this horizon over the best: of two sources between the measured
        losses, of three on the form's surface."""
        if len(self.horizon.domains) == 2:
            return self.horizon.regret(mixture)
        both = np.stack([mixture, self.weights])
        at, least = _curve(self.form, self.horizon, self.horizon.losses, both)
        return float(at - least)


def central(draws: Array, level: float) -> tuple[Array, Array]:
    """Give the central interval of draws (B, k), column by column."""
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(draws, [tail, 100.0 - tail], axis=0)
    return low, high


def horizons_of(panel: Panel, metric: str) -> list[Horizon]:
    """Group a panel's rows by N, D and pools; raises UnknownName for a metric that is not there."""
    if metric not in panel.names:
        raise UnknownName("measured metric", metric, panel.names)
    column = panel.losses[:, panel.names.index(metric)]
    keys = np.round(np.column_stack([np.log(panel.N), np.log(panel.D), np.log(np.minimum(panel.pools, 1e300))]), 4)
    made = []
    for key in np.unique(keys, axis=0):
        rows = (keys == key).all(axis=1)
        i = int(np.argmax(rows))
        made.append(
            Horizon(
                panel.domains, float(panel.N[i]), float(panel.D[i]), panel.pools[i], panel.weights[rows], column[rows]
            )
        )
    return sorted(made, key=lambda h: (h.N, h.D, tuple(h.pools)))


def best_of(horizon: Horizon, form: str = AUTO, *, draws: int = 200, seed: int = 0) -> Best:
    """Find the best mixture of a horizon by a parabola, a log-linear law or a Gaussian process.

    `auto` takes the parabola, unless another form's leave-one-out error near the minimum is less than half of its.
    Raises FitError for fewer than three mixtures.
    """
    k = len(horizon.domains)
    if k not in (2, 3):
        raise FitError(f"{k} sources: horizons are fitted for two or three; use `foretell mix best` for more")
    if len(np.unique(horizon.weights, axis=0)) < (3 if k == 2 else 6):
        raise FitError(
            f"{len(horizon.weights)} mixtures at {horizon.D:.3g} tokens do not fix the best one; train at least "
            f"{3 if k == 2 else 6}"
        )
    if form not in (AUTO, *FORMS):
        raise UnknownName("form", form, [AUTO, *FORMS])
    grid = _grid(horizon)
    tried = _usable(horizon) if form == AUTO else [form]
    errors = {name: _left_out(horizon, name) for name in tried}
    chosen = tried[0]
    for name in tried[1:]:
        if errors[name] < CLEARLY * errors[tried[0]] and errors[name] <= min(errors.values()):
            chosen = name
    losses = horizon.losses
    values = _curve(chosen, horizon, losses, grid)
    weights = grid[np.argmin(values)]
    rng = np.random.default_rng([seed, 7])
    noise = rng.normal(size=(draws, len(losses))) * horizon.noise
    drawn = np.array([grid[np.argmin(_curve(chosen, horizon, losses + row, grid))] for row in noise]).reshape(-1, k)
    doubts = []
    span = horizon.weights[:, 0]
    if k == 2 and (weights[0] <= span.min() + GRID or weights[0] >= span.max() - GRID):
        doubts.append(
            f"the best mixture at {horizon.D:.3g} tokens lies at the edge of those trained ({weights[0]:.0%}): "
            "a bound, which is carried as if it were measured"
        )
    return Best(horizon, weights, drawn, chosen, errors, tuple(doubts))


def _usable(horizon: Horizon) -> list[str]:
    count = len(np.unique(horizon.weights, axis=0))
    k = len(horizon.domains)
    names = ["parabola"]
    if k == 2 and count > len(TWO_SLOPES.coefficients):
        names.append("log-linear")
    if count >= (5 if k == 2 else 9) and _has_sklearn():
        names.append("gp")
    return names


def _has_sklearn() -> bool:
    from importlib.util import find_spec

    return find_spec("sklearn") is not None


def _grid(horizon: Horizon) -> Array:
    """Give the mixtures among which the best is looked for: those between the ones that were trained."""
    low, high = horizon.weights.min(axis=0), horizon.weights.max(axis=0)
    if len(horizon.domains) == 2:
        first = np.append(np.arange(low[0], high[0], GRID), high[0])
        return np.column_stack([first, 1.0 - first])
    a, b = np.meshgrid(np.arange(low[0], high[0] + 1e-9, COARSE), np.arange(low[1], high[1] + 1e-9, COARSE))
    flat = np.column_stack([a.ravel(), b.ravel(), 1.0 - a.ravel() - b.ravel()])
    inside: Array = flat[(flat[:, 2] >= low[2] - 1e-9) & (flat[:, 2] <= high[2] + 1e-9)]
    return inside


def _importance(losses: Array, noise: float) -> Array:
    """Weigh rows by how closely a simple form can be asked to pass them: closely at the bottom, loosely above."""
    weight: Array = noise**2 / (noise**2 + (MISFIT * (losses - losses.min())) ** 2)
    return weight


def _curve(form: str, horizon: Horizon, losses: Array, grid: Array, rows: Array | None = None) -> Array:
    """Fit a form to losses (n,) of the horizon's mixtures and give its values on a grid."""
    weights = horizon.weights if rows is None else rows
    importance = _importance(losses, horizon.noise)
    if form == "parabola":
        made = np.linalg.lstsq(
            _quadratic(weights) * np.sqrt(importance)[:, None], losses * np.sqrt(importance), rcond=None
        )[0]
        return np.asarray(_quadratic(grid) @ made)
    if form == "log-linear":
        fitted = solve(
            TWO_SLOPES, Adjoint(TWO_SLOPES, {"x": weights[:, 0]}), losses[None], np.array([horizon.noise]),
            weights=importance[None],
        )  # fmt: skip
        values: Array = Adjoint(TWO_SLOPES, {"x": grid[:, 0]}).value(fitted.theta)[0]
        return values
    return _process(weights, losses, importance, horizon.noise, grid)


def _quadratic(weights: Array) -> Array:
    x = weights[:, :-1]
    columns = [np.ones(len(x)), *x.T]
    columns += [x[:, i] * x[:, j] for i in range(x.shape[1]) for j in range(i, x.shape[1])]
    return np.column_stack(columns)


def _process(weights: Array, losses: Array, importance: Array, noise: float, grid: Array) -> Array:
    import warnings

    try:
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel
    except ImportError:
        raise MethodError("the form gp needs scikit-learn; install foretell[mix], or choose parabola") from None
    size = max(float(np.ptp(losses)), 10 * noise)
    process: Any = GaussianProcessRegressor(
        ConstantKernel(4.0, (0.1, 100.0)) * RBF(0.3, (0.05, 3.0)), alpha=noise**2 / importance / size**2
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a length at its bound: a straight line, or noise
        process.fit(weights[:, :-1], (losses - losses.min()) / size)
        predicted: Array = np.asarray(process.predict(grid[:, :-1])) * size + losses.min()
        return predicted


def _left_out(horizon: Horizon, form: str) -> float:
    """Give the leave-one-out error of a form: the root of the mean square, rows near the minimum counting most."""
    importance = _importance(horizon.losses, horizon.noise)
    n = len(horizon.losses)
    if form == "parabola" and n <= _quadratic(horizon.weights).shape[1]:
        return np.inf
    errors = np.empty(n)
    for i in range(n):
        keep = np.arange(n) != i
        made = _curve(form, horizon, horizon.losses[keep], horizon.weights[i : i + 1], horizon.weights[keep])
        errors[i] = made[0] - horizon.losses[i]
    return float(np.sqrt(np.sum(importance * errors**2) / np.sum(importance)))
