"""Gadre's six targets by our own methods: the C4-eval loss, every task, and the average errors of 17 and 46 tasks.

Run: python benchmarks/gadre.py [--method auto,ladder,overtrained]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np

from foretell.forecast import Forecast, Settings
from foretell.judge import Split
from foretell.judge.hidden import forecast_split
from foretell.methods import method_named
from foretell.methods.average_error import average_error, average_forecast, seventeen_tasks
from protocols import Group, protocol

LOSS = "c4/loss"
POINT = Settings(draws=0)


def forecasts(group: Group, method: str, tasks: dict[str, tuple[str, ...]]) -> list[tuple[Forecast, float]]:
    """Forecast one training set's targets: its loss, every task, and each average both ways."""
    assert group.test is not None
    every = sorted(set().union(*tasks.values()))
    fit, test = group.fit, group.test
    for name, some in tasks.items():
        fit, test = average_error(fit, some, name), average_error(test, some, name)
    made = forecast_split(method_named(method), Split(group.name, fit, test), [LOSS, *every, *tasks], POINT, None)
    measured = {(one.metric.name, one.target.name): value for one, value in made}
    for name, some in tasks.items():
        alone = [one for one, _ in made if one.metric.name in some]
        for joined in average_forecast(alone, f"{name}, of the tasks' own"):
            made.append((joined, measured[name, joined.target.name]))
    return made


def main() -> None:
    reader = argparse.ArgumentParser()
    reader.add_argument("--method", default="auto,ladder,overtrained")
    asked = reader.parse_args()
    groups = protocol("gadre.open").groups
    whole = groups[0].fit
    for group in groups[1:]:
        whole = whole.merge(group.fit)
    every = tuple(name for name, metric in whole.metrics.items() if metric.unit == "accuracy")
    tasks = {"average-17/err": seventeen_tasks(whole), "average-46/err": every}
    print("| method | of | n | mean error | median | each target |\n|---|---|---|---|---|---|")
    for method in asked.method.split(","):
        errors: dict[str, list[float]] = {}
        for group in groups:
            for forecast, value in forecasts(group, method, tasks):
                name = forecast.metric.name
                error = forecast.value - value if name in every else forecast.value / value - 1.0
                errors.setdefault("tasks, points" if name in every else f"{name}, %", []).append(100 * error)
        for of, found in sorted(errors.items()):
            size = np.abs(found)
            each = ", ".join(f"{error:+.1f}" for error in found) if len(found) <= 6 else ""
            print(
                f"| {method} | {of} | {len(found)} | {np.mean(size):.2f} | {np.median(size):.2f} | {each} |", flush=True
            )


if __name__ == "__main__":
    main()
