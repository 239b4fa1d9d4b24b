"""Published methods, one file each, behind one protocol."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from foretell.errors import MethodError, UnknownName
from foretell.forecast import Method
from foretell.laws import LINKS, law_named
from foretell.methods.chinchilla import Chinchilla
from foretell.methods.ladder import Ladder
from foretell.methods.overtrained import Overtrained

METHODS: dict[str, Any] = {"chinchilla": Chinchilla, "ladder": Ladder, "overtrained": Overtrained}
DEFAULT = "ladder"


def method_named(name: str, **options: str | bool) -> Method:
    """Make a method by name; `options` are its own fields (`law`, `link`, `intermediate`, …).

    Raises UnknownName for a name or law that does not exist, MethodError for an option that the method does not take.
    """
    if name not in METHODS:
        raise UnknownName("method", name, METHODS)
    taken = sorted(field.name for field in fields(METHODS[name]))
    stray = sorted(set(options) - set(taken))
    if stray:
        raise MethodError(f"the method {name} takes no {', '.join(stray)}; it takes {', '.join(taken)}")
    if isinstance(law := options.get("law"), str) and law != "auto":
        law_named(law)
    if (link := options.get("link")) is not None and link not in {known.name for known in LINKS}:
        raise UnknownName("link", str(link), [known.name for known in LINKS])
    made: Method = METHODS[name](**options)
    return made


__all__ = ["DEFAULT", "METHODS", "Chinchilla", "Ladder", "Overtrained", "method_named"]
