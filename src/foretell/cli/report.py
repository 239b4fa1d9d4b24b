"""`foretell report`: one page that holds the question, the answer and what it rests on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretell.cli.options import (
    Draws,
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
    method_options,
)  # fmt: skip

if TYPE_CHECKING:
    from foretell.forecast import Target


def report(
    study: Study,
    output: Annotated[Path, typer.Option("-o", "--output", help="The page to write.")] = Path("report.html"),
    N: Annotated[str | None, typer.Option("-N", "--N", help="Parameters of the target, such as 7B.")] = None,
    D: Annotated[str | None, typer.Option("-D", "--D", help="Training tokens, such as 4T or 2xC.")] = None,
    C: Annotated[str | None, typer.Option("-C", "--C", help="Training FLOP, such as 1e23. [6ND]")] = None,
    metric: Metrics = None,
    method: MethodName = "ladder",
    law: LawName = None,
    link: LinkName = None,
    intermediate: Intermediate = None,
    where: Where = None,
    level: Level = 0.8,
    parts: Parts = "all",
    draws: Draws = 1000,
    starts: Starts = 64,
    seed: Seed = 0,
    with_backtest: Annotated[bool, typer.Option("--backtest/--no-backtest", help="Backtest as well.")] = True,
) -> None:
    """Write forecasts, what they rest on and what speaks against them as one page that opens offline.

    Without a target, the runs that the study holds out are forecast.
    """
    from foretell import api
    from foretell.api.sharing import gather
    from foretell.cli.show import console, working
    from foretell.forecast import Settings, parse_parts
    from foretell.report.export import write_whole
    from foretell.report.page import render_page

    aims = read_target(N, D, C)
    settings = Settings(draws=draws, parts=parse_parts(parts), starts=starts, seed=seed)
    observations = api.open(study)
    with working("forecasting", quiet=False):
        contents = gather(
            observations,
            aims,
            metric or [],
            title=study.resolve().name,
            where=where,
            level=level,
            method=method,
            settings=settings,
            with_backtest=with_backtest,
            command=f"foretell report {study} -o {output}{_target_words(N, D, C, method)}",
            options=method_options(law, link, intermediate),
        )
        page = render_page(contents)
    write_whole(output, page.encode())
    console().print(f"wrote {output} ({len(page.encode()) / 1e6:.1f} MB); open it in any browser", markup=False)


def read_target(N: str | None, D: str | None, C: str | None = None) -> list[Target]:
    """Read the one target that -N and -D describe, or none; raises MethodError when one of them is missing."""
    from foretell import api
    from foretell.errors import MethodError

    if N is None and D is None and C is None:
        return []
    if N is None or D is None:
        raise MethodError("a target needs both -N and -D; give the missing one")
    return [api.target(N, D, C)]


def _target_words(N: str | None, D: str | None, C: str | None, method: str) -> str:
    given = {"-N": N, "-D": D, "-C": C, "--method": None if method == "ladder" else method}
    return "".join(f" {option} {value}" for option, value in given.items() if value)
