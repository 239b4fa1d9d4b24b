"""Hidden rows: a split's test part, forecast from its fit part."""

from __future__ import annotations

from collections.abc import Sequence

from foretell.errors import ForetellError
from foretell.forecast import Forecast, Method, Settings, Target
from foretell.judge.split import Split, families_of, targets_of


def forecast_split(
    method: Method,
    split: Split,
    metrics: Sequence[str],
    settings: Settings,
    most: int | None,
    failures: list[str] | None = None,
) -> list[tuple[Forecast, float]]:
    """Forecast the hidden rows of each metric; give each forecast beside what was measured.

    At most `most` rows a metric, spread evenly over compute. Metrics that share their rows are forecast together. A
    metric that cannot be forecast is left out, and written to `failures`.
    """
    together: dict[tuple[str, ...], dict[str, dict[str, float]]] = {}
    targets: dict[tuple[str, ...], list[Target]] = {}
    families = families_of(split.test)
    for name in metrics:
        rows = targets_of(split.test.metric(name), most, families)
        key = tuple(target.name for target, _ in rows)
        targets[key] = [target for target, _ in rows]
        together.setdefault(key, {})[name] = {target.name: value for target, value in rows}
    made: list[tuple[Forecast, float]] = []
    for key, measured in together.items():
        forecasts = _forecast(method, split, targets[key], list(measured), settings, failures)
        made += [(forecast, measured[forecast.metric.name][forecast.target.name]) for forecast in forecasts]
    return made


def _forecast(
    method: Method,
    split: Split,
    targets: Sequence[Target],
    names: Sequence[str],
    settings: Settings,
    failures: list[str] | None,
) -> list[Forecast]:
    if not targets:
        return []
    try:
        return method.forecast(split.fit, targets, names, settings)
    except ForetellError as error:
        if len(names) == 1:
            if failures is not None:
                failures.append(f"{split.name}, {names[0]}: {error}")
            return []
    return [f for name in names for f in _forecast(method, split, targets, [name], settings, failures)]
