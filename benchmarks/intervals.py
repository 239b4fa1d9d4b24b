"""Coverage of 80 % intervals on the rows that each protocol hides, printed with its binomial interval.

Run: python benchmarks/intervals.py [PROTOCOL …]
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from foretell.errors import ForetellError
from foretell.forecast import Settings
from foretell.judge import Backtest, Split, backtest
from foretell.methods import method_named
from protocols import Protocol, protocol

PROTOCOLS = (
    "olmo-ladder", "gadre.open", "misfitting", "porian", "gemstones", "pythia", "marin", "chinchilla.progressive",
)  # fmt: skip
PARTS = {
    "coefficients, noise": frozenset({"coefficients", "noise"}),
    "all": frozenset({"coefficients", "noise", "form"}),
}


def judged(found: Protocol, parts: frozenset[str], method: str = "ladder") -> Backtest:
    """Forecast every group's hidden rows with the defaults that a user gets."""
    outcomes = []
    failures: list[str] = []
    for group in found.groups:
        split = Split(group.name, group.fit, group.test)
        metrics = [name for name in found.metrics if name in group.fit.metrics]
        try:
            made = backtest(method_named(method), [split], metrics, Settings(draws=400, parts=parts), most_targets=40)
        except ForetellError as error:  # a table of many protocols goes on, and says what failed
            failures.append(f"{group.name}: {error}")
            continue
        outcomes += made.outcomes
        failures += made.failures
    return Backtest(method, tuple(outcomes), tuple(failures))


def main() -> None:
    names = sys.argv[1:] or PROTOCOLS
    print("| protocol | parts | n | mean abs error | 50 % | 80 % (95 % binomial) | 90 % | interval score |")
    print("|---|---|---|---|---|---|---|---|")
    for name in names:
        found = protocol(name)
        for label, parts in PARTS.items():
            start = time.perf_counter()
            made = judged(found, parts)
            for kind, share in (("loss", False), ("accuracy", True)):
                part = replace(made, outcomes=tuple(o for o in made.outcomes if o.forecast.metric.is_share == share))
                if not part.outcomes:
                    continue
                cover = {level: part.coverage(level) for level in (0.5, 0.8, 0.9)}
                share80, low, high, n = cover[0.8]
                print(
                    f"| {name} {kind} | {label} | {n} | {100 * part.error():.2f} | {cover[0.5][0]:.2f} | "
                    f"{share80:.2f} ({low:.2f}–{high:.2f}) | {cover[0.9][0]:.2f} | "
                    f"{100 * part.interval_score(0.8):.2f} |"
                    f" <!-- {time.perf_counter() - start:.1f} s -->",
                    flush=True,
                )
            for failure in made.failures[:4]:
                print("failed:", failure[:300], file=sys.stderr)


if __name__ == "__main__":
    main()
