"""The log-probability of every option of every item under a causal model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.errors import TrainError
from foretell.lm.task_item import EncodedItem
from foretell.lm.validation import check_reach, cross_entropy

Row = tuple[int, int]  # an item, and one of its options


def option_logprobs(
    model: Any, items: Sequence[EncodedItem], *, batch_tokens: int
) -> tuple[list[NDArray[np.float64]], list[str]]:
    """Give for each item log p of its options (options,) in nats, and name the items cut to the model's context.

    A prompt is read once for all its options where the model keeps the keys and values of what it has read; prompts of
    one length share a forward pass, so that nothing is padded before an option. A prompt that is too long loses its
    beginning. `batch_tokens` bounds options × tokens of a pass. Raises TrainError for an option longer than the
    context, a token that the model has no row for, and log-probabilities that are no numbers.
    """
    import torch

    longest = getattr(model.config, "max_position_embeddings", None) or max(_width(item) for item in items)
    found = [np.full(len(item.options), np.nan) for item in items]
    highest = max(max(map(max, (item.prompt, *item.options))) for item in items)
    check_reach(model, np.array([highest]), 1)
    for item in items:
        if (most := max(map(len, item.options))) > longest:
            raise TrainError(
                f"an option of item {item.id!r} has {most} tokens, the model's context {longest}; leave the task out"
            )
    fits = [_width(item) <= longest for item in items]
    together = [i for i, item in enumerate(items) if fits[i] and len(item.prompt) > 1]
    with torch.inference_mode():
        alone = [(i, j) for i in sorted(set(range(len(items))) - set(together)) for j in range(len(items[i].options))]
        for group in _by_prompt_length(items, together, batch_tokens):
            if not _score_together(model, items, group, found):
                alone += [(i, j) for i in group for j in range(len(items[i].options))]
        for rows in _by_length(items, alone, batch_tokens, longest):
            _score_alone(model, items, rows, longest, found)
    for item, values in zip(items, found, strict=True):
        if not np.isfinite(values).all():
            raise TrainError(
                f"the model gives no finite log-probability to an option of item {item.id!r}; its weights have "
                "diverged or are damaged: evaluate an earlier checkpoint"
            )
    return found, [item.id for item, whole in zip(items, fits, strict=True) if not whole]


def _width(item: EncodedItem) -> int:
    """Count the tokens that a model reads to score an item's longest option; its last token is never read."""
    return len(item.prompt) + max(map(len, item.options)) - 1


def _by_prompt_length(items: Sequence[EncodedItem], chosen: list[int], batch_tokens: int) -> Iterator[list[int]]:
    """Cut items into groups of one prompt length, longest first, so that the largest pass comes at once."""
    ordered = sorted(chosen, key=lambda i: (-len(items[i].prompt), -_width(items[i]), i))
    group: list[int] = []
    rows = width = 0
    for i in ordered:
        more = len(items[i].options)
        if group and (
            len(items[i].prompt) != len(items[group[0]].prompt)
            or (rows + more) * max(width, _width(items[i])) > batch_tokens
        ):
            yield group
            group, rows, width = [], 0, 0
        group.append(i)
        rows, width = rows + more, max(width, _width(items[i]))
    if group:
        yield group


def _score_together(
    model: Any, items: Sequence[EncodedItem], group: list[int], found: list[NDArray[np.float64]]
) -> bool:
    """Score items whose prompts have one length; say no where the model's cache cannot be shared between options."""
    import torch
    from transformers import DynamicCache

    device = next(model.parameters()).device
    prompts = torch.tensor([items[i].prompt[:-1] for i in group], device=device)
    cache = getattr(model.base_model(prompts, use_cache=True), "past_key_values", None)
    if not isinstance(cache, DynamicCache) or any(cache.is_sliding):
        return False
    rows = [(i, j) for i in group for j in range(len(items[i].options))]
    place = {i: at for at, i in enumerate(group)}
    cache.batch_select_indices(torch.tensor([place[i] for i, _ in rows], device=device))
    options = [items[i].options[j] for i, j in rows]
    given = _padded([(items[i].prompt[-1], *option[:-1]) for (i, _), option in zip(rows, options, strict=True)])
    logits = model(torch.from_numpy(given).to(device), past_key_values=cache, use_cache=True).logits
    _add_up(logits, rows, options, [0] * len(rows), found)
    return True


def _by_length(items: Sequence[EncodedItem], rows: list[Row], batch_tokens: int, longest: int) -> Iterator[list[Row]]:
    """Cut single options into batches of like length, longest first."""

    def width(row: Row) -> int:
        return min(longest, len(items[row[0]].prompt) + len(items[row[0]].options[row[1]]) - 1)

    ordered = sorted(rows, key=lambda row: (-width(row), row))
    while ordered:
        count = max(1, batch_tokens // width(ordered[0]))
        yield ordered[:count]
        ordered = ordered[count:]


def _score_alone(
    model: Any, items: Sequence[EncodedItem], rows: list[Row], longest: int, found: list[NDArray[np.float64]]
) -> None:
    import torch

    options = [items[i].options[j] for i, j in rows]
    read = [(*items[i].prompt, *option)[-longest - 1 : -1] for (i, _), option in zip(rows, options, strict=True)]
    device = next(model.parameters()).device
    logits = model(torch.from_numpy(_padded(read)).to(device), use_cache=False).logits
    starts = [len(ids) - len(option) for ids, option in zip(read, options, strict=True)]
    _add_up(logits, rows, options, starts, found)


def _padded(ids: list[tuple[int, ...]]) -> NDArray[np.int64]:
    """Lay rows of tokens side by side, zeros behind the shorter: a causal model never looks there."""
    table = np.zeros((len(ids), max(map(len, ids))), np.int64)
    for row, of_row in zip(table, ids, strict=True):
        row[: len(of_row)] = of_row
    return table


def _add_up(
    logits: Any, rows: list[Row], options: list[tuple[int, ...]], starts: list[int], found: list[NDArray[np.float64]]
) -> None:
    """Sum log p over the tokens of each option, whose logits begin at `starts`."""
    import torch

    sizes = [len(option) for option in options]
    at_row = np.repeat(np.arange(len(rows)), sizes)
    at = np.concatenate([np.arange(start, start + size) for start, size in zip(starts, sizes, strict=True)])
    wanted = torch.from_numpy(np.concatenate(options).astype(np.int64)).to(logits.device)
    flat = torch.from_numpy(at_row * logits.shape[1] + at).to(logits.device)
    nats = cross_entropy(logits.reshape(-1, logits.shape[-1])[flat], wanted).cpu().numpy().astype(np.float64)
    for (i, j), total in zip(rows, np.add.reduceat(nats, np.cumsum([0, *sizes[:-1]])), strict=True):
        found[i][j] = -total
