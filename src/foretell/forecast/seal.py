"""A seal: forecasts frozen before the run they are of, so that nobody can change them afterwards unnoticed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from foretell.errors import SourceError, StudyError
from foretell.forecast.forecast import Forecast
from foretell.forecast.method import Settings
from foretell.forecast.target import Target
from foretell.table import Metric, Observations

FORMAT = 1
KIND = "foretell forecast"
SEALED_LEVELS = (0.5, 0.8, 0.9, 0.95)
DIGITS = 9  # significant, of every draw
LARGEST_FILE = 200_000_000  # bytes


class _Digested(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sha256: str
    runs: int
    values: int


class _SealedTarget(BaseModel):
    model_config = ConfigDict(extra="forbid")

    N: float
    D: float
    C: float | None = None
    name: str = ""
    family: str = ""
    inputs: dict[str, float] = {}


class _SealedForecast(BaseModel):
    model_config = ConfigDict(extra="forbid")

    target: _SealedTarget
    metric: Metric
    method: str
    value: float
    intervals: dict[str, tuple[float, float]]
    reach: float
    parts: list[str]
    doubts: list[str]
    draws: list[float]


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: str
    format: int
    sealed: str
    foretell: str
    study: str
    law_N: str
    data: _Digested
    settings: dict[str, Any]
    options: dict[str, Any]
    forecasts: list[_SealedForecast]


@dataclass(frozen=True)
class Seal:
    """Hold sealed forecasts, when they were sealed (UTC), from which data and by which version and options.

    `digest` is the SHA-256 of the canonical JSON of everything else: publish it, and nobody need trust the file.
    """

    forecasts: tuple[Forecast, ...]
    sealed: str
    version: str
    study: str
    data: str
    settings: Mapping[str, Any]
    options: Mapping[str, Any]
    digest: str


def digest_of(observations: Observations) -> str:
    """Give the SHA-256 of runs and values in canonical order: rows and columns may stand in any order."""
    made = hashlib.sha256()
    for frame in (observations.runs, observations.values):
        columns = sorted(frame.columns)
        rows = sorted(
            canonical({name: row[name] for name in columns if row[name] is not None})
            for row in frame.iter_rows(named=True)
        )
        made.update(b"\n".join(rows) + b"\n\n")
    return made.hexdigest()


def canonical(value: Any) -> bytes:
    """Write JSON in one way only: keys in order, no spaces, UTF-8. Raises ValueError for what is not finite."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def seal(
    forecasts: Sequence[Forecast],
    observations: Observations,
    path: str | Path,
    *,
    settings: Settings,
    options: Mapping[str, Any] | None = None,
    study: str = "",
    version: str = "",
    now: datetime | None = None,
) -> Seal:
    """Write forecasts to a file that says what they were made from, and give its seal; never over another file.

    Raises StudyError when the file is already there or cannot be written, SourceError for a forecast without draws.
    """
    for forecast in forecasts:
        if not len(forecast.draws):
            raise SourceError(
                f"the forecast of {forecast.metric.name} by {forecast.method} has no draws, so there is no interval to "
                "seal; ask for draws"
            )
    training = observations.training()
    content = {
        "kind": KIND,
        "format": FORMAT,
        "sealed": (now or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "foretell": version,
        "study": study,
        "law_N": training.law_N,
        "data": {"sha256": digest_of(training), "runs": len(training.runs), "values": len(training.values)},
        "settings": {
            "draws": settings.draws,
            "parts": sorted(settings.parts),
            "starts": settings.starts,
            "seed": settings.seed,
        },
        "options": dict(options or {}),
        "forecasts": [_written(forecast) for forecast in forecasts],
    }
    digest = hashlib.sha256(canonical(content)).hexdigest()
    text = json.dumps({"sha256": digest, "content": content}, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    file = Path(path)
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
    except FileExistsError:
        raise StudyError(
            f"{file} is already there; a sealed forecast is never overwritten: choose another name"
        ) from None
    except OSError as error:
        raise StudyError(f"{file} cannot be written: {error.strerror or error}; nothing was sealed") from None
    return open_seal(file)


def open_seal(path: str | Path, expected: str = "") -> Seal:
    """Read sealed forecasts and verify them; `expected` is the digest that was published, or its beginning.

    Raises SourceError when the file is no sealed forecast, was changed after sealing, or is not the one published.
    """
    file = Path(path)
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise SourceError(f"{file} has {file.stat().st_size} bytes; a sealed forecast has at most {LARGEST_FILE}")
        whole = json.loads(file.read_text(encoding="utf-8"))
        digest, content = whole["sha256"], whole["content"]
        found = hashlib.sha256(canonical(content)).hexdigest()
    except OSError as error:
        raise SourceError(f"the forecast {file} cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SourceError(f"{file} is no sealed forecast; make one with `foretell seal STUDY -o {file.name}`") from None
    if found != digest:
        raise SourceError(
            f"the seal of {file} is broken: its content has SHA-256 {found[:16]}…, the seal says {str(digest)[:16]}…; "
            "it was changed after it was sealed: find the original"
        )
    if expected and not (len(expected) >= 8 and digest.startswith(expected.lower())):
        raise SourceError(f"{file} is not the forecast that was published: its digest is {digest}, not {expected}")
    try:
        if isinstance(content, dict) and content.get("format", 0) > FORMAT:
            raise SourceError(f"{file} has format {content['format']}, this version reads {FORMAT}; upgrade foretell")
        read = _Content.model_validate(content)
        forecasts = tuple(_forecast(entry) for entry in read.forecasts)
    except (ValidationError, TypeError) as error:
        raise SourceError(f"{file} is no sealed forecast: {str(error).splitlines()[0]}") from None
    return Seal(
        forecasts=forecasts,
        sealed=read.sealed,
        version=read.foretell,
        study=read.study,
        data=read.data.sha256,
        settings=read.settings,
        options=read.options,
        digest=digest,
    )


def is_seal(path: str | Path) -> bool:
    """Say whether a path is a file, as sealed forecasts are, and not a folder, as studies are."""
    return Path(path).is_file()


def _written(forecast: Forecast) -> dict[str, Any]:
    target = forecast.target
    draws = np.array([float(f"{value:.{DIGITS}g}") for value in forecast.draws])
    of_rounded = Forecast(
        target, forecast.metric, forecast.method, forecast.value, draws, forecast.parts, forecast.reach
    )
    return {
        "target": {
            "N": target.N,
            "D": target.D,
            "C": target.C,
            "name": target.name,
            "family": target.family,
            "inputs": dict(target.inputs),
        },
        "metric": forecast.metric.model_dump(),
        "method": forecast.method,
        "value": forecast.value,
        "intervals": {f"{level:g}": list(of_rounded.interval(level)) for level in SEALED_LEVELS},
        "reach": forecast.reach,
        "parts": sorted(forecast.parts),
        "doubts": list(forecast.doubts),
        "draws": draws.tolist(),
    }


def _forecast(entry: _SealedForecast) -> Forecast:
    target = entry.target
    return Forecast(
        target=Target(target.N, target.D, target.C, target.name, target.family, target.inputs),
        metric=entry.metric,
        method=entry.method,
        value=entry.value,
        draws=np.array(entry.draws, dtype=np.float64),
        parts=frozenset(entry.parts),
        reach=entry.reach,
        doubts=tuple(entry.doubts),
    )
