"""A plan: the ladder to train for a target, what it costs and what it will tell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from foretell.errors import LadderError, UnitError
from foretell.ladder.design import COST_EXPONENT, Choice, Grid, TooSmall, counted, make_grid
from foretell.ladder.devices import Device
from foretell.ladder.expected import Expected, Lens, Prior, shipped_prior
from foretell.ladder.recipe import RATE_SOURCE, WARMUP_SOURCE, Recipe
from foretell.ladder.shapes import SMALLEST, TIED_BELOW, shape_near
from foretell.markup import small_table
from foretell.rung import Ladder, Precision, Rung, ScheduleName, Shape
from foretell.units import TOKENS_PER_PARAMETER, format_count, parse_compute

Array = NDArray[np.float64]

SMALLER = 70.0  # the smallest rung is at most so much smaller than the target: the OLMo ladder's 13B/190M is 69
LARGER = 2.0  # the largest at least so much
SIZE_STEP = 1.12  # between sizes that are tried: 1.06 changes the expected width by 2 to 4 % (measured)
MULTIPLES = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)  # of 20 N: the OLMo ladder's 0.5 to 10xC, and one beyond
BEYOND = 2.0  # horizons of more than so many times the target's own tokens a parameter tell little of it …
ALWAYS = 10.0  # … but up to 10xC, as the OLMo ladder
SEEDED = 2  # rungs that are trained with several seeds: the smallest, where a seed costs least
FEWEST_STEPS = 100  # of a horizon: a hundredth and less of the OLMo ladder's (190M-1xC: 7,272)


@dataclass(frozen=True)
class Aim:
    """Hold the target of a plan: N parameters as its law counts them, D tokens, its shape and training FLOP."""

    N: float
    D: float
    shape: Shape

    @property
    def flop(self) -> float:
        """Count the FLOP of training it."""
        return self.shape.training_flop(self.D)

    @property
    def multiple(self) -> float:
        """Give its tokens over 20 N."""
        return self.D / (TOKENS_PER_PARAMETER * self.shape.N)


@dataclass(frozen=True)
class Request:
    """Say what a ladder shall look like; the defaults are good for a first one.

    `rungs` sizes with three to `horizons` of `multiples` (of 20 N tokens) each; the two smallest trained with `seeds`
    seeds. `schedule` wsd trains all horizons of a rung on one trunk. `weights` are the mixture. Raises LadderError for
    fewer than two rungs, one horizon, no seed or multiples that are not positive.
    """

    rungs: int = 4
    horizons: int = 4
    seeds: int = 1
    multiples: tuple[float, ...] = ()
    recipe: Recipe = field(default_factory=Recipe)
    vocabulary: int = 100_000
    sequence: int = 4096
    schedule: ScheduleName = "wsd"
    precision: Precision = "bf16"
    weights: Mapping[str, float] = field(default_factory=dict)
    level: float = 0.8

    def __post_init__(self) -> None:
        if self.rungs < 2:
            raise LadderError(
                f"a ladder of {self.rungs} rungs tells nothing of size; ask for --rungs 2 or more, 4 to begin with"
            )
        if self.horizons < 2:
            raise LadderError(
                f"with {self.horizons} horizon a rung, D/N lies on a single ray, where N and D cannot be told apart "
                "however many runs there are (arXiv 2605.08541); ask for --horizons 2 or more"
            )
        if self.seeds < 1 or self.vocabulary < 1 or self.sequence < 2:
            raise LadderError(
                f"--seeds {self.seeds}, --vocabulary {self.vocabulary} and --sequence {self.sequence}: give at least "
                "1, 1 and 2"
            )
        if any(not (math.isfinite(m) and m > 0) for m in self.multiples):
            raise LadderError("multiples of 20 N must be positive numbers, such as --multiples 1,2,5,10")
        if not 0 < self.level < 1:
            raise LadderError(f"level is {self.level}; it lies between 0 and 1, such as 0.8")

    def rung(self, shape: Shape, multiples: tuple[float, ...], name: str = "") -> Rung | None:
        """Make the rung of a shape and rising multiples, of whole steps; None where a horizon has too few steps."""
        unit = TOKENS_PER_PARAMETER * shape.N
        setting = self.recipe.advise(shape, multiples, unit)
        step = setting.batch * shape.sequence
        steps = [round(multiple * unit / step) for multiple in multiples]
        if steps[0] < FEWEST_STEPS or len(set(steps)) < len(steps):
            return None
        return Rung(
            name=name or format_count(shape.N), shape=shape, D=tuple(step * count for count in steps),
            batch=setting.batch, learning_rate=setting.learning_rate, warmup=setting.warmup, schedule=self.schedule,
            precision=self.precision, weights=dict(self.weights),
        )  # fmt: skip


@dataclass(frozen=True)
class NextRun:
    """Hold a run that could be trained next: its rung, cost in FLOP, and the interval expected with it.

    `worth` is its V-optimal gain over cost^0.4, relative to the best run's.
    """

    rung: Rung
    flop: float
    expected: Expected
    worth: float


@dataclass(frozen=True)
class Plan:
    """Hold the ladder planned for an aim within a budget in FLOP, its expected interval and the runs worth adding."""

    aim: Aim
    budget: float
    request: Request
    prior: Prior
    rungs: tuple[Rung, ...]
    expected: Expected
    next_runs: tuple[NextRun, ...]

    @property
    def flop(self) -> float:
        """Count the FLOP of all rungs."""
        return sum(rung.training_flop for rung in self.rungs if not rung.held_out)

    def _repr_html_(self) -> str:
        rows = [
            (rung.name, format_count(rung.shape.N), ", ".join(format_count(D) for D in rung.D), str(rung.batch),
             f"{rung.learning_rate:.3g}", f"{rung.training_flop:.3g}")
            for rung in self.rungs
        ]  # fmt: skip
        aim, (low, high) = self.aim, self.expected.interval
        notes = (
            f"cost: {self.flop:.3g} FLOP, {100 * self.flop / aim.flop:.2g} % of the target's {aim.flop:.3g}",
            f"expected: the target's loss within {low:.4g} – {high:.4g} nats/token, level {self.expected.level:g}",
        )
        title = f"ladder for {format_count(aim.N)} parameters on {format_count(aim.D)} tokens"
        return small_table(title, ("rung", "N", "D", "batch", "learning rate", "FLOP"), rows, notes)

    def ladder(self, *, with_target: bool = False) -> Ladder:
        """Give the ladder; with the target as a rung held out, to be trained after all others."""
        rungs = self.rungs
        if with_target:
            rungs = (*rungs, _held_out(self.aim, self.request, rungs))
        return Ladder(rungs=rungs)


def _held_out(aim: Aim, request: Request, rungs: Sequence[Rung]) -> Rung:
    made = request.rung(aim.shape, (aim.multiple,), "target")
    if made is None:
        raise LadderError(f"the target ends after fewer than {FEWEST_STEPS} steps; lower --batch-rule")
    return made.model_copy(update={"held_out": True, "after": tuple(rung.name for rung in rungs)})


def aim_at(N: float, D: float, request: Request, *, tied: bool | None = None, in_N_total: bool = False) -> Aim:
    """Describe the target in the shape that the family has for it; raises LadderError for an N outside the family.

    `tied` shares embedding and output head; by default below 5B. With `in_N_total` N counts all parameters.
    """
    tied = N < TIED_BELOW if tied is None else tied

    def shape(body: float) -> Shape:
        return shape_near(body, request.vocabulary, request.sequence, tied=tied)

    body = N
    for _ in range(20 if in_N_total else 0):  # the vocabulary's part moves slowly with the body's
        body = max(SMALLEST, body * (N / shape(body).N_total) ** 0.5)
    return Aim(N, D, shape(body))


def parse_budget(text: str | float, aim: Aim) -> float:
    """Read a budget in FLOP: `1e21`, or `1%` of the target's training.

    Raises UnitError for what cannot be read and LadderError for a budget that pays for the target itself.
    """
    if isinstance(text, str) and text.strip().endswith("%"):
        try:
            share = float(text.strip()[:-1]) / 100
        except ValueError:
            raise UnitError(f"budget {text!r} cannot be read; write 1% or a FLOP such as 1e21") from None
        if not (math.isfinite(share) and share > 0):
            raise UnitError(f"budget is {text!r}; it must be more than nothing, such as 1%")
        budget = share * aim.flop
    else:
        try:
            budget = parse_compute(text)
        except UnitError:
            raise UnitError(
                f"budget {text!r} cannot be read; write a share of the target such as 1%, or a FLOP such as 1e21"
            ) from None
    if budget >= aim.flop:
        raise LadderError(
            f"a budget of {budget:.3g} FLOP pays for the target itself, which costs {aim.flop:.3g}: train it; a plan "
            "is worth making for a small part of that, such as 1%"
        )
    return budget


def make_plan(aim: Aim, budget: float, request: Request, prior: Prior | None = None) -> Plan:
    """Choose the sizes and horizons that leave the target least in doubt within a budget in FLOP.

    `prior` is what is believed of the loss; by default what the OLMo ladder's runs say. Raises LadderError when the
    budget is too small (with the least that works), or when the horizons lie on a single ray.
    """
    lens = Lens(prior or shipped_prior(request.rungs * request.horizons), aim.N, aim.D)
    grid = make_grid(
        lens, shapes_below(aim), multiples_for(aim, request), request.rungs, request.horizons, request.rung
    )
    try:
        chosen = _within(grid, budget, request)
    except TooSmall as small:
        raise LadderError(
            f"a budget of {budget:.3g} FLOP is too small: the cheapest ladder of {request.rungs} sizes costs "
            f"{small.least:.3g} FLOP, {100 * small.least / aim.flop:.2g}% of the target; give that, or fewer --rungs, "
            "--horizons or --seeds"
        ) from None
    counts = [request.seeds if place < SEEDED else 1 for place in range(len(chosen))]
    rungs = tuple(
        _with_seed(choice.rung, seed) for choice, count in zip(chosen, counts, strict=True) for seed in range(count)
    )
    known = sum((told_of(lens, c.rung, count) for c, count in zip(chosen, counts, strict=True)), start=lens.known)
    rows = lens.prior.rows + sum(len(choice.rung.D) for choice in chosen)  # a seed adds none
    there = [(counted(lens.prior, rung), float(D)) for rung in rungs for D in rung.D]
    return Plan(
        aim, budget, request, lens.prior, rungs, lens.expected(known, rows, request.level),
        tuple(rank_next(lens, known, rows, aim, request, budget, there)),
    )  # fmt: skip


def _with_seed(rung: Rung, seed: int) -> Rung:
    return rung.model_copy(update={"name": f"{rung.name}-s{seed}", "seed": seed}) if seed else rung


def _within(grid: Grid, budget: float, request: Request) -> list[Choice]:
    """Search with what the further seeds of the smallest rungs leave of the budget."""
    more = request.seeds - 1

    def cost(chosen: Sequence[Choice]) -> float:
        return sum(c.flop for c in chosen) + more * sum(c.flop for c in chosen[:SEEDED])

    cheapest = sorted(grid.cheapest(request.rungs), key=lambda choice: choice.rung.shape.N)
    if cost(cheapest) > budget:
        raise TooSmall(cost(cheapest))
    left, least = budget, sum(choice.flop for choice in cheapest)
    while left >= least:
        chosen = grid.search(left, request.rungs)
        if (over := cost(chosen) - budget) <= 0:
            return chosen
        left = min(0.98 * left, left - min(over, 0.5 * left))
    return cheapest


def rank_next(
    lens: Lens,
    known: Array,
    rows: int,
    aim: Aim,
    request: Request,
    budget: float,
    there: Sequence[tuple[float, float]] = (),
    most: int = 5,
) -> list[NextRun]:
    """Rank the single runs within a budget by what they take off the variance at the target, over cost^0.4.

    `known` is what the `rows` there are tell through the lens, `there` their (N, D), which are not proposed again; of
    each horizon the best size is listed, where it helps. Source: V-optimality as in arXiv 2604.22753.
    """
    tried: list[tuple[float, float, Rung, Array]] = []
    before = float(lens.doubts(known)[0])
    for shape in shapes_below(aim):
        for multiple in multiples_for(aim, request):
            rung = request.rung(shape, (multiple,))
            if rung is None or rung.training_flop > budget:
                continue
            N, D = counted(lens.prior, rung), float(rung.D[0])
            if any(abs(math.log(N / n)) < math.log(SIZE_STEP) > abs(math.log(D / d)) for n, d in there):
                continue
            after = known + told_of(lens, rung)
            gain = before - float(lens.doubts(after)[0])
            if gain > 0:
                tried.append((gain / rung.training_flop**COST_EXPONENT, multiple, rung, after))
    tried.sort(key=lambda found: -found[0])
    ranked: list[NextRun] = []
    for multiple in dict.fromkeys(found[1] for found in tried):
        score, _, rung, after = next(found for found in tried if found[1] == multiple)
        named = rung.model_copy(update={"name": f"{rung.name}-{multiple:g}xC"})
        expected = lens.expected(after, rows + 1, request.level)
        ranked.append(NextRun(named, rung.training_flop, expected, score / tried[0][0]))
    return ranked[:most]


def told_of(lens: Lens, rung: Rung, seeds: int = 1) -> Array:
    """Compute the block that a rung's runs tell through a lens."""
    count = np.full(len(rung.D), counted(lens.prior, rung))
    total: Array = lens.told_by(count, np.array(rung.D, dtype=np.float64), seeds).sum(axis=0)
    return total


