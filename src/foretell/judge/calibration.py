"""The calibration: how the form's error grows with reach, learned on other families than the one at hand."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.table import Observations

SHIPPED = "calibration.toml"
SHARES, OTHERS = "shares", "others"
DEFAULT_METHOD = "ladder"  # methods that were not calibrated take the powers of this one
# The form's error at one decade before a study's own hold-outs: relative (arXiv 2410.11840: about 4 % at 34 ×, 1.5
# decades, across families, less within one recipe), or of 1 (measured: the median error of hold-outs inside the three
# ladders of arXiv 2403.08540).
PRIOR = {OTHERS: 0.01, SHARES: 0.02}
WORTH = 1.0  # hold-outs that the prior counts as
DIGITS = 5  # of a value, and of its tokens, by which a row is recognised
# Of the hashes that two data sets could have in common, so many must be: tokens are round numbers, and two rows of the
# OLMo ladder are by chance two of Pythia's 280.
SHARED = 0.02


@dataclass(frozen=True)
class Calibration:
    """Hold the powers of reach by which the form's error grows, the sources they were learned from, those left out."""

    shares: float = 1.0
    others: float = 1.0
    sources: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def factor(self, reach: float, *, share: bool) -> float:
        """Give the form's error at a reach in decades, of that at one decade: reach^power, and none behind the data."""
        return float(max(reach, 0.0) ** (self.shares if share else self.others))


UNCALIBRATED = Calibration()


def growth_of(excess: Sequence[float], *, share: bool) -> float:
    """Give the form's error at one decade from the squared excess of each hold-out, shrunk to the prior."""
    total = WORTH * PRIOR[SHARES if share else OTHERS] ** 2 + float(np.sum(excess))
    return float(np.sqrt(total / (WORTH + len(excess))))


@dataclass(frozen=True)
class Source:
    """Hold a public data set that taught the factors: the families that studies may call it, hashes of its rows."""

    name: str
    names: frozenset[str]
    origin: str
    sketch: NDArray[np.uint64]


@dataclass(frozen=True)
class Shipped:
    """Hold the sources, and for each method the calibration without each of them ("": with all)."""

    sources: tuple[Source, ...] = ()
    methods: Mapping[str, Mapping[str, Calibration]] = field(default_factory=dict)

    def of(self, observations: Observations, method: str) -> Calibration:
        """Give the calibration of a method for a study: learned on every source but the one its runs are of.

        A source is recognised by its families' names, or by rows that the study shares with it. Of a study that joins
        several sources nothing has been left out together: it is not calibrated.
        """
        of_method = self.methods.get(method) or self.methods.get(DEFAULT_METHOD, {})
        own = recognise(self.sources, observations) if of_method else set()
        return UNCALIBRATED if len(own) > 1 else of_method.get(next(iter(own), ""), UNCALIBRATED)


def recognise(sources: Collection[Source], observations: Observations) -> set[str]:
    """Name the sources of which the study has families or rows, of whatever metric."""
    families = set(observations.runs["family"].unique())
    rows = sketch_of(observations)
    return {s.name for s in sources if families & {s.name, *s.names} or _shared(s.sketch, rows) > SHARED}


def _shared(sketch: NDArray[np.uint64], rows: NDArray[np.uint64]) -> float:
    fewest = min(len(sketch), len(rows))
    return float(np.isin(sketch, rows).sum()) / fewest if fewest else 0.0


def sketch_of(observations: Observations, most: int | None = None) -> NDArray[np.uint64]:
    """Hash every (tokens, value); of many rows the `most` smallest of each metric, a sample that any part shares."""
    values = observations.values
    hashes = _hashes(values["D"].to_numpy(), values["value"].to_numpy())
    if most is None:
        return np.unique(hashes)
    names = values["metric"].to_numpy()
    kept = [np.unique(hashes[names == name])[:most] for name in np.unique(names)]
    return np.unique(np.concatenate(kept)) if kept else hashes


def _hashes(tokens: NDArray[np.float64], value: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Hash the leading digits of pairs (n,) to 40 bits: the mixer of SplitMix64 (Steele 2014), the same everywhere."""
    state = _leading(tokens) * np.uint64(1_000_003) + _leading(value)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (state ^ (state >> np.uint64(31))) >> np.uint64(24)


def _leading(x: NDArray[np.float64]) -> NDArray[np.uint64]:
    size = np.abs(x)
    power = np.floor(np.log10(np.where(size > 0, size, 1.0)))
    return np.rint(size / 10.0 ** (power - DIGITS + 1)).astype(np.uint64)


def parse(text: str) -> Shipped:
    """Read what benchmarks/calibration.py writes."""
    read: dict[str, Any] = tomllib.loads(text)
    sources = tuple(
        Source(row["name"], frozenset(row["names"]), row["origin"], np.array(row["sketch"], dtype=np.uint64))
        for row in read.get("source", ())
    )
    methods: dict[str, dict[str, Calibration]] = {}
    for row in read.get("calibration", ()):
        left = row["without"]
        kept = tuple(source.name for source in sources if source.name != left)
        methods.setdefault(row["method"], {})[left] = Calibration(
            row[SHARES], row[OTHERS], kept, (left,) if left else ()
        )
    return Shipped(sources, methods)


@cache
def shipped() -> Shipped:
    """Read the shipped calibrations; where there is no such file, nothing is calibrated."""
    place = files("foretell.judge").joinpath(SHIPPED)
    return parse(place.read_text(encoding="utf-8")) if place.is_file() else Shipped()
