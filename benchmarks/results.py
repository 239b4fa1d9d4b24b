"""Every figure that docs/results.md reports, measured anew: published numbers reproduced, and ours beside them.

Run: python benchmarks/results.py        (coverage and speed have scripts of their own)
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np

from foretell.fitting import fit
from foretell.forecast import Settings, held_out_targets
from foretell.laws import LAWS
from foretell.methods import method_named
from foretell.sources import read_olmo_ladder
from foretell.table import Observations
from protocols import protocol

POINT = Settings(draws=0)


def ladder_errors(study: Observations, *, as_published: bool = False, **options: str | bool) -> dict[str, float]:
    """Give the mean |error| over the 8 tasks in points, for each target."""
    method = method_named("ladder", as_published=as_published, **options)
    tasks = [name for name in study.metrics if name.endswith("/acc")]
    hidden = study.held_out()
    measured = {name: dict(zip(hidden.metric(name).run, hidden.metric(name).value, strict=True)) for name in tasks}
    errors: dict[str, list[float]] = {}
    for forecast in method.forecast(study.training(), held_out_targets(study), tasks, POINT):
        error = abs(forecast.value - measured[forecast.metric.name][forecast.target.name])
        errors.setdefault(forecast.target.name, []).append(100 * error)
    return {name: float(np.mean(found)) for name, found in errors.items()}


def olmo_ladder() -> None:
    from protocols import testbeds

    study = read_olmo_ladder(testbeds() / "olmo-ladder")
    print("\n## OLMo ladder: 16 runs ≤ 1.3B → 7B-4T and 13B-5T, mean |error| over 8 tasks, points\n")
    print("| method | 7B-4T | 13B-5T | published |\n|---|---|---|---|")
    rows: list[tuple[str, str, dict[str, str | bool]]] = [
        ("as published: task bpb, N and D", "3.82 / 4.17", {"as_published": True}),
        ("as published: task bpb, C", "3.27 / 3.54", {"as_published": True, "from_compute": True}),
        ("as published: C4 loss, corrected start", "2.00 / 3.45", {"as_published": True, "intermediate": "c4/loss"}),
        ("ladder, task bpb and Chinchilla", "", {"intermediate": "bpb", "law": "chinchilla"}),
        ("ladder, C4 loss and Chinchilla", "", {"intermediate": "c4/loss", "law": "chinchilla"}),
        ("**ladder, default** (C4 loss and Skaling)", "", {}),
    ]
    for label, published, options in rows:
        made = ladder_errors(study, **options)  # type: ignore[arg-type]
        print(f"| {label} | {made['7B-4T']:.2f} | {made['13B-5T']:.2f} | {published} |")


def chinchilla() -> None:
    points = protocol("chinchilla").fit.metric("loss")
    print("\n## Chinchilla on 240 points\n")
    print("| objective | A | B | E | alpha | beta | value |\n|---|---|---|---|---|---|---|")
    for objective in ("huber:1e-3", "huber-scale"):
        made = fit(LAWS["chinchilla"], points, objective=objective)
        c = made.coefficients
        print(
            f"| {objective} | {c['A']:.2f} | {c['B']:.2f} | {c['E']:.4f} | {c['alpha']:.4f} | {c['beta']:.4f} "
            f"| {made.objective_value:.9g} |"
        )


def farseer() -> None:
    found = protocol("farseer")
    train, test = found.fit.metric("loss"), found.test.metric("loss")
    print("\n## Farseer: lower half of compute → upper half, mean |relative error|\n")
    print("| law | huber:1e-3 | least squares |\n|---|---|---|")
    for name in ("chinchilla", "skaling", "farseer"):
        cells = []
        for objective in ("huber:1e-3", "gaussian"):
            made = fit(LAWS[name], train, objective=objective, starts=256)
            cells.append(f"{100 * np.mean(np.abs(made.predict(test.inputs) / test.value - 1)):.2f} %")
        print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    olmo_ladder()
    chinchilla()
    farseer()


if __name__ == "__main__":
    main()
