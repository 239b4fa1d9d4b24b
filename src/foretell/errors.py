"""What went wrong, in words a user can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ForetellError(Exception):
    """Tell what is wrong, what was found, and what to do next; every error of this package is one."""


class UnitError(ForetellError, ValueError):
    """Refuse a quantity that cannot be read."""


class TableError(ForetellError, ValueError):
    """Refuse measurements that contradict themselves, or that a law could not use."""


class StudyError(ForetellError, OSError):
    """Refuse a study folder that is absent, half-written, unreadable or not writable."""


class SourceError(ForetellError, ValueError):
    """Refuse an input that is not what its reader expects."""


class FormulaError(ForetellError, ValueError):
    """Refuse a formula that is not plain arithmetic."""


class FitError(ForetellError, ValueError):
    """Refuse a fit that the data cannot carry."""


class MethodError(ForetellError, ValueError):
    """Refuse a forecast that a method cannot make."""


class LadderError(ForetellError, ValueError):
    """Refuse a ladder or rung that cannot be trained as written."""


class CorpusError(ForetellError, ValueError):
    """Refuse texts or token shards that cannot be trained on."""


class TrainError(ForetellError, RuntimeError):
    """Tell that training or evaluating a model cannot go on."""


class ExecuteError(ForetellError, RuntimeError):
    """Tell that jobs cannot be run where they were sent."""


class UnknownName(ForetellError, LookupError):
    """Refuse a name that nothing answers to, naming the nearest that something does."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(set(known))
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        if not close:
            lowered = {known_name.lower(): known_name for known_name in names}
            close = [lowered[n] for n in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.4)]
        meant = f"did you mean {' or '.join(close)}? " if close else ""
        shown = ", ".join(names[:30]) + (f", … ({len(names)} in all)" if len(names) > 30 else "")
        super().__init__(f"no {kind} is called {name!r}; {meant}known: {shown or 'none'}")
