"""The worker: a fresh interpreter that carries out one job and writes down what came of it."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foretell.errors import ExecuteError, ForetellError
from foretell.execute.job import is_json
from foretell.execute.process import RAISED, UNSTARTED, die_with_parent
from foretell.execute.record import ERROR, ORDER, RESULT, held, read_json, read_outcome, write_json

PATIENCE = 120.0  # seconds: a worker on a node that was given up may live on a little, and then the next one waits


def function_of(call: str) -> Callable[..., Any]:
    """Import `package.module:function`; raise ExecuteError where there is no such function."""
    module, _, name = call.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except Exception as error:
        raise ExecuteError(f"{call} cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(function):
        raise ExecuteError(f"{call} is of type {type(function).__name__}, not a function")
    made: Callable[..., Any] = function
    return made


def carry_out(place: Path) -> int:
    """Carry out the order in a job's folder, write its result or error there, and give the exit code."""
    order = read_json(place / ORDER)
    if order is None:
        sys.stderr.write(f"{place / ORDER} is missing or damaged\n")
        return UNSTARTED
    digest = order["digest"]
    outcome = read_outcome(place, digest)
    if outcome is not None and outcome.error is None:
        return 0
    try:
        if not Path(order["folder"]).is_dir():
            raise ExecuteError(f"the working folder {order['folder']} is not visible on {os.uname().nodename}")
        os.chdir(order["folder"])
        result = function_of(order["call"])(**order["arguments"])
        if not is_json(result):
            raise ExecuteError(
                f"{order['call']} returned {repr(result)[:200]}, which is not a JSON value; "
                "give finite numbers, text, lists and dictionaries"
            )
        write_json(place / RESULT, {"digest": digest, "result": result})
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {error}"
        if isinstance(error, ForetellError):
            sys.stderr.write(said + "\n")
        else:
            error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next  # without this file
            traceback.print_exception(error, limit=-20)
        write_json(place / ERROR, {"digest": digest, "error": said})
        return RAISED
    return 0


def alone(place: Path) -> int:
    """Carry out an order once no other worker holds the job's folder."""
    given_up = time.monotonic() + PATIENCE
    while True:
        with held(place / ".worker") as mine:
            if mine:
                return carry_out(place)
        if time.monotonic() > given_up:
            sys.stderr.write(f"another worker is still at {place} after {PATIENCE:.0f} s\n")
            return UNSTARTED
        time.sleep(0.5)


def complaints(calls: list[tuple[str, list[str]]]) -> list[str]:
    """Tell which calls, given with the names of their arguments, cannot be made here."""
    found = []
    for call, names in calls:
        try:
            signature = inspect.signature(function_of(call))
            signature.bind(**dict.fromkeys(names))
        except ExecuteError as error:
            found.append(str(error))
        except TypeError as error:
            found.append(f"{call}{signature} does not take these arguments: {error}")
        except ValueError:  # a function written in C, without a signature
            continue
    return found


def main(arguments: list[str]) -> int:
    """Run `run FOLDER PARENT`, or `check` with calls as JSON on the standard input."""
    if arguments[0] == "check":
        answer, sys.stdout = sys.stdout, sys.stderr  # what a module says when imported is not the answer
        answer.write(json.dumps(complaints(json.load(sys.stdin))))
        answer.flush()
        return 0
    die_with_parent(int(arguments[2]))
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # Slurm warns every process; to requeue is its wrapper's business
    return alone(Path(arguments[1]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
