"""A question with several options, as text or as tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from foretell.errors import TrainError

if TYPE_CHECKING:
    from foretell.corpus.tokenizer import Tokenizer


@dataclass(frozen=True)
class RankedItem:
    """Ask which of several options continues a prompt; `gold` numbers the right one.

    Items that name the same `group` (the text they were cut from) are not independent; without a name each is.
    """

    id: str
    prompt: str
    options: tuple[str, ...]
    gold: int
    group: str = ""

    def __post_init__(self) -> None:
        check_options(self.id, self.options, self.gold)


@dataclass(frozen=True)
class EncodedItem:
    """Hold an item as tokens: those of the prompt and of each option, with the lengths of the options' texts.

    `characters` and `bytes` are what a log-probability is divided by to compare options of unequal length.
    """

    id: str
    prompt: tuple[int, ...]
    options: tuple[tuple[int, ...], ...]
    gold: int
    characters: tuple[int, ...]
    bytes: tuple[int, ...]
    group: str = ""

    def __post_init__(self) -> None:
        check_options(self.id, self.options, self.gold)
        if not self.prompt:
            raise TrainError(f"item {self.id!r} has a prompt without tokens; begin it with the end-of-document token")
        if not all(map(len, self.options)) or min(self.characters) < 1 or min(self.bytes) < 1:
            raise TrainError(f"item {self.id!r} has an empty option; nothing can be scored: leave the item out")


def check_options(item: str, options: tuple[object, ...], gold: int) -> None:
    """Refuse an item whose options or answer make no question; raises TrainError."""
    if len(options) < 2:
        raise TrainError(f"item {item!r} has {len(options)} options; a question has at least two")
    if not 0 <= gold < len(options):
        raise TrainError(f"item {item!r} says that option {gold} of {len(options)} is right; count from 0")


def encode_item(tokenizer: Tokenizer, item: RankedItem, begin: tuple[int, ...] = ()) -> EncodedItem:
    """Turn an item into tokens as lm-evaluation-harness does.

    Spaces that end the prompt move to the options; prompt and option are encoded together, and the tokens after as many
    as the prompt has alone are the option's. `begin` (a beginning-of-text token, for models trained with one) precedes
    every prompt; an empty prompt is the end-of-document token. Lengths leave out the one space that parts prompt and
    option. Raises TrainError for an option without tokens.
    """
    prompt = item.prompt.rstrip()
    moved = item.prompt[len(prompt) :]
    before = tokenizer.encode(prompt) if prompt else []
    texts = tuple(option.removeprefix(" ") for option in item.options)
    return EncodedItem(
        id=item.id,
        prompt=(*begin, *before) or (tokenizer.eos,),
        options=tuple(tuple(tokenizer.encode(prompt + moved + option)[len(before) :]) for option in item.options),
        gold=item.gold,
        characters=tuple(map(len, texts)),
        bytes=tuple(len(text.encode("utf-8")) for text in texts),
        group=item.group,
    )
