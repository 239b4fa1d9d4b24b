"""The planned ladder beside the published one on simulated truth: interval width, error and coverage at 7B-4T.

Each simulated ladder is fitted by the project's own default (Skaling, log-Huber, noise redrawn). The published ladder
is the OLMo ladder's 4 sizes × 4 horizons, each horizon a run of its own; every ladder is costed in exact FLOP in the
family's shapes.

`bend` measures instead what foresees how far real small ladders, cut from Farseer's grid, miss its large runs.

Run: python benchmarks/plan.py [LADDERS [TRUTH] | bend]
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from foretell.fitting import fit
from foretell.forecast import Settings, Target
from foretell.forecast.from_fit import predict_at, with_draws
from foretell.ladder import Request, aim_at, make_plan
from foretell.ladder.expected import LOOSE, SEED_NOISE, SHIPPED, Lens
from foretell.laws import LAWS, Law
from foretell.methods.lossfit import AUTO, fit_loss
from foretell.rung import Rung
from foretell.sources import read
from foretell.table import Points, metric_named
from protocols import protocol, testbeds

Array = NDArray[np.float64]

SIZES = (190_354_176, 371_262_464, 758_220_288, 1_279_395_840)  # arXiv 2412.04403
MULTIPLES = (1.0, 2.0, 5.0, 10.0)
N_TARGET, D_TARGET = 6_887_575_552.0, 3_945_065_873_408.0
LADDERS, DRAWS, STARTS = 200, 200, 32
SHARED = 0.5  # of the noise's variance, between the horizons of one trunk, in the rows marked so


@dataclass(frozen=True)
class Design:
    """Hold the runs of a ladder: N and D of each row, the rung it is of, and what they cost."""

    name: str
    N: Array
    D: Array
    rung: NDArray[np.intp]
    flop: float
    six: float


def design_of(name: str, rungs: tuple[Rung, ...]) -> Design:
    rows = [(rung.shape.N, D, i) for i, rung in enumerate(rungs) for D in rung.D]
    N, D, index = (np.array(column) for column in zip(*rows, strict=True))
    six = sum(6.0 * rung.shape.N * rung.trained_tokens for rung in rungs)
    return Design(name, N.astype(float), D.astype(float), index, sum(r.training_flop for r in rungs), six)


def pattern(request: Request, scale: float = 1.0) -> tuple[Rung, ...]:
    """Build the published ladder in the family's shapes, its sizes times `scale`."""
    made = []
    for N in SIZES:
        rung = request.rung(aim_at(N * scale, 1e12, request, tied=False).shape, MULTIPLES)
        assert rung is not None
        made.append(rung)
    return tuple(made)


def designs() -> list[Design]:
    separate = Request(schedule="cosine")
    published = design_of("published 4 × 4", pattern(separate))
    aim = aim_at(N_TARGET, D_TARGET, separate)
    one_percent = 0.01 * aim.flop
    low, high = 0.1, 1.0
    for _ in range(40):
        middle = (low * high) ** 0.5
        cost = sum(rung.training_flop for rung in pattern(separate, middle))
        low, high = (middle, high) if cost <= one_percent else (low, middle)
    return [
        published,
        design_of("plan, equal FLOP, separate runs", make_plan(aim, published.flop, separate).rungs),
        design_of("plan, equal FLOP, shared trunks", make_plan(aim, published.flop, Request()).rungs),
        design_of(f"published × {low:.2f}, 1 %", pattern(separate, low)),
        design_of("plan, 1 %, separate runs", make_plan(aim, one_percent, separate).rungs),
        design_of("plan, 1 %, shared trunks", make_plan(aim, one_percent, Request()).rungs),
    ]


