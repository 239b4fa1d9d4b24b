"""A part of a run's loss curve: what has been measured so far, with the learning rates up to its planned end."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from foretell.encoding import not_utf8
from foretell.errors import SourceError, TableError, UnknownName
from foretell.laws.schedule import Schedule
from foretell.rung import Rung, cosine_share, wsd_share
from foretell.table import Observations

Array = NDArray[np.float64]
Decay = Literal["constant", "linear", "cosine", "sqrt"]

COLUMNS = {"step": ("step", "_step", "steps"), "lr": ("lr", "learning_rate", "eta"), "loss": ("loss", "train_loss")}
LARGEST_FILE = 512 * 2**20  # bytes; a curve of one row a step is far smaller
LONGEST = 10_000_000  # steps; a learning rate is kept for each
AT_PEAK = 0.999  # of the highest rate: there the warm-up is over


@dataclass(frozen=True)
class PartCurve:
    """Hold the loss (n,) at steps (n,) so far, and the schedule of all T steps, those to come included.

    Raises TableError where steps do not rise, lie beyond the plan, or a loss is not positive and finite.
    """

    name: str
    step: Array
    loss: Array
    schedule: Schedule

    def __post_init__(self) -> None:
        if len(self.step) != len(self.loss) or not len(self.step):
            raise TableError(f"the curve {self.name!r} has {len(self.step)} steps and {len(self.loss)} losses")
        if (np.diff(self.step) <= 0).any():
            raise TableError(f"the steps of {self.name!r} do not rise; sort them, and give each step once")
        bad = ~(np.isfinite(self.loss) & (self.loss > 0))
        if bad.any():
            raise TableError(
                f"{int(bad.sum())} losses of {self.name!r} are not positive and finite (first: step "
                f"{self.step[bad][0]:.0f}, {self.loss[bad][0]}); the run diverged there: forecast it up to that step"
            )
        self.schedule.at(self.step)

    @property
    def share(self) -> float:
        """Give the part of the planned steps that has been seen."""
        return float(self.step[-1] / len(self.schedule))

    def upto(self, share: float) -> PartCurve:
        """Keep what was seen up to a share of the planned steps; raises TableError where that is nothing."""
        seen = self.step <= share * len(self.schedule)
        if not seen.any():
            raise TableError(f"nothing of {self.name!r} was measured in the first {share:.0%} of its steps")
        return replace(self, step=self.step[seen], loss=self.loss[seen])


def planned(
    name: str, step: Array, lr: Array, loss: Array, *, steps: int | None = None, decay: Decay = "constant",
    final: float = 0.0,
) -> PartCurve:  # fmt: skip
    """Make a curve from rates recorded at steps, the loss nan where it is yet to come.

    Where the records end before `steps`, the rate goes on from the last one: constant, or to `final` of its peak by a
    line, by the cosine that began at the peak, or as 1 − √t. Raises SourceError for a plan shorter than the records.
    """
    order = np.argsort(step)
    step, lr, loss = step[order], lr[order], loss[order]
    last = int(step[-1])
    T = last if steps is None else steps
    if not last <= T <= LONGEST:
        raise SourceError(
            f"the plan of {name!r} has {T} steps, but step {last} is recorded; give --steps up to {LONGEST}"
        )
    if decay not in get_args(Decay):
        raise UnknownName("decay", decay, get_args(Decay))
    if not (np.isfinite(lr) & (lr >= 0)).all() or not lr.max() > 0:
        raise SourceError(f"the learning rates of {name!r} must be finite, at least 0, and not all 0")
    peak = float(lr.max())
    top = float(step[np.argmax(lr >= AT_PEAK * peak)])
    every = np.arange(1, T + 1, dtype=np.float64)
    rate = np.interp(every, step, lr)
    ahead = every > last
    done = (every[ahead] - last) / max(1, T - last)
    now, end = float(lr[-1]), final * peak
    if decay == "linear":
        rate[ahead] = now + (end - now) * done
    elif decay == "sqrt":
        rate[ahead] = end + (now - end) * (1.0 - np.sqrt(done))
    elif decay == "cosine":
        rate[ahead] = end + (peak - end) * 0.5 * (1.0 + np.cos(np.pi * (every[ahead] - top) / max(1.0, T - top)))
    warmup = min(int(top) - 1, T - 1) if step[0] < top else 0
    seen = ~np.isnan(loss)
    if not seen.any():
        raise SourceError(f"{name!r} has no loss yet; there is nothing to forecast from")
    return PartCurve(name, step[seen], loss[seen], Schedule(rate, max(0, warmup)))


def carried_on(part: PartCurve, steps: int, decay: Decay = "constant", final: float = 0.0) -> PartCurve:
    """Plan the rest of a curve whose records end before its run does; as `planned`."""
    every = np.arange(1, len(part.schedule) + 1, dtype=np.float64)
    loss = np.full(len(every), np.nan)
    loss[part.schedule.at(part.step) - 1] = part.loss
    made = planned(part.name, every, part.schedule.lr, loss, steps=steps, decay=decay, final=final)
    warmup = part.schedule.warmup or made.schedule.warmup
    return PartCurve(part.name, part.step, part.loss, Schedule(made.schedule.lr, warmup))


def read_part_curve(
    path: str | Path, *, steps: int | None = None, decay: Decay = "constant", final: float = 0.0
) -> PartCurve:
    """Read a CSV with the columns step, lr and loss; rows whose loss is empty are the plan of what is to come.

    Raises SourceError for a file that is absent, too large, lacks a column or holds what is no number.
    """
    file = Path(path)
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise SourceError(
                f"{file} has {file.stat().st_size} bytes; a curve has at most {LARGEST_FILE}: thin it out"
            )
        rows = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig"), newline=""))
        found = {name.strip().lower(): name for name in rows.fieldnames or ()}
        places = {}
        for what, names in COLUMNS.items():
            known = [found[name] for name in names if name in found]
            if not known:
                raise SourceError(f"{file} has no column {what}; found: {', '.join(found) or 'none'}")
            places[what] = known[0]
        read = [[(row[places[what]] or "").strip() for what in COLUMNS] for row in rows]
        written = [[float(cell) for cell in row if cell] for row in read]
        if bad := [row for row, numbers in zip(read, written, strict=True) if np.isnan(numbers).any()]:
            raise SourceError(
                f"{file} has {len(bad)} rows with a written nan (first: {', '.join(bad[0])}): the run diverged there; "
                "forecast it up to that step, and leave a loss that is yet to come empty"
            )
        table = np.array([[float(cell) if cell else np.nan for cell in row] for row in read], dtype=np.float64)
    except UnicodeDecodeError as error:
        raise SourceError(not_utf8(error, str(file))) from None
    except (OSError, csv.Error) as error:
        raise SourceError(f"{file} cannot be read: {error}") from None
    except ValueError as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{file} holds what is no number: {error}; leave a loss that is yet to come empty") from None
    if not len(table):
        raise SourceError(f"{file} has no rows; it needs step, lr and loss")
    if np.isnan(table[:, :2]).any() or (table[:, 0] < 1).any():
        raise SourceError(f"{file} has rows without a step of at least 1, or without lr; only a loss may be empty")
    return planned(file.stem, table[:, 0], table[:, 1], table[:, 2], steps=steps, decay=decay, final=final)


def curves_of_study(observations: Observations, metric: str) -> dict[str, PartCurve]:
    """Give the curve of every run whose rows say step and learning rate (`lr`), by the run's name."""
    values = observations.only_metrics([metric]).values
    if "lr" not in values.columns:
        return {}
    rows = values.drop_nulls(["step", "lr"]).filter(values.drop_nulls(["step", "lr"])["step"] >= 1)
    made = {}
    for (name,), of_run in rows.sort("step").group_by("run", maintain_order=True):
        if len(of_run) > 1:
            columns = [of_run[c].to_numpy().astype(np.float64) for c in ("step", "lr", "value")]
            made[str(name)] = planned(str(name), *columns)
    return made


