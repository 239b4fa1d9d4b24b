"""Readers of others' formats: each turns files into Observations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from foretell.errors import UnknownName
from foretell.sources.gadre import read_gadre
from foretell.sources.mapping import ColumnMap
from foretell.sources.olmo_ladder import read_olmo_ladder
from foretell.sources.published import fetch_published
from foretell.sources.table import read_table
from foretell.table import Observations

SOURCES: dict[str, Callable[..., Observations]] = {
    "gadre": read_gadre,
    "olmo-ladder": read_olmo_ladder,
    "table": read_table,
}


def read(kind: str, path: str | Path, **options: Any) -> Observations:
    """Read files of a known kind; the options are those of its reader. Raises UnknownName for another kind."""
    if kind not in SOURCES:
        raise UnknownName("source", kind, SOURCES)
    return SOURCES[kind](path, **options)


__all__ = ["SOURCES", "ColumnMap", "fetch_published", "read", "read_gadre", "read_olmo_ladder", "read_table"]
