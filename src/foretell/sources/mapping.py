"""A column map: which column of a table is a run's name, N, D, a metric, a share."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from foretell.encoding import not_utf8
from foretell.errors import FormulaError, SourceError, UnknownName
from foretell.sources.columns import ColumnExpression, match_glob
from foretell.table import Metric, Unit, metric_named
from foretell.table.observations import RUN_COLUMNS, VALUE_COLUMNS, LawN, Rows


class ColumnMap(BaseModel):
    """Say what each column of a table is.

    `N`, `N_total`, `D`, `C`, `U`, `step` and the values of `attribute` and `weight` are expressions over columns;
    `run` lists the columns whose values name a run (none: each row is a run); `weights` is a glob. `metric` lists
    `NAME=EXPR`, `NAME=GLOB` or `GLOB`. `where` and `held_out` are SQL conditions over the columns. `unit`, `chance`
    and `items` describe metrics, by name or glob. `join` names a second file whose columns are added where those of
    `on` agree.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: tuple[str, ...] = ()
    N: str | None = None
    N_total: str | None = None
    D: str | None = None
    C: str | None = None
    U: str | None = None
    family: str | None = None
    step: str | None = None
    attribute: dict[str, str] = {}
    weight: dict[str, str] = {}
    weights: str | None = None
    metric: tuple[str, ...] = ()
    where: str | None = None
    held_out: str | None = None
    unit: dict[str, Unit] = {}
    chance: dict[str, float] = {}
    items: dict[str, int] = {}
    law_N: LawN | None = None
    rows: Rows | None = None
    final_mean: int = 1
    shared_loss: str | None = None
    replicates: bool = False
    join: str | None = None
    on: tuple[str, ...] = ()

    @field_validator("run", "metric", "on", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        if isinstance(value, str):
            return (value,)
        if isinstance(value, Mapping):
            return tuple(f"{name}={text}" for name, text in value.items())
        return value

    @field_validator("N", "N_total", "D", "C", "U", "step", mode="before")
    @classmethod
    def _number_as_text(cls, value: Any) -> Any:
        return repr(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @classmethod
    def of(cls, toml: str | Path | None = None, **given: Any) -> ColumnMap:
        """Make a map out of a TOML file (its table `columns`, or its top level) and what is given besides.

        What is given goes before the file: lists of metrics and named entries add to it, the rest replaces it.
        Raises SourceError for a file that cannot be read and values that do not fit, UnknownName for an unknown entry.
        """
        written = {} if toml is None else _read_toml(Path(toml))
        merged: dict[str, Any] = dict(written)
        for name, value in given.items():
            if value is None or (isinstance(value, str | Sequence | Mapping) and not value):
                continue
            before = written.get(name)
            if isinstance(value, Mapping) and isinstance(before, Mapping):
                merged[name] = {**before, **value}
            elif name == "metric" and before is not None:
                merged[name] = (*cls._one_or_many(before), *cls._one_or_many(value))
            else:
                merged[name] = value
        for name in merged:
            if name not in cls.model_fields:
                raise UnknownName("entry of a column map", name, cls.model_fields)
        try:
            return cls.model_validate(merged)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise SourceError(f"the column map's {place} does not fit: {first['msg']}") from None

    def checked(self) -> ColumnMap:
        """Refuse a map that lacks N, D or metrics, or misnames an attribute; give it back."""
        if self.N is None and self.N_total is None:
            raise SourceError("no column for N was named; say which holds the parameters, as in --N params")
        if self.D is None:
            raise SourceError("no column for D was named; say which holds the training tokens, as in --D tokens")
        if not self.metric:
            raise SourceError("no metric was named; say which column was measured, as in --metric c4/loss=loss")
        if self.law_N is not None and getattr(self, self.law_N) is None:
            raise SourceError(f"the laws cannot use {self.law_N}: no column for it was named")
        if self.join is not None and not self.on:
            raise SourceError("the columns that both files share were not named; give them, as in --on Model")
        taken = {*RUN_COLUMNS, *VALUE_COLUMNS, "M", "L"}
        for name in self.attribute:
            if name in taken or name.startswith("w_"):
                raise SourceError(f"an attribute may not be called {name!r}; that name is the table's own")
        return self

    def metric_expressions(self, columns: Sequence[str]) -> dict[str, ColumnExpression]:
        """Give each metric's expression over the columns; raises SourceError when a name comes twice."""
        found: dict[str, ColumnExpression] = {}
        for spec in self.metric:
            for name, expression in _metrics_of(spec, columns).items():
                if name in found:
                    raise SourceError(f"the metric {name!r} is named twice; give each column a metric of its own")
                found[name] = expression
        return found

    def weight_expressions(self, columns: Sequence[str]) -> dict[str, ColumnExpression]:
        """Give each share's expression over the columns, those of the glob named by what its star stands for."""
        found = {name: ColumnExpression.read(text, columns) for name, text in self.weight.items()}
        if self.weights is not None:
            matches = match_glob(self.weights, columns)
            if "*" not in self.weights or not matches:
                raise UnknownName("column (a glob such as 'w_*' is expected)", self.weights, columns)
            for column, stars in matches.items():
                name = "".join(stars)
                if name in found:
                    raise SourceError(f"the share {name!r} is named twice")
                found[name] = ColumnExpression.read(column, columns)
        return found

    def described(self, names: Sequence[str]) -> list[Metric]:
        """Describe the metrics of these names: unit, chance and items as given, by name or glob."""
        given: dict[str, dict[str, Any]] = {name: {} for name in names}
        for what, entries in (("unit", self.unit), ("chance", self.chance), ("items", self.items)):
            for glob, value in entries.items():
                matches = match_glob(glob, names)
                if not matches:
                    raise UnknownName("metric", glob, names)
                for name in matches:
                    given[name][what] = value
        try:
            return [metric_named(name, **described) for name, described in given.items()]
        except ValidationError as error:
            raise SourceError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


def _metrics_of(spec: str, columns: Sequence[str]) -> dict[str, ColumnExpression]:
    name, equals, text = spec.partition("=")
    if spec in columns or not equals:
        name, text = "", spec
    name, text = name.strip(), text.strip()
    if equals and not text:
        raise SourceError(f"the metric {spec!r} names no column; write NAME=COLUMN")
    try:
        expression = ColumnExpression.read(text, columns)
    except (FormulaError, UnknownName):
        if "*" not in text or "**" in text:
            raise
    else:
        if not name and text not in columns:
            raise SourceError(f"the metric {text!r} has no name; write NAME={text}")
        return {name or text: expression}
    matches = match_glob(text, columns)
    if not matches:
        raise UnknownName("column", text, columns)
    if name.count("*") > text.count("*"):
        raise SourceError(f"the metric {spec!r} has more stars in its name than in its columns")
    found: dict[str, ColumnExpression] = {}
    for column, stars in matches.items():
        found[_filled(name, stars, alone=len(matches) == 1) or column] = ColumnExpression.read(column, columns)
    if len(found) < len(matches):
        raise SourceError(f"the metric {spec!r} gives several columns one name; use its star in the name")
    return found


def _filled(name: str, stars: Sequence[str], *, alone: bool) -> str:
    if "*" in name:
        parts = name.split("*")
        return parts[0] + "".join(star + part for star, part in zip(stars, parts[1:], strict=False))
    return name if alone or not name else f"{''.join(stars)}/{name}"


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise SourceError(not_utf8(error, str(path))) from None
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SourceError(f"the column map {path} cannot be read: {error}") from None
    columns = content.get("columns", content)
    if not isinstance(columns, dict):
        raise SourceError(f"the column map {path} has no table [columns]")
    return columns
