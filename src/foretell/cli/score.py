"""`foretell score`: how did the sealed forecast turn out?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretell.cli.options import AsJson

if TYPE_CHECKING:
    from foretell.judge.sealed import Verdict


def score(
    forecast: Annotated[Path, typer.Argument(help="The file that `foretell seal` wrote.", show_default=False)],
    results: Annotated[
        Path, typer.Argument(help="A study folder, or a CSV or JSON of metric,value.", show_default=False)
    ],
    run: Annotated[
        str, typer.Option("--run", help="The run of the study that is the target. [nearest in N and D]")
    ] = "",
    digest: Annotated[str, typer.Option("--digest", help="The digest that was published, or its beginning.")] = "",
    json: AsJson = False,
) -> None:
    """Verify the seal, and score each forecast: error, intervals that held, interval score, CRPS and PIT."""
    from foretell import api
    from foretell.api.sharing import score as score_seal
    from foretell.cli.show import console, print_json
    from foretell.forecast.seal import open_seal

    seal = open_seal(forecast, digest)
    made = score_seal(seal, api.open(results) if results.is_dir() else results, run=run)
    if json:
        print_json(made.to_json())
        return
    verdicts, absent = made.verdicts, made.absent
    out = console()
    out.print(f"sealed {seal.sealed} by foretell {seal.version}; the seal holds ({seal.digest[:16]}…)", markup=False)
    show(verdicts)
    for method in dict.fromkeys(verdict.forecast.method for verdict in verdicts):
        out.print(takeaway([verdict for verdict in verdicts if verdict.forecast.method == method]), markup=False)
    if absent:
        out.print(f"not measured: {', '.join(absent)}", markup=False)


def show(verdicts: Sequence[Verdict]) -> None:
    """Print a row a forecast."""
    from rich.table import Table

    from foretell.cli.show import console, forecast_cells, percent
    from foretell.forecast.seal import SEALED_LEVELS

    several = len({(v.forecast.target.label, v.forecast.method) for v in verdicts}) > 1
    head = ["target", "method"] if several else []
    held = [f"{level:.0%}" for level in SEALED_LEVELS]
    table = Table(*head, "metric", "forecast", "80% interval", "measured", "error", *held, "score 80%", "CRPS", "PIT")
    for verdict in verdicts:
        forecast, share = verdict.forecast, verdict.forecast.metric.is_share
        value, interval = forecast_cells(forecast, 0.8)
        measured = percent(verdict.measured) if share else f"{verdict.measured:.4g}"
        error = f"{100 * verdict.error:+.1f} pt" if share else f"{100 * verdict.relative_error:+.2f} %"
        unit = 100.0 if share else 1.0
        first = [forecast.target.label, forecast.method] if several else []
        table.add_row(
            *first, forecast.metric.name, value, interval, measured, error,
            *("in" if verdict.inside(level) else "out" for level in SEALED_LEVELS),
            f"{unit * verdict.interval_score(0.8):.3g}", f"{unit * verdict.crps:.3g}", f"{verdict.pit:.2f}",
        )  # fmt: skip
    console().print(table)


def takeaway(verdicts: Sequence[Verdict]) -> str:
    """Write the sentence that a person would take away."""
    method = verdicts[0].forecast.method
    said = []
    for share, unit in ((True, "points"), (False, "%")):
        errors = [
            abs(verdict.error if share else verdict.relative_error)
            for verdict in verdicts
            if verdict.forecast.metric.is_share == share
        ]
        if errors:
            kind = "accuracies" if share else "losses"
            said.append(f"{100 * sum(errors) / len(errors):.1f} {unit} on {len(errors)} {kind}")
    inside = sum(verdict.inside(0.8) for verdict in verdicts)
    return f"{method}: off by {' and '.join(said)} on average; {inside} of {len(verdicts)} lie in their 80% interval."
