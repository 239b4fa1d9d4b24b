"""The folder where derived and compiled laws are kept between runs."""

from __future__ import annotations

import os
import tempfile
from functools import lru_cache
from pathlib import Path

import platformdirs

VARIABLE = "FORETELL_CACHE"


@lru_cache(maxsize=1)
def cache_folder() -> Path:
    """Give a writable folder for derived code and kernels: `FORETELL_CACHE`, the user's cache, or a temporary one."""
    named = os.environ.get(VARIABLE)
    places = [Path(named)] if named else [Path(platformdirs.user_cache_dir("foretell")) / "laws"]
    places.append(Path(tempfile.gettempdir()) / f"foretell-{os.getuid() if hasattr(os, 'getuid') else 'user'}")
    for place in places:
        try:
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=place):
                return place
        except OSError:
            continue
    return Path(tempfile.mkdtemp(prefix="foretell-"))


def write_whole(path: Path, content: bytes) -> None:
    """Put a file in place at once, so that no reader ever sees half of it."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    os.replace(temporary, path)
