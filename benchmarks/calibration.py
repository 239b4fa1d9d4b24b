"""Learn src/foretell/judge/calibration.toml: by which power of reach the form's part of an interval grows.

Every public data set's hidden rows are forecast as its protocol has it. For each data set the powers are learned on all
others, and judged on it: coverage by reach and kind, interval score, PIT.

Run: python benchmarks/calibration.py [--method ladder,auto] [--keep FOLDER] [--write] [--figure FILE]
(--keep stores the hold-outs' draws, the slow part, and reads them when they are there)
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
import tomli_w
from numpy.typing import NDArray

from foretell.forecast import Settings
from foretell.judge import Split, binomial_interval, interval_score
from foretell.judge.calibration import OTHERS, SHARES, SHIPPED, UNCALIBRATED, Calibration, growth_of, sketch_of
from foretell.judge.hidden import forecast_split
from foretell.judge.score import pit_of
from foretell.judge.widen import PART, form_excess, hold_out_settings
from foretell.methods import method_named
from protocols import protocol

Array = NDArray[np.float64]

FILE = Path(__file__).parents[1] / "src" / "foretell" / "judge" / SHIPPED
DRAWS = 80
MOST = 20  # hidden rows a metric
SKETCH = {True: 6, False: 24}  # hashes a metric, of protocols with many metrics and with few
LEVEL = 0.8
BINS = ((-99.0, 0.0), (0.0, 0.5), (0.5, 1.0), (1.0, 99.0))  # decades
POWERS = (1.0, 1.25, 1.5, 1.75, 2.0)
FEWEST_SOURCES = 5  # of fewer, each one left out changes the power: it stays 1 (docs/decisions.md)


@dataclass(frozen=True)
class Source:
    """Name a data set, the labels that its families go by, and where it is from."""

    protocol: str
    name: str
    names: tuple[str, ...]
    origin: str


SOURCES = (
    Source("olmo-ladder", "olmo-ladder", ("olmo-ladder", "peteish"), "Bhagia 2024, arXiv 2412.04403"),
    Source("gadre.open", "gadre", ("rpj", "rw"), "Gadre 2024, arXiv 2403.08540"),
    Source("misfitting", "misfitting", (), "misfitting testbed, best learning rate"),
    Source("porian", "porian", (), "Porian 2024, arXiv 2406.19146"),
    Source("gemstones", "gemstones", (), "Gemstones, arXiv 2502.06857"),
    Source("pythia", "pythia", ("pythia", "pythia-dedup"), "Pythia, arXiv 2304.01373"),
    Source("marin", "marin", ("comma", "dclm", "nemotron"), "Marin isoflop runs"),
    Source("chinchilla.progressive", "chinchilla", ("hoffmann",), "Hoffmann 2022; digitised, arXiv 2404.10102"),
    Source("farseer", "farseer", (), "Farseer, arXiv 2506.10972"),
    Source("datablations", "datablations", (), "Muennighoff 2023, arXiv 2305.16264"),
)


@dataclass(frozen=True)
class Row:
    """Hold one hidden row: draws without form, what was measured, and the excess of the hold-outs inside the fit.

    Everything is relative to the measurement, except for shares.
    """

    source: str
    group: str
    metric: str
    share: bool
    reach: float
    measured: float
    value: float
    draws: list[float]
    excess: list[float]


def rows_of(source: Source, method: str) -> Iterator[Row]:
    """Forecast every hold-out of a data set."""
    found = protocol(source.protocol)
    settings = Settings(draws=DRAWS)
    plain = Settings(draws=DRAWS, parts=settings.parts - {PART})
    made = method_named(method)
    for group in found.groups:
        names = [name for name in found.metrics if name in group.fit.metrics]
        assert group.test is not None
        hidden = forecast_split(made, Split(group.name, group.fit, group.test), names, plain, MOST)
        able = sorted({forecast.metric.name for forecast, _ in hidden})
        excess = form_excess(made, group.fit, able, hold_out_settings(settings))
        for forecast, measured in hidden:
            share = forecast.metric.is_share
            size = 1.0 if share else abs(measured)
            yield Row(
                source.name, group.name, forecast.metric.name, share, forecast.reach, measured / size,
                forecast.value / size, [float(f"{x / size:.6g}") for x in forecast.draws],
                excess[forecast.metric.name],
            )  # fmt: skip


def collect(method: str, keep: Path | None) -> list[Row]:
    """Give the rows of every source, from the folder where they are kept."""
    rows: list[Row] = []
    for source in SOURCES:
        place = keep / f"{method}-{source.name}.json" if keep else None
        if place and place.is_file():
            rows += [Row(**row) for row in json.loads(place.read_text(encoding="utf-8"))]
            continue
        begun = time.process_time()
        made = list(rows_of(source, method))
        print(
            f"<!-- {method} {source.name}: {len(made)} rows, {time.process_time() - begun:.0f} s of CPU -->", flush=True
        )
        if place:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps([asdict(row) for row in made]), encoding="utf-8")
        rows += made
    return rows


# -- learning -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """Hold rows of one kind as arrays: draws (n, B), normal noise (n, B), and (n,) of everything else."""

    rows: Sequence[Row]
    draws: Array
    noise: Array
    measured: Array
    reach: Array
    form: Array

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Table:
        """Lay rows out; `form` (n,) is the form's error at one decade."""
        rng = np.random.default_rng(0)
        size = [1.0 if row.share else abs(row.value) for row in rows]
        return cls(
            rows=rows,
            draws=np.array([row.draws for row in rows]),
            noise=rng.normal(size=(len(rows), DRAWS)),
            measured=np.array([row.measured for row in rows]),
            reach=np.array([row.reach for row in rows]),
            form=np.array([growth_of(row.excess, share=row.share) for row in rows]) * np.array(size),
        )

    def widened(self, power: float) -> Array:
        """Give the draws (n, B) with the form's part."""
        wide = self.draws + (self.form * np.maximum(self.reach, 0.0) ** power)[:, None] * self.noise
        return np.clip(wide, 0.0, 1.0) if self.rows[0].share else np.maximum(wide, 0.0)

    def judge(self, power: float, level: float = LEVEL) -> tuple[Array, Array]:
        """Say which measurements lie inside (n,), and give the interval scores (n,)."""
        wide = self.widened(power)
        low, high = np.quantile(wide, [0.5 - level / 2, 0.5 + level / 2], axis=1)
        inside = (low <= self.measured) & (self.measured <= high)
        scores = [interval_score(a, b, y, level) for a, b, y in zip(low, high, self.measured, strict=True)]
        return inside, np.array(scores)


