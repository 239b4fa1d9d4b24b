"""Would it have worked? Hide the larger runs, forecast them from the smaller, and compare laws by what happened.

Run: python examples/backtest_a_method.py
"""

from __future__ import annotations

from pathlib import Path

import foretell as ft

RUNS = Path(__file__).with_name("runs.csv")


def main() -> None:
    runs = ft.read("table", RUNS, run="model", N="params", D="tokens", metric="c4/loss=val_loss")
    settings = ft.Settings(draws=400, seed=0)
    print("law          n  mean |error|  largest run  80 % covers          interval score")
    for law in ("chinchilla", "skaling", "power-C"):
        made = ft.backtest(runs, ["c4/loss"], by="C", method="chinchilla", law=law, settings=settings)
        share, low, high, n = made.coverage(0.8)
        copied = made.error(lambda outcome: outcome.largest_run_error)
        print(
            f"{law:10} {n:3d}        {made.error():6.2%}       {copied:6.2%}  {share:4.0%} ({low:.0%} to {high:.0%})"
            f"      {made.interval_score(0.8):.3f}"
        )
        for failure in made.failures:
            print("   not forecast:", failure)
    print("coverage with its 95 % binomial interval; interval score: less is better")


if __name__ == "__main__":
    main()
