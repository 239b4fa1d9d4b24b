"""`foretell seal`: freeze a forecast before the run it is of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretell.cli.options import Draws, Metrics, Parts, Seed, Starts, Study, Where

if TYPE_CHECKING:
    from foretell.forecast import Forecast


def seal(
    study: Study,
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write; never over another.")],
    N: Annotated[str | None, typer.Option("-N", "--N", help="Parameters of the target, such as 7B.")] = None,
    D: Annotated[str | None, typer.Option("-D", "--D", help="Training tokens, such as 4T or 2xC.")] = None,
    C: Annotated[str | None, typer.Option("-C", "--C", help="Training FLOP, such as 1e23. [6ND]")] = None,
    metric: Metrics = None,
    method: Annotated[
        list[str] | None, typer.Option("-m", "--method", help="A method; repeat for more. [ladder]")
    ] = None,
    where: Where = None,
    parts: Parts = "all",
    draws: Draws = 1000,
    starts: Starts = 64,
    seed: Seed = 0,
) -> None:
    """Write a forecast with its draws, data digest, version, options, time and SHA-256 into a file that stays as it is.

    Without a target, the runs that the study holds out are forecast.
    """
    from foretell import __version__, api
    from foretell.cli.predict import show
    from foretell.cli.report import read_target
    from foretell.cli.show import console, working
    from foretell.errors import MethodError, StudyError
    from foretell.forecast import Settings, held_out_targets, parse_parts
    from foretell.forecast.seal import seal as seal_forecasts

    if output.exists():
        raise StudyError(f"{output} is already there; a sealed forecast is never overwritten: choose another name")
    aims = read_target(N, D, C)
    settings = Settings(draws=draws, parts=parse_parts(parts), starts=starts, seed=seed)
    if not draws:
        raise MethodError("a sealed forecast needs draws; give --draws of at least 20")
    observations = api.open(study)
    aims = aims or held_out_targets(observations)
    if where:
        observations = observations.training().where(where)
    methods = method or ["ladder"]
    failures: list[str] = []
    made: list[Forecast] = []
    with working("forecasting", quiet=False):
        for name in methods:
            made += api.predict(observations, aims, metric or [], method=name, settings=settings, failures=failures)
    sealed = seal_forecasts(
        made,
        observations,
        output,
        settings=settings,
        options={"methods": methods, "where": where or "", "metrics": metric or []},
        study=study.resolve().name,
        version=__version__,
    )
    for name in methods:
        show([forecast for forecast in sealed.forecasts if forecast.method == name], 0.8)
    out = console()
    out.print(f"sealed {len(made)} forecasts at {sealed.sealed} in {output}", markup=False)
    out.print(f"digest {sealed.digest}", markup=False)
    out.print("publish the digest now: then nobody need trust the file later", style="dim")
    for failure in failures:
        console(stderr=True).print(f"not forecast: {failure}", markup=False)
