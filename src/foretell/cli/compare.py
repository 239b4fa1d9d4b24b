"""`foretell compare`: all methods on the same hold-outs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretell.cli.options import AsJson, Draws, Figure, Metrics, Parts, Seed, Starts, Study, Where

if TYPE_CHECKING:
    from foretell.judge import Backtest


def compare(
    study: Study,
    by: Annotated[str, typer.Option(help="What is held out: the larger C, N or D, a family, or held-out runs.")] = "C",
    metric: Metrics = None,
    method: Annotated[
        list[str] | None, typer.Option("--method", help="A method to compare; repeat for more. [all]")
    ] = None,
    where: Where = None,
    parts: Parts = "all",
    draws: Draws = 200,
    starts: Starts = 64,
    seed: Seed = 0,
    figure: Figure = None,
    on: Annotated[
        str, typer.Option("--on", help="Spread methods and hold-outs over local, ray or slurm workers. [this process]")
    ] = "",
    executor: Annotated[
        list[str] | None, typer.Option("--executor", help="NAME=VALUE for where it runs, such as partition=gpu.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Backtest every method on the same hidden rows: errors, coverage and interval score beside each other.

    With --on the result is the same; the study's folder must be on a disk that every worker sees.
    """
    from rich.markup import escape

    from foretell import api
    from foretell.cli.show import console, print_json
    from foretell.errors import ExecuteError
    from foretell.execute import read_options
    from foretell.forecast import Settings, parse_parts

    if executor and not on:
        raise ExecuteError("--executor is of no use without --on; say where to run: local, ray or slurm")

    settings = Settings(draws=draws, parts=parse_parts(parts), starts=starts, seed=seed)
    observations = api.open(study)
    if where:
        observations = observations.where(where)
    with console(stderr=True).status("comparing") as status:
        if json:
            status.stop()
        made, failures = api.compare(
            observations,
            metric or [],
            by=by,
            methods=method or [],
            settings=settings,
            progress=lambda text: status.update(escape(f"comparing {text}")),
            on=on,
            options=read_options(executor or []),
            folder=study / "jobs" / "compare",
        )
    if figure:
        from foretell.report import draw_comparison

        draw_comparison(made, figure)
    if json:
        print_json([_summary(backtest) for backtest in made])
    else:
        _show(made)
    for failure in failures:
        console(stderr=True).print(f"not compared: {failure}", markup=False)


def _summary(backtest: Backtest) -> dict[str, Any]:
    told = backtest.to_json()
    return {name: part for name, part in told.items() if name != "outcomes"}


def _show(made: list[Backtest]) -> None:
    from rich.table import Table

    from foretell.cli.show import console

    table = Table("method", "kind", "n", "mean |error|", "median", "80% covers", "score", title="Hidden rows")
    for share, kind in ((True, "shares, points"), (False, "others, %")):
        parts = [part for backtest in made if (part := backtest.of_shares(share)).outcomes]
        for part in sorted(parts, key=lambda part: part.error()):
            covered, low, high, n = part.coverage(0.8)
            table.add_row(
                part.method,
                kind,
                str(n),
                f"{100 * part.error():.2f}",
                f"{100 * part.median_error():.2f}",
                f"{covered:.0%} ({low:.0%}–{high:.0%})",
                f"{100 * part.interval_score(0.8):.1f}",
            )
        if parts:
            copied = 100 * parts[0].error(lambda outcome: outcome.largest_run_error)
            table.add_row("largest run", kind, str(len(parts[0].outcomes)), f"{copied:.2f}", "", "", "", style="dim")
    console().print(table)
