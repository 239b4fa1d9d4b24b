"""`foretell export`: forecasts and fits for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretell.cli.options import Draws, MethodName, Metrics, Parts, Seed, Starts

if TYPE_CHECKING:
    from foretell.fitting import Fit
    from foretell.forecast import Settings, Target
    from foretell.table import Observations


def export(
    source: Annotated[
        Path, typer.Argument(help="A study folder, or a file that `foretell seal` wrote.", show_default=False)
    ],
    to: Annotated[str, typer.Option("--to", help="json, csv, parquet, latex or mlflow.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The file to write.")] = None,
    fits: Annotated[
        bool, typer.Option("--fits", help="The coefficients of the fitted laws, not the forecasts.")
    ] = False,
    N: Annotated[str | None, typer.Option("-N", "--N", help="Parameters of the target, such as 7B.")] = None,
    D: Annotated[str | None, typer.Option("-D", "--D", help="Training tokens, such as 4T or 2xC.")] = None,
    metric: Metrics = None,
    method: MethodName = "ladder",
    parts: Parts = "all",
    draws: Draws = 1000,
    starts: Starts = 64,
    seed: Seed = 0,
    uri: Annotated[str | None, typer.Option("--uri", help="With --to mlflow: the tracking server or store.")] = None,
    experiment: Annotated[
        str, typer.Option("--experiment", help="With --to mlflow: the experiment that the runs are in.")
    ] = "foretell",
) -> None:
    """Write forecasts (or fitted laws) as JSON, CSV, Parquet or LaTeX, or log them in MLflow beside their runs.

    Of a study without a target, the runs that it holds out are forecast.
    """
    from foretell import __version__, api
    from foretell.cli.report import read_target
    from foretell.cli.show import console, working
    from foretell.errors import ForetellError, UnknownName
    from foretell.forecast import Settings, held_out_targets, parse_parts
    from foretell.forecast.seal import is_seal, open_seal
    from foretell.report.export import FORMATS, fit_rows, forecast_rows, write_rows

    if to not in (*FORMATS, "mlflow"):
        raise UnknownName("format", to, (*FORMATS, "mlflow"))
    if to == "mlflow" and (uri is None or fits):
        raise ForetellError("--to mlflow logs forecasts, and needs --uri: a server, or sqlite:///mlflow.db")
    if to == "mlflow":
        from foretell.report.mlflow_run import import_mlflow

        import_mlflow()  # before any forecast, which would be lost
    if to != "mlflow" and output is None:
        raise ForetellError(f"--to {to} needs a file: -o FILE")
    about = {"foretell.version": __version__}
    aims = read_target(N, D)
    if is_seal(source):
        if fits or aims:
            raise ForetellError("a sealed forecast holds neither fits nor other targets; export the study instead")
        sealed = open_seal(source)
        made = list(sealed.forecasts)
        about |= {"foretell.sealed": sealed.sealed, "foretell.digest": sealed.digest}
    else:
        settings = Settings(draws=draws, parts=parse_parts(parts), starts=starts, seed=seed)
        observations = api.open(source)
        about |= {"foretell.runs": ", ".join(observations.training().runs["name"].to_list())[:4000]}
        if fits:
            with working("fitting", quiet=False):
                found = _fits(observations, metric or [], method, settings, aims or held_out_targets(observations))
            rows = fit_rows(found)
            assert output is not None
            write_rows(rows, output, to, caption="Fitted laws")
            console().print(f"wrote {len(rows)} coefficients of {len(found)} fits into {output}", markup=False)
            return
        failures: list[str] = []
        with working("forecasting", quiet=False):
            made = api.predict(observations, aims, metric or [], method=method, settings=settings, failures=failures)
        for failure in failures:
            console(stderr=True).print(f"not forecast: {failure}", markup=False)
    if to == "mlflow":
        from foretell.report.mlflow_run import log_forecasts

        runs = log_forecasts(made, str(uri), experiment, about=about)
        console().print(
            f"logged {len(made)} forecasts as {', '.join(runs)} in the experiment {experiment}", markup=False
        )
        return
    assert output is not None
    write_rows(forecast_rows(made), output, to, caption="Forecasts with their 80 % intervals")
    console().print(f"wrote {len(made)} forecasts into {output}", markup=False)


def _fits(
    observations: Observations, metrics: list[str], method: str, settings: Settings, targets: list[Target]
) -> list[Fit]:
    from foretell import api
    from foretell.errors import MethodError
    from foretell.methods import method_named
    from foretell.report.page import chains_of

    label = targets[0].label if targets else ""
    chains, exact, failures = chains_of(
        observations, api.metrics_of(observations, metrics), method_named(method), settings, label
    )
    if not exact:
        raise MethodError(
            f"the method {method} is no chain of fitted laws; export the fits of ladder, or its forecasts"
        )
    if not chains:
        raise MethodError(f"no law could be fitted; the first: {failures[0] if failures else 'there is no metric'}")
    found: dict[tuple[str, str], Fit] = {}
    for chain in chains:
        for fit in (chain.loss, chain.link):
            if fit is not None:
                found.setdefault((fit.points.metric.name, fit.law.name), fit)
    return list(found.values())
