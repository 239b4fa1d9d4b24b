"""A whole file: it bears its name only when all of it is on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EISDIR
from pathlib import Path
from uuid import uuid4


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a path to write to beside `path`, and put what was written there in its place; on an error nothing stays.

    Many writers may do so at once: the last to end is kept. Raises the OSError of whatever failed.
    """
    if not path.name or path.is_dir():
        raise IsADirectoryError(EISDIR, "it is a folder; name a file in it", str(path))
    part = path.with_name(f".{path.name}.{uuid4().hex[:12]}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
