"""Cloze tasks from held-out text: which of several continuations is the real one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from foretell.errors import CorpusError
from foretell.lm.scoring import BATCH_TOKENS, Scores, score_encoded
from foretell.lm.task_item import EncodedItem

if TYPE_CHECKING:
    from foretell.corpus.corpus import Corpus
    from foretell.corpus.documents import Documents
    from foretell.corpus.tokenizer import Tokenizer

DRAWS = 100  # of a distractor, before a source counts as too repetitive to ask about

Cut = tuple[str, int, int]  # a document's digest and number, and the window of it that is asked about


@dataclass(frozen=True)
class ClozeTask:
    """Hold the items of a cloze task, made of a corpus with the tokenizer of a digest.

    All options have as many tokens; they compare by log p a byte, since tokens may cut a character.
    """

    name: str
    items: tuple[EncodedItem, ...]
    tokenizer: str

    def score(self, model: Any, *, batch_tokens: int = BATCH_TOKENS) -> Scores:
        """Rank the options under a causal model; raises TrainError as `score` does."""
        return score_encoded(model, self.items, batch_tokens=batch_tokens, normalisation="byte")


def make_cloze(
    corpus: Corpus,
    sources: str | Sequence[str],
    *,
    items: int = 500,
    seed: int = 0,
    prompt_tokens: int = 128,
    option_tokens: int = 64,
    options: int = 4,
    name: str | None = None,
) -> ClozeTask:
    """Make a task of held-out text: given `prompt_tokens`, which of the options of `option_tokens` comes next?

    The wrong options are continuations as far into other held-out documents of the same source, none equal to the right
    one. Every document is asked about once before any is asked about twice. The task depends on the seed and on the set
    of documents, not on their order. Several sources share the items evenly. Raises CorpusError when there are too few
    documents, UnknownName for a source that the corpus does not have.
    """
    names = [sources] if isinstance(sources, str) else sorted(set(sources))
    if min(items, prompt_tokens, option_tokens) < 1 or options < 2 or not names:
        raise CorpusError(
            f"a cloze task of {items} items with prompts of {prompt_tokens} tokens and {options} options of "
            f"{option_tokens} tokens cannot be made; ask for at least 1 item, 1 token and 2 options"
        )
    shares = [items // len(names) + (at < items % len(names)) for at in range(len(names))]
    made = [
        item
        for source, share in zip(names, shares, strict=True)
        if share
        for item in _items(corpus, source, share, f"{seed}", prompt_tokens, option_tokens, options)
    ]
    return ClozeTask(name or f"cloze_{'+'.join(names)}", tuple(made), corpus.tokenizer.digest)


def _items(
    corpus: Corpus, source: str, count: int, seed: str, prompt: int, option: int, options: int
) -> Iterator[EncodedItem]:
    documents = corpus.held_out(source)
    long = _long_enough(documents, prompt + option)
    if len(long) < options:
        raise CorpusError(
            f"{len(long)} different held-out documents of {source!r} have {prompt + option} tokens, an item of "
            f"{options} options needs {options}; ask for shorter prompts and options, or hold out more"
        )
    cuts = _cuts(documents, long, prompt + option, f"{seed}/{source}")
    if len(cuts) < count:
        raise CorpusError(
            f"the held-out documents of {source!r} give {len(cuts)} items of {prompt + option} tokens, not "
            f"{count}; ask for fewer or shorter items, or hold out more"
        )
    for digest, at, window in cuts[:count]:
        rng = np.random.default_rng(_number(f"{seed}/{source}/{digest}/{window}/{prompt}/{option}/{options}"))
        begin = window * (prompt + option)
        text = documents[at]
        right = _ids(text[begin + prompt : begin + prompt + option])
        wrong = _distractors(documents, long, digest, right, prompt, options - 1, rng, source)
        gold = int(rng.integers(options))
        yield _item(
            corpus.tokenizer,
            f"{source}/{digest[:16]}/{begin}",
            _ids(text[begin : begin + prompt]),
            (*wrong[:gold], right, *wrong[gold:]),
            gold,
            f"{source}/{digest}",
        )


def _long_enough(documents: Documents, width: int) -> list[tuple[str, int]]:
    """List one document of each text that has `width` tokens before its end, ordered by digest."""
    found: dict[str, int] = {}
    for at, length in enumerate(np.diff(documents.offsets)):
        if length > width:
            found.setdefault(str(documents.digests[at]), at)
    return sorted(found.items())


def _cuts(documents: Documents, long: list[tuple[str, int]], width: int, seed: str) -> list[Cut]:
    """List all windows of `width` tokens, in an order drawn from the seed: no document twice before all once."""
    lengths = np.diff(documents.offsets)
    ranked: list[tuple[int, int, Cut]] = []
    for digest, at in long:
        windows = np.random.default_rng(_number(f"{seed}/{digest}")).permutation((int(lengths[at]) - 1) // width)
        key = _number(f"{seed}/order/{digest}")
        ranked += [(turn, key, (digest, at, int(window))) for turn, window in enumerate(windows)]
    return [cut for _, _, cut in sorted(ranked)]


def _distractors(
    documents: Documents,
    long: list[tuple[str, int]],
    own: str,
    right: tuple[int, ...],
    prompt: int,
    count: int,
    rng: np.random.Generator,
    source: str,
) -> list[tuple[int, ...]]:
    """Draw continuations, each from another document than the item's own and than each other's, all different."""
    wrong: list[tuple[int, ...]] = []
    used = {own}
    for _ in range(DRAWS * count):
        if len(wrong) == count:
            return wrong
        digest, at = long[int(rng.integers(len(long)))]
        if digest in used:
            continue
        text = documents[at]
        begin = int(rng.integers(prompt, len(text) - len(right)))  # the end-of-document token is no continuation
        option = _ids(text[begin : begin + len(right)])
        if option != right and option not in wrong:
            wrong.append(option)
            used.add(digest)
    if len(wrong) == count:
        return wrong
    raise CorpusError(
        f"{DRAWS * count} draws from the held-out documents of {source!r} gave {len(wrong)} different wrong options of "
        f"{count}; its documents repeat one another: ask for longer options, or leave the source out"
    )


def _item(
    tokenizer: Tokenizer,
    name: str,
    prompt: tuple[int, ...],
    options: tuple[tuple[int, ...], ...],
    gold: int,
    group: str,
) -> EncodedItem:
    return EncodedItem(
        id=name,
        prompt=prompt,
        options=options,
        gold=gold,
        characters=tuple(max(1, len(tokenizer.decode(option))) for option in options),
        bytes=tuple(max(1, tokenizer.bytes_of(option)) for option in options),
        group=group,
    )


def _ids(tokens: Any) -> tuple[int, ...]:
    return tuple(tokens.tolist())


def _number(text: str) -> int:
    """Turn a text into a seed that is the same on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big")
