"""A metric map: what the names that other tools write mean, as a readable TOML file says."""

from __future__ import annotations

import re
import tomllib
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from foretell.errors import SourceError
from foretell.sources.guard import MOST_LABEL, whole_text
from foretell.table import Metric, Unit

Role = Literal["metric", "tokens", "flops", "ignore"]
SHIPPED = Path(__file__).with_name("metric_map.toml")

_HOLE = re.compile(r"\{([A-Za-z_]\w*)\}|(\*)")


class Rule(BaseModel):
    """Say what keys of one pattern mean: a metric with its unit, tokens or FLOP so far, or nothing of use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    metric: str | None = None
    role: Role = "metric"
    unit: Unit = "value"
    better: Literal["lower", "higher"] | None = None
    scale: float = 1.0
    guess: bool = False

    @model_validator(mode="after")
    def _names_what_it_keeps(self) -> Rule:
        known = {hole for hole, _ in _HOLE.findall(self.key) if hole}
        for hole, _ in _HOLE.findall(self.metric or ""):
            if hole not in known:
                raise ValueError(f"{self.metric!r} uses {{{hole}}}, which the key {self.key!r} does not have")
        if len(_HOLE.findall(self.key)) > 4:
            raise ValueError(f"the key {self.key!r} has over four holes")
        return self

    @property
    def pattern(self) -> re.Pattern[str]:
        """Compile the key: `{name}` keeps any text, `*` skips any."""
        return _compiled(self.key)

    def named(self, key: str) -> str | None:
        """Give our name for a key that fits, the key's own where the rule gives none; None when it does not fit."""
        match = self.pattern.fullmatch(key)
        if match is None:
            return None
        return key if self.metric is None else _HOLE.sub(lambda hole: match.groupdict().get(hole[1], ""), self.metric)


class Counts(BaseModel):
    """List the entries of a run's configuration that hold its counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    N: tuple[str, ...] = ()
    N_total: tuple[str, ...] = ()
    tokens_per_step: tuple[str, ...] = ()


class MetricMap(BaseModel):
    """Hold the rules for keys of logs and for measures of harnesses, chance levels, and entries that hold counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    log: tuple[Rule, ...] = ()
    measure: tuple[Rule, ...] = ()
    chance: dict[str, float] = {}
    counts: Counts = Counts()

    @classmethod
    def read(cls, own: str | Path | None = None) -> MetricMap:
        """Read the map that ships, the rules of the user's own file before it.

        Raises SourceError, naming the entry, for a file that cannot be read or an entry that does not fit.
        """
        shipped = _shipped()
        if own is None:
            return shipped
        mine = cls._of(Path(own))
        return cls(
            log=mine.log + shipped.log,
            measure=mine.measure + shipped.measure,
            chance={
                **mine.chance,
                **{task: share for task, share in shipped.chance.items() if task not in mine.chance},
            },
            counts=Counts(
                N=mine.counts.N + shipped.counts.N,
                N_total=mine.counts.N_total + shipped.counts.N_total,
                tokens_per_step=mine.counts.tokens_per_step + shipped.counts.tokens_per_step,
            ),
        )

    @classmethod
    def _of(cls, path: Path) -> MetricMap:
        try:
            return cls.model_validate(tomllib.loads(whole_text(path)))
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise SourceError(f"the metric map {path} cannot be read: {error}") from None
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise SourceError(f"the metric map {path} does not fit at {place}: {first['msg']}") from None

    def of_log(self, key: str) -> tuple[int, Rule, str] | None:
        """Find the first rule that fits a log's key, with its rank and our name; None when no rule does."""
        return _first(self.log, key)

    def of_measure(self, key: str) -> tuple[int, Rule, str] | None:
        """Find the first rule that fits a harness's measure, with its rank and our word for it."""
        return _first(self.measure, key)

    def guess(self, task: str) -> float | None:
        """Give what a guess scores on a task, where the map tells."""
        return next((share for key, share in self.chance.items() if _compiled(key).fullmatch(task)), None)

    def metric(self, name: str, rule: Rule, *, chance: float | None = None, items: int | None = None) -> Metric:
        """Describe a metric of ours as a rule says; chance is looked up by task where the rule asks for a guess."""
        if rule.guess and chance is None:
            chance = self.guess(name.rpartition("/")[0])
        better: Any = rule.better or ("higher" if rule.unit == "accuracy" else "lower")
        return Metric(name=name, unit=rule.unit, better=better, chance=chance if rule.guess else None, items=items)


def _first(rules: tuple[Rule, ...], key: str) -> tuple[int, Rule, str] | None:
    if len(key) > MOST_LABEL:
        return None
    for rank, rule in enumerate(rules):
        if (name := rule.named(key)) is not None:
            return rank, rule, name
    return None


@cache
def _shipped() -> MetricMap:
    return MetricMap._of(SHIPPED)


@lru_cache(maxsize=4096)
def _compiled(key: str) -> re.Pattern[str]:
    parts: list[str] = []
    end = 0
    seen: set[str] = set()
    for hole in _HOLE.finditer(key):
        parts.append(re.escape(key[end : hole.start()]))
        name = hole[1]
        if not name:
            parts.append(".*")
        elif name in seen:
            parts.append(f"(?P={name})")
        else:
            seen.add(name)
            parts.append(f"(?P<{name}>.+)")
        end = hole.end()
    return re.compile("".join(parts) + re.escape(key[end:]), re.DOTALL)
