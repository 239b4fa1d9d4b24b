"""`foretell mix`: which mixture of sources to train on, and what repetition does to the answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretell.cli.options import AsJson, Figure, Level, Seed, Study, Where

if TYPE_CHECKING:
    from foretell.mixing import Panel

app = typer.Typer(
    help="Which mixture of sources to train on, and what repetition does to the answer.", no_args_is_help=True,
    rich_markup_mode=None,
)  # fmt: skip

Sizes = Annotated[str | None, typer.Option("-N", help="Parameters of the run to mix for. [the largest trained]")]
Tokens = Annotated[str | None, typer.Option("-D", help="Tokens of the run to mix for: 1T, 2xC. [the longest trained]")]
PoolsOf = Annotated[
    list[str] | None, typer.Option("--pool", help="Unique tokens of a source: wiki=3B, web=inf; repeat for more.")
]
Objective = Annotated[
    list[str] | None, typer.Option("--objective", help="What to make small: avg, a metric, or METRIC=weight; repeat.")
]
Draws = Annotated[int, typer.Option("--draws", min=0, help="Refits behind the uncertainty.")]
Metric = Annotated[str | None, typer.Option("--metric", help="The loss to make small. [the only one]")]


@app.command()
def best(
    study: Study,
    n: Sizes = None,
    d: Tokens = None,
    pool: PoolsOf = None,
    objective: Objective = None,
    most_epochs: Annotated[float, typer.Option("--most-epochs", help="Passes over any pool, at most.")] = float("inf"),
    floor: Annotated[list[str] | None, typer.Option("--floor", help="Least share of a source: wiki=0.01.")] = None,
    cap: Annotated[list[str] | None, typer.Option("--cap", help="Largest share of a source: code=0.3.")] = None,
    closeness: Annotated[
        float, typer.Option("--closeness", help="Nats for each nat of KL from the prior mixture, such as 0.05.")
    ] = 0.0,
    prior: Annotated[list[str] | None, typer.Option("--prior", help="The mixture to stay close to: web=0.7.")] = None,
    law: Annotated[
        str, typer.Option("--law", help="auto, or a law such as saturating, power, exponential, joint, saturating+gp.")
    ] = "auto",
    where: Where = None,
    level: Level = 0.8,
    draws: Draws = 200,
    seed: Seed = 0,
    figure: Figure = None,
    json: AsJson = False,
) -> None:
    """Find the mixture of least loss, with the region it may lie in, its epochs, and the next mixture to train."""
    import numpy as np

    from foretell.cli.mix_show import best_json, show_best
    from foretell.cli.show import print_json, working
    from foretell.mixing import Goal, best_mixture, choose_model, objective_weights
    from foretell.mixture import Mixture, Pools, parse_shares

    panel = _panel(study, where, objective)
    N, D = _target(panel, n, d)
    metrics = objective_weights(panel.names, objective or [])
    pools = Pools.parse(pool or [])
    region = pools.region(
        panel.domains, D, most_epochs=most_epochs, floors=parse_shares(floor or [], "floor"),
        caps=parse_shares(cap or [], "cap"),
    )  # fmt: skip
    base = Mixture.of(parse_shares(prior))[0].row(panel.domains) if prior else None
    goal = Goal(N, D, metrics, pools, region, closeness, base)
    with working("fitting mixtures", quiet=json):
        horizon = D if np.isfinite(D) else None
        choice = choose_model(panel, law, draws=draws, seed=seed, horizon=horizon)
        made = best_mixture(choice.model, goal, seed=seed)
    if figure is not None:
        from foretell.report.mix_figures import draw_optimum

        draw_optimum(made, figure, level=level)
    if json:
        print_json(best_json(made, choice, goal, level))
        return
    show_best(made, choice, goal, level)


@app.command()
def fit(
    study: Study,
    d: Annotated[str, typer.Option("-D", help="Tokens of the target.", show_default=False)],
    pool: Annotated[
        list[str], typer.Option("--pool", help="Unique tokens of a source at the target: wiki=3B.", show_default=False)
    ],
    metric: Metric = None,
    way: Annotated[
        str, typer.Option("--way", help="auto, matched, drift, epochs, epochs-full, epochs-matched or naive.")
    ] = "auto",
    form: Annotated[str, typer.Option("--form", help="Loss against share: auto, parabola, log-linear or gp.")] = "auto",
    where: Where = None,
    level: Level = 0.8,
    draws: Draws = 200,
    seed: Seed = 0,
    figure: Figure = None,
    json: AsJson = False,
) -> None:
    """Find the best mixture of every horizon, and carry it to the target, repetition included."""
    from foretell.cli.mix_show import say_fit
    from foretell.cli.show import working
    from foretell.errors import MethodError
    from foretell.mixing import carry, horizons_of
    from foretell.mixture import Pools
    from foretell.units import parse_tokens

    panel = _panel(study, where)
    named = metric or (panel.names[0] if len(panel.names) == 1 else "")
    if not named:
        raise MethodError(f"{len(panel.names)} losses were measured; name one with --metric: {', '.join(panel.names)}")
    pools = Pools.parse(pool)
    pools.row(panel.domains)
    with working("fitting horizons", quiet=json):
        made = carry(
            horizons_of(panel, named), pools, parse_tokens(d), way=way, form=form, draws=max(draws, 2), seed=seed
        )
    say_fit(made, pools, level, figure, json=json)


@app.command()
def plan(
    ladder: Annotated[Path, typer.Argument(help="The ladder.toml to write.", show_default=False)],
    d: Annotated[str, typer.Option("-D", help="Tokens of the target.", show_default=False)],
    source: Annotated[
        list[str],
        typer.Option("--source", help="The sources, the scarce ones first; two or three.", show_default=False),
    ],
    pool: PoolsOf = None,
    layers: Annotated[int, typer.Option("--layers", min=1, help="Layers of the model.")] = 2,
    width: Annotated[int, typer.Option("--width", min=1, help="Width of the model.")] = 64,
    heads: Annotated[int, typer.Option("--heads", min=1, help="Attention heads.")] = 2,
    vocabulary: Annotated[int, typer.Option("--vocabulary", min=2, help="Rows of the embedding.")] = 264,
    sequence: Annotated[int, typer.Option("--sequence", min=2, help="Tokens of a training sequence.")] = 256,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Sequences of a step.")] = 8,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="Peak learning rate.")] = 5e-3,
    horizon: Annotated[
        list[float] | None, typer.Option("--horizon", help="Share of D; repeat. [1/16, 1/8, 1/4, 1/2, 1]")
    ] = None,
    points: Annotated[int, typer.Option("--points", help="Mixtures at each horizon, at least.")] = 7,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Seeds of the two middle mixtures.")] = 1,
    swarm: Annotated[
        int | None, typer.Option("--swarm", help="Instead: so many random mixtures on D tokens, for `mix best`.")
    ] = None,
    most_epochs: Annotated[float, typer.Option("--most-epochs", help="Passes over a pool in a swarm.")] = float("inf"),
    seed: Seed = 0,
    corpus: Annotated[str, typer.Option("--corpus", help="The corpus, relative to the ladder's file.")] = "corpus",
    study: Annotated[str, typer.Option("--study", help="The study, relative to the ladder's file.")] = "study",
    force: Annotated[bool, typer.Option("--force", help="Overwrite the ladder.")] = False,
    json: AsJson = False,
) -> None:
    """Design a repetition-controlled experiment, or a swarm of random mixtures, and write it as a ladder."""
    from foretell.cli.show import console, print_json
    from foretell.mixing import design_ladder
    from foretell.mixing.design import SHARES, design_swarm, write_design
    from foretell.mixture import Pools
    from foretell.rung import Shape, makes_sense
    from foretell.units import format_count, parse_tokens

    with makes_sense("the model"):
        shape = Shape(
            layers=layers, width=width, heads=heads, kv_heads=heads, mlp_width=max(1, 8 * round(width / 3)),
            vocabulary=vocabulary, sequence=sequence,
        )  # fmt: skip
    shares = tuple(horizon or SHARES)
    D, pools = int(parse_tokens(d, shape.N)), Pools.parse(pool or [])
    if swarm is None:
        made = design_ladder(
            shape, D, pools, source, learning_rate=learning_rate, batch=batch, horizons=shares, full=shares,
            points=points, seeds=seeds,
        )  # fmt: skip
    else:
        made = design_swarm(
            shape, D, pools, source, swarm, learning_rate=learning_rate, batch=batch, most_epochs=most_epochs, seed=seed
        )
    write_design(made, ladder, corpus=corpus, study=study, force=force)
    if json:
        rows = [
            {
                "name": rung.name,
                "D": rung.D[0],
                "weights": rung.weights,
                "epochs": _passes(rung),
                "flop": rung.training_flop,
            }
            for rung in made.rungs
        ]
        print_json({"ladder": str(ladder), "runs": made.runs, "flop": made.flop, "N": shape.N, "rungs": rows})
        return
    out = console()
    out.print(
        f"{made.runs} runs of {format_count(shape.N)} parameters ({format_count(shape.N_total)} with embeddings), "
        f"{made.flop:.3g} FLOP; written to {ladder}"
    )
    for series in dict.fromkeys(rung.family for rung in made.rungs):
        of = [rung for rung in made.rungs if rung.family == series]
        lengths = ", ".join(format_count(D) for D in sorted({rung.D[0] for rung in of}))
        most = max((max(_passes(rung).values(), default=0.0) for rung in of), default=0.0)
        out.print(f"  {series}: {len(of)} runs on {lengths or 'no'} tokens, at most {most:.1f} epochs")
    out.print(f"train them: foretell train {ladder}", markup=False)


@app.command()
def rank(
    study: Study,
    objective: Objective = None,
    where: Where = None,
    level: Level = 0.8,
    draws: Draws = 200,
    seed: Seed = 0,
    json: AsJson = False,
) -> None:
    """Check whether the ranking of mixtures at one size or horizon survives at the next."""
    import numpy as np
    from rich.table import Table

    from foretell.cli.show import console, print_json
    from foretell.mixing import objective_weights, survival
    from foretell.units import format_count

    panel = _panel(study, where, objective)
    weights = objective_weights(panel.names, objective or [])
    found = survival(panel, np.array([weights.get(name, 0.0) for name in panel.names]), draws=draws, seed=seed)
    if json:
        print_json([
            {
                "from": {"N": s.small[0], "D": s.small[1]}, "to": {"N": s.large[0], "D": s.large[1]},
                "mixtures": s.mixtures, "decision_accuracy": s.accuracy,
                "decision_accuracy_interval": s.interval(s.accuracy_draws, level), "spearman": s.spearman,
                "spearman_interval": s.interval(s.spearman_draws, level), "regret": s.regret, "level": level,
            }
            for s in found
        ])  # fmt: skip
        return
    table = Table(
        "from", "to", "mixtures", "pairs alike", f"{level:.0%}", "Spearman", f"{level:.0%}", "regret",
        title="does the ranking of mixtures survive?", title_justify="left",
    )  # fmt: skip
    for s in found:
        a, b = s.interval(s.accuracy_draws, level), s.interval(s.spearman_draws, level)
        cells = [f"{format_count(N)} on {format_count(D)}" for N, D in (s.small, s.large)]
        table.add_row(
            *cells, str(s.mixtures), f"{s.accuracy:.2f}", f"[{a[0]:.2f}, {a[1]:.2f}]", f"{s.spearman:.2f}",
            f"[{b[0]:.2f}, {b[1]:.2f}]", f"{s.regret:.3g}",
        )  # fmt: skip
    console().print(table)


def _panel(study: Path, where: str | None, objective: list[str] | None = None) -> Panel:
    from foretell import api
    from foretell.cli.show import console
    from foretell.mixing import panel_of
    from foretell.mixing.panel import wanted_metrics

    observations = api.open(study).training()
    observations = observations.where(where) if where else observations
    panel = panel_of(observations, wanted_metrics(observations, objective or []))
    for note in panel.notes:
        console(stderr=True).print(f"note: {note}", markup=False)
    return panel


def _target(panel: Panel, n: str | None, d: str | None) -> tuple[float, float]:
    from foretell.units import parse_count, parse_tokens

    N = parse_count(n, "N") if n else float(panel.N.max())
    return N, parse_tokens(d, N) if d else float(panel.D.max())


def _passes(rung: Any) -> dict[str, float]:
    D = rung.D[0]
    return {name: rung.weights[name] * D / tokens for name, tokens in rung.pools_at(D).items()}
