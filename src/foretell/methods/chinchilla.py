"""The Chinchilla method: a loss law in N and D, carried to the target (Hoffmann 2022, arXiv 2203.15556)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foretell.forecast import Forecast, Settings, Target
from foretell.forecast.from_fit import forecast_from_fit, with_draws
from foretell.methods.lossfit import fit_loss
from foretell.table import Observations


@dataclass(frozen=True)
class Chinchilla:
    """Forecast losses by one law fitted to each metric; `law` may be any other loss law."""

    law: str = "chinchilla"

    name = "chinchilla"
    source = "Hoffmann 2022, arXiv 2203.15556, approach 3"

    def forecast(
        self, observations: Observations, targets: Sequence[Target], metrics: Sequence[str], settings: Settings
    ) -> list[Forecast]:
        """Forecast every metric of every target; raises MethodError for a share, which has no loss law."""
        training = observations.training()
        made: list[Forecast] = []
        for name in metrics:
            found = fit_loss(training.metric(name), self.law, settings)
            fitted = with_draws(found.made, settings)
            made += [forecast_from_fit(fitted, t, settings, self.name, found.doubts) for t in targets]
        return made
