"""`foretell rank`: which validation loss foretells the long horizons best?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from foretell.cli.options import AsJson, Figure, LawName, Level, Metrics, Seed, Starts, Study, Where

if TYPE_CHECKING:
    from foretell.methods.ranking import Ranking, Score


def rank(
    study: Study,
    metric: Metrics = None,
    loss: Annotated[
        str | None, typer.Option("--loss", help="Validation losses to rank, such as 'dolma_*', or bpb. [every one]")
    ] = None,
    horizon: Annotated[
        str, typer.Option("--horizon", help="Where short horizons end: a share of the D/N trained, 2xC, or 20B tokens.")
    ] = "0.5",
    law: LawName = None,
    floor: Annotated[
        str, typer.Option("--floor", help="Floor of the sigmoid: fitted (from 0 to chance), or chance itself.")
    ] = "fitted",
    where: Where = None,
    level: Level = 0.8,
    draws: Annotated[int, typer.Option("--draws", help="Resamples of runs and items.")] = 200,
    starts: Starts = 32,
    seed: Seed = 0,
    figure: Figure = None,
    json: AsJson = False,
) -> None:
    """Rank validation losses by how well short horizons foretold the long ones through each."""
    from rich.markup import escape

    from foretell import api
    from foretell.api.rankings import rank as rank_observations
    from foretell.cli.show import console, print_json
    from foretell.forecast import Settings
    from foretell.table.items import open_items

    settings = Settings(draws=draws, starts=starts, seed=seed)
    observations = api.open(study)
    if where:
        observations = observations.training().where(where)
    with console(stderr=True).status("ranking") as status:
        if json:
            status.stop()
        made = rank_observations(
            observations,
            metric or [],
            loss,
            horizon=horizon,
            law=law or "auto",
            floor=floor,
            items=open_items(study),
            settings=settings,
            progress=lambda text: status.update(escape(f"ranking {text}")),
        )
    if figure is not None:
        from foretell.report.rank_figure import draw_ranking

        draw_ranking(made, figure, level=level)
    if json:
        print_json(made.to_json(level))
    else:
        show(made, level)
        if figure is not None:
            console().print(f"wrote {figure}", markup=False)
    for failure in made.failures:
        console(stderr=True).print(f"not ranked: {failure}", markup=False)


def show(made: Ranking, level: float) -> None:
    """Print the losses in order, and the doubts, each once."""
    from rich.table import Table

    from foretell.cli.show import console, print_doubts
    from foretell.methods.ranking import kind_of
    from foretell.units import format_count

    out = console()
    horizons = made.horizons
    short, long = (", ".join(format_count(m) for m in side) for side in (horizons.short, horizons.long))
    tasks = len(made.tasks)
    cells = [cell for score in made.scores for cell in score.cells]
    by_item = len({cell.task for cell in cells if cell.by_item})
    out.print(
        f"{horizons.split.name}: fitted on {short} tokens a parameter, scored on {long}; {tasks} task"
        f"{'s' * (tasks != 1)}, {by_item} by item",
        markup=False,
    )
    interval = f"{level:.0%}"
    table = Table(
        "#", "validation loss", "end to end", interval, "link alone", interval, "log-loss skill", "Brier skill",
        "rank", "best", "loss error",
    )  # fmt: skip
    for score in made.scores:
        table.add_row(
            f"{score.rank.value:.0f}", score.loss,
            *_points(score.end, level), *_points(score.link, level),
            f"{score.log_skill.value:.2f}", f"{score.brier_skill.value:.2f}",
            _ranks(score.rank, level), f"{score.best:.0%}" if len(score.rank.draws) else "",
            f"{100 * score.loss_error:.1f} %",
        )  # fmt: skip
    out.print(table)
    out.print(
        "mean |error| in points: end to end at the loss extrapolated (the ranking), link alone at the loss observed; "
        "skill: 1 − score/score of what the short horizons scored; best: share of resamples",
        style="dim",
    )
    first: dict[str, str] = {}
    for _, doubt in made.doubts:
        first.setdefault(kind_of(doubt), doubt)
    print_doubts([(about, first[kind_of(doubt)]) for about, doubt in made.doubts])


def _points(score: Score, level: float) -> tuple[str, str]:
    low, high = score.interval(level)
    return f"{100 * score.value:.2f}", f"[{100 * low:.2f}, {100 * high:.2f}]" if len(score.draws) else "none"


def _ranks(score: Score, level: float) -> str:
    low, high = score.interval(level)
    return f"{low:.0f}–{high:.0f}" if len(score.draws) else "none"
