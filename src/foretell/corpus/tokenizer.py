"""A tokenizer: bytes, or any file that the `tokenizers` library reads."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.errors import CorpusError

Tokens = NDArray[np.integer[Any]]

BYTES_FILE = "foretell_tokenizer.json"
TOKENS_FILE = "tokenizer.json"
END_NAMES = ("<|endoftext|>", "</s>", "<eos>", "<|end_of_text|>", "[EOS]", "[SEP]")


class Tokenizer(ABC):
    """Turn text into token ids; `eos` ends a document, `vocabulary` counts ids, `digest` names the mapping."""

    eos: int
    vocabulary: int
    digest: str

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Give the ids of a text, without special tokens."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """Give the text of ids; what is no valid text becomes U+FFFD."""

    @abstractmethod
    def bytes_of(self, ids: Sequence[int]) -> int:
        """Count the UTF-8 bytes that ids stand for; the end of a document counts none."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the tokenizer into a folder, so that `read_tokenizer` makes it again."""


class ByteTokenizer(Tokenizer):
    """Take each UTF-8 byte as a token: ids 0 to 255, and 256 for the end of a document."""

    def __init__(self) -> None:
        self.eos = 256
        self.vocabulary = 257
        self.digest = hashlib.sha256(b"bytes, 256 ends a document").hexdigest()

    def encode(self, text: str) -> list[int]:
        """Give the bytes of a text."""
        return list(text.encode("utf-8"))

    def decode(self, ids: Sequence[int]) -> str:
        """Give the text of bytes; the end of a document reads as nothing."""
        return bytes(i for i in ids if i < self.eos).decode("utf-8", errors="replace")

    def bytes_of(self, ids: Sequence[int]) -> int:
        """Count the bytes."""
        return int(np.count_nonzero(np.asarray(ids) < self.eos))

    def save(self, folder: Path) -> None:
        """Write a note that says bytes."""
        (folder / BYTES_FILE).write_text(json.dumps({"kind": "bytes", "eos": self.eos}) + "\n", encoding="utf-8")


class FileTokenizer(Tokenizer):
    """Use a `tokenizer.json`; raises CorpusError when it cannot be read or names no end of a document."""

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer as Rust

        try:
            raw = path.read_bytes()
            self._rust = Rust.from_buffer(raw)
        except Exception as error:  # the library raises bare Exceptions
            raise CorpusError(f"the tokenizer {path} cannot be read: {error}; give a tokenizer.json") from None
        self._raw = raw
        self.digest = hashlib.sha256(raw).hexdigest()
        self.vocabulary = self._rust.get_vocab_size(with_added_tokens=True)
        ends = [i for name in END_NAMES if (i := self._rust.token_to_id(name)) is not None]
        if not ends:
            raise CorpusError(
                f"the tokenizer {path} has no token that ends a document ({', '.join(END_NAMES)}); add one of these"
            )
        self.eos = ends[0]

    def encode(self, text: str) -> list[int]:
        """Give the ids of a text, without special tokens."""
        ids: list[int] = self._rust.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Give the text of ids."""
        text: str = self._rust.decode([int(i) for i in ids], skip_special_tokens=True)
        return text

    def bytes_of(self, ids: Sequence[int]) -> int:
        """Count the bytes of the decoded text."""
        return len(self.decode(ids).encode("utf-8"))

    def save(self, folder: Path) -> None:
        """Write the file as it was read."""
        (folder / TOKENS_FILE).write_bytes(self._raw)


def read_tokenizer(place: str | Path) -> Tokenizer:
    """Make the tokenizer that a word (`bytes`), a tokenizer.json, or a folder that holds either stands for.

    Raises CorpusError when there is none.
    """
    if str(place) == "bytes":
        return ByteTokenizer()
    path = Path(place)
    if path.is_dir():
        if (path / BYTES_FILE).is_file():
            return ByteTokenizer()
        path = path / TOKENS_FILE
    if not path.is_file():
        raise CorpusError(f"there is no tokenizer at {path}; give `bytes` or a tokenizer.json")
    return ByteTokenizer() if path.name == BYTES_FILE else FileTokenizer(path)
