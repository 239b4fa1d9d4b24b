"""Texts: the documents of plain text, JSON lines or Parquet, one after another."""

from __future__ import annotations

import glob
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from foretell.encoding import not_utf8
from foretell.errors import CorpusError

JSON_LINES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson", ".ndjson.gz", ".ndjson.zst", ".json.gz")
PARQUET = (".parquet",)
LARGEST_UNPACKED = 1 << 30  # bytes of one document: it is held in memory whole


@dataclass
class Skipped:
    """Count the documents that were left out, and remember one of each kind."""

    empty: int = 0
    binary: int = 0
    repeated: int = 0
    first: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, place: str) -> None:
        """Count one more."""
        setattr(self, kind, getattr(self, kind) + 1)
        self.first.setdefault(kind, place)

    def words(self) -> list[str]:
        """Say what was left out, one sentence a kind."""
        return [
            f"{count} {kind} document{'s' if count > 1 else ''} left out (first: {self.first[kind]})"
            for kind in ("empty", "binary", "repeated")
            if (count := getattr(self, kind))
        ]


def files_of(place: str) -> list[Path]:
    """List the files of a path, a folder (all below it) or a pattern with `*`, in order of name.

    Raises CorpusError when there is none.
    """
    path = Path(place)
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.is_file())
    elif path.is_file():
        found = [path]
    else:
        found = sorted(p for p in map(Path, glob.glob(place, recursive=True)) if p.is_file())
    if not found:
        raise CorpusError(f"there is no text at {place}; give a file, a folder, or a pattern such as 'texts/**/*.txt'")
    return found


def texts_of(path: Path, column: str, longest: int | None, skipped: Skipped) -> Iterator[str]:
    """Give the documents of one file: the rows of JSON lines or Parquet, otherwise the file itself.

    A document of more than `longest` bytes is cut between paragraphs, else lines. Empty documents, and those that are
    no text (a NUL byte, or not UTF-8), are left out and counted. Raises CorpusError for a row without `column` or a
    file cut short, with its line.
    """
    for place, text in _raw(path, column):
        if text is None or "\x00" in text:
            skipped.add("binary", place)
        elif not text.strip():
            skipped.add("empty", place)
        elif longest is None or len(text) <= longest // 4 or len(text.encode("utf-8", "surrogatepass")) <= longest:
            yield text
        else:
            yield from cut(text, longest)


def cut(text: str, longest: int) -> Iterator[str]:
    """Cut a text into pieces of at most `longest` bytes: between paragraphs, else lines, else characters."""
    piece: list[str] = []
    size = 0
    for part in _parts(text, longest, ("\n\n", "\n")):
        bytes_of_part = len(part.encode("utf-8"))
        if piece and size + bytes_of_part > longest:
            yield "".join(piece)
            piece, size = [], 0
        piece.append(part)
        size += bytes_of_part
    if "".join(piece).strip():
        yield "".join(piece)


def _parts(text: str, longest: int, separators: tuple[str, ...]) -> Iterator[str]:
    if len(text.encode("utf-8")) <= longest:
        yield text
    elif not separators:
        step = max(1, longest // 4)  # a character has at most four bytes
        yield from (text[i : i + step] for i in range(0, len(text), step))
    else:
        parts = text.split(separators[0])
        for i, part in enumerate(parts):
            whole = part + (separators[0] if i + 1 < len(parts) else "")
            if whole:
                yield from _parts(whole, longest, separators[1:])


def _raw(path: Path, column: str) -> Iterator[tuple[str, str | None]]:
    name = path.name.lower()
    if name.endswith(PARQUET):
        yield from _parquet(path, column)
    elif name.endswith(JSON_LINES):
        yield from _json_lines(path, column)
    else:
        try:
            yield str(path), _whole(path).decode("utf-8-sig")
        except UnicodeDecodeError:
            yield str(path), None


def _whole(path: Path) -> bytes:
    try:
        if path.suffix not in (".gz", ".dz"):
            return path.read_bytes()
        with gzip.open(path) as file:
            raw = file.read(LARGEST_UNPACKED + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise CorpusError(f"{path} cannot be read: {error}; is it cut short?") from None
    if len(raw) > LARGEST_UNPACKED:
        raise CorpusError(
            f"{path} unpacks to more than {LARGEST_UNPACKED >> 20} MiB as one document; unpack it yourself"
        )
    return raw


def _parquet(path: Path, column: str) -> Iterator[tuple[str, str | None]]:
    import polars as pl

    try:
        frame = pl.scan_parquet(path)
        names = frame.collect_schema().names()
        if column not in names:
            raise CorpusError(f"{path} has no column {column!r}; it has {', '.join(names)}; give --column")
        row = 0
        for batch in frame.select(column).collect_batches(chunk_size=10_000):
            for text in batch[column]:
                row += 1
                yield f"{path}, row {row}", text if isinstance(text, str) else None
    except pl.exceptions.PolarsError as error:
        raise CorpusError(f"{path} is no readable Parquet: {str(error).splitlines()[0]}") from None


def _json_lines(path: Path, column: str) -> Iterator[tuple[str, str | None]]:
    number = 0
    try:
        with _opened(path) as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                row = json.loads(line.decode("utf-8"))
                if not isinstance(row, dict) or column not in row:
                    held = ", ".join(list(row)[:8]) if isinstance(row, dict) else type(row).__name__
                    raise CorpusError(f"line {number} of {path} has no {column!r}; it has {held}; give --column")
                yield f"{path}, line {number}", row[column] if isinstance(row[column], str) else None
    except UnicodeDecodeError as error:
        raise CorpusError(not_utf8(error, str(path), line=number)) from None
    except (OSError, EOFError, ValueError) as error:
        if isinstance(error, CorpusError):
            raise
        raise CorpusError(f"{path} cannot be read after line {number}: {error}; is it cut short?") from None


def _opened(path: Path) -> IO[bytes] | gzip.GzipFile:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")
    if path.suffix == ".zst":
        try:
            import zstandard
        except ImportError:
            raise CorpusError(f"{path} needs the package zstandard: pip install 'foretell[train]'") from None
        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(path.open("rb")))
    return path.open("rb")
