"""The ladder that ships, laid out as a study whose tokens and texts can be traced without a model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from foretell.errors import StudyError
from foretell.sources.shipped import FOLDER
from foretell.trajectory.packed import unpack_probe
from foretell.trajectory.sequences import SequenceCurve
from foretell.wholefile import whole_file

PROBE, TEXTS = "probe.npz", "texts.json"
DIGITS = 6  # of a curve's numbers: its standard errors have two that mean anything


@contextmanager
def shipped_study() -> Iterator[Path]:
    """Give a folder with the shipped ladder's study and the losses of its probe's tokens, gone when the context ends.

    The probe has 8,192 bytes each of Python's standard library and of a country's facts; every checkpoint of every
    rung read them, the target's too. Raises StudyError where the package is damaged.
    """
    with as_file(files("foretell") / FOLDER / "ladder") as folder, TemporaryDirectory(prefix="foretell-") as place:
        study = Path(place) / "ladder"
        study.mkdir()
        for name in ("study.toml", "runs.parquet", "observations.parquet"):
            shutil.copyfile(folder / name, study / name)
        unpack_probe(folder / PROBE, study)
        yield study


def shipped_texts() -> list[SequenceCurve]:
    """Give what the shipped ladder's models said of noised, decoded and optional texts."""
    with as_file(files("foretell") / FOLDER / "ladder" / TEXTS) as path:
        return read_curves(path)


def write_curves(curves: Sequence[SequenceCurve], path: str | Path) -> None:
    """Write curves as JSON, numbers to six digits; raises StudyError when the file cannot be written."""
    rows = [
        {
            field.name: _rounded(value) if isinstance(value := getattr(one, field.name), np.ndarray) else value
            for field in fields(one)
        }
        for one in curves
    ]
    try:
        with whole_file(Path(path)) as part:
            part.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n", encoding="utf-8")
    except OSError as error:
        raise StudyError(f"{path} cannot be written: {error.strerror or error}") from None


def read_curves(path: str | Path) -> list[SequenceCurve]:
    """Read curves that were written so; raises StudyError for a file that is absent, cut short or damaged."""
    try:
        return [_curve(row) for row in json.loads(Path(path).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StudyError(f"{path} cannot be read: {error}; it was cut short or damaged") from None


def _curve(row: dict[str, Any]) -> SequenceCurve:
    arrays = {name: np.array(row[name], np.float64) for name in ("D", "validation", "loss", "stderr", "change")}
    return SequenceCurve(kind=row["kind"], name=row["name"], rung=row["rung"], size=row["size"], **arrays)


def _rounded(values: np.ndarray) -> list[object]:
    rounded = [float(f"{value:.{DIGITS}g}") for value in values.ravel()]
    return list(np.array(rounded).reshape(values.shape).tolist())
