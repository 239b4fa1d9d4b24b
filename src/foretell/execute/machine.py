"""What this machine lets its user have: cores, GPUs, memory."""

from __future__ import annotations

import math
import os
import re
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from foretell.errors import ExecuteError

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Machine:
    """Count cores, name GPUs as CUDA_VISIBLE_DEVICES does, and give memory in bytes."""

    cores: int
    gpus: tuple[str, ...]
    memory: int


def read_bytes(text: str | int) -> int:
    """Read memory such as `48GB`, `512M` or a number of bytes; K, M, G and T are powers of 1024."""
    match = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([KMGT]?)(i?B)?", str(text).strip(), re.IGNORECASE)
    if match is None or not int(float(match[1]) * UNITS[match[2].upper()]):
        raise ExecuteError(f"memory {text!r} cannot be read; write bytes, or a size such as 48GB or 512M")
    return int(float(match[1]) * UNITS[match[2].upper()])


def this_machine() -> Machine:
    """Measure this machine, within the limits that affinity and control groups set."""
    return Machine(cores=_cores(), gpus=_gpus(), memory=_memory())


def _cores() -> int:
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        cores = os.cpu_count() or 1
    quotas = []
    for text in _limits("cpu.max", "cpu"):
        quota, _, period = text.partition(" ")
        if quota != "max":
            quotas.append(int(quota) / int(period or 100_000))
    for quota, period in zip(_limits("cpu.cfs_quota_us", "cpu"), _limits("cpu.cfs_period_us", "cpu"), strict=False):
        if int(quota) > 0:
            quotas.append(int(quota) / int(period))
    return max(1, min([cores, *(math.ceil(quota) for quota in quotas)]))


def _memory() -> int:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = [*_limits("memory.max", "memory"), *_limits("memory.limit_in_bytes", "memory")]
    return min([memory, *(int(limit) for limit in limits if limit != "max")])


def _gpus() -> tuple[str, ...]:
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if seen is not None:
        return tuple(name.strip() for name in seen.split(",") if name.strip() not in ("", "-1"))
    try:
        told = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(told.stdout.split())


def _limits(name: str, controller: str) -> list[str]:
    """Read a limit from this process's control group and those around it, of version 2 or 1."""
    found = []
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = CGROUPS / controller if controllers else CGROUPS
        inner = top / path.lstrip("/")
        for folder in (inner, *inner.parents):
            with suppress(OSError):
                found.append((folder / name).read_text().strip())
            if folder == top:
                break
    return found
