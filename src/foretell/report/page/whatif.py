"""The what-if panel's data: chains written as numbers, so that a page can carry them to any N and D."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.fitting import Fit
from foretell.forecast import Target, ranges_of
from foretell.report.page.chain import Chain
from foretell.report.page.program import program_of
from foretell.table import Metric

Array = NDArray[np.float64]

DIGITS = 8  # significant, of every draw: a page's numbers agree with Python's to more than four
MOST_NUMBERS = 150_000  # over all draws: about 1.7 MB of the page
FEWEST_DRAWS = 200
BEYOND = 30.0  # times past the largest of data and targets that the sliders go
BEFORE = 2.0  # times below the smallest run


def whatif_of(chains: Sequence[Chain], targets: Sequence[Target], *, exact: bool, level: float) -> dict[str, Any]:
    """Write chains, the first target to show and the range of the sliders as plain values.

    Draws are cut to the first so many that all of them together stay small. A chain whose law needs an input that no
    target has is left out.
    """
    chains = [chain for chain in chains if set(chain.loss.law.variables) <= set(targets[0].columns(chain.metric))]
    columns = sum(len(chain.loss.theta) + 2 + (len(chain.link.theta) + 2 if chain.link else 0) for chain in chains)
    drawn = min((len(chain.form) for chain in chains), default=0)
    count = min(drawn, max(FEWEST_DRAWS, MOST_NUMBERS // max(1, columns)))
    losses: dict[str, Any] = {}
    for chain in chains:
        losses.setdefault(_key(chain.loss), _law(chain.loss, count) | {"noise": rounded(chain.loss_noise[:count])})
    ranges = [ranges_of(chain.loss.points) for chain in chains]
    inputs = {name: value for name, value in targets[0].inputs.items() if name not in ("N", "D", "C", "M")}
    return {
        "exact": exact,
        "level": level,
        "draws": count,
        "inputs": inputs,
        "start": {"N": targets[0].N, "D": targets[0].D},
        "range": {
            name: [
                min([r[name][0] for r in ranges] or [1.0]) / BEFORE,
                BEYOND
                * max([r[name][1] for r in ranges] + [target.N if name == "N" else target.D for target in targets]),
            ]
            for name in ("N", "D")
        },
        "losses": losses,
        "metrics": [_metric(chain, count) for chain in chains],
    }


def _metric(chain: Chain, count: int) -> dict[str, Any]:
    points = chain.loss.points
    written: dict[str, Any] = {
        "name": chain.metric.name,
        "unit": chain.metric.unit,
        "share": chain.metric.is_share,
        "error": chain.metric.unit == "error",
        "positive": bounded_below(chain.metric),
        "loss": _key(chain.loss),
        "most": float((points.input("N") * points.input("D")).max()),
        "form": rounded(chain.form[:count]),
        "power": chain.power,
        "link": None,
    }
    if chain.link is not None:
        written["link"] = _law(chain.link, count) | {
            "chance": chain.metric.chance or 0.0,
            "items": chain.metric.items,
            "spread": rounded(chain.link_spread[:count]),
            "normal": rounded(chain.link_normal[:count]),
        }
    return written


def bounded_below(metric: Metric) -> bool:
    """Say whether a metric has no value below zero, as `within_limits` keeps it."""
    return metric.is_loss or metric.unit == "perplexity"


def _law(made: Fit, count: int) -> dict[str, Any]:
    draws = np.tile(made.theta, (count, 1)) if made.draws is None else made.draws[:count]
    return {
        "law": made.law.name,
        "program": program_of(made.law),
        "theta": [float(value) for value in made.theta],
        "draws": [rounded(column) for column in draws.T],
        "log": made.objective.space == "log",
    }


def _key(made: Fit) -> str:
    return f"{made.points.metric.name} by {made.law.name}"


def rounded(values: Array) -> list[float | None]:
    """Write numbers with eight significant digits; what is not finite becomes null."""
    return [float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in values]
