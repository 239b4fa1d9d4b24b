"""The Method protocol: from observations of small runs to forecasts of a large one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from foretell.errors import MethodError
from foretell.forecast.forecast import DEFAULT_PARTS, Forecast
from foretell.forecast.target import Target
from foretell.table import Observations

FEWEST_DRAWS = 20


@dataclass(frozen=True)
class Settings:
    """Say how a forecast is made: how many draws, from which parts, from how many starts, and from which seed."""

    draws: int = 1000
    parts: frozenset[str] = DEFAULT_PARTS
    starts: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if 0 < self.draws < FEWEST_DRAWS:
            raise MethodError(f"{self.draws} draws make no interval; give at least {FEWEST_DRAWS}, or 0 for none")
        if self.draws < 0 or self.starts < 1 or self.seed < 0:
            raise MethodError(
                f"{self.draws} draws from {self.starts} starts and seed {self.seed} were asked for; "
                "give draws ≥ 0, starts ≥ 1 and seed ≥ 0"
            )


class Method(Protocol):
    """Forecast metrics of targets from observations; one published idea each."""

    @property
    def name(self) -> str:
        """Give the name it is asked for by."""
        ...

    @property
    def source(self) -> str:
        """Give its paper."""
        ...

    def forecast(
        self, observations: Observations, targets: Sequence[Target], metrics: Sequence[str], settings: Settings
    ) -> list[Forecast]:
        """Forecast every metric of every target, from the runs that are not held out.

        Raises MethodError for a metric that the method cannot forecast, FitError where the data are too few.
        """
        ...
