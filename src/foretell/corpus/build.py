"""Building a corpus: texts become shuffled token shards, split by a hash of each document."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.corpus.corpus import TITLE, Corpus, CorpusTitle, Part, SourceTitle, open_corpus
from foretell.corpus.texts import Skipped, files_of, texts_of
from foretell.corpus.tokenizer import ByteTokenizer, Tokenizer, read_tokenizer
from foretell.errors import CorpusError

Kind = np.dtype[np.uint16] | np.dtype[np.uint32]

HELD_OUT = 0.01  # share of documents; a corpus of 100 MB leaves 1 MB, whose loss is known to about .005 nats
DIGEST_BYTES = 16


@dataclass(frozen=True)
class Texts:
    """Say where a source's texts lie: a path or pattern, the column of rows, the longest document in bytes."""

    place: str
    column: str = "text"
    longest: int | None = None


def build_corpus(
    sources: Mapping[str, Texts],
    folder: str | Path,
    *,
    tokenizer: str | Path = "bytes",
    held_out: float = HELD_OUT,
    seed: int = 0,
    on_document: Callable[[str, int], None] | None = None,
) -> Corpus:
    """Tokenize texts into a corpus folder, which appears whole or not at all.

    A document is held out when the first eight bytes of the SHA-256 of its text, as a share of 2^64, lie below
    `held_out`: the same text always falls on the same side. Texts met twice are taken once, also across sources: the
    first source that has it keeps it. Training documents are shuffled by `seed`. `on_document(source, tokens)` is
    called now and then. Raises CorpusError when a source has no text, the folder exists, or it cannot be written.
    """
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CorpusError(f"{target} exists already; choose another place, or remove it")
    if not sources:
        raise CorpusError("no source was named; give NAME=PATH, such as code=/usr/lib/python3")
    if not 0 < held_out < 1:
        raise CorpusError(f"the held-out share is {held_out}; it lies between 0 and 1, such as 0.01")
    if seed < 0:
        raise CorpusError(f"the seed is {seed}; it is 0 or more")
    for name, texts in sources.items():
        if not name or not all(c.isalnum() or c in "._-" for c in name) or name.startswith("."):
            raise CorpusError(f"the source name {name!r} names a folder and a metric: use letters, digits, _ and -")
        if texts.longest is not None and texts.longest < 1:
            raise CorpusError(f"the longest document of {name} is {texts.longest} bytes; it is 1 or more")
    files = {name: files_of(texts.place) for name, texts in sources.items()}
    made = read_tokenizer(tokenizer)
    dtype: Kind = np.dtype(np.uint16) if made.vocabulary <= 1 << 16 else np.dtype(np.uint32)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    try:
        seen: set[bytes] = set()
        titles = {
            name: _build_source(
                name, texts, files[name], temporary / name, made, dtype, held_out, seed, seen, on_document
            )
            for name, texts in sources.items()
        }
        made.save(temporary)
        title = CorpusTitle(
            tokenizer=made.digest,
            vocabulary=made.vocabulary,
            dtype=dtype.name,
            seed=seed,
            held_out=held_out,
            sources=titles,
        )
        (temporary / TITLE).write_text(json.dumps(title.model_dump(), indent=1) + "\n", encoding="utf-8")
        temporary.chmod(0o755)
        os.replace(temporary, target)
    except OSError as error:
        if isinstance(error, CorpusError):
            raise
        raise CorpusError(f"{target} cannot be written: {error.strerror or error}; nothing was left behind") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return open_corpus(target)


def _build_source(
    name: str,
    texts: Texts,
    files: list[Path],
    folder: Path,
    tokenizer: Tokenizer,
    dtype: Kind,
    held_out: float,
    seed: int,
    seen: set[bytes],
    on_document: Callable[[str, int], None] | None,
) -> SourceTitle:
    """Write one source in two passes: tokens in the order they are read, then each part in its own order."""
    folder.mkdir()
    skipped = Skipped()
    lengths: list[int] = []
    sizes: list[int] = []
    digests: list[bytes] = []
    total = 0
    with (folder / "raw").open("wb") as file:
        for path in files:
            for text in texts_of(path, texts.column, texts.longest, skipped):
                raw = text.encode("utf-8", errors="replace")
                digest = hashlib.sha256(raw).digest()[:DIGEST_BYTES]
                if digest in seen:
                    skipped.add("repeated", str(path))
                    continue
                seen.add(digest)
                ids = _ids(raw, text, tokenizer, dtype)
                file.write(ids.tobytes())
                lengths.append(len(ids))
                sizes.append(len(raw))
                digests.append(digest)
                total += len(ids)
                if on_document and len(lengths) % 1000 == 0:
                    on_document(name, total)
    if not lengths:
        raise CorpusError(f"source {name} has no text at {texts.place}: {'; '.join(skipped.words()) or 'no document'}")
    raw_tokens = np.memmap(folder / "raw", dtype=dtype, mode="r")
    starts = np.concatenate([[0], np.cumsum(lengths)])
    share = np.array([int.from_bytes(d[:8], "big") for d in digests], dtype=np.float64) / 2.0**64
    order = np.random.default_rng([seed, len(lengths)]).permutation(len(lengths))
    parts: dict[str, Part] = {}
    hashed = hashlib.sha256()
    for part, of_part in (("train", share >= held_out), ("held_out", share < held_out)):
        chosen = order[of_part[order]]
        offsets = np.concatenate([[0], np.cumsum(np.array(lengths, dtype=np.int64)[chosen])])
        with (folder / f"{part}.tokens").open("wb") as file:
            for i in chosen:
                piece = raw_tokens[starts[i] : starts[i + 1]].tobytes()
                file.write(piece)
                if part == "train":
                    hashed.update(piece)
        np.save(folder / f"{part}.offsets.npy", offsets.astype(np.int64))
        np.save(folder / f"{part}.bytes.npy", np.array(sizes, dtype=np.int64)[chosen])
        np.save(
            folder / f"{part}.digests.npy", np.array([digests[i].hex() for i in chosen], dtype=f"U{2 * DIGEST_BYTES}")
        )
        parts[part] = Part(
            documents=len(chosen), tokens=int(offsets[-1]), bytes=int(np.array(sizes, dtype=np.int64)[chosen].sum())
        )
    del raw_tokens
    (folder / "raw").unlink()
    for part, counts in parts.items():
        if not counts.documents:
            raise CorpusError(
                f"source {name} has {len(lengths)} documents, and none fell into the {part.replace('_', '-')} part; "
                "raise --held-out, or cut long documents with --longest"
            )
    return SourceTitle(**parts, digest=hashed.hexdigest(), notes=tuple(skipped.words()))


def _ids(raw: bytes, text: str, tokenizer: Tokenizer, dtype: Kind) -> NDArray[Any]:
    if isinstance(tokenizer, ByteTokenizer):  # no list of Python integers on the way
        return np.append(np.frombuffer(raw, np.uint8).astype(dtype), dtype.type(tokenizer.eos))
    return np.array([*tokenizer.encode(text), tokenizer.eos], dtype=dtype)
