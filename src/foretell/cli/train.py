"""`foretell train`: train the rungs of a ladder, here or on a cluster."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretell.cli.options import AsJson

if TYPE_CHECKING:
    from foretell.execute import Ended
    from foretell.rung import Ladder

REFRESH = 1.0  # seconds between looks at the progress of rungs


def train(
    ladder: Annotated[Path, typer.Argument(help="The ladder file, made by `foretell plan`.", show_default=False)],
    rung: Annotated[list[str] | None, typer.Option("--rung", help="Only this rung; repeat for more. [all]")] = None,
    on: Annotated[str, typer.Option("--on", help="Where to train: local, ray or slurm.")] = "local",
    executor: Annotated[
        list[str] | None, typer.Option("--executor", help="NAME=VALUE for where it runs, such as partition=gpu.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: a GPU where there is one.")] = "cpu",
    processes: Annotated[int, typer.Option(help="Processes that train one rung together.")] = 1,
    save_every: Annotated[float, typer.Option(help="Seconds between checkpoints.")] = 60.0,
    retries: Annotated[int, typer.Option(help="How often a killed worker is started again.")] = 2,
    json: AsJson = False,
) -> None:
    """Train what a ladder lacks, one job a rung, and write what is measured into its study.

    Stop it and call it again: every rung goes on from its last checkpoint. For example: foretell train ladder.toml
    """
    from threading import Event, Thread

    from foretell.cli.show import console, print_json
    from foretell.errors import TrainError
    from foretell.execute import read_options
    from foretell.ladder.training import study_of, train_ladder
    from foretell.rung import read_ladder

    read = read_ladder(ladder)
    study = study_of(ladder.resolve(), read)
    stopped = Event()
    follower = Thread(target=follow, args=(read, study, rung or [], stopped), daemon=True)
    if not json:
        follower.start()
    try:
        made = train_ladder(
            ladder,
            on=on,
            options=read_options(executor or []),
            rungs=rung,
            device=device,
            processes=processes,
            save_every=save_every,
            retries=retries,
        )
    finally:
        stopped.set()
        if not json:
            follower.join(timeout=5)
    if json:
        print_json([_entry(one) for one in made.ended])
    else:
        for one in made.ended:
            said = f": {one.error}" if one.error else ""
            console().print(f"{one.name}: {one.state}{said}", markup=False)
        if made.observations is not None and not made.failed:
            console().print(f"\nThe study is {study}. Next: foretell predict {study} -N … -D …", markup=False)
    if made.failed:
        names = ", ".join(one.name for one in made.failed)
        raise TrainError(
            f"{len(made.failed)} of {len(made.ended)} rungs did not end well ({names}); the others are done"
        )


def _entry(one: Ended) -> dict[str, Any]:
    return {
        "rung": one.name, "state": one.state, "runs": one.result, "error": one.error, "tries": one.tries,
        "seconds": one.seconds,
    }  # fmt: skip


def follow(ladder: Ladder, study: Path, chosen: list[str], stopped: Any) -> None:
    """Show a bar for each rung on the error stream: its loss, tokens a second and the time left, until told to stop."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from foretell.cli.show import console
    from foretell.report.progress import read_progress
    from foretell.units import format_count

    since = time.time()
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(),
        TextColumn("{task.fields[said]}", markup=False), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console(stderr=True), transient=True) as bars:
        tasks = {
            rung.name: bars.add_task(rung.name, total=rung.trained_tokens, said="waiting")
            for rung in ladder.rungs
            if not chosen or rung.name in chosen
        }
        while not stopped.wait(REFRESH):
            for told in read_progress(study)[0]:
                if told.rung not in tasks:
                    continue
                task, whole = tasks[told.rung], ladder.rung_named(told.rung).trained_tokens
                if told.state == "training" and told.time >= since - REFRESH and told.loss is not None:
                    speed = format_count(told.tokens_per_second or 0.0)
                    said = f"{told.phase}, loss {told.loss:.3f}, {speed} tokens/s"
                    bars.update(task, completed=min(whole, told.trained or told.tokens), said=said)
                elif told.state in ("done", "failed"):
                    bars.update(task, completed=whole if told.state == "done" else None, said=told.state)
