"""The direct law's recipes on hold-outs inside the training rows of several families; what its defaults rest on.

No row that a protocol holds out is read here. Run: python benchmarks/direct_defaults.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np

from foretell.errors import ForetellError
from foretell.forecast import Settings
from foretell.judge.hidden import forecast_split
from foretell.judge.split import splits_of
from foretell.methods.direct import Direct
from protocols import protocol

FAMILIES = ("olmo-ladder", "gadre.open", "gemstones", "pythia", "obsscaling")
SHARES = (0.4, 0.6, 0.8)
POINT = Settings(draws=0, starts=16)
MOST = 8  # rows a hold-out and metric

VARIANTS = {
    f"{recipe}{' raw' if not chance else ''}{' + E' if ceiling else ''}{' in C' if form == 'C' else ''}": Direct(
        form=form, recipe=recipe, chance=chance, ceiling=ceiling
    )
    for form in ("auto", "C")
    for recipe in ("published", "log", "share", "binomial")
    for chance in (True, False)
    for ceiling in (False, True)
    if form == "auto" or (chance and not ceiling)
}


def hold_outs(name: str, method: Direct) -> dict[tuple[str, ...], float]:
    """Give the error in points of every forecast inside a family's training rows, by what it forecasts."""
    found: dict[tuple[str, ...], float] = {}
    for group in protocol(name).groups:
        training = group.fit.training()
        metrics = [m for m in protocol(name).metrics if m in training.metrics and training.metrics[m].is_share]
        if not metrics:
            continue
        try:
            splits = splits_of(training, "C", SHARES)
        except ForetellError:
            continue
        for split in splits:
            for forecast, measured in forecast_split(method, split, metrics, POINT, MOST):
                key = (group.name, split.name, forecast.metric.name, forecast.target.label)
                found[key] = 100 * abs(forecast.value - measured)
    return found


def main() -> None:
    names = sys.argv[1:] or FAMILIES
    errors = {(label, name): hold_outs(name, method) for label, method in VARIANTS.items() for name in names}
    shared = {name: set.intersection(*(set(errors[label, name]) for label in VARIANTS)) for name in names}
    print("mean |error| in points over the forecasts that every variant makes, and its mean over families\n")
    print(f"| recipe | {' | '.join(f'{name} (n = {len(shared[name])})' for name in names)} | mean | forecasts made |")
    print("|---" * (len(names) + 3) + "|")
    for label in VARIANTS:
        means = [float(np.mean([errors[label, name][key] for key in sorted(shared[name])])) for name in names]
        made = sum(len(errors[label, name]) for name in names)
        cells = " | ".join(f"{mean:.2f}" for mean in (*means, float(np.mean(means))))
        print(f"| {label} | {cells} | {made} |", flush=True)


if __name__ == "__main__":
    main()
