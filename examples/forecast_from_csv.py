"""From a CSV of small runs to a forecast, on made-up runs whose truth is known.

Run: python examples/forecast_from_csv.py [WHERE.csv]      (the file runs.csv beside this one was made so)
"""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path

import numpy as np

import foretell as ft

TRUTH = ft.LAWS["chinchilla"]
COEFFICIENTS = TRUTH.published or {}
SIZES, TOKENS_PER_PARAMETER = (60e6, 150e6, 400e6, 1e9), (20, 40, 100, 200)
ITEMS = 2000
TARGET = ft.target("7B", "1T")


def loss_at(N: float, D: float) -> float:
    return float(TRUTH.value(COEFFICIENTS, {"N": np.array(N), "D": np.array(D)}))


def accuracy_at(loss: float, middle: float) -> float:
    return float(0.25 + 0.75 / (1.0 + np.exp(3.0 * (loss - middle))))


def write_runs(path: Path) -> None:
    rng = np.random.default_rng(3)
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["model", "params", "tokens", "val_loss", "acc_easy", "acc_hard"])
        for N in SIZES:
            for ratio in TOKENS_PER_PARAMETER:
                loss = loss_at(N, ratio * N)
                easy, hard = (rng.binomial(ITEMS, accuracy_at(loss, middle)) / ITEMS for middle in (2.8, 2.3))
                seen = loss * np.exp(0.003 * rng.normal())
                table.writerow(
                    [
                        f"{N / 1e6:.0f}M-{ratio}",
                        f"{N:.0f}",
                        f"{ratio * N:.0f}",
                        f"{seen:.4f}",
                        f"{easy:.4f}",
                        f"{hard:.4f}",
                    ]
                )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "runs.csv"
        write_runs(path)
        runs = ft.read(
            "table", path, run="model", N="params", D="tokens", shared_loss="c4/loss",
            metric={"c4/loss": "val_loss", "easy/acc": "acc_easy", "hard/acc": "acc_hard"},
            chance={"*/acc": 0.25}, items={"*/acc": ITEMS},
        )  # fmt: skip
    print(f"{len(runs.runs)} runs, {', '.join(runs.metrics)}")
    loss = loss_at(TARGET.N, TARGET.D)
    truth = {"c4/loss": loss, "easy/acc": accuracy_at(loss, 2.8), "hard/acc": accuracy_at(loss, 2.3)}
    for forecast in ft.predict(runs, [TARGET], list(truth)):
        low, high = forecast.interval(0.8)
        print(
            f"{forecast.metric.name} of {TARGET.label}: {forecast.value:.3f}, 80 % [{low:.3f}, {high:.3f}], "
            f"{forecast.reach:.1f} decades beyond the data; truth {truth[forecast.metric.name]:.3f}"
        )
        for doubt in forecast.doubts:
            print("   doubt:", doubt)


if __name__ == "__main__":
    main()
