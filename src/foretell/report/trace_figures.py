"""Figures of a trace: tokens, texts and tasks over training and size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from foretell.errors import ForetellError
from foretell.report.canvas import blank_figure, write_figure
from foretell.report.colours import BLUE, GREY, ORANGE
from foretell.trajectory.rule import Category
from foretell.units import format_count

if TYPE_CHECKING:
    from foretell.trajectory.sequences import SequenceCurve
    from foretell.trajectory.tasks import TaskTrace
    from foretell.trajectory.trace import Path as Trajectory
    from foretell.trajectory.trace import Trace

PANEL, HEIGHT, DPI = 3.1, 2.7, 110  # inches, and dots an inch: a page of such pictures stays small
COLOURS = {
    Category.STAGNATED: GREY, Category.UPWARD: ORANGE, Category.DOWNWARD: BLUE, Category.OTHER: "#DDCC77",
}  # fmt: skip
MARKS = "osD^vP*X"
GREEN = "#009E73"  # Okabe & Ito


def draw_trace(trace: Trace, folder: str | Path) -> list[Path]:
    """Draw what a trace holds into a folder, a PNG a question; give the files.

    Raises ForetellError when one cannot be written.
    """
    place = Path(folder)
    made = [
        draw_categories(trace, place / "categories.png"),
        draw_shares(trace, place / "shares.png"),
        draw_aligned(trace, place / "aligned.png"),
    ]
    if trace.tasks:
        made.append(draw_tasks(trace.tasks, place / "tasks.png"))
    kinds = [("noised", "noised.png"), ("options", "options.png"), ("decoded", "decoded.png")]
    for kind, file in kinds:
        chosen = [curve for curve in trace.texts if curve.kind.startswith(kind)]
        if chosen:
            made.append(draw_texts(chosen, place / file, over_size=kind == "decoded"))
    return made


def draw_categories(trace: Trace, path: str | Path) -> Path:
    """Draw for each trajectory the shares of the categories from each checkpoint on, stacked."""
    figure, panels = _grid(len(trace.paths))
    for panel, of in zip(panels, trace.paths, strict=False):
        shares = of.everywhere.shares
        D = of.everywhere.D
        base = np.zeros(len(D))
        for category in (Category.DOWNWARD, Category.STAGNATED, Category.UPWARD, Category.OTHER):
            top = base + 100 * shares[:, category]
            panel.fill_between(D, base, top, color=COLOURS[category], lw=0, label=category.name.lower())
            base = top
        _log(panel.xaxis, format_count)
        panel.set_ylim(0, 100)
        panel.set_title(_name(of), fontsize=9)
        _axes(panel, "trend begins at D, tokens", "% of tokens")
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return _save(figure, path)


def draw_shares(trace: Trace, path: str | Path) -> Path:
    """Draw the shares of three categories over tokens, compute and validation perplexity, a line a trajectory."""
    shown = (Category.STAGNATED, Category.UPWARD, Category.DOWNWARD)
    return _over_abscissae(trace, path, [
        (f"% {category.name.lower()}", _share(category)) for category in shown
    ])  # fmt: skip


def draw_aligned(trace: Trace, path: str | Path) -> Path:
    """Draw the mean loss of the tokens that the reference run puts into each category, over three abscissae."""
    shown = (Category.STAGNATED, Category.UPWARD, Category.DOWNWARD)
    return _over_abscissae(trace, path, [
        (f"loss of {category.name.lower()} tokens", _mean(category)) for category in shown
    ])  # fmt: skip


def draw_tasks(tasks: Sequence[TaskTrace], path: str | Path) -> Path:
    """Draw each metric against validation perplexity, a colour a size, with where it emerges."""
    figure, panels = _grid(len(tasks))
    for panel, task in zip(panels, tasks, strict=False):
        rows = task.rows
        sizes = np.unique(rows.size)
        unit = 100.0 if task.emergence is not None else 1.0
        for at, size in enumerate(sizes):
            mine = rows.size == size
            order = np.argsort(rows.loss[mine])
            panel.plot(
                np.exp(rows.loss[mine][order]), unit * rows.value[mine][order], MARKS[at % len(MARKS)], ms=3.5,
                color=_colour(at, len(sizes)), label=format_count(float(size)),
            )  # fmt: skip
        if task.emergence is not None and np.isfinite(task.emergence.loss):
            panel.axvline(np.exp(task.emergence.loss), color=GREEN, lw=1)
            low, high = np.exp(task.emergence.interval())
            if np.isfinite(low):
                panel.axvspan(low, high, color=GREEN, alpha=0.2, lw=0)
        low, high = task.pooling.interval()
        panel.set_title(
            f"{task.metric}\none curve/own curves {task.pooling.ratio:.2f} [{low:.2f}, {high:.2f}]", fontsize=8
        )
        _perplexity(panel)
        _axes(panel, "validation perplexity", "points" if unit > 1 else "")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=8, frameon=False, fontsize=8
    )
    return _save(figure, path)


def draw_texts(curves: Sequence[SequenceCurve], path: str | Path, *, over_size: bool = False) -> Path:
    """Draw the perplexity of texts against validation perplexity, a panel a text; with `over_size`, ends over N."""
    keys = list(dict.fromkeys((curve.kind, curve.name) for curve in curves))
    rungs = list(dict.fromkeys(curve.rung for curve in sorted(curves, key=lambda one: (one.size, one.rung))))
    figure, panels = _grid(len(keys), columns=5 if over_size else 4)
    for panel, key in zip(panels, keys, strict=False):
        mine = [curve for curve in curves if (curve.kind, curve.name) == key]
        if over_size:
            mine.sort(key=lambda one: (one.size, one.rung))
            panel.errorbar(
                [one.size for one in mine], [np.exp(one.loss[-1]) for one in mine],
                yerr=[np.exp(one.loss[-1]) * one.stderr[-1] for one in mine], fmt="o", color=BLUE, ms=4, lw=1,
            )  # fmt: skip
            _log(panel.xaxis, format_count)
            _axes(panel, "N, parameters", "perplexity")
        else:
            for one in mine:
                at = rungs.index(one.rung)
                panel.plot(
                    np.exp(one.validation), np.exp(one.loss), MARKS[at % len(MARKS)] + "-", ms=4, lw=1,
                    color=_colour(at, len(rungs)), label=one.rung,
                )  # fmt: skip
            _perplexity(panel)
            _axes(panel, "validation perplexity", "perplexity")
        _log(panel.yaxis, lambda y: f"{y:,.4g}" if y < 1e4 else format_count(y))
        panel.set_title(f"{key[0]}: {key[1]}", fontsize=8)
    if not over_size:
        figure.legend(
            *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=8, frameon=False, fontsize=8
        )
    return _save(figure, path)


def _share(category: Category) -> Callable[[Trajectory], Any]:
    return lambda of: 100 * of.everywhere.shares[:, category]


def _mean(category: Category) -> Callable[[Trajectory], Any]:
    return lambda of: of.means[:, category]


def _over_abscissae(trace: Trace, path: str | Path, rows: Sequence[tuple[str, Callable[[Trajectory], Any]]]) -> Path:
    figure, panels = _grid(3 * len(rows), columns=3)
    for i, (label, values) in enumerate(rows):
        for j, axis in enumerate(("D, tokens", "C, FLOP", "validation perplexity")):
            panel = panels[3 * i + j]
            for at, of in enumerate(trace.paths):
                y = values(of)
                x = (of.D, of.C, np.exp(of.validation))[j][: len(y)]
                panel.plot(
                    x, y, MARKS[at % len(MARKS)] + "-", ms=3.5, lw=1, color=_colour(at, len(trace.paths)),
                    label=_name(of),
                )  # fmt: skip
            if j < 2:
                _log(panel.xaxis, format_count if j == 0 else lambda C: f"{C:.0e}".replace("e+", "e"))
            else:
                _perplexity(panel)
            _axes(panel, axis if i == len(rows) - 1 else "", label if j == 0 else "")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=7, frameon=False, fontsize=8
    )
    return _save(figure, path)


def _grid(count: int, columns: int = 4) -> tuple[Any, Sequence[Any]]:
    across = min(columns, count)
    down = -(-count // across)
    figure = blank_figure(PANEL * across, HEIGHT * down + 0.4)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for panel in panels[count:]:
        panel.set_visible(False)
    return figure, list(panels)


def _colour(at: int, count: int) -> Any:
    """Give the colour of the at-th of so many sizes: cividis, which every eye orders alike."""
    from matplotlib import colormaps

    return colormaps["cividis"](0.92 * at / max(1, count - 1))


def _name(of: Trajectory) -> str:
    named = format_count(of.size)
    return of.rung if of.rung.startswith(named) else f"{of.rung} ({named})"


def _perplexity(panel: Any) -> None:
    """Make an axis of perplexity: logarithmic, the better to the right."""
    _log(panel.xaxis, lambda x: f"{x:,.3g}")
    if not panel.xaxis_inverted():
        panel.invert_xaxis()


def _log(axis: Any, words: Callable[[float], str]) -> None:
    """Make an axis logarithmic, with few labels in words, however short it is."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    low, high = axis.get_data_interval()
    short = high < 12 * low if np.isfinite(low) and low > 0 else True
    axis.set_major_locator(
        LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if high < 3 * low else (1.0, 2.0, 5.0))
        if short
        else LogLocator()
    )
    axis.set_major_formatter(FuncFormatter(lambda value, _: words(value)))
    axis.set_minor_formatter(NullFormatter())


def _axes(panel: Any, x: str, y: str) -> None:
    panel.set_xlabel(x, fontsize=8)
    panel.set_ylabel(y, fontsize=8)
    panel.tick_params(labelsize=7)
    panel.grid(color="#dddddd", lw=0.5)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def _save(figure: Any, path: str | Path) -> Path:
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ForetellError(f"the figure {path} cannot be written: {error}") from None
    return write_figure(figure, path, dpi=DPI)
