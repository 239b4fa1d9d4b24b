"""A mixture model: one law a metric, what is left over, and how sure both are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError, MethodError, UnknownName
from foretell.fitting.coordinates import coordinates_of
from foretell.fitting.fit import shared_variance
from foretell.laws.law import Law
from foretell.laws.mixtures import MIXTURE_LAWS, OWN_LAWS, mixture_inputs, mixture_law
from foretell.mixing.adjoint import Adjoint
from foretell.mixing.panel import Panel
from foretell.mixing.residual import KINDS, Residual, residual_of
from foretell.mixing.solve import PLAIN_SQUARES, Solution, prior_of, solve

Array = NDArray[np.float64]

STARTS = 3
FIRST_SPREAD = 0.1  # of the losses' own spread: what a residual is taken for before there is one
REFIT_STEPS = 5  # of a fit that begins beside its minimum
FOLDS = 5
DRAWS = 200
LEAST_NOISE = 0.2  # of the hold-out error: how much of it is at least put down to the observation


@dataclass(frozen=True)
class MixtureModel:
    """Hold a law (one a metric) fitted to a panel, in `u` and `theta` (m, p), a residual, out-of-fold residuals.

    `left_out` (n, m) is measured minus forecast of every row by a fit that did not see its run. `draws` (B, m, p) are
    coefficients of refits to redrawn losses (B, m, n). `step` is how far in log D the rows left out lie beyond
    the fitted ones, zero where they were held out by mixture.
    """

    name: str
    panel: Panel
    laws: tuple[Law, ...]
    u: Array
    theta: Array
    spread: Array
    residual: Residual | None
    left: Array
    left_out: Array
    draws: Array | None = None
    left_draws: Array | None = None
    doubts: tuple[str, ...] = ()
    step: float = 0.0

    @property
    def coefficients(self) -> dict[str, dict[str, float]]:
        """Give each metric's coefficients by name."""
        return {
            metric: dict(zip(law.coefficients, map(float, row), strict=True))
            for metric, law, row in zip(self.panel.names, self.laws, self.theta, strict=True)
        }

    def at(self, weights: Array, N: Array, D: Array, pools: Array | None = None) -> Array:
        """Forecast losses (m, q) of mixtures (q, k) at N and D (q,), with pools (k,) or (q, k) of unique tokens."""
        made: Array = self._law(self.theta[None], weights, N, D, pools)[0]
        return made if self.residual is None else made + self.residual.at(weights, self.left)

    def draws_at(self, weights: Array, N: Array, D: Array, pools: Array | None = None) -> Array:
        """Forecast losses (B, m, q) by every refit: what the mean could be. Raises FitError without draws."""
        if self.draws is None:
            raise FitError("this mixture model has no draws; ask for some")
        made = self._law(self.draws, weights, N, D, pools)
        if self.residual is None or self.left_draws is None:
            return made
        return made + self.residual.at(weights, self.left_draws)

    def observed_at(self, weights: Array, N: Array, D: Array, pools: Array | None = None, *, seed: int = 0) -> Array:
        """Draw losses (B, m, q) that may be observed: the refits, plus out-of-fold residuals for what they leave out.

        Beyond the longest horizon trained they widen with the root of the reach in log D, counted in the steps at which
        the residuals were measured.
        """
        mean = self.draws_at(weights, N, D, pools)
        rng = np.random.default_rng([seed, 2])
        shape = self.left_out / np.maximum(np.sqrt(np.mean(self.left_out**2, axis=0)), 1e-300)
        rows = rng.integers(len(shape), size=(len(mean), mean.shape[2]))  # one row for all metrics: they err together
        signs = rng.choice([-1.0, 1.0], size=rows.shape)
        noise = (shape[rows] * signs[:, :, None]).transpose(0, 2, 1) * self.noise[:, None]
        beyond = np.log(np.maximum(D / self.panel.D.max(), 1.0))
        widen = np.sqrt(np.maximum(1.0, beyond / self.step)) if self.step else np.ones(len(D))
        made: Array = self.at(weights, N, D, pools) + widen * (mean - mean.mean(axis=0) + noise)
        return made

    @cached_property
    def noise(self) -> Array:
        """Give the part (m,) of the hold-out error that the refits do not show, as a standard deviation."""
        total = np.mean(self.left_out**2, axis=0)
        panel = self.panel
        if self.draws is None:
            return np.asarray(np.sqrt(total))
        shown = self.draws_at(panel.weights, panel.N, panel.D, panel.pools).var(axis=0).mean(axis=1)
        return np.asarray(np.sqrt(np.maximum(total - shown, LEAST_NOISE * total)))

    @cached_property
    def shortfall(self) -> Array:
        """Give by how much (m,) the refits must spread to explain what runs left out show beyond the noise of a run.

        At least 1: the form of a law is wrong by more than refits of it can tell.
        """
        panel = self.panel
        if self.draws is None:
            return np.ones(len(self.laws))
        shown = self.draws_at(panel.weights, panel.N, panel.D, panel.pools).var(axis=0).mean(axis=1)
        wrong = np.mean(self.left_out**2, axis=0) - self.spread**2
        return np.asarray(np.sqrt(np.maximum(1.0, wrong / np.maximum(shown, 1e-300))))

    @property
    def hold_out_error(self) -> float:
        """Give the mean |error| of the rows forecast by fits that did not see their run."""
        return float(np.mean(np.abs(self.left_out)))

    def _law(self, theta: Array, weights: Array, N: Array, D: Array, pools: Array | None) -> Array:
        inputs = mixture_inputs(weights, self.panel.domains, N, D, pools)
        made = np.empty((len(theta), len(self.laws), len(weights)))
        for places in self._groups.values():
            rows = Adjoint(self.laws[places[0]], inputs)
            for j in places:
                made[:, j] = rows.value(theta[:, j, : len(self.laws[j].coefficients)])
        return made

    @cached_property
    def _groups(self) -> dict[str, list[int]]:
        return groups_of(self.laws)


