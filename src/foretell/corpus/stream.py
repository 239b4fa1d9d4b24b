"""A stream: the batches that a mixture of pools gives, each fixed by the seed and its step."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.corpus.corpus import Corpus
from foretell.corpus.documents import Documents
from foretell.errors import CorpusError
from foretell.units import format_count

GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0  # its multiples fill 0..1 more evenly than any other number's
KEPT_ORDERS = 2  # the epoch that is read, and the next, which a window may reach into
SUM_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Pool:
    """Hold the first documents of a source, at least `asked` tokens of them: what a run may see of it.

    The documents of a source lie in shuffled order, so that a smaller pool is a random part of a larger one.
    """

    source: str
    documents: Documents
    count: int

    @property
    def tokens(self) -> int:
        """Count the tokens."""
        return int(self.documents.offsets[self.count])


def pool_of(corpus: Corpus, source: str, asked: float | None = None) -> Pool:
    """Take whole documents of a source until there are `asked` tokens; all where nothing is asked.

    Raises CorpusError when the source has fewer.
    """
    documents = corpus.train(source)
    if asked is None:
        return Pool(source, documents, len(documents))
    if asked > documents.offsets[-1]:
        raise CorpusError(
            f"a pool of {format_count(asked)} tokens of {source} was asked, which has "
            f"{format_count(int(documents.offsets[-1]))}; lower the pool or add text"
        )
    return Pool(source, documents, int(np.searchsorted(documents.offsets, asked, side="left")))


@dataclass(frozen=True)
class Usage:
    """Count what a run took from one source: tokens, how many of them differ in place, and epochs over the pool."""

    source: str
    tokens: int
    unique: int
    epochs: float


class Stream:
    """Give batch after batch of token windows from a mixture of pools.

    Each step's `batch` windows are shared among the sources by systematic sampling: source i gets its share of the
    batch rounded down or up, and exactly its share on average over seeds. A source's windows follow each other through
    its documents, which every epoch takes in a new order. All is fixed by (weights, pools, seed, step).
    Raises CorpusError when a weight names no source or the weights do not sum to 1.
    """

    def __init__(
        self,
        corpus: Corpus,
        weights: Mapping[str, float],
        pools: Mapping[str, float],
        batch: int,
        sequence: int,
        seed: int,
    ) -> None:
        total = sum(weights.values())
        if not weights or not math.isclose(total, 1.0, abs_tol=SUM_TOLERANCE) or min(weights.values()) < 0:
            raise CorpusError(f"the weights of a mixture are shares that sum to 1; these sum to {total:.6g}")
        self.names = [name for name in sorted(weights) if weights[name] > 0]
        self.pools = [pool_of(corpus, name, pools.get(name)) for name in self.names]
        self.batch, self.sequence, self.seed = batch, sequence, seed
        ends = np.cumsum([weights[name] for name in self.names]) / total
        ends[-1] = 1.0
        self._ends = np.concatenate([[0.0], ends]) * batch
        self._start = float(np.random.default_rng([seed, 0]).random())
        self._drawn: tuple[int, NDArray[np.int64]] = (0, np.zeros(len(self.names), dtype=np.int64))
        self._orders: OrderedDict[tuple[int, int], tuple[NDArray[np.int64], NDArray[np.int64]]] = OrderedDict()

    def windows(self, steps: int) -> NDArray[np.int64]:
        """Count the windows drawn from each source in the first `steps` steps."""
        return self._between(0, steps)

    def usage(self, steps: int) -> list[Usage]:
        """Account for the tokens of the first `steps` steps, exactly."""
        made = []
        for name, pool, windows in zip(self.names, self.pools, self.windows(steps), strict=True):
            tokens = int(windows) * self.sequence
            made.append(Usage(name, tokens, min(tokens, pool.tokens), tokens / pool.tokens))
        return made

    def batch_at(self, step: int) -> NDArray[np.int64]:
        """Give the windows of a step, (batch, sequence + 1) token ids: each but the first is to be predicted."""
        done, counts = self._drawn
        counts = counts + self._between(done, step) if step >= done else self._between(0, step)
        self._drawn = (step, counts)
        made = np.empty((self.batch, self.sequence + 1), dtype=np.int64)
        row = 0
        for i, (first, more) in enumerate(zip(counts, self._between(step, step + 1), strict=True)):
            for k in range(int(first), int(first + more)):
                self._read(i, k * self.sequence, made[row])
                row += 1
        return made

    def _between(self, first: int, last: int) -> NDArray[np.int64]:
        """Count each source's windows from step `first` up to, not including, step `last`."""
        total = np.zeros(len(self.names), dtype=np.int64)
        for low in range(first, last, 1 << 16):  # whole blocks: the memory of a long run's steps is bounded
            steps = np.arange(low, min(last, low + (1 << 16)), dtype=np.float64)
            offset = (self._start + GOLDEN * steps) % 1.0
            marks = np.ceil(self._ends[None, :] - offset[:, None]).astype(np.int64)
            marks[:, -1] = self.batch  # ceil(batch − offset): never one less by rounding
            marks[:, 0] = 0
            total += np.diff(marks, axis=1).sum(axis=0)
        return total

    def _read(self, i: int, position: int, out: NDArray[np.int64]) -> None:
        """Fill `out` from a position of a source's endless row of epochs."""
        pool, filled = self.pools[i], 0
        while filled < len(out):
            epoch, at = divmod(position + filled, pool.tokens)
            order, ends = self._order(i, epoch)
            document = int(np.searchsorted(ends, at, side="right"))
            d = order[document]
            start = int(pool.documents.offsets[d]) + at - (int(ends[document - 1]) if document else 0)
            stop = min(int(pool.documents.offsets[d + 1]), start + len(out) - filled)
            out[filled : filled + stop - start] = pool.documents.tokens[start:stop]
            filled += stop - start

    def _order(self, i: int, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        key = (i, epoch)
        if key not in self._orders:
            pool = self.pools[i]
            # the source's name, not its place: a source added to a mixture leaves the others' order alone
            rng = np.random.default_rng([self.seed, 1, epoch, *pool.source.encode()])
            order = rng.permutation(pool.count)
            self._orders[key] = order, np.cumsum(pool.documents.lengths[order])
            while len(self._orders) > KEPT_ORDERS * len(self.names):
                self._orders.popitem(last=False)
        self._orders.move_to_end(key)
        return self._orders[key]
