"""A metric: what was measured on a run, in which unit, and between which limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

Unit = Literal["nats/token", "bits/byte", "perplexity", "accuracy", "error", "value"]

LOSS_UNITS: frozenset[str] = frozenset({"nats/token", "bits/byte"})
SHARE_UNITS: frozenset[str] = frozenset({"accuracy", "error"})

_WORDS: tuple[tuple[Unit, frozenset[str]], ...] = (
    ("bits/byte", frozenset({"bpb"})),
    ("perplexity", frozenset({"ppl", "perplexity"})),
    ("accuracy", frozenset({"acc", "accuracy", "em", "match"})),
    ("error", frozenset({"err", "error"})),
    ("nats/token", frozenset({"loss", "ce", "nll", "xent", "crossentropy", "tl"})),
)


class Metric(BaseModel):
    """Name a measured quantity.

    `unit` is nats/token, bits/byte, perplexity, accuracy (0..1), error (0..1) or value (anything else).
    `chance` is the accuracy of a guess, `ceiling` the best accuracy reachable, `items` how many questions
    were asked: with it an accuracy is a count k/n.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    unit: Unit = "value"
    better: Literal["lower", "higher"] = "lower"
    chance: float | None = None
    ceiling: float | None = None
    items: int | None = None

    @model_validator(mode="after")
    def _limits_make_sense(self) -> Metric:
        for what in ("chance", "ceiling"):
            limit = getattr(self, what)
            if limit is not None and not 0 <= limit <= 1:
                raise ValueError(f"{what} of {self.name} is {limit}; it is a share between 0 and 1")
        if self.items is not None and self.items < 1:
            raise ValueError(f"items of {self.name} is {self.items}; at least one question is asked")
        return self

    @property
    def is_loss(self) -> bool:
        """Say whether this is a loss in nats/token or bits/byte."""
        return self.unit in LOSS_UNITS

    @property
    def is_share(self) -> bool:
        """Say whether this lies in 0..1 by definition."""
        return self.unit in SHARE_UNITS


def metric_named(
    name: str,
    *,
    unit: Unit | None = None,
    chance: float | None = None,
    ceiling: float | None = None,
    items: int | None = None,
) -> Metric:
    """Make a metric, reading the unit off the words in its name where none is given.

    `c4/loss` is nats/token, `arc_easy/bpb` bits/byte, `acc_piqa` an accuracy, `lambada|ppl` a perplexity;
    a name without such a word measures a plain value.
    """
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    told = (spoken for spoken, known in _WORDS if words & known)
    read: Unit = next(told, "value") if unit is None else unit
    return Metric(
        name=name,
        unit=read,
        better="higher" if read == "accuracy" else "lower",
        chance=chance,
        ceiling=ceiling,
        items=items,
    )


def leading_loss(metrics: Mapping[str, Metric], shared: str | None = None) -> str | None:
    """Name the loss that stands for all: the shared one, else the first in nats/token, else any; None without one.

    A validation loss goes before the bits per byte of a task's answers, which say less about a run as a whole.
    """
    losses = [name for name, metric in metrics.items() if metric.is_loss]
    plain = [name for name in losses if metrics[name].unit == "nats/token" and name.endswith("/loss")]
    return shared or next(iter(plain or losses), None)
