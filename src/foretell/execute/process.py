"""A worker process as its parent sees it: begun, watched, ended."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from foretell.execute.record import ORDER

RAISED = 1  # exit code of a worker whose function raised; 0 where it returned
UNSTARTED = 75  # exit code of a worker that may not start (EX_TEMPFAIL of sysexits.h)

_THREADS = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS",
)  # fmt: skip
_PR_SET_PDEATHSIG = 1  # prctl(2)


def worker_command(*arguments: str) -> list[str]:
    """Give the command of a worker: this interpreter, without the working folder on its path."""
    return [sys.executable, "-P", "-m", "foretell.execute.worker", *arguments]


def start_worker(
    place: Path, cores: int, gpus: Sequence[str] | None = None, path: str | None = None
) -> subprocess.Popen[bytes]:
    """Start a worker on the order in a job's folder, with as many threads as cores.

    `gpus` are the devices that it may see; None leaves that to whoever started this process. `path` is the
    PYTHONPATH of the worker, None for this process's own. What it says goes to `stdout` and `stderr` in the folder.
    """
    environment = dict(os.environ)
    environment |= dict.fromkeys(_THREADS, str(cores))
    environment |= {"OMP_WAIT_POLICY": "passive", "PYTHONUNBUFFERED": "1"}
    if gpus is not None:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    if path is not None:
        environment["PYTHONPATH"] = path
    with (place / "stdout").open("ab") as out, (place / "stderr").open("ab") as err:
        return subprocess.Popen(
            worker_command("run", str(place), str(os.getpid())),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=environment,
            start_new_session=True,  # a group of its own, to be ended with all that it started
        )


def run_worker(place: str, cores: int, gpus: int, path: str | None = None) -> tuple[int, str]:
    """Run a worker to its end where this process is, a node of a cluster; give its exit code and what that means."""
    folder = Path(place)
    if not (folder / ORDER).exists():
        return UNSTARTED, (
            f"{folder} is not visible on {os.uname().nodename}: the folder must be on a disk that all nodes share"
        )
    worker = start_worker(folder, cores, None if gpus else (), path)
    try:
        code = worker.wait()
        return code, how_it_ended(code, folder)
    finally:
        end_worker(worker)


def end_worker(worker: subprocess.Popen[bytes]) -> None:
    """Kill a worker and all that it started in its group, and wait for it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def how_it_ended(code: int, place: Path) -> str:
    """Say what an exit code means, with the last words of the worker."""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        said = f"its process was ended by {name}"
        return said + " (out of memory, perhaps)" if -code == signal.SIGKILL else said
    last = last_line(place / "stderr")
    return f"its process ended with code {code} and no result" + (f": {last}" if last else "")


def last_line(path: Path) -> str:
    """Give the last line of a file that holds any text, at most 300 characters; nothing where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return lines[-1].strip()[:300] if lines else ""


def die_with_parent(parent: int) -> None:
    """Have this process killed when its parent ends, however that ends; exit at once where it already has.

    `parent` is the process id of the parent. Call it from the main thread, first thing.
    """
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (AttributeError, OSError):  # not Linux: ask once a second
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        os._exit(UNSTARTED)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)
