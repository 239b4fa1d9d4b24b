"""Figures of mixtures: the best one and its region, and how it moves with the horizon."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from foretell.errors import ForetellError
from foretell.report.canvas import blank_figure, write_figure
from foretell.report.colours import BLUE, GREEN, GREY, ORANGE
from foretell.units import format_count

if TYPE_CHECKING:
    from foretell.mixing import Optimum, Transfer

ROW = 0.32  # inches a source
NEAR = 1.5  # points of share: the height of a line of small print


def draw_optimum(optimum: Optimum, path: str | Path, *, level: float = 0.8) -> Path:
    """Draw each source's best share with its region, and what five points more or less of it cost."""
    figure, (shares, costs) = _figure(2, (9.0, 1.4 + ROW * len(optimum.domains)), sharey=True)
    places = np.arange(len(optimum.domains))[::-1]
    if len(optimum.draws):
        low, high = optimum.interval(level)
        for place, a, b in zip(places, low, high, strict=True):
            shares.plot([100 * a, 100 * b], [place, place], color=BLUE, lw=6, alpha=0.3, solid_capstyle="butt")
    shares.plot(100 * optimum.weights, places, "o", color=BLUE, ms=5)
    shares.set_yticks(places, optimum.domains, fontsize=8)
    shares.set_xlabel(f"share, % (bar: {level:.0%} of refits)")
    shares.set_xlim(left=0.0)
    more, less = (np.array([optimum.neighbours[name][i] for name in optimum.domains]) for i in (0, 1))
    costs.plot(more, places, "^", color=ORANGE, ms=6, label="5 points more")
    costs.plot(less, places, "v", color=GREY, ms=6, label="5 points less")
    costs.axvline(0.0, color="#bbbbbb", lw=0.8)
    costs.set_xlabel("cost, nats")
    costs.legend(frameon=False, fontsize=8)
    for axes in (shares, costs):
        axes.grid(axis="x", color="#dddddd", lw=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return write_figure(figure, path)


def draw_transfer(transfer: Transfer, path: str | Path, *, level: float = 0.8, source: str | None = None) -> Path:
    """Draw loss against a source's share at every horizon, and how its best share moves to the target.

    Raises ForetellError for a source that is not there, or when the file cannot be written.
    """
    domains = list(transfer.domains)
    scarce = [n for n, pool in zip(domains, transfer.bests[0][1].horizon.pools, strict=True) if np.isfinite(pool)]
    named = source or (scarce or domains)[0]
    if named not in domains:
        raise ForetellError(f"no source is called {named!r}; there are {', '.join(domains)}")
    j = domains.index(named)
    figure, (curves, moves) = _figure(2, (10.0, 4.2))
    measured = [("target", transfer.measured)] if transfer.measured else []
    for series, best in [*transfer.bests, *measured]:
        horizon = best.horizon
        mixtures, losses, _ = horizon.averaged()
        order = np.argsort(mixtures[:, j])
        colour = {"full": BLUE, "matched": ORANGE, "target": GREEN}[series]
        near = losses[order] < losses.min() + 0.5
        faint = 0.4 + 0.6 * float(np.sqrt(min(1.0, horizon.D / transfer.D)))
        curves.plot(100 * mixtures[order, j][near], losses[order][near], "-", color=colour, lw=0.8, alpha=faint)
        seen = horizon.losses < losses.min() + 0.5
        curves.plot(100 * horizon.weights[seen, j], horizon.losses[seen], "o", color=colour, ms=3, alpha=faint)
        curves.annotate(
            format_count(horizon.D), (100 * best.weights[j], horizon.losses.min()), fontsize=7, color=colour,
            xytext=(0, -9), textcoords="offset points", ha="center",
        )  # fmt: skip
        low, high = best.interval(level)
        moves.plot([horizon.D] * 2, [100 * low[j], 100 * high[j]], color=colour, lw=5, alpha=0.3, solid_capstyle="butt")
        moves.plot(horizon.D, 100 * best.weights[j], "o", color=colour, ms=5)
    low, high = transfer.interval(level)
    moves.plot([transfer.D] * 2, [100 * low[j], 100 * high[j]], color="black", lw=5, alpha=0.25, solid_capstyle="butt")
    moves.plot(transfer.D, 100 * transfer.weights[j], "*", color="black", ms=11, label=f"carried ({transfer.way})")
    ways = sorted((100 * row[j], way) for way, row in transfer.others.items() if way != transfer.way)
    for value, names in _together(ways):
        moves.plot([transfer.D] * len(names), [found for found, way in ways if way in names], "_", color=GREY, ms=12)
        moves.annotate(
            ", ".join(names), (transfer.D, value), xytext=(8, -3), textcoords="offset points", fontsize=7, color=GREY
        )
    moves.plot([], [], "o", color=BLUE, label="over the full pool")
    moves.plot([], [], "o", color=ORANGE, label="passes matched to the target")
    if measured:
        moves.plot([], [], "o", color=GREEN, label="the target itself, measured")
    moves.set_xscale("log")
    ticks = sorted({best.horizon.D for _, best in transfer.bests} | {transfer.D})
    ticks = [D for i, D in enumerate(ticks) if i == 0 or D > 1.1 * ticks[i - 1]]
    moves.set_xticks(ticks, [format_count(D) for D in ticks])
    moves.set_xticks([], minor=True)
    moves.set_xlabel("training tokens D")
    moves.set_ylabel(f"best share of {named}, %")
    moves.margins(x=0.25)
    moves.legend(frameon=False, fontsize=8)
    curves.set_xlabel(f"share of {named}, %")
    curves.set_ylabel("loss")
    for axes in (curves, moves):
        axes.grid(color="#e5e5e5", lw=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return write_figure(figure, path)


def _together(ways: list[tuple[float, str]]) -> list[tuple[float, list[str]]]:
    """Join ways whose shares lie too near to be written apart."""
    made: list[tuple[float, list[str]]] = []
    for value, way in ways:
        if made and value - made[-1][0] < NEAR:
            made[-1][1].append(way)
        else:
            made.append((value, [way]))
    return made


def _figure(panels: int, size: tuple[float, float], **shared: Any) -> tuple[Any, Any]:
    figure = blank_figure(*size)
    return figure, figure.subplots(1, panels, **shared)
