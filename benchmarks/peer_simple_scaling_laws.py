"""The strongest package peer, simple-scaling-laws 0.2.0, on the same splits: coverage, width, error and time.

    python3.12 -m venv peer && peer/bin/pip install simple-scaling-laws==0.2.0
    python benchmarks/peer_simple_scaling_laws.py --peer peer/bin/python [--split olmo] [--law …] [--draws 1000]

The peer needs Python 3.12 and runs in its own environment, in the same call. Nominal 95 % intervals of a newly trained
run; both are given one row a run and nothing else.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PEER_LAWS = ("separable-power", "skaling-joint-power")  # its default, and the one nearest to ours
OUR_METHODS = ("chinchilla", "ladder", "auto")
LEVEL = 0.95
SMALL = "N <= 8e8"  # OLMo ladder: 190M, 370M, 760M


# -- inside the peer's environment ----------------------------------------------------------------------------------


def answer(place: Path) -> None:
    """Forecast every split of a file with the peer; write what it says beside it. Imports the peer only."""
    import warnings

    import polars as pl
    from simple_scaling_laws import fit

    warnings.simplefilter("ignore")
    asked = json.loads(place.read_text())
    told = []
    for split in asked["splits"]:
        runs = pl.DataFrame(
            {
                "training_run_id": [f"run {i}" for i in range(len(split["fit"]["N"]))],
                "model_size__N": split["fit"]["N"],
                "dataset_size__D": split["fit"]["D"],
                "test_loss__loss": split["fit"]["value"],
            }
        )
        points = pl.DataFrame({"model_size__N": split["test"]["N"], "dataset_size__D": split["test"]["D"]})
        for law in asked["laws"]:
            begun = time.perf_counter()
            entry = {"split": split["name"], "metric": split["metric"], "law": law}
            try:
                made = fit(runs, law=law, n_draws=asked["draws"], seed=0)
                said = made.predict(points, kind="new-run", quantiles=[0.025, 0.5, 0.975])
                entry |= {
                    name: said[f"test_loss__loss__{column}"].to_list()
                    for name, column in (("low", "q025"), ("value", "median"), ("high", "q975"))
                }
            except Exception as error:
                entry["error"] = f"{type(error).__name__}: {error}"
            told.append({**entry, "seconds": time.perf_counter() - begun})
            print(f"peer: {split['name']}, {law}: {told[-1]['seconds']:.0f} s", file=sys.stderr, flush=True)
    place.with_suffix(".answer.json").write_text(json.dumps(told))


# -- here -----------------------------------------------------------------------------------------------------------


def splits(wanted: list[str], *, every_loss: bool) -> list[tuple[str, str, object, object]]:
    """Give name, metric, fit and test observations of every split."""
    from foretell.sources import read_olmo_ladder
    from protocols import protocol, testbeds

    made = []
    if "olmo" in wanted:
        whole = read_olmo_ladder(testbeds() / "olmo-ladder", all_files=True).training()
        names = [name for name in whole.runs["name"] if "rerun" not in name and "0.5xC" not in name]
        small = whole.only_runs([name for name in names if name.split("-")[0] in ("190M", "370M", "760M")])
        large = whole.only_runs([name for name in names if name.split("-")[0] in ("1B", "1.3B", "3B")])
        losses = [m.name for m in whole.metrics.values() if m.name.endswith("/loss")] if every_loss else ["c4/loss"]
        made += [("OLMo ladder, 760M and less → 1B, 3B", name, small, large) for name in losses]
    if "chinchilla" in wanted:
        for group in protocol("chinchilla.progressive").groups:
            made.append((f"Chinchilla, lowest {group.name} of compute → the rest", "loss", group.fit, group.test))
    return made


def columns(observations: object, metric: str) -> dict[str, list[float]]:
    points = observations.metric(metric)  # type: ignore[attr-defined]
    told = {"N": points.input("N"), "D": points.input("D"), "value": points.value}
    return {name: column.tolist() for name, column in told.items()}


def line(name: str, who: str, said: list[tuple[float, float, float, float]], seconds: float) -> None:
    """Print a row of the table from (low, value, high, measured)."""
    import numpy as np

    from foretell.judge import binomial_interval

    low, value, high, measured = np.array(said).T
    held = (low <= measured) & (measured <= high)
    lowest, highest = binomial_interval(int(held.sum()), len(held))
    errors = np.abs(value / measured - 1)
    print(
        f"| {name} | {who} | {len(held)} | {held.mean():.1%} ({lowest:.0%}–{highest:.0%}) "
        f"| {100 * np.mean((high - low) / measured):.2f} | {100 * np.median(errors):.2f} | {100 * errors.mean():.2f} "
        f"| {seconds:.1f} |",
        flush=True,
    )


def ours(fit: object, test: object, metric: str, method: str, draws: int) -> list[tuple[float, float, float, float]]:
    from foretell.forecast import Settings
    from foretell.judge import Split, backtest
    from foretell.methods import method_named

    split = Split("hidden", fit, test)  # type: ignore[arg-type]
    found = backtest(method_named(method), [split], [metric], Settings(draws=draws), most_targets=None)
    made = []
    for outcome in found.outcomes:
        low, high = outcome.forecast.interval(LEVEL)
        made.append((low, outcome.forecast.value, high, outcome.measured))
    return made


def main() -> None:
    reader = argparse.ArgumentParser()
    reader.add_argument("--answer", type=Path)
    reader.add_argument("--peer", help="the Python of an environment that holds the peer")
    reader.add_argument("--split", default="olmo,chinchilla")
    reader.add_argument("--law", default=",".join(PEER_LAWS), help="the peer's laws")
    reader.add_argument("--method", default=",".join(OUR_METHODS))
    reader.add_argument("--draws", type=int, default=1000)
    reader.add_argument("--every-loss", action="store_true", help="all eleven losses of the OLMo ladder, not C4 alone")
    asked = reader.parse_args()
    if asked.answer:
        answer(asked.answer)
        return
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    made = splits(asked.split.split(","), every_loss=asked.every_loss)
    print("| split | who | n | 95 % covers | mean width, % | median error, % | mean error, % | s |")
    print("|---|---|---|---|---|---|---|---|")
    gathered: dict[tuple[str, str], list[tuple[float, float, float, float]]] = {}
    seconds: dict[tuple[str, str], float] = {}
    if asked.peer:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "splits.json"
            parts = [
                {"name": name, "metric": metric, "fit": columns(fit, metric), "test": columns(test, metric)}
                for name, metric, fit, test in made
            ]
            place.write_text(json.dumps({"splits": parts, "laws": asked.law.split(","), "draws": asked.draws}))
            subprocess.run([asked.peer, __file__, "--answer", str(place)], check=True)
            told = json.loads(place.with_suffix(".answer.json").read_text())
        measured = {(part["name"], part["metric"]): part["test"]["value"] for part in parts}
        for entry in told:
            key = (entry["split"], f"peer, {entry['law']}")
            if "error" in entry:
                print(f"| {entry['split']} | {key[1]} | 0 | {entry['error'][:80]} | | | | {entry['seconds']:.1f} |")
                continue
            rows = zip(
                entry["low"], entry["value"], entry["high"], measured[entry["split"], entry["metric"]], strict=True
            )
            gathered.setdefault(key, []).extend(rows)
            seconds[key] = seconds.get(key, 0.0) + entry["seconds"]
    for name, metric, fit, test in made:
        for method in asked.method.split(","):
            begun = time.perf_counter()
            key = (name, f"foretell, {method}")
            gathered.setdefault(key, []).extend(ours(fit, test, metric, method, asked.draws))
            seconds[key] = seconds.get(key, 0.0) + time.perf_counter() - begun
    for key in sorted(gathered, key=lambda key: (key[0], key[1].startswith("peer"), key[1])):
        line(*key, gathered[key], seconds[key])


if __name__ == "__main__":
    main()
