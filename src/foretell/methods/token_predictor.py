"""Does the distribution of token losses foretell a task better than the validation loss alone?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.errors import ForetellError, MethodError
from foretell.forecast import Settings
from foretell.judge.split import splits_of
from foretell.methods.floored_sigmoid import FlooredSigmoid, fit_floored_sigmoid, floor_limit
from foretell.methods.lossfit import AUTO, fit_loss
from foretell.table import Metric, Observations

Array = NDArray[np.float64]

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
MEAN = "tokens/mean"


def quantile_name(q: float) -> str:
    """Name the metric of a quantile: tokens/q10."""
    return f"tokens/q{round(100 * q):02d}"


ALONE = "loss"
TOKENS = (MEAN, *(quantile_name(q) for q in QUANTILES))
CANDIDATES: Mapping[str, tuple[str, ...]] = {
    ALONE: (),
    "median": (quantile_name(0.5),),
    "tails": (quantile_name(0.1), quantile_name(0.9)),
    "quantiles": tuple(quantile_name(q) for q in QUANTILES),
}  # what stands beside the validation loss; fixed before any was tried
LOOSE, TIGHT = 1e-3, 0.03  # penalties of the loss's slope and of the others': the loss leads, quantiles correct it
NOTHING = 1e-3  # of its spread: a quantile that the loss explains so far has nothing to add
SURE = 0.95  # of the interval of the difference: three candidates, so one is kept by chance in 13 studies
WORTH = 1e-4  # of accuracy: a gain below a hundredth of a point is none, however sure
DRAWS = 2000


@dataclass(frozen=True)
class TokenPredictor:
    """Hold what hold-outs say of one candidate: errors of accuracy against those of the validation loss alone.

    `observed` is the mean |error| where loss and quantiles of the hidden runs are known, `forecast` where laws in N and
    D foretell them too: what a forecast would meet. `alone` is that of the loss alone, `difference` candidate − alone
    (forecast) with `draws` by resampling hidden runs. `kept` says whether that is surely below nought.
    """

    name: str
    observed: float
    observed_alone: float
    forecast: float
    alone: float
    draws: Array
    hidden: int

    @property
    def beside(self) -> tuple[str, ...]:
        """Name the metrics that stand beside the validation loss."""
        return CANDIDATES[self.name]

    @property
    def difference(self) -> float:
        """Give the candidate's error less that of the loss alone."""
        return self.forecast - self.alone

    def interval(self, level: float = 0.8) -> tuple[float, float]:
        """Give the central interval of the difference."""
        tail = 50.0 * (1.0 - level)
        low, high = np.percentile(self.draws, [tail, 100.0 - tail])
        return float(low), float(high)

    @property
    def kept(self) -> bool:
        """Say whether the candidate surely helps (95 %)."""
        return self.interval(SURE)[1] < 0 and self.difference < -WORTH


def compare_predictors(
    observations: Observations, loss: str, tasks: list[str], settings: Settings | None = None
) -> list[TokenPredictor]:
    """Compare links from the validation loss and token quantiles to accuracies by progressive hold-outs.

    `observations` hold both (see `summaries`). Each split fits floored sigmoids to all checkpoints of the runs of least
    compute, and asks about the ends of the others. Raises MethodError where no split can be made.
    """
    settings = settings or Settings(draws=0, starts=16)
    training = observations.training()
    try:
        splits = splits_of(training, "C")
    except ForetellError as error:
        raise MethodError(f"token predictors cannot be compared: {error}") from None
    rows: dict[str, list[tuple[str, float, float]]] = {name: [] for name in CANDIDATES}
    for split in splits:
        inputs = [loss, *TOKENS[1:]]
        laws = {name: fit_loss(split.fit.metric(name), AUTO, settings).made for name in inputs}
        for task in tasks:
            metric = training.metric_named(task)
            fitted, hidden = _rows(split.fit, loss, task), _ends(_rows(split.test, loss, task))
            if len(fitted) < 8 or not len(hidden):
                continue
            points = split.test.metric(loss)
            place = {str(run): i for i, run in enumerate(points.run)}
            at = [place[run] for run in hidden["run"]]
            foretold = {name: laws[name].predict(points.inputs)[at] for name in inputs}
            for name, beside in CANDIDATES.items():
                known = hidden.select(pl.col(loss), *beside).to_numpy()
                guess = np.column_stack([foretold[column] for column in (loss, *beside)])
                link = fit_token_link(fitted, loss, beside, metric)
                seen, told = (link.share(inputs)[0] for inputs in (known, guess))
                truth = hidden[task].to_numpy()
                rows[name] += [
                    (run, float(a), float(b))
                    for run, a, b in zip(hidden["run"], np.abs(seen - truth), np.abs(told - truth), strict=True)
                ]
    if not rows[ALONE]:
        raise MethodError("no hidden run has both accuracies and token losses; trace more runs")
    return [_score(name, rows[name], rows[ALONE], settings.seed) for name in CANDIDATES if name != ALONE]


