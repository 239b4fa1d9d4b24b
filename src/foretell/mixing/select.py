"""The choice of a mixture model: several laws fitted, the one of least hold-out error kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError, MethodError
from foretell.mixing.model import DRAWS, MixtureModel, fit_model, with_draws
from foretell.mixing.panel import Panel

Array = NDArray[np.float64]

AUTO = "auto"
SAME = 0.02  # a law that wins by less than this share of the error is not worth its coefficients
ROWS_FOR_RESIDUAL = 200  # below, a residual has nothing to go by that a law had not (five-mix, dmsl: no gain)
SHORTEST_STEP = float(np.log(1.25))  # in log D: the errors of nearer horizons say nothing of far ones
LONGER = 1.05  # times the largest D: beyond, laws are judged by forecasts of longer horizons from shorter ones


@dataclass(frozen=True)
class Choice:
    """Hold the model chosen, the hold-out error of every law tried, and why those that failed did."""

    model: MixtureModel
    errors: dict[str, float]
    failures: tuple[str, ...] = ()


def candidates(panel: Panel) -> list[str]:
    """Name the laws that a panel could carry, simplest first."""
    if varies(panel.N) or varies(panel.D):
        names = ["scaled", "additive", "joint"]
        owned = all(name.split("/")[0] in panel.domains for name in panel.names)
        return [*names, "repeated", *(["penalised"] if owned else [])] if repeats(panel) else names
    names = ["exponential", "power", "saturating"]
    if panel.run_count >= ROWS_FOR_RESIDUAL and find_spec("sklearn") is not None:
        names.append("saturating+gp")
    return names


def varies(column: Array) -> bool:
    """Say whether a count varies by more than rounding."""
    return bool(column.max() > 1.02 * column.min())


def repeats(panel: Panel) -> bool:
    """Say whether any source was passed over more than once."""
    return bool((panel.weights * panel.D[:, None] > 1.01 * panel.pools).any())


def choose_model(
    panel: Panel,
    law: str = AUTO,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    horizon: float | None = None,
    progress: Callable[[str], object] = lambda _: None,
) -> Choice:
    """Fit a law by name, or the one of least hold-out error, with draws.

    Rows are held out by mixture; where `horizon` (tokens) lies beyond the data, the longer half of the horizons is held
    out instead. Raises FitError when no law can be fitted.
    """
    longer = horizon is not None and horizon > LONGER * panel.D.max() and varies(panel.D)
    fold = by_horizon(panel) if longer else None
    if law != AUTO:
        progress(law)
        model = fit_model(panel, law, draws=draws, seed=seed)
        return Choice(_as_held_out(model, panel, law, fold, seed), {law: model.hold_out_error})
    errors: dict[str, float] = {}
    failures: list[str] = []
    fitted: dict[str, MixtureModel] = {}
    best: str | None = None
    for name in candidates(panel):
        progress(name)
        try:
            if fold is None:
                fitted[name] = fit_model(panel, name, seed=seed)
                errors[name] = fitted[name].hold_out_error
            else:
                errors[name] = float(np.mean(np.abs(_left(panel, name, fold, seed))))
        except (FitError, MethodError) as error:
            failures.append(f"{name}: {error}")
            continue
        if np.isfinite(errors[name]) and (best is None or errors[name] < (1 - SAME) * errors[best]):
            best = name
    if best is None:
        raise FitError(f"no mixture law can be fitted: {failures[0] if failures else 'none is finite on these rows'}")
    progress(best)
    model = with_draws(fitted[best], draws, seed) if best in fitted else fit_model(panel, best, draws=draws, seed=seed)
    return Choice(_as_held_out(model, panel, best, fold, seed), errors, tuple(failures))


def by_horizon(panel: Panel) -> NDArray[np.bool_]:
    """Mark the rows of each run's longest horizon, where it has several; else those of the longest horizons of all."""
    index = panel.run_index
    high = np.zeros(index.max() + 1)
    np.maximum.at(high, index, panel.D)
    late: NDArray[np.bool_] = (panel.D > 0.99 * high[index]) & (np.bincount(index)[index] > 1)
    return late if late.any() else np.asarray(panel.D > 0.99 * panel.D.max())


def _left(panel: Panel, name: str, late: NDArray[np.bool_], seed: int) -> Array:
    early = fit_model(panel.take(~late), name, seed=seed)
    rows = panel.take(late)
    made: Array = rows.losses - early.at(rows.weights, rows.N, rows.D, rows.pools).T
    return made


def _as_held_out(
    model: MixtureModel, panel: Panel, name: str, late: NDArray[np.bool_] | None, seed: int
) -> MixtureModel:
    """Let a model that must reach further take the errors of the longer horizons for its noise."""
    if late is None:
        return model
    step = (
        float(np.log(panel.D[late].mean() / panel.D[~late].max()))
        if panel.D[late].mean() > panel.D[~late].max()
        else 0.0
    )
    return replace(model, left_out=_left(panel, name, late, seed), step=max(step, SHORTEST_STEP))
