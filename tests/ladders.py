"""Made-up ladders: runs whose truth is known, for tests that need one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.laws import LAWS, Law
from foretell.table import Metric, Observations, Points, Run, metric_named

Array = NDArray[np.float64]

CHINCHILLA = LAWS["chinchilla"]
TRUTH = CHINCHILLA.published or {}  # Besiroglu 2024: what every made-up loss follows unless said otherwise
SIZES = (1.9e8, 3.7e8, 7.6e8, 1.28e9)  # the OLMo ladder's four sizes
MULTIPLES = (1.0, 2.0, 5.0, 10.0)  # of 20 tokens a parameter


def rungs(sizes: Sequence[float] = SIZES, multiples: Sequence[float] = MULTIPLES) -> tuple[Array, Array]:
    """Give N and D of every size at every multiple of 20 tokens a parameter."""
    N, multiple = np.meshgrid(sizes, multiples, indexing="ij")
    return N.ravel(), (20.0 * multiple * N).ravel()


def points_of(
    law: Law, coefficients: Mapping[str, float], inputs: Mapping[str, Array], *, noise: float = 0.0, seed: int = 0,
    metric: Metric | None = None, items: float = np.nan, run: Sequence[str] = (),
) -> Points:  # fmt: skip
    """Make points that follow a law, with log-normal noise; every row a run of its own unless `run` says otherwise."""
    value = law.value(coefficients, inputs)
    value = value * np.exp(noise * np.random.default_rng(seed).normal(size=len(value)))
    names = np.array(list(run) or [f"run {i:03d}" for i in range(len(value))])
    chosen = metric or (
        Metric(name="task/acc", unit="accuracy") if law.response == "share" else metric_named("c4/loss")
    )
    return Points(chosen, names, dict(inputs), value, np.full(len(value), items))


def in_N_and_D(N: Array, D: Array) -> dict[str, Array]:
    """Give the inputs that points of runs of N parameters and D tokens have."""
    return {"N": N, "D": D, "M": D / N, "C": 6.0 * N * D}


def ladder(
    noise: float = 0.003, seed: int = 0, *, sizes: Sequence[float] = SIZES, multiples: Sequence[float] = MULTIPLES,
    held_out: Sequence[tuple[float, float]] = (), tasks: Mapping[str, Callable[[Array], Array]] | None = None,
    items: int = 1000,
) -> Observations:  # fmt: skip
    """Make a study of a Chinchilla ladder with `c4/loss`, and tasks that depend on the true loss."""
    N, D = rungs(sizes, multiples)
    known = [False] * len(N) + [True] * len(held_out)
    N = np.append(N, [target[0] for target in held_out])
    D = np.append(D, [target[1] for target in held_out])
    rng = np.random.default_rng(seed)
    true = CHINCHILLA.value(TRUTH, {"N": N, "D": D})
    runs = [
        Run(f"run {i:02d}", float(D[i]), N=float(N[i]), family="small" if N[i] < 5e8 else "large", held_out=known[i])
        for i in range(len(N))
    ]
    columns = {"c4/loss": true * np.exp(noise * rng.normal(size=len(N)))}
    metrics = [metric_named("c4/loss")]
    for name, of_loss in (tasks or {}).items():
        columns[name] = rng.binomial(items, of_loss(true)) / items
        metrics.append(metric_named(name, chance=0.25, items=items))
    values = pl.DataFrame(
        [
            {"run": run.name, "D": run.D, "metric": name, "value": float(column[i])}
            for name, column in columns.items()
            for i, run in enumerate(runs)
        ]
    )
    return Observations.of(runs, values, metrics, shared_loss="c4/loss")


def sigmoid_task(loss: Array) -> Array:
    """Give an accuracy that rises from chance as the loss falls, and is 1 at loss 0."""
    return 0.25 + 0.75 / (1.0 + np.exp(4.0 * (loss - 2.2)))
