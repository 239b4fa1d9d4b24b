"""Validation losses of the OLMo ladder and of Gadre's models, ranked by short against long horizons.

Run: python benchmarks/rank.py        (the runs held out are looked at only after the ranking is printed)
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np

from foretell.forecast import Settings, held_out_targets
from foretell.methods.horizon import Horizon
from foretell.methods.ranking import Ranking, losses_of, rank_losses
from foretell.sources import read
from foretell.table import Observations
from protocols import protocol, testbeds

SETTINGS = Settings(draws=200, starts=32)
LEVEL = 0.8
CUTS = ("0.25", "0.5", "0.75")


def table(made: Ranking) -> None:
    print("| # | loss | end to end | 80 % | link alone | 80 % | log skill | Brier skill | ranks | best | loss error |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for score in made.scores:
        cells = [f"{score.rank.value:.0f}", score.loss]
        for of in (score.end, score.link):
            low, high = of.interval(LEVEL)
            cells += [f"{100 * of.value:.2f}", f"{100 * low:.2f}–{100 * high:.2f}"]
        low, high = score.rank.interval(LEVEL)
        cells += [f"{score.log_skill.value:.2f}", f"{score.brier_skill.value:.2f}", f"{low:.0f}–{high:.0f}"]
        print(f"| {' | '.join(cells)} | {score.best:.0%} | {100 * score.loss_error:.2f} % |")


def spearman(one: list[float], other: list[float]) -> float:
    ranks = [np.argsort(np.argsort(values)) for values in (one, other)]
    return float(np.corrcoef(*ranks)[0, 1])


def accuracies(study: Observations) -> list[str]:
    return [name for name in study.metrics if name.endswith("/acc")]


def held_out_errors(study: Observations, losses: list[str]) -> dict[str, dict[str, float]]:
    """Give for each loss the mean |error| over tasks in points, by target, fitted on every training run."""
    hidden = study.held_out()
    tasks = accuracies(study)
    measured = {name: dict(zip(hidden.metric(name).run, hidden.metric(name).value, strict=True)) for name in tasks}
    found: dict[str, dict[str, float]] = {}
    for loss in losses:
        errors: dict[str, list[float]] = {}
        method = Horizon(intermediate=loss)
        for forecast in method.forecast(study.training(), held_out_targets(study), tasks, Settings(draws=0)):
            error = abs(forecast.value - measured[forecast.metric.name][forecast.target.name])
            errors.setdefault(forecast.target.name, []).append(100 * error)
        found[loss] = {name: float(np.mean(each)) for name, each in errors.items()}
    return found


def olmo_ladder() -> None:
    study = read("olmo-ladder", testbeds() / "olmo-ladder")
    tasks = accuracies(study)
    losses = losses_of(study, tasks)
    made: dict[str, Ranking] = {}
    for cut in CUTS:
        began = time.perf_counter()
        made[cut] = rank_losses(study.training(), tasks, losses, horizon=cut, settings=SETTINGS)
        print(f"\n## OLMo ladder, 16 training runs, {made[cut].horizons.split.name}\n")
        table(made[cut])
        print(f"\n{time.perf_counter() - began:.0f} s")
    errors = held_out_errors(study, losses)
    print("\n## Afterwards: the same losses at the held-out targets, fitted on all 16 runs\n")
    targets = sorted(next(iter(errors.values())))
    print(f"| loss | {' | '.join(targets)} | mean | {' | '.join(f'rank, cut {cut}' for cut in CUTS)} |")
    print("|---" * (2 + len(targets) + len(CUTS)) + "|")
    mean = {loss: float(np.mean(list(each.values()))) for loss, each in errors.items()}
    rank: dict[str, dict[str, float]] = {cut: {s.loss: s.rank.value for s in made[cut].scores} for cut in CUTS}
    for loss in sorted(mean, key=lambda name: mean[name]):
        by_target = " | ".join(f"{errors[loss][target]:.2f}" for target in targets)
        print(f"| {loss} | {by_target} | {mean[loss]:.2f} | {' | '.join(f'{rank[cut][loss]:.0f}' for cut in CUTS)} |")
    for cut in CUTS:
        for what in ("end", "link"):
            value: dict[str, Any] = {s.loss: getattr(s, what).value for s in made[cut].scores}
            rho = spearman([value[loss] for loss in losses], [mean[loss] for loss in losses])
            print(f"cut {cut}: Spearman's correlation of the {what} error with that at the targets {rho:+.2f}")


def gadre() -> None:
    whole = protocol("gadre")
    study = read("gadre", testbeds() / "gadre")
    for group in whole.groups:
        gone = set() if group.test is None else set(group.test.runs["name"])
        mine = study.where(f"family = '{group.name}'")
        mine = mine.only_runs([name for name in mine.runs["name"] if name not in gone])
        tasks = accuracies(mine)
        began = time.perf_counter()
        made = rank_losses(mine, tasks, losses_of(mine, tasks), horizon="0.5", settings=SETTINGS)
        print(f"\n## Gadre, {group.name}, {len(mine.runs)} runs, {len(tasks)} tasks, {made.horizons.split.name}\n")
        table(made)
        for failure in made.failures:
            print(f"not ranked: {failure}")
        print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    olmo_ladder()
    gadre()
