"""Ranked classification: which of several options a model finds most likely after a prompt."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from foretell.errors import TrainError
from foretell.lm.task_item import EncodedItem, RankedItem, encode_item
from foretell.lm.task_logprobs import option_logprobs
from foretell.lm.validation import ratio

if TYPE_CHECKING:
    from foretell.corpus.tokenizer import Tokenizer

__all__ = ["EncodedItem", "Normalisation", "RankedItem", "Scores", "encode_item", "score", "score_encoded"]

Normalisation = Literal["none", "character", "byte", "token"]
Numbers = NDArray[np.float64]

BATCH_TOKENS = 8192  # options × tokens of a forward pass: some MiB of activations for a model of 1M


@dataclass(frozen=True)
class Scores:
    """Hold log-probabilities of n items' options.

    `logprob` (n, k) is in nats, −inf where an item has fewer than k options; `characters`, `bytes` and `tokens` (n, k)
    are the options' lengths, 1 there. `normalisation` is what each is divided by when nothing else is asked for.
    `truncated` names the items whose prompts were too long for the model.
    """

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    gold: NDArray[np.int64]
    logprob: Numbers
    characters: Numbers
    bytes: Numbers
    tokens: Numbers
    normalisation: Normalisation = "character"
    truncated: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def chance(self) -> float:
        """Give the accuracy of a guess."""
        return float(np.mean(1.0 / np.isfinite(self.logprob).sum(1)))

    def normalised(self, by: Normalisation | None = None) -> Numbers:
        """Give log p (n, k) of each option divided by its length."""
        name = by or self.normalisation
        if name == "none":
            return self.logprob
        lengths = {"character": self.characters, "byte": self.bytes, "token": self.tokens}
        return self.logprob / lengths[name]

    def predictions(self, by: Normalisation | None = None) -> NDArray[np.int64]:
        """Give the number of the likeliest option of each item (n,), the first of equals."""
        return np.asarray(np.argmax(self.normalised(by), axis=1))

    def outcomes(self, by: Normalisation | None = None) -> NDArray[np.bool_]:
        """Say of each item whether the right option is the likeliest (n,)."""
        return np.asarray(self.predictions(by) == self.gold)

    def bits_per_byte(self) -> Numbers:
        """Give the bits a byte that each right option costs (n,)."""
        right = np.arange(len(self)), self.gold
        return -self.logprob[right] / self.bytes[right] / math.log(2)

    def soft_losses(self, by: Normalisation | None = None) -> Numbers:
        """Give −log of the right option's share among the options (n,), in nats: log k where all are equal."""
        values = self.normalised(by)
        highest = values.max(axis=1)
        total = np.log(np.exp(values - highest[:, None]).sum(axis=1)) + highest
        return np.asarray(total - values[np.arange(len(self)), self.gold])

    def margins(self, by: Normalisation | None = None) -> Numbers:
        """Give by how much the right option beats the best wrong one (n,), in normalised nats."""
        values = self.normalised(by)
        right = np.arange(len(self)), self.gold
        others = values.copy()
        others[right] = -np.inf
        return np.asarray(values[right] - others.max(axis=1))

    def mean(self, values: NDArray[Any]) -> tuple[float, float]:
        """Give the mean of values (n,) of the items with its standard error, clustered by the items' groups."""
        names = [group or f"\0{item}" for item, group in zip(self.ids, self.groups, strict=True)]
        group = np.unique(names, return_inverse=True)[1]
        return ratio(np.bincount(group, np.asarray(values, np.float64)), np.bincount(group))


def score(
    model: Any,
    tokenizer: Tokenizer,
    items: Sequence[RankedItem],
    *,
    batch_tokens: int = BATCH_TOKENS,
    begin: tuple[int, ...] = (),
    normalisation: Normalisation = "character",
) -> Scores:
    """Rank the options of items under a causal model, as lm-evaluation-harness and OLMES do.

    Tokens are those of `encode_item`; options compare by log p a character of their text unless told otherwise (as
    `acc_norm` of the harness does; OLMES, arXiv 2406.08446, counts the space before an option as well). `batch_tokens`
    bounds options × tokens of a pass. Raises TrainError as `option_logprobs` does.
    """
    encoded = [encode_item(tokenizer, item, begin) for item in items]
    return score_encoded(model, encoded, batch_tokens=batch_tokens, normalisation=normalisation)


def score_encoded(
    model: Any,
    items: Sequence[EncodedItem],
    *,
    batch_tokens: int = BATCH_TOKENS,
    normalisation: Normalisation = "character",
) -> Scores:
    """Rank the options of items given as tokens; see `score`."""
    if not items:
        raise TrainError("there are no items to score; choose a task that has some")
    name, times = Counter(item.id for item in items).most_common(1)[0]
    if times > 1:
        raise TrainError(f"{times} items are called {name!r}; give each a name of its own")
    logprobs, truncated = option_logprobs(model, items, batch_tokens=batch_tokens)
    most = max(len(item.options) for item in items)
    return Scores(
        ids=tuple(item.id for item in items),
        groups=tuple(item.group for item in items),
        gold=np.array([item.gold for item in items]),
        logprob=_table(logprobs, most, -np.inf),
        characters=_table([item.characters for item in items], most, 1.0),
        bytes=_table([item.bytes for item in items], most, 1.0),
        tokens=_table([tuple(map(len, item.options)) for item in items], most, 1.0),
        normalisation=normalisation,
        truncated=tuple(truncated),
    )


def _table(rows: Sequence[Sequence[float] | Numbers], width: int, empty: float) -> Numbers:
    table = np.full((len(rows), width), empty)
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values
    return table
