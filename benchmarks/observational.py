"""Observational scaling on protocol obsscaling: every variant, on hold-outs inside the fit rows and on the test rows.

Run: python benchmarks/observational.py [draws]        (about four minutes; with draws, coverage as well)

Fit: models of ≤ 8.4e22 FLOP; test: larger ones. Columns `progressive` (fit the models below the 40, 55, 70 and 85 %
quantile of compute, forecast the others) and `families` (leave an eighth of the families out) see the fit rows only:
every choice was made on them. All are mean squared errors of shares, averaged over metrics, × 1000. BLEU counts in
hundredths. Arithmetic tasks leave GSM8K out of their predictors, as the authors' notebooks do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
from numpy.typing import NDArray

from foretell.forecast import Settings
from foretell.judge import targets_of
from foretell.methods import capability_regression as regression
from foretell.methods import observational as from_compute
from foretell.methods.capability_regression import CapabilityRegression, standardised
from foretell.methods.family_sigmoid import Member, shares_of
from foretell.methods.floored_sigmoid import floor_limit
from foretell.methods.observational import Observational
from foretell.methods.observational_published import (
    published_from_compute,
    published_from_families,
    published_from_scores,
)
from foretell.methods.principal import fit_imputer, score_table, share_of
from foretell.methods.subset import best_families
from foretell.table import Observations
from protocols import Group, protocol

Array = NDArray[np.float64]
Forecaster = Callable[[Observations, Observations, str, list[str]], dict[str, float]]

BLEU = {"ipa_transliterate_2_bleu": 100.0}
QUANTILES = (0.4, 0.55, 0.7, 0.85)
FOLDS = 8
POINT = Settings(draws=0)


@dataclass(frozen=True)
class Job:
    """Hold a metric with the models that have it, below and above the cut, and the benchmarks that may tell of it."""

    group: str
    metric: str
    fit: Observations
    test: Observations
    benchmarks: list[str]


def jobs(*, given: bool) -> list[Job]:
    """List the 16 metrics; from other scores (`given`) a benchmark is no predictor of itself."""
    benchmarks, emergent = protocol("obsscaling").groups
    scores = sorted(benchmarks.fit.metrics)
    made = []
    for group in (benchmarks, emergent):
        fit, test = _joined(group.fit, benchmarks.fit), _joined(group.test, benchmarks.test)
        for metric in sorted(group.fit.metrics):
            others = [b for b in scores if b != metric or not given]
            others = [b for b in others if not (metric.startswith("arithmetic") and b == "GSM8K")]
            made.append(Job(group.name, metric, _with(fit, metric), _with(test, metric), others))
    return made


def _joined(own: Observations, scores: Observations) -> Observations:
    return own.merge(scores.only_runs(own.runs["name"]))


def _with(study: Observations, metric: str) -> Observations:
    return study.only_runs(sorted(set(study.metric(metric).run)))


def truth(study: Observations, metric: str) -> dict[str, float]:
    points = study.metric(metric)
    return dict(zip(points.run, share_of(study, metric, points.value, BLEU), strict=True))


def squared(forecaster: Forecaster, job: Job, fit: Observations, test: Observations) -> list[float]:
    """Give the squared error of each test run; a forecaster that refuses says the mean of the fit rows."""
    measured = truth(test, job.metric)
    try:
        made = forecaster(fit, test, job.metric, job.benchmarks)
    except ValueError:  # too few models in an inner hold-out
        made = dict.fromkeys(measured, float(np.mean(list(truth(fit, job.metric).values()))))
    return [(made[run] - value) ** 2 for run, value in measured.items()]


def held_out_errors(forecaster: Forecaster, job: Job) -> tuple[float, float]:
    runs = job.fit.runs.sort("name")
    C, names, families = runs["C"].to_numpy(), runs["name"].to_numpy(), runs["family"].to_numpy()
    progressive = []
    for quantile in QUANTILES:
        low = C <= np.quantile(C, quantile)
        parts = (job.fit.only_runs(names[low]), job.fit.only_runs(names[~low]))
        progressive.append(float(np.mean(squared(forecaster, job, *parts))))
    left_out: list[float] = []
    every = sorted(set(families))
    for fold in range(FOLDS):
        out = np.isin(families, every[fold::FOLDS])
        left_out += squared(forecaster, job, job.fit.only_runs(names[~out]), job.fit.only_runs(names[out]))
    return float(np.mean(progressive)), float(np.mean(left_out))


def row(label: str, forecaster: Forecaster, work: Sequence[Job]) -> None:
    found: dict[str, list[tuple[float, float, float]]] = {}
    tests = {}
    for job in work:
        test = float(np.mean(squared(forecaster, job, job.fit, job.test)))
        found.setdefault(job.group, []).append((*held_out_errors(forecaster, job), test))
        tests[job.metric] = test
    cells = [f"{1000 * value:.2f}" for group in found.values() for value in np.mean(group, axis=0)]
    each = " ".join(f"{1000 * value:.1f}" for value in tests.values())
    print(f"| {label} | {' | '.join(cells)} | {each} |", flush=True)


def header(work: Sequence[Job]) -> None:
    columns = ["progressive", "families", "**test**"]
    print(f"| variant | 8 benchmarks: {' | '.join(columns)} | emergent: {' | '.join(columns)} | test each |")
    print("|---|---|---|---|---|---|---|---|")
    print(f"| | | | | | | | {' '.join(job.metric for job in work)} |")


# -- given the other scores -----------------------------------------------------------------------------------------


def authors_from_scores(components: int) -> Forecaster:
    return lambda fit, test, metric, names: published_from_scores(
        fit, test, metric, names, components=components, scales=BLEU
    )


def averaged(spaces: Sequence[int], effects: Sequence[float | None], ridge: float = regression.RIDGE) -> Forecaster:
    """Average sigmoids on chosen spaces of capabilities, with and without family shifts."""

    def forecaster(fit: Observations, test: Observations, metric: str, names: list[str]) -> dict[str, float]:
        runs, known = score_table(fit, names, BLEU)
        targets, given = score_table(test, names, BLEU)
        measured = truth(fit, metric)
        value = np.array([measured[run] for run in runs])
        imputer, filled = fit_imputer(known)
        spread = [standardised(*regression.SPACES[i](filled, imputer.fill(given))) for i in spaces]
        members = [Member(*inputs, ridge, effect) for inputs in spread for effect in effects]
        family = [_family(fit)[run] for run in runs], [_family(test)[run] for run in targets]
        made = shares_of(members, value, *family, floor_limit(value), POINT)
        return dict(zip(targets, made.value, strict=True))

    return forecaster


def ours_from_scores(fit: Observations, test: Observations, metric: str, names: list[str]) -> dict[str, float]:
    made = CapabilityRegression(tuple(names), BLEU).forecast(fit, test, [metric], POINT)
    return {f.target.name: f.value / BLEU.get(metric, 1.0) for f in made}


# -- from compute alone ---------------------------------------------------------------------------------------------


def authors_from_compute(fit: Observations, test: Observations, metric: str, _: list[str]) -> dict[str, float]:
    return published_from_compute(fit, test, metric, scales=BLEU)


def authors_from_families(fit: Observations, test: Observations, metric: str, names: list[str]) -> dict[str, float]:
    return published_from_families(fit, test, metric, names, scales=BLEU)


def ours_from_compute(through: from_compute.Through) -> Forecaster:
    def forecaster(fit: Observations, test: Observations, metric: str, names: list[str]) -> dict[str, float]:
        method = Observational(through=through, families=_family(test), benchmarks=tuple(names), scales=BLEU)
        targets = [target for target, _ in targets_of(test.metric(metric))]
        made = method.forecast(fit, targets, [metric], POINT)
        return {f.target.name: f.value / BLEU.get(metric, 1.0) for f in made}

    return forecaster


def pooled(ridge: float, effect: float | None, slopes: Sequence[float | None]) -> Forecaster:
    def forecaster(fit: Observations, test: Observations, metric: str, _: list[str]) -> dict[str, float]:
        measured, held = truth(fit, metric), sorted(truth(test, metric))
        runs = sorted(measured)
        compute = {**_compute(fit), **_compute(test)}
        x = np.log([compute[run] for run in runs])[:, None], np.log([compute[run] for run in held])[:, None]
        members = [Member(*standardised(*x), ridge, effect, slope) for slope in slopes]
        value = np.array([measured[run] for run in runs])
        family = [_family(fit)[run] for run in runs], [_family(test)[run] for run in held]
        made = shares_of(members, value, *family, floor_limit(value), POINT)
        return dict(zip(held, made.value, strict=True))

    return forecaster


def _family(study: Observations) -> dict[str, str]:
    return dict(zip(study.runs["name"], study.runs["family"], strict=True))


def _compute(study: Observations) -> dict[str, float]:
    return dict(zip(study.runs["name"], study.runs["C"], strict=True))


# -- coverage -------------------------------------------------------------------------------------------------------


def coverage(draws: int) -> None:
    print(f"\n## Coverage of 80 % intervals on the test rows, {draws} draws, no calibration\n")
    settings = Settings(draws=draws)
    for label, work in (("given other scores", jobs(given=True)), ("from compute", jobs(given=False))):
        inside: dict[str, list[bool]] = {}
        for job in work:
            if label == "from compute":
                method = Observational(families=_family(job.test), benchmarks=tuple(job.benchmarks), scales=BLEU)
                targets = [target for target, _ in targets_of(job.test.metric(job.metric))]
                made = method.forecast(job.fit, targets, [job.metric], settings)
            else:
                regress = CapabilityRegression(tuple(job.benchmarks), BLEU)
                made = regress.forecast(job.fit, job.test, [job.metric], settings)
            measured = truth(job.test, job.metric)
            for forecast in made:
                low, high = forecast.interval(0.8)
                value = measured[forecast.target.name] * BLEU.get(job.metric, 1.0)
                inside.setdefault(job.group, []).append(low <= value <= high)
        for group, held in inside.items():
            print(f"{label}, {group}: {np.mean(held):.2f} of {len(held)}")


def subsets(group: Group) -> None:
    """Print the V-optimal families, and what the authors' form loses when it sees only them."""
    print("\n## V-optimal families of the fit rows, three components\n")
    runs, known = score_table(group.fit, sorted(group.fit.metrics))
    _, filled = fit_imputer(known)
    S = regression.components_of(filled, 3).of(filled)
    family = [_family(group.fit)[run] for run in runs]
    for budget in (8, 12, 16, 24):
        found = best_families(S, family, budget)
        print(f"≤ {budget} models: {found.models} of {', '.join(found.families)}; variance {found.variance:.1f}")