def learn(rows: Sequence[Row]) -> float:
    """Choose the power at which 80 % intervals of the hidden rows cover nearest to 80 % in every bin of reach.

    In a bin every source counts once. A bin's coverage is all that is asked: a factor beside the power was tried, and
    does not carry from some sources to another (docs/decisions.md).
    """
    table = Table.of([row for row in rows if row.reach > 0.0])
    names = np.array([row.source for row in table.rows])
    if len(set(names)) < FEWEST_SOURCES:
        return POWERS[0]
    missed = []
    for power in POWERS:
        inside = table.judge(power)[0]
        total = 0.0
        for low, high in BINS:
            there = (low < table.reach) & (table.reach <= high)
            if there.any():
                covered = np.mean([inside[there & (names == name)].mean() for name in sorted(set(names[there]))])
                total += (covered - LEVEL) ** 2
        missed.append(total)
    return POWERS[int(np.argmin(missed))]


def calibrations(rows: Sequence[Row]) -> dict[str, Calibration]:
    """Learn the calibration of one method without each source, and with all ("")."""
    made = {}
    for left in ("", *(source.name for source in SOURCES)):
        kept = [row for row in rows if row.source != left]
        shares = learn([row for row in kept if row.share])
        made[left] = Calibration(shares, learn([row for row in kept if not row.share]), (), (left,) * bool(left))
    return made


# -- judging --------------------------------------------------------------------------------------------------------


def judged(rows: Sequence[Row], of: dict[str, Calibration] | None) -> list[tuple[Row, bool, float, float]]:
    """Set each row beside whether its interval held it, its score and its PIT, calibrated without its own source."""
    made: list[tuple[Row, bool, float, float]] = []
    for source in sorted({row.source for row in rows}):
        for share in (True, False):
            mine = [row for row in rows if row.source == source and row.share == share]
            if not mine:
                continue
            known = of[source] if of else UNCALIBRATED
            kind = known.shares if share else known.others
            table = Table.of(mine)
            inside, scores = table.judge(kind)
            pits = [pit_of(draws, row.measured) for draws, row in zip(table.widened(kind), mine, strict=True)]
            made += list(zip(mine, inside.tolist(), scores.tolist(), pits, strict=True))
    return made


