"""The design of a repetition-controlled experiment: which mixtures to train at which horizons over which pools."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import NDArray

from foretell.errors import LadderError
from foretell.mixture import Mixture, Pools, sample_mixtures
from foretell.rung import Evaluation, Ladder, Rung, makes_sense, write_ladder_text
from foretell.rung.shape import Shape
from foretell.units import format_count

Array = NDArray[np.float64]

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # horizons over the target's tokens (arXiv 2606.07597)
SERIES = ("full", "matched")
POINTS = 7  # mixtures at each horizon of two sources
CORNER_SHARE = 0.05  # least and most share of a source in the grid, but for a pure run of the scarce one
SEEDS_AT = 2  # mixtures that are trained again with another seed
LEAST_WARMUP = 1
LEAST_SHARE = 0.005  # of a swarm's mixture: a smaller share is left out
EVALUATION = Evaluation(tokens=1 << 15, probe=0, checkpoints=0)  # the end alone: its loss is all that is fitted
WARMUP_SHARE = 0.05


@dataclass(frozen=True)
class Design:
    """Hold the rungs of an experiment, its target and cost."""

    rungs: tuple[Rung, ...]
    D: int
    pools: Pools

    @property
    def flop(self) -> float:
        """Count the FLOP of all rungs."""
        return float(sum(rung.training_flop for rung in self.rungs))

    @property
    def runs(self) -> int:
        """Count the models that are trained."""
        return sum(len(rung.D) for rung in self.rungs)


def mixture_grid(sources: Sequence[str], points: int = POINTS) -> list[Mixture]:
    """Give mixtures that fill the simplex of two or three sources, the first source from little to (almost) all.

    Raises LadderError for another number of sources, or fewer points than a parabola needs.
    """
    k = len(sources)
    if k not in (2, 3):
        raise LadderError(f"{k} sources: repetition-controlled experiments are designed for two or three")
    if points < (3 if k == 2 else 6):
        raise LadderError(f"{points} mixtures do not fix the best one; ask for at least {3 if k == 2 else 6}")
    if k == 2:
        # closer together where little of the scarce source is used: its best share falls with the horizon
        shares = CORNER_SHARE + (1.0 - CORNER_SHARE) * np.linspace(0.0, 1.0, points) ** 1.5
        return [Mixture({sources[0]: float(round(s, 4)), sources[1]: float(round(1 - s, 4))}) for s in shares]
    side = 2
    while (side + 1) * (side + 2) // 2 < points:
        side += 1
    made = []
    for i in range(side + 1):
        for j in range(side + 1 - i):
            shares = np.maximum(np.array([i, j, side - i - j]) / side, CORNER_SHARE)
            shares = np.round(shares / shares.sum(), 4)
            shares[2] = 1.0 - shares[0] - shares[1]
            made.append(Mixture(dict(zip(sources, map(float, shares), strict=True))))
    return made


def design_ladder(
    shape: Shape,
    D: int,
    pools: Pools,
    sources: Sequence[str],
    *,
    learning_rate: float,
    batch: int = 8,
    horizons: Sequence[float] = SHARES,
    points: int = POINTS,
    seeds: int = 1,
    full: Sequence[float] = SHARES,
) -> Design:
    """Design rungs for every mixture: over pools matched to D at each horizon, and over full pools at those of `full`.

    Every horizon is a run of its own, since its pool or the passes over it differ. `seeds` beyond the first repeat the
    middle mixtures of every horizon. At a share of 1 both series are the same run. Raises LadderError where a source of
    a pool is not among `sources`, or a horizon is shorter than two steps.
    """
    _check_sources(sources, batch)
    if stray := set(pools.tokens) - set(sources):
        raise LadderError(
            f"pools of {', '.join(sorted(stray))}, which are no sources; the sources are {', '.join(sources)}"
        )
    if not any(math.isfinite(tokens) for tokens in pools.tokens.values()):
        raise LadderError(
            "no pool is finite, so nothing repeats; give the scarce source's tokens, such as --pool wiki=2M"
        )
    finite = {name: int(tokens) for name, tokens in pools.tokens.items() if math.isfinite(tokens)}
    step = batch * shape.sequence
    grid = mixture_grid(sources, points)
    middle = {round(i) for i in np.linspace(1, len(grid) - 2, SEEDS_AT)} if seeds > 1 else set()
    rungs = []
    cells = [(share, "matched") for share in sorted(set(horizons))]
    cells += [(share, "full") for share in sorted(set(full)) if share < 1.0]
    for share, series in cells:
        if not 0 < share <= 1:
            raise LadderError(f"a horizon is a share 0..1 of the target; {share} is not")
        tokens = max(1, round(share * D / step)) * step
        steps = tokens // step
        for place, mixture in enumerate(grid):
            weights = {name: value for name, value in mixture.shares.items() if value > 0}
            held = {name: size for name, size in finite.items() if name in weights}
            cut = share if series == "matched" else 1.0
            passes = max((weights[n] * tokens / (size * cut) for n, size in held.items()), default=1.0)
            for seed in range(seeds if place in middle else 1):
                name = f"{series}-1of{round(1 / share)}-{_named(mixture, sources[0])}" + (
                    f"-seed{seed}" if seed else ""
                )
                rungs.append(
                    _rung(
                        name=name, shape=shape, D=(tokens,), batch=batch, learning_rate=learning_rate,
                        warmup=max(LEAST_WARMUP, round(WARMUP_SHARE * steps)), weights=weights, pools=held,
                        matched_to=max(D, tokens) if series == "matched" and share < 1.0 else None,
                        most_epochs=max(4.0, math.ceil(1.1 * passes)), seed=seed,
                        family="target" if share == 1.0 else series,
                    )
                )  # fmt: skip
    return Design(tuple(rungs), D, pools)


def design_swarm(
    shape: Shape,
    D: int,
    pools: Pools,
    sources: Sequence[str],
    count: int,
    *,
    learning_rate: float,
    batch: int = 8,
    most_epochs: float = math.inf,
    seed: int = 0,
) -> Design:
    """Design `count` rungs of one size on D tokens, their mixtures Dirichlet within caps on epochs, for `mix best`.

    Raises MethodError where the caps leave no mixture, LadderError where there are no more mixtures than sources.
    """
    _check_sources(sources, batch)
    if count <= len(sources):
        raise LadderError(f"{count} mixtures of {len(sources)} sources fix nothing; train about 3 for every source")
    step = batch * shape.sequence
    tokens = max(2, round(D / step)) * step
    finite = {name: int(held) for name, held in pools.tokens.items() if math.isfinite(held)}
    region = pools.region(sources, tokens, most_epochs=most_epochs)
    drawn = np.round(sample_mixtures(region, count, np.random.default_rng([seed, 10]), least=LEAST_SHARE), 4)
    rungs = []
    for i, row in enumerate(drawn):
        largest = int(np.argmax(row))
        row[largest] = 1.0 - np.delete(row, largest).sum()
        weights = {name: float(share) for name, share in zip(sources, row, strict=True) if share > 0}
        held = {name: size for name, size in finite.items() if name in weights}
        passes = max((weights[n] * tokens / size for n, size in held.items()), default=1.0)
        rungs.append(
            _rung(
                name=f"swarm-{i:03d}", shape=shape, D=(tokens,), batch=batch, learning_rate=learning_rate,
                warmup=max(LEAST_WARMUP, round(WARMUP_SHARE * tokens / step)), weights=weights, pools=held,
                most_epochs=max(4.0, math.ceil(1.1 * passes)), family="swarm",
            )
        )  # fmt: skip
    return Design(tuple(rungs), D, pools)


def _check_sources(sources: Sequence[str], batch: int) -> None:
    twice = sorted({name for name in sources if list(sources).count(name) > 1})
    if twice:
        raise LadderError(f"the source {', '.join(twice)} is named twice; name each source once")
    if batch < 1:
        raise LadderError(f"a batch of {batch} sequences trains nothing; give 1 or more")


def _rung(**fields: Any) -> Rung:
    with makes_sense(f"the run {fields['name']}"):
        return Rung(**fields)


def _named(mixture: Mixture, first: str) -> str:
    shares = [f"{round(1000 * share):03d}" for share in list(mixture.shares.values())[:-1]]
    return f"{first}{'-'.join(shares)}".replace("_", "-")


def ladder_toml(design: Design, *, corpus: str = "corpus", study: str = "study") -> str:
    """Write a design as the text of a `ladder.toml`, what all rungs share in `[defaults]`."""
    ladder = Ladder(corpus=corpus, study=study, evaluation=EVALUATION, rungs=design.rungs)
    written = [rung.model_dump(mode="json", exclude_defaults=True) for rung in ladder.rungs]
    shared = {
        key: value
        for key, value in written[0].items()
        if key != "name" and all(other.get(key) == value for other in written)
    }
    rungs = [{key: value for key, value in rung.items() if key not in shared} for rung in written]
    notes = [
        f"# Mixtures for {format_count(design.D)} tokens; pools: "
        + ", ".join(f"{name} = {format_count(tokens)}" for name, tokens in design.pools.tokens.items()),
        f"# {design.runs} runs, {design.flop:.3g} FLOP. `matched` pools are cut so that passes equal the target's.",
    ]
    text: Mapping[str, object] = {
        "format": ladder.format, "corpus": corpus, "study": study,
        "evaluation": EVALUATION.model_dump(mode="json", exclude_defaults=True), "defaults": shared, "rung": rungs,
    }  # fmt: skip
    return "\n".join(notes) + "\n\n" + tomli_w.dumps(dict(text))


def write_design(
    design: Design, path: str | Path, *, corpus: str = "corpus", study: str = "study", force: bool = False
) -> None:
    """Write a design as a `ladder.toml`, whole or not at all.

    Raises LadderError when the file exists (unless `force`) or cannot be written.
    """
    write_ladder_text(ladder_toml(design, corpus=corpus, study=study), path, force=force)
