"""FLP: compute to loss by a power law, then loss to accuracy by a straight line (Chen 2024, arXiv 2410.08527)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError
from foretell.fitting import Fit, doubts_of, fit, resample_runs
from foretell.fitting.resample import FEWEST_RUNS
from foretell.forecast import Forecast, Settings, Target, reach_of, within_limits
from foretell.forecast.from_fit import forecast_from_fit, predict_at, target_doubts, with_draws
from foretell.laws import LAWS, Coefficient, Law
from foretell.methods.intermediate import choose_intermediate
from foretell.methods.linkfit import link_at, link_doubts, link_rows, observation_noise
from foretell.methods.lossfit import AUTO
from foretell.table import Metric, Observations, Points

Array = NDArray[np.float64]

EMERGED = 0.05  # above chance: only such checkpoints enter stage 2 (paper, stage 2)
SAME_C = 1e-6  # relative: compute that differs by rounding is one
FEWEST_EMERGED = 3  # rows: one more than the line has coefficients
LINK_STARTS = 2  # a least-squares line has one minimum, and Newton's first step lands in it
ANOTHER_COUNT = 0.05  # by which compute may differ from 6ND before a target without C is doubted

POWER = Law(
    "flp-power",
    "(C_N/C)**alpha",
    {
        "C_N": Coefficient(start=(1e20, 1e30), unit="FLOP"),
        "alpha": Coefficient(start=(0.02, 0.3), unit="1"),
    },
    source="Chen 2024, arXiv 2410.08527, stage 1; its exponent is −alpha",
)


@dataclass(frozen=True)
class Flp:
    """Forecast a loss by (C_N/C)^alpha, and accuracy by a line in that loss through the checkpoints that have emerged.

    `intermediate` is a loss metric, `bpb` for each task's own bits per byte, or `auto`: the study's shared loss.
    `floor` adds a constant to the power law, which the paper does not have. Stage 1 takes the rows that the study fits
    laws to (final values, unless it says otherwise), stage 2 every checkpoint above chance + 5 points, unsmoothed. A
    task with fewer than three such checkpoints is forecast flat, at the mean of what was measured, and a doubt says so:
    the paper leaves such tasks out. A metric that is no share is forecast by stage 1 alone.
    """

    intermediate: str = AUTO
    floor: bool = False

    name = "flp"
    source = "Chen 2024, arXiv 2410.08527"

    def forecast(
        self, observations: Observations, targets: Sequence[Target], metrics: Sequence[str], settings: Settings
    ) -> list[Forecast]:
        """Forecast every metric of every target.

        Raises MethodError where no loss leads to a metric, FitError where rows or runs are too few for stage 1.
        """
        training = observations.training()

        @cache
        def stage_1(loss: str) -> Fit:
            return with_draws(self._fit_power(training.metric(loss), settings), settings)

        made: list[Forecast] = []
        for name in metrics:
            metric = training.metric_named(name)
            loss = choose_intermediate(training, metric, self.intermediate, settings) if metric.is_share else name
            first = stage_1(loss)
            doubts = tuple(doubts_of(first))
            if not metric.is_share:
                made += [
                    forecast_from_fit(first, t, settings, self.name, (*doubts, *_compute_doubts(first, t)))
                    for t in targets
                ]
                continue
            line, found = _fit_line(training, loss, metric, settings)
            made += [self._chain(first, line, metric, t, settings, [*doubts, *found]) for t in targets]
        return made

    def _fit_power(self, points: Points, settings: Settings) -> Fit:
        """Fit stage 1 by least squares on the logarithm, as a line through log L over log C is."""
        law = LAWS["power-C"] if self.floor else POWER
        if (points.value <= 0).any():
            raise FitError(f"{points.metric.name} has values ≤ 0, which no power law in compute gives")
        if np.ptp(np.log(points.input("C"))) < SAME_C:
            raise FitError(
                f"all {len(points)} rows of {points.metric.name} are of one compute, {points.input('C')[0]:.3g} FLOP: "
                "how the loss falls with it cannot be told; train another size or horizon"
            )
        return fit(law, points, objective="gaussian@log", starts=settings.starts, seed=settings.seed)

    def _chain(
        self, first: Fit, line: Fit, metric: Metric, target: Target, settings: Settings, doubts: list[str]
    ) -> Forecast:
        rng = np.random.default_rng([settings.seed, 2])
        loss = predict_at(first, target, settings, rng)
        flip = metric.unit == "error"
        value = link_at(line, line.theta[None, :], np.array([loss.value]))
        draws = np.empty(0)
        if settings.draws:
            theta = line.draws if line.draws is not None else np.tile(line.theta, (settings.draws, 1))
            draws = link_at(line, theta, loss.draws)
            if "noise" in settings.parts:
                draws = draws + _noise(line, metric, draws, rng)
        kept = within_limits(metric, 1.0 - value if flip else value)
        doubts = [*doubts, *link_doubts(line, loss.value), *target_doubts(first, target)]
        doubts += _compute_doubts(first, target)
        if not 0.0 <= value[0] <= 1.0:
            doubts.append(f"the line leaves 0..1 and gives {value[0]:.3g}: brought back, as a line has no ceiling")
        return Forecast(
            target=target,
            metric=metric,
            method=self.name,
            value=float(kept[0]),
            draws=within_limits(metric, 1.0 - draws if flip else draws),
            parts=settings.parts,
            reach=reach_of(first.points, target),
            doubts=tuple(dict.fromkeys(doubts)),
        )


def _fit_line(training: Observations, loss: str, metric: Metric, settings: Settings) -> tuple[Fit, list[str]]:
    """Fit stage 2 to the checkpoints that have emerged, or a flat line to all where too few have; give its doubts."""
    points = link_rows(training, loss, metric)
    doubts = []
    if metric.chance is None:
        doubts.append(f"the chance level of {metric.name} is not known: 0 was taken for the emergence threshold")
    threshold = (metric.chance or 0.0) + EMERGED
    emerged = points.value > threshold
    law = LAWS["linear"]
    if emerged.sum() < FEWEST_EMERGED or np.ptp(points.input("L")[emerged]) == 0:
        law = LAWS["flat"]
        doubts.append(
            f"only {int(emerged.sum())} of {len(points)} checkpoints of {metric.name} lie above {threshold:.1%}, "
            "chance + 5 points, which are too few for a line"
        )
    else:
        points = points.take(emerged)
    made = fit(law, points, objective="gaussian@linear", starts=LINK_STARTS, seed=settings.seed)
    if points.run_count < FEWEST_RUNS:
        doubts.append(
            f"the checkpoints of {metric.name} that emerged are of {points.run_count} runs only: how much runs differ "
            "cannot be told, so the interval leaves it out"
        )
    elif settings.draws and "coefficients" in settings.parts:
        made = resample_runs(made, settings.draws, seed=settings.seed)
    if law.name == "linear" and made.coefficients["w1"] > 0:
        doubts.append(f"{metric.name} gets worse as {loss} falls (inverse scaling): the line is carried on as it is")
    return made, doubts


def _noise(line: Fit, metric: Metric, share: Array, rng: np.random.Generator) -> Array:
    """Draw the noise (B,) of an observed share; of too few runs for a spread of its own, the residuals' spread."""
    if line.points.run_count >= FEWEST_RUNS:
        return observation_noise(line, metric, share, rng)
    noise: Array = line.spread * rng.normal(size=len(share))
    return noise


def _compute_doubts(first: Fit, target: Target) -> list[str]:
    """Doubt a target whose compute must be guessed as 6ND where the runs count theirs in another way."""
    if target.C is not None:
        return []
    inputs = first.points.inputs
    ratio = float(np.median(inputs["C"] / (6.0 * inputs["N"] * inputs["D"])))
    if abs(ratio - 1.0) < ANOTHER_COUNT:
        return []
    return [f"the target's compute is taken as 6ND, but the runs' is {ratio:.2f} × 6ND; give the target's C"]
