"""A rung: one model of a ladder, with everything that fixes its training."""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from foretell.rung.schedule import ScheduleName, cooldown_steps
from foretell.rung.shape import Shape
from foretell.units import format_count

Precision = Literal["fp32", "bf16"]
Share = Annotated[float, Field(gt=0, lt=1)]

SUM_TOLERANCE = 1e-6  # of a mixture: what rounding of written shares leaves
MOST_EPOCHS = 4.0  # repeating so often costs next to nothing (2305.16264, §5); more is asked for by name
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")


class Rung(BaseModel):
    """Describe how one model is trained.

    `D` lists the horizons in tokens: with schedule `wsd` one trunk gives them all, with `cosine` each is a run of its
    own. `batch` counts sequences, `warmup` steps. `weights` are the shares of the corpus's sources, `pools` the tokens
    of each that may be used (the whole source where absent); with `matched_to` (a number of tokens) every pool shrinks
    by D/matched_to at each horizon, so that repetition matches a target of that length. More than `most_epochs` over a
    pool are refused. `micro_batch` sequences pass through the model at once (all where absent); `compiled` asks for
    torch.compile. A rung that is `held_out` is a target: no fit sees it. `after` names rungs that must have ended.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    shape: Shape
    D: tuple[PositiveInt, ...]
    batch: PositiveInt
    learning_rate: PositiveFloat
    warmup: Annotated[int, Field(ge=0)]
    schedule: ScheduleName = "wsd"
    cooldown: Share = 0.2
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    beta1: Share = 0.9
    beta2: Share = 0.95
    clip: PositiveFloat = 1.0
    init_std: PositiveFloat = 0.02
    seed: Annotated[int, Field(ge=0)] = 0
    precision: Precision = "fp32"
    family: str = ""
    weights: dict[str, Annotated[float, Field(ge=0)]] = {}
    pools: dict[str, PositiveInt] = {}
    matched_to: PositiveInt | None = None
    most_epochs: Annotated[float, Field(gt=0, allow_inf_nan=True)] = MOST_EPOCHS  # inf: as often as it takes
    micro_batch: PositiveInt | None = None
    compiled: bool = False
    held_out: bool = False
    after: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _makes_sense(self) -> Rung:
        if not _NAME.match(self.name):
            raise ValueError(f"rung name {self.name!r} names a folder: use letters, digits, dots, dashes")
        if not self.D:
            raise ValueError(f"rung {self.name} has no horizon; give D, such as [1000000, 2000000]")
        if list(self.D) != sorted(set(self.D)):
            raise ValueError(f"the horizons of rung {self.name} must rise, each once: {list(self.D)}")
        if self.weights and not math.isclose(sum(self.weights.values()), 1.0, abs_tol=SUM_TOLERANCE):
            raise ValueError(f"the weights of rung {self.name} sum to {sum(self.weights.values()):.6g}, not to 1")
        if unknown := set(self.pools) - set(self.weights):
            raise ValueError(f"rung {self.name} has pools of sources without weight: {', '.join(sorted(unknown))}")
        if self.steps(self.D[0]) < 2:
            raise ValueError(
                f"rung {self.name} ends after {self.steps(self.D[0])} steps at D = {format_count(self.D[0])}: "
                f"a step is {self.step_tokens} tokens; lower the batch or raise D"
            )
        if self.schedule == "wsd" and self.warmup > (first := self.trunk_steps(self.D[0])):
            raise ValueError(
                f"rung {self.name} warms up for {self.warmup} steps but cools down from step {first} at its first "
                f"horizon; shorten the warm-up"
            )
        return self

    @property
    def step_tokens(self) -> int:
        """Count the tokens of one step."""
        return self.batch * self.shape.sequence

    def steps(self, D: float) -> int:
        """Count the steps to a horizon, rounded to a whole one."""
        return round(D / self.step_tokens)

    def tokens(self, D: float) -> int:
        """Count the tokens seen at the end of a horizon: whole steps."""
        return self.steps(D) * self.step_tokens

    def trunk_steps(self, D: float) -> int:
        """Count the steps of the trunk before the cool-down of a horizon."""
        return self.steps(D) - cooldown_steps(self.steps(D), self.cooldown)

    @property
    def separate(self) -> bool:
        """Say whether every horizon is a run of its own, from its own start."""
        return self.schedule == "cosine" or self.matched_to is not None

    def pools_at(self, D: float) -> dict[str, float]:
        """Give the tokens of each source that a horizon may use, shrunk by D/matched_to where that is set."""
        shrunk = min(1.0, D / self.matched_to) if self.matched_to else 1.0
        return {name: tokens * shrunk for name, tokens in self.pools.items()}

    @property
    def trained_tokens(self) -> int:
        """Count the tokens trained for all horizons together, a shared trunk once."""
        if self.separate:
            return sum(self.tokens(D) for D in self.D)
        tails = sum(self.steps(D) - self.trunk_steps(D) for D in self.D)
        return (self.trunk_steps(self.D[-1]) + tails) * self.step_tokens

    @property
    def training_flop(self) -> float:
        """Count the FLOP of training every horizon."""
        return self.shape.training_flop(self.trained_tokens)

    def run_name(self, D: int) -> str:
        """Name the run that ends at a horizon."""
        return f"{self.name}-{format_count(D)}"

    def digest(self) -> str:
        """Give a digest of everything that changes the weights: equal digests train to equal weights."""
        fixed = self.model_dump(exclude={"held_out", "after", "family", "most_epochs"})
        return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()
