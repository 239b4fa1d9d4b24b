"""Whether forecasts from the smaller of these runs would have met the larger."""

from __future__ import annotations

from math import isnan

from foretell.judge import LEVELS, Backtest
from foretell.report.page.chart import axis, series, xy
from foretell.report.page.contents import Contents
from foretell.report.page.html import Child, Html, joined, table, tag
from foretell.report.page.section import Section
from foretell.report.page.words import level_words

NOUN = {"shares": "shares, in points", "others": "losses and other metrics, in per cent"}


def backtests(contents: Contents) -> Section | None:
    """Show errors beside trivial baselines, and how often intervals held what was hidden."""
    made = contents.backtest
    if made is None or not made.outcomes:
        return None
    blocks: list[Child] = [
        tag(
            "p",
            f"The larger runs were hidden, and forecast by {made.method} from the smaller: {len(made.outcomes)} "
            "forecasts of rows that no fit saw. An honest 80 % interval holds about 80 % of them.",
        )
    ]
    for kind, part in made.by_kind().items():
        charts = [chart for chart in (_coverage(part, kind), _errors(part, kind)) if chart is not None]
        blocks.append(tag("div", *charts, class_="pair"))
    blocks.append(_table(made))
    if made.failures:
        lost = [tag("li", failure) for failure in made.failures]
        blocks.append(tag("details", tag("summary", f"{len(lost)} could not be forecast"), tag("ul", *lost)))
    return Section("backtest", "Would it have worked?", joined(*blocks), "Backtest")


def _coverage(made: Backtest, kind: str) -> Html | None:
    if not all(len(outcome.forecast.draws) for outcome in made.outcomes):
        return None
    found = [made.coverage(level) for level in LEVELS]
    words = [
        f"{level_words(level)} intervals held {level_words(round(share, 3))} of {n}"
        for level, (share, _, _, n) in zip(LEVELS, found, strict=True)
    ]
    parts = [
        series("honest", "dashed", [0.0, 1.0], [0.0, 1.0], colour="grey"),
        series(
            "held", "points", LEVELS, [f[0] for f in found], low=[f[1] for f in found], high=[f[2] for f in found],
            text=words,
        ),
    ]  # fmt: skip
    return xy(
        f"How often intervals held: {NOUN[kind].partition(',')[0]}",
        axis("level of the interval", unit="percent", zero=True), axis("held", unit="percent", zero=True), parts, 260,
    )  # fmt: skip


def _errors(made: Backtest, kind: str) -> Html:
    outcomes = made.outcomes
    words = [f"{o.forecast.metric.name}, {o.forecast.target.label} from {o.split}" for o in outcomes]
    unit = "share" if kind == "shares" else "percent"
    parts = [
        series("measured", "rule", [], [0.0], colour="grey"),
        series(
            "forecast − measured",
            "points",
            [o.forecast.reach for o in outcomes],
            [o.error for o in outcomes],
            text=words,
        ),
    ]
    return xy(
        f"Errors over reach: {NOUN[kind]}",
        axis("decades of compute beyond the data"), axis("forecast − measured", unit=unit), parts, 260,
    )  # fmt: skip


def _table(made: Backtest) -> Html:
    lines: list[list[Child]] = []
    metrics = made.metrics
    for name in metrics:
        part = made.of_metric(name)
        unit = " pt" if part.outcomes[0].forecast.metric.is_share else " %"
        baselines = (part.error(), part.error(lambda o: o.largest_run_error), part.error(lambda o: o.chance_error))
        errors = ["" if isnan(error) else f"{100 * error:.2f}{unit}" for error in baselines]
        intervals = all(len(outcome.forecast.draws) for outcome in part.outcomes)
        covers = [f"{100 * part.coverage(level)[0]:.0f} %" if intervals else "none" for level in LEVELS]
        lines.append([name, len(part.outcomes), *errors, *covers])
    head = ["metric", "n", "mean |error|", "largest run", "chance", *(f"{level_words(level)} held" for level in LEVELS)]
    return table("Errors of forecast, of copying the largest run, and of chance", head, lines, metrics=metrics)
