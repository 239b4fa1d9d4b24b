"""`foretell fit`: one law on one metric."""

from __future__ import annotations

from typing import Annotated

import typer

from foretell.cli.options import AsJson, Draws, Level, Seed, Starts, Study, Where


def fit(
    study: Study,
    law: Annotated[str, typer.Option("--law", help="A law of the catalogue, or a formula: 'E + A/N**alpha'.")],
    metric: Annotated[str, typer.Option("--metric", help="The metric to fit.")],
    through: Annotated[str | None, typer.Option(help="For a link: the loss it takes as L.")] = None,
    objective: Annotated[
        str,
        typer.Option(
            help="huber:1e-3, huber-scale, gaussian, student-t or binomial, with @log or @linear behind. "
            "[huber:1e-3 on log loss; gaussian for shares]",
        ),
    ] = "",
    resample: Annotated[
        str, typer.Option(help="runs (drawn with replacement) or noise (redrawn on the curve).")
    ] = "runs",
    where: Where = None,
    starts: Starts = 128,
    draws: Draws = 1000,
    level: Level = 0.8,
    seed: Seed = 0,
    json: AsJson = False,
) -> None:
    """Fit a law to a metric, with intervals for its coefficients and the doubts it has itself."""
    from foretell import api
    from foretell.cli.show import console, print_doubts, print_json, rounded, standard_error, working
    from foretell.errors import UnknownName
    from foretell.fitting import doubts_of
    from foretell.forecast import Settings

    if resample not in api.RESAMPLERS:
        raise UnknownName("resampling", resample, api.RESAMPLERS)
    observations = api.open(study)
    if where:
        observations = observations.where(where)
    Settings(draws=draws, starts=starts, seed=seed)  # refuses what makes no interval
    with working(f"fitting {law} to {metric}", quiet=json):
        made = api.fit_metric(
            observations,
            law,
            metric,
            through=through,
            objective=objective,
            starts=starts,
            draws=draws,
            resample=resample,
            seed=seed,
        )
    intervals = made.intervals(level) if made.draws is not None else {}
    doubts = [*doubts_of(made), *api.study_doubts(observations.training())]
    if json:
        print_json(
            {
                "law": made.law.name,
                "formula": made.law.formula,
                "metric": metric,
                "coefficients": made.coefficients,
                "intervals": {name: list(interval) for name, interval in intervals.items()},
                "level": level,
                "objective": made.objective_value,
                "objective_kind": str(made.objective),
                "scale": made.scale,
                "n": len(made),
                "runs": made.points.run_count,
                "share_of_starts": made.share_of_starts,
                "doubts": doubts,
            }
        )
        return
    from rich.table import Table

    out = console()
    out.print(f"{made.law.name}:  {made.law.formula}", markup=False)
    out.print(
        f"{metric}: {len(made)} rows of {made.points.run_count} runs; {made.objective} = {made.objective_value:.6e}"
    )
    out.print(
        f"residuals: {made.spread:.3%} of the loss"
        if made.objective.space == "log"
        else f"residuals: {made.spread:.4f}"
    )
    table = Table("coefficient", "value", f"{level:.0%} interval", "unit")
    for name, value in made.coefficients.items():
        low, high = intervals.get(name, (float("nan"), float("nan")))
        shown = f"[{low:.4g}, {high:.4g}]" if intervals else "none"
        table.add_row(name, rounded(value, standard_error(low, high, level)), shown, made.law.coefficient(name).unit)
    out.print(table)
    print_doubts([("", doubt) for doubt in doubts])
