"""Every figure about mixtures: laws beside each other, intervals, the transfer over horizons, and time.

Run: python benchmarks/mixtures.py [regmix] [regmix.small] [five-mix] [dmsl.mixtures] [dmsl.horizon] [dmsl.left-out]
        [repetition] [time]

Without names all of them (about ten minutes on two cores). `auto` is what a user gets: a law chosen by hold-outs inside
the rows that are fitted. The ranges of first guesses, the features of the Gaussian process and the candidates were
chosen by cross-validation inside the fit rows of regmix, five-mix and dmsl, after their test rows had been
scored once with earlier ranges; docs/mixtures.md says what else was not blind.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np

from foretell.mixing import Goal, Panel, best_mixture, carry, choose_model, horizons_of
from foretell.mixing.swarm import spearman
from foretell.mixture import Pools, Region
from mixture_protocols import panels

DRAWS = 100
LEVEL = 0.8
TREES = "LightGBM alone"  # the origin's own regressor (RegMix, arXiv 2407.01492): 1,000 trees a loss, rate 0.01
LAWS = {
    "regmix": [TREES, "exponential", "power", "saturating", "saturating+trees", "auto"],
    "regmix.small": [TREES, "exponential", "power", "saturating", "auto"],
    "five-mix": ["exponential", "power", "reciprocal", "saturating", "auto"],
    "dmsl.mixtures": ["exponential", "power", "reciprocal", "saturating", "auto"],
    "dmsl.horizon": ["additive", "scaled", "joint", "auto"],
}


def score(law: str, fit: Panel, test: Panel, draws: int) -> dict[str, float]:
    """Fit a law and score it on the rows to forecast."""
    begun = time.perf_counter()
    if law == TREES:
        made, draws = boosted(fit, test), 0
    else:
        model = choose_model(fit, law, draws=draws, horizon=float(test.D.max())).model
        made = model.at(test.weights, test.N, test.D, test.pools).T
    truth = test.losses
    found = {
        "MAE": float(np.abs(made - truth).mean()),
        "Spearman": float(np.mean([spearman(made[:, j], truth[:, j]) for j in range(truth.shape[1])])),
        "MAE of mean": float(np.abs(made.mean(axis=1) - truth.mean(axis=1)).mean()),
        "Spearman of mean": spearman(made.mean(axis=1), truth.mean(axis=1)),
        "relative %": float(100 * np.abs(made / truth - 1).mean()),
    }
    if draws:
        seen = model.observed_at(test.weights, test.N, test.D, test.pools)
        low, high = np.quantile(seen, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2], axis=0)
        found["covers"] = float(((low.T <= truth) & (truth <= high.T)).mean())
        low, high = np.quantile(seen.mean(axis=1), [0.5 - LEVEL / 2, 0.5 + LEVEL / 2], axis=0)
        mean = truth.mean(axis=1)
        found["mean covers"] = float(((low <= mean) & (mean <= high)).mean())
    found["seconds"] = time.perf_counter() - begun
    return found


def boosted(fit: Panel, test: Panel) -> np.ndarray:
    """Forecast each loss by boosted trees on the weights."""
    from lightgbm import LGBMRegressor

    trees = LGBMRegressor(n_estimators=1000, learning_rate=0.01, random_state=42, n_jobs=1, verbosity=-1)
    columns = [trees.fit(fit.weights, losses).booster_.predict(test.weights) for losses in fit.losses.T]
    return np.stack(columns, axis=1)


def laws(name: str) -> None:
    """Print every law of a protocol, averaged over its groups."""
    groups = panels(name, rows="all" if name == "dmsl.horizon" else "final")
    print(f"\n{name}: {len(groups)} group(s), {len(groups[0][1])} rows fitted, {len(groups[0][2])} forecast")
    for law in LAWS[name]:
        scores = [score(law, fit, test, 0 if "trees" in law else DRAWS) for _, fit, test in groups]
        shown = "  ".join(f"{key} {np.mean([s[key] for s in scores]):.4g}" for key in scores[0])
        print(f"  {law:18s}{shown}", flush=True)


def left_out() -> None:
    """Print every law's error where all 40 mixtures but one are fitted: references had 40 to fit, the protocol 30."""
    _, fit, test = panels("dmsl.mixtures", rows="final")[0]
    columns = ("run", "weights", "N", "D", "pools", "losses")
    whole = replace(fit, **{name: np.concatenate([getattr(fit, name), getattr(test, name)]) for name in columns})
    print(f"\ndmsl.left-out: {len(whole)} mixtures, each forecast from the others")
    for law in LAWS["dmsl.mixtures"][:-1]:
        made = np.empty(whole.losses.shape)
        for i in range(len(whole)):
            model = choose_model(
                whole.take(np.arange(len(whole)) != i), law, draws=0, horizon=float(whole.D.max())
            ).model
            made[i] = model.at(
                whole.weights[i : i + 1], whole.N[i : i + 1], whole.D[i : i + 1], whole.pools[i : i + 1]
            )[:, 0]
        error = np.abs(made - whole.losses).mean()
        print(
            f"  {law:18s}MAE {error:.4g}  Spearman of mean {spearman(made.mean(1), whole.losses.mean(1)):.4g}",
            flush=True,
        )


