"""`foretell backtest`: would it have worked?"""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, Annotated

import typer

from foretell.cli.options import (
    AsJson,
    AsPublished,
    Draws,
    Family,
    FromCompute,
    Intermediate,
    LawName,
    LinkName,
    MethodName,
    Metrics,
    Parts,
    Seed,
    Starts,
    Study,
    Where,
    items_for,
    method_options,
)  # fmt: skip

if TYPE_CHECKING:
    from rich.table import Table

    from foretell.judge import Backtest


def backtest(
    study: Study,
    by: Annotated[str, typer.Option(help="What is held out: the larger C, N or D, a family, or held-out runs.")] = "C",
    metric: Metrics = None,
    method: MethodName = "ladder",
    law: LawName = None,
    link: LinkName = None,
    intermediate: Intermediate = None,
    as_published: AsPublished = False,
    from_compute: FromCompute = False,
    family: Family = None,
    where: Where = None,
    parts: Parts = "all",
    draws: Draws = 400,
    starts: Starts = 64,
    seed: Seed = 0,
    json: AsJson = False,
) -> None:
    """Hide the larger runs, forecast them from the smaller, and score errors, coverage and intervals."""
    from rich.markup import escape

    from foretell import api
    from foretell.cli.show import console, print_json
    from foretell.forecast import Settings, parse_parts

    options = method_options(
        law, link, intermediate, as_published=as_published, from_compute=from_compute, family=family
    )
    settings = Settings(draws=draws, parts=parse_parts(parts), starts=starts, seed=seed)
    observations = api.open(study)
    if where:
        observations = observations.where(where)
    with console(stderr=True).status("backtesting") as status:
        if json:
            status.stop()
        made = api.backtest(
            observations,
            metric or [],
            by=by,
            method=method,
            settings=settings,
            progress=lambda text: status.update(escape(f"backtesting {text}")),
            **options,
            **items_for(method, study),
        )
    if json:
        print_json(made.to_json())
        return
    show(made)
    for failure in made.failures:
        console(stderr=True).print(f"not forecast: {failure}", markup=False)


def show(made: Backtest) -> None:
    """Print errors beside trivial baselines, and coverage with its binomial interval."""
    from rich.table import Table

    from foretell.cli.show import console
    from foretell.judge import LEVELS

    out = console()
    out.print(f"{made.method}: {len(made.outcomes)} forecasts of rows that no fit saw")
    table = Table(
        "metric", "n", "mean |error|", "largest run", "chance", *(f"{level:.0%} covers" for level in LEVELS), "score"
    )
    for name in [*made.metrics, "all"]:
        part = made if name == "all" else made.of_metric(name)
        shares = {outcome.forecast.metric.is_share for outcome in part.outcomes}
        unit = " pt" if shares == {True} else " %" if shares == {False} else ""
        if len(shares) > 1:  # points and relative errors have no common mean
            errors = ["", "", ""]
        else:
            baselines = (part.error(), part.error(lambda o: o.largest_run_error), part.error(lambda o: o.chance_error))
            errors = ["" if isnan(error) else f"{100 * error:.2f}{unit}" for error in baselines]
        intervals = all(len(outcome.forecast.draws) for outcome in part.outcomes)
        covers = [_coverage(part, level) for level in LEVELS] if intervals else ["none"] * len(LEVELS)
        score = f"{100 * part.interval_score(0.8):.1f}" if intervals else "none"
        table.add_row(name, str(len(part.outcomes)), *errors, *covers, score)
    out.print(table)
    out.print(
        "errors in points (pt) for accuracies and relative (%) otherwise; coverage with its 95 % binomial interval; "
        "score: the 80 % interval score, less is better",
        style="dim",
    )
    if all(len(outcome.forecast.draws) for outcome in made.outcomes):
        out.print(_by_reach(made))


def _by_reach(made: Backtest) -> Table:
    """Tabulate coverage and interval score by decades beyond the data, shares and the rest apart."""
    from rich.table import Table

    from foretell.judge import LEVELS

    table = Table("kind", "reach, decades", "n", *(f"{level:.0%} covers" for level in LEVELS), "score")
    for kind, part in made.by_kind().items():
        for reach, found in part.by_reach().items():
            covers = [_coverage(found, level) for level in LEVELS]
            table.add_row(kind, reach, str(len(found.outcomes)), *covers, f"{100 * found.interval_score(0.8):.1f}")
    return table


def _coverage(made: Backtest, level: float) -> str:
    share, low, high, _ = made.coverage(level)
    return f"{share:.0%} ({low:.0%}–{high:.0%})"