def _rows(part: Observations, loss: str, task: str) -> pl.DataFrame:
    """Give the checkpoints on which loss, quantiles and task were all measured, a column each."""
    names = [loss, task, *TOKENS]
    wide = part.values.filter(pl.col("metric").is_in(names)).pivot("metric", index=["run", "D"], values="value")
    absent = set(names) - set(wide.columns)
    return wide.clear() if absent else wide.drop_nulls(names).sort("run", "D")


def _ends(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sort("run", "D").group_by("run", maintain_order=True).last() if len(rows) else rows


@dataclass(frozen=True)
class TokenInputs:
    """Turn loss and q quantiles into what a link sums: the loss, and what it leaves of the quantiles.

    `explained` (3, q) is what a parabola in the loss says of the quantiles, `scale` (q,) the spread of what is left.
    """

    middle: float
    width: float
    explained: Array
    scale: Array

    def of(self, z: Array) -> Array:
        """Give the inputs of the sigmoid at loss and quantiles (…, 1 + q)."""
        left = z[..., 1:] - _parabola(z[..., 0]) @ self.explained
        return np.concatenate([(z[..., :1] - self.middle) / self.width, left / self.scale], axis=-1)


@dataclass(frozen=True)
class TokenLink:
    """Hold a floored sigmoid of a loss and of what quantiles say beyond it, fitted B times over."""

    made: FlooredSigmoid
    inputs: TokenInputs

    def share(self, z: Array) -> Array:
        """Compute the shares (B, m) at loss and quantiles (m, 1 + q), the same for every fit, or (B, m, 1 + q)."""
        return self.made.predict(self.inputs.of(z))


def fit_token_link(
    rows: pl.DataFrame, loss: str, beside: tuple[str, ...], metric: Metric, weights: Array | None = None
) -> TokenLink:
    """Fit a link on rows that have a column for loss, quantiles and share; once for each row of `weights` (B, n)."""
    x, y = rows.select(pl.col(loss), *beside).to_numpy(), rows[metric.name].to_numpy()
    line = _parabola(x[:, 0])
    explained = np.linalg.lstsq(line, x[:, 1:], rcond=None)[0]
    scale = (x[:, 1:] - line @ explained).std(axis=0)
    scale = np.where(scale > NOTHING * x[:, 1:].std(axis=0), scale, np.inf)
    inputs = TokenInputs(float(x[:, 0].mean()), float(x[:, 0].std()) or 1.0, explained, scale)
    penalty = np.array([LOOSE, *[TIGHT] * len(beside)]) * len(x)
    made = fit_floored_sigmoid(inputs.of(x), y, penalty, limit=floor_limit(y, metric.chance), weights=weights)
    return TokenLink(made, inputs)


def _parabola(loss: Array) -> Array:
    return np.stack([np.ones_like(loss), loss, loss**2], axis=-1)


def _score(
    name: str, rows: list[tuple[str, float, float]], alone: list[tuple[str, float, float]], seed: int
) -> TokenPredictor:
    runs = sorted({run for run, _, _ in rows})
    index = np.array([runs.index(run) for run, _, _ in rows])
    gain = np.array([told - other for (_, _, told), (_, _, other) in zip(rows, alone, strict=True)])
    weights = np.random.default_rng(seed).multinomial(len(runs), np.full(len(runs), 1.0 / len(runs)), size=DRAWS)
    sums, counts = np.bincount(index, gain, len(runs)), np.bincount(index, minlength=len(runs))
    return TokenPredictor(
        name=name,
        observed=float(np.mean([seen for _, seen, _ in rows])),
        observed_alone=float(np.mean([seen for _, seen, _ in alone])),
        forecast=float(np.mean([told for _, _, told in rows])),
        alone=float(np.mean([told for _, _, told in alone])),
        draws=(weights @ sums) / np.maximum(weights @ counts, 1),
        hidden=len(runs),
    )
