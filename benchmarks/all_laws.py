"""A thousand laws: every law on every family and cut of the loss testbeds, with 200 draws each.

A family is a testbed's group and loss, a cut the share of its rows of least compute that is fitted; a law that the rows
cannot carry, or whose inputs they lack, is counted apart. Each fit is from 32 starts; its draws are refits with the
noise redrawn, and forecast the runs left out.

Run: python benchmarks/all_laws.py [--threads 2]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
import polars as pl

from foretell.errors import ForetellError
from foretell.fitting import fit, redraw_noise
from foretell.laws import Law
from foretell.laws.catalogue import LOSS_LAWS
from foretell.table import Points
from protocols import Group, _frame, _table, protocol

PROTOCOLS = (
    "olmo-ladder", "gadre.open", "misfitting", "porian", "gemstones", "pythia", "marin", "chinchilla", "farseer",
    "datablations",
)  # fmt: skip
CUTS = (0.3, 0.5, 0.7)
DRAWS, STARTS = 200, 32
MOST_ROWS = 200  # of a family: more checkpoints of the same runs say the same


@dataclass(frozen=True)
class Done:
    """Hold one fit: where, which law, its error on the rows left out and the draws' median width."""

    family: str
    cut: float
    law: str
    error: float
    width: float


def families() -> Iterator[tuple[str, Points]]:
    """Give every family's rows: a testbed's group and loss."""
    for name in PROTOCOLS:
        for group in protocol(name).groups:
            yield from _losses(name, group)
    steps = _frame("steplaw/dense_lr_bs_loss.csv").sort("loss", "exp_name").group_by("N", "D", maintain_order=True)
    best = _table(steps.first().cast({"N": pl.Float64, "D": pl.Float64}), "steplaw", N="N", D="D", metric="loss")
    yield "steplaw", best.metric("loss")


def _losses(name: str, group: Group) -> Iterator[tuple[str, Points]]:
    whole = group.fit if group.test is None else group.fit.merge(group.test)
    for metric in whole.metrics.values():
        if metric.is_loss:
            points = whole.metric(metric.name)
            if len(points) > MOST_ROWS:
                order = np.lexsort((points.input("D"), points.run))
                points = points.take(np.sort(order[np.linspace(0, len(order) - 1, MOST_ROWS).astype(np.intp)]))
            yield f"{name}/{group.name}/{metric.name}", points


def one(family: str, points: Points, cut: float, law: Law) -> Done | None:
    """Fit one law below a cut with draws, and forecast the rows above it; none where the rows cannot carry it."""
    C = points.input("C")
    below = C <= np.quantile(C, cut)
    if below.all() or not below.any():
        return None
    inside, outside = points.take(below), points.take(~below)
    try:
        made = redraw_noise(fit(law, inside, starts=STARTS), DRAWS)
        drawn = made.predict_draws(outside.inputs)
    except ForetellError:
        return None
    error = float(np.mean(np.abs(made.predict(outside.inputs) / outside.value - 1.0)))
    with warnings.catch_warnings():  # a law may have no finite draw so far beyond
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = np.nanquantile(np.where(np.isfinite(drawn), drawn, np.nan), [0.1, 0.9], axis=0)
    return Done(family, cut, law.name, error, float(np.median((high - low) / outside.value)))


def main() -> None:
    reader = argparse.ArgumentParser()
    reader.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    asked = reader.parse_args()
    found = dict(families())
    warm = next(iter(found.values()))
    for law in LOSS_LAWS:  # kernels compiled, or read from disk
        one("", warm, 0.9, law)
    jobs = [(name, points, cut, law) for name, points in found.items() for cut in CUTS for law in LOSS_LAWS]
    wall, cpu = time.perf_counter(), time.process_time()
    with np.errstate(all="ignore"), ThreadPoolExecutor(asked.threads) as pool:
        done = [made for made in pool.map(lambda job: one(*job), jobs) if made]
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{len(found)} families × {len(CUTS)} cuts × {len(LOSS_LAWS)} laws: {len(jobs)} asked, {len(done)} fitted")
    refits = len(done) * DRAWS
    print(f"{DRAWS} draws each: {refits:,} refits; {wall:.1f} s wall, {cpu:.1f} s of CPU, {asked.threads} threads")
    print("\n| law | fitted | median error above the cut | median 80 % width |\n|---|---|---|---|")
    for law in LOSS_LAWS:
        mine = [made for made in done if made.law == law.name]
        if mine:
            error, width = np.nanmedian([made.error for made in mine]), np.nanmedian([made.width for made in mine])
            print(f"| `{law.name}` | {len(mine)} | {100 * error:.2f} % | {100 * width:.2f} % |")


if __name__ == "__main__":
    main()
