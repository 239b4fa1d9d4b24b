"""A checkpoint: a model with its optimiser's state, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from foretell.errors import TrainError

WEIGHTS, OPTIMISER, STATE = "model.safetensors", "optimiser.safetensors", "state.json"


def save_checkpoint(folder: Path, model: Any, optimiser: Any, state: dict[str, Any]) -> None:
    """Write model, optimiser and `state` into a new folder, under a temporary name until all is on disk.

    Raises TrainError when the disk is full or not writable; nothing half-written is left.
    """
    from safetensors.torch import save_file

    names = {id(p): name for name, p in model.named_parameters()}
    moments = {}
    for parameter, held in optimiser.state.items():
        for what, value in held.items():
            moments[f"{names[id(parameter)]}:{what}"] = value.detach().cpu().contiguous()
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        save_model(part, model)
        save_file(moments, part / OPTIMISER)
        digests = {name: _digest(part / name) for name in (WEIGHTS, OPTIMISER)}
        (part / STATE).write_text(json.dumps({**state, "digests": digests}, indent=1) + "\n", encoding="utf-8")
        for path in part.iterdir():
            _sync(path)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(part, folder)
    except Exception as error:
        if not isinstance(error, OSError) and "No space" not in str(error) and "I/O error" not in str(error):
            raise  # safetensors wraps a full disk in an error of its own
        raise TrainError(
            f"the checkpoint {folder} cannot be written: {error}; what was finished stays: free space and train again"
        ) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def save_model(folder: Path, model: Any) -> None:
    """Write a model's weights and configuration as `transformers` reads them."""
    from safetensors.torch import save_file

    weights = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters()}  # a tied head is not named
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    model.config.architectures = [type(model).__name__]
    (folder / "config.json").write_text(model.config.to_json_string(), encoding="utf-8")


def load_checkpoint(folder: Path, model: Any, optimiser: Any) -> dict[str, Any]:
    """Fill model and optimiser from a checkpoint, and give its state.

    Raises TrainError when a file is absent, cut short or not what was written.
    """
    from safetensors.torch import load_file

    try:
        state: dict[str, Any] = json.loads((folder / STATE).read_text(encoding="utf-8"))
        for name, digest in state["digests"].items():
            if _digest(folder / name) != digest:
                raise TrainError(f"{folder / name} is not what was written: it was cut short or changed")
        weights, moments = load_file(folder / WEIGHTS), load_file(folder / OPTIMISER)
    except (OSError, ValueError, KeyError) as error:
        raise TrainError(f"the checkpoint {folder} cannot be read: {error}") from None
    device = next(model.parameters()).device
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name])
            held = {
                what: value.to(device) if value.ndim else value
                for key, value in moments.items()
                if (what := key.removeprefix(f"{name}:")) != key
            }
            if held:
                optimiser.state[parameter] = held
    return state


def complete_checkpoints(folder: Path, stem: str) -> list[Path]:
    """List the checkpoints `STEM-STEP` of a folder, the newest first; unfinished ones do not bear the name."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if path.name.rpartition("-")[0] == stem and (path / STATE).is_file()]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
