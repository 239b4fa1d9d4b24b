"""`foretell serve`: the report in a browser on this machine, refreshed as runs arrive."""

from __future__ import annotations

from typing import Annotated

import typer

from foretell.cli.options import Draws, Level, MethodName, Metrics, Seed, Starts, Study


def serve(
    study: Study,
    N: Annotated[str | None, typer.Option("-N", "--N", help="Parameters of the target, such as 7B.")] = None,
    D: Annotated[str | None, typer.Option("-D", "--D", help="Training tokens, such as 4T or 2xC.")] = None,
    metric: Metrics = None,
    method: MethodName = "ladder",
    level: Level = 0.8,
    draws: Draws = 1000,
    starts: Starts = 64,
    seed: Seed = 0,
    host: Annotated[str, typer.Option("--host", help="Only this machine's own loopback address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="The port; 0 takes any that is free.")] = 8642,
    with_backtest: Annotated[bool, typer.Option("--backtest/--no-backtest", help="Backtest as well.")] = True,
) -> None:
    """Show the report on this machine's loopback address; the page reloads itself when the study changes.

    Without a target, the runs that the study holds out are forecast. Ctrl-C ends it.
    """
    from foretell import api
    from foretell.api.sharing import gather
    from foretell.cli.report import read_target
    from foretell.cli.show import console
    from foretell.forecast import Settings
    from foretell.report.page import render_page
    from foretell.report.progress import FOLDER
    from foretell.report.serve import Shown, serve_page, study_version

    aims = read_target(N, D)
    settings = Settings(draws=draws, starts=starts, seed=seed)

    def build(version: str) -> str:
        contents = gather(
            api.open(study),
            aims,
            metric or [],
            title=study.resolve().name,
            level=level,
            method=method,
            settings=settings,
            with_backtest=with_backtest,
            command=f"foretell serve {study}",
            options={},
        )
        return render_page(contents, live=version)

    if not (study / FOLDER).is_dir():  # a ladder in training has a study only when its first run has ended
        api.open(study)  # what cannot be read is refused before anything listens
    server = serve_page(Shown(lambda: study_version(study), build), port, host=host)
    address = f"http://127.0.0.1:{server.server_port}/"
    console().print(f"{study} is shown at {address} until Ctrl-C", markup=False)
    try:
        server.serve_forever()
    finally:
        server.server_close()
