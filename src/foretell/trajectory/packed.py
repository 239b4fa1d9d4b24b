"""Token losses of a probe packed into one small file, with which a study travels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from foretell.errors import StudyError, UnknownName
from foretell.lm.probe import Probe, ProbeTitle, digest_of, read_probe, write_losses, write_probe
from foretell.wholefile import whole_file

FORMAT = 1
ARRAYS = ("title", "tokens", "high", "low")  # a float16's high byte repeats far more than its low one: 12 % smaller so


class Measured(BaseModel):
    """Name the checkpoint of a row of losses; a step that nobody recorded is None."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    step: int | None
    D: float


class PackTitle(BaseModel):
    """Describe a packed probe: the probe itself, and the checkpoints of its losses in order of rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    probe: ProbeTitle
    measured: tuple[Measured, ...]


def pack_probe(folder: str | Path, path: str | Path, sources: Sequence[str] | None = None) -> PackTitle:
    """Pack a probe's folder, `STUDY/tokens/NAME`, or the tokens of some of its sources, into one file.

    Losses stay as they were measured: the first token of a source was read after the last of the source before it,
    whether that is packed or not. Raises UnknownName for a source that the probe has not, StudyError where sources do
    not end with windows, and as `read_probe`.
    """
    found = read_probe(folder)
    title, kept = _part(found.title, sources)
    tokens = np.asarray(found.tokens)[kept]
    title = title.model_copy(update={"digest": digest_of(tokens, title.tokenizer, title.sequence, title.eos)})
    measured, rows = [], []
    for run in found.runs:
        for step, D, losses in zip(found.steps(run), found.D(run), found.losses(run), strict=True):
            measured.append(Measured(run=run, step=None if step < 0 else int(step), D=float(D)))
            rows.append(np.asarray(losses)[kept])
    made = PackTitle(probe=title, measured=tuple(measured))
    bits = np.array(rows).astype("<f2").view("<u2").reshape(len(rows), len(tokens))
    arrays = {
        "title": np.frombuffer(made.model_dump_json().encode(), np.uint8),
        "tokens": tokens,
        "high": (bits >> 8).astype(np.uint8),
        "low": (bits & 0xFF).astype(np.uint8),
    }
    try:
        with whole_file(Path(path)) as part, part.open("wb") as file:
            _save(file, arrays)
    except OSError as error:
        raise StudyError(f"{path} cannot be written: {error.strerror or error}") from None
    return made


def unpack_probe(path: str | Path, study: str | Path, name: str = "probe") -> Path:
    """Lay a packed probe and its losses into a study as `tokens/NAME/`; give that folder.

    Raises StudyError for a file that is absent, cut short or damaged, or whose losses are no numbers.
    """
    made, arrays = _load(path)
    title, tokens, high, low = made.probe, arrays["tokens"], arrays["high"], arrays["low"]
    shape = (len(made.measured), title.tokens)
    if tokens.shape != shape[1:] or high.shape != shape or low.shape != shape:
        raise StudyError(f"{path} describes {shape[0]} checkpoints of {shape[1]} tokens and holds {high.shape}")
    if title.digest != digest_of(tokens, title.tokenizer, title.sequence, title.eos):
        raise StudyError(f"the tokens of {path} are not those that it describes; it was damaged")
    losses = (high.astype("<u2") << 8 | low).astype("<u2").view("<f2").astype(np.float16)
    if not np.isfinite(losses).all():
        row = int(np.argmin(np.isfinite(losses).all(axis=1)))
        one = made.measured[row]
        raise StudyError(f"{path} holds losses of {one.run!r} at D = {one.D:.6g} that are no numbers; it was damaged")
    probe = Probe(title, tokens)
    folder = write_probe(study, name, probe)
    for one, row in zip(made.measured, losses, strict=True):
        write_losses(folder, probe, one.run, one.step, one.D, row)
    return folder


def _part(title: ProbeTitle, sources: Sequence[str] | None) -> tuple[ProbeTitle, NDArray[np.bool_]]:
    """Describe the part of a probe that is of some sources, and mark its tokens (n,)."""
    wanted = title.sources if sources is None else tuple(sorted(set(sources)))
    for name in wanted:
        if name not in title.sources:
            raise UnknownName("source of the probe", name, title.sources)
    share = title.tokens // len(title.sources)  # as make_probe takes them: evenly, one source after the other
    ends = np.cumsum(title.lengths)
    if share % title.sequence or title.tokens != share * len(title.sources):
        raise StudyError(
            f"the probe's sources have {share} tokens each in windows of {title.sequence}: parts of it cannot be told "
            "apart; pack the whole"
        )
    of_source = [title.sources[(int(end) - 1) // share] for end in ends]
    kept = np.repeat([name in wanted for name in title.sources], share)
    documents = [i for i, name in enumerate(of_source) if name in wanted]
    update = {
        "sources": wanted,
        "documents": tuple(title.documents[i] for i in documents),
        "lengths": tuple(title.lengths[i] for i in documents),
        "tokens": int(kept.sum()),
    }
    return title.model_copy(update=update), kept


def _save(file: BinaryIO, arrays: dict[str, NDArray[Any]]) -> None:
    """Write a zip of arrays whose bytes depend on nothing but what it holds."""
    from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

    with ZipFile(file, "w") as archive:
        for name in ARRAYS:
            entry = ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as into:
                np.lib.format.write_array(into, np.ascontiguousarray(arrays[name]), allow_pickle=False)


def _load(path: str | Path) -> tuple[PackTitle, dict[str, NDArray[Any]]]:
    import zlib

    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ARRAYS}
        return PackTitle.model_validate_json(arrays["title"].tobytes()), arrays
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        TypeError,
        AttributeError,
        BadZipFile,
        zlib.error,
        ValidationError,
    ) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise StudyError(f"{path} cannot be read: {said}; it is absent, cut short or damaged") from None
