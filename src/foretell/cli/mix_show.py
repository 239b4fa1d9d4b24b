"""What `foretell mix best` and `foretell mix fit` print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foretell.mixing import Choice, Optimum, Transfer
    from foretell.mixture import Pools


def say_fit(made: Transfer, pools: Pools, level: float, figure: Path | None, *, json: bool) -> None:
    """Print what was carried, as tables or JSON, and draw it where a figure is asked for."""
    from foretell.cli.show import print_json

    if figure is not None:
        from foretell.report.mix_figures import draw_transfer

        draw_transfer(made, figure, level=level)
    if json:
        print_json(_fit_json(made, level))
        return
    _show_fit(made, pools, level)


def best_json(made: Optimum, choice: Choice, goal: Any, level: float) -> dict[str, Any]:
    """Give the best mixture, its region, its neighbours and the next one to train as JSON."""
    named = made.domains
    said: dict[str, Any] = {
        "N": goal.N, "D": goal.D, "objective": dict(goal.metrics), "law": choice.model.name,
        "hold_out_errors": choice.errors, "failures": list(choice.failures), "value": made.value,
        "even_or_prior": made.prior_value, "mixture": dict(zip(named, made.weights.tolist(), strict=True)),
        "epochs": dict(zip(named, made.epochs.tolist(), strict=True)), "level": level,
        "losses": dict(zip(choice.model.panel.names, made.losses.tolist(), strict=True)),
        "neighbours": {name: {"more": more, "less": less} for name, (more, less) in made.neighbours.items()},
        "doubts": list(made.doubts),
    }  # fmt: skip
    if len(made.draws):
        import numpy as np

        low, high = made.interval(level)
        said["region"] = {n: [float(a), float(b)] for n, a, b in zip(named, low, high, strict=True)}
        said["regret"] = {
            "median": float(np.median(made.regret)),
            "high": float(np.quantile(made.regret, 0.5 + level / 2)),
        }
        said["next"] = dict(zip(named, made.next_mixture.tolist(), strict=True))
    return said


def show_best(made: Optimum, choice: Choice, goal: Any, level: float) -> None:
    """Print the best mixture as a table, with what the law and the region are."""
    import numpy as np
    from rich.table import Table

    from foretell.cli.show import console, print_doubts
    from foretell.units import format_count

    out = console()
    errors = ", ".join(f"{name} {error:.4f}" for name, error in choice.errors.items())
    out.print(f"law: {choice.model.name}; mean error of runs held out: {errors}", markup=False)
    out.print(f"best mixture for N = {format_count(goal.N)}, D = {format_count(goal.D)}")
    table = Table("source", "share", f"{level:.0%} region", "epochs", "5 points more costs", "5 points less costs")
    low, high = made.interval(level) if len(made.draws) else (made.weights, made.weights)
    for j, name in enumerate(made.domains):
        more, less = made.neighbours[name]
        passes = "" if made.epochs[j] == 0 and np.isinf(goal.pools.row(made.domains)[j]) else f"{made.epochs[j]:.2f}"
        table.add_row(
            name, f"{100 * made.weights[j]:.1f} %",
            f"[{100 * low[j]:.1f}, {100 * high[j]:.1f}]" if len(made.draws) else "",
            passes, f"{more:+.4f}", f"{less:+.4f}",
        )  # fmt: skip
    out.print(table)
    against = "the prior mixture" if goal.prior is not None else "equal shares"
    out.print(f"objective {made.value:.4f}; {against}: {made.prior_value:.4f}")
    if len(made.draws):
        tail = np.quantile(made.regret, 0.5 + level / 2)
        out.print(
            f"regret if the truth is another refit's: median {np.median(made.regret):.4f}, "
            f"at most {tail:.4f} in {0.5 + level / 2:.0%}"
        )
        shown = ", ".join(f"{n} {w:.2f}" for n, w in zip(made.domains, made.next_mixture, strict=True) if w >= 0.005)
        out.print(f"next mixture to train: {shown}", markup=False)
    print_doubts([("", doubt) for doubt in made.doubts])


def _fit_json(made: Transfer, level: float) -> dict[str, Any]:
    low, high = made.interval(level)
    named = made.domains
    return {
        "D": made.D, "way": made.way, "level": level,
        "mixture": dict(zip(named, made.weights.tolist(), strict=True)),
        "region": {n: [float(a), float(b)] for n, a, b in zip(named, low, high, strict=True)},
        "ways": {way: dict(zip(named, row.tolist(), strict=True)) for way, row in made.others.items()},
        "measured": _measured_json(made, level),
        "horizons": [
            {
                "series": series, "D": b.horizon.D, "form": b.form, "leave_one_out": b.errors,
                "mixture": dict(zip(named, b.weights.tolist(), strict=True)), "runs": len(b.horizon.losses),
            }
            for series, b in made.bests
        ],
        "doubts": list(made.doubts),
    }  # fmt: skip


def _measured_json(made: Transfer, level: float) -> dict[str, Any] | None:
    if made.measured is None:
        return None
    best, named = made.measured, made.domains
    low, high = best.interval(level)
    return {
        "mixture": dict(zip(named, best.weights.tolist(), strict=True)),
        "region": {n: [float(a), float(b)] for n, a, b in zip(named, low, high, strict=True)},
        "regret": {way: best.regret(row) for way, row in made.others.items()},
        "regret_of_horizons": [
            {"series": series, "D": b.horizon.D, "regret": best.regret(b.weights)} for series, b in made.bests
        ],
    }


def _show_fit(made: Transfer, pools: Pools, level: float) -> None:
    from rich.table import Table

    from foretell.cli.show import console, print_doubts
    from foretell.units import format_count

    out = console()
    truth = made.measured
    cost = ["regret"] if truth else []
    table = Table(
        "series", "D", "runs", "form", *made.domains, *cost, title="best mixture of each horizon", title_justify="left"
    )
    for series, b in [*made.bests, *([("target", truth)] if truth else [])]:
        low, high = b.interval(level)
        cells = [
            f"{100 * w:.0f} % [{100 * a:.0f}, {100 * c:.0f}]" for w, a, c in zip(b.weights, low, high, strict=True)
        ]
        cells += [f"{truth.regret(b.weights):.4f}"] if truth else []
        table.add_row(series, format_count(b.horizon.D), str(len(b.horizon.losses)), b.form, *cells)
    out.print(table)
    table = Table("way", *made.domains, *cost, title=f"carried to {format_count(made.D)} tokens", title_justify="left")
    for way, row in made.others.items():
        cells = [f"{100 * w:.1f} %" for w in row] + ([f"{truth.regret(row):.4f}"] if truth else [])
        table.add_row(way + (" (chosen)" if way == made.way else ""), *cells)
    out.print(table)
    if truth:
        out.print(f"regret: nats lost at {format_count(made.D)} tokens, as measured; nothing carried saw that horizon")
    low, high = made.interval(level)
    epochs = pools.epochs(made.weights, made.D, made.domains)
    for name, w, a, b, e in zip(made.domains, made.weights, low, high, epochs, strict=True):
        passes = f", {e:.1f} epochs" if e > 0 else ""
        out.print(f"{name}: {100 * w:.1f} %, {level:.0%} [{100 * a:.1f}, {100 * b:.1f}]{passes}")
    print_doubts([("", doubt) for doubt in made.doubts])