def groups_of(laws: tuple[Law, ...]) -> dict[str, list[int]]:
    """Group the metrics that share one formula."""
    found: dict[str, list[int]] = {}
    for j, law in enumerate(laws):
        found.setdefault(law.formula, []).append(j)
    return found


def laws_of(name: str, panel: Panel) -> tuple[Law, ...]:
    """Write out a law for every metric of a panel; own-domain laws are about the source that a metric is named after.

    Raises UnknownName for no mixture law, MethodError when a metric is named after no source.
    """
    if name in MIXTURE_LAWS:
        return (mixture_law(name, panel.domains),) * len(panel.metrics)
    if name not in OWN_LAWS:
        raise UnknownName("mixture law", name, [*MIXTURE_LAWS, *OWN_LAWS])
    made = []
    for metric in panel.names:
        own = metric.split("/")[0]
        if own not in panel.domains:
            raise MethodError(
                f"the law {name} forecasts a loss from its own source, but {metric} is named after none of "
                f"{', '.join(panel.domains)}; choose another law"
            )
        made.append(mixture_law(name, panel.domains, own))
    return tuple(made)


def folds_of(panel: Panel, seed: int = 0, count: int = FOLDS) -> NDArray[np.intp]:
    """Deal the runs into folds, at random but whole, one mixture's rows together. Gives each row's fold (n,)."""
    _, mixture = np.unique(np.round(panel.weights, 9), axis=0, return_inverse=True)
    groups = int(mixture.max()) + 1
    order = np.random.default_rng([seed, 5]).permutation(groups)
    return np.asarray((order % min(count, groups))[mixture.reshape(-1)], dtype=np.intp)


def fit_model(
    panel: Panel, name: str, *, draws: int = 0, seed: int = 0, folds: NDArray[np.intp] | None = None
) -> MixtureModel:
    """Fit a law by name (`saturating`, `saturating+gp`, `power+trees`, …) to every metric of a panel.

    Every coefficient is held by a normal prior over its range of first guesses. Raises FitError for fewer runs than
    sources, UnknownName for a law or residual that does not exist.
    """
    base, _, kind = name.partition("+")
    if kind and kind not in KINDS:
        raise UnknownName("residual", kind, KINDS)
    laws = laws_of(base, panel)
    k = len(panel.domains)
    mixtures = len(np.unique(np.round(panel.weights, 9), axis=0))
    if mixtures < 3:
        raise FitError(f"{mixtures} different mixtures cannot be fitted; train at least 3, better 3 for every source")
    most = max(len(law.coefficients) for law in laws)
    doubts = list(panel.doubts)
    if len(panel) <= most:
        doubts.append(
            f"fewer rows than coefficients: {len(panel)} rows, {most} coefficients of {base} for {k} sources; its "
            "first guesses decide the rest"
        )
    fold = folds_of(panel, seed) if folds is None else folds
    n, m = panel.losses.shape
    inputs = panel.inputs()
    u, theta, spread = np.zeros((m, most)), np.zeros((m, most)), np.zeros(m)
    fitted, out = np.zeros((m, n)), np.zeros((m, n))
    count = int(fold.max()) + 1
    rows_of: dict[str, Adjoint] = {}
    for formula, places in groups_of(laws).items():
        law = laws[places[0]]
        p = len(law.coefficients)
        rows = rows_of[formula] = Adjoint(law, inputs)
        targets = panel.losses.T[places]
        made, width = _fit(law, rows, targets, seed)
        u[places, :p], theta[places, :p], spread[places] = made.u, made.theta, width
        fitted[places] = rows.value(made.theta)
        keep = np.stack([(fold != f).astype(np.float64) for f in range(count)])
        held = solve(
            law, rows, np.repeat(targets, count, axis=0), np.repeat(width, count),
            starts=np.repeat(made.u, count, axis=0), weights=np.tile(keep, (len(places), 1)),
            most_steps=4 * REFIT_STEPS,
        )  # fmt: skip
        values = rows.value(held.theta).reshape(len(places), count, n)
        out[places] = np.stack([values[:, fold[i], i] for i in range(n)], axis=1)
    left_out = panel.losses.T - out
    left = panel.losses.T - fitted
    residual = None
    if kind:
        residual = residual_of(kind, panel.weights, left)
        left_out = left_out - _corrections(residual, panel, out, fold)
    model = MixtureModel(
        name, panel, laws, u, theta, spread, residual, left, left_out.T, doubts=tuple(doubts)
    )  # fmt: skip
    return with_draws(model, draws, seed)


