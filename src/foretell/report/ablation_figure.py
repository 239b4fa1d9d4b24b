"""Figures of an ablation: error against compute spent, and the signal of every metric beside its noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foretell.errors import ForetellError
from foretell.report.canvas import blank_figure, write_figure
from foretell.report.colours import BLUE, GREY, ORANGE

if TYPE_CHECKING:
    from foretell.judge.ablate import Ablation, Arm
    from foretell.judge.noise import Noise

ROW = 0.3  # inches an arm
APART = 0.05  # of the panel's height: labels nearer than this would lie on each other
SPREAD_OUT = ("sizes", "horizons", "compute")  # kinds whose arms differ in compute; the others spend the same


def draw_ablation(made: Ablation, kind: str, path: str | Path) -> Path:
    """Draw a row for each arm of a kind: its error, and where arms differ in compute, the error against it.

    Shares and other metrics have a row of panels each. Raises ForetellError for a kind that was not ablated, or a file
    that cannot be written.
    """
    if kind not in made.kinds:
        raise ForetellError(f"nothing was ablated by {kind}; there are {', '.join(made.kinds) or 'none'}")
    arms = [arm for arm in made.arms if arm.kind == kind and arm.backtest]
    against = kind in SPREAD_OUT
    height = 1.1 + max(2.2, ROW * (len(arms) + 1))
    figure = blank_figure(11 if against else 7.5, height * len(made.shares))
    grid = figure.subplots(len(made.shares), 1 + against, squeeze=False)
    for panels, share in zip(grid, made.shares, strict=True):
        _bars(panels[0], made, arms, share=share)
        if against:
            _frontier(panels[1], made, arms, share=share)
    return write_figure(figure, path, dpi=150)


def _unit(*, share: bool) -> str:
    return "mean |error|, points" if share else "mean |relative error|, %"


def _bars(panel: Any, made: Ablation, arms: Sequence[Arm], *, share: bool) -> None:
    ordered = sorted(arms, key=lambda arm: -arm.error(share=share))
    for i, arm in enumerate([*ordered, made.whole]):
        error = 100 * arm.error(share=share)
        panel.barh(i, error, color=GREY if arm is made.whole else BLUE, height=0.62)
        _, spread = made.difference(arm, share=share)
        if arm is not made.whole and math.isfinite(spread):
            panel.plot([error - 100 * spread, error + 100 * spread], [i, i], color=ORANGE, lw=1.6)
    panel.axvline(100 * made.whole.error(share=share), color=GREY, lw=1, ls=":")
    panel.set_yticks(range(len(ordered) + 1), [arm.label for arm in [*ordered, made.whole]], fontsize=8)
    panel.set_xlabel(
        f"{_unit(share=share)}\n(bar: ± standard error of the difference from the whole ladder)", fontsize=8
    )
    panel.set_xlim(left=0.0)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.tick_params(axis="y", length=0)


def _frontier(panel: Any, made: Ablation, arms: Sequence[Arm], *, share: bool) -> None:
    told: list[tuple[float, float]] = []
    highest = max(100 * arm.error(share=share) for arm in [*arms, made.whole])
    for arm in [made.whole, *arms]:
        where = (100 * arm.compute / made.target_compute, 100 * arm.error(share=share))
        panel.plot(*where, "o", color=GREY if arm is made.whole else BLUE, ms=6)
        place = (math.log10(where[0]), where[1] / highest)
        if all(abs(place[0] - x) > 0.2 or abs(place[1] - y) > APART for x, y in told):  # others would hide each other
            panel.annotate(arm.label, where, xytext=(4, 5), textcoords="offset points", fontsize=7, color="#444444")
            told.append(place)
    grown = [arm for arm in arms if arm.label.startswith(("N ≤", "D/N ≤")) and "," not in arm.label]
    if grown:
        steps = [*sorted(grown, key=lambda arm: arm.compute), made.whole]
        x = [100 * arm.compute / made.target_compute for arm in steps]
        panel.plot(x, [100 * arm.error(share=share) for arm in steps], color=ORANGE, lw=1.2, zorder=0)
    _logarithmic(panel)
    panel.margins(x=0.2)
    panel.set_ylim(bottom=0.0)
    panel.set_xlabel("FLOP spent, % of the largest target's", fontsize=8)
    panel.set_ylabel(_unit(share=share), fontsize=8)
    panel.grid(color="#dddddd", lw=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def draw_noise(noises: Sequence[Noise], path: str | Path) -> Path:
    """Draw the noise of each metric beside its signal over noise; orange where it cannot be forecast.

    Raises ForetellError when there is nothing to draw or the file cannot be written.
    """
    if not noises:
        raise ForetellError("there is no noise to draw: no metric was measured")
    ordered = list(reversed(noises))
    figure = blank_figure(9, 1.6 + ROW * len(ordered))
    noise, ratio = figure.subplots(1, 2, sharey=True)
    for i, one in enumerate(ordered):
        for value, colour, mark in ((one.last, BLUE, "o"), (one.seeds, ORANGE, "D"), (one.sampling, GREY, "|")):
            if math.isfinite(value) and value > 0:
                noise.plot(100 * value, i, mark, color=colour, ms=6, mew=2 if mark == "|" else 1)
        if math.isfinite(one.ratio):
            ratio.barh(i, one.ratio, color=BLUE if one.verdict == "yes" else ORANGE, height=0.62)
            if one.verdict != "yes":
                ratio.annotate(f" {one.verdict}", (one.ratio, i), va="center", fontsize=7, color=ORANGE)
    _logarithmic(noise)
    noise.set_yticks(range(len(ordered)), [one.metric.name for one in ordered], fontsize=8)
    noise.set_xlabel("noise, % of the value", fontsize=8)
    ratio.set_xlim(left=0.0)
    ratio.set_xlabel("signal over noise", fontsize=8)
    for panel in (noise, ratio):
        panel.grid(axis="x", color="#dddddd", lw=0.6)
        panel.set_axisbelow(True)
        panel.spines[["top", "right", "left"]].set_visible(False)
        panel.tick_params(axis="y", length=0)
    marks = [
        noise.plot([], [], mark, color=colour, label=label, mew=2 if mark == "|" else 1)[0]
        for mark, colour, label in (
            ("o", BLUE, "last checkpoints"),
            ("D", ORANGE, "repeated runs"),
            ("|", GREY, "items"),
        )
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return write_figure(figure, path, dpi=150)


def _logarithmic(panel: Any) -> None:
    """Make an axis logarithmic with plain numbers at 1, 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.tick_params(axis="x", labelsize=8)
