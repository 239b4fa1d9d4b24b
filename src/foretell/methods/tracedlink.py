"""What a traced study tells a link from loss to share: whether sizes part, and whether token losses add to the mean."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.errors import FitError, ForetellError, MethodError
from foretell.forecast import Settings
from foretell.forecast.from_fit import Prediction
from foretell.methods.pooled import compare_pooled, lineages
from foretell.methods.token_predictor import MEAN, TokenLink, TokenPredictor, compare_predictors, fit_token_link
from foretell.table import Metric, Observations, Points

Array = NDArray[np.float64]

HOLD_OUT_STARTS = 16
TOO_FEW = "untested: {why}; one link serves all sizes"


@dataclass(frozen=True)
class Told:
    """Hold what a trace tells: whether the link has a term in size, the token quantiles beside its loss, and why."""

    sized: bool = False
    beside: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    reason: str = ""


def pooling_name(metric: str) -> str:
    """Name the summary of a trace that holds the error of one curve over that of a curve a size."""
    return f"pooling/{metric}/ratio"


def is_traced(training: Observations, metric: str) -> bool:
    """Say whether a study carries a pooling verdict on a metric."""
    return pooling_name(metric) in training.metrics


def told_by_trace(training: Observations, loss: str, metric: Metric, points: Points, settings: Settings) -> Told:
    """Renew the trace's tests on the runs given: a verdict that knew a hidden run would flatter a hold-out.

    Where one curve in the loss errs surely more than a curve a size (80 %), the link gets a term in ln N. Token
    quantiles stand beside the loss where progressive hold-outs inside the runs say that they surely help (95 %); one
    that does is taken in place of a term in size, since both speak of what the mean loss leaves out. `points` are the
    link's rows. A metric without a verdict of a trace is told nothing.
    """
    if not is_traced(training, metric.name):
        return Told()
    kept = _kept(training, loss, settings)
    if kept is not None:
        low, high = kept.interval()
        said = (
            f"beside {loss} the link reads token losses ({kept.name}): |error| {100 * kept.forecast:.2f} points on "
            f"hold-outs, {100 * kept.alone:.2f} without (difference {100 * kept.difference:+.2f} "
            f"[{100 * low:+.2f}, {100 * high:+.2f}])"
        )
        return Told(beside=kept.beside, reason=said)
    try:
        made = compare_pooled(
            metric.name, points.input("L"), points.value, points.input("N"), lineages(training, points.run)
        )
    except FitError as error:
        return Told(reason=TOO_FEW.format(why=error))
    low, high = made.interval()
    ratio = f"errs {made.ratio:.2f} [{low:.2f}, {high:.2f}] times as much as a curve for each"
    if made.one_fits_all():
        return Told(reason=f"one link serves all sizes: one curve in {loss} {ratio}")
    said = f"sizes differ at equal loss: one curve in {loss} {ratio}; the link has a term in ln N"
    return Told(sized=True, doubts=(said,), reason=said)


def _kept(training: Observations, loss: str, settings: Settings) -> TokenPredictor | None:
    """Give the best of the token predictors that hold-outs keep, over the accuracies that were traced."""
    if MEAN not in training.metrics:
        return None
    tasks = [m.name for m in training.metrics.values() if m.unit == "accuracy" and is_traced(training, m.name)]
    quick = replace(settings, draws=0, starts=min(settings.starts, HOLD_OUT_STARTS))
    try:
        found = [one for one in compare_predictors(training, loss, tasks, quick) if one.kept]
    except ForetellError:  # too few runs for a hold-out: nothing is kept
        return None
    return min(found, key=lambda one: (one.forecast, one.name)) if found else None


@dataclass(frozen=True)
class TokenForecast:
    """Forecast a share from a loss and quantiles of the tokens' losses, each foretold by its own law in N and D."""

    link: TokenLink
    resampled: TokenLink | None
    items: float | None
    spread: float

    def at(self, reached: list[Prediction], settings: Settings, rng: np.random.Generator) -> tuple[float, Array]:
        """Give value and draws (B,) of the share where loss and quantiles are what was foretold, in order."""
        value = float(self.link.share(np.array([[one.value for one in reached]]))[0, 0])
        if not settings.draws:
            return value, np.empty(0)
        inputs = np.column_stack([one.draws for one in reached])
        draws = self.link.share(inputs)[0]
        if self.resampled is not None:
            draws = self.resampled.share(inputs[:, None, :])[:, 0]
        if "noise" in settings.parts:
            p = np.clip(draws, 0.0, 1.0)
            counted = p * (1.0 - p) / self.items if self.items else 0.0
            draws = draws + np.sqrt(np.maximum(self.spread**2, counted)) * rng.normal(size=len(draws))
        return value, draws


def fit_token_forecast(
    training: Observations, loss: str, beside: tuple[str, ...], metric: Metric, settings: Settings
) -> TokenForecast:
    """Fit the link on every checkpoint with loss, quantiles and share; resampled by lineage where draws are asked for.

    Raises MethodError where no checkpoint has them all, or the metric is an error.
    """
    if metric.unit == "error":
        raise MethodError(f"{metric.name} is an error; a link with token losses is of accuracies")
    rows = _wide(training, [loss, *beside, metric.name])
    if not len(rows):
        raise MethodError(f"no checkpoint has {metric.name}, {loss} and {', '.join(beside)}; trace the study again")
    made = fit_token_link(rows, loss, beside, metric)
    resampled = None
    names, index = np.unique(lineages(training, rows["run"].to_numpy().astype(np.str_)), return_inverse=True)
    if settings.draws and "coefficients" in settings.parts and len(names) > 2:
        rng = np.random.default_rng([settings.seed, 7])
        weights = rng.multinomial(len(names), np.full(len(names), 1.0 / len(names)), size=settings.draws)
        resampled = fit_token_link(rows, loss, beside, metric, weights[:, index].astype(np.float64))
    left = made.share(rows.select(loss, *beside).to_numpy())[0] - rows[metric.name].to_numpy()
    return TokenForecast(made, resampled, metric.items, float(np.sqrt(np.mean(left**2))))


def _wide(training: Observations, names: list[str]) -> pl.DataFrame:
    wide = training.values.filter(pl.col("metric").is_in(names)).pivot("metric", index=["run", "D"], values="value")
    return wide.clear() if set(names) - set(wide.columns) else wide.drop_nulls(names).sort("run", "D")
