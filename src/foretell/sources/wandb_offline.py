"""Local run folders of Weights & Biases: the `.wandb` file that every run writes, offline or not."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foretell.errors import SourceError
from foretell.sources.guard import MOST_LINE, label, number, opened
from foretell.sources.metric_map import MetricMap
from foretell.sources.training_log import TrainingLog
from foretell.sources.wire import fields, signed, text

HEADER = b":W&B\xe1\xbe\x00"
BLOCK = 32_768  # LevelDB's log format: records never cross a block's last six bytes
HEAD = struct.Struct("<IHB")  # CRC-32 of type and data, length, type
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
# field numbers of wandb_internal.proto (0.31): Record, HistoryRecord, HistoryItem, RunRecord, ConfigRecord, ConfigItem
HISTORY, CONFIG, RUN = 2, 5, 17


def read_offline_run(path: Path, metric_map: MetricMap, notes: list[str]) -> TrainingLog:
    """Read one `.wandb` file as a stream.

    A file that ends within a record, as of a run that still writes or was killed, counts up to there, with a note.
    Raises SourceError, naming the byte, for a record that is damaged.
    """
    log = TrainingLog(label(path.stem.removeprefix("run-")), metric_map, folder=path.parent)
    names: dict[str, str] = {}
    for at, record in _records(path, notes):
        try:
            for kind, content in fields(record):
                if kind == HISTORY and isinstance(content, bytes):
                    _history(log, content)
                elif kind == CONFIG and isinstance(content, bytes):
                    _config(log, content)
                elif kind == RUN and isinstance(content, bytes):
                    _run(log, content, names)
        except (ValueError, RecursionError) as error:
            if isinstance(error, SourceError):
                raise
            raise SourceError(f"the record at byte {at} of {path} cannot be read: {str(error)[:100]}") from None
    run_id = names.get("id") or log.name
    log.name = names.get("name") or run_id
    log.aliases = (run_id,)
    return log


def _history(log: TrainingLog, content: bytes) -> None:
    step: float | None = None
    values: list[tuple[str, Any]] = []
    for kind, part in fields(content):
        if kind == 1 and isinstance(part, bytes):
            key, value = _item(part)
            if key == "_step":
                step = number(value)
            elif not key.startswith("_"):
                values.append((key, value))
        elif kind == 2 and isinstance(part, bytes) and step is None:
            step = next((float(signed(num)) for name, num in fields(part) if name == 1), 0.0)
    for key, value in values:
        if isinstance(value, int | float | str):
            log.add(step or 0.0, key, value)


def _item(content: bytes) -> tuple[str, Any]:
    """Read key and value of an entry; the parts of a nested key are joined by `/` for metrics and counts alike."""
    key: list[str] = []
    nested: list[str] = []
    value: Any = None
    for kind, part in fields(content):
        if kind == 1:
            key.append(text(part))
        elif kind == 2:
            nested.append(text(part))
        elif kind == 16 and isinstance(part, bytes):
            value = json.loads(part)
    return "/".join(nested or key), value


def _config(log: TrainingLog, content: bytes) -> None:
    for kind, part in fields(content):
        if kind == 1 and isinstance(part, bytes):
            key, value = _item(part)
            if key != "_wandb":
                log.configure(key, value)


def _run(log: TrainingLog, content: bytes, names: dict[str, str]) -> None:
    for kind, part in fields(content):
        if kind in (1, 8) and isinstance(part, bytes):
            names["id" if kind == 1 else "name"] = label(text(part))
        elif kind == 4 and isinstance(part, bytes):
            _config(log, part)


def _records(path: Path, notes: list[str]) -> Iterator[tuple[int, bytes]]:
    """Give each record with the byte that it begins at."""
    with opened(path) as stream:
        if stream.read(len(HEADER)) != HEADER:
            raise SourceError(f"{path} does not begin as a .wandb file of format 0 does; it is none, or damaged")
        at, begins = len(HEADER), 0
        parts: list[bytes] = []
        while True:
            left = BLOCK - at % BLOCK
            if left < HEAD.size:
                stream.read(left)
                at += left
            head = stream.read(HEAD.size)
            if not head and not parts:
                return
            check, size, kind = HEAD.unpack(head) if len(head) == HEAD.size else (0, 0, FULL)
            data = stream.read(size)
            if len(head) < HEAD.size or len(data) < size:
                notes.append(
                    f"{path.name} ends within a record (the run still writes, or was killed); read up to there"
                )
                return
            if size == kind == check == 0:  # the rest of a block that was set aside
                stream.read(skip := BLOCK - (at + HEAD.size) % BLOCK)
                at += HEAD.size + skip
                continue
            if size > BLOCK - HEAD.size or kind not in (FULL, FIRST, MIDDLE, LAST):
                raise SourceError(f"the record at byte {at} of {path} is damaged (type {kind}, {size} bytes)")
            if zlib.crc32(data, zlib.crc32(bytes([kind]))) != check:
                raise SourceError(f"the record at byte {at} of {path} is damaged: its checksum differs; copy it anew")
            if (kind in (FULL, FIRST)) != (not parts):
                raise SourceError(f"the record at byte {at} of {path} begins within another; copy the file anew")
            begins = at if kind in (FULL, FIRST) else begins
            parts.append(data)
            if len(parts) * BLOCK > 4 * MOST_LINE:
                raise SourceError(f"the record at byte {begins} of {path} is larger than any of a training log")
            at += HEAD.size + size
            if kind in (FULL, LAST):
                yield begins, b"".join(parts)
                parts = []
