"""A data file: one CSV, Parquet or JSONL table on disk."""

from __future__ import annotations

import csv
import io
import re
import zlib
from pathlib import Path
from typing import Any

import polars as pl

from foretell.errors import SourceError
from foretell.sources.guard import json_lines, lines, opened, text_lines

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
    if ending in (".csv", ".csv.gz", ".tsv"):
        _refuse_ragged(file, ending)
    try:
        if ending == ".parquet":
            frame = pl.read_parquet(file)
        elif ending in (".jsonl", ".ndjson"):
            frame = pl.read_ndjson(file, infer_schema_length=None)
        else:
            frame = pl.read_csv(file, infer_schema_length=None, separator="\t" if ending == ".tsv" else ",")
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        if ending in (".jsonl", ".ndjson"):
            for _ in json_lines(file):  # names the line, which polars does not
                pass
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


def _refuse_ragged(file: Path, ending: str) -> None:
    """Refuse a row of another length than the first, naming its line: polars fills it up in silence.

    Raises SourceError also for what is not UTF-8, and for gzip that grows out of all proportion.
    """
    source: Any = opened(file)
    stream = io.TextIOWrapper(source, encoding="utf-8-sig", newline="")
    try:
        with stream:
            reader = csv.reader(stream, delimiter="\t" if ending == ".tsv" else ",")
            wide = len(next(reader, []))
            for cells in reader:
                if cells and len(cells) != wide:
                    cause = "it may be cut off" if len(cells) < wide else "a cell with a comma wants quotes"
                    raise SourceError(
                        f"line {reader.line_num} of {file} has {len(cells)} cells, the first line {wide}; {cause}"
                    )
    except UnicodeDecodeError:
        for _ in text_lines(file):  # slower, and names the line
            pass
    except csv.Error:  # a cell that is longer than this module reads; polars judges those
        for _ in lines(file):  # to its end, so that no gzip bomb gets past
            pass
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{file} cannot be read: {str(error) or type(error).__name__}; fetch it anew") from None


def stem(path: str | Path) -> str:
    """Give the file's name without its ending: `runs` for `data/runs.csv.gz`."""
    return re.sub(r"(\.csv)?\.[^.]+$", "", Path(path).name)
