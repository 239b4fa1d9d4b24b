"""Transfer: from the best mixtures of short horizons to the best one of a long horizon, repetition included.

A scarce source is repeated more often the longer one trains, so that its best share falls. Two series of horizons tell
how: over the full pools, and over pools cut so that the passes match the target's (arXiv 2606.07597). Let e be the
best number of epochs over a source. Over the full pool, log e is taken as linear in log D, and over cut pools too; both
lines meet at the target, where the pools are the same. That is one law, log e = a + b log D + c log U, whose forecast
from equally many horizons of each series is the mean of the two lines' forecasts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.errors import MethodError, UnknownName
from foretell.markup import small_table
from foretell.mixing.horizon import AUTO, Best, Horizon, best_of, central
from foretell.mixture import Pools
from foretell.units import format_count

Array = NDArray[np.float64]

WAYS = ("naive", "matched", "drift", "epochs-full", "epochs-matched", "epochs")
SAME_POOL = 0.05  # of the logarithm: two numbers of tokens this near are one pool (horizons are whole steps)
MISCUT = 0.35  # of the logarithm: whole documents make a small pool larger than asked for
LEAST_SHARE = 1e-3
STRANGE = 0.02  # standard deviation of log e that horizons scatter by beside their own error, at least (a guess)
BEND = 0.05  # of log e, for each span of the horizons beyond the longest: a line between two points may bend so much


@dataclass(frozen=True)
class Transfer:
    """Hold the mixture (k,) carried to a target, draws of it (B, k), and what every other way would have said.

    `measured` is the target's own horizon where it was trained; nothing carried has seen it.
    """

    domains: tuple[str, ...]
    D: float
    weights: Array
    draws: Array
    way: str
    others: Mapping[str, Array]
    bests: tuple[tuple[str, Best], ...]
    doubts: tuple[str, ...]
    measured: Best | None = None

    def interval(self, level: float = 0.8) -> tuple[Array, Array]:
        """Give the central interval of every share."""
        return central(self.draws, level)

    def _repr_html_(self) -> str:
        low, high = self.interval(0.8)
        rows = [
            (name, f"{self.weights[i]:.3f}", f"{low[i]:.3f} – {high[i]:.3f}",
             *(f"{other[i]:.3f}" for other in self.others.values()))
            for i, name in enumerate(self.domains)
        ]  # fmt: skip
        head = ("source", "share", "80 % interval", *(f"by {way}" for way in self.others))
        title = f"mixture for {format_count(self.D)} tokens, carried by {self.way}"
        return small_table(title, head, rows, self.doubts)


def series_of(horizons: Sequence[Horizon], pools: Pools, D: float) -> dict[str, list[Horizon]]:
    """Tell horizons over the full pools (`full`) from those over pools cut by D/target (`matched`); drop others.

    A horizon of a run as long as the target belongs to both, and is listed as full.
    """
    found: dict[str, list[Horizon]] = {"full": [], "matched": []}
    for horizon in horizons:
        asked = pools.row(horizon.domains)
        known = np.isfinite(asked) & np.isfinite(horizon.pools)
        if not known.any():
            continue
        cut = np.log(horizon.pools[known] / asked[known])
        shrunk = np.log(horizon.D / D)
        from_full, from_matched = float(np.abs(cut).max()), float(np.abs(cut - shrunk).max())
        if from_full < SAME_POOL or from_full <= min(from_matched, MISCUT):
            found["full"].append(horizon)
        elif from_matched <= MISCUT:
            found["matched"].append(horizon)
    return found


def carry(
    horizons: Sequence[Horizon],
    pools: Pools,
    D: float,
    *,
    way: str = AUTO,
    form: str = AUTO,
    draws: int = 200,
    seed: int = 0,
) -> Transfer:
    """Carry the best mixtures of horizons to D tokens over pools.

    `auto` takes the epoch law of both series where each has two horizons; else the matched series, else the full one.
    Raises UnknownName for another way, MethodError when the horizons cannot carry it, FitError when one has no fit.
    """
    if way not in (AUTO, *WAYS):
        raise UnknownName("way of transfer", way, [AUTO, *WAYS])
    series = series_of(horizons, pools, D)
    reached = [horizon for horizon in series["full"] if abs(np.log(horizon.D / D)) < SAME_POOL]
    series["full"] = [horizon for horizon in series["full"] if abs(np.log(horizon.D / D)) >= SAME_POOL]
    if not series["full"] and not series["matched"]:
        raise MethodError(
            f"no other horizon is over the pools {_shown(pools)} or over pools cut to match {format_count(D)} tokens; "
            "give the pools of the target (--pool), and runs with `U_NAME` columns"
        )
    if len({round(float(np.log(h.N)), 3) for h in horizons}) > 1:
        raise MethodError(
            "the horizons are of models of several sizes; choose one with --where, the best mixture moves with N"
        )
    bests: dict[str, list[Best]] = {
        name: [best_of(horizon, form, draws=draws, seed=seed + i) for i, horizon in enumerate(found)]
        for name, found in series.items()
    }
    chosen = _default(bests) if way == AUTO else way
    domains = horizons[0].domains
    rng = np.random.default_rng([seed, 8])
    weights = _carried(chosen, bests, domains, pools, D, None, rng)
    drawn = np.array([_carried(chosen, bests, domains, pools, D, i, rng) for i in range(draws)]).reshape(
        -1, len(domains)
    )
    others = {}
    for name in WAYS:
        try:
            others[name] = _carried(name, bests, domains, pools, D, None, rng)
        except MethodError:
            continue
    doubts = [doubt for found in bests.values() for best in found for doubt in best.doubts]
    if chosen == "naive":
        doubts.append(
            "nothing tells how the best mixture moves: only one horizon; train a matched one (`foretell mix plan`)"
        )
    longest = max(best.horizon.D for found in bests.values() for best in found)
    if D > 16.5 * longest:
        doubts.append(f"the target is {D / longest:.3g} times the longest horizon; 16 times was measured")
    named = tuple((name, best) for name, found in bests.items() for best in found)
    measured = best_of(reached[0], form, draws=draws, seed=seed + len(horizons)) if reached else None
    return Transfer(domains, D, weights, drawn, chosen, others, named, tuple(dict.fromkeys(doubts)), measured)


def _default(bests: Mapping[str, list[Best]]) -> str:
    full, matched = (len({round(np.log(b.horizon.D), 2) for b in bests[name]}) for name in ("full", "matched"))
    if full >= 2 and matched >= 2:
        return "epochs"
    if matched:
        return "epochs-matched" if matched >= 2 else "matched"
    return "epochs-full" if full >= 2 else "naive"


def _carried(
    way: str,
    bests: Mapping[str, list[Best]],
    domains: Sequence[str],
    pools: Pools,
    D: float,
    draw: int | None,
    rng: np.random.Generator,
) -> Array:
    """Carry the horizons' best mixtures, or one draw of each, to the target in one way."""
    sizes = pools.row(domains)
    scarce = np.isfinite(sizes)
    series = {"naive": ["full"], "matched": ["matched"], "drift": ["full"], "epochs-full": ["full"],
              "epochs-matched": ["matched"], "epochs": ["full", "matched"]}[way]  # fmt: skip
    needed = 1 if way in ("naive", "matched") else 2
    rows = []
    for name in series:
        found = sorted(bests[name], key=lambda best: best.horizon.D)
        if len(found) < needed:
            raise MethodError(
                f"the way {way} needs {needed} horizon{'s' * (needed > 1)} of the {name} series, there are {len(found)}"
            )
        rows += [(best.horizon, best.weights if draw is None else best.draws[draw]) for best in found]
    if needed == 1:
        made = rows[-1][1]  # without extrapolation the longest horizon says most
        return np.asarray(made)
    days = np.log([horizon.D for horizon, _ in rows])
    weights = np.array([row for _, row in rows])
    out = np.zeros(len(domains))
    for j in np.flatnonzero(scarce) if scarce.any() else range(len(domains)):
        share = np.clip(weights[:, j], LEAST_SHARE, 1.0)
        if way == "drift":
            odds = np.log(
                np.clip(share, LEAST_SHARE, 1 - LEAST_SHARE) / (1 - np.clip(share, LEAST_SHARE, 1 - LEAST_SHARE))
            )
            line = np.polyfit(days - np.log(D), odds, 1)
            out[j] = 1.0 / (1.0 + np.exp(-_shaken(line[1], days, D, draw, rng)))
            continue
        stock = np.log([horizon.pools[j] for horizon, _ in rows])
        epochs = np.log(share) + days - stock
        design = np.column_stack([np.ones(len(days)), days - np.log(D), stock - np.log(sizes[j])])
        if way != "epochs":
            design = design[:, :2]
        solution = np.linalg.lstsq(design, epochs, rcond=None)[0]
        out[j] = np.exp(_shaken(solution[0], days, D, draw, rng) + np.log(sizes[j]) - np.log(D))
    return _completed(out, scarce)


def _shaken(value: float, days: Array, D: float, draw: int | None, rng: np.random.Generator) -> float:
    """Add to a draw what a straight line in log D may be wrong by at the target: more, the farther it reaches."""
    if draw is None:
        return float(value)
    span = max(float(np.ptp(days)), np.log(2.0))
    reach = max(0.0, float(np.log(D) - days.max())) / span
    return float(value + rng.normal() * (STRANGE + BEND * reach))


def _completed(shares: Array, scarce: NDArray[np.bool_]) -> Array:
    """Give what scarce sources leave to the endless ones in equal parts; scale down what exceeds all."""
    made = np.clip(shares, 0.0, 1.0)
    if made.sum() > 1.0 or scarce.all():
        return np.asarray(made / made.sum())
    made[~scarce] = (1.0 - made[scarce].sum()) / np.sum(~scarce)
    return made


def _shown(pools: Pools) -> str:
    return ", ".join(f"{name} = {format_count(tokens)}" for name, tokens in pools.tokens.items()) or "none"
