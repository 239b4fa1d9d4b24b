"""The summaries of a trace that go into a study's table: quantiles, shares of categories, verdicts on pooling."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.errors import FitError
from foretell.methods.pooled import compare_pooled, lineages
from foretell.methods.token_predictor import MEAN, QUANTILES, quantile_name
from foretell.methods.tracedlink import pooling_name
from foretell.table import Metric, Observations
from foretell.trajectory.categories import Categories
from foretell.trajectory.losses import RunLosses, TokenLosses
from foretell.trajectory.rule import Category

Array = NDArray[np.float64]


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
    return _observations(values, sorted(set(values["metric"])), like)


def _observations(values: pl.DataFrame, names: Sequence[str], like: Observations) -> Observations:
    described = like.runs.filter(pl.col("name").is_in(values["run"].unique().to_list()))
    return Observations(
        runs=described,
        values=values.sort("run", "D", "metric"),
        metrics={name: Metric(name=name, unit="value") for name in names},
        law_N=like.law_N,
        rows=like.rows,
        final_mean=like.final_mean,
    )


def verdicts(training: Observations, metrics: Sequence[str], loss: str, *, seed: int = 0) -> Observations | None:
    """Make observations of whether one curve in the loss serves all sizes: `pooling/METRIC/ratio`, None without any.

    The value is the error of one curve over that of a curve a size, with its standard error (the 80 % interval's, as of
    a normal), at the end of every run that took part. Only the runs given speak: leave out those that are held out.
    """
    rows, names = [], []
    for metric in metrics:
        try:
            points = training.link(loss, metric)
            lineage = lineages(training, points.run)
            made = compare_pooled(metric, points.input("L"), points.value, points.input("N"), lineage, seed=seed)
        except FitError:  # too few checkpoints: no verdict
            continue
        low, high = made.interval()
        told = {
            "metric": pooling_name(metric),
            "value": made.ratio,
            "stderr": 0.5 * (high - low) / NormalDist().inv_cdf(0.9),
        }
        names.append(pooling_name(metric))
        for run in np.unique(points.run):
            mine = points.run == run
            last = np.flatnonzero(mine)[np.argmax(points.input("D")[mine])]
            rows.append({"run": str(run), "D": points.input("D")[last], "C": points.input("C")[last], **told})
    if not rows:
        return None
    values = pl.DataFrame(rows).with_columns(step=pl.lit(None, dtype=pl.Float64), items=pl.lit(None, dtype=pl.Float64))
    return _observations(values, names, training)


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
