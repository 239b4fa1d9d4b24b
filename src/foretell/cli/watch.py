"""`foretell watch`: a ladder in training, followed in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretell.cli.options import AsJson

if TYPE_CHECKING:
    from rich.console import Console

    from foretell.report.progress import Ends, Progress

TARGET = "\0target"  # no rung can be called so
ENDED = ("failed", "done")  # shown in this order, after those in training
AROUND = 8  # lines of the picture that are no rung
ROOMY = 112  # columns that the whole table takes with numbers of usual length; a narrower screen leaves some out


def watch(
    study: Annotated[Path, typer.Argument(help="The study folder that the ladder writes into.", show_default=False)],
    N: Annotated[str | None, typer.Option("-N", "--N", help="Parameters of the target, such as 7B.")] = None,
    D: Annotated[str | None, typer.Option("-D", "--D", help="Training tokens, such as 4T or 2xC.")] = None,
    every: Annotated[float, typer.Option("--every", help="Seconds between looks.", min=0.1)] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look once, and leave.")] = False,
    json: AsJson = False,
) -> None:
    """Follow losses, speed and time left of every rung, and where each and the target will end.

    Ends are forecast from the runs that the study already holds. It leaves when every rung has ended.
    """
    import time

    from rich.live import Live

    from foretell.cli.report import read_target
    from foretell.cli.show import console, print_json
    from foretell.errors import StudyError
    from foretell.report.progress import is_over, read_progress, read_waiting
    from foretell.report.serve import study_version

    if not study.is_dir():
        raise StudyError(
            f"there is no study at {study}; start its ladder with `foretell train`, or name another folder"
        )
    aims = read_target(N, D)
    found, unread = read_progress(study)
    waiting = read_waiting(study, found)
    ends = forecast_ends(study, found, aims)
    if json:
        print_json(_plain(found, ends))
        return
    if once:
        console().print(picture(found, unread, ends, time.time(), waiting=waiting, width=console().width))
        return
    version = study_version(study)
    screen = console()
    first = picture(found, unread, ends, time.time(), _fitting(screen), waiting, screen.width)
    with Live(first, console=screen, auto_refresh=False) as live:
        while not is_over(found, waiting):
            time.sleep(every)
            names = {progress.rung for progress in found}
            found, unread = read_progress(study)
            waiting = read_waiting(study, found)
            if (now := study_version(study)) != version or names != {progress.rung for progress in found}:
                version, ends = now, forecast_ends(study, found, aims)
            shown = picture(found, unread, ends, time.time(), _fitting(screen), waiting, screen.width)
            live.update(shown, refresh=True)
    if len(found) > _fitting(screen):
        screen.print(
            picture(found, unread, ends, time.time(), width=screen.width)
        )  # the whole table, now that nothing moves


def forecast_ends(study: Path, found: Sequence[Progress], aims: Sequence[Any]) -> dict[str, Ends]:
    """Forecast where each rung and the target will end, by the study as it stands; or say why that cannot be."""
    from foretell import api
    from foretell.errors import ForetellError
    from foretell.forecast import Settings, Target, held_out_targets
    from foretell.report.progress import Ends
    from foretell.table import leading_loss

    def nothing(reason: str) -> dict[str, Ends]:
        targets = {TARGET: Ends(aims[0].label, reason=reason)} if aims else {}
        return {**{progress.rung: Ends(progress.rung, reason=reason) for progress in found}, **targets}

    try:
        observations = api.open(study)
    except ForetellError:
        return nothing("no run has ended yet")
    counts = "N" if observations.law_N == "N" else "N_total"
    sizes = dict(zip(observations.runs["name"], observations.runs[counts], strict=True))
    metric = leading_loss(observations.metrics, observations.shared_loss)
    if metric is None:
        return nothing("the study holds no loss")
    ends: dict[str, Ends] = {}
    targets: dict[str, Target] = {}
    for progress in found:
        size = progress.N or sizes.get(progress.rung) or _size(study, progress.rung, counts)
        if size and progress.D > 0:
            targets[progress.rung] = Target(size, progress.D, name=progress.rung)
        else:
            ends[progress.rung] = Ends(progress.rung, metric, reason="its N is not known yet")
    target = list(aims) or held_out_targets(observations)[-1:]
    if target:
        targets[TARGET] = target[0]
    try:
        made = (
            api.predict(observations, list(targets.values()), [metric], settings=Settings(draws=200)) if targets else []
        )
    except ForetellError as error:
        return {**ends, **nothing(_short(error, len(observations.training().runs)))}
    for (key, aim), forecast in zip(targets.items(), made, strict=True):
        low, high = forecast.interval(0.8)
        ends[key] = Ends(aim.label, metric, forecast.value, low, high)
    return ends


def _size(study: Path, rung: str, count: str) -> float | None:
    """Read a rung's N off what its trainer keeps beside it; None where that is not there."""
    import json

    from foretell.rung import Rung

    try:
        told = json.loads((study / "rungs" / rung / "rung.json").read_text(encoding="utf-8"))
        shape = Rung.model_validate(told["rung"]).shape
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return float(shape.N if count == "N" else shape.N_total)


