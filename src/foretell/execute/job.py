"""A job: one call of a function, what it needs of a machine, and how it ended."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal

from foretell.errors import ExecuteError

State = Literal["done", "failed", "killed", "not started"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_CALL = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class Job:
    """Ask for one call `function(**arguments)` in a process of its own.

    `name` names a folder; `call` is `package.module:function`, importable where the worker runs; `arguments` are JSON
    values; `memory` is in bytes; `after` names jobs that must have ended well before this one starts. The function is
    resumable: it may be killed at any moment, is then called again, and goes on from what it left on disk.
    Raises ExecuteError when a field is not of that kind.
    """

    name: str
    call: str
    arguments: Mapping[str, Any]
    cores: int = 1
    gpus: int = 0
    memory: int | None = None
    after: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ExecuteError(
                f"the job {self.name!r} cannot name a folder; use up to 100 letters, digits, '.', '_' and '-', "
                "and begin with a letter, a digit or '_'"
            )
        if not _CALL.fullmatch(self.call):
            raise ExecuteError(f"job {self.name}: {self.call!r} names no function; write package.module:function")
        wrong = next((name for name in self.arguments if not isinstance(name, str)), None)
        if wrong is not None:
            raise ExecuteError(f"job {self.name}: the argument {wrong!r} has a name that is not text")
        for name, value in self.arguments.items():
            if not is_json(value):
                raise ExecuteError(
                    f"job {self.name}: the argument {name} = {_short(value)} is not a JSON value; give finite numbers, "
                    "text, true or false, null, and lists and string-keyed dictionaries of them"
                )
        for what, number, least in (("cores", self.cores, 1), ("gpus", self.gpus, 0), ("memory", self.memory, 1)):
            if number is None and what == "memory":
                continue
            if not isinstance(number, int) or isinstance(number, bool) or number < least:
                raise ExecuteError(
                    f"job {self.name} asks for {what} = {number!r}; it must be a whole number, {least} or more"
                )
        if not isinstance(self.after, tuple):
            raise ExecuteError(f"job {self.name}: after = {self.after!r}; write a tuple of job names")

    @property
    def digest(self) -> str:
        """Give the SHA-256 of what is called: jobs of equal digest have equal results."""
        text = json.dumps({"call": self.call, "arguments": dict(self.arguments)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Ended:
    """Tell how a job ended.

    `result` is what the function returned when the state is "done", else None; `error` says what happened otherwise.
    `tries` counts the workers that were started for it, 0 where an earlier run had already finished it; `seconds`
    is the time from the first of them to the end, queues included.
    """

    name: str
    state: State
    result: Any = None
    error: str | None = None
    tries: int = 0
    seconds: float = 0.0


def is_json(value: object) -> bool:
    """Tell whether JSON carries a value there and back unchanged."""
    if value is None or isinstance(value, bool | str | int):
        return True
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(is_json(one) for one in value)
    return isinstance(value, dict) and all(isinstance(name, str) and is_json(one) for name, one in value.items())


def check_together(jobs: Sequence[Job]) -> None:
    """Raise ExecuteError where names repeat, `after` names no job, or jobs wait for each other in a circle."""
    names = [job.name for job in jobs]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ExecuteError(f"several jobs are called {', '.join(repeated)}; a name is one folder, give each its own")
    for job in jobs:
        unknown = sorted(set(job.after) - set(names))
        if unknown:
            raise ExecuteError(f"job {job.name} comes after {', '.join(unknown)}, which is not among the jobs")
    try:
        TopologicalSorter({job.name: job.after for job in jobs}).prepare()
    except CycleError as error:
        raise ExecuteError(f"jobs wait for each other in a circle: {' → '.join(error.args[1])}") from None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
