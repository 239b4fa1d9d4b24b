"""The losses of every token of a probe at every checkpoint of a run, read from disk block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foretell.errors import StudyError

Array = NDArray[np.float64]
Losses = NDArray[np.float16]

BLOCK = 1 << 17  # tokens read at once: 10 MB at 40 checkpoints


@dataclass(frozen=True)
class Row:
    """Say where the losses of one checkpoint begin: a file, and the bytes before the first."""

    path: Path
    offset: int


@dataclass(frozen=True)
class TokenLosses:
    """Name the losses (checkpoints, tokens) in nats as float16, without holding them.

    `D` (c,) are the training tokens of the checkpoints, rising. Files are read, not mapped: what was read is let go.
    """

    run: str
    D: Array
    rows: tuple[Row, ...]
    tokens: int

    @classmethod
    def of_files(cls, run: str, D: Sequence[float] | Array, paths: Sequence[Path], tokens: int) -> TokenLosses:
        """Take one `.npy` file (tokens,) a checkpoint; raises StudyError when one is absent, other or cut short."""
        rows = tuple(Row(path, _offset(path, (tokens,))) for path in paths)
        return cls(run, np.asarray(D, np.float64), rows, tokens)

    @classmethod
    def of_matrix(cls, run: str, D: Sequence[float] | Array, path: Path) -> TokenLosses:
        """Take one `.npy` file (checkpoints, tokens); raises StudyError when it is other or cut short."""
        try:
            shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
        except (OSError, ValueError, EOFError) as error:
            raise StudyError(f"{path} cannot be read: {error}; it was cut short or damaged") from None
        if len(shape) != 2 or shape[0] != len(D):
            raise StudyError(f"{path} holds losses of shape {shape}, {len(D)} checkpoints were named")
        first = _offset(path, shape)
        rows = tuple(Row(path, first + 2 * shape[1] * at) for at in range(shape[0]))
        return cls(run, np.asarray(D, np.float64), rows, int(shape[1]))

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, kept: NDArray[np.bool_]) -> TokenLosses:
        """Keep some of the checkpoints (c,)."""
        rows = tuple(row for row, keep in zip(self.rows, kept, strict=True) if keep)
        return replace(self, D=self.D[kept], rows=rows)

    def read(self, first: int, last: int) -> Losses:
        """Read the losses (checkpoints, last − first) of some tokens; raises StudyError for a file cut short."""
        block = np.empty((len(self.rows), last - first), np.float16)
        for into, row in zip(block, self.rows, strict=True):
            found = self._piece(row, first, last)
            if len(found) != last - first:
                raise StudyError(f"{row.path} was cut short: token {first + len(found)} is missing; evaluate again")
            into[:] = found
        return block

    def checkpoint(self, at: int) -> Losses:
        """Read all losses (tokens,) of a checkpoint; raises StudyError for losses that are no numbers."""
        found = self._piece(self.rows[at], 0, self.tokens)
        if not np.isfinite(found).all():
            raise not_a_number(self.run, self.D[at], int(np.argmin(np.isfinite(found))))
        return found

    def blocks(self, size: int = BLOCK) -> Iterator[tuple[int, int]]:
        """Cut the tokens into blocks (first, last)."""
        return ((at, min(at + size, self.tokens)) for at in range(0, self.tokens, size))

    @staticmethod
    def _piece(row: Row, first: int, last: int) -> Losses:
        try:
            return np.fromfile(row.path, np.float16, last - first, offset=row.offset + 2 * first)
        except OSError as error:
            raise StudyError(f"{row.path} cannot be read: {error.strerror or error}; evaluate again") from None


@dataclass(frozen=True)
class RunLosses:
    """Hold a run's losses beside what tells it apart: its size, the rung it belongs to, what was measured.

    `trunk` (c,) marks the checkpoints of the trajectory proper: those before any cool-down. `size` is N as the study
    counts it; `C` (c,) is FLOP.
    """

    losses: TokenLosses
    size: float
    rung: str
    trunk: NDArray[np.bool_]
    C: Array

    @property
    def run(self) -> str:
        """Name the run."""
        return self.losses.run

    @property
    def trajectory(self) -> TokenLosses:
        """Keep the checkpoints of the trunk."""
        return self.losses.take(self.trunk)


def not_a_number(run: str, D: float, token: int) -> StudyError:
    """Say which loss is no number."""
    return StudyError(
        f"run {run!r} has a loss that is no number at D = {D:.6g}, token {token}; remove that checkpoint's file and "
        "evaluate it again"
    )


def _offset(path: Path, shape: tuple[int, ...]) -> int:
    """Give the bytes of a `.npy` header, and check the file behind it."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise StudyError(f"{path} cannot be read: {error}; it was cut short or damaged: evaluate again") from None
    if not isinstance(array, np.memmap) or array.shape != shape or array.dtype != np.float16:
        raise StudyError(f"{path} holds {array.dtype} of shape {array.shape}, float16 of {shape} was expected")
    if not array.flags.c_contiguous:
        raise StudyError(f"{path} is stored column by column; store it row by row (np.ascontiguousarray)")
    return int(array.offset)
