"""A design: the sizes and horizons that leave least doubt of a target for what they cost."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.errors import LadderError
from foretell.ladder.expected import Lens, Prior, fewest_rows
from foretell.rung import Rung, Shape

Array = NDArray[np.float64]

RAYS_APART = 4.0  # between the smallest and largest D/N of a rung: the spread of D/N identifies (arXiv 2605.08541)
FEWEST_HORIZONS = 3  # of a rung, where so many are asked for: two would show no bend in D
SPACING = 1.5  # between sizes: nearer ones are one size, and a bend of the truth would not show
COST_EXPONENT = 0.4  # of the cost by which a run's gain is divided (arXiv 2604.22753)
TRIES = 48  # random starts of the exchange; measured on five targets: 6 leave up to 14 % more spread


@dataclass(frozen=True)
class Choice:
    """Hold one way to train one size: the rung, its cost and what it would tell (see `Lens`)."""

    rung: Rung
    flop: float
    told: Array


@dataclass(frozen=True)
class Grid:
    """Hold every way to train every size, by size: `choices[size]`; and the lens on the target."""

    lens: Lens
    choices: tuple[tuple[Choice, ...], ...]

    def cheapest(self, rungs: int) -> list[Choice]:
        """Give the cheapest ladder of so many sizes; raises LadderError where the sizes are too few."""
        best = [min(of_size, key=lambda choice: choice.flop) for of_size in self.choices]
        order = sorted(range(len(best)), key=lambda i: best[i].rung.shape.N)
        taken: list[Choice] = []
        for i in order:
            if all(_apart(best[i], other) for other in taken):
                taken.append(best[i])
            if len(taken) == rungs:
                return taken
        raise LadderError(
            f"only {len(taken)} sizes fit between the smallest rung and the target, {rungs} were asked for; "
            "ask for fewer --rungs"
        )

    def search(self, budget: float, rungs: int, *, seed: int = 0) -> list[Choice]:
        """Find the ladder that leaves the target least in doubt within a budget, in rising order of size.

        The doubt is the coefficients' variance there (V-optimality).

        Rungs are exchanged one at a time for the best that the others leave money for, until none is better; from the
        cheapest ladder and from random ones. Raises LadderError when even the cheapest ladder costs more.
        """
        first = self.cheapest(rungs)
        if (least := sum(choice.flop for choice in first)) > budget:
            raise TooSmall(least)
        flat = [choice for of_size in self.choices for choice in of_size]
        table = _Table(
            np.array([choice.flop for choice in flat]),
            np.array([math.log(choice.rung.shape.N) for choice in flat]),
            np.stack([choice.told for choice in flat]),
        )
        where = {id(choice): i for i, choice in enumerate(flat)}
        rng = np.random.default_rng(seed)
        begin = [where[id(choice)] for choice in first]
        best, value = self._exchange(table, begin, budget)
        for _ in range(TRIES):
            start = list(begin)
            for place in rng.permutation(rungs):
                open_to = self._allowed(table, start[:place] + start[place + 1 :], budget)
                start[place] = int(rng.choice(np.flatnonzero(open_to)))
            found, reached = self._exchange(table, start, budget)
            if reached < value * (1 - 1e-9):
                best, value = found, reached
        return sorted((flat[i] for i in best), key=lambda choice: choice.rung.shape.N)

    def _exchange(self, table: _Table, start: list[int], budget: float) -> tuple[list[int], float]:
        current = list(start)
        value = float(self._doubt(table.told[current].sum(axis=0)[None])[0])
        better = True
        while better:
            better = False
            for place in range(len(current)):
                others = current[:place] + current[place + 1 :]
                open_to = np.flatnonzero(self._allowed(table, others, budget))
                reached = self._doubt(table.told[others].sum(axis=0) + table.told[open_to])
                k = int(np.argmin(reached))
                if reached[k] < value * (1 - 1e-6):
                    current[place], value, better = int(open_to[k]), float(reached[k]), True
        return current, value

    def _allowed(self, table: _Table, others: list[int], budget: float) -> NDArray[np.bool_]:
        allowed: NDArray[np.bool_] = table.flop <= (budget - table.flop[others].sum()) * (1 + 1e-12)
        for other in others:
            allowed &= np.abs(table.log_N - table.log_N[other]) >= math.log(SPACING)
        return allowed

    def _doubt(self, told: Array) -> Array:
        """Compute the coefficients' variance (n,) at the target for stacked blocks."""
        return self.lens.doubts(self.lens.known + told)[0]


@dataclass(frozen=True)
class _Table:
    flop: Array
    log_N: Array
    told: Array


class TooSmall(LadderError):
    """Tell that a budget pays for no ladder; `least` is what the cheapest costs, in FLOP."""

    def __init__(self, least: float) -> None:
        self.least = least
        super().__init__(f"the cheapest ladder costs {least:.3g} FLOP")


def make_grid(
    lens: Lens,
    shapes: Sequence[Shape],
    multiples: Sequence[float],
    rungs: int,
    horizons: int,
    rung_of: Callable[[Shape, tuple[float, ...]], Rung | None],
) -> Grid:
    """Lay out every size with every set of three to `horizons` multiples that spans two rays.

    `rung_of` makes a rung, or None for one that cannot be trained. Raises LadderError for a single ray, or when no
    size can be trained at all.
    """
    prior = lens.prior
    if rungs * horizons + prior.rows < fewest_rows(prior):
        raise LadderError(
            f"{rungs} rungs of {horizons} horizons cannot carry the law {prior.law.name}, which needs "
            f"{fewest_rows(prior)} rows; raise --rungs or --horizons"
        )
    fewest = max(FEWEST_HORIZONS, math.ceil((fewest_rows(prior) - prior.rows) / rungs))
    sets = [
        chosen
        for count in range(min(fewest, horizons), horizons + 1)
        for chosen in itertools.combinations(sorted(multiples), count)
        if chosen[-1] / chosen[0] >= RAYS_APART * (1 - 1e-9)
    ]
    if not sets:
        raise LadderError(
            f"horizons of {', '.join(f'{m:g}xC' for m in sorted(multiples))}, {horizons} a rung, lie on a single D/N "
            f"ray or too near one: on one ray N and D cannot be told apart however many runs there are "
            f"(arXiv 2605.08541); give --horizons 2 or more and multiples at least {RAYS_APART:g}× apart"
        )
    made = [[rung for chosen in sets if (rung := rung_of(shape, chosen)) is not None] for shape in shapes]
    every = [rung for of_size in made for rung in of_size]
    if not every:
        raise LadderError(
            "no size can be trained on these horizons: a step is too many tokens; lower --sequence or --batch-rule"
        )
    told = lens.told_by(
        np.array([counted(prior, rung) for rung in every for _ in rung.D]),
        np.array([float(D) for rung in every for D in rung.D]),
    )
    first = np.cumsum([0, *(len(rung.D) for rung in every[:-1])])
    of_rung = iter(np.add.reduceat(told, first, axis=0))
    choices = [tuple(Choice(rung, rung.training_flop, next(of_rung)) for rung in of_size) for of_size in made]
    return Grid(lens, tuple(of_size for of_size in choices if of_size))


def counted(prior: Prior, rung: Rung) -> float:
    """Give a rung's parameters as the prior's law counts them."""
    return float(rung.shape.N_total if prior.in_N_total else rung.shape.N)


def _apart(one: Choice, other: Choice) -> bool:
    return abs(math.log(one.rung.shape.N / other.rung.shape.N)) >= math.log(SPACING)