def _short(error: Exception, runs: int) -> str:
    return f"{runs} run{'s' * (runs != 1)} so far: too few" if "at least" in str(error) else str(error).split(";")[0]


def _fitting(screen: Console) -> int:
    """Count the rungs that a screen has room for: a table that is cut would hide those in training."""
    return max(3, screen.height - AROUND)


def picture(
    found: Sequence[Progress], unread: Sequence[str], ends: dict[str, Ends], now: float, most: int | None = None,
    waiting: Sequence[str] = (), width: int = ROOMY,
) -> Any:  # fmt: skip
    """Draw the table of rungs, those that have not ended first, with the target below it; at most so many rungs.

    On a screen of less `width` than the whole table takes, bars and tokens give way, and words to numbers.
    """
    from rich import box
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    from foretell.report.progress import duration
    from foretell.units import format_count

    if not found:
        return Text("no rung has started: the ladder writes progress/<rung>.json into the study as it trains")
    forecast = {end.metric for end in ends.values() if end.value is not None}
    metric = forecast.pop() if len(forecast) == 1 else ""
    roomy = width >= ROOMY
    reasons = {end.reason for end in ends.values() if end.value is None}
    shared = reasons.pop() if len(reasons) == 1 and not forecast else ""  # said once, below the table
    table = Table(box=box.HEAVY_HEAD if roomy else box.SIMPLE_HEAD, padding=(0, 1) if roomy else (0, 1, 0, 0))
    table.add_column("rung", overflow="fold")
    for heading in (
        "state",
        *(("done", "", "tokens") if roomy else ("done",)),
        "training loss" if roomy else "loss",
        "tokens/s",
        "left",
    ):
        table.add_column(heading, no_wrap=True)
    if not shared:
        table.add_column(Text(f"{metric} at the end (80%)" if metric else "will end at (80%)"))
    ordered = sorted(found, key=lambda progress: ENDED.index(progress.state) if progress.state in ENDED else -1)
    shown = ordered[:most]
    styles = {"done": "green", "failed": "red", "training": ""}
    left = sum(progress.seconds_left or 0.0 for progress in found)
    for progress in shown:
        state = "silent" if progress.silent(now) else progress.state
        over = progress.state in ENDED
        bar = (ProgressBar(total=1.0, completed=progress.share, width=16),) if roomy else ()
        tokens = (f"{format_count(progress.tokens)} of {format_count(progress.D)}",) if roomy else ()
        end = () if shared else (Text("") if over else _end_words(ends.get(progress.rung), metric),)  # ended: measured
        table.add_row(
            Text(progress.rung),
            Text(state, style="yellow" if state == "silent" else styles.get(state, "")),
            *bar,
            f"{100 * progress.share:.0f} %",
            *tokens,
            "" if progress.loss is None else f"{progress.loss:.4f}",
            format_count(progress.tokens_per_second) if progress.tokens_per_second else "",
            "" if over else duration(progress.seconds_left),
            *end,
        )
    lines: list[Any] = [table]
    ended = sum(progress.state == "done" for progress in found)
    failed = [progress for progress in found if progress.state == "failed"]
    said = f"{ended} of {len(found) + len(waiting)} rungs done"
    said += (
        f"; {len(waiting)} still to begin ({', '.join(waiting[:6])}{', …' if len(waiting) > 6 else ''})"
        if waiting
        else ""
    )
    said += f"; {duration(left)} of training left in those begun, one after the other" if left else ""
    said += f"; {len(found) - len(shown)} are not shown" if len(shown) < len(found) else ""
    lines.append(Text(said))
    if shared:
        lines.append(Text(f"no forecast of the ends: {shared}", style="dim"))
    elif TARGET in ends:
        lines.append(Text.assemble(f"target {ends[TARGET].label}: ", _end_words(ends[TARGET])))
    lines += [
        Text(f"{progress.rung} failed: {progress.message or 'no reason was given'}", style="red") for progress in failed
    ]
    lines += [Text(f"progress/{name} could not be read; it is looked at again", style="yellow") for name in unread]
    return Group(*lines)


def _end_words(end: Ends | None, metric: str = "") -> Any:
    """Write a forecast; its metric is left out where it is the one named above."""
    from rich.text import Text

    if end is None:
        return Text("")
    if end.value is None or end.low is None or end.high is None:
        return Text(end.reason, style="dim")
    name = "" if end.metric == metric else f"{end.metric} "
    return Text(f"{name}{end.value:.4g} [{end.low:.4g}, {end.high:.4g}]", no_wrap=True)


def _plain(found: Sequence[Progress], ends: dict[str, Ends]) -> dict[str, Any]:
    from dataclasses import asdict

    rungs = [
        {
            **progress.model_dump(),
            "share": progress.share,
            "seconds_left": progress.seconds_left,
            "ends": asdict(ends[progress.rung]) if progress.rung in ends else None,
        }
        for progress in found
    ]
    return {"rungs": rungs, "target": asdict(ends[TARGET]) if TARGET in ends else None}
