"""`foretell demo`: the main job on a public ladder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretell.cli.options import AsJson, Draws, Level, Seed

if TYPE_CHECKING:
    from foretell.judge import Outcome


def demo(
    path: Annotated[Path | None, typer.Argument(help="A checkout of allenai/OLMo-ladder. [found or fetched]")] = None,
    level: Level = 0.8,
    draws: Draws = 1000,
    seed: Seed = 0,
    figure: Annotated[Path | None, typer.Option(help="Draw it as well: a PNG, SVG or PDF file.")] = None,
    json: AsJson = False,
) -> None:
    """Forecast 8 tasks of OLMo 7B-4T and 13B-5T from 16 runs of at most 1.3B, beside what was measured.

    Reads the public OLMo-ladder tables from FORETELL_TESTBEDS where that is set, or fetches them once by sha256.
    """
    from foretell import api
    from foretell.cli.show import print_json, working
    from foretell.errors import MethodError
    from foretell.forecast import Settings
    from foretell.sources import fetch_published, read

    if not 0 < level < 1:
        raise MethodError(f"level is {level}; it lies between 0 and 1, such as 0.8")
    with working("reading the OLMo ladder", quiet=json):
        study = read("olmo-ladder", path or fetch_published("olmo-ladder"))
    with working("forecasting 7B-4T and 13B-5T", quiet=json):
        made = api.backtest(study, by="held-out", settings=Settings(draws=draws, seed=seed))
    if figure:
        from foretell.report import draw_forecasts

        outcomes = made.outcomes
        measured, largest = [o.measured for o in outcomes], [o.largest_run for o in outcomes]
        draw_forecasts([o.forecast for o in outcomes], figure, measured=measured, largest_run=largest, level=level)
    rows = [_row(outcome, level) for outcome in made.outcomes]
    if json:
        print_json(rows)
        return
    _show(rows, level, len(study.training().runs))


def _row(outcome: Outcome, level: float) -> dict[str, Any]:
    return {**outcome.forecast.to_json(level), "measured": outcome.measured, "error": outcome.error}


def _show(rows: list[dict[str, Any]], level: float, runs: int) -> None:
    from rich.table import Table

    from foretell.cli.show import console, percent, print_doubts
    from foretell.units import format_count

    out = console()
    beyond = sorted({round(10 ** row["reach"]) for row in rows})
    times = " and ".join(map(str, beyond))
    out.print(f"{runs} runs of 190M to 1.3B parameters forecast two models of {times} times their largest compute.\n")
    for name in dict.fromkeys(row["target"]["name"] for row in rows):
        of_target = [row for row in rows if row["target"]["name"] == name]
        target = of_target[0]["target"]
        reach = f"{of_target[0]['reach']:.1f} decades beyond the data"
        title = f"{name}: N = {format_count(target['N'])}, D = {format_count(target['D'])}, {reach}"
        table = Table(
            "task", "forecast", f"{level:.0%} interval", "measured", "error", title=title, title_justify="left"
        )
        for row in of_target:
            inside = row["low"] <= row["measured"] <= row["high"]
            table.add_row(
                row["metric"].removesuffix("/acc"),
                percent(row["value"]),
                f"[{percent(row['low'])}, {percent(row['high'])}]".replace("[", "\\["),
                percent(row["measured"]),
                f"{100 * row['error']:+.1f}",
                style="" if inside else "yellow",
            )
        out.print(table)
        out.print(takeaway(of_target, level) + "\n")
    print_doubts([(row["metric"], doubt) for row in rows for doubt in row["doubts"]])


def takeaway(rows: list[dict[str, Any]], level: float) -> str:
    """Write the sentence that a person would take away from a target's forecasts."""
    mean = sum(abs(row["error"]) for row in rows) / len(rows)
    worst = max(rows, key=lambda row: abs(row["error"]))
    inside = sum(row["low"] <= row["measured"] <= row["high"] for row in rows)
    return (
        f"{rows[0]['target']['name']}: off by {100 * mean:.1f} points on average, most on "
        f"{worst['metric'].removesuffix('/acc')} ({100 * worst['error']:+.1f}); "
        f"{inside} of {len(rows)} measurements lie in their {level:.0%} interval."
    )
