"""An expression over a table's columns: a column's name, or arithmetic over such names."""

from __future__ import annotations

import difflib
import keyword
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.conditions import read_condition
from foretell.errors import FormulaError, TableError, UnknownName
from foretell.laws.formula import FUNCTIONS, Formula

Array = NDArray[np.float64]

ROW = "row of the file"  # the column that keeps each row's number, from 1, through filters

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_SQL_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_QUOTED = r"`(?P<tick>[^`]+)`|\"(?P<quote>[^\"]+)\""


@dataclass(frozen=True)
class ColumnExpression:
    """Hold arithmetic over columns: a formula over stand-in names, and the column behind each.

    Make one with `ColumnExpression.read`.
    """

    text: str
    formula: Formula
    columns: Mapping[str, str]

    @classmethod
    def read(cls, text: str, columns: Sequence[str]) -> ColumnExpression:
        """Read an expression over the given columns.

        A text that is a column's name is that column. In other texts a name in backticks or double quotes is a
        column; so is every plain name, and every odd one (`Model Size (B)`, `acc|norm`), longest first, unless
        it reads as arithmetic over other columns, as `D/N` does. Raises UnknownName for a column that is
        not there and FormulaError for what is no arithmetic.
        """
        text = text.strip()
        if text in columns:
            return cls(text, Formula("column"), {"column": text})
        direct = _formula(text)
        if direct is not None and all(name in columns for name in direct.names):
            return cls(text, direct, {name: name for name in direct.names})
        prefix = "column"
        while any(prefix in name for name in (text, *columns)):
            prefix += "_"
        words: dict[str, str] = {}

        def stand_in(name: str) -> str:
            if name not in columns:
                raise UnknownName("column", name, columns)
            return words.setdefault(name, f"{prefix}{len(words)}")

        odd = [name for name in columns if not _PLAIN.fullmatch(name) or keyword.iskeyword(name)]
        written = _write_names(text, columns, odd, stand_in, skip=())
        try:
            formula = Formula(written)
        except FormulaError as error:
            if not words and difflib.get_close_matches(text, columns, n=1, cutoff=0.6):
                raise UnknownName("column", text, columns) from None
            message = str(error).replace(repr(written), repr(text))
            for name, word in words.items():
                message = message.replace(word, name)
            raise FormulaError(message) from None
        stands_for = {word: name for name, word in words.items()}
        for name in formula.names:
            if name not in stands_for and name not in columns:
                raise UnknownName("column", name, columns)
        return cls(text, formula, {name: stands_for.get(name, name) for name in formula.names})

    def evaluate(self, frame: pl.DataFrame) -> Array:
        """Compute the expression for each row: (n,) values, nan where a cell that it needs is empty.

        Raises TableError, naming column and row, for a cell that is no number or is written nan or inf, and where
        the arithmetic itself has no finite result.
        """
        values = {word: numbers(frame, name) for word, name in self.columns.items()}
        result = np.broadcast_to(self.formula.evaluate(values), (len(frame),)).copy()
        holes = np.zeros(len(frame), dtype=bool)
        for column in values.values():
            holes |= np.isnan(column)
        result[holes] = math.nan
        bad = np.flatnonzero(~np.isfinite(result) & ~holes)
        if len(bad):
            raise TableError(
                f"{self.text!r} has no finite value in {len(bad)} rows (first: row {frame[ROW][int(bad[0])]}); "
                "mend those cells, or leave them empty"
            )
        return result


