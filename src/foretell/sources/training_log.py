"""A training log: what one run's tool wrote down step by step, on its way to observations."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from foretell.errors import SourceError
from foretell.sources.guard import label, number, some
from foretell.sources.metric_map import MetricMap, Rule
from foretell.sources.model_size import read_model_size
from foretell.sources.run_table import Described, RunTable, ask_for
from foretell.table import Metric, Observations, Run

MOST_POINTS = 20_000_000  # over all runs: about 3 GiB of memory, 50 metrics of 400,000 steps
PROPORTIONAL = 1e-9  # relative: tokens that keep to a multiple of the step this closely were counted from it
MOST_ENTRIES = 100_000  # of one run's configuration
SHOWN = 60  # unmapped keys named in a note


@dataclass
class TrainingLog:
    """Collect one run's points, keeping those of mapped keys; the latest record of a step counts."""

    name: str
    map: MetricMap
    aliases: tuple[str, ...] = ()
    folder: Path | None = None
    config: dict[str, float] = field(default_factory=dict)
    values: dict[str, dict[float, float]] = field(default_factory=dict)
    rules: dict[str, tuple[int, Rule, str] | None] = field(default_factory=dict)
    again: int = 0
    not_finite: int = 0

    def add(self, step: float, key: str, value: object) -> None:
        """Take one value; unmapped keys and values that are no numbers are counted, not kept."""
        if key not in self.rules:
            if len(self.rules) > MOST_POINTS // 20:
                raise SourceError(f"run {self.name!r} logs over {MOST_POINTS // 20:,} keys; that is no training log")
            self.rules[key] = self.map.of_log(key)
        found = self.rules[key]
        if found is None or found[1].role == "ignore":
            return
        read = number(value)
        if read is None:
            self.not_finite += 1
            return
        of_key = self.values.setdefault(key, {})
        scaled = read * found[1].scale
        self.again += step in of_key and of_key[step] != scaled
        of_key[step] = scaled

    def configure(self, key: str, value: object, depth: int = 0) -> None:
        """Take an entry of the run's configuration, those inside others under names joined by `/`."""
        if isinstance(value, dict) and depth < 8:
            for name, inner in value.items():
                self.configure(f"{key}/{name}", inner, depth + 1)
        elif (read := number(value)) is not None and len(self.config) < MOST_ENTRIES:
            self.config[key] = read

    def absorb(self, later: TrainingLog) -> None:
        """Take over what another log of the same run holds; it counts where both tell a step."""
        self.config.update(later.config)
        self.rules.update(later.rules)
        self.not_finite += later.not_finite
        self.again += later.again
        for key, values in later.values.items():
            mine = self.values.setdefault(key, {})
            self.again += sum(step in mine and mine[step] != value for step, value in values.items())
            mine.update(values)

    def of_role(self, role: str) -> dict[float, float]:
        """Give tokens or FLOP so far by step, of the key whose rule comes first."""
        keys = sorted((found[0], key) for key in self.values if (found := self.rules[key]) and found[1].role == role)
        return self.values[keys[0][1]] if keys else {}

    def metrics(self) -> dict[str, tuple[Rule, dict[float, float]]]:
        """Give the values of each metric by step, of the key whose rule comes first where several mean one metric."""
        chosen: dict[str, tuple[Rule, dict[float, float]]] = {}
        ranked = sorted((found[0], key) for key in self.values if (found := self.rules[key]))
        for _, key in ranked:
            found = self.rules[key]
            if found is not None and found[1].role == "metric":
                chosen.setdefault(label(found[2]), (found[1], self.values[key]))
        return chosen

    def unmapped(self) -> set[str]:
        """Name the keys that no rule fits."""
        return {label(key) for key, found in self.rules.items() if found is None}


@dataclass(frozen=True)
class _Clock:
    """Tell tokens at a step: as logged, in proportion where they are, or in a straight line between two records."""

    logged: dict[float, float]
    rate: float | None
    steps: list[float]

    @classmethod
    def of(cls, logged: Mapping[float, float], tokens_per_step: float | None) -> _Clock:
        known = {step: tokens for step, tokens in logged.items() if tokens > 0}
        rate = tokens_per_step
        if not known or rate is not None:
            return cls({}, rate, [])
        rates = [tokens / step for step, tokens in known.items() if step > 0]
        if rates and len(rates) == len(known) and max(rates) - min(rates) <= PROPORTIONAL * max(rates):
            last = max(known)
            rate = known[last] / last
        return cls(known, rate, sorted(known))

    def at(self, step: float) -> float | None:
        if step in self.logged:
            return self.logged[step]
        if self.rate is not None:
            return step * self.rate
        place = bisect.bisect(self.steps, step)
        if not 0 < place < len(self.steps):
            return None
        before, after = self.steps[place - 1], self.steps[place]
        share = (step - before) / (after - before)
        return self.logged[before] + share * (self.logged[after] - self.logged[before])


