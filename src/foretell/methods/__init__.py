"""Published methods, one file each, behind one protocol."""

from __future__ import annotations

from dataclasses import fields
from importlib import import_module
from typing import Any

from foretell.errors import MethodError, UnknownName
from foretell.forecast import Method
from foretell.laws import LINKS, law_named

# Where each method is; imported when asked for, because some compile and some read files as they are imported.
METHODS = {
    "auto": "auto:Auto",
    "borrowed": "borrowed:Borrowed",
    "chinchilla": "chinchilla:Chinchilla",
    "cluster": "cluster:Cluster",
    "direct": "direct:Direct",
    "flp": "flp:Flp",
    "flp-m": "flp_m:FlpM",
    "horizon": "horizon:Horizon",
    "joint": "joint:Joint",
    "ladder": "ladder:Ladder",
    "observational": "observational:Observational",
    "overtrained": "overtrained:Overtrained",
}
AS_PUBLISHED = {
    "chinchilla": "chinchilla_published:PublishedChinchilla",
    "ladder": "ladder_published:PublishedLadder",
    "overtrained": "overtrained_published:PublishedOvertrained",
}
DEFAULT = "ladder"
OF_ITEMS = frozenset({"cluster"})  # methods whose field `items` takes a study's outcomes of questions


def method_named(name: str, *, as_published: bool = False, **options: Any) -> Method:
    """Make a method by name, or its paper's own procedure; `options` are its fields (`law`, `intermediate`, …).

    Raises UnknownName for a name or law that does not exist, MethodError for an option that the method does not take.
    """
    if name not in METHODS:
        raise UnknownName("method", name, METHODS)
    if as_published and name not in AS_PUBLISHED:
        raise UnknownName("published procedure", name, AS_PUBLISHED)
    file, kind = (AS_PUBLISHED if as_published else METHODS)[name].split(":")
    found: Any = getattr(import_module(f"foretell.methods.{file}"), kind)
    taken = sorted(field.name for field in fields(found))
    stray = sorted(set(options) - set(taken))
    if stray:
        called = f"{name} as published" if as_published else name
        raise MethodError(f"the method {called} takes no {', '.join(stray)}; it takes {', '.join(taken)}")
    if isinstance(law := options.get("law"), str) and law != "auto":
        law_named(law)
    if (link := options.get("link")) is not None and link not in {known.name for known in LINKS}:
        raise UnknownName("link", str(link), [known.name for known in LINKS])
    made: Method = found(**options)
    return made


__all__ = ["AS_PUBLISHED", "DEFAULT", "METHODS", "OF_ITEMS", "method_named"]
