"""`foretell demo`: the main job, on the ladder that ships, a public one, or one trained while you watch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretell.cli.options import AsJson, Draws, Figure, Level, Seed

if TYPE_CHECKING:
    from foretell.judge import Backtest
    from foretell.table import Observations


def demo(
    path: Annotated[
        Path | None, typer.Argument(help="A checkout of allenai/OLMo-ladder, in place of the ladder that ships.")
    ] = None,
    olmo: Annotated[
        bool, typer.Option("--olmo", help="The public OLMo ladder, found under FORETELL_TESTBEDS or fetched by sha256.")
    ] = False,
    train: Annotated[
        bool, typer.Option("--train", help="Train a micro-ladder here and now, forecast a larger run, and train that.")
    ] = False,
    mixtures: Annotated[
        bool, typer.Option("--mixtures", help="The mixtures that ship: where the best one of short runs led.")
    ] = False,
    level: Level = 0.8,
    draws: Draws = 1000,
    seed: Seed = 0,
    figure: Figure = None,
    json: AsJson = False,
) -> None:
    """Forecast a large run from small ones, beside what was then measured.

    Without options: the ladder that ships, 28 small runs and one of 26 times the largest's compute, forecast before it
    was trained. With --olmo: 8 tasks of OLMo 7B-4T and 13B-5T from 16 runs of at most 1.3B. With --mixtures: how much
    of a scarce source to train on, from runs of 1/16 to 1/2 of the tokens, and what each answer cost.
    """
    from foretell import api
    from foretell.cli.show import print_json, working
    from foretell.errors import MethodError
    from foretell.forecast import Settings

    if train and (olmo or path):
        raise MethodError("--train makes its own ladder; leave out --olmo and the path")
    if mixtures:
        if train or olmo or path:
            raise MethodError("--mixtures has runs of its own; leave out --train, --olmo and the path")
        _mixtures(level, draws, seed, figure, json=json)
        return
    study = _train(quiet=json) if train else _read(path, olmo=olmo, quiet=json)
    names = [] if olmo or path else [name for name in study.metrics if name.endswith(("/loss", "/acc"))]
    with working("forecasting", quiet=json):
        made = api.backtest(study, names, by="held-out", settings=Settings(draws=draws, seed=seed))
    if figure:
        from foretell.report import draw_forecasts

        outcomes = made.outcomes
        measured, largest = [o.measured for o in outcomes], [o.largest_run for o in outcomes]
        draw_forecasts([o.forecast for o in outcomes], figure, measured=measured, largest_run=largest, level=level)
    rows = _rows(made, level)
    if json:
        print_json(rows)
        return
    _show(rows, level, study)


def _read(path: Path | None, *, olmo: bool, quiet: bool) -> Observations:
    from foretell.cli.show import working
    from foretell.sources import fetch_published, read
    from foretell.sources.shipped import shipped_ladder

    if path is None and not olmo:
        return shipped_ladder()
    with working("reading the OLMo ladder", quiet=quiet):
        return read("olmo-ladder", path or fetch_published("olmo-ladder"))


def _train(*, quiet: bool) -> Observations:
    """Train the rungs, say what they forecast, then train the target."""
    from tempfile import TemporaryDirectory

    from foretell import api
    from foretell.cli.predict import show
    from foretell.cli.show import console, working
    from foretell.forecast import Settings
    from foretell.ladder.live import make_live_ladder
    from foretell.units import format_count

    with TemporaryDirectory(prefix="foretell-") as folder:
        with working("reading the standard library", quiet=quiet):
            live = make_live_ladder(Path(folder) / "live")
        with working("training four rungs on three horizons each", quiet=quiet):
            study = live.train_rungs()
        target = live.target
        N, D = target.shape.N, target.tokens(target.D[-1])
        aim = api.target(N, D, target.shape.training_flop(D), target.run_name(target.D[-1]))
        names = [name for name in study.metrics if name.endswith(("/loss", "/acc"))]
        with working("forecasting", quiet=quiet):
            made = api.predict(study, [aim], names, settings=Settings(draws=400), failures=[])
        if not quiet:
            show(made, 0.8)
            console().print(f"\nNow the target itself is trained: {format_count(N)} on {format_count(D)} tokens.\n")
        with working("training the target", quiet=quiet):
            return live.train_target()


def _mixtures(level: float, draws: int, seed: int, figure: Path | None, *, json: bool) -> None:
    """Carry the best mixtures of the shipped short runs to the target, beside what was then measured there."""
    from foretell.cli.mix_show import say_fit
    from foretell.cli.show import console, working
    from foretell.forecast import Settings
    from foretell.mixing import carry, horizons_of, panel_of
    from foretell.mixture import Pools
    from foretell.sources.shipped import MIXTURES, shipped_mixtures

    asked = Settings(draws=draws, seed=seed)
    study = shipped_mixtures()
    pools = Pools({MIXTURES.scarce: MIXTURES.pool})
    with working("fitting horizons", quiet=json):
        horizons = horizons_of(panel_of(study, [MIXTURES.metric]), MIXTURES.metric)
        made = carry(horizons, pools, MIXTURES.D, draws=max(2, min(asked.draws, 200)), seed=asked.seed)
    if not json:
        console().print(
            f"{len(study.runs)} runs on a scarce and an abundant source; {MIXTURES.metric} is what counts\n"
        )
    say_fit(made, pools, level, figure, json=json)


def _rows(made: Backtest, level: float) -> list[dict[str, Any]]:
    return [{**o.forecast.to_json(level), "measured": o.measured, "error": o.error} for o in made.outcomes]


def _show(rows: list[dict[str, Any]], level: float, study: Observations) -> None:
    from rich.table import Table

    from foretell.cli.show import console, print_doubts
    from foretell.units import format_count

    out = console()
    runs = study.training().runs
    sizes = runs[study.law_N].to_numpy()
    beyond = sorted({round(10 ** row["reach"]) for row in rows})
    names = list(dict.fromkeys(row["target"]["name"] for row in rows))
    models = {1: "a model", 2: "two models"}.get(len(names), f"{len(names)} models")
    out.print(
        f"{len(runs)} runs of {format_count(sizes.min())} to {format_count(sizes.max())} parameters "
        f"forecast {models} of {' and '.join(map(str, beyond))} times their largest compute.\n"
    )
    for name in names:
        of_target = [row for row in rows if row["target"]["name"] == name]
        target = of_target[0]["target"]
        reach = f"{of_target[0]['reach']:.1f} decades beyond the data"
        title = f"{name}: N = {format_count(target['N'])}, D = {format_count(target['D'])}, {reach}"
        table = Table(
            "metric", "forecast", f"{level:.0%} interval", "measured", "error", title=title, title_justify="left"
        )
        for row in of_target:
            inside = row["low"] <= row["measured"] <= row["high"]
            write = _writer(row)
            table.add_row(
                row["metric"].removesuffix("/acc"),
                write(row["value"]),
                f"[{write(row['low'])}, {write(row['high'])}]",
                write(row["measured"]),
                _error(row),
                style="" if inside else "yellow",
            )
        out.print(table)
        out.print(takeaway(of_target, level) + "\n")
    print_doubts([(row["metric"], doubt) for row in rows for doubt in row["doubts"]])


def _is_share(row: dict[str, Any]) -> bool:
    return str(row["metric"]).endswith("/acc")


def _writer(row: dict[str, Any]) -> Any:
    from foretell.cli.show import percent

    return percent if _is_share(row) else "{:.3f}".format


def _error(row: dict[str, Any]) -> str:
    return f"{100 * row['error']:+.1f}" if _is_share(row) else f"{100 * row['error']:+.1f} %"


def takeaway(rows: list[dict[str, Any]], level: float) -> str:
    """Write the sentences that a person would take away from a target's forecasts."""
    said = []
    for kind, unit, shares in (("accuracies", "points", True), ("losses", "%", False)):
        of_kind = [row for row in rows if _is_share(row) == shares]
        if of_kind:
            mean = sum(abs(row["error"]) for row in of_kind) / len(of_kind)
            worst = max(of_kind, key=lambda row: abs(row["error"]))
            said.append(
                f"{kind} off by {100 * mean:.1f} {unit} on average, most on "
                f"{worst['metric'].removesuffix('/acc')} ({100 * worst['error']:+.1f})"
            )
    inside = sum(row["low"] <= row["measured"] <= row["high"] for row in rows)
    return (
        f"{rows[0]['target']['name']}: {'; '.join(said)}; "
        f"{inside} of {len(rows)} measurements lie in their {level:.0%} interval."
    )
