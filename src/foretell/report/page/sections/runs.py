"""The runs that the forecasts rest on."""

from __future__ import annotations

import math

import polars as pl

from foretell.report.page.chart import axis, series, xy
from foretell.report.page.contents import Contents
from foretell.report.page.html import Child, Html, joined, table, tag
from foretell.report.page.section import Section
from foretell.units import format_count

MOST_ROWS = 400


def runs(contents: Contents) -> Section | None:
    """Draw the runs in N and D beside the targets, and tabulate them with a bar for their compute."""
    observations = contents.observations
    count = "N" if observations.law_N == "N" else "N_total"
    frame = (
        observations.runs.with_columns(counted=pl.col(count))
        .with_columns(spent=pl.col("C").fill_null(6.0 * pl.col("counted") * pl.col("D")))
        .sort("spent", "name", nulls_last=True)
    )
    small, held = frame.filter(~pl.col("held_out")), frame.filter(pl.col("held_out"))
    spent = float(small["spent"].sum())
    largest = max(target.C or 6.0 * target.N * target.D for target in contents.targets)
    told = (
        f"{len(small)} runs, {len(held)} held out; together the {len(small)} cost {spent:.3g} FLOP, "
        f"{100 * spent / largest:.2g} % of the largest target."
    )
    targets = contents.targets
    parts = [
        _dots("small run", small, "blue", "points"),
        _dots(
            "held-out run",
            held.filter(~pl.col("name").is_in([target.name for target in contents.targets])),
            "green",
            "points",
        ),
        series(
            "target",
            "diamonds",
            [target.N for target in targets],
            [target.D for target in targets],
            colour="orange",
            text=[target.label for target in targets],
        ),
    ]
    body = joined(
        tag("p", told),
        xy(
            "Parameters and tokens of every run, beside the targets",
            axis(f"{count}, parameters", unit="count", log=True),
            axis("D, tokens", unit="count", log=True),
            [part for part in parts if part["x"]],
        ),
        _table(frame, count),
    )
    return Section("ladder", "The runs it rests on", body, "Runs")


def _dots(name: str, frame: pl.DataFrame, colour: str, mark: str) -> dict[str, object]:
    known = frame.filter(pl.col("counted").is_not_null())
    return series(
        name, mark, known["counted"].to_numpy(), known["D"].to_numpy(), colour=colour, text=known["name"].to_list()
    )


def _table(frame: pl.DataFrame, count: str) -> Html:
    top = frame["spent"].max()
    most = math.log10(top) if isinstance(top, float) and top > 0 else 0.0
    bottom = frame["spent"].min()
    least = (math.log10(bottom) if isinstance(bottom, float) and bottom > 0 else 0.0) - 0.5
    several = frame["family"].n_unique() > 1
    lines: list[list[Child]] = []
    for row in frame.head(MOST_ROWS).iter_rows(named=True):
        spent, counted = row["spent"], row["counted"]
        line: list[Child] = [joined(row["name"], tag("span", " held out", class_="dim") if row["held_out"] else "")]
        line += [row["family"]] if several else []
        line += [
            format_count(counted) if counted else "",
            format_count(row["D"]),
            f"{row['D'] / counted:.3g}" if counted else "",
            f"{spent:.3g}" if spent else "",
            _bar((math.log10(spent) - least) / max(most - least, 1e-9)) if spent else "",
        ]
        lines.append(line)
    head = ["run", *(["family"] if several else []), count, "D", "D/N", "C, FLOP", "C, log scale"]
    made = table("The runs, by compute", head, lines, numbers_from=2 if several else 1, class_="runs")
    left = len(frame) - MOST_ROWS
    return joined(made, tag("p", f"… and {left} more runs.", class_="dim")) if left > 0 else made


def _bar(share: float) -> Html:
    width = f"{120 * min(1.0, max(0.0, share)):.1f}"
    inner = tag("rect", width=width, height=10, rx=2, class_="bar")
    return tag("svg", inner, width=120, height=10, viewBox="0 0 120 10", aria_hidden="true")
