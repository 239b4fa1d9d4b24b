"""The reader of published tables by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from foretell.errors import SourceError
from foretell.sources.datafile import read_frame
from foretell.sources.gadre import read_gadre
from foretell.sources.mapping import ColumnMap
from foretell.sources.olmo_ladder import read_olmo_ladder
from foretell.sources.published import PublishedSet, fetch_published, published_set
from foretell.sources.table import tabulate
from foretell.table import Observations


def read_published(
    name: str | Path,
    *,
    folder: str | Path | None = None,
    where: str | None = None,
    cache: str | Path | None = None,
    base_url: str | None = None,
) -> Observations:
    """Read a published set by name, from a local folder or fetched once, every file checked against its sha256.

    `where` is an SQL condition over the columns of a set that is one table. What is odd about a set is said in its
    notes. Raises UnknownName for an unknown set, SourceError when a file is missing, differs or cannot be fetched.
    """
    published = published_set(str(name))
    if where is not None and published.reader != "table":
        raise SourceError(
            f"{published.name} is more than one table, so --where has no columns to speak of; "
            "narrow down at the forecast, as in foretell predict STUDY --where"
        )
    found = fetch_published(published.name, folder=folder, cache=cache, base_url=base_url)
    if published.reader == "gadre":
        study = read_gadre(found)
    elif published.reader == "olmo-ladder":
        study = read_olmo_ladder(found)
    else:
        study = _table(published, found, where)
    told = f"{published.origin} at {published.commit[:7]}, {published.citation}; licence: {published.licence}"
    return replace(study, notes=(told, *published.notes, *study.notes))


def _table(published: PublishedSet, folder: Path, where: str | None) -> Observations:
    file = published.place(folder, published.table or "")
    if file is None:  # every file was checked, so only a set that names a table it does not pin comes here
        raise SourceError(f"the published set {published.name!r} has no table {published.table!r}; fetch it anew")
    columns = ColumnMap.of(**{**published.columns, **({} if where is None else {"where": where})})
    return tabulate(read_frame(file), columns, label=published.name)
