"""The summaries of token losses that go into a study's table: quantiles, and shares of categories."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.table import Metric, Observations
from foretell.trajectory.categories import Categories
from foretell.trajectory.losses import RunLosses, TokenLosses
from foretell.trajectory.rule import Category

Array = NDArray[np.float64]

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
MEAN = "tokens/mean"


def quantile_name(q: float) -> str:
    """Name the metric of a quantile: tokens/q10."""
    return f"tokens/q{round(100 * q):02d}"


def distribution(losses: TokenLosses, quantiles: Sequence[float] = QUANTILES) -> tuple[Array, Array]:
    """Give the mean (c,) and the quantiles (c, q) of the tokens' losses at each checkpoint, in nats.

    A quantile is the loss of the token of that rank (no interpolation). One checkpoint is in memory at a time.
    """
    mean, found = np.empty(len(losses)), np.empty((len(losses), len(quantiles)))
    ranks = [min(losses.tokens - 1, int(q * losses.tokens)) for q in quantiles]
    for at in range(len(losses)):
        values = losses.checkpoint(at)
        mean[at] = values.mean(dtype=np.float64)
        found[at] = np.partition(values, ranks)[ranks]
    return mean, found


def summaries(runs: Sequence[RunLosses], found: Sequence[Categories], like: Observations) -> Observations:
    """Make observations of token losses: `tokens/mean`, `tokens/q10` and so on, `tokens/upward` and the other shares.

    Quantiles belong to every checkpoint; the share of a category to the checkpoint at which its window begins. They are
    plain values, not losses, so that no method takes one for a validation loss unasked. `like` describes the runs.
    """
    rows = []
    for run in runs:
        mean, quantiles = distribution(run.losses)
        for at, D in enumerate(run.losses.D):
            told = {"run": run.run, "D": float(D), "C": float(run.C[at])}
            rows.append({**told, "metric": MEAN, "value": float(mean[at])})
            rows += [
                {**told, "metric": quantile_name(q), "value": float(quantiles[at, i])} for i, q in enumerate(QUANTILES)
            ]
    compute = {run.run: dict(zip(run.losses.D.tolist(), run.C.tolist(), strict=True)) for run in runs}
    for one in found:
        for at in np.unique(one.D, return_index=True)[1]:  # two starts may begin at one checkpoint
            D = float(one.D[at])
            rows += [
                {
                    "run": one.run, "D": D, "C": compute[one.run][D],
                    "metric": f"tokens/{category.name.lower()}", "value": float(one.shares[at, category]),
                }
                for category in Category
            ]  # fmt: skip
    values = pl.DataFrame(rows, infer_schema_length=None).with_columns(
        step=pl.lit(None, dtype=pl.Float64),
        items=pl.lit(None, dtype=pl.Float64),
        stderr=pl.lit(None, dtype=pl.Float64),
    )
    names = sorted(set(values["metric"]))
    described = like.runs.filter(pl.col("name").is_in(values["run"].unique().to_list()))
    return Observations(
        runs=described,
        values=values.sort("run", "D", "metric"),
        metrics={name: Metric(name=name, unit="value") for name in names},
        law_N=like.law_N,
        rows=like.rows,
        final_mean=like.final_mean,
    )


def category_means(runs: Sequence[TokenLosses], of: Categories, start: float) -> list[Array]:
    """Give the mean loss (c, 4) of the tokens that one run puts into each category, at each checkpoint of each run.

    A category without tokens is nan.
    """
    codes = of.codes[of.starts.index(start)]
    count = np.bincount(codes, minlength=len(Category))
    made = []
    for losses in runs:
        sums = np.array(
            [np.bincount(codes, losses.checkpoint(at).astype(np.float64), len(Category)) for at in range(len(losses))]
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            made.append(np.where(count, sums / count, np.nan))
    return made
