"""The fitted laws, each with its coefficients and residuals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foretell.fitting import Fit
from foretell.report.page.chart import axis, series, xy
from foretell.report.page.contents import Contents
from foretell.report.page.html import Child, Html, joined, table, tag
from foretell.report.page.section import Section
from foretell.report.page.words import axis_unit, level_words, unit_words
from foretell.units import format_count

Array = NDArray[np.float64]

MOST_POINTS = 250  # of a chart; more say the same
MOST_SIZES = 8  # lines of one N each
LINE = 40  # points of a line
CURVE_INPUTS = frozenset({"N", "D", "M", "C"})


def fits(contents: Contents) -> Section | None:
    """Show each fitted law once: formula, coefficients, the rows it was fitted to, and what it leaves."""
    made: dict[str, Html] = {}
    for chain in contents.chains:
        made.setdefault(
            f"{chain.loss.points.metric.name} by {chain.loss.law.name}", _loss(contents, chain.loss, chain.doubts)
        )
        if chain.link is not None:
            name = f"{chain.metric.name} from {chain.loss.points.metric.name}"
            made[name] = _link(contents, chain.link, chain.loss)
    if not made:
        return None
    blocks = [
        tag("div", tag("h3", name), block, class_="fit", id=f"fit-{i}") for i, (name, block) in enumerate(made.items())
    ]
    options = [tag("option", name, value=f"fit-{i}") for i, name in enumerate(made)]
    pick = tag("p", tag("label", "Show ", tag("select", *options, id="pick-fit")), class_="controls")
    return Section("fits", "The fitted laws", joined(pick, *blocks), "Fits")


def _facts(contents: Contents, made: Fit, told: tuple[str, ...] = ()) -> Html:
    level = contents.level
    intervals = made.intervals(level) if made.draws is not None else {}
    lines: list[list[Child]] = []
    for name, value in made.coefficients.items():
        between = "{:.4g} – {:.4g}".format(*intervals[name]) if name in intervals else "none"
        lines.append([name, f"{value:.5g}", between, made.law.coefficient(name).unit])
    said = f"{len(made)} rows of {made.points.run_count} runs, {made.objective}"
    doubts = [tag("li", doubt) for doubt in told]
    return joined(
        tag("p", tag("code", made.law.formula, class_="formula")),
        tag("p", f"{made.law.source or made.law.name}; {said}.", class_="dim"),
        table(
            f"Coefficients of {made.law.name}",
            ["coefficient", "value", f"{level_words(level)} interval", "unit"],
            lines,
        ),
        tag("ul", *doubts, class_="doubts") if doubts else "",
    )


def _loss(contents: Contents, made: Fit, told: tuple[str, ...]) -> Html:
    points = made.points
    metric = points.metric
    N, D = points.input("N"), points.input("D")
    y = axis(f"{metric.name}, {unit_words(metric)}", unit=axis_unit(metric), log=bool((points.value > 0).all()))
    parts = []
    sizes = np.unique(np.round(np.log(N), 2), return_index=True)[1]
    sizes = np.sort(sizes[np.round(np.linspace(0, len(sizes) - 1, min(len(sizes), MOST_SIZES))).astype(np.intp)])
    far = max(target.D for target in contents.targets)
    if set(made.law.variables) <= CURVE_INPUTS:
        lines = [(float(N[i]), float(D.max()), "thin", "line") for i in sizes]
        lines += [(target.N, far, "orange", "dashed") for target in contents.targets[:3]]
        for size, end, colour, mark in lines:
            at = np.geomspace(D.min(), end, LINE)
            row = {"N": np.full(LINE, size), "D": at, "M": at / size, "C": 6.0 * size * at}
            parts.append(
                series(
                    "law at each N of theirs" if colour == "thin" else f"law at {format_count(size)}",
                    mark,
                    at,
                    made.predict(row),
                    colour=colour,
                )
            )
    keep = _thin(len(points))
    names = [f"{points.run[i]}: N {format_count(float(N[i]))}" for i in keep]
    parts.append(series("measured", "points", D[keep], points.value[keep], text=names))
    held = contents.observations.held_out()
    if len(held.runs) and metric.name in held.metrics:
        known = held.metric(metric.name)
        parts.append(
            series(
                "held out", "diamonds", known.input("D"), known.value, colour="green", text=[str(r) for r in known.run]
            )
        )
    curve = xy(
        f"{metric.name} over D: runs, and the law at each size of theirs (thin) and of the targets (dashed)",
        axis("D, tokens", unit="count", log=True), y, parts,
    )  # fmt: skip
    return joined(_facts(contents, made, told), tag("div", curve, _residuals(made, "C", "C, FLOP"), class_="pair"))


def _link(contents: Contents, made: Fit, loss: Fit) -> Html:
    points = made.points.take(~made.points.known)
    keep = _thin(len(points))
    L = points.input("L")
    low = float(L.min())
    ends = []
    for target in contents.targets:
        columns = target.columns(loss.points.metric)
        if set(loss.law.variables) <= set(columns):
            ends.append((float(loss.predict(columns)[0]), target))
    low = min([low, *(value for value, _ in ends)])
    at = np.linspace(low - 0.03 * (float(L.max()) - low), float(L.max()), LINE)
    row = {"L": at, "chance": np.full(LINE, made.points.metric.chance or 0.0)}
    parts = []
    if made.draws is not None:
        drawn = made.predict_draws(row)
        tail = 50.0 * (1.0 - contents.level)
        edges = np.percentile(drawn, [tail, 100.0 - tail], axis=0)
        parts.append(
            series(
                f"{level_words(contents.level)} of draws", "band", at, made.predict(row), low=edges[0], high=edges[1]
            )
        )
    parts.append(series(made.law.name, "line", at, made.predict(row)))
    names = [str(points.run[i]) for i in keep]
    parts.append(series("checkpoint", "points", L[keep], points.value[keep], colour="grey", text=names))
    for value, target in ends[:3]:
        there = {"L": np.array([value]), "chance": row["chance"][:1]}
        parts.append(
            series(
                f"at the loss forecast for {target.label}", "diamonds", [value], made.predict(there), colour="orange",
                text=[target.label],
            )
        )  # fmt: skip
    curve = xy(
        f"{points.metric.name} over {loss.points.metric.name}: checkpoints, the link, and the losses forecast",
        axis(f"{loss.points.metric.name}, {unit_words(loss.points.metric)}"),
        axis(f"{points.metric.name}, points", unit="share"),
        parts,
    )
    return joined(
        _facts(contents, made), tag("div", curve, _residuals(made, "L", loss.points.metric.name), class_="pair")
    )


def _residuals(made: Fit, name: str, label: str) -> Html:
    measured = np.flatnonzero(~made.points.known)
    keep = measured[_thin(len(measured))]
    x, log = made.points.input(name)[keep], made.objective.space == "log"
    parts = [
        series("the law", "rule", [], [0.0], colour="grey"),
        series("residual", "points", x, made.residuals[keep], text=[str(run) for run in made.points.run[keep]]),
    ]
    share = made.points.metric.is_share
    y = axis("measured − fitted, points" if share else "measured/fitted − 1" if log else "measured − fitted",
             unit="share" if share else "percent" if log else "number")  # fmt: skip
    return xy(f"What the law leaves, over {label}", axis(label, unit="number", log=name == "C"), y, parts)


def _thin(n: int) -> NDArray[np.intp]:
    """Choose rows spread evenly, so that a chart stays light."""
    return np.round(np.linspace(0, n - 1, min(n, MOST_POINTS))).astype(np.intp)
