"""`foretell predict`: forecast a large run from a study of small ones."""

from __future__ import annotations

from pathlib import Path
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
    Level,
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
    from foretell.forecast import Forecast, Target


def predict(
    study: Study,
    N: Annotated[str | None, typer.Option("-N", "--N", help="Parameters of the target, such as 7B.")] = None,
    D: Annotated[str | None, typer.Option("-D", "--D", help="Training tokens, such as 4T or 2xC.")] = None,
    C: Annotated[str | None, typer.Option("-C", "--C", help="Training FLOP, such as 1e23. [6ND]")] = None,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", help="NAME=VALUE that a law needs of the target, such as U=1T.")
    ] = None,
    targets: Annotated[Path | None, typer.Option(help="A CSV of targets: columns name,N,D[,C].")] = None,
    metric: Metrics = None,
    method: MethodName = "ladder",
    law: LawName = None,
    link: LinkName = None,
    intermediate: Intermediate = None,
    as_published: AsPublished = False,
    from_compute: FromCompute = False,
    family: Family = None,
    where: Where = None,
    level: Level = 0.8,
    parts: Parts = "all",
    draws: Draws = 1000,
    starts: Starts = 64,
    seed: Seed = 0,
    json: AsJson = False,
) -> None:
    """Forecast every task (or the metrics named) of a target, with intervals, reach and doubts.

    Without a target, the runs that the study holds out are forecast.
    """
    from foretell import api
    from foretell.cli.show import console, print_json, working
    from foretell.errors import MethodError
    from foretell.forecast import Settings, held_out_targets, parse_parts

    aims = read_targets(targets) if targets else []
    if N is not None or D is not None:
        if N is None or D is None:
            raise MethodError(f"a target needs both -N and -D; -{'D' if N else 'N'} is missing")
        aims.append(api.target(N, D, C, **read_inputs(inputs or [])))
    elif C is not None:
        raise MethodError("-C alone describes no target; give -N and -D as well")
    options = method_options(
        law, link, intermediate, as_published=as_published, from_compute=from_compute, family=family
    )
    settings = Settings(draws=draws, parts=parse_parts(parts), starts=starts, seed=seed)
    observations = api.open(study)
    aims = aims or held_out_targets(observations)
    if where:
        observations = observations.training().where(where)
    failures: list[str] = []
    with working("forecasting", quiet=json):
        made = api.predict(
            observations,
            aims,
            metric or [],
            method=method,
            settings=settings,
            failures=failures,
            **options,
            **items_for(method, study),
        )
    if json:
        print_json([forecast.to_json(level) for forecast in made])
    else:
        show(made, level)
    for failure in failures:
        console(stderr=True).print(f"not forecast: {failure}", markup=False)


def read_inputs(pairs: list[str]) -> dict[str, str]:
    """Read NAME=VALUE pairs."""
    from foretell.errors import MethodError

    made = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise MethodError(f"--input {pair!r} is not NAME=VALUE, such as U=1T")
        made[name] = value
    return made


def read_targets(path: Path) -> list[Target]:
    """Read targets from a CSV with the columns name, N, D and perhaps C, written as people write them."""
    import csv
    import io

    from foretell import api
    from foretell.encoding import not_utf8
    from foretell.errors import SourceError, UnitError

    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    except UnicodeDecodeError as error:
        raise SourceError(not_utf8(error, str(path))) from None
    except (OSError, csv.Error) as error:
        raise SourceError(f"the targets {path} cannot be read: {error}") from None
    found = set(rows[0]) if rows else set()
    if not {"N", "D"} <= found:
        raise SourceError(
            f"the targets {path} need the columns name,N,D[,C]; found: {', '.join(map(str, found)) or 'no row'}"
        )
    made = []
    for number, row in enumerate(rows, start=2):
        try:
            made.append(api.target(row["N"] or "", row["D"] or "", row.get("C") or None, row.get("name") or ""))
        except UnitError as error:
            raise SourceError(f"line {number} of {path}: {error}") from None
    return made


def show(made: list[Forecast], level: float) -> None:
    """Print a table for each target, why a method that chooses chose, and the doubts."""
    from rich.table import Table

    from foretell.cli.show import console, forecast_cells, print_doubts, reach_words
    from foretell.units import format_count

    out = console()
    for label in dict.fromkeys(forecast.target.label for forecast in made):
        of_target = [forecast for forecast in made if forecast.target.label == label]
        target = of_target[0].target
        title = f"{label}: N = {format_count(target.N)}, D = {format_count(target.D)} by {of_target[0].method}"
        table = Table("metric", "forecast", f"{level:.0%} interval", "reach", title=title, title_justify="left")
        for forecast in of_target:
            value, interval = forecast_cells(forecast, level)
            table.add_row(forecast.metric.name, value, interval, reach_words(forecast.reach))
        out.print(table)
    for reason in dict.fromkeys(forecast.reason for forecast in made if forecast.reason):
        out.print(reason, markup=False)
    print_doubts([(forecast.metric.name, doubt) for forecast in made for doubt in forecast.doubts])
