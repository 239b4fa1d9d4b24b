"""The loss of many short texts of equal length under a causal model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from foretell.errors import CorpusError
from foretell.lm.validation import check_reach, cross_entropy

if TYPE_CHECKING:
    from foretell.corpus.corpus import Corpus
    from foretell.lm.scoring import Scores

Ids = NDArray[np.int64]

BATCH_TOKENS = 4096  # of a forward pass: as many as token losses take (lm/validation.py)


@dataclass(frozen=True)
class TextSet:
    """Hold n texts of one kind as tokens (n, w), of which the first `given` are read but not counted."""

    kind: str
    name: str
    tokens: Ids
    given: int = 0

    def losses(self, model: Any, eos: int, *, batch_tokens: int = BATCH_TOKENS) -> NDArray[np.float64]:
        """Give the mean loss (n,) of each text in nats a token; raises TrainError as `text_losses` does."""
        return text_losses(model, self.tokens, eos=eos, given=self.given, batch_tokens=batch_tokens)


def text_losses(
    model: Any, tokens: Ids, *, eos: int, given: int = 0, batch_tokens: int = BATCH_TOKENS
) -> NDArray[np.float64]:
    """Give the mean −log p (n,) in nats of the tokens (n, w) of each text from the one numbered `given` on.

    Each text is read alone, after the end-of-document token. Raises TrainError for texts longer than the model's
    context, or a token that it has no row for.
    """
    import torch

    n, width = tokens.shape
    check_reach(model, tokens, width)
    device = next(model.parameters()).device
    inputs = np.concatenate([np.full((n, 1), eos, np.int64), tokens[:, :-1]], axis=1)
    found = np.empty(n)
    rows = max(1, batch_tokens // width)
    with torch.inference_mode():
        for at in range(0, n, rows):
            read = torch.from_numpy(inputs[at : at + rows]).to(device)
            wanted = torch.from_numpy(np.ascontiguousarray(tokens[at : at + rows, given:])).to(device)
            logits = model(read, use_cache=False).logits[:, given:]
            nats = cross_entropy(logits.reshape(-1, logits.shape[-1]), wanted.reshape(-1))
            found[at : at + rows] = nats.view(len(read), -1).double().mean(1).cpu().numpy()
    return found


def held_out_texts(corpus: Corpus, sources: Sequence[str], *, count: int, width: int) -> Ids:
    """Take the beginnings (count, width) of as many held-out documents, evenly from the sources.

    Raises CorpusError when a source has too few documents so long.
    """
    taken: list[Ids] = []
    for at, source in enumerate(sources):
        share = count // len(sources) + (at < count % len(sources))
        documents = corpus.held_out(source)
        long = np.flatnonzero(documents.lengths > width)  # the end-of-document token is no text
        if len(long) < share:
            raise CorpusError(
                f"{len(long)} held-out documents of {source!r} have {width} tokens, {share} are needed; ask for fewer "
                "or shorter texts"
            )
        taken += [np.asarray(documents[int(i)][:width], np.int64) for i in long[:share]]
    return np.stack(taken)


def option_losses(scores: Scores) -> dict[str, NDArray[np.float64]]:
    """Give for each item the loss (n,) of its right option, and the mean of its wrong ones, in nats a token."""
    each = -scores.logprob / scores.tokens
    at = np.arange(len(scores)), scores.gold
    wrong = np.where(np.isfinite(scores.logprob), each, 0.0)
    wrong[at] = 0.0
    return {"right": each[at], "wrong": wrong.sum(1) / (np.isfinite(scores.logprob).sum(1) - 1)}
