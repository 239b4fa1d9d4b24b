"""A forecast as a run of MLflow, in the experiment of the runs that it came from."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from foretell.errors import ForetellError
from foretell.report.export import forecast_rows, json_text

if TYPE_CHECKING:
    from foretell.forecast import Forecast

_NAME = re.compile(r"[^\w\-./ ]")  # what MLflow takes in the name of a metric, less the colon that Windows refuses
LONGEST_NAME, LONGEST_VALUE = 250, 500  # characters; MLflow's own limits on names and parameter values
MOST_METRICS = 1000  # of one request
LEVEL = 0.8


def import_mlflow() -> Any:
    """Give the module mlflow; raises ForetellError, naming the extra, where it is not installed."""
    try:
        return import_module("mlflow")
    except ImportError:
        raise ForetellError("MLflow is not installed; run pip install 'foretell[track]'") from None


def log_forecasts(
    forecasts: Sequence[Forecast], uri: str, experiment: str, *, about: Mapping[str, str] | None = None
) -> list[str]:
    """Log each target's forecasts as one run of an experiment, made where it is not there; give the runs' ids.

    Each metric is logged under its own name (the forecast value) with `/low` and `/high` of its 80 % interval and
    `/reach`, and everything as the artifact forecast.json. `about` are further tags. Raises ForetellError when mlflow
    is not installed, or the server cannot be reached.
    """
    mlflow = import_mlflow()
    entities: Any = import_module("mlflow.entities")
    if not forecasts:
        raise ForetellError("there is no forecast to log")
    try:
        client = mlflow.MlflowClient(tracking_uri=uri)
        known = client.get_experiment_by_name(experiment)
        place = known.experiment_id if known is not None else client.create_experiment(experiment)
        made = []
        for label in dict.fromkeys((forecast.target.label, forecast.method) for forecast in forecasts):
            of = [forecast for forecast in forecasts if (forecast.target.label, forecast.method) == label]
            run = client.create_run(place, run_name=f"forecast {label[0]} by {label[1]}", tags=_tags(of, about or {}))
            now = int(time.time() * 1000)
            metrics = [entities.Metric(name, value, now, 0) for name, value in metrics_of(of).items()]
            params = [entities.Param(name, value[:LONGEST_VALUE]) for name, value in _params(of).items()]
            for begin in range(0, max(1, len(metrics)), MOST_METRICS):
                client.log_batch(
                    run.info.run_id,
                    metrics=metrics[begin : begin + MOST_METRICS],
                    params=params if begin == 0 else [],
                )
            client.log_text(run.info.run_id, json_text(forecast_rows(of)), "forecast.json")
            client.set_terminated(run.info.run_id)
            made.append(run.info.run_id)
    except mlflow.exceptions.MlflowException as error:
        raise ForetellError(f"MLflow at {uri} refused the forecast: {str(error).splitlines()[0]}") from None
    return made


def metrics_of(forecasts: Sequence[Forecast]) -> dict[str, float]:
    """Name the numbers of one target's forecasts as MLflow takes them; two names that become one are told apart."""
    made: dict[str, float] = {}
    for forecast in forecasts:
        name = plain_name(forecast.metric.name)
        while f"{name}/reach" in made:
            name += "_"
        made[name] = forecast.value
        made[f"{name}/reach"] = forecast.reach
        if len(forecast.draws):
            made[f"{name}/low"], made[f"{name}/high"] = forecast.interval(LEVEL)
    return made


def plain_name(name: str) -> str:
    """Replace what MLflow refuses in a name, path steps among it."""
    steps = [_NAME.sub("_", step) for step in name[: LONGEST_NAME - 10].split("/")]
    return "/".join(step.replace(".", "_") if set(step) <= {"."} else step for step in steps if step) or "_"


def _params(forecasts: Sequence[Forecast]) -> dict[str, str]:
    first = forecasts[0]
    told = {"N": f"{first.target.N:.6g}", "D": f"{first.target.D:.6g}", "method": first.method, "level": f"{LEVEL:g}"}
    return told | ({"C": f"{first.target.C:.6g}"} if first.target.C else {})


def _tags(forecasts: Sequence[Forecast], about: Mapping[str, str]) -> dict[str, Any]:
    doubts = list(dict.fromkeys(doubt for forecast in forecasts for doubt in forecast.doubts))
    return {"foretell.kind": "forecast", "foretell.doubts": json.dumps(doubts, ensure_ascii=False), **about}
