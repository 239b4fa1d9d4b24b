"""Which validation loss foretells the tasks of longer training best."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from foretell.api.forecasts import metrics_of
from foretell.forecast import Settings
from foretell.methods.ranking import Ranking, losses_of, rank_losses
from foretell.table import Observations
from foretell.table.items import Items


def rank(
    observations: Observations,
    tasks: Sequence[str] = (),
    losses: str | None = None,
    *,
    horizon: str = "0.5",
    law: str = "auto",
    floor: str = "fitted",
    items: Items | None = None,
    settings: Settings | None = None,
    progress: Callable[[str], object] = lambda _: None,
) -> Ranking:
    """Rank validation losses by how well short horizons foretold the tasks of long ones (Cao 2025).

    Without tasks every accuracy counts; `losses` is a pattern such as `dolma_*`. `horizon` parts short from long, as a
    share of the runs or a multiple such as `2xC`; `floor` is `fitted` or `chance`, `items` are the outcomes of a
    study's questions (`open_items(folder)`). Raises MethodError where nothing can be ranked, UnknownName where no loss
    matches.
    """
    named = metrics_of(observations, tasks)
    return rank_losses(
        observations, named, losses_of(observations, named, losses), horizon=horizon, law=law, floor=floor,
        items=items, settings=settings or Settings(draws=200), progress=progress,
    )  # fmt: skip
