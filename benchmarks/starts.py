"""4,500 starts of the 240-point Chinchilla fit: CPU seconds, and how many end in the same optimum.

Run: python benchmarks/starts.py
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from foretell.fitting import fit
from foretell.laws import LAWS
from protocols import protocol

STARTS = 4500


def main() -> None:
    points = protocol("chinchilla").fit.metric("loss")
    few = fit(LAWS["chinchilla"], points)
    fit(LAWS["chinchilla"], points, starts=STARTS)  # the Sobol points are on disk after this
    wall, cpu = time.perf_counter(), time.process_time()
    many = fit(LAWS["chinchilla"], points, starts=STARTS)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        f"{STARTS} starts: {wall:.2f} s wall, {cpu:.2f} s CPU; {many.share_of_starts:.1%} end in the optimum "
        f"{many.objective_value:.9e}; 128 starts found {few.objective_value:.9e}"
    )


if __name__ == "__main__":
    main()