def curves_of_rung(study: str | Path, rung: str) -> dict[str, PartCurve]:
    """Give the curves that training a rung has left in a study, one for each of its horizons, by the run's name.

    The loss is that of training, at every step; the schedule is the rung's own. A shared trunk is part of each.
    Raises SourceError for a rung without curves, or one whose files are damaged.
    """
    folder = Path(study) / "rungs" / rung
    try:
        described = Rung.model_validate(json.loads((folder / "rung.json").read_text(encoding="utf-8"))["rung"])
        parts: dict[str, dict[int, Array]] = {}
        for path in sorted((folder / "curves").glob("*.npy")):
            phase, first, _ = path.stem.rsplit("-", 2)
            parts.setdefault(phase, {})[int(first)] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise SourceError(f"the curves of rung {rung} in {folder} cannot be read: {error}") from None
    made = {}
    for D in described.D:
        steps, run = described.steps(D), described.run_name(D)
        loss = np.full(steps, np.nan)
        for phase in ("trunk", run):
            end = described.trunk_steps(D) if phase == "trunk" and not described.separate else steps
            for at, table in sorted(parts.get(phase, {}).items()):
                piece = table[: max(0, end - at), 0]
                loss[at : at + len(piece)] = piece
        seen = np.isfinite(loss)
        if seen.any():
            share = (
                [cosine_share(i, steps, described.warmup) for i in range(steps)]
                if described.schedule == "cosine"
                else [wsd_share(i, steps, described.warmup, described.cooldown) for i in range(steps)]
            )
            rate = described.learning_rate * np.array(share)
            step = np.arange(1, steps + 1, dtype=np.float64)
            made[run] = PartCurve(run, step[seen], loss[seen], Schedule(rate, described.warmup))
    if not made:
        raise SourceError(f"rung {rung} has left no curves in {folder}; train it first")
    return made
