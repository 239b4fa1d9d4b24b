"""`foretell plot`: figures for papers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretell.cli.options import Draws, Level, MethodName, Metrics, Seed, Starts, Study

if TYPE_CHECKING:
    from foretell.forecast import Forecast
    from foretell.table import Observations

KINDS = ("forecast", "ladder", "residuals", "backtest", "coverage", "pit")


def plot(
    kind: Annotated[
        str, typer.Argument(help="forecast, ladder, residuals, backtest, coverage, pit.", show_default=False)
    ],
    study: Study,
    output: Annotated[Path, typer.Option("-o", "--output", help="The figure: .pdf, .svg or .png.")],
    N: Annotated[str | None, typer.Option("-N", "--N", help="Parameters of the target, such as 7B.")] = None,
    D: Annotated[str | None, typer.Option("-D", "--D", help="Training tokens, such as 4T or 2xC.")] = None,
    metric: Metrics = None,
    method: MethodName = "ladder",
    width: Annotated[str, typer.Option("--width", help="column (3.3 in) or page (6.9 in).")] = "column",
    level: Level = 0.8,
    draws: Draws = 400,
    starts: Starts = 64,
    seed: Seed = 0,
) -> None:
    """Draw a figure for a paper: forecasts beside measurements, the ladder, residuals, a backtest or its coverage."""
    from foretell import api
    from foretell.cli.report import read_target
    from foretell.cli.show import console, working
    from foretell.errors import MethodError, UnknownName
    from foretell.forecast import Settings, held_out_targets
    from foretell.report.backtest_figures import draw_backtest, draw_coverage
    from foretell.report.calibration_figure import draw_pit
    from foretell.report.canvas import check_figure
    from foretell.report.fit_figures import draw_ladder, draw_residuals
    from foretell.report.forecast_figure import draw_forecasts
    from foretell.report.paper import WIDTHS
    from foretell.table import leading_loss

    if kind not in KINDS:
        raise UnknownName("figure", kind, KINDS)
    check_figure(output)
    if width not in WIDTHS:
        raise UnknownName("width", width, WIDTHS)
    aims = read_target(N, D)
    settings = Settings(draws=draws, starts=starts, seed=seed)
    observations = api.open(study)
    with working("drawing", quiet=False):
        if kind == "forecast":
            made = api.predict(observations, aims, metric or [], method=method, settings=settings, failures=[])
            measured = _measured(observations, made)
            largest = [observations.training().metric(f.metric.name).largest_value for f in made]
            draw_forecasts(made, output, measured=measured, largest_run=largest, level=level)
        elif kind in ("ladder", "residuals"):
            chosen = metric or [leading_loss(observations.metrics, observations.shared_loss) or ""]
            if not chosen[0]:
                raise MethodError("the study holds no loss to draw; name a metric with --metric")
            fit = api.fit_metric(
                observations, _law(observations, chosen[0]), chosen[0], starts=starts, draws=0, seed=seed
            )
            if kind == "ladder":
                draw_ladder(fit, aims or held_out_targets(observations), output, width=width)
            else:
                draw_residuals(fit, output, width=width)
        else:
            tried = api.backtest(observations, metric or [], method=method, settings=settings)
            if kind == "pit":
                draw_pit({name: part.pit() for name, part in tried.by_kind().items()}, output, width=width)
            else:
                (draw_backtest if kind == "backtest" else draw_coverage)(tried, output, width=width)
    console().print(f"wrote {output}", markup=False)


def _measured(observations: Observations, made: list[Forecast]) -> list[float] | None:
    held = observations.held_out()
    if not len(held.runs):
        return None
    found = {}
    for name in {forecast.metric.name for forecast in made}:
        points = held.metric(name)
        found.update({(str(run), name): float(v) for run, v in zip(points.run, points.value, strict=True)})
    values = [found.get((forecast.target.name, forecast.metric.name)) for forecast in made]
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else None


def _law(observations: Observations, metric: str) -> str:
    """Name the law that the method ladder would fit."""
    from foretell.methods.lossfit import choose_law

    return choose_law(observations.training().metric(metric))[0].name