def constants() -> None:
    """Fit what `foretell.ladder.expected` ships, and print it beside."""
    folder = testbeds() / "olmo-ladder"
    points = read("olmo-ladder", folder).training().metric("c4/loss")
    for prior, objective in zip(SHIPPED, ("huber:1e-3", "gaussian"), strict=True):
        made = fit(prior.law, points, objective=objective)
        found = ", ".join(f"{name} {value:.8g}" for name, value in made.coefficients.items())
        print(f"{prior.law.name}: {found}; spread {made.spread:.5f} (shipped {prior.noise:.5f})")
    every = read("olmo-ladder", folder, all_files=True).metric("c4/loss")
    value = dict(zip(every.run.tolist(), every.value, strict=True))
    pairs = [np.log(value[name] / value[f"{name}-rerun"]) for name in value if f"{name}-rerun" in value]
    print(f"seed noise: {np.sqrt(np.mean(np.square(pairs)) / 2):.5f} from {len(pairs)} pairs (shipped {SEED_NOISE})")


def noise_of(design: Design, shared: float, rng: np.random.Generator) -> Array:
    """Draw relative noise: the form's part the same for seeds of one (N, D), the seed's part not."""
    prior = SHIPPED[0]
    index = np.unique(np.stack([design.N, design.D]), axis=1, return_inverse=True)[1].ravel()
    form = prior.form * rng.normal(size=index.max() + 1)[index]
    trunk = rng.normal(size=design.rung.max() + 1)[design.rung]
    own = rng.normal(size=len(index))
    return form + prior.seed * (np.sqrt(shared) * trunk + np.sqrt(1 - shared) * own)


def judged(
    design: Design, truth: Law, coefficients: dict[str, float], shared: float, ladders: int
) -> tuple[float, ...]:
    """Give mean half-width, root mean square error of the target's loss (both relative) and coverage at 80 %."""

    def true(N: Array, D: Array) -> Array:
        return truth.value(coefficients, {"N": N, "D": D, "M": D / N, "C": 6 * N * D})

    target = Target(N_TARGET, D_TARGET)
    at = float(true(np.array([N_TARGET]), np.array([D_TARGET]))[0])
    inputs = {"N": design.N, "D": design.D, "M": design.D / design.N, "C": 6 * design.N * design.D}
    base = true(design.N, design.D)
    names = np.array([f"run {i:02d}" for i in range(len(base))])
    widths, errors, inside = [], [], []
    for seed in range(ladders):
        rng = np.random.default_rng([seed, 7])
        value = base * np.exp(noise_of(design, shared, rng))
        measured = at * np.exp(SHIPPED[0].noise * rng.normal())
        points = Points(metric_named("c4/loss"), names, inputs, value, np.full(len(value), np.nan))
        settings = Settings(draws=DRAWS, parts=frozenset({"coefficients", "noise"}), starts=STARTS, seed=seed)
        made = with_draws(fit_loss(points, AUTO, settings).made, settings)
        predicted = predict_at(made, target, settings, np.random.default_rng([seed, 1]))
        low, high = np.quantile(predicted.draws, [0.1, 0.9])
        widths.append((high - low) / 2 / predicted.value)
        errors.append(np.log(predicted.value / at))
        inside.append(low <= measured <= high)
    return float(np.mean(widths)), float(np.sqrt(np.mean(np.square(errors)))), float(np.mean(inside))


