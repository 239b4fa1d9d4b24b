"""A guard at the door: files of others are opened, decompressed and decoded here, within limits."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, BinaryIO

from foretell.encoding import IS_UTF_16, UTF_16, not_utf8
from foretell.errors import SourceError

MiB = 1 << 20
MOST_LINE = 16 * MiB  # the longest harness samples, of 32k-token contexts and ten choices, are near 2 MiB
MOST_DOCUMENT = 64 * MiB  # one JSON document read whole; Python holds up to 20 times that
MOST_RATIO = 100  # decompressed to compressed; measured: repetitive harness samples reach 25
FREE = 64 * MiB  # this much may come out of any compressed file before the ratio counts
MOST_FILES = 100_000
MOST_LABEL = 500
TOLD_EVERY = 4096  # lines: some hundredths of a second of harness samples

_TELL: ContextVar[Callable[[Path, int], None] | None] = ContextVar("tell", default=None)


@contextmanager
def telling(tell: Callable[[Path, int], None]) -> Iterator[None]:
    """Call `tell` with each file that is opened here meanwhile, and again as its lines are read: path, lines so far."""
    before = _TELL.set(tell)
    try:
        yield
    finally:
        _TELL.reset(before)


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Give each line of a text file with its number, from 1, decompressing .gz.

    Raises SourceError for a line over 16 MiB, a file that cannot be read, and one that grows over a hundredfold.
    """
    number = 0
    tell = _TELL.get()
    with opened(path) as stream:
        while True:
            try:
                line = stream.readline(MOST_LINE + 1)
            except (OSError, EOFError, zlib.error) as error:
                raise SourceError(f"{path} breaks off after line {number}: {_reason(error)}; fetch it anew") from None
            if not line:
                return
            number += 1
            if len(line) > MOST_LINE:
                raise SourceError(f"line {number} of {path} is longer than {MOST_LINE >> 20} MiB; it is no such log")
            if tell is not None and number % TOLD_EVERY == 0:
                tell(path, number)
            if number == 1:
                if line.startswith(UTF_16):
                    raise SourceError(f"{path} is {IS_UTF_16}")
                line = line.removeprefix(b"\xef\xbb\xbf")
            yield number, line


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Give each line as text; raises SourceError, naming the line, for bytes that are no UTF-8."""
    for number, line in lines(path):
        try:
            yield number, line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise SourceError(not_utf8(error, str(path), line=number)) from None


def whole_text(path: Path) -> str:
    """Read a whole text file of at most 64 MiB; raises SourceError, naming the line, for bytes that are no UTF-8."""
    try:
        return whole(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(not_utf8(error, str(path))) from None


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Give each object of a JSONL file with its line's number, leaving out empty lines."""
    for number, line in lines(path):
        if line.strip():
            value = parse_json(line, f"line {number} of {path}", line=number, file=path)
            if not isinstance(value, dict):
                raise SourceError(f"line {number} of {path} holds no JSON object but {type(value).__name__}")
            yield number, value


def json_document(path: Path) -> Any:
    """Read a whole JSON document of at most 64 MiB; raises SourceError, naming the line that is wrong."""
    return parse_json(whole(path), str(path), file=path)


