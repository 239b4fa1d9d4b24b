"""A law of your own: one line of text, fitted, resampled and held to account like any other.

Run: python examples/your_own_law.py
"""

from __future__ import annotations

from pathlib import Path

import foretell as ft

RUNS = Path(__file__).with_name("runs.csv")


def main() -> None:
    runs = ft.read("table", RUNS, run="model", N="params", D="tokens", metric="c4/loss=val_loss")
    mine = ft.Law(
        "mine",
        "E + A/N**alpha + B/(D + s*N)**alpha",  # tokens and parameters trade inside one term
        {"alpha": ft.Coefficient(0.0, 1.0, start=(0.1, 0.6), unit="1"), "s": ft.Coefficient(start=(0.1, 100.0))},
        source="this example",
    )
    print(f"{mine.name}: coefficients {', '.join(mine.coefficients)}; inputs {', '.join(mine.variables)}")

    # the smaller runs choose, the larger judge
    small, large = runs.where("N <= 4e8"), runs.where("N > 4e8").metric("c4/loss")
    for law in (ft.LAWS["chinchilla"], ft.LAWS["chinchilla-tied"], mine):
        made = ft.fit(law, small.metric("c4/loss"))
        error = abs(made.predict(large.inputs) / large.value - 1.0).mean()
        print(f"{law.name}: mean |relative error| on the 1B runs {error:.2%}; {len(ft.doubts_of(made))} doubts")

    made = ft.fit_metric(runs, mine, "c4/loss", draws=400)
    for name, (low, high) in made.intervals(0.8).items():
        print(f"  {name} = {made.coefficients[name]:.4g}, 80 % [{low:.4g}, {high:.4g}]")
    for doubt in ft.doubts_of(made):
        print("  doubt:", doubt)


if __name__ == "__main__":
    main()