def bend(ladders: int = 300) -> None:
    """Print how foreseen doubt ranks real ladders by their error, for several sizes of the bend."""
    from scipy.optimize import minimize_scalar
    from scipy.stats import spearmanr

    whole = next(iter(protocol("farseer").groups))
    parts = [points for part in (whole.fit, whole.test) if part for points in [part.metric("loss")]]
    N, D, loss = (np.concatenate([column(p) for p in parts]) for column in (
        lambda p: p.input("N"), lambda p: p.input("D"), lambda p: p.value,
    ))  # fmt: skip
    C = 6 * N * D
    far = np.array([i for i in np.argsort(C)[-40:] if N[i] > 3e9])
    small = np.unique(N[N < 2.2e9])
    rng = np.random.default_rng(0)
    missed, spread, pulled = [], [], []
    lens = Lens(SHIPPED[0], float(np.exp(np.log(N[far]).mean())), float(np.exp(np.log(D[far]).mean())))
    loose = np.hstack([np.eye(6) / LOOSE**2, np.zeros((6, 3))])
    while len(missed) < ladders:
        sizes = rng.choice(small, rng.integers(3, 6), replace=False)
        picks = [rng.choice(np.flatnonzero(N == size), rng.integers(2, 5), replace=False) for size in sizes]
        rows = np.concatenate(picks)
        if len(rows) < 9 or not 0.01 < C[rows].sum() / C[far].max() < 0.04:
            continue
        inputs = {"N": N[rows], "D": D[rows], "M": D[rows] / N[rows], "C": C[rows]}
        names = np.array([f"run {i:02d}" for i in range(len(rows))])
        points = Points(metric_named("c4/loss"), names, inputs, loss[rows], np.full(len(rows), np.nan))
        made = fit(SHIPPED[0].law, points, starts=STARTS)
        missed.append(np.sqrt(np.mean(np.log(made.predict({"N": N[far], "D": D[far]}) / loss[far]) ** 2)))
        of_noise, of_bend = lens.doubts(lens.told_by(N[rows], D[rows]).sum(axis=0) + loose)
        spread.append(float(of_noise))
        pulled.append(float(of_bend) / SHIPPED[0].bend ** 2)
    noise, bias, squared = np.array(spread), np.array(pulled), np.square(missed)

    def unlikely(log_size: float) -> float:
        variance = noise + np.exp(2 * log_size) * bias
        return float(np.sum(np.log(variance) + squared / variance))

    print(f"bend of most likelihood: {np.exp(minimize_scalar(unlikely, bounds=(-9, -2), method='bounded').x):.4f}")
    for size in (0.0, 0.005, 0.015, 0.03):
        foreseen = noise + size**2 * bias
        print(f"bend {size:g}: rank correlation of foreseen and real error {spearmanr(foreseen, missed)[0]:.3f}")
    fifths = np.array_split(np.argsort(spread), 5)
    print("median real error by fifths of foreseen spread:", *(f"{np.median(np.array(missed)[f]):.2%}" for f in fifths))


def main() -> None:
    if sys.argv[1:] == ["bend"]:
        bend()
        return
    ladders = int(sys.argv[1]) if len(sys.argv) > 1 else LADDERS
    constants()
    truths = {
        "Skaling, OLMo ladder": (SHIPPED[0].law, SHIPPED[0].coefficients),
        "Chinchilla, OLMo ladder": (SHIPPED[1].law, SHIPPED[1].coefficients),
        "Chinchilla, Besiroglu": (LAWS["chinchilla"], LAWS["chinchilla"].published or {}),
        "Farseer (not the law fitted)": (LAWS["farseer"], LAWS["farseer"].published or {}),
    }
    wanted = sys.argv[2] if len(sys.argv) > 2 else ""
    made = designs()
    for design in made:
        runs = ", ".join(
            f"{N / 1e6:.0f}M × {'/'.join(f'{d / N / 20:.2g}' for d in sorted(set(design.D[design.N == N])))}"
            for N in sorted(set(design.N))
        )
        print(f"{design.name}: {len(design.N)} rows, {design.flop:.3g} FLOP (6ND {design.six:.3g}); {runs}")
    print(f"\n| truth | ladder | FLOP | 80 % half-width | RMS error | coverage | ({ladders} ladders)")
    print("|---|---|---|---|---|---|---|")
    for label, (law, coefficients) in truths.items():
        if not label.startswith(wanted):
            continue
        for design in made:
            for shared in (0.0, SHARED) if "trunks" in design.name and label.startswith("Skaling") else (0.0,):
                start = time.perf_counter()
                width, error, coverage = judged(design, law, coefficients, shared, ladders)
                marked = design.name + (f", noise shared {shared:.0%}" if shared else "")
                print(
                    f"| {label} | {marked} | {design.flop:.2g} | {width:.3%} | {error:.3%} | {coverage:.2f} | "
                    f"{time.perf_counter() - start:.0f} s |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
