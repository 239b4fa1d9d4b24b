"""Two steps: a law from N and D to a loss, then a link from that loss to accuracy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foretell.errors import MethodError
from foretell.fitting import Fit, fit, resample_runs
from foretell.fitting.resample import spread_draws
from foretell.forecast import Forecast, Settings, Target, reach_of, within_limits
from foretell.forecast.from_fit import forecast_from_fit, predict_at, target_doubts, with_draws
from foretell.laws import LAWS
from foretell.methods.intermediate import choose_intermediate
from foretell.methods.lossfit import LossFit, fit_loss
from foretell.table import Metric, Observations, Points

Array = NDArray[np.float64]

DROPPED = 0.1  # of each run's checkpoints, before the link is fitted (released code, get_step2_data)
SMOOTHED = 5  # checkpoints in the moving average on both axes (released code, get_step2_data)
SLOPE_T = 3.0  # standard errors by which accuracy must rise as the loss falls; chosen by hold-outs inside four ladders
FEWEST_FOR_SLOPE = 4
LINK_STARTS = 16  # measured on the OLMo ladder: over 80 % of the starts of every link end in one place
IDEAL = {"L": 0.0}  # where accuracy is 1: the paper's extra point; worth 2 points of error on its own ladder


@dataclass(frozen=True)
class TwoStep(ABC):
    """Forecast accuracy in two steps: N and D to an intermediate loss, that loss to accuracy.

    `intermediate` is a loss metric shared by all tasks (`c4/loss`), `bpb` for each task's own bits per byte, or `auto`:
    the study's shared loss. `law` is a loss law or `auto`, `link` a link of the catalogue; `ideal_point` adds
    accuracy 1 at loss 0 to the link's rows. A loss metric is forecast by the first step alone.
    """

    law: str
    link: str
    intermediate: str
    ideal_point: bool

    @property
    @abstractmethod
    def name(self) -> str:
        """Give the method's name."""

    @property
    @abstractmethod
    def source(self) -> str:
        """Give the method's paper."""

    def forecast(
        self, observations: Observations, targets: Sequence[Target], metrics: Sequence[str], settings: Settings
    ) -> list[Forecast]:
        """Forecast every metric of every target; raises MethodError where no loss leads to a metric."""
        training = observations.training()
        steps: dict[str, LossFit] = {}

        def step(name: str) -> LossFit:
            if name not in steps:
                found = fit_loss(training.metric(name), self.law, settings)
                steps[name] = replace(found, made=with_draws(found.made, settings))
            return steps[name]

        shares = [metric for name in metrics if (metric := training.metric_named(name)).is_share]
        through = {m.name: choose_intermediate(training, m, self.intermediate, settings) for m in shares}
        smooth = _for_links(training.only_metrics({*through, *through.values()})) if shares else training
        made: list[Forecast] = []
        for name in metrics:
            metric = training.metric_named(name)
            if not metric.is_share:
                first = step(name)
                made += [forecast_from_fit(first.made, t, settings, self.name, first.doubts) for t in targets]
                continue
            first = step(through[name])
            second = self._fit_link(smooth, through[name], metric, settings)
            made += [self._chain(first, second, metric, target, settings) for target in targets]
        return made

    def _fit_link(self, smooth: Observations, loss: str, metric: Metric, settings: Settings) -> Fit:
        """Fit the link on all checkpoints by least squares, resampled by run.

        Raises MethodError when loss and share were never measured together, FitError when rows are too few.
        """
        points = smooth.link(loss, metric.name)
        if not len(points):
            raise MethodError(
                f"{loss} and {metric.name} were never measured on the same checkpoint; choose another --intermediate"
            )
        if metric.unit == "error":
            points = replace(points, value=1.0 - points.value)
        signal = has_signal(points)
        if signal and self.ideal_point:
            points = points.with_known(IDEAL, 1.0)
        law = LAWS[self.link if signal else "flat"]
        starts = min(settings.starts, LINK_STARTS)
        made = fit(law, points, objective="gaussian@linear", starts=starts, seed=settings.seed)
        if settings.draws and "coefficients" in settings.parts and points.run_count > 2:
            made = resample_runs(made, settings.draws, seed=settings.seed)
        return made

    def _chain(self, first: LossFit, second: Fit, metric: Metric, target: Target, settings: Settings) -> Forecast:
        rng = np.random.default_rng([settings.seed, 2])
        loss = predict_at(first.made, target, settings, rng)
        flip = metric.unit == "error"
        value = link_at(second, second.theta[None, :], np.array([loss.value]))
        draws = np.empty(0)
        if settings.draws:
            theta = second.draws if second.draws is not None else np.tile(second.theta, (settings.draws, 1))
            draws = link_at(second, theta, loss.draws)
            if "noise" in settings.parts:
                draws = draws + observation_noise(second, metric, draws, rng)
        doubts = [*first.doubts, *link_doubts(second, loss.value)]
        doubts += target_doubts(first.made, target)
        return Forecast(
            target=target,
            metric=metric,
            method=self.name,
            value=float(within_limits(metric, 1.0 - value if flip else value)[0]),
            draws=within_limits(metric, 1.0 - draws if flip else draws),
            parts=settings.parts,
            reach=reach_of(first.made.points, target),
            doubts=tuple(dict.fromkeys(doubts)),
        )


