"""Text decoded from a small and a large model at once (Xia 2023, arXiv 2212.09803, §4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.errors import TrainError
from foretell.lm.validation import check_reach

Ids = NDArray[np.int64]

CONFIGURATIONS: Mapping[str, tuple[float, float]] = {
    "small − large": (1.0, -1.0),
    "small": (1.0, 0.0),
    "small + large": (1.0, 1.0),
    "large": (0.0, 1.0),
    "large − small": (-1.0, 1.0),
}  # weights of p_small and p_large (2212.09803, §4.2)
PROMPT, GENERATED = 5, 50  # tokens (2212.09803, §4.2)
NUCLEUS = 0.9  # of the probability, in the authors' code


@dataclass
class _Reader:
    """Hold a model and what it has read, so that each token is read once."""

    model: Any
    cache: Any = field(default=None)

    def after(self, ids: Any) -> Any:
        """Read ids (n, k) and give the probabilities (n, vocabulary) of the next."""
        import torch
        from transformers import DynamicCache

        if self.cache is None:
            self.cache = DynamicCache()
        logits = self.model(ids, past_key_values=self.cache, use_cache=True).logits[:, -1]
        return torch.softmax(logits.double(), -1)


def decode(
    small: Any,
    large: Any,
    prompts: Ids,
    weights: tuple[float, float],
    *,
    eos: int,
    vocabulary: int,
    tokens: int = GENERATED,
    nucleus: float | None = None,
    seed: int = 0,
) -> Ids:
    """Continue prompts (n, k) by tokens drawn from max(0, λ₁·p_small + λ₂·p_large), renormalised.

    Gives prompts and continuations (n, k + tokens). Greedy, or from the smallest set of tokens that holds a share
    `nucleus` of the probability. Ids from `vocabulary` on and the end-of-document token are never drawn. Where both
    models agree so fully that nothing is left, the one of positive weight decides. Raises TrainError when the models do
    not share a vocabulary, or the text exceeds a context.
    """
    import torch

    if small.config.vocab_size != large.config.vocab_size:
        raise TrainError(
            f"the small model knows {small.config.vocab_size} tokens, the large one {large.config.vocab_size}; they "
            "can be combined only over one tokenizer"
        )
    for model in (small, large):
        check_reach(model, prompts, prompts.shape[1] + tokens)
    device = next(small.parameters()).device
    rng = np.random.default_rng(seed)
    readers = [_Reader(model) if weight else None for model, weight in zip((small, large), weights, strict=True)]
    made = np.empty((len(prompts), tokens), np.int64)
    given = np.concatenate([np.full((len(prompts), 1), eos, np.int64), prompts], axis=1)
    with torch.inference_mode():
        for at in range(tokens):
            ids = torch.from_numpy(given).to(device)
            seen = [
                (weight, reader.after(ids).cpu().numpy())
                for weight, reader in zip(weights, readers, strict=True)
                if reader is not None
            ]
            made[:, at] = _chosen(_combined(seen, vocabulary, eos), nucleus, rng)
            given = made[:, at : at + 1]
    return np.concatenate([prompts, made], axis=1)


def _combined(seen: list[tuple[float, NDArray[np.float64]]], vocabulary: int, eos: int) -> NDArray[np.float64]:
    for _, p in seen:
        p[:, vocabulary:] = 0.0
        p[:, eos] = 0.0
    p = np.maximum(sum(weight * p for weight, p in seen), 0.0)
    total = p.sum(1, keepdims=True)
    positive = next(p for weight, p in seen if weight > 0)
    return np.asarray(np.where(total > 0, p, positive) / np.where(total > 0, total, positive.sum(1, keepdims=True)))


def _chosen(p: NDArray[np.float64], nucleus: float | None, rng: np.random.Generator) -> Ids:
    if nucleus is None:
        return np.asarray(p.argmax(1))
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, 1)
    before = np.cumsum(ranked, 1) - ranked
    ranked[before >= nucleus] = 0.0
    reached = np.cumsum(ranked, 1)
    at = (reached < rng.random((len(p), 1)) * reached[:, -1:]).sum(1)
    return np.asarray(np.take_along_axis(order, at[:, None], 1)[:, 0])
