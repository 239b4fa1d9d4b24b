"""A probe: a fixed stretch of held-out tokens, and the loss of each of them at every checkpoint."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from foretell.errors import CorpusError, StudyError, TrainError, UnknownName
from foretell.lm.validation import BATCH, token_losses
from foretell.wholefile import whole_file

if TYPE_CHECKING:
    from foretell.corpus.corpus import Corpus
    from foretell.corpus.tokenizer import Tokens

FORMAT = 1
FOLDER = "tokens"  # of a study; one folder a probe below it
TITLE, TOKENS, LOSSES = "probe.json", "tokens.npy", "losses"
Losses = NDArray[np.float16]
Title = TypeVar("Title", bound=BaseModel)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]*")


class ProbeTitle(BaseModel):
    """Describe a probe in `probe.json`: what was tokenised, how, and in which windows it is read.

    `documents` are digests of texts, `lengths` their tokens here (the last may be cut). `digest` names tokens,
    tokenizer, windows and end-of-document token together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    tokenizer: str
    sources: tuple[str, ...]
    documents: tuple[str, ...]
    lengths: tuple[int, ...]
    tokens: int
    sequence: int
    eos: int
    digest: str


class LossTitle(BaseModel):
    """Describe one checkpoint's losses, in `losses/RUN@STEP.json`; a step that nobody recorded is None."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    step: int | None
    D: float
    probe: str


@dataclass(frozen=True)
class Probe:
    """Hold the tokens (n,) of a probe and what describes them."""

    title: ProbeTitle
    tokens: Tokens

    def losses(self, model: Any, *, batch: int = BATCH) -> NDArray[np.float32]:
        """Measure −log p (n,) of every token under a causal model, in nats; raises TrainError as `token_losses`."""
        return token_losses(model, self.tokens, eos=self.title.eos, sequence=self.title.sequence, batch=batch)


@dataclass(frozen=True)
class ProbeFolder:
    """Read a probe and the losses that were measured on it; arrays stay on disk until they are used."""

    folder: Path
    title: ProbeTitle
    measured: tuple[LossTitle, ...]

    @cached_property
    def tokens(self) -> Tokens:
        """Map the tokens (n,)."""
        return _mapped(self.folder / TOKENS, self.title.tokens)

    @property
    def runs(self) -> list[str]:
        """Name the runs that have losses."""
        return sorted({title.run for title in self.measured})

    def D(self, run: str) -> NDArray[np.float64]:
        """Give the training tokens of a run's checkpoints, in order; raises UnknownName."""
        return np.array([title.D for title in self._of(run)])

    def steps(self, run: str) -> NDArray[np.int64]:
        """Give the steps of a run's checkpoints, in order of D, −1 where not recorded; raises UnknownName."""
        return np.array([-1 if title.step is None else title.step for title in self._of(run)])

    def losses(self, run: str) -> Iterator[Losses]:
        """Give the losses (n,) of each checkpoint of a run in order of D, mapped from disk.

        Raises UnknownName for a run without losses, StudyError for a file cut short or with losses that are no numbers.
        """
        for title in self._of(run):
            path = self.folder / LOSSES / f"{_stem(title)}.npy"
            values = _mapped(path, self.title.tokens, np.float16)
            if not np.isfinite(values).all():
                raise StudyError(f"{path} holds losses that are no numbers; remove it and evaluate {run!r} again")
            yield values

    def _of(self, run: str) -> list[LossTitle]:
        found = sorted((title for title in self.measured if title.run == run), key=lambda title: title.D)
        if not found:
            raise UnknownName("run with losses of tokens", run, self.runs)
        return found


def make_probe(
    corpus: Corpus, sources: str | Sequence[str] | None = None, *, tokens: int = 1 << 16, sequence: int = 256
) -> Probe:
    """Take the first tokens of the held-out part of a source, or evenly of several (all when none is named).

    Raises CorpusError when there are fewer, UnknownName for a source that the corpus does not have.
    """
    names = corpus.sources if sources is None else [sources] if isinstance(sources, str) else sorted(set(sources))
    share = tokens // max(1, len(names))
    if share < 1 or sequence < 1:
        raise CorpusError(
            f"a probe of {tokens} tokens from {len(names)} sources in windows of {sequence} cannot be made"
        )
    parts, digests, lengths = [], [], []
    for name in names:
        documents = corpus.held_out(name)
        if len(documents.tokens) < share:
            raise CorpusError(
                f"the held-out part of {name!r} has {len(documents.tokens)} tokens, a probe asks for {share}; "
                "ask for fewer, or hold out more"
            )
        taken = np.asarray(documents.tokens[:share])
        count = int(np.searchsorted(documents.offsets, share, side="left"))
        parts.append(taken)
        digests += [str(digest) for digest in documents.digests[:count]]
        lengths += np.diff(np.minimum(documents.offsets[: count + 1], share)).tolist()
    every = np.concatenate(parts)
    title = ProbeTitle(
        tokenizer=corpus.tokenizer.digest,
        sources=tuple(names),
        documents=tuple(digests),
        lengths=tuple(lengths),
        tokens=len(every),
        sequence=sequence,
        eos=corpus.tokenizer.eos,
        digest=digest_of(every, corpus.tokenizer.digest, sequence, corpus.tokenizer.eos),
    )
    return Probe(title, every)


def digest_of(tokens: Tokens, tokenizer: str, sequence: int, eos: int) -> str:
    """Name tokens (n,), tokenizer, windows and end-of-document token together."""
    return hashlib.sha256(repr((tokenizer, sequence, eos)).encode() + tokens.astype("<i8").tobytes()).hexdigest()


