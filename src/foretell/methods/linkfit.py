"""The fit of a link from a loss to a share: where there is a signal, and what is said where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from foretell.errors import MethodError
from foretell.fitting import Fit, fit, resample_runs
from foretell.fitting.resample import spread_draws
from foretell.forecast import Settings
from foretell.laws import LAWS
from foretell.table import Metric, Observations, Points

Array = NDArray[np.float64]

DROPPED = 0.1  # of each run's checkpoints, before the link is fitted (released code, get_step2_data)
SMOOTHED = 5  # checkpoints in the moving average on both axes (released code, get_step2_data)
SLOPE_T = 3.0  # standard errors by which accuracy must rise as the loss falls; chosen by hold-outs inside four ladders
FEWEST_FOR_SLOPE = 4
SPARSE_STARTS = 8
LINK_STARTS = 16  # measured on the OLMo ladder: over 80 % of the starts of every link end in one place
IDEAL = {"L": 0.0}  # where accuracy is 1: the paper's extra point; worth 2 points of error on its own ladder


def smoothed(training: Observations) -> Observations:
    """Smooth the checkpoints as the paper does, where runs have checkpoints to smooth."""
    per_run = training.values.group_by("run", "metric").len()["len"].to_numpy()
    if np.median(per_run) < 2 * SMOOTHED:  # final values only, or nearly so
        return training
    return training.drop_first(DROPPED).moving_average(SMOOTHED)


def fit_link(
    points: Points, link: str, settings: Settings, *, signal: bool, ideal_point: bool, sparse: bool = False
) -> Fit:
    """Fit a link to all checkpoints by least squares; without a signal, the flat one.

    `points` are the rows as `link_rows` gives them of smoothed runs, with chance, and `signal` is what `has_signal`
    says of them; a `sparse` fit, for hold-outs, starts from fewer places. Raises FitError when rows are too few.
    """
    if signal and ideal_point:
        points = points.with_known(IDEAL, 1.0)
    starts = min(settings.starts, SPARSE_STARTS if sparse else LINK_STARTS)
    law = LAWS[link if signal else "flat"]
    return fit(law, points, objective="gaussian@linear", starts=starts, seed=settings.seed)


def thinned(points: Points) -> Points:
    """Keep every fifth checkpoint of a run, counted from its last: smoothed neighbours say the same."""
    D = points.input("D")
    kept: list[int] = []
    for run in dict.fromkeys(points.run):
        rows = np.flatnonzero(points.run == run)
        rows = rows[np.argsort(D[rows], kind="stable")]
        kept += (rows[::-1][::SMOOTHED] if len(rows) >= 2 * SMOOTHED else rows).tolist()
    return points.take(np.array(sorted(kept), dtype=np.intp))


def link_rows(observations: Observations, loss: str, metric: Metric) -> Points:
    """Give the checkpoints on which loss and share were both measured, an error as the accuracy it leaves.

    Raises MethodError when there are none.
    """
    points = observations.link(loss, metric.name)
    if not len(points):
        raise MethodError(
            f"{loss} and {metric.name} were never measured on the same checkpoint; choose another --intermediate"
        )
    return replace(points, value=1.0 - points.value) if metric.unit == "error" else points


def with_link_draws(made: Fit, settings: Settings, count: int | None = None) -> Fit:
    """Give a link the draws that its forecast needs (`count`, by default the settings'), resampled by run."""
    draws = settings.draws if count is None else count
    if not draws or "coefficients" not in settings.parts or made.points.run_count < 3:
        return made
    return resample_runs(made, draws, seed=settings.seed)


def link_at(made: Fit, theta: Array, loss: Array) -> Array:
    """Compute a link (B,) with coefficients (B, p) at losses (B,), or one of either for all."""
    B = max(len(theta), len(loss))
    columns = {name: np.broadcast_to(theta[:, i], B) for i, name in enumerate(made.law.coefficients)}
    chance = np.full(B, made.points.metric.chance or 0.0)
    return made.law.value(columns, {"L": np.broadcast_to(loss, B), "chance": chance})


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
    return falls_with(x, y)


def falls_with(x: Array, share: Array) -> bool:
    """Say whether a share falls surely as x rises: by SLOPE_T standard errors, over FEWEST_FOR_SLOPE rows at least."""
    if len(x) < FEWEST_FOR_SLOPE or np.ptp(x) == 0 or np.ptp(share) == 0:
        return False
    r = float(np.corrcoef(x, share)[0, 1])
    return bool(-r * np.sqrt((len(x) - 2) / max(1.0 - r * r, 1e-12)) > SLOPE_T)


def worsens(points: Points) -> bool:
    """Say whether accuracy falls as the loss falls, over the ends of the runs."""
    upside = replace(points, value=1.0 - points.value)
    return has_signal(upside)


def link_doubts(made: Fit, loss: float) -> list[str]:
    """List the doubts about a link at a loss: no signal in the data, or a loss far below them."""
    measured = made.points.value[~made.points.known]
    if made.law.name == "flat":
        chance = made.points.metric.chance
        named = "" if chance is None else f"; chance is {chance:.1%}"
        scores = f"({measured.min():.1%} to {measured.max():.1%}{named})"
        if worsens(made.points.take(~made.points.known)):
            return [
                f"gets worse as the loss falls (inverse scaling): accuracy {scores}; "
                "the forecast stays at the runs' mean, and may fall further"
            ]
        return [
            f"no signal yet: accuracy {scores} does not rise as the loss falls over these runs; "
            "the forecast stays at their mean, and the task may still emerge"
        ]
    losses = made.points.input("L")[~made.points.known]
    if loss < losses.min() - np.ptp(losses):
        return ["the loss forecast lies further below the data than the data are wide: the link is carried far"]
    return []
