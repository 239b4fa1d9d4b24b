"""How far each rung of a ladder in training has come, as its trainer writes it into the study folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from foretell.execute.record import ERROR, ORDER, RESULT

FOLDER = "progress"
TRAINS = b"foretell.ladder.training:train_one"  # what the order of a rung calls
JOBS = "jobs"
LARGEST_FILE = 100_000  # bytes
SILENT = 600.0  # seconds without a word after which a rung in training is called silent


class Progress(BaseModel):
    """Describe one rung in training; `time` is in seconds since 1970, `tokens` those seen of `D`.

    `trained` counts tokens of all its horizons, a shared trunk once; `phase` names what is trained now.
    """

    model_config = ConfigDict(extra="ignore")

    rung: str
    step: int = 0
    steps: int = 0
    tokens: float = 0.0
    D: float = 0.0
    loss: float | None = None
    lr: float | None = None
    tokens_per_second: float | None = None
    state: str = "training"
    message: str = ""
    time: float = 0.0
    N: float | None = None
    phase: str = ""
    trained: float | None = None

    @property
    def share(self) -> float:
        """Give how much of the run is done, 0 to 1."""
        if self.steps > 0:
            return min(1.0, max(0.0, self.step / self.steps))
        return min(1.0, max(0.0, self.tokens / self.D)) if self.D > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Give the seconds until its end at the present speed; 0 when it is done, None where the speed is unknown."""
        if self.state == "done":
            return 0.0
        speed = self.tokens_per_second
        if self.state != "training" or not speed or not math.isfinite(speed) or speed <= 0:
            return None
        return max(0.0, (self.D - self.tokens) / speed)

    def silent(self, now: float) -> bool:
        """Say whether a rung that should be training has not written for long."""
        return self.state == "training" and self.time > 0 and now - self.time > SILENT


@dataclass(frozen=True)
class Ends:
    """Hold where a run will end by the study as it stands: a loss and its interval, or why there is none."""

    label: str
    metric: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""


def read_progress(study: Path) -> tuple[list[Progress], list[str]]:
    """Read what every rung wrote, in the order of names; give also the names of files that could not be read."""
    found: list[Progress] = []
    unread: list[str] = []
    for file in sorted((study / FOLDER).glob("*.json")):
        if file.name.startswith("."):
            continue
        try:
            if file.stat().st_size > LARGEST_FILE:
                raise ValueError("too large")
            found.append(Progress.model_validate_json(file.read_bytes()))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, ValidationError):
            unread.append(file.name)
    return found, unread


def duration(seconds: float | None) -> str:
    """Write a duration as people do: `3 h 05 min`, `12 min`, `40 s`."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    days, rest = divmod(whole, 86400)
    hours, minutes = divmod(rest // 60, 60)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


def read_waiting(study: Path, found: Sequence[Progress]) -> list[str]:
    """Name the rungs that are ordered and have neither begun nor ended."""
    begun = {progress.rung for progress in found}
    waiting = []
    for order in sorted((study / JOBS).glob(f"*/{ORDER}")):
        job = order.parent
        if job.name in begun or (job / RESULT).exists() or (job / ERROR).exists():
            continue
        try:
            if order.stat().st_size <= LARGEST_FILE and TRAINS in order.read_bytes():
                waiting.append(job.name)
        except OSError:  # it is being written; it is looked at again
            continue
    return waiting


def is_over(found: Sequence[Progress], waiting: Sequence[str] = ()) -> bool:
    """Say whether every rung has ended, well or not, and none is still to begin."""
    return bool(found) and not waiting and all(progress.state in ("done", "failed") for progress in found)


EndsOf = Callable[[Sequence[Progress]], dict[str, Ends]]
