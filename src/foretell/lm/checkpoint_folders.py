"""The checkpoints that lie below a folder, with the run and the training tokens of each."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from foretell.errors import TrainError
from foretell.lm.rungfolder import FOLDER as RUNGS
from foretell.lm.task_checkpoint import STATE

_STEP = re.compile(r"(?:^|[-_.])(?:step|checkpoint|ckpt|iter)[-_]?(\d+)$", re.IGNORECASE)


@dataclass(frozen=True)
class CheckpointFolder:
    """Name a checkpoint's folder, its run, and the training tokens D seen there; the step where one is known."""

    folder: Path
    run: str
    D: float
    step: int | None = None


def find_checkpoints(place: str | Path, *, step_tokens: float | None = None) -> list[CheckpointFolder]:
    """List the checkpoints in Hugging Face's format below a folder, in order of run and D.

    Run and D are what training recorded in `training_state.json`; of a folder `RUN/step1000` (checkpoint-1000, ckpt_…)
    the run is RUN and D its step times `step_tokens`. Raises TrainError when there is none, D cannot be known, or two
    have one run and D.
    """
    root = Path(place)
    folders = sorted(path.parent for path in root.rglob("config.json") if any(path.parent.glob("*.safetensors")))
    if not folders:
        raise TrainError(f"no checkpoint lies below {root}: none of its folders has config.json and safetensors")
    found = [_described(folder, root, step_tokens) for folder in folders]
    return _each_once(found)


def rung_checkpoints(study: str | Path) -> list[CheckpointFolder]:
    """List the finished models of a ladder's study, in order of run and D; none where nothing was trained there."""
    found = []
    for model in sorted((Path(study) / RUNGS).glob("*/models/*/config.json")):
        folder = model.parent
        for path in sorted((folder.parents[1] / "measured").glob(f"{folder.name}@*.json"), reverse=True):
            told = _json(path)
            if told.get("end"):
                found.append(CheckpointFolder(folder, folder.name, float(told["D"]), int(told["step"])))
                break
    return _each_once(found)


def _described(folder: Path, root: Path, step_tokens: float | None) -> CheckpointFolder:
    told = _json(folder / STATE) if (folder / STATE).is_file() else {}
    named = _STEP.search(folder.name)
    step = told.get("step", named.group(1) if named else None)
    step = None if step is None else int(step)
    D = next((float(told[name]) for name in ("D", "tokens") if name in told), None)
    if D is None and step is not None and step_tokens is not None:
        D = step * step_tokens
    if D is None or D <= 0:
        raise TrainError(
            f'nothing says how many tokens {folder} was trained on; write {{"D": …}} into {STATE} there, or call '
            "folders RUN/step1000 and give --step-tokens"
        )
    own = folder.parent.name if named and folder.parent != root else root.resolve().name if named else folder.name
    run = next((str(told[name]) for name in ("run", "name") if name in told), own)
    return CheckpointFolder(folder, run, D, step)


def _json(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainError(f"{path} cannot be read: {error}") from None
    if not isinstance(told, dict):
        raise TrainError(f"{path} holds {type(told).__name__}, not an object")
    return told


def _each_once(found: list[CheckpointFolder]) -> list[CheckpointFolder]:
    ordered = sorted(found, key=lambda one: (one.run, one.D))
    for one, other in pairwise(ordered):
        if (one.run, one.D) == (other.run, other.D):
            raise TrainError(
                f"{one.folder} and {other.folder} are both run {one.run!r} at D = {one.D:.6g}; name runs apart"
            )
    return ordered
