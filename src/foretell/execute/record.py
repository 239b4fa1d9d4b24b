"""The record of a job: the files in its folder through which it and its worker speak."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretell.errors import ExecuteError
from foretell.execute.job import Job

ORDER, RESULT, ERROR = "job.json", "result.json", "error.json"


@dataclass(frozen=True)
class Outcome:
    """Tell what a worker left: what the function returned, or the message of what it raised."""

    result: Any = None
    error: str | None = None


def write_order(place: Path, job: Job) -> None:
    """Write what a worker is to do into a job's folder, and forget an error of an earlier run."""
    place.mkdir(parents=True, exist_ok=True)
    (place / ERROR).unlink(missing_ok=True)
    write_json(
        place / ORDER,
        {"call": job.call, "arguments": dict(job.arguments), "digest": job.digest, "folder": str(Path.cwd())},
    )


def read_outcome(place: Path, digest: str) -> Outcome | None:
    """Read what a worker left for the job of this digest, if it left anything."""
    with suppress(OSError):
        os.listdir(place)  # makes a network file system look again
    result = read_json(place / RESULT)
    if result is not None and result.get("digest") == digest:
        return Outcome(result=result.get("result"))
    error = read_json(place / ERROR)
    if error is not None and error.get("digest") == digest:
        return Outcome(error=str(error.get("error")))
    return None


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file that is there whole or not at all."""
    text = json.dumps(content, allow_nan=False)
    number, part = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(number)
        os.chmod(part, 0o644)
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a file that `write_json` made; None where there is none, or it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold a lock on a file as long as the process lives; give whether nobody else does.

    A file system without locks gives True: there the caller is trusted.
    """
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:
            pass
        yield True


def make_folder(folder: Path) -> Path:
    """Make the folder of all jobs; raise ExecuteError where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExecuteError(f"the folder {folder} cannot be made: {error.strerror or error}") from None
    return folder.resolve()