def report(method: str, rows: Sequence[Row], made: dict[str, Calibration]) -> None:
    """Print coverage before and after, by reach, by kind and by source, on the hidden rows."""
    before, after = judged(rows, None), judged(rows, made)
    print(f"\n## {method}: 80 % intervals of the protocols' hidden rows\n")
    print("| of | reach | n | before | after | score before | after |\n|---|---|---|---|---|---|---|")
    parts: list[tuple[str, Any]] = [
        ("all", lambda row: True),
        ("shares", lambda r: r.share),
        ("others", lambda r: not r.share),
    ]
    for label, wanted in parts:
        for low, high in BINS:
            chosen = [i for i, (row, *_) in enumerate(before) if wanted(row) and low < row.reach <= high]
            if chosen:
                name = f"{low:g} to {high:g}".replace("-99 to 0", "≤ 0").replace("1 to 99", "> 1")
                _line(f"{label} | {name}", [before[i] for i in chosen], [after[i] for i in chosen])
    for source in SOURCES:
        for share in (True, False):
            chosen = [i for i, (row, *_) in enumerate(before) if row.source == source.name and row.share == share]
            if chosen:
                _line(
                    f"{source.name} {'shares' if share else 'others'} | every",
                    [before[i] for i in chosen],
                    [after[i] for i in chosen],
                )
    for label, part in (("before", before), ("after", after)):
        counts = np.histogram([pit for *_, pit in part], bins=10, range=(0.0, 1.0))[0]
        print(
            f"PIT {label}, tenths of the rows in each tenth: {' '.join(f'{10 * c / counts.sum():.2f}' for c in counts)}"
        )


def _line(label: str, before: Sequence[Any], after: Sequence[Any]) -> None:
    cells = []
    for part in (before, after):
        inside, n = sum(one[1] for one in part), len(part)
        low, high = binomial_interval(inside, n)
        cells.append(f"{inside / n:.2f} ({low:.2f}–{high:.2f})")
    scores = [f"{100 * np.mean([one[2] for one in part]):.2f}" for part in (before, after)]
    print(f"| {label} | {len(before)} | {cells[0]} | {cells[1]} | {scores[0]} | {scores[1]} |")


# -- writing --------------------------------------------------------------------------------------------------------

HEADER = """\
# By which power of reach the form's part of an interval grows, for each method and kind of metric, without each data
# set (`without = ""`: with all). `sketch` holds hashes by which a data set's rows are recognised. Made by
# benchmarks/calibration.py --write; do not edit.

"""


def sketch(source: Source) -> list[int]:
    """Hash some rows of a data set."""
    found = protocol(source.protocol)
    hashes: set[int] = set()
    for group in found.groups:
        for part in (group.fit, group.test):
            if part is not None:
                kept = [name for name in found.metrics if name in part.metrics]
                kept += [part.shared_loss] if part.shared_loss and part.shared_loss not in kept else []
                some = sketch_of(part.only_metrics(kept), SKETCH[len(kept) > 12])
                hashes.update(int(value) for value in some)
    return sorted(hashes)


def write(of_method: dict[str, dict[str, Calibration]]) -> None:
    """Write what is shipped."""
    table: dict[str, Any] = {
        "calibration": [
            {"method": method, "without": left, SHARES: made.shares, OTHERS: made.others}
            for method, of in of_method.items()
            for left, made in of.items()
        ],
        "source": [{"name": s.name, "names": list(s.names), "origin": s.origin, "sketch": sketch(s)} for s in SOURCES],
    }
    FILE.write_text(HEADER + tomli_w.dumps(table), encoding="utf-8")


def main() -> None:
    reader = argparse.ArgumentParser()
    reader.add_argument("--method", default="ladder,auto")
    reader.add_argument("--keep", type=Path)
    reader.add_argument("--write", action="store_true")
    reader.add_argument("--figure", type=Path)
    asked = reader.parse_args()
    made: dict[str, dict[str, Calibration]] = {}
    for method in asked.method.split(","):
        rows = collect(method, asked.keep)
        made[method] = calibrations(rows)
        for left, known in made[method].items():
            print(f"{method} without {left or 'nothing'}: shares {known.shares}, others {known.others}")
        report(method, rows, made[method])
        if asked.figure:
            from foretell.report.calibration_figure import draw_pit

            parts = {
                label: np.array([pit for *_, pit in judged(rows, of)])
                for label, of in (("own hold-outs alone", None), ("calibrated", made[method]))
            }
            draw_pit(parts, asked.figure.with_stem(f"{asked.figure.stem}-{method}"))
    if asked.write:
        write(made)


if __name__ == "__main__":
    main()
