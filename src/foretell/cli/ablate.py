"""`foretell ablate`: what each part of a ladder is worth, and which tasks can be forecast at all."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretell.cli.options import (
    AsJson,
    Figure,
    Intermediate,
    LawName,
    LinkName,
    MethodName,
    Metrics,
    Seed,
    Starts,
    Study,
    Where,
)

if TYPE_CHECKING:
    from foretell.judge.ablate import Ablation
    from foretell.judge.noise import Noise


def ablate(
    study: Study,
    by: Annotated[
        str, typer.Option(help="sizes, horizons, checkpoints, compute, forms or noise, with commas between; or all.")
    ] = "all",
    metric: Metrics = None,
    method: MethodName = "ladder",
    law: LawName = None,
    link: LinkName = None,
    intermediate: Intermediate = None,
    where: Where = None,
    last: Annotated[int, typer.Option("--last", help="Checkpoints over which noise is measured.")] = 10,
    starts: Starts = 32,
    seed: Seed = 0,
    figure: Figure = None,
    json: AsJson = False,
) -> None:
    """Forecast the same hidden rows from less and less of a ladder: the error against the compute spent.

    Hidden are the runs held out or, without any, the 30 % of most compute.
    For example: foretell ablate study/ --by sizes
    """
    from rich.markup import escape

    from foretell import api
    from foretell.cli.options import method_options
    from foretell.cli.show import console, print_json
    from foretell.errors import UnknownName
    from foretell.forecast import Settings
    from foretell.judge.ablate import KINDS
    from foretell.judge.noise import noise_of

    known = (*KINDS, "noise")
    kinds = known if by.strip() == "all" else tuple(part.strip() for part in by.split(","))
    for kind in kinds:
        if kind not in known:
            raise UnknownName("kind of ablation", kind, (*known, "all"))
    observations = api.open(study)
    if where:
        observations = observations.where(where)
    names = api.metrics_of(observations, metric or [])
    noises = noise_of(observations, names, last) if "noise" in kinds else []
    made = None
    if wanted := [kind for kind in kinds if kind != "noise"]:
        with console(stderr=True).status("ablating") as status:
            if json:
                status.stop()
            made = api.ablate(
                observations,
                names,
                by=wanted,
                method=method,
                settings=Settings(draws=0, starts=starts, seed=seed),
                progress=lambda text: status.update(escape(f"ablating: {text}")),
                **method_options(law, link, intermediate),
            )
    written = _draw(made, noises, figure) if figure else []
    if json:
        told = {"ablation": made.to_json() if made else None, "noise": [one.to_json() for one in noises]}
        print_json(told)
        return
    if made:
        show(made)
    if noises:
        show_noise(noises, last)
    for path in written:
        console().print(f"wrote {path}", markup=False)


def _draw(made: Ablation | None, noises: list[Noise], figure: Path) -> list[Path]:
    """Draw a picture for each kind; where there is one only, under the very name that was given."""
    from foretell.report.ablation_figure import draw_ablation, draw_noise

    kinds = list(made.kinds) if made else []
    single = len(kinds) + bool(noises) == 1

    def named(kind: str) -> Path:
        return figure if single else figure.with_name(f"{figure.stem}-{kind}{figure.suffix}")

    written = [draw_ablation(made, kind, named(kind)) for kind in kinds] if made else []
    return [*written, *([draw_noise(noises, named("noise"))] if noises else [])]


def show(made: Ablation) -> None:
    """Print a table for each kind of ablation, and what stands out."""
    from rich.table import Table

    from foretell.cli.show import console

    out = console()
    out.print(f"hidden: {made.split}; the same rows are forecast in every line", markup=False)
    for kind in made.kinds:
        for share in made.shares:
            unit = "points" if share else "%"
            table = Table(
                kind, "runs", "FLOP spent", "of target", "n", f"mean |error|, {unit}", "against the whole ladder",
                title=f"{kind}: {'shares' if share else 'losses and other values'}",
            )  # fmt: skip
            for arm in made.of_kind(kind):
                difference, spread = made.difference(arm, share=share)
                told = "" if arm is made.whole else f"{100 * difference:+.2f}"
                told += f" ± {100 * spread:.2f}" if told and math.isfinite(spread) else ""
                table.add_row(
                    arm.label, str(arm.runs), f"{arm.compute:.2g}", f"{arm.compute / made.target_compute:.2%}",
                    str(len(arm.errors(share=share))),
                    f"{100 * arm.error(share=share):.2f}" if arm.backtest else "none",
                    told if arm.backtest else _short(arm.failure),
                )  # fmt: skip
            out.print(table)
    for finding in made.findings:
        out.print(finding, markup=False)


def show_noise(noises: list[Noise], last: int) -> None:
    """Print the noise and the signal of each metric, and whether it can be forecast at all."""
    from rich.table import Table

    from foretell.cli.show import console

    table = Table(
        "metric", f"last {last}, %", "all runs, %", "repeats, %", "sampling, %", "signal, %", "signal/noise", "trend",
        "can be forecast", title="noise",
    )  # fmt: skip
    for one in noises:
        cells = (one.last, one.last_runs, one.seeds, one.sampling, one.signal)
        told = [f"{100 * x:.2f}" if math.isfinite(x) else "" for x in cells]
        ratio = f"{one.ratio:.1f}" if math.isfinite(one.ratio) else ""
        trend = f"{one.trend:+.2f}" if math.isfinite(one.trend) else ""
        table.add_row(one.metric.name, *told, ratio, trend, one.verdict)
    out = console()
    out.print(table)
    out.print(
        f"relative standard deviations: over the last {last} checkpoints of the largest run and of every run, over "
        "runs of equal N and D, and of sampling the items; signal: the range of final values over their mean",
        style="dim",
    )


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
