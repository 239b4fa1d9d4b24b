"""The options that several verbs share, so that each is called the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from foretell.table.items import Items

Study = Annotated[Path, typer.Argument(help="The study folder, made by `foretell read`.", show_default=False)]
Metrics = Annotated[
    list[str] | None,
    typer.Option("--metric", "--task", help="A metric (c4/loss) or task (arc_easy); repeat for more. [every task]"),
]
MethodName = Annotated[str, typer.Option("--method", help="ladder, auto (weighs many, takes longer), overtrained, …")]
LawName = Annotated[str | None, typer.Option("--law", help="The loss law of the method. [the method's own]")]
LinkName = Annotated[str | None, typer.Option("--link", help="The link from loss to accuracy. [the method's own]")]
Intermediate = Annotated[
    str | None,
    typer.Option("--intermediate", help="The loss on the way to accuracy: a metric, or bpb for each task's own."),
]
AsPublished = Annotated[
    bool, typer.Option("--as-published", help="The paper's own optimiser, start and bounds; it gives no interval.")
]
FromCompute = Annotated[
    bool, typer.Option("--from-compute", help="With --as-published: the ladder's law in C instead of N and D.")
]
Family = Annotated[
    str | None, typer.Option("--family", help="With --as-published overtrained: the training set that is forecast.")
]
Where = Annotated[
    str | None, typer.Option("--where", help="Only the runs for which this SQL holds, such as 'N <= 1.3e9'.")
]


def _level(level: float) -> float:
    if not 0 < level < 1:  # nan as well; before anything heavy is imported
        from foretell.forecast import check_level

        check_level(level)
    return level


def _seed(seed: int) -> int:
    if seed < 0:
        from foretell.errors import MethodError

        raise MethodError(f"seed is {seed}; give seed ≥ 0")
    return seed


Level = Annotated[float, typer.Option("--level", callback=_level, help="Confidence of the interval, 0 to 1.")]
Parts = Annotated[str, typer.Option("--parts", help="What the interval contains: coefficients,noise,form or all.")]
Draws = Annotated[int, typer.Option("--draws", help="Resamples behind an interval.")]
Starts = Annotated[int, typer.Option("--starts", help="Starts of every fit.")]
Seed = Annotated[int, typer.Option("--seed", callback=_seed, help="Randomness: the same seed gives the same numbers.")]


def _figure(path: Path | None) -> Path | None:
    if path is None:
        return None
    from foretell.report.canvas import check_figure

    return check_figure(path)


Figure = Annotated[
    Path | None, typer.Option("--figure", callback=_figure, help="Draw it as well: a PNG, SVG or PDF file.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def method_options(
    law: str | None = None,
    link: str | None = None,
    intermediate: str | None = None,
    *,
    as_published: bool = False,
    from_compute: bool = False,
    family: str | None = None,
) -> dict[str, str | bool]:
    """Collect the options of a method that were given."""
    given: dict[str, str | bool | None] = {
        "law": law,
        "link": link,
        "intermediate": intermediate,
        "as_published": as_published or None,
        "from_compute": from_compute or None,
        "family": family,
    }
    return {name: value for name, value in given.items() if value is not None}


def items_for(method: str, study: Path) -> dict[str, Items | None]:
    """Give a method that reads outcomes of questions those that the study keeps."""
    from foretell.methods import OF_ITEMS
    from foretell.table.items import open_items

    return {"items": open_items(study)} if method in OF_ITEMS else {}