def _fit(law: Law, rows: Adjoint, targets: Array, seed: int) -> tuple[Solution, Array]:
    """Fit from several starts, estimate the spread of the residuals, and fit once more with it."""
    m, n = targets.shape
    p = len(law.coefficients)
    prior = prior_of(law, coordinates_of(law, PLAIN_SQUARES))
    rng = np.random.default_rng([seed, 3])
    starts = prior.centre + 0.5 * prior.deviation * np.vstack([np.zeros(p), rng.normal(size=(STARTS - 1, p))])
    width = np.maximum(FIRST_SPREAD * targets.std(axis=1), 1e-6)
    found = solve(
        law, rows, np.repeat(targets, STARTS, axis=0), np.repeat(width, STARTS), starts=np.tile(starts, (m, 1))
    )
    best = np.argmin(np.where(np.isfinite(found.objective), found.objective, np.inf).reshape(m, STARTS), axis=1)
    u = found.u.reshape(m, STARTS, p)[np.arange(m), best]
    for _ in range(2):
        theta = coordinates_of(law, PLAIN_SQUARES).natural(u)
        residual = targets - rows.value(theta)
        free = max(n - p, n // 2, 1)
        width = np.maximum(np.sqrt(np.sum(residual**2, axis=1) / free), 1e-6)
        found = solve(law, rows, targets, width, starts=u)
        u = found.u
    if not np.isfinite(found.objective).all():
        raise FitError(f"{law.name} is not finite on these rows; its inputs may be far out of range")
    return found, width


def _corrections(residual: Residual, panel: Panel, out: Array, fold: NDArray[np.intp]) -> Array:
    """Give the residual's correction (m, n) of every row by the rows of other folds."""
    made = np.zeros_like(out)
    left = panel.losses.T - out
    for f in range(int(fold.max()) + 1):
        inside = fold == f
        made[:, inside] = residual.without(inside, left).at(panel.weights[inside], left[:, ~inside])
    return made


def with_draws(model: MixtureModel, draws: int, seed: int) -> MixtureModel:
    """Refit a model to losses redrawn around its fit: noise of the residuals' spread, shared in a run as they are."""
    if not draws:
        return model
    panel = model.panel
    rng = np.random.default_rng([seed, 4])
    n, m = panel.losses.shape
    centre = panel.losses.T - model.left
    after = model.left if model.residual is None else model.left - model.residual.spread(model.left)
    index = panel.run_index
    shared = np.array([shared_variance(row, index) for row in after])[None, :, None]
    common = rng.normal(size=(draws, m, int(index.max()) + 1))[:, :, index]
    noise = model.spread[None, :, None] * (
        np.sqrt(shared) * common + np.sqrt(1 - shared) * rng.normal(size=(draws, m, n))
    )
    smooth = 0.0 if model.residual is None else (model.left - after)[None]
    targets = centre[None] + smooth + noise
    theta = np.zeros((draws, *model.theta.shape))
    left = np.zeros((draws, m, n))
    for places in groups_of(model.laws).values():
        law = model.laws[places[0]]
        p = len(law.coefficients)
        rows = Adjoint(law, panel.inputs())
        flat = targets[:, places].reshape(-1, n)
        made = solve(
            law, rows, flat, np.tile(model.spread[places], draws), starts=np.tile(model.u[places, :p], (draws, 1)),
            most_steps=REFIT_STEPS,
        )  # fmt: skip
        theta[:, places, :p] = made.theta.reshape(draws, len(places), p)
        if model.residual is not None:
            values = np.concatenate([rows.value(made.theta[i : i + 64]) for i in range(0, len(flat), 64)])
            left[:, places] = (flat - values).reshape(draws, len(places), n)
    return replace(model, draws=theta, left_draws=left if model.residual is not None else None)


def describe(model: MixtureModel) -> Mapping[str, str]:
    """Say in words what a model is: its law, its formula, and what it leaves over."""
    law = model.laws[0]
    return {"law": model.name, "formula": law.formula, "source": law.source}