def observe(
    logs: Iterable[TrainingLog],
    table: RunTable,
    *,
    tokens_per_step: float | None = None,
    final_mean: int = 1,
    notes: Sequence[str] = (),
) -> Observations:
    """Turn training logs into observations, D read off the tokens that each run logged.

    N and D come from the run table, then the log, then the run's configuration and a config.json beside it. Raises
    SourceError, listing the runs, where N or D stays unknown, and where no key at all is mapped.
    """
    runs: list[Run] = []
    frames: list[pl.DataFrame] = []
    metrics: dict[str, Metric] = {}
    told = list(notes)
    no_N: list[str] = []
    no_D: list[str] = []
    unmapped: set[str] = set()
    points = empty = unread = 0
    for log in logs:
        unmapped |= log.unmapped()
        unread += log.not_finite
        chosen = log.metrics()
        if not chosen:
            empty += 1
            continue
        points += sum(len(values) for values in log.values.values())
        if points > MOST_POINTS:
            raise SourceError(f"over {MOST_POINTS:,} values are logged; read fewer runs at a time")
        said = table.of((log.name, *log.aliases)) or Described()
        N, N_total = _counts(log, said)
        rate = said.tokens_per_step or tokens_per_step or _of_config(log, log.map.counts.tokens_per_step)
        tokens = log.of_role("tokens")
        clock = _Clock.of(tokens, said.tokens_per_step or tokens_per_step or (None if tokens else rate))
        frame = _frame(log, chosen, clock, said, told)
        if N is None and N_total is None:
            no_N.append(log.name)
        if not len(frame):
            no_D.append(log.name)
        if not len(frame) or (N is None and N_total is None):
            continue
        end = frame.sort("D").row(-1, named=True)
        runs.append(
            Run(name=log.name, D=end["D"], C=end["C"], U=said.U, family=said.family, held_out=said.held_out,
                attributes=said.attributes, N=N, N_total=N_total)
        )  # fmt: skip
        frames.append(frame)
        for name, (rule, _) in chosen.items():
            metrics.setdefault(name, log.map.metric(name, rule))
        _tell(log, told)
    if no_N or no_D:
        raise ask_for(no_N, no_D)
    if unmapped:
        told.append(f"{len(unmapped)} keys are not in the metric map and were left out: {some(unmapped, SHOWN)}")
    if not runs and unread:
        raise SourceError(f"no value can be used: {unread} of keys in the metric map are no finite numbers")
    if not runs:
        raise SourceError(
            "no logged key is in the metric map"
            + (
                f"; found {some(unmapped, SHOWN)}: name them in a file for --map"
                if unmapped
                else ", nothing was logged"
            )
        )
    if empty:
        told.append(f"{empty} runs log nothing that the metric map knows; left out")
    law_N: Any = "N" if all(run.N is not None for run in runs) else "N_total"
    if law_N == "N_total" and (lacking := [run.name for run in runs if run.N_total is None]):
        raise SourceError(
            f"N is known for some runs and N_total for others; give {some(lacking)} an N_total, "
            "or all runs an N, in the table of --runs"
        )
    present = set().union(*(frame["metric"].unique() for frame in frames))
    return Observations.of(
        _named_apart(runs),
        pl.concat(frames, how="vertical_relaxed"),
        [metric for name, metric in metrics.items() if name in present],
        law_N=law_N,
        rows="final",
        final_mean=final_mean,
        notes=tuple(told),
    )


def _frame(
    log: TrainingLog,
    chosen: Mapping[str, tuple[Rule, dict[float, float]]],
    clock: _Clock,
    said: Described,
    told: list[str],
) -> pl.DataFrame:
    flops = log.of_role("flops")
    columns: dict[str, list[Any]] = {name: [] for name in ("D", "C", "step", "metric", "value")}
    unknown = zero = 0
    ends = {max(values, default=0.0) for _, values in chosen.values()}
    for name, (_, values) in chosen.items():
        for step, value in values.items():
            D = clock.at(step)
            if D is None and said.D is not None and step == max(ends):
                D = said.D
            if D is None or D <= 0:
                zero += step <= 0
                unknown += step > 0
                continue
            for column, entry in zip(columns.values(), (D, flops.get(step) or None, step, name, value), strict=True):
                column.append(entry)
    if zero:
        told.append(f"{log.name}: {zero} values at step 0 left out, no token had been seen")
    if unknown and columns["D"]:
        told.append(f"{log.name}: {unknown} values left out, the tokens at their steps are not known")
    types = {"D": pl.Float64, "C": pl.Float64, "step": pl.Float64, "metric": pl.String, "value": pl.Float64}
    return pl.DataFrame(columns, schema=types).with_columns(run=pl.lit(log.name))


def _counts(log: TrainingLog, said: Described) -> tuple[float | None, float | None]:
    """Give both counts of parameters: as the table says, else the configuration, else config.json."""
    N, N_total = said.N, said.N_total
    if N is None and N_total is None:
        N, N_total = _of_config(log, log.map.counts.N), _of_config(log, log.map.counts.N_total)
        size = read_model_size(log.folder) if log.folder is not None else None
        if size is not None:
            N, N_total = N or size.N, N_total or size.N_total
    return N, N_total


def _of_config(log: TrainingLog, names: Iterable[str]) -> float | None:
    """Find an entry of the configuration by its name, or as the one that ends in it."""
    for name in names:
        if log.config.get(name, 0.0) > 0:
            return log.config[name]
        inner = {value for key, value in log.config.items() if key.endswith("/" + name) and value > 0}
        if len(inner) == 1:
            return inner.pop()
    return None


def _tell(log: TrainingLog, told: list[str]) -> None:
    if log.again:
        told.append(f"{log.name}: {log.again} values were logged again at the same step; the later record counts")
    if log.not_finite:
        told.append(f"{log.name}: {log.not_finite} values are no finite numbers; left out")


def _named_apart(runs: list[Run]) -> list[Run]:
    names = [run.name for run in runs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(f"several runs are called {some(twice)}; read them apart, or rename their files")
    return runs