def whole(path: Path) -> bytes:
    """Read a whole file of at most 64 MiB."""
    with opened(path) as stream:
        try:
            content = stream.read(MOST_DOCUMENT + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(f"{path} cannot be read: {_reason(error)}; fetch it anew") from None
    if len(content) > MOST_DOCUMENT:
        raise SourceError(f"{path} holds over {MOST_DOCUMENT >> 20} MiB, too much for one document of its kind")
    return content


def parse_json(content: bytes | str, place: str, *, line: int | None = None, file: Path | None = None) -> Any:
    """Parse JSON as data; `place` says where it stands, `line` and `file` where its bytes do.

    Raises SourceError for what is no JSON, or is nested too deep.
    """
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        at = f", line {error.lineno}" if error.lineno > 1 else ""
        raise SourceError(
            f"{place} is not JSON: {error.msg}{at} at column {error.colno}; it may be cut off: write it anew"
        ) from None
    except UnicodeDecodeError as error:
        raise SourceError(not_utf8(error, str(file or place), line=line)) from None
    except (RecursionError, ValueError) as error:
        raise SourceError(f"{place} is not JSON that can be read: {_reason(error)}") from None


def opened(path: Path) -> BinaryIO | gzip.GzipFile:
    """Open a file for reading bytes, decompressing .gz within limits; raises SourceError when that cannot be."""
    if (tell := _TELL.get()) is not None:
        tell(path, 0)
    try:
        if path.suffix == ".gz":
            return _Inflated(path)
        if path.suffix in (".zst", ".xz", ".bz2", ".zip"):
            raise SourceError(f"{path.name} is compressed in a way that is not read; decompress it, or use .gz")
        return path.open("rb")
    except OSError as error:
        raise SourceError(f"{path} cannot be opened: {_reason(error)}") from None


class _Inflated(gzip.GzipFile):
    """Decompress a file, and stop when what comes out is out of all proportion."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "rb")
        self._path = path
        self._allowed = max(FREE, MOST_RATIO * path.stat().st_size)
        self._out = 0

    def read(self, size: int | None = -1) -> bytes:
        asked = self._allowed - self._out + 1 if size is None or size < 0 else size
        return self._counted(super().read(min(asked, self._allowed - self._out + 1)))

    def read1(self, size: int = -1) -> bytes:
        return self._counted(super().read1(size))

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readline(self, size: int | None = -1) -> bytes:
        return self._counted(super().readline(-1 if size is None else size))

    def _counted(self, data: bytes) -> bytes:
        self._out += len(data)
        if self._out > self._allowed:
            raise SourceError(
                f"{self._path} grows over {MOST_RATIO} times when decompressed; if that is meant, decompress it first"
            )
        return data


def found_files(path: Path, patterns: Iterable[str], what: str) -> list[Path]:
    """Give the file itself, or the files below a folder whose names fit a pattern, in order of their paths.

    Raises SourceError when the path does not exist, nothing below fits, or over 100,000 files lie there.
    """
    patterns = tuple(patterns)
    try:
        if path.is_file():
            return [path]
        if not path.is_dir():
            raise SourceError(f"{path} does not exist; give {what}")
        chosen: list[Path] = []
        for count, file in enumerate(path.rglob("*")):
            if count >= MOST_FILES:
                raise SourceError(f"{path} holds over {MOST_FILES:,} files; name the folder that is meant")
            if any(fnmatchcase(file.name, pattern) for pattern in patterns) and file.is_file():
                chosen.append(file)
    except (OSError, ValueError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{path} cannot be searched: {_reason(error)}") from None
    if not chosen:
        raise SourceError(f"{path} holds no {' or '.join(patterns)}; give {what}")
    return sorted(chosen)


def number(value: object) -> float | None:
    """Give a finite number, also one written as text; None for anything else, such as "N/A" or nan."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        read = float(value)
    except (ValueError, OverflowError):
        return None
    return read if math.isfinite(read) else None


def label(value: object) -> str:
    """Give a name that is safe to store and print: UTF-8, no control characters, at most 500 long."""
    text = str(value)[:MOST_LABEL].encode("utf-8", "replace").decode("utf-8")
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text).strip()


def mapping(value: object) -> dict[str, Any]:
    """Give an object of JSON, or an empty one where something else stands."""
    return value if isinstance(value, dict) else {}


def some(names: Iterable[str], shown: int = 12) -> str:
    """List names, at most so many of them, and count the rest."""
    ordered = sorted(names)
    return ", ".join(ordered[:shown]) + (f" and {len(ordered) - shown} more" if len(ordered) > shown else "")


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).splitlines() or [type(error).__name__])[0]
