"""TensorBoard event files: scalars of any number of runs, as torch, Megatron, torchtitan and others write them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foretell.errors import SourceError
from foretell.sources.guard import MOST_LINE, found_files, label, opened
from foretell.sources.metric_map import MetricMap
from foretell.sources.run_table import RunTable
from foretell.sources.training_log import TrainingLog, observe
from foretell.sources.wire import fields, real, signed, text
from foretell.table import Observations

CASTAGNOLI = 0x82F63B78  # the polynomial of CRC-32C, reflected
MASK = 0xA282EAD8  # TFRecord adds this to a rotated CRC: tensorflow/core/lib/hash/crc32c.h
SCALARS = 4096  # bytes; no event of scalars is larger: graphs, histograms and images are passed over, unchecked
BATCH = 20_000  # events whose checksums are computed at once
FLOAT, DOUBLE = 1, 2  # tensorflow.DataType


def read_tensorboard(
    path: str | Path,
    *,
    runs: str | Path | None = None,
    map: str | Path | None = None,
    tokens_per_step: float | None = None,
    final_mean: int = 1,
) -> Observations:
    """Read event files: one, or all below a folder. Files of one folder are one run, named by its path.

    A value logged again at a step, as after a restart, replaces the earlier. A file that ends within an event counts up
    to there, with a note. Raises SourceError, naming file and byte, for one that is damaged.
    """
    rules, table = MetricMap.read(map), RunTable.read(runs)
    root, notes = Path(path), list[str]()
    logs: dict[Path, TrainingLog] = {}
    for file in found_files(root, ("*tfevents*",), "the folder that TensorBoard's --logdir names"):
        folder = file.parent
        if folder not in logs:
            inner = folder.relative_to(root).as_posix() if root.is_dir() else "."
            name = folder.absolute().name if inner == "." else inner
            logs[folder] = TrainingLog(
                label(name) or "run", rules, aliases=(label(folder.absolute().name),), folder=folder
            )
        _read(file, logs[folder], notes)
    return observe(logs.values(), table, tokens_per_step=tokens_per_step, final_mean=final_mean, notes=notes)


def _read(file: Path, log: TrainingLog, notes: list[str]) -> None:
    batch: list[tuple[int, bytes, int]] = []

    def flush() -> None:
        _refuse_damaged(file, batch)
        for at, event, _ in batch:
            try:
                for step, tag, value in _scalars(event):
                    log.add(step, tag, value)
            except ValueError as error:
                if isinstance(error, SourceError):
                    raise
                raise SourceError(f"the event at byte {at} of {file} cannot be read: {error}") from None
        batch.clear()

    for record in _records(file, notes):
        batch.append(record)
        if len(batch) >= BATCH:
            flush()
    flush()


def _records(file: Path, notes: list[str]) -> Iterator[tuple[int, bytes, int]]:
    """Give each event of scalars' size: the byte it begins at, its content, its checksum."""
    at = 0
    with opened(file) as stream:
        while head := stream.read(12):
            size = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else 0
            if len(head) == 12 and _masked(_crc(head[:8])) != struct.unpack("<I", head[8:])[0]:
                raise SourceError(f"the event at byte {at} of {file} is damaged: the checksum of its length differs")
            if size > 64 * MOST_LINE:
                raise SourceError(f"the event at byte {at} of {file} claims {size:,} bytes; the file is damaged")
            data = stream.read(size + 4)
            if len(head) < 12 or len(data) < size + 4:
                notes.append(
                    f"{file.name} ends within an event (the run still writes, or was killed); read up to there"
                )
                return
            if size <= SCALARS:
                yield at, data[:-4], struct.unpack("<I", data[-4:])[0]
            at += size + 16


def _refuse_damaged(file: Path, batch: list[tuple[int, bytes, int]]) -> None:
    """Check all events at once, those of one length side by side."""
    by_length: dict[int, list[tuple[int, bytes, int]]] = {}
    for record in batch:
        by_length.setdefault(len(record[1]), []).append(record)
    for size, records in by_length.items():
        content = np.frombuffer(b"".join(data for _, data, _ in records), dtype=np.uint8).reshape(len(records), size)
        crc = np.full(len(records), 0xFFFF_FFFF, dtype=np.uint32)
        for column in range(size):
            crc = _table()[(crc ^ content[:, column]) & 0xFF] ^ (crc >> np.uint32(8))
        for (at, _, told), found in zip(records, (crc ^ np.uint32(0xFFFF_FFFF)).tolist(), strict=True):
            if _masked(found) != told:
                raise SourceError(f"the event at byte {at} of {file} is damaged: its checksum differs; copy it anew")


def _scalars(event: bytes) -> Iterator[tuple[float, str, float]]:
    """Give step, tag and value of each scalar of an event."""
    step = 0.0
    summaries: list[bytes] = []
    for number, content in fields(event):
        if number == 2:
            step = float(signed(content))
        elif number == 5 and isinstance(content, bytes):
            summaries.append(content)
    for summary in summaries:
        for number, content in fields(summary):
            if number == 1 and isinstance(content, bytes):
                tag, value = _value(content)
                if value is not None:
                    yield step, tag, value


def _value(content: bytes) -> tuple[str, float | None]:
    tag, value = "", None
    for number, part in fields(content):
        if number == 1:
            tag = text(part)
        elif number == 2:
            value = real(part)
        elif number == 8 and isinstance(part, bytes):
            value = _tensor(part)
    return tag, value


def _tensor(content: bytes) -> float | None:
    """Read a tensor of one float; None for any other."""
    kind = 0
    parts: dict[int, bytes] = {}
    for number, part in fields(content):
        if number == 1 and isinstance(part, int):
            kind = part
        elif isinstance(part, bytes):
            parts[number] = part
    raw = parts.get(4) or parts.get({FLOAT: 5, DOUBLE: 6}.get(kind, 0))
    width = {FLOAT: 4, DOUBLE: 8}.get(kind, 0)
    dimensions = any(number == 2 for number, _ in fields(parts.get(2, b"")))
    return real(raw) if raw is not None and not dimensions and len(raw) == width else None


@lru_cache(maxsize=1)
def _table() -> NDArray[np.uint32]:
    rows = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        rows = np.where(rows & 1, (rows >> np.uint32(1)) ^ np.uint32(CASTAGNOLI), rows >> np.uint32(1)).astype(
            np.uint32
        )
    return rows


@lru_cache(maxsize=1)
def _plain_table() -> list[int]:
    return [int(entry) for entry in _table()]


@lru_cache(maxsize=4096)
def _crc(data: bytes) -> int:
    crc = 0xFFFF_FFFF
    for byte in data:
        crc = _plain_table()[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFF_FFFF


def _masked(crc: int) -> int:
    return (((crc >> 15) | (crc << 17)) + MASK) & 0xFFFF_FFFF