def _for_links(training: Observations) -> Observations:
    """Smooth the checkpoints as the paper does, where runs have checkpoints to smooth."""
    per_run = training.values.group_by("run", "metric").len()["len"].to_numpy()
    if np.median(per_run) < 2 * SMOOTHED:  # final values only, or nearly so
        return training
    return training.drop_first(DROPPED).moving_average(SMOOTHED)


def link_at(made: Fit, theta: Array, loss: Array) -> Array:
    """Compute a link (B,) with coefficients (B, p) at losses (B,), or one of either for all."""
    B = max(len(theta), len(loss))
    columns = {name: np.broadcast_to(theta[:, i], B) for i, name in enumerate(made.law.coefficients)}
    chance = made.points.metric.chance
    inputs = {} if chance is None else {"chance": np.full(B, chance)}
    return made.law.value(columns, {"L": np.broadcast_to(loss, B), **inputs})


def observation_noise(made: Fit, metric: Metric, share: Array, rng: np.random.Generator) -> Array:
    """Draw the noise (B,) of an observed share: the link's own spread, and at least that of sampling n items."""
    spread = spread_draws(made, len(share), rng)
    if metric.items is not None:
        p = np.clip(share, 0.0, 1.0)
        spread = np.sqrt(np.maximum(spread**2, p * (1.0 - p) / metric.items))
    noise: Array = spread * rng.normal(size=len(share))
    return noise


def has_signal(points: Points) -> bool:
    """Say whether accuracy rises as the loss falls over the ends of the runs."""
    D = points.input("D")
    ends = np.array(
        [rows[np.argmax(D[rows])] for run in set(points.run) if len(rows := np.flatnonzero(points.run == run))]
    )
    if len(ends) < FEWEST_FOR_SLOPE:  # too few runs: every checkpoint must do
        ends = np.arange(len(points))
    x, y = points.input("L")[ends], points.value[ends]
    if len(ends) < FEWEST_FOR_SLOPE or np.ptp(x) == 0 or np.ptp(y) == 0:
        return False
    r = float(np.corrcoef(x, y)[0, 1])
    t = -r * np.sqrt((len(ends) - 2) / max(1.0 - r * r, 1e-12))
    return bool(t > SLOPE_T)


def link_doubts(made: Fit, loss: float) -> list[str]:
    """List the doubts about a link at a loss: no signal in the data, or a loss far below them."""
    measured = made.points.value[~made.points.known]
    if made.law.name == "flat":
        chance = made.points.metric.chance
        named = "" if chance is None else f", chance is {chance:.1%}"
        best = f"the runs score {measured.min():.1%} to {measured.max():.1%}{named}"
        return [f"no signal yet: {best}; the forecast stays at their mean, and the task may still emerge"]
    losses = made.points.input("L")[~made.points.known]
    if loss < losses.min() - np.ptp(losses):
        return ["the loss forecast lies further below the data than the data are wide: the link is carried far"]
    return []
