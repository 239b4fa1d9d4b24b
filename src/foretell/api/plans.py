"""Plans: which runs to train for a target, from quantities as people write them."""

from __future__ import annotations

from foretell.errors import LadderError
from foretell.forecast import Settings
from foretell.ladder import (
    DEVICES,
    Aim,
    Device,
    Lens,
    NextRun,
    Plan,
    Prior,
    Request,
    aim_at,
    device_named,
    make_plan,
    parse_budget,
    prior_of,
    rank_next,
    shipped_prior,
    with_precision,
)  # fmt: skip
from foretell.table import Observations
from foretell.units import parse_count, parse_tokens

CPU_BELOW = 1e16  # FLOP of a target: what one core trains in a day (1e11 FLOP/s, see ladder.devices)


def plan(
    N: str | float,
    D: str | float,
    budget: str | float = "1%",
    *,
    request: Request | None = None,
    device: str = "",
    law: str = "",
    tied: bool | None = None,
) -> Plan:
    """Choose the sizes and horizons that leave a target least in doubt: `plan("7B", "4T", "1%")`.

    N counts parameters without embeddings, D training tokens; `budget` is FLOP, or a share of the target's training.
    `request` says what the ladder shall look like, `device` is h100, a100, … or cpu (by default chosen by the target's
    size), `law` what the loss is believed to follow. Nothing is trained. Raises LadderError where the budget is too
    small, UnitError for what cannot be read, UnknownName for another device or law.
    """
    asked = request or Request()
    aim = _aim(N, D, asked, tied)
    asked = with_precision(asked, device_for(aim, device))
    return make_plan(aim, parse_budget(budget, aim), asked, shipped_prior(asked.rungs * asked.horizons, law))


def next_runs(
    observations: Observations,
    N: str | float,
    D: str | float,
    budget: str | float = "1%",
    *,
    metric: str = "",
    law: str = "",
    request: Request | None = None,
    device: str = "",
    tied: bool | None = None,
) -> list[NextRun]:
    """Rank the single runs that would add most to the runs there are, best first, for a target of N and D.

    `metric` is the loss planned for (the only one, or the one that tasks share), `law` the law it is fitted with. Each
    run costs at most `budget`. Raises LadderError where no run fits the budget or helps, and for several losses.
    """
    asked = request or Request()
    prior, there = study_prior(observations, metric, law)
    aim = _aim(N, D, asked, tied, in_N_total=prior.in_N_total)
    asked = with_precision(asked, device_for(aim, device))
    spend = parse_budget(budget, aim)
    lens = Lens(prior, aim.N, aim.D)
    ranked = rank_next(lens, lens.known, prior.rows, aim, asked, spend, there)
    if not ranked:
        raise LadderError(f"no single run fits a budget of {spend:.3g} FLOP, or none that does would help; raise it")
    return ranked


def device_for(aim: Aim, name: str = "") -> Device:
    """Give the device of that name; without one, a processor for a small target and an H100 for any other."""
    return device_named(name) if name else DEVICES["cpu" if aim.flop < CPU_BELOW else "h100"]


def study_prior(observations: Observations, metric: str = "", law: str = "") -> tuple[Prior, list[tuple[float, float]]]:
    """Fit a study's loss for the prior of a plan; give also the (N, D) that are there.

    Raises LadderError where the study has several losses and none is named.
    """
    from foretell.methods.lossfit import AUTO, fit_loss

    training = observations.training()
    points = training.metric(_loss_of(training, metric))
    made = fit_loss(points, law or AUTO, Settings()).made
    pairs = zip(points.input("N"), points.input("D"), strict=True)
    source = f"{made.law.name} fitted to {points.metric.name} of {points.run_count} runs"
    return prior_of(made, source, in_N_total=training.law_N == "N_total"), [(float(n), float(d)) for n, d in pairs]


def _aim(N: str | float, D: str | float, asked: Request, tied: bool | None, *, in_N_total: bool = False) -> Aim:
    parameters = parse_count(N, "N")
    return aim_at(parameters, parse_tokens(D, parameters), asked, tied=tied, in_N_total=in_N_total)


def _loss_of(training: Observations, metric: str) -> str:
    if metric:
        return training.metric_named(metric).name
    losses = [name for name, known in training.metrics.items() if known.is_loss]
    if training.shared_loss:
        return training.shared_loss
    if len(losses) == 1:
        return losses[0]
    raise LadderError(f"the study has {len(losses)} losses; name one with --metric: {', '.join(losses[:8]) or 'none'}")
