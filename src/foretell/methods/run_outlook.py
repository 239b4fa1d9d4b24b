"""The outlook of a run of a study: by the schedule law where learning rates are known, else by its kin's curve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from foretell.errors import MethodError
from foretell.forecast import Settings
from foretell.methods.family_curve import Kin, Rest, kin_of, rest_of
from foretell.methods.in_progress import Lent, Outlook, family_of, outlook, risen, watch
from foretell.methods.leaving import Watch
from foretell.methods.leaving import watch as watch_curve
from foretell.methods.part_curve import Decay, PartCurve, carried_on, curves_of_study
from foretell.table import Observations

Array = NDArray[np.float64]


def outlook_of_run(
    observations: Observations, run: str, metric: str, *, upto: float, D: float, end: tuple[float, float] | None,
    rate: float, settings: Settings, decay: Decay = "constant", final: float = 0.0,
) -> tuple[Outlook, Watch]:  # fmt: skip
    """Forecast the rest of a run that ends at D tokens, and test it against what was forecast earlier.

    `end` is what a loss law says of its end; `decay` to `final` of the peak says how a recorded learning rate goes on
    after its last record. Raises MethodError where neither learning rates nor kin are known.
    """
    if not 0 < upto <= 1:
        raise MethodError(f"upto is {upto}; it is the share of the run that is seen, above 0 and at most 1")
    curves = curves_of_study(observations, metric)
    kept = observations.training()
    ended = {str(name) for name in kept.runs["name"]} - {run}
    if run in curves:
        part = curves[run]
        last = observations.only_runs([run]).only_metrics([metric]).values["D"].max()
        steps = round(len(part.schedule) * max(1.0, D / float(str(last))))
        part = carried_on(part, steps, decay, final)
        lent = replace(family_of([curve for name, curve in curves.items() if name in ended]), end=end)
        return outlook_of_curve(part.upto(upto), lent, rate, settings)
    kin = {one.name: one for one in kin_of(observations, metric)}
    if run not in kin:
        raise MethodError(f"{run} has fewer than two measurements of {metric}; there is no curve to carry on")
    return _by_kin(_towards(kin[run], D), upto, [kin[name] for name in sorted(ended & set(kin))], end, rate, settings)


def outlook_of_curve(part: PartCurve, lent: Lent, rate: float, settings: Settings) -> tuple[Outlook, Watch]:
    """Forecast the rest of one curve by the schedule law, and test it against what was forecast earlier."""
    made = outlook(part, lent=lent, draws=settings.draws, seed=settings.seed)
    return made, watch(part, lent=lent, rate=rate, draws=min(200, settings.draws), seed=settings.seed)


def _by_kin(
    run: Kin, upto: float, kin: list[Kin], end: tuple[float, float] | None, rate: float, settings: Settings
) -> tuple[Outlook, Watch]:
    seen = run.share <= upto * (1 + 1e-9)
    if not seen.any():
        raise MethodError(f"nothing of {run.name} was measured in the first {upto:.0%} of its length")
    share = float(run.share[seen][-1])
    length = run.N * run.M
    # tested against its own earlier curve and its kin, not against the law: a poor law is no fault of the run
    tested = watch_curve(run.share[seen], np.exp(run.log_loss[seen]), 1.0, _forecaster(run, kin), rate=rate)
    if share >= 1.0:
        last = float(np.exp(run.log_loss[-1]))
        return _ended(run.name, last, length, settings), tested
    rest = rest_of(run, share, kin, end=end)
    doubts = _doubts(rest, rest_of(run, share, kin), end, share)
    doubts += [rise] if (rise := risen(np.exp(run.log_loss[seen]))) else []
    made = Outlook(
        run.name, share, rest.share * length, np.exp(rest.log_loss), rest.draws(settings.draws, settings.seed), 0.0,
        doubts=tuple(doubts), axis="D",
    )  # fmt: skip
    return made, tested


def _forecaster(run: Kin, kin: list[Kin]) -> Callable[[float, Array], tuple[Array, Array]]:
    def forecast(seen: float, ahead: Array) -> tuple[Array, Array]:
        rest = rest_of(run, seen, kin, ahead)
        return rest.log_loss, rest.spread

    return forecast


def _doubts(rest: Rest, alone: Rest, end: tuple[float, float] | None, share: float) -> list[str]:
    doubts = [f"the curve is that of {rest.kin} runs of the study, taken to follow the same schedule"]
    if share < 0.1:
        doubts.append(f"only {share:.0%} of the run has been seen")
    if end is not None:
        value, spread = alone.end
        apart = abs(np.log(value / end[0])) / np.hypot(spread, end[1])
        if apart > 2.5:
            doubts.append(
                f"the curve itself points to {value:.4g} at the end, the ladder to {end[0]:.4g}: {apart:.1f} standard "
                "deviations apart"
            )
    return doubts


def _ended(name: str, last: float, length: float, settings: Settings) -> Outlook:
    draws = np.full((max(1, settings.draws), 1), last)
    return Outlook(name, 1.0, np.array([length]), np.array([last]), draws, 0.0, axis="D", doubts=("the run has ended",))


def _towards(run: Kin, D: float) -> Kin:
    """Give a run's curve as shares of the D it will end at."""
    whole = run.N * run.M
    if D < 0.999 * whole * run.share[-1]:
        raise MethodError(
            f"{run.name} has already seen {whole * run.share[-1]:.4g} tokens; it cannot end at D = {D:.4g}: give a "
            "larger D"
        )
    return replace(run, share=run.share * whole / D, M=D / run.N)
