"""Validation loss: nats a token of held-out documents, with the doubt that comes of having so many of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from foretell.errors import CorpusError, TrainError

if TYPE_CHECKING:
    from foretell.corpus.documents import Documents
    from foretell.corpus.tokenizer import Tokens

BATCH = 16  # windows a forward pass, as in training
ROWS = 64  # of logits turned to float32 at once on a processor, whose cache holds them
DEVICE_ROWS = 4096  # on a device, where each call costs the same


@dataclass(frozen=True)
class Loss:
    """Hold a validation loss over `tokens` tokens of `documents` documents.

    `stderr` belongs to `nats_per_token` and `stderr_bpb` to `bits_per_byte`; both are nan for one document.
    """

    nats_per_token: float
    bits_per_byte: float
    stderr: float
    stderr_bpb: float
    tokens: int
    documents: int


def validation_loss(
    model: Any, documents: Documents, *, sequence: int, batch: int = BATCH, most_tokens: int | None = None
) -> Loss:
    """Measure a causal model's loss on documents, each of their tokens predicted exactly once.

    Documents follow one another in windows of `sequence` tokens; a document's first token is predicted from the
    end-of-document token. The first documents that hold at most `most_tokens` are taken, at least one. The standard
    error is that of a ratio of sums over documents. Raises CorpusError where there is none.
    """
    offsets, sizes = documents.offsets, documents.bytes
    if not len(documents):
        raise CorpusError("there is no held-out document to evaluate on; build the corpus with a larger held-out part")
    if most_tokens is not None:
        count = max(1, int(np.searchsorted(offsets, most_tokens, side="right")) - 1)
        offsets, sizes = offsets[: count + 1], sizes[:count]
    tokens = documents.tokens[: offsets[-1]]
    losses = token_losses(model, tokens, eos=int(tokens[-1]), sequence=sequence, batch=batch)
    nats = np.add.reduceat(losses.astype(np.float64), offsets[:-1])
    value, stderr = ratio(nats, np.diff(offsets))
    if sizes.sum() == 0:
        raise CorpusError("the held-out documents stand for no byte of text; build the corpus again")
    per_byte, stderr_byte = ratio(nats, sizes)
    return Loss(
        nats_per_token=value,
        bits_per_byte=per_byte / math.log(2),
        stderr=stderr,
        stderr_bpb=stderr_byte / math.log(2),
        tokens=len(tokens),
        documents=len(sizes),
    )


def ratio(sums: NDArray[Any], sizes: NDArray[Any]) -> tuple[float, float]:
    """Give the ratio of two totals over independent groups (documents), with its standard error.

    `sums` (n,) and `sizes` (n,) are one entry a group; linearised variance of a ratio estimator (Cochran, Sampling
    Techniques, 1977, eq. 6.13). The error of one group is nan.
    """
    total = float(sizes.sum())
    value = float(sums.sum()) / total
    n = len(sums)
    if n < 2:
        return value, math.nan
    left = np.asarray(sums, np.float64) - value * np.asarray(sizes, np.float64)
    return value, math.sqrt(n / (n - 1) * float(left @ left)) / total


def token_losses(model: Any, tokens: Tokens, *, eos: int, sequence: int, batch: int = BATCH) -> NDArray[np.float32]:
    """Give −log p of each of n tokens (n,) in nats, the first predicted from `eos`.

    Windows of `sequence` tokens each see what precedes them within the window, and the last token before it. Raises
    TrainError when the model has no row for a token, its context is shorter than `sequence`, or a loss is not finite.
    """
    import torch

    check_reach(model, tokens, sequence)
    device = next(model.parameters()).device
    losses = np.empty(len(tokens), np.float32)
    inputs = np.empty(len(tokens), np.int64)
    inputs[:1], inputs[1:] = eos, tokens[:-1]
    with torch.inference_mode():
        for start, stop, width in windows(len(tokens), sequence, batch):
            given = torch.from_numpy(inputs[start:stop]).to(device).view(-1, width)
            wanted = torch.from_numpy(tokens[start:stop].astype(np.int64)).to(device)
            logits = model(given, use_cache=False).logits
            losses[start:stop] = cross_entropy(logits.reshape(-1, logits.shape[-1]), wanted).cpu().numpy()
    if not np.isfinite(losses).all():
        at = int(np.argmin(np.isfinite(losses)))
        raise TrainError(
            f"the model's loss on token {at} is {losses[at]}; its weights have diverged or are damaged: "
            "evaluate an earlier checkpoint"
        )
    return losses


def windows(n: int, sequence: int, batch: int) -> list[tuple[int, int, int]]:
    """Cut n tokens into forward passes (start, stop, width): whole windows, and last what is left over."""
    whole = n - n % sequence
    cuts = [(at, min(at + sequence * batch, whole), sequence) for at in range(0, whole, sequence * batch)]
    return [*cuts, (whole, n, n - whole)] if whole < n else cuts


def cross_entropy(logits: Any, targets: Any) -> Any:
    """Give −log p (n,) in nats of targets (n,) under logits (n, vocabulary), in float32, some rows at a time."""
    import torch
    from torch.nn import functional

    rows = ROWS if logits.device.type == "cpu" else DEVICE_ROWS
    parts = [
        functional.cross_entropy(logits[at : at + rows].float(), targets[at : at + rows], reduction="none")
        for at in range(0, len(logits), rows)
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def check_reach(model: Any, tokens: Tokens, sequence: int) -> None:
    """Refuse tokens that a model has no row for, and windows longer than its context; raises TrainError."""
    longest = getattr(model.config, "max_position_embeddings", None)
    if sequence < 1 or (longest is not None and sequence > longest):
        raise TrainError(f"windows of {sequence} tokens do not fit a model whose context is {longest} tokens")
    highest = int(tokens.max()) if len(tokens) else 0
    if highest >= model.config.vocab_size:
        raise TrainError(
            f"the text has token {highest}, the model knows {model.config.vocab_size} tokens: it was made by "
            "another tokenizer; evaluate on a corpus built with the model's own"
        )
