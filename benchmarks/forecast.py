"""The whole `foretell predict`: 8 tasks × 2 targets with 1,000 draws, kernels compiled, wall seconds.

Run: python benchmarks/forecast.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from protocols import testbeds

ROUNDS = 5


def main() -> None:
    foretell = str(Path(sys.executable).with_name("foretell"))
    with tempfile.TemporaryDirectory() as folder:
        study = str(Path(folder) / "study")
        subprocess.run(
            [foretell, "read", "olmo-ladder", str(testbeds() / "olmo-ladder"), "-o", study],
            check=True,
            capture_output=True,
        )
        for verb in (["predict", study, "--json"], ["--help"]):
            subprocess.run([foretell, *verb], check=True, capture_output=True)
            times = []
            for _ in range(ROUNDS):
                start = time.perf_counter()
                subprocess.run([foretell, *verb], check=True, capture_output=True)
                times.append(time.perf_counter() - start)
            label = f"foretell {verb[0]}"
            print(f"{label}: {sorted(times)[ROUNDS // 2]:.2f} s (median; {min(times):.2f} to {max(times):.2f})")


if __name__ == "__main__":
    main()
