"""A comparison spread over workers: one job for each method and split, with the result of one process."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from foretell.errors import ExecuteError, MethodError
from foretell.execute import Ended, Job, executor_named
from foretell.forecast import Settings
from foretell.forecast.seal import canonical, digest_of
from foretell.judge import Backtest, backtest, splits_of
from foretell.judge.carried import carried, outcome_of
from foretell.judge.hidden import forecast_split
from foretell.methods import method_named
from foretell.table import Observations, open_study, save_study

CALL = "foretell.methods.spread:judge_one"
MOST_TARGETS = 40  # rows a hold-out and metric, as `backtest` takes them


def compare_on(
    observations: Observations,
    methods: Sequence[str],
    metrics: Sequence[str],
    settings: Settings,
    folder: str | Path,
    *,
    by: str = "C",
    on: str = "local",
    options: Mapping[str, Any] | None = None,
    on_end: Callable[[Ended], None] | None = None,
) -> tuple[list[Backtest], list[str]]:
    """Backtest methods on the same hidden rows, one job for each method and split; as `api.compare` gives it.

    The observations are written below `folder`, which every worker must see; what an earlier call finished there is not
    done again. Raises UnknownName before any job starts, and ExecuteError where a worker was lost for good.
    """
    for name in methods:
        method_named(name)
    place = Path(folder).resolve()
    study = place / "studies" / _digest(observations)
    if not study.exists():
        save_study(observations, study, source="foretell compare")
    arguments = {
        "study": str(study),
        "by": by,
        "metrics": list(metrics),
        "draws": settings.draws,
        "parts": sorted(settings.parts),
        "starts": settings.starts,
        "seed": settings.seed,
        "version": version_of("foretell"),
    }
    splits = splits_of(observations, by)
    jobs = [
        Job(f"{name}-{i}", CALL, {**arguments, "method": name, "split": i})
        for name in methods
        for i in range(len(splits))
    ]
    ended = executor_named(on, **dict(options or {})).run(jobs, place / "jobs", on_end=on_end)
    if lost := [one for one in ended if one.state != "done"]:
        raise ExecuteError(
            f"{len(lost)} of {len(ended)} jobs did not end well; the first: {lost[0].name}, {lost[0].error}; "
            "the others are kept: call it again"
        )
    results = {one.name: one.result for one in ended}
    made: list[Backtest] = []
    failures: list[str] = []
    for name in methods:
        try:
            made.append(_joined(name, [results[f"{name}-{i}"] for i in range(len(splits))]))
        except MethodError as error:
            failures.append(f"{name}: {error}")
    return made, failures


def judge_one(
    study: str,
    method: str,
    split: int,
    by: str,
    metrics: list[str],
    draws: int,
    parts: list[str],
    starts: int,
    seed: int,
    version: str,
) -> dict[str, Any]:
    """Backtest one method on one split of a study: what a job calls.

    Gives the method's own name, its outcomes and failures, and the `error` that ends the whole method where there is
    one. Raises ExecuteError where the worker has another version of this package.
    """
    here = version_of("foretell")
    if version != here:
        raise ExecuteError(f"this worker has foretell {here}, the caller {version}; install the same everywhere")
    chosen = method_named(method)
    part = splits_of(open_study(study), by)[split]
    how = Settings(draws=draws, parts=frozenset(parts), starts=starts, seed=seed)
    try:
        found = backtest(chosen, [part], metrics, how, most_targets=MOST_TARGETS)
    except MethodError as error:
        failures: list[str] = []
        nothing = not forecast_split(chosen, part, metrics, how, MOST_TARGETS, failures)
        told = {"name": chosen.name, "outcomes": [], "failures": failures}
        return told if nothing else {**told, "error": str(error)}
    return {
        "name": found.method,
        "outcomes": [carried(outcome) for outcome in found.outcomes],
        "failures": list(found.failures),
    }


def _joined(method: str, results: Sequence[Mapping[str, Any]]) -> Backtest:
    """Join the parts of one method as `backtest` would have made the whole; raises MethodError as it does."""
    for result in results:
        if "error" in result:
            raise MethodError(result["error"])
    outcomes = tuple(outcome_of(told) for result in results for told in result["outcomes"])
    failures = tuple(failure for result in results for failure in result["failures"])
    name = results[0]["name"] if results else method
    if not outcomes:
        raise MethodError(f"{name} forecast nothing: {failures[0] if failures else 'there was nothing to forecast'}")
    return Backtest(name, outcomes, failures)


def _digest(observations: Observations) -> str:
    """Give a digest of all that a fit can see: the table, and how it is to be read."""
    told = {
        "rows": digest_of(observations),
        "metrics": {name: metric.model_dump() for name, metric in observations.metrics.items()},
        "read": [observations.law_N, observations.rows, observations.final_mean, observations.shared_loss],
    }
    return hashlib.sha256(canonical(told)).hexdigest()[:24]
