"""Published methods, one file each, behind one protocol."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from foretell.errors import MethodError, UnknownName
from foretell.forecast import Method
from foretell.laws import LINKS, law_named
from foretell.methods.auto import Auto
from foretell.methods.borrowed import Borrowed
from foretell.methods.chinchilla import Chinchilla
from foretell.methods.chinchilla_published import PublishedChinchilla
from foretell.methods.direct import Direct
from foretell.methods.flp import Flp
from foretell.methods.horizon import Horizon
from foretell.methods.ladder import Ladder
from foretell.methods.ladder_published import PublishedLadder
from foretell.methods.observational import Observational
from foretell.methods.overtrained import Overtrained
from foretell.methods.overtrained_published import PublishedOvertrained

METHODS: dict[str, Any] = {
    "auto": Auto,
    "borrowed": Borrowed,
    "chinchilla": Chinchilla,
    "direct": Direct,
    "flp": Flp,
    "horizon": Horizon,
    "ladder": Ladder,
    "observational": Observational,
    "overtrained": Overtrained,
}
AS_PUBLISHED: dict[str, Any] = {
    "chinchilla": PublishedChinchilla,
    "ladder": PublishedLadder,
    "overtrained": PublishedOvertrained,
}
DEFAULT = "ladder"


def method_named(name: str, *, as_published: bool = False, **options: str | bool | int) -> Method:
    """Make a method by name, or its paper's own procedure; `options` are its fields (`law`, `intermediate`, …).

    Raises UnknownName for a name or law that does not exist, MethodError for an option that the method does not take.
    """
    if name not in METHODS:
        raise UnknownName("method", name, METHODS)
    if as_published and name not in AS_PUBLISHED:
        raise UnknownName("published procedure", name, AS_PUBLISHED)
    kind = (AS_PUBLISHED if as_published else METHODS)[name]
    taken = sorted(field.name for field in fields(kind))
    stray = sorted(set(options) - set(taken))
    if stray:
        called = f"{name} as published" if as_published else name
        raise MethodError(f"the method {called} takes no {', '.join(stray)}; it takes {', '.join(taken)}")
    if isinstance(law := options.get("law"), str) and law != "auto":
        law_named(law)
    if (link := options.get("link")) is not None and link not in {known.name for known in LINKS}:
        raise UnknownName("link", str(link), [known.name for known in LINKS])
    made: Method = kind(**options)
    return made


__all__ = [
    "AS_PUBLISHED",
    "DEFAULT",
    "METHODS",
    "Auto",
    "Borrowed",
    "Chinchilla",
    "Direct",
    "Flp",
    "Horizon",
    "Ladder",
    "Observational",
    "Overtrained",
    "method_named",
]
