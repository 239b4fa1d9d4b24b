"""What a law leaves over, as a smooth function of the mixture: a Gaussian process, or boosted trees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from foretell.errors import MethodError

Array = NDArray[np.float64]
Kind = Literal["gp", "trees"]

KINDS: tuple[Kind, ...] = ("gp", "trees")
ROOT = 0.25  # shares enter as w^¼: near zero they matter by ratio (chosen among w^½, log(w + 1e-3) on regmix's 512)
NOISES = 10.0 ** np.arange(-3.0, 3.1, 0.25)  # of the smooth part's variance; the last as good as no correction
MOST_ROWS = 256  # that choose the kernel's length: time grows with their cube
NEEDS = "the residual {kind} needs {package}; install foretell[mix], or choose a law alone"


class Residual(Protocol):
    """Say what to add to a law's losses at mixtures."""

    def spread(self, left: Array) -> Array:
        """Turn what a law left over on the fitted rows (…, n) into smooth corrections of them, fitted anew each."""
        ...

    def at(self, weights: Array, left: Array) -> Array:
        """Give the correction (…, q) at mixtures (q, k) for what a law left over on the fitted rows (…, n)."""
        ...

    def without(self, rows: NDArray[np.bool_], left: Array) -> Residual:
        """Give the same kind of residual on the other rows only; `left` (m, n) as on all rows."""
        ...


@dataclass(frozen=True)
class Process:
    """Hold a Gaussian process over mixtures: one kernel for all metrics, and each metric's own share of noise.

    `values` (n,) and `vectors` (n, n) are the kernel's eigenvalues and eigenvectors on the fitted mixtures, `noise`
    (m,) the variance of each metric's noise over that of its smooth part.
    """

    weights: Array
    middle: Array
    scale: Array
    length: float
    values: Array
    vectors: Array
    noise: Array

    def _features(self, weights: Array) -> Array:
        return (weights**ROOT - self.middle) / self.scale

    def spread(self, left: Array) -> Array:
        """Give the correction of the fitted rows themselves."""
        return self.at(self.weights, left)

    def at(self, weights: Array, left: Array) -> Array:
        """Give the process's mean (…, m, q) at mixtures (q, k), for what laws left over (…, m, n)."""
        kernel = _kernel(self._features(weights), self._features(self.weights), self.length)
        coordinates = (left @ self.vectors) / (self.values + self.noise[:, None])
        mean: Array = coordinates @ (kernel @ self.vectors).T
        return mean

    def without(self, rows: NDArray[np.bool_], left: Array) -> Process:
        """Give the process of the same kernel on the other rows only; `left` (m, n) as on all rows."""
        return _with_kernel(self.weights[~rows], self.middle, self.scale, self.length, left[:, ~rows])


def _kernel(a: Array, b: Array, length: float) -> Array:
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2.0 * a @ b.T
    made: Array = np.exp(-0.5 * np.maximum(squares, 0.0) / length**2)
    return made


def _with_kernel(weights: Array, middle: Array, scale: Array, length: float, left: Array) -> Process:
    """Diagonalise the kernel, and give each metric the share of noise of highest marginal likelihood on a grid."""
    places = (weights**ROOT - middle) / scale
    values, vectors = np.linalg.eigh(_kernel(places, places, length))
    values = np.maximum(values, 0.0)
    turned = (left @ vectors) ** 2
    n = left.shape[1]
    likelihood = []
    for ratio in NOISES:
        size = np.mean(turned / (values + ratio), axis=1)
        likelihood.append(-0.5 * n * np.log(size + 1e-300) - 0.5 * np.log(values + ratio).sum())
    return Process(weights, middle, scale, length, values, vectors, NOISES[np.argmax(likelihood, axis=0)])


def process_of(weights: Array, left: Array) -> Process:
    """Fit a process to what laws left over (m, n) on mixtures (n, k); its length by scikit-learn, for all as one.

    Raises MethodError without scikit-learn.
    """
    try:
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
    except ImportError:
        raise MethodError(NEEDS.format(kind="gp", package="scikit-learn")) from None
    import warnings

    features = weights**ROOT
    middle, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-6, scale, 1.0)
    size = np.maximum(left.std(axis=1, keepdims=True), 1e-12)
    rows = np.arange(len(weights))
    if len(rows) > MOST_ROWS:
        rows = np.random.default_rng(0).permutation(rows)[:MOST_ROWS]
    kernel = ConstantKernel(0.5, (1e-3, 10.0)) * RBF(3.0, (0.5, 50.0)) + WhiteKernel(0.5, (1e-3, 10.0))
    process: Any = GaussianProcessRegressor(kernel, alpha=1e-8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a length at its bound is no fault here: then there is nothing to correct
        process.fit(((features - middle) / scale)[rows], (left / size).T[rows])
    return _with_kernel(weights, middle, scale, float(process.kernel_.k1.k2.length_scale), left)


@dataclass(frozen=True)
class Trees:
    """Hold boosted trees over mixtures, grown anew for whatever a law left over."""

    weights: Array
    rounds: int = 150
    seed: int = 0

    def spread(self, left: Array) -> Array:
        """Give the correction of the fitted rows themselves."""
        return self.at(self.weights, left)

    def at(self, weights: Array, left: Array) -> Array:
        """Grow trees for each row of `left` and give their correction (…, q) at mixtures (q, k)."""
        try:
            import lightgbm
        except ImportError:
            raise MethodError(NEEDS.format(kind="trees", package="lightgbm")) from None
        flat = left.reshape(-1, left.shape[-1])
        made = np.empty((len(flat), len(weights)))
        options = {
            "objective": "regression", "learning_rate": 0.05, "num_leaves": 15, "min_data_in_leaf": 10, "verbose": -1,
            "seed": self.seed, "num_threads": 2, "deterministic": True, "force_row_wise": True,
        }  # fmt: skip
        for i, row in enumerate(flat):
            trees = lightgbm.train(options, lightgbm.Dataset(self.weights, row), num_boost_round=self.rounds)
            made[i] = trees.predict(weights)
        return made.reshape(*left.shape[:-1], len(weights))

    def without(self, rows: NDArray[np.bool_], left: Array) -> Trees:
        """Give trees that grow on the other rows only."""
        return Trees(self.weights[~rows], self.rounds, self.seed)


def residual_of(kind: str, weights: Array, left: Array) -> Residual:
    """Fit a residual of a kind; raises MethodError where its package is missing."""
    return process_of(weights, left) if kind == "gp" else Trees(weights)
