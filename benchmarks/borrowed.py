"""Borrowed exponents, each family forecast from its 1, 2, 3 or 6 smallest runs with its source left out of the prior.

Beside: the law without a prior where the rows can carry it, the base prior alone, and a copy of the largest run.
Run: python benchmarks/borrowed.py [--figure FILE.png]
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np

from foretell.errors import ForetellError
from foretell.fitting import fit
from foretell.forecast import Settings
from foretell.laws import LAWS
from foretell.methods.borrowed import Borrowed, fit_under, joined, joined_draws
from foretell.methods.priors import SHAPES, Prior, base, learn_prior, shipped
from foretell.table import Points
from learn_priors import EXPECTED, Source, families

GIVEN = (1, 2, 3, 6)
LARGEST = 0.1  # of a family's runs, at least one, by compute
LEVEL = 0.8
FAR = 3.0  # |relative error| that a fit without a prior is counted as when it is larger: it has none
DRAWS = Settings(draws=400)


@dataclass(frozen=True)
class Case:
    """Hold a family's rows to fit and the ends of its largest runs."""

    source: Source
    given: int
    fit: Points
    test: Points


def cases(rows: str = "checkpoints") -> list[Case]:
    """Give every family with each number of smallest runs."""
    made = []
    for source in families():
        every = Borrowed(rows=rows).rows_of(source.runs, source.metric)
        D = every.input("D")
        ends = np.array([np.flatnonzero(every.run == r)[np.argmax(D[every.run == r])] for r in np.unique(every.run)])
        ends = ends[np.lexsort((every.run[ends], every.input("C")[ends]))]
        test = ends[-max(1, round(LARGEST * len(ends))) :]
        for given in GIVEN:
            known = every.run[ends[:given]]
            made.append(Case(source, given, every.take(np.isin(every.run, known)), every.take(test)))
    return made


def borrowed(case: Case, laws: tuple[str, ...], *, base_only: bool = False) -> tuple[float, float, float]:
    """Give mean |relative error| at the largest runs, the share inside 80 % intervals, and their relative width."""
    found = []
    for law in laws:
        if base_only:
            centre, precision = base(SHAPES[law])
            prior = Prior(SHAPES[law], centre, np.diag(1.0 / precision), EXPECTED, (), ())
        else:
            prior = learn_prior(shipped(law), SHAPES[law], {case.source.name.split("/")[0]})
        found.append(fit_under(prior, case.fit, DRAWS))
    errors, inside, widths = [], [], []
    rng = np.random.default_rng(0)
    for N, D, y in zip(case.test.input("N"), case.test.input("D"), case.test.value, strict=True):
        errors.append(abs(joined(found, N, D) / y - 1))
        draws = joined_draws(found, N, D, DRAWS.parts, rng)
        low, high = np.quantile(draws, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
        inside.append(low <= y <= high)
        widths.append((high - low) / y)
    return float(np.mean(errors)), float(np.mean(inside)), float(np.mean(widths))


def without_prior(case: Case, law: str) -> float:
    """Give the error of a law fitted to the same rows alone; nan where they cannot carry it."""
    try:
        made = fit(LAWS[law], case.fit, starts=32)
    except ForetellError:
        return float("nan")
    return float(np.mean(np.minimum(np.abs(made.predict(case.test.inputs) / case.test.value - 1), FAR)))


def copied(case: Case) -> float:
    """Give the error of saying what the largest given run ended at."""
    last = case.fit.value[np.lexsort((case.fit.input("D"), case.fit.input("C")))[-1]]
    return float(np.mean(np.abs(last / case.test.value - 1)))


def main() -> None:
    columns = ("both", "skaling", "chinchilla", "base prior", "no prior", "copy")
    found: dict[tuple[int, str], list[float]] = {}
    cover: dict[int, list[float]] = {}
    print("mean |relative error| in percent at the largest tenth of each family's runs, own source left out\n")
    print(f"| family | runs | reach | {' | '.join(columns)} | inside 80 % | width % |")
    print("|---" * (len(columns) + 5) + "|")
    for case in cases():
        both, inside, width = borrowed(case, tuple(SHAPES))
        errors = (
            both,
            borrowed(case, ("skaling",))[0],
            borrowed(case, ("chinchilla",))[0],
            borrowed(case, tuple(SHAPES), base_only=True)[0],
            without_prior(case, "chinchilla"),
            copied(case),
        )
        siblings = sum(other.name.split("/")[0] == case.source.name.split("/")[0] for other in families_once())
        for column, error in zip(columns, errors, strict=True):
            found.setdefault((case.given, column), []).append(error / siblings)
        found.setdefault((case.given, "weight"), []).append(1 / siblings)
        cover.setdefault(case.given, []).append(inside / siblings)
        reach = np.log10(case.test.input("C").mean() / case.fit.input("C").max())
        cells = " | ".join(f"{100 * error:.2f}" for error in errors)
        ends = f"{inside:.2f} | {100 * width:.1f} |"
        print(
            f"| {case.source.name} | {case.given} | {reach:.1f} | {cells} | {ends}",
            flush=True,
        )
    print(f"\nmean over sources (siblings share one voice)\n\n| runs | {' | '.join(columns)} | inside 80 % |")
    print("|---" * (len(columns) + 2) + "|")
    for given in GIVEN:
        weight = np.array(found[given, "weight"])
        cells = []
        for column in columns:
            values = np.array(found[given, column])
            kept = ~np.isnan(values)
            few = "" if kept.all() else f" ({int(kept.sum())} of {len(kept)} families)"
            cells.append(f"{100 * values[kept].sum() / weight[kept].sum():.2f}{few}" if kept.any() else "–")
        print(f"| {given} | {' | '.join(cells)} | {np.sum(cover[given]) / weight.sum():.2f} |")
    if "--figure" in sys.argv:
        draw(found, columns, Path(sys.argv[sys.argv.index("--figure") + 1]))


_ONCE: list[Source] = []


def families_once() -> list[Source]:
    """Give the families, read once."""
    if not _ONCE:
        _ONCE.extend(replace(source) for source in families())
    return _ONCE


def draw(found: dict[tuple[int, str], list[float]], columns: tuple[str, ...], file: Path) -> None:
    """Draw the mean error over sources against the number of runs."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for column, marker in zip(columns, "*osd^x", strict=True):
        points = []
        for given in GIVEN:
            values, weight = np.array(found[given, column]), np.array(found[given, "weight"])
            kept = ~np.isnan(values)
            if kept.all():
                points.append((given, 100 * values.sum() / weight.sum()))
        if points:
            axes.plot(*zip(*points, strict=True), marker=marker, label=column)
    axes.set(xlabel="runs given, smallest compute first", ylabel="mean |relative error| at the largest runs, %")
    axes.set(yscale="log", xticks=GIVEN)
    axes.legend()
    figure.savefig(file, dpi=150)


if __name__ == "__main__":
    main()
