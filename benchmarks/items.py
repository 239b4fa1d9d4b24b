"""Item-level horizon regression on 100 M made-up outcomes: from Parquet to curves, in time, memory and truth.

Run: python benchmarks/items.py [ITEMS CHECKPOINTS]        (20000 5000 when not given)
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.optimize import minimize

from foretell.methods.itemfit import fit_items
from foretell.table.items import BATCH, FOLDER, ITEM_COLUMNS, ROW_GROUP, open_items

METRIC = "task/acc"
FLOOR = 0.25
CHECKPOINTS_A_RUN = 100
TRUTH = {"mean": (-0.5, np.log(2.5)), "spread": (1.8, 0.5)}  # of a_i at the mean loss, and of log b_i
FAR = 0.6  # below the lowest loss seen: where accuracy is read off
PEER_ITEMS = 40


def losses(checkpoints: int) -> Any:
    """Give the exact loss of every checkpoint, none twice."""
    return np.sort(np.random.default_rng(1).uniform(2.6, 4.0, checkpoints))[::-1]


def truth(items: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    means, spreads = TRUTH["mean"], TRUTH["spread"]
    return rng.normal(means[0], spreads[0], items), np.exp(rng.normal(means[1], spreads[1], items))


def write(study: Path, items: int, checkpoints: int) -> None:
    """Write one file a run of 100 checkpoints, in row groups, as writers that know nothing of each other would."""
    a, b = truth(items)
    loss = losses(checkpoints)
    centre = loss.mean()
    rng = np.random.default_rng(2)
    folder = study / FOLDER
    folder.mkdir(parents=True)
    names = pl.Series([f"item {i:06d}" for i in range(items)])
    for start in range(0, checkpoints, CHECKPOINTS_A_RUN):
        L = loss[start : start + CHECKPOINTS_A_RUN]
        p = FLOOR + (1 - FLOOR) / (1 + np.exp(-(a[:, None] - b[:, None] * (L - centre)[None, :])))
        outcome = (rng.random(p.shape) < p).astype(np.uint16)  # items × checkpoints: the order on disk
        rows = pl.DataFrame(
            {
                "run": pl.Series([f"run {start // CHECKPOINTS_A_RUN:04d}"]).new_from_index(0, outcome.size),
                "D": np.tile(np.arange(1.0, len(L) + 1.0) * 1e9, items),
                "metric": pl.Series([METRIC]).new_from_index(0, outcome.size),
                "item": names.gather(np.repeat(np.arange(items), len(L))),
                "outcome": outcome.ravel(),
                "trials": np.ones(outcome.size, np.uint16),
            }
        )
        rows.select(ITEM_COLUMNS).write_parquet(folder / f"run-{start:05d}.parquet", row_group_size=ROW_GROUP)


def measure(study: Path, items: int, checkpoints: int) -> None:
    """Stream, fit and compare; in a process of its own, so that the peak of memory is that of this work."""
    warm_up()
    began, cpu = time.perf_counter(), time.process_time()
    found = open_items(study)
    assert found is not None
    grid = found.grid(METRIC)
    read, read_cpu = time.perf_counter() - began, time.process_time() - cpu
    began, cpu = time.perf_counter(), time.process_time()
    made = fit_items(grid, losses(checkpoints), FLOOR)
    fitted, fitted_cpu = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    a, b = truth(items)
    estimate, covariance = made.estimate, made.covariance
    size = f"{grid.trials.sum(dtype=np.int64):,} outcomes ({items:,} items × {checkpoints:,} checkpoints)"
    print(f"{size}, batches of {BATCH:,} rows")
    print(f"read    {read:6.1f} s   (CPU {read_cpu:.1f} s)")
    print(f"fit     {fitted:6.1f} s   (CPU {fitted_cpu:.1f} s)")
    print(f"total   {read + fitted:6.1f} s   peak memory {peak:.2f} GiB")
    print("prior   learned            truth")
    for i, name in enumerate(("a", "log b")):
        spread = np.sqrt(made.spread[i, i])
        print(f"  {name:6s} {made.mean[i]:.3f} ± {spread:.3f}     {TRUTH['mean'][i]:.3f} ± {TRUTH['spread'][i]:.3f}")
    for i, (name, true) in enumerate((("a", a), ("log b", np.log(b)))):
        error = estimate[:, i] - true
        inside = np.mean(np.abs(error) < 1.2816 * np.sqrt(covariance[:, i, i]))
        print(
            f"  {name:6s} root mean squared error {np.sqrt(np.mean(error**2)):.3f}, 80 % intervals cover {inside:.1%}"
        )
    at = losses(checkpoints).min() - FAR
    true_accuracy = np.mean(FLOOR + (1 - FLOOR) / (1 + np.exp(-(a - b * (at - made.centre)))))
    print(f"  accuracy {FAR} below the data: {made.accuracy(np.array([at]))[0]:.4f}, truth {true_accuracy:.4f}")
    peer(grid, made)


def warm_up() -> None:
    """Compile, so that the figure is of the work."""
    from foretell.table.itemgrid import ItemGrid

    k = (np.random.default_rng(0).random((130, 8)) < 0.6).astype(np.uint8)
    text = np.array([f"{i:03d}" for i in range(130)])
    fit_items(ItemGrid("warm/acc", text, text[:8], np.ones(8), k, np.ones_like(k)), np.linspace(3, 2, 8), FLOOR)


def peer(grid: Any, made: Any) -> None:
    """Find the same modes by SciPy's L-BFGS-B, item by item, on a sample."""
    x = made.loss - made.centre
    precision = np.linalg.inv(made.spread)
    worst, began = 0.0, time.perf_counter()
    for i in np.linspace(0, len(grid.item) - 1, PEER_ITEMS).round().astype(int):
        k, n = grid.successes[i].astype(float), grid.trials[i].astype(float)

        def objective(u: Any, k: Any = k, n: Any = n) -> float:
            eta = np.clip(u[0] - np.exp(u[1]) * x, -300.0, 300.0)
            log_one = np.logaddexp(0.0, eta)
            away = u - made.mean
            return float(
                -np.sum(k * np.log(FLOOR + np.exp(eta)) - n * log_one) + 0.5 * away @ precision @ away
            )  # the likelihood's constant (n − k)·log(1 − g) left out

        best = minimize(objective, made.mean, method="L-BFGS-B", bounds=[(-30, 30), (-5, 5)], tol=1e-10)
        worst = max(worst, float(np.max(np.abs(best.x - made.mode[i]))))
    took = (time.perf_counter() - began) / PEER_ITEMS
    whole = took * len(grid.item)
    print(f"peer    scipy L-BFGS-B {1000 * took:.1f} ms an item ({whole:.0f} s for all); modes agree to {worst:.1e}")


def main() -> None:
    if len(sys.argv) == 5 and sys.argv[1] == "measure":
        measure(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
        return
    items, checkpoints = (int(text) for text in sys.argv[1:3]) if len(sys.argv) == 3 else (20_000, 5_000)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        write(Path(folder), items, checkpoints)
        size = sum(path.stat().st_size for path in (Path(folder) / FOLDER).iterdir()) / 2**20
        print(f"wrote {size:.0f} MiB in {time.perf_counter() - began:.0f} s")
        subprocess.run([sys.executable, __file__, "measure", folder, str(items), str(checkpoints)], check=True)


if __name__ == "__main__":
    main()
