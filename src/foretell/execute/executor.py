"""An executor: where jobs run, chosen by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from foretell.errors import ExecuteError, UnknownName
from foretell.execute.job import Ended, Job

EXECUTORS = {  # where each lives; looked up when first used, so that nobody pays for what he does not use
    "local": ("local", "Local"),
    "ray": ("on_ray", "OnRay"),
    "slurm": ("on_slurm", "OnSlurm"),
}
_READERS: dict[str, tuple[Callable[[Any], Any], str]] = {  # by the annotation of an option
    "int": (int, "a whole number"),
    "float": (float, "a number"),
    "str": (str, "text"),
}


class Executor(Protocol):
    """Run jobs somewhere: the same jobs give the same results with every executor."""

    def run(
        self,
        jobs: Sequence[Job],
        folder: Path,
        *,
        on_end: Callable[[Ended], None] | None = None,
        retries: int = 2,
    ) -> list[Ended]:
        """Run jobs in a folder; give how each ended, in their order.

        `on_end` is called as each ends, also for those that an earlier run finished. A worker that was killed is
        started again up to `retries` times; one whose function raised is not. Raises ExecuteError for jobs that
        cannot run there, before any starts.
        """


def executor_named(name: str, **options: Any) -> Executor:
    """Make an executor: `local`, `ray` or `slurm`, with its options as values or as text.

    Raises UnknownName for a name or option that there is not, ExecuteError for a value that cannot be read.
    """
    if name not in EXECUTORS:
        raise UnknownName("executor", name, EXECUTORS)
    module, kind = EXECUTORS[name]
    made = getattr(import_module(f"foretell.execute.{module}"), kind)
    fields = {field.name: field for field in dataclasses.fields(made)}
    more = fields.pop("parameters", None)  # any name with the executor's prefix
    given: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for option, value in options.items():
        if option in fields:
            given[option] = _read(name, option, value, fields[option])
        elif more is not None and option.startswith(f"{name}_"):
            extra[option.removeprefix(f"{name}_")] = value
        else:
            known = [*fields, f"{name}_… (what sbatch takes)"] if more is not None else fields
            raise UnknownName(f"option of the executor {name}", option, known)
    if extra:
        given["parameters"] = extra
    executor: Executor = made(**given)
    return executor


def read_options(pairs: Sequence[str]) -> dict[str, str]:
    """Read NAME=VALUE pairs, as a command line gives the options of an executor; raise ExecuteError for others."""
    made: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name, value = name.strip().replace("-", "_"), value.strip()
        if not (name and equals and value):
            raise ExecuteError(f"--executor {pair!r} is not NAME=VALUE, such as partition=gpu")
        if name in made:
            raise ExecuteError(f"--executor gives {name} twice, {made[name]!r} and {value!r}; give it once")
        made[name] = value
    return made


def _read(executor: str, option: str, value: Any, field: dataclasses.Field[Any]) -> Any:
    kinds = [kind.strip() for kind in str(field.type).split("|")]
    if value is None or (isinstance(value, str) and value.lower() == "none"):
        if "None" not in kinds:
            raise ExecuteError(f"{option} of the executor {executor} needs a value")
        return None
    reader, what = _READERS[kinds[0]]
    reader = field.metadata.get("read", reader)
    try:
        return reader(value)
    except (TypeError, ValueError):
        raise ExecuteError(f"{option} = {value!r} of the executor {executor} is not {what}") from None
