"""A data file: one CSV, Parquet or JSONL table on disk."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl

from foretell.errors import SourceError

ENDINGS = (".csv", ".csv.gz", ".tsv", ".parquet", ".jsonl", ".ndjson")


def read_frame(path: str | Path) -> pl.DataFrame:
    """Read a whole table, its type told by the file's ending, an empty cell as null.

    Raises SourceError when the file is absent, of another type, cannot be read, has no rows or names a column twice.
    """
    file = Path(path)
    if not file.is_file():
        what = "is a folder" if file.is_dir() else "does not exist"
        raise SourceError(f"{file} {what}; give one file that ends in {', '.join(ENDINGS)}")
    ending = next((ending for ending in ENDINGS if file.name.lower().endswith(ending)), None)
    if ending is None:
        raise SourceError(f"{file.name} is of no known type; files that can be read end in {', '.join(ENDINGS)}")
    try:
        if ending == ".parquet":
            frame = pl.read_parquet(file)
        elif ending in (".jsonl", ".ndjson"):
            frame = pl.read_ndjson(file, infer_schema_length=None)
        else:
            frame = pl.read_csv(file, infer_schema_length=None, separator="\t" if ending == ".tsv" else ",")
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        hint = "; JSON has no NaN: leave a hole out, or null" if ending in (".jsonl", ".ndjson") else ""
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SourceError(f"{file} cannot be read as {ending[1:]}: {reason}{hint}") from None
    if ending in (".csv", ".csv.gz", ".tsv"):
        for name in frame.columns:
            twin = re.fullmatch(r"(.*)_duplicated_\d+", name)
            if twin and twin[1] in frame.columns:
                raise SourceError(f"{file} has two columns called {twin[1]!r}; give each a name of its own")
    if not len(frame):
        raise SourceError(f"{file} holds no rows")
    return frame


def stem(path: str | Path) -> str:
    """Give the file's name without its ending: `runs` for `data/runs.csv.gz`."""
    return re.sub(r"(\.csv)?\.[^.]+$", "", Path(path).name)
