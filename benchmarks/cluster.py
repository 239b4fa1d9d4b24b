"""Clustering on difficulty against the plain average, on simulated items whose classes are known.

Run: python benchmarks/cluster.py        (about half a minute; no public item outcomes with many tries exist here)
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np

from foretell.fitting import fit
from foretell.forecast import Settings, Target
from foretell.methods.cluster import LAW, UNIT, Cluster, points_of
from foretell.methods.item_clusters import clusters_of
from item_simulation import C_TARGET, CLASSES, simulated

TARGET = Target(N=70e9, D=1.4e12, C=C_TARGET, name="70B")


def main() -> None:
    print("| tries | seed | truth | cluster | without the map | plain average, same law | 80 % | set aside rightly |")
    print("|---|---|---|---|---|---|---|---|")
    errors: dict[tuple[int, str], list[float]] = {}
    for trials in (100, 20, 4):
        for seed in range(10):
            outcomes, truth, kind = simulated(seed, trials=trials)
            method = Cluster()
            made = method.fit(outcomes, Settings())
            forecast = method.of_outcomes(outcomes, [TARGET], Settings(draws=200))[0]
            C = np.array([C_TARGET])
            plain_fit = fit(LAW, points_of(outcomes.score, outcomes), objective="gaussian@linear", starts=32)
            plain = float(plain_fit.predict({"C": C / (UNIT * outcomes.C[0])})[0])
            right = np.mean(made.predictable == np.isin(kind, ["easy", "middle", "hard"]))
            found = {"cluster": forecast.value, "subset": float(made.subset(C)[0]), "plain": plain}
            for name, value in found.items():
                errors.setdefault((trials, name), []).append(abs(value - truth))
            low, high = forecast.interval(0.8)
            errors.setdefault((trials, "covered"), []).append(float(low <= truth <= high))
            print(
                f"| {trials} | {seed} | {truth:.3f} | {forecast.value:.3f} | {found['subset']:.3f} | {plain:.3f} | "
                f"{low:.3f}–{high:.3f} | {right:.0%} |"
            )
    print("\nmean |error| in points")
    for (trials, name), values in errors.items():
        mean, worst = 100 * np.mean(values), 100 * max(values)
        print(f"{trials:4d} tries, {name}: {mean:.2f}" + f" (worst {worst:.2f})" * (name != "covered"))
    outcomes, _, kind = simulated(0, trials=100)
    for radius in (0.03, 0.05, 0.08, 0.12, 0.2):
        label = clusters_of(outcomes, radius).label
        groups = {name: len(set(label[kind == name]) - {-1}) for name in CLASSES}
        print(f"radius {radius}: groups by class {groups}, outliers {np.sum(label < 0)}")


if __name__ == "__main__":
    main()
