"""Slurm's queue and partitions, as its own commands tell of them."""

from __future__ import annotations

import math
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from foretell.errors import ExecuteError, UnknownName
from foretell.execute.job import Job

DAY = 1440  # minutes
OVER = {  # states that a job does not leave (squeue(1)); a job that is queued again never shows them
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",
    "TIMEOUT",
}  # fmt: skip
RUNNING = {"RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"}


@dataclass(frozen=True)
class Queued:
    """Tell what Slurm says of one job."""

    name: str
    state: str
    reason: str

    @property
    def runs(self) -> bool:
        """Tell whether the job has a node."""
        return self.state in RUNNING


def read_queue() -> dict[str, Queued]:
    """Read this user's jobs, by number, the lately ended ones included. Raises ExecuteError where Slurm is silent."""
    told = _ask("squeue", "--noheader", f"--user={os.getuid()}", "--states=all", "--format=%i|%T|%r|%j")
    rows = (line.strip().split("|", 3) for line in told.splitlines() if line.count("|") >= 3)
    return {number: Queued(name, state, reason) for number, state, reason, name in rows}


def cancel(numbers: Sequence[str]) -> None:
    """Cancel jobs, as well as can be: those that have ended do no harm."""
    if numbers:
        subprocess.run(["scancel", *numbers], capture_output=True, timeout=60, check=False)


def check_fits(jobs: Sequence[Job], partition: str | None) -> int | None:
    """Give the time limit in minutes of a partition, None where it has none.

    Without a partition, Slurm's default one is meant. Raises UnknownName for a partition that there is not,
    ExecuteError for a job that none of its nodes could hold.
    """
    kinds = _read_nodes()
    known = {kind.partition for kind in kinds}
    if partition is not None and partition not in known:
        raise UnknownName("partition", partition, known)
    mine = [kind for kind in kinds if (kind.partition == partition if partition else kind.default)] or kinds
    for job in jobs:
        if not any(
            job.cores <= kind.cores and job.gpus <= kind.gpus and (job.memory or 0) <= kind.memory for kind in mine
        ):
            there = "; ".join(
                f"{kind.partition}: {kind.cores} cores, {kind.gpus} GPUs, {kind.memory:,} bytes" for kind in mine
            )
            raise ExecuteError(
                f"job {job.name} asks for {job.cores} cores, {job.gpus} GPUs and {job.memory or 0:,} bytes, and no "
                f"node has that ({there or 'no node at all'}); ask for less, or choose another partition"
            )
    limits = [kind.minutes for kind in mine]
    return None if None in limits else max((limit for limit in limits if limit is not None), default=None)


def read_minutes(text: str | int) -> int:
    """Read a time limit as Slurm writes it: minutes, `MM:SS`, `HH:MM:SS`, `D-HH`, `D-HH:MM` or `D-HH:MM:SS`."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", str(text).strip())
    if match is None:
        raise ExecuteError(f"time {text!r} cannot be read; write minutes, HH:MM:SS or D-HH:MM:SS")
    days, first, second, third = match[1], int(match[2]), int(match[3] or 0), int(match[4] or 0)
    if days is not None:
        minutes = DAY * int(days) + 60 * first + second + third / 60
    elif match[4] is not None:
        minutes = 60 * first + second + third / 60
    else:
        minutes = first + second / 60
    if minutes <= 0:
        raise ExecuteError(f"time {text!r} is no time; give at least a minute")
    return math.ceil(minutes)


@dataclass(frozen=True)
class _Nodes:
    """Describe nodes of one kind in one partition."""

    partition: str
    default: bool
    minutes: int | None
    cores: int
    memory: int
    gpus: int


def _read_nodes() -> list[_Nodes]:
    made = []
    for line in _ask("sinfo", "--exact", "--noheader", "--format=%P|%l|%c|%m|%G").splitlines():
        if line.count("|") < 4:
            continue
        name, limit, cores, memory, devices = line.strip().split("|", 4)
        made.append(
            _Nodes(
                partition=name.rstrip("*"),
                default=name.endswith("*"),
                minutes=read_minutes(limit) if limit[:1].isdigit() else None,
                cores=int(cores.rstrip("+")),
                memory=int(memory.rstrip("+")) * 2**20,
                gpus=sum(int(number) for number in re.findall(r"gpu(?::[^:,()]+)?:(\d+)", devices)),
            )
        )
    return made


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        raise ExecuteError(
            f"there is no {command[0]} here: this machine is not part of a Slurm cluster; log in to one that is, "
            "or run on local or ray"
        ) from None
    except subprocess.TimeoutExpired:
        raise ExecuteError(f"Slurm does not answer {command[0]} within 60 s; ask its administrators") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
        raise ExecuteError(f"Slurm does not answer {command[0]}: {said[-1].strip()}")
    return done.stdout
