"""`foretell outlook`: where a run in progress will end, and whether it still does what was forecast of it.

Called outlook because `finish` could be taken to go on training, and `watch` and `follow` to stay open.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretell.cli.options import AsJson, Figure, Level, Seed

if TYPE_CHECKING:
    from foretell.methods.in_progress import Outlook
    from foretell.methods.leaving import Watch
    from foretell.methods.part_curve import Decay


def outlook(
    study: Annotated[Path, typer.Argument(help="A study folder, or a CSV with step, lr and loss.", show_default=False)],
    run: Annotated[str, typer.Argument(help="The run of the study, or of a rung that is training there.")] = "",
    metric: Annotated[str, typer.Option("--metric", help="The loss. [the study's shared loss]")] = "",
    upto: Annotated[
        float, typer.Option("--upto", help="Look at this first share of the run only, to try it out.")
    ] = 1.0,
    D: Annotated[str | None, typer.Option("-D", help="Tokens at the run's planned end. [as the study says]")] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Planned steps of a CSV. [its last row]")] = None,
    decay: Annotated[
        str, typer.Option("--decay", help="How the rate goes on after its records: constant, linear, cosine or sqrt.")
    ] = "constant",
    final: Annotated[
        float, typer.Option("--final", min=0, max=1, help="Where the decay ends, over the peak rate.")
    ] = 0.0,
    family: Annotated[
        list[Path] | None, typer.Option("--family", help="The CSV of a run that ended, to learn from; repeat for more.")
    ] = None,
    false_alarms: Annotated[
        float, typer.Option("--false-alarms", help="Share of healthy runs that may raise an alarm, ever.")
    ] = 0.05,
    level: Level = 0.8,
    draws: Annotated[int, typer.Option("--draws", help="Draws behind an interval.")] = 400,
    seed: Seed = 0,
    figure: Figure = None,
    json: AsJson = False,
) -> None:
    """Forecast the rest of a run from its first part, and say whether it left its forecast.

    For example: foretell outlook study/ 7B-4T -D 4T
    """
    from foretell.cli.show import console, print_json, working
    from foretell.forecast import Settings

    settings = Settings(draws=draws, seed=seed)
    asked: dict[str, Any] = {"upto": upto, "rate": false_alarms, "decay": decay, "final": final}
    with working("looking ahead", quiet=json):
        if study.is_file():
            made, watched = _of_csv(study, steps, family or [], settings, **asked)
        else:
            made, watched = _of_study(study, run, metric, D, settings, **asked)
    if figure:
        from foretell.report.outlook_figure import draw_outlook

        draw_outlook(made, watched, figure, level=level)
    if json:
        print_json(_told(made, watched, level))
    else:
        show(made, watched, level)
        if figure:
            console().print(f"wrote {figure}", markup=False)


def _of_csv(
    file: Path, steps: int | None, family: list[Path], settings: Any, *, upto: float, rate: float, decay: Decay,
    final: float,
) -> tuple[Outlook, Watch]:  # fmt: skip
    from foretell.methods.in_progress import family_of
    from foretell.methods.part_curve import read_part_curve
    from foretell.methods.run_outlook import outlook_of_curve

    part = read_part_curve(file, steps=steps, decay=decay, final=final)
    return outlook_of_curve(part.upto(upto), family_of([read_part_curve(one) for one in family]), rate, settings)


def _of_study(
    study: Path, run: str, metric: str, D: str | None, settings: Any, *, upto: float, rate: float, decay: Decay,
    final: float,
) -> tuple[Outlook, Watch]:  # fmt: skip
    from foretell import api
    from foretell.errors import MethodError, StudyError
    from foretell.methods.in_progress import family_of
    from foretell.methods.part_curve import curves_of_rung
    from foretell.methods.run_outlook import outlook_of_curve

    if not run:
        raise MethodError(f"name the run of {study} whose outlook is wanted, or give a CSV with step, lr and loss")
    try:
        observations = api.open(study)
    except StudyError:  # a rung in training, before anything of it was measured
        observations = None
    rungs = sorted(path.parent.name for path in study.glob("rungs/*/rung.json"))
    in_training = metric in ("", "train") and any(run == name or run.startswith(f"{name}-") for name in rungs)
    if observations is not None and not (
        in_training and (metric == "train" or run not in set(observations.runs["name"]))
    ):
        return api.outlook(
            observations, run, metric, upto=upto, D=D, decay=decay, final=final, rate=rate, settings=settings
        )
    if not in_training:
        raise MethodError(f"{study} has no run or rung called {run}; its rungs: {', '.join(rungs) or 'none'}")
    rung = max((name for name in rungs if run == name or run.startswith(f"{name}-")), key=len)
    curves = curves_of_rung(study, rung)
    chosen = run if run in curves else max(curves, key=lambda name: len(curves[name].schedule))
    others = [curve for name in rungs if name != rung for curve in _ended(study, name)]
    return outlook_of_curve(curves[chosen].upto(upto), family_of(others), rate, settings)


def _ended(study: Path, rung: str) -> list[Any]:
    """Give the curves of a rung's runs that ended; none where it has none yet."""
    from foretell.errors import SourceError
    from foretell.methods.part_curve import curves_of_rung

    try:
        return [curve for curve in curves_of_rung(study, rung).values() if curve.share >= 1.0]
    except SourceError:
        return []


def show(made: Outlook, watched: Watch, level: float) -> None:
    """Print where the run stands, where it will be, whether it left its forecast, and the doubts."""
    from rich.table import Table

    from foretell.cli.show import console, print_doubts
    from foretell.units import format_count

    out = console()
    end = format_count(float(made.step[-1]), 4)
    out.print(f"{made.name}: {made.share:.0%} of the way to {made.axis} = {end}", markup=False)
    table = Table(made.axis, "loss", f"{level:.0%} interval")
    m = len(made.step)
    for i in sorted({m // 4, m // 2, 3 * m // 4, m - 1}):
        low, high = made.interval(level, i)
        table.add_row(format_count(float(made.step[i]), 4), f"{made.value[i]:.4f}", f"[{low:.4f}, {high:.4f}]")
    out.print(table)
    out.print(watched.said, style="bold red" if watched.alarm else "", markup=False)
    print_doubts([("", doubt) for doubt in made.doubts])


def _told(made: Outlook, watched: Watch, level: float) -> dict[str, Any]:
    low, high = made.interval(level)
    bounds = [made.interval(level, i) for i in range(len(made.step))]
    return {
        "run": made.name, "share": made.share, "axis": made.axis, "end": float(made.step[-1]), "value": made.end,
        "low": low, "high": high, "level": level, "coefficients": made.coefficients, "doubts": list(made.doubts),
        "curve": [
            {"at": float(at), "value": float(value), "low": below, "high": above}
            for at, value, (below, above) in zip(made.step, made.value, bounds, strict=True)
        ],
        "left": watched.alarm is not None,
        "said": watched.said,
        "false_alarm_rate": watched.rate,
        "looks": [vars(look) for look in watched.looks],
    }  # fmt: skip
