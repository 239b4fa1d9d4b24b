"""What is measured on a ladder's checkpoints."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveInt


class Evaluation(BaseModel):
    """Say what is measured: at every horizon, and at `checkpoints` steps of a trunk spread evenly in log D.

    `tokens` of each source's held-out part give its loss; `cloze` names the sources of cloze tasks of `items`
    questions, each a prompt of `prompt` tokens with options of `option` tokens; the losses of the `probe`'s tokens are
    kept one by one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: PositiveInt = 1 << 17
    cloze: tuple[str, ...] = ()
    items: PositiveInt = 500
    prompt: PositiveInt = 64
    option: PositiveInt = 32
    probe: Annotated[int, Field(ge=0)] = 1 << 16
    checkpoints: Annotated[int, Field(ge=0)] = 12