def shapes_below(aim: Aim) -> list[Shape]:
    """List the family's shapes from a 70th to half of the target, each once.

    Raises LadderError for a target so small that nothing is left below it.
    """
    low, high = max(SMALLEST, aim.shape.N / SMALLER), aim.shape.N / LARGER
    if high <= low:
        raise LadderError(
            f"a target of {format_count(aim.N)} parameters leaves no smaller rung: the family begins at "
            f"{format_count(SMALLEST)}; train the target itself"
        )
    count = math.ceil(math.log(high / low) / math.log(SIZE_STEP)) + 1
    shape = aim.shape
    found = [shape_near(N, shape.vocabulary, shape.sequence, tied=shape.tied) for N in np.geomspace(low, high, count)]
    return sorted(set(found), key=lambda each: each.N)


def multiples_for(aim: Aim, request: Request) -> tuple[float, ...]:
    """Give the horizons that are tried, as multiples of 20 N: those asked for, or those that bear on the target."""
    if request.multiples:
        return tuple(sorted(set(request.multiples)))
    return tuple(m for m in MULTIPLES if m <= max(ALWAYS, BEYOND * aim.multiple))


def next_ladder(best: NextRun, aim: Aim, request: Request, *, with_target: bool = False) -> Ladder:
    """Make a ladder of one run to be trained next."""
    if not with_target:
        return Ladder(rungs=(best.rung,))
    return Ladder(rungs=(best.rung, _held_out(aim, request, (best.rung,))))


def with_precision(request: Request, device: Device) -> Request:
    """Train in the precision that a device is measured in."""
    return replace(request, precision=device.precision)


def sources_of(request: Request) -> dict[str, str]:
    """Say where each field of a rung is from."""
    repeated = (
        {"seed": "the two smallest rungs are repeated, to measure what a seed changes"} if request.seeds > 1 else {}
    )
    return {
        **repeated,
        "shape": "width, layers and heads between the OLMo ladder and LLaMA (arXiv 2412.04403, 2302.13971)",
        "D": "chosen with the sizes for the least variance at the target (V-optimal)",
        "batch": request.recipe.batch_source,
        "learning_rate": RATE_SOURCE[request.recipe.name],
        "warmup": WARMUP_SOURCE,
    }
