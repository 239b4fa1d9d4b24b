"""The runs that ship: a ladder with the larger run that it forecasts, and mixtures over short horizons."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files

from foretell.table import Observations, open_study

FOLDER = "shipped"


@dataclass(frozen=True)
class RepetitionExperiment:
    """Say what an experiment on repetition is about: its target's tokens, the scarce source, its pool, what counts."""

    D: float
    scarce: str
    pool: float
    metric: str


# the design of examples/mixtures/run.sh
MIXTURES = RepetitionExperiment(D=1.5e6, scarce="dictionary", pool=16_000.0, metric="dictionary/loss")


def shipped_ladder() -> Observations:
    """Give the shipped ladder's observations: no network, no torch.

    Byte-level Llamas of 27K to 443K parameters on four sources of plain text, each with four horizons from one trunk,
    two of them with a second seed; the target, 2.2M parameters on 26M tokens, is held out. `make ladder` trains them.
    """
    with as_file(files("foretell") / FOLDER / "ladder") as folder:
        return open_study(folder)


def shipped_mixtures() -> Observations:
    """Give the shipped mixtures' observations: 81 runs of 98K parameters on a scarce and an abundant source.

    Seven mixtures, two of them with a second seed, at 1/16 to 1/2 of the target's 1.5M tokens, over the full pool and
    over pools cut to match its passes, and at the target itself. `examples/mixtures/run.sh` trains them.
    """
    with as_file(files("foretell") / FOLDER / "mixtures") as folder:
        return open_study(folder)
