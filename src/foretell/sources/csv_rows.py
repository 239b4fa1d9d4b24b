"""Rows of a CSV file that is read as a stream, each with its line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from foretell.errors import SourceError
from foretell.sources.guard import label, text_lines

MOST_COLUMNS = 20_000


def csv_rows(file: Path) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """Give the first line's names, and an iterator over rows by name, each with the line it ends on.

    Raises SourceError, naming the line, for names that repeat, a row of another length, and what is no CSV.
    """
    reader = csv.reader((line for _, line in text_lines(file)), strict=True)
    try:
        names = next(reader, [])
    except csv.Error as error:
        raise SourceError(f"line 1 of {file} is no CSV: {error}") from None
    if not names or not any(name.strip() for name in names):
        raise SourceError(f"{file} has no first line of column names")
    if len(names) > MOST_COLUMNS:
        raise SourceError(f"{file} has over {MOST_COLUMNS:,} columns; that is no training log")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SourceError(f"{file} has two columns called {label(twice)!r}; give each a name of its own")
    return names, _rows(reader, names, file)


def _rows(reader: Iterator[list[str]], names: list[str], file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    count = getattr(reader, "line_num", 1)
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise SourceError(f"line {getattr(reader, 'line_num', count)} of {file} is no CSV: {error}") from None
        if cells is None:
            return
        count = getattr(reader, "line_num", count)
        if not cells:
            continue
        if len(cells) != len(names):
            raise SourceError(
                f"line {count} of {file} has {len(cells)} cells, the first line {len(names)}; it may be cut off"
            )
        yield count, {name: cell.strip() for name, cell in zip(names, cells, strict=True)}