def write_probe(study: str | Path, name: str, probe: Probe) -> Path:
    """Write a probe into a study as `tokens/NAME/`, and give that folder; the same probe there is left as it is.

    Raises StudyError when another probe has the name, or the folder cannot be written.
    """
    folder = check_probe(study, name, probe)
    if (folder / TITLE).is_file():
        return folder
    _write(folder / TOKENS, lambda file: np.save(file, probe.tokens, allow_pickle=False))
    _write(folder / TITLE, lambda file: file.write(probe.title.model_dump_json(indent=1).encode()))
    return folder


def check_probe(study: str | Path, name: str, probe: Probe) -> Path:
    """Give the folder of a probe in a study; raises StudyError when another probe has the name, or no folder can."""
    if not _NAME.fullmatch(name):
        raise StudyError(f"a probe is called {name!r}; use letters, digits and . _ = + - (it becomes a folder's name)")
    folder = Path(study) / FOLDER / name
    if (folder / TITLE).is_file():
        _refuse_other(_title(folder), probe.title.digest, f"the probe {folder}")
    return folder


def write_losses(folder: str | Path, probe: Probe, run: str, step: int | None, D: float, losses: NDArray[Any]) -> Path:
    """Write the losses (n,) of one checkpoint into a probe's folder as float16, whole or not at all.

    Raises TrainError for losses that are no numbers or not as many as tokens, StudyError when the folder holds another
    probe or cannot be written.
    """
    place = Path(folder)
    _refuse_other(_title(place), probe.title.digest, f"the probe {place}")
    if losses.shape != (probe.title.tokens,):
        raise TrainError(f"run {run!r} has losses of shape {losses.shape}, the probe {probe.title.tokens} tokens")
    with np.errstate(over="ignore"):
        small = losses.astype(np.float16)
    if not np.isfinite(small).all():
        raise TrainError(f"run {run!r} has losses at D = {D:.6g} that are no numbers; nothing was written")
    title = LossTitle(run=run, step=step, D=D, probe=probe.title.digest)
    stem = _stem(title)
    _write(place / LOSSES / f"{stem}.npy", lambda file: np.save(file, small, allow_pickle=False))
    _write(place / LOSSES / f"{stem}.json", lambda file: file.write(title.model_dump_json().encode()))
    return place / LOSSES / f"{stem}.npy"


def read_probe(folder: str | Path, *, tokenizer: str | None = None) -> ProbeFolder:
    """Open a probe's folder, `STUDY/tokens/NAME`.

    Raises StudyError when it is absent or damaged, its tokens are not those described, its tokenizer is not the one of
    the digest given, or losses were measured on another probe.
    """
    place = Path(folder)
    title = _title(place)
    if tokenizer is not None and tokenizer != title.tokenizer:
        raise StudyError(
            f"the probe {place} was made with another tokenizer (digest {title.tokenizer[:12]}, "
            f"wanted {tokenizer[:12]}); choose another name for the probe"
        )
    tokens = _mapped(place / TOKENS, title.tokens)
    if title.digest != digest_of(tokens, title.tokenizer, title.sequence, title.eos):
        raise StudyError(f"the tokens of the probe {place} are not those that {TITLE} describes; evaluate again")
    measured = []
    for path in sorted((place / LOSSES).glob("[!.]*.json")):
        of_checkpoint = _read(path, LossTitle)
        if of_checkpoint.probe != title.digest:
            raise StudyError(
                f"{path} was measured on another probe; remove it, or evaluate {of_checkpoint.run!r} again"
            )
        if not path.with_suffix(".npy").is_file():
            raise StudyError(f"{path.with_suffix('.npy')} is missing; evaluate {of_checkpoint.run!r} again")
        measured.append(of_checkpoint)
    return ProbeFolder(place, title, tuple(measured))


def _title(folder: Path) -> ProbeTitle:
    if not (folder / TITLE).is_file():
        raise StudyError(f"there is no probe at {folder}; make one with `foretell evaluate … --probe SOURCE`")
    return _read(folder / TITLE, ProbeTitle)


def _read(path: Path, kind: type[Title]) -> Title:
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise StudyError(f"{path} cannot be read: {str(error).splitlines()[0]}; evaluate again") from None


def _mapped(path: Path, tokens: int, dtype: type[np.generic] | None = None) -> NDArray[Any]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise StudyError(f"{path} cannot be read: {error}; it was cut short or damaged: evaluate again") from None
    if array.shape != (tokens,) or (dtype is not None and array.dtype != dtype):
        raise StudyError(
            f"{path} holds {array.dtype} of shape {array.shape}, the probe has {tokens} tokens; evaluate again"
        )
    return np.asarray(array) if dtype is None else array


def _write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part, part.open("wb") as file:
            fill(file)
    except OSError as error:
        raise StudyError(f"{path} cannot be written: {error.strerror or error}") from None


def _stem(title: LossTitle) -> str:
    """Name the files of a checkpoint: RUN@STEP or RUN@DTOKENS; a name that no file can bear gets a digest."""
    run = title.run
    if not _NAME.fullmatch(run):
        run = (
            f"{re.sub(r'[^A-Za-z0-9._=+-]+', '_', run).lstrip('._=+-')}-{hashlib.sha256(run.encode()).hexdigest()[:8]}"
        )
    return f"{run}@{f'D{title.D:.0f}' if title.step is None else title.step}"


def _refuse_other(title: ProbeTitle, digest: str, what: str) -> None:
    if title.digest != digest:
        raise StudyError(
            f"{what} holds other tokens (digest {title.digest[:12]}, these have {digest[:12]}); choose another name"
        )
