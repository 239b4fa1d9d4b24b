"""Published tables: public files fetched once, by pinned address and sha256, into the user's cache."""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache as once
from importlib.resources import files as packaged
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import quote

from foretell.errors import SourceError, UnknownName

ADDRESS = "https://raw.githubusercontent.com"
AT_A_TIME = 8  # downloads; a set of two hundred small files would otherwise wait for the network at each


@dataclass(frozen=True)
class PublishedSet:
    """Describe a public set of files: where it lies, what its files hash to, and how they are read.

    `files` holds paths below the folder `below` of the repository `origin`, with their sha256. `reader` is the kind of
    reader; for a table, `table` is its path and `columns` its column map.
    """

    name: str
    about: str
    origin: str
    commit: str
    below: str
    licence: str
    citation: str
    reader: Literal["gadre", "olmo-ladder", "table"]
    files: dict[str, str]
    notes: tuple[str, ...] = ()
    table: str | None = None
    columns: dict[str, Any] = field(default_factory=dict)

    @property
    def base_url(self) -> str:
        """Give the address below which the files lie."""
        return f"{ADDRESS}/{self.origin}/{self.commit}/{self.below}/"

    def place(self, folder: Path, path: str) -> Path | None:
        """Find a file in a folder that is laid out as the repository, or as any folder of it."""
        parts = PurePosixPath(self.below, path).parts
        places = (folder.joinpath(*parts[start:]) for start in range(len(parts)))
        return next((place for place in places if place.is_file()), None)


@once
def published_sets() -> dict[str, PublishedSet]:
    """Give the published sets that this version pins, by name; each is a TOML file that ships."""
    found: dict[str, PublishedSet] = {}
    for file in sorted((packaged("foretell") / "shipped" / "published").iterdir(), key=lambda file: file.name):
        name = file.name.removesuffix(".toml")
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        found[name] = PublishedSet(name=name, **{**content, "notes": tuple(content.get("notes", ()))})
    return found


def published_set(name: str) -> PublishedSet:
    """Give a published set by name; raises UnknownName, with those that are known."""
    sets = published_sets()
    if name not in sets:
        raise UnknownName("published set", name, sets)
    return sets[name]


def fetch_published(
    name: str, *, folder: str | Path | None = None, cache: str | Path | None = None, base_url: str | None = None
) -> Path:
    """Give the folder that holds a published set, every file checked against its sha256.

    Taken from `folder` if given, else from FORETELL_TESTBEDS if that is set, else from the cache, downloading what is
    not there. Raises UnknownName for an unknown set, SourceError when a file is missing, differs or cannot be fetched.
    """
    published = published_set(name)
    testbeds = os.environ.get("FORETELL_TESTBEDS")
    if folder is not None:
        return _checked(published, Path(folder))
    if testbeds and base_url is None:
        return _checked(published, Path(testbeds) / name)
    return _downloaded(published, base_url or published.base_url, cache)


def _checked(published: PublishedSet, folder: Path) -> Path:
    if not folder.is_dir():
        raise SourceError(
            f"{folder} is not a folder; give the one that holds the published set {published.name!r}, "
            f"as in {published.origin}"
        )
    missing = [path for path in published.files if published.place(folder, path) is None]
    if missing:
        more = f", and {len(missing) - 1} more files are" if len(missing) > 1 else " is"
        raise SourceError(
            f"{folder} does not hold the published set {published.name!r}: {missing[0]}{more} missing; give a checkout "
            f"of {published.origin} at {published.commit[:7]}, or leave out the folder to fetch the files"
        )
    for path, sha256 in published.files.items():
        file = published.place(folder, path)
        if file is None:
            continue
        found = hashlib.sha256(file.read_bytes()).hexdigest()
        if found != sha256:
            raise SourceError(
                f"{file} is not the published file: its sha256 is {found[:12]}…, expected {sha256[:12]}…; "
                "it was changed or damaged: fetch it anew"
            )
    return folder


def _downloaded(published: PublishedSet, base_url: str, cache: str | Path | None) -> Path:
    import platformdirs
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")  # its line for each of two hundred files
    root = Path(cache) if cache is not None else Path(platformdirs.user_cache_dir("foretell"))
    folder = root / f"{published.name}-{published.commit[:7]}"
    remedy = (
        f"get the files otherwise and set FORETELL_TESTBEDS to the folder that holds {published.name}/, "
        "or give a local folder"
    )

    def fetch(path: str, sha256: str) -> None:
        url = f"{base_url.rstrip('/')}/{quote(path)}"
        place = folder / path
        try:
            pooch.retrieve(url, known_hash=f"sha256:{sha256}", fname=place.name, path=place.parent, progressbar=False)
        except ValueError as error:  # pooch: hash mismatch
            raise SourceError(f"{url} is not the published file: {error}; {remedy}") from None
        except OSError as error:  # requests' errors are OSErrors as well
            if isinstance(error, requests.RequestException) and error.response is not None:
                error.response.close()  # pooch asks for a stream, and leaves it open when the server refuses
            raise SourceError(f"{url} could not be fetched into {place.parent}: {error}; {remedy}") from None

    _each(fetch, published.files.items())
    return folder


def _each(fetch: Any, files: Iterable[tuple[str, str]]) -> None:
    """Fetch files several at a time; the first that fails stops those that have not begun."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        waiting = [pool.submit(fetch, path, sha256) for path, sha256 in files]
        try:
            for one in waiting:
                one.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
