"""Two steps: a law from N and D to a loss, then a link from that loss to accuracy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from foretell.forecast import Forecast, Settings, Target
from foretell.forecast.from_fit import forecast_from_fit
from foretell.methods.intermediate import choose_intermediate
from foretell.methods.pieces import Path, Pieces
from foretell.table import Observations


@dataclass(frozen=True)
class TwoStep(ABC):
    """Forecast accuracy in two steps: N and D to an intermediate loss, that loss to accuracy.

    `intermediate` is a loss metric shared by all tasks (`c4/loss`), `bpb` for each task's own bits per byte, or `auto`:
    the study's shared loss. `law` is a loss law or `auto`, `link` a link of the catalogue; `ideal_point` adds
    accuracy 1 at loss 0 to the link's rows. A loss metric is forecast by the first step alone.
    """

    law: str
    link: str
    intermediate: str
    ideal_point: bool

    @property
    @abstractmethod
    def name(self) -> str:
        """Give the method's name."""

    @property
    @abstractmethod
    def source(self) -> str:
        """Give the method's paper."""

    def forecast(
        self, observations: Observations, targets: Sequence[Target], metrics: Sequence[str], settings: Settings
    ) -> list[Forecast]:
        """Forecast every metric of every target; raises MethodError where no loss leads to a metric."""
        training = observations.training()
        shares = [metric for name in metrics if (metric := training.metric_named(name)).is_share]
        through = {m.name: choose_intermediate(training, m, self.intermediate, settings) for m in shares}
        pieces = Pieces(training, {*metrics, *through.values()}, settings)
        made: list[Forecast] = []
        for name in metrics:
            if name in through:
                path = Path(through[name], self.law, self.link, self.ideal_point)
                made += [pieces.forecast(path, name, target, self.name) for target in targets]
            else:
                first = pieces.loss(name, self.law, draws=True)
                made += [forecast_from_fit(first.made, t, settings, self.name, first.doubts) for t in targets]
        return made
