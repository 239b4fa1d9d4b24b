"""What is shown to others: a report, a sealed forecast and its score, tables for other tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from foretell.api.forecasts import backtest, predict
from foretell.errors import ForetellError, MethodError, UnknownName
from foretell.fitting import Fit
from foretell.forecast import Forecast, Settings, Target, check_level, held_out_targets
from foretell.forecast.seal import Seal, digest_of, open_seal
from foretell.forecast.seal import seal as seal_forecasts
from foretell.judge.sealed import Scorecard, results_in, score_seal
from foretell.methods import DEFAULT, method_named
from foretell.report.export import FORMATS, fit_rows, forecast_rows, write_rows, write_whole
from foretell.report.page import Contents, chains_of, render_page
from foretell.sources.results import Result, read_results
from foretell.table import Observations
from foretell.version import __version__

BACKTEST_DRAWS = 400  # as `foretell backtest`
ENDINGS = {".json": "json", ".csv": "csv", ".parquet": "parquet", ".tex": "latex"}


def write_report(
    observations: Observations,
    path: str | Path = "report.html",
    targets: Sequence[Target] = (),
    metrics: Sequence[str] = (),
    *,
    title: str = "study",
    method: str = DEFAULT,
    level: float = 0.8,
    settings: Settings | None = None,
    with_backtest: bool = True,
    **options: Any,
) -> Path:
    """Write forecasts, what they rest on and what speaks against them as one page that opens offline; give its path.

    Without targets, the runs that are held out are forecast; without metrics, every task. `options` are the method's
    own. Raises MethodError where nothing can be forecast, ForetellError where the file cannot be written.
    """
    contents = gather(
        observations, targets, metrics, title=title, level=level, method=method, settings=settings or Settings(),
        with_backtest=with_backtest, command="foretell.write_report", options=options,
    )  # fmt: skip
    return write_whole(path, render_page(contents).encode())


def seal(
    observations: Observations,
    path: str | Path,
    targets: Sequence[Target] = (),
    metrics: Sequence[str] = (),
    *,
    methods: Sequence[str] = (DEFAULT,),
    settings: Settings | None = None,
    study: str = "",
) -> Seal:
    """Forecast, and freeze the forecasts with their draws, a digest of the data, version and time in a file.

    Without targets, the runs that are held out are forecast. The file is never written over another: raises StudyError
    where it is there already, MethodError for settings without draws.
    """
    how = settings or Settings()
    if not how.draws:
        raise MethodError("a sealed forecast needs draws; give Settings(draws=…) of at least 20")
    failures: list[str] = []
    made = [
        one for name in methods
        for one in predict(observations, targets, metrics, method=name, settings=how, failures=failures)
    ]  # fmt: skip
    said = {"methods": list(methods), "metrics": list(metrics), "not forecast": failures}
    return seal_forecasts(made, observations, path, settings=how, options=said, study=study, version=__version__)


def score(
    sealed: Seal | str | Path,
    results: Observations | Mapping[str, float] | str | Path,
    *,
    run: str = "",
    digest: str = "",
) -> Scorecard:
    """Set sealed forecasts beside what was measured since: a study, a file of metric,value, or `{"arc/acc": 0.71}`.

    `run` names the run of a study that is the target, else the nearest within 10 % in N and D; `digest` is what was
    published. Shares are in 0..1. Raises SourceError for a broken seal or results of another run, UnknownName where no
    metric matches.
    """
    seal = sealed if isinstance(sealed, Seal) else open_seal(sealed, digest)
    if digest and not seal.digest.startswith(digest.lower()):
        raise MethodError(f"this is not the forecast that was published: its digest is {seal.digest}, not {digest}")
    if isinstance(results, Observations):
        found = results_in(seal, results, run)
    elif isinstance(results, Mapping):
        found = [Result(name, float(value)) for name, value in results.items()]
    else:
        found = read_results(results)
    verdicts, absent = score_seal(seal, found)
    return Scorecard(seal, tuple(verdicts), tuple(absent))


def export(
    made: Sequence[Forecast] | Sequence[Fit], path: str | Path, to: str = "", *, caption: str = "Forecasts"
) -> Path:
    """Write forecasts, or the coefficients of fits, as JSON, CSV, Parquet or LaTeX; give the path.

    `to` is json, csv, parquet or latex, else what the file's ending says. Raises UnknownName for another,
    ForetellError where there is nothing to write or the file cannot be written.
    """
    ending = Path(path).suffix.lower()
    if not to and ending not in ENDINGS:
        raise UnknownName("ending of a table", ending, ENDINGS)
    chosen = to or ENDINGS[ending]
    if chosen not in FORMATS:
        raise UnknownName("format", chosen, FORMATS)
    fits = [one for one in made if isinstance(one, Fit)]
    rows = fit_rows(fits) if fits else forecast_rows([one for one in made if isinstance(one, Forecast)])
    return write_rows(rows, path, chosen, caption=caption)


def gather(
    observations: Observations,
    targets: Sequence[Target],
    metrics: Sequence[str],
    *,
    title: str,
    where: str | None = None,
    level: float,
    method: str,
    settings: Settings,
    with_backtest: bool,
    command: str,
    options: Mapping[str, Any],
) -> Contents:
    """Make all that a report shows: forecasts, the fits behind them, a backtest of the same method."""
    check_level(level)
    if not settings.draws:
        raise MethodError("a report shows intervals, which need draws; give --draws of at least 20")
    chosen = method_named(method, **options)
    aims = list(targets) or held_out_targets(observations)
    training = observations.training().where(where) if where else observations
    failures: list[str] = []
    forecasts = predict(training, aims, metrics, method=chosen, settings=settings, failures=failures)
    names = list(dict.fromkeys(forecast.metric.name for forecast in forecasts))
    chains, exact, lost = chains_of(training, names, chosen, settings, aims[0].label)
    tried = None
    if with_backtest:
        try:
            quick = replace(settings, draws=min(BACKTEST_DRAWS, settings.draws))
            tried = backtest(training, names, method=chosen, settings=quick)
        except ForetellError as error:  # a study too small to hide anything still has its report
            lost.append(f"backtest: {error}")
    shown = training.merge(observations.held_out()) if where and len(observations.held_out().runs) else training
    return Contents(
        title=title,
        observations=shown,
        forecasts=tuple(forecasts),
        level=level,
        settings=settings,
        source=chosen.source,
        chains=tuple(chains),
        exact=exact,
        backtest=tried,
        failures=(*failures, *lost),
        command=command,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
        digest=digest_of(training.training()),
    )
