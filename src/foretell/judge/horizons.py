"""Horizons: how long each run trained for its size, and where the short ones end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.errors import TableError, UnitError
from foretell.judge.split import Split
from foretell.table import Observations
from foretell.units import format_count, parse_tokens

SAME = 0.1  # relative; horizons nearer than this are one (1xC is 20.03 tokens a parameter on the OLMo ladder)
FEWEST_SHORT = 4  # runs: fewer carry neither a loss law nor a link


@dataclass(frozen=True)
class Horizons:
    """Hold the `split` of a study's runs, the short and the long horizons in tokens a parameter, and its doubts."""

    split: Split
    short: tuple[float, ...]
    long: tuple[float, ...]
    doubts: tuple[str, ...]


def split_horizons(observations: Observations, cut: str = "0.5") -> Horizons:
    """Part the runs that are not held out into short and long horizons.

    A `cut` of 0..1 is the share of the distinct horizons D/N that are short; `2xC` those up to 40 tokens a parameter;
    `20B` those up to so many tokens. Raises TableError when nothing lies on one side, UnitError for a cut that cannot
    be read.
    """
    training = observations.training()
    count = "N" if training.law_N == "N" else "N_total"
    if training.runs[count].is_null().any():
        raise TableError(f"{count} is not known for some runs; a horizon is D/{count}: give their number of parameters")
    runs = training.runs.with_columns(M=pl.col("D") / pl.col(count)).sort("M", "name")
    M, D = runs["M"].to_numpy(), runs["D"].to_numpy()
    share = _share(cut)
    if share is not None:
        steps = _distinct(M)
        if len(steps) < 2 or runs.group_by(count).agg(pl.col("D").n_unique())["D"].max() == 1:
            raise TableError(
                "every N was trained to one D only: there is no short and long horizon; give --horizon as tokens "
                "(20B), or rank by larger N with `foretell backtest`"
            )
        last = steps[min(len(steps) - 1, max(1, round(share * len(steps)))) - 1]
        short = last * (1.0 + SAME / 2) >= M
        name = f"D/N ≤ {format_count(last)}"
    elif cut.strip().lower().endswith("xc"):
        multiple = parse_tokens(cut, 1.0)
        short = multiple * (1.0 + SAME / 2) >= M
        name = f"D/N ≤ {format_count(multiple)}"
    else:
        tokens = parse_tokens(cut)
        short = tokens * (1.0 + 1e-9) >= D
        name = f"D ≤ {format_count(tokens)}"
    below, above = runs.filter(short)["name"].to_list(), runs.filter(~short)["name"].to_list()
    if len(below) < FEWEST_SHORT or not above:
        raise TableError(
            f"{name} leaves {len(below)} short and {len(above)} long runs; at least {FEWEST_SHORT} short and one long "
            f"are needed: D/N runs from {format_count(M.min())} to {format_count(M.max())}, "
            f"D from {format_count(D.min())} to {format_count(D.max())}"
        )
    doubts = []
    families = sorted(set(runs["family"]))
    if len(families) > 1:
        doubts.append(
            f"the runs belong to {len(families)} families ({', '.join(families[:4])}); one loss law over all mixes "
            "their recipes: choose one with --where \"family = '…'\""
        )
    far = sorted({float(n) for n in runs.filter(~short)[count]} - {float(n) for n in runs.filter(short)[count]})
    if far:
        doubts.append(f"N = {', '.join(map(format_count, far))} has long horizons only: its forecast is also one in N")
    split = Split(name, training.only_runs(below), training.only_runs(above))
    return Horizons(split, tuple(_distinct(M[short])), tuple(_distinct(M[~short])), tuple(doubts))


def _share(cut: str) -> float | None:
    try:
        number = float(cut)
    except ValueError:
        return None
    if 0 < number < 1:
        return number
    if number <= 0 or not np.isfinite(number):
        raise UnitError(f"the horizon {cut!r} is neither a share between 0 and 1 nor tokens such as 20B or 2xC")
    return None


def _distinct(M: NDArray[np.float64]) -> list[float]:
    """Give the distinct values in order; a value within SAME of the group's first belongs to it."""
    found: list[float] = []
    first = -np.inf
    for value in np.sort(M):
        if value > first * (1.0 + SAME):
            found.append(float(value))
            first = value
        else:
            found[-1] = float(value)
    return found
