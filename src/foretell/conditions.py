"""An SQL condition over columns: read as an expression that reaches no file."""

from __future__ import annotations

import re

import polars as pl

from foretell.errors import TableError

_TEXT = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`")
_QUERY = re.compile(r"\bselect\b|\(\s*(?:from|table|values|with)\b|/\*|--", re.IGNORECASE)


def read_condition(condition: str) -> pl.Expr:
    """Read an SQL condition; raises TableError for a query within it, whose table functions would open files."""
    if _QUERY.search(_TEXT.sub("''", condition)):
        raise TableError(
            f"the condition {condition!r} holds a query; write one over the columns alone, such as N <= 1e9"
        )
    return pl.sql_expr(condition)
