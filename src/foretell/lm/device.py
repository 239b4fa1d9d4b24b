"""The device that a rung trains on, and whether the rung fits its memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from foretell.errors import TrainError
from foretell.lm.model import import_torch
from foretell.rung import Rung
from foretell.units import format_count

STATE_BYTES = 16  # a parameter: weight, gradient, two moments of Adam, in fp32
ACTIVATIONS = 34  # numbers kept a token, layer and width for the backward pass (2205.05198, §4.1, without scores)


def device_named(name: str) -> str:
    """Resolve `auto`, `cpu`, `cuda` or `cuda:1` to a device that is here; raises TrainError for any other."""
    torch = import_torch()
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda" if found else "cpu"
    here = ["cpu", *(["cuda"] if found else []), *(f"cuda:{i}" for i in range(found))]
    if name not in here:
        raise TrainError(f"there is no device {name!r} here; devices: {', '.join(here)}")
    return name


def use_own_cores() -> None:
    """Let torch use as many threads as this process was given, one where nobody said."""
    import_torch().set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))


def check_memory(rung: Rung, device: str, processes: int = 1) -> None:
    """Refuse a rung that cannot fit the device's memory; raises TrainError, saying what would."""
    shape = rung.shape
    at_once = min(rung.micro_batch or rung.batch, -(-rung.batch // processes)) * shape.sequence
    width = 4 if rung.precision == "fp32" else 2
    kept = at_once * (ACTIVATIONS * shape.layers * shape.width * width // 2 + 3 * 4 * shape.vocabulary)
    needed = STATE_BYTES * shape.N_total + kept
    free = _free(device)
    if needed > free:
        hint = "lower micro_batch" if kept > needed / 2 else "train it on a larger device"
        raise TrainError(
            f"rung {rung.name} needs about {format_count(needed)} bytes ({format_count(kept)} for activations), "
            f"{device} has {format_count(free)} free; {hint}"
        )


def _free(device: str) -> float:
    if device.startswith("cuda"):
        torch: Any = import_torch()
        return float(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return float("inf")  # no such file on this system: nothing is refused on a guess