def numbers(frame: pl.DataFrame, column: str) -> Array:
    """Give a column as float64, nan where the cell is empty.

    Raises TableError, naming column and row, for a cell that is no number, or is written as nan or inf.
    """
    series = frame[column]
    if series.dtype == pl.String:
        stripped = series.str.strip_chars()
        stripped = stripped.set(stripped == "", None)
        read = stripped.cast(pl.Float64, strict=False)
        odd = np.flatnonzero((read.is_null() & stripped.is_not_null()).to_numpy())
        if len(odd):
            first = int(odd[0])
            raise TableError(
                f"column {column!r} holds {series[first]!r} in row {frame[ROW][first]}, which is no number; "
                "leave a hole empty"
            )
    else:
        try:
            read = series.cast(pl.Float64)
        except pl.exceptions.PolarsError:
            raise TableError(f"column {column!r} holds {series.dtype}, not numbers") from None
    bad = np.flatnonzero((read.is_not_null() & ~read.is_finite().fill_null(value=False)).to_numpy())
    if len(bad):
        first = int(bad[0])
        raise TableError(
            f"column {column!r} is {read[first]} in row {frame[ROW][first]} ({len(bad)} such cells); "
            "a written nan or inf is an error: leave a hole empty"
        )
    return read.fill_null(math.nan).to_numpy()


def labels(frame: pl.DataFrame, column: str) -> pl.Series:
    """Give a column as text: whole numbers without a point, an empty cell as an empty text."""
    if column not in frame.columns:
        raise UnknownName("column", column, [name for name in frame.columns if name != ROW])
    series = frame[column]
    if series.dtype.is_numeric():
        texts = ["" if value is None else f"{value:.15g}" for value in series.cast(pl.Float64)]
        return pl.Series(column, texts, dtype=pl.String)
    return series.cast(pl.String).fill_null("")


def matching(frame: pl.DataFrame, condition: str) -> pl.Series:
    """Say for each row whether an SQL condition over the columns holds; an unknown truth counts as false.

    Odd column names may be written bare, in double quotes or in backticks. Raises UnknownName for a column
    that is not there, TableError for a condition that cannot be read.
    """
    columns = [name for name in frame.columns if name != ROW]
    odd = [name for name in columns if not _SQL_PLAIN.fullmatch(name)]
    quoted = _write_names(
        condition, columns, odd, lambda name: '"' + name.replace('"', '""') + '"', skip=(r"'(?:[^']|'')*'",)
    )
    try:
        predicate = read_condition(quoted)
        for name in predicate.meta.root_names():
            if name not in columns:
                raise UnknownName("column", name, columns)
        mask = frame.select(predicate.alias("mask"))["mask"]
        if mask.dtype != pl.Boolean:
            raise TableError(f"the condition {condition!r} is neither true nor false; write one such as N <= 1e9")
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        if isinstance(error, TableError):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise TableError(f"the condition {condition!r} cannot be used: {reason}") from None
    return mask.fill_null(value=False) if len(mask) == len(frame) else pl.repeat(mask[0], len(frame), eager=True)


def match_glob(glob: str, columns: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Give the columns that a glob (`acc_*`) matches, each with what its stars stand for."""
    pattern = re.compile("(.*)".join(re.escape(part) for part in glob.split("*")))
    return {name: match.groups() for name in columns if (match := pattern.fullmatch(name))}


def _write_names(
    text: str, columns: Sequence[str], odd: Sequence[str], write: Callable[[str], str], skip: Sequence[str]
) -> str:
    """Put quoted names and odd names into another writing, leaving alone what `skip` matches."""
    parts = [f"(?P<skip>{'|'.join(skip)})"] if skip else []
    parts.append(_QUOTED)
    bare = [name for name in odd if name not in FUNCTIONS and not _reads_as_arithmetic(name, columns)]
    if bare:
        parts.append("(?P<bare>" + "|".join(_bounded(name) for name in sorted(bare, key=lambda n: (-len(n), n))) + ")")

    def written(match: re.Match[str]) -> str:
        found = match.groupdict()
        if found.get("skip"):
            return match[0]
        return write(found["tick"] or found["quote"] or found["bare"])

    return re.sub("|".join(parts), written, text)


def _bounded(name: str) -> str:
    before = r"(?<![A-Za-z0-9_])" if re.match(r"\w", name) else ""
    after = r"(?![A-Za-z0-9_])" if re.search(r"\w$", name) else ""
    return before + re.escape(name) + after


def _reads_as_arithmetic(name: str, columns: Sequence[str]) -> bool:
    formula = _formula(name)
    return formula is not None and all(part in columns for part in formula.names)


def _formula(text: str) -> Formula | None:
    try:
        return Formula(text)
    except FormulaError:
        return None
