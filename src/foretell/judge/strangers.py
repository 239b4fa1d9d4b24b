"""The spread between families: how far off a family is that the runs fitted know nothing of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.forecast import Forecast, Method, Settings
from foretell.judge.hidden import forecast_split
from foretell.judge.score import spread_of
from foretell.judge.split import splits_of
from foretell.table import Metric, Observations

Array = NDArray[np.float64]

# Between families before the runs say anything, relative or of 1. Measured with `ladder` on the fit rows of two public
# sets, each family forecast from the others: root mean squares of 7.8 % over eight losses of three training sets (arXiv
# 2403.08540; 2.5 % of the loss on web text), 10.4 % over ten settings (arXiv 2406.19146), 2.5 points over 16 tasks.
PRIOR_LOSS, PRIOR_SHARE = 0.06, 0.02
WORTH = 2.0  # families that the prior counts as: the sets it was measured on
MOST_FAMILIES = 5  # hidden in turn; of more, so many spread over the alphabet


@dataclass(frozen=True)
class Spread:
    """Hold the standard deviation between families of one metric, and from how many it is known.

    `strangers` are the families of targets to which it applies; the deviation is in shares, or relative to the value.
    """

    deviation: float
    families: int
    strangers: frozenset[str]

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """Draw the offset (count,) of a family never seen: Student's t, because few families tell the deviation."""
        return self.deviation * rng.standard_t(WORTH + self.families - 1, size=count)


NONE = Spread(0.0, 1, frozenset())


def spread_between_families(
    method: Method, observations: Observations, forecasts: Sequence[Forecast], settings: Settings, most: int
) -> dict[str, Spread]:
    """Give for each metric the spread between the runs' families, where a target is of a family that they lack.

    Each family is hidden in turn and forecast from the others (`most` rows a metric); what its squared errors exceed
    the draws' variance by is v·(1 + 1/(k − 1)) in the mean over k families, and v·(1 + 1/k) for one more; v is shrunk
    to a prior, which stands alone where the runs are of one family. Empty where no target names a family that the runs
    lack, or the runs name none.
    """
    training = observations.training()
    known = set(training.runs["family"])
    strangers = frozenset(forecast.target.family for forecast in forecasts) - known - {""}
    if not strangers or "" in known:
        return {}
    metrics = {f.metric.name: f.metric for f in forecasts if f.target.family in strangers}
    squares: dict[str, list[float]] = {name: [] for name in sorted(metrics)}
    splits = splits_of(training, "family") if len(known) > 1 else []
    if len(splits) > MOST_FAMILIES:
        splits = [splits[round(i)] for i in np.linspace(0, len(splits) - 1, MOST_FAMILIES)]
    for split in splits:
        of_family: dict[str, list[float]] = {}
        for forecast, measured in forecast_split(method, split, list(squares), settings, most):
            size = 1.0 if forecast.metric.is_share else abs(measured)
            error, spread = (forecast.value - measured) / size, spread_of(forecast.draws) / size
            of_family.setdefault(forecast.metric.name, []).append(error**2 - spread**2)
        for name, found in of_family.items():
            squares[name].append(max(0.0, float(np.mean(found))))
    return {name: _spread(found, len(known), metrics[name], strangers) for name, found in squares.items()}


def _spread(squares: Sequence[float], k: int, metric: Metric, strangers: frozenset[str]) -> Spread:
    """Shrink the variance between k families to the prior, and give the deviation of one more from their mean."""
    prior = PRIOR_SHARE if metric.is_share else PRIOR_LOSS
    between = sum(squares) * (k - 1) / k  # of v·(1 + 1/(k − 1)), the part v
    variance = (WORTH * prior**2 + between) / (WORTH + len(squares))
    return Spread(float(np.sqrt(variance * (1.0 + 1.0 / k))), max(1, len(squares)), strangers)
