"""Documents: tokens of many texts in one row, with where each begins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.corpus.tokenizer import Tokens
from foretell.errors import CorpusError


@dataclass(frozen=True)
class Documents:
    """Hold `tokens` of all documents, each ended by the end-of-document token, mapped from disk.

    Document i is `tokens[offsets[i]:offsets[i + 1]]`; `bytes` and `digests` are those of its text.
    """

    tokens: Tokens
    offsets: NDArray[np.int64]
    bytes: NDArray[np.int64]
    digests: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> Tokens:
        if not 0 <= i < len(self):
            raise IndexError(i)
        return self.tokens[self.offsets[i] : self.offsets[i + 1]]

    def __iter__(self) -> Iterator[Tokens]:
        return (self[i] for i in range(len(self)))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Give the tokens of each document."""
        return np.diff(self.offsets)


def read_documents(folder: Path, part: str, dtype: str, tokens: int) -> Documents:
    """Map a part (train or held_out) of a source; raises CorpusError when a file is absent or cut short."""
    paths = {name: folder / f"{part}.{name}" for name in ("tokens", "offsets.npy", "bytes.npy", "digests.npy")}
    for path in paths.values():
        if not path.is_file():
            raise CorpusError(f"the corpus lacks {path}; build it again")
    size = tokens * np.dtype(dtype).itemsize
    if (found := paths["tokens"].stat().st_size) != size:
        raise CorpusError(f"{paths['tokens']} has {found} bytes, {size} were written; it was cut short: build it again")
    try:
        offsets, lengths, digests = (
            np.load(paths[name], allow_pickle=False) for name in ("offsets.npy", "bytes.npy", "digests.npy")
        )
    except (OSError, ValueError) as error:
        raise CorpusError(f"the corpus {folder} cannot be read: {error}; build it again") from None
    mapped: NDArray[Any] = (
        np.memmap(paths["tokens"], dtype=dtype, mode="r") if tokens else np.zeros(0, dtype)  # no file of 0 bytes maps
    )
    return Documents(mapped, offsets, lengths, digests.astype(np.str_))