def repetition() -> None:
    """Print the mixture carried from the two shortest horizons, and its regret at the longest."""
    print("\nrepetition: from horizons up to 1/8 of the target")
    inside = 0
    for name, fit, test in panels("repetition"):
        scarce = list(test.domains).index("hq")
        target = horizons_of(test, "hq/loss")[0]
        made = carry(horizons_of(fit, "hq/loss"), Pools({"hq": float(test.pools[0, scarce])}), float(test.D[0]))
        low, high = made.interval(LEVEL)
        best = target.lowest[scarce]
        inside += bool(low[scarce] <= best <= high[scarce])
        print(f"  {name}: {made.weights[scarce]:.3f} [{low[scarce]:.3f}, {high[scarce]:.3f}], measured best {best:.2f}")
        for way, weights in made.others.items():
            off = " (off the measured grid)" if not _measured(target, weights[scarce], scarce) else ""
            chosen = " <- default" if way == made.way else ""
            error = abs(weights[scarce] - best)
            print(
                f"    {way:15s} w {weights[scarce]:.3f}  error {error:.3f}  "
                f"regret {target.regret(weights):.4f}{off}{chosen}"
            )
    print(f"  intervals that hold the measured best: {inside} of 2")


def _measured(target: object, share: float, scarce: int) -> bool:
    column = target.weights[:, scarce]  # type: ignore[attr-defined]
    return bool(column.min() - 1e-9 <= share <= column.max() + 1e-9)


def timed() -> None:
    """Print how long fitting and optimising 17 domains × 13 losses takes, with 512 runs and 200 draws."""
    _, fit, _ = panels("regmix")[0]
    for law in ("saturating", "auto"):
        begun, used = time.perf_counter(), time.process_time()
        choice = choose_model(fit, law, draws=200)
        share = dict.fromkeys(fit.names, 1 / len(fit.names))
        goal = Goal(float(fit.N[0]), float(fit.D[0]), share, Pools({}), Region.whole(fit.domains))
        made = best_mixture(choice.model, goal)
        wall, processor = time.perf_counter() - begun, time.process_time() - used
        print(f"\ntime, {law} ({choice.model.name}): {wall:.1f} s, {processor:.1f} s of processor")
        print(
            f"  best mean loss {made.value:.3f}, equal shares {made.prior_value:.3f}, median regret "
            f"{np.median(made.regret):.4f}"
        )


def main() -> None:
    """Print what was asked for."""
    asked = sys.argv[1:] or [*LAWS, "dmsl.left-out", "repetition", "time"]
    for name in asked:
        if name == "repetition":
            repetition()
        elif name == "dmsl.left-out":
            left_out()
        elif name == "time":
            timed()
        else:
            laws(name)


if __name__ == "__main__":
    main()
