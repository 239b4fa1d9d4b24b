"""Every method on every protocol's hidden rows: mean and median error, and the coverage of its 80 % intervals.

Run: python benchmarks/methods.py [PROTOCOL …] [--method auto,ladder,…]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np

from foretell.errors import ForetellError
from foretell.forecast import Settings
from foretell.judge import Backtest, Split, backtest
from foretell.methods import METHODS, method_named
from protocols import protocol

PROTOCOLS = (
    "olmo-ladder", "gadre.open", "misfitting", "porian", "gemstones", "pythia", "marin", "chinchilla.progressive",
    "farseer", "datablations",
)  # fmt: skip


def judged(name: str, method: str, settings: Settings) -> Backtest:
    """Forecast the hidden rows of every group of a protocol."""
    found = protocol(name)
    outcomes, failures = [], []
    for group in found.groups:
        metrics = [metric for metric in found.metrics if metric in group.fit.metrics]
        try:
            made = backtest(method_named(method), [Split(group.name, group.fit, group.test)], metrics, settings)
        except ForetellError as error:
            failures.append(f"{group.name}: {error}")
            continue
        outcomes += made.outcomes
        failures += made.failures
    return Backtest(method, tuple(outcomes), tuple(failures))


def main() -> None:
    reader = argparse.ArgumentParser()
    reader.add_argument("protocols", nargs="*", default=PROTOCOLS)
    reader.add_argument("--method", default=",".join(METHODS))
    reader.add_argument("--draws", type=int, default=100)
    asked = reader.parse_args()
    print("| protocol | of | method | n | mean error | median | 80 % covers | score | not forecast | s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in asked.protocols:
        for method in asked.method.split(","):
            begun = time.perf_counter()
            made = judged(name, method, Settings(draws=asked.draws))
            for kind, part in made.by_kind().items():
                share, low, high, n = part.coverage(0.8)
                errors = [abs(outcome.error) for outcome in part.outcomes]
                print(
                    f"| {name} | {kind} | {method} | {n} | {100 * np.mean(errors):.2f} | {100 * np.median(errors):.2f} "
                    f"| {share:.2f} ({low:.2f}–{high:.2f}) | {100 * part.interval_score(0.8):.1f} "
                    f"| {len(made.failures)} | {time.perf_counter() - begun:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