def main() -> None:
    work = jobs(given=True)
    print("## Given the target's other scores (mean squared error × 1000)\n")
    header(work)
    for components in (1, 2, 3, 4):
        row(f"authors' form, {components} PCs{' (theirs)' * (components == 3)}", authors_from_scores(components), work)
    spaces = {"scores' PCs": 0, "log-odds' PCs": 1, "all log-odds": 2}
    for label, space in spaces.items():
        for effect in (None, 1.0):
            row(f"ours, {label}{', family shifts' * (effect is not None)}", averaged([space], [effect]), work)
    row("ours, all three, no family shifts", averaged([0, 1, 2], [None]), work)
    row("ours, all three, family shifts", averaged([0, 1, 2], [1.0]), work)
    for ridge in (0.3, 3.0):
        row(f"ours, all six, ridge {ridge}", averaged([0, 1, 2], [None, 1.0], ridge), work)
    row("**ours, all six (default)**", ours_from_scores, work)

    work = jobs(given=False)
    print("\n## From compute alone\n")
    header(work)
    row("authors' form, ln C", authors_from_compute, work)
    row("authors' form, family lines of 3 PCs", authors_from_families, work)
    row("ours, pooled lines of 3 PCs (`components`)", ours_from_compute("components"), work)
    row("ours, one curve for all", pooled(0.1, None, [None]), work)
    for ridge, effect, slope in (
        (0.03, 1.0, None), (0.03, 3.0, None), (0.1, 1.0, None), (0.1, 3.0, None), (0.3, 3.0, None),
        (0.1, 3.0, 3.0), (0.1, 3.0, 10.0), (0.03, 3.0, 10.0),
    ):  # fmt: skip
        row(f"ours, ridge {ridge}, shifts {effect:g}, slopes {slope or 'shared'}", pooled(ridge, effect, [slope]), work)
    row("**ours, average of shared and own slopes (default, `own`)**", ours_from_compute("own"), work)
    subsets(protocol("obsscaling").groups[0])
    if len(sys.argv) > 1:
        coverage(int(sys.argv[1]))


if __name__ == "__main__":
    main()
