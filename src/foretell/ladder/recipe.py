"""A recipe: the batch, learning rate and warm-up of a model, by a published rule."""

from __future__ import annotations

import math
from dataclasses import dataclass

from foretell.errors import LadderError, UnknownName
from foretell.laws.hyperparameters import STEP_LAW
from foretell.rung import Shape

# allenai/OLMo-ladder, src/ladder/ladder.py (arXiv 2412.04403, App. A): 160 sequences of 2048 tokens and a peak of
# 0.0047/4 at 108M, N counted with the output head; so 128 sequences of 4096 and 9.7e-4 at 190M.
OLMO_AT, OLMO_RATE, OLMO_TOKENS = 1.08e8, 0.0047 / 4, 160 * 2048
OLMO_RATE_EXPONENT, OLMO_BATCH_EXPONENT = -1 / 3, 2 / 3
FEWEST_SEQUENCES = 8  # a gradient of fewer is mostly noise; OLMo's rule would ask for less only below 100K parameters
WARMUP_CAP = 0.1  # of the first horizon's steps: what warming up over N tokens is of 10 N, the OLMo ladder's shortest
DIGITS = 3  # of a learning rate: rules are no finer

RECIPES = {
    "olmo": "OLMo ladder (arXiv 2412.04403; allenai/OLMo-ladder)",
    "step-law": "step law (arXiv 2503.04715)",
}
RATE_SOURCE = {
    "olmo": "OLMo ladder, allenai/OLMo-ladder ladder.py: 9.7e-4 (190M/N)^(1/3), N with the output head",
    "step-law": "step law, arXiv 2503.04715: 1.79 N^-0.713 D^0.307, at the rung's last horizon",
}
BATCH_SOURCE = {
    "olmo": "OLMo ladder: 128 sequences of 4096 tokens at 190M, growing as N^(2/3); a power of two, at least 8",
    "step-law": "step law: 0.58 D^0.571 tokens at the rung's last horizon; a power of two of sequences, at least 8",
}
WARMUP_SOURCE = (
    "N tokens, N with the output head: OLMo ladder, 363 steps of 128 x 4096 at 190M (also arXiv 2406.19146); "
    "at most a tenth of the first horizon"
)


@dataclass(frozen=True)
class Setting:
    """Hold what a recipe advises: `batch` in sequences, the peak `learning_rate`, `warmup` in steps."""

    batch: int
    learning_rate: float
    warmup: int


@dataclass(frozen=True)
class Recipe:
    """Advise by the OLMo ladder's rules or the step law; `batch_rule` gives the batch by another recipe, or a count.

    Raises UnknownName for another recipe, LadderError for a batch that is no positive count.
    """

    name: str = "olmo"
    batch_rule: str = ""

    def __post_init__(self) -> None:
        if self.name not in RECIPES:
            raise UnknownName("recipe", self.name, RECIPES)
        if self.batch_rule.lstrip("+-").isdigit():
            if int(self.batch_rule) < 1:
                raise LadderError(f"a batch of {self.batch_rule} sequences trains nothing; give 1 or more")
        elif self.batch_rule and self.batch_rule not in RECIPES:
            raise UnknownName("batch rule", self.batch_rule, [*RECIPES, "a number of sequences"])

    def advise(self, shape: Shape, multiples: tuple[float, ...], unit: float) -> Setting:
        """Advise for a shape trained to each of `multiples` · `unit` tokens, in rising order."""
        last = multiples[-1] * unit
        batch = self._batch(shape, last)
        step = batch * shape.sequence
        most = WARMUP_CAP * multiples[0] * unit / step
        warmup = max(1, round(min(counted(shape) / step, most)))
        return Setting(batch, _rounded(self._rate(shape, last)), warmup)

    @property
    def batch_source(self) -> str:
        """Say where the batch is from."""
        rule = self.batch_rule or self.name
        return BATCH_SOURCE.get(rule, "as asked for (--batch-rule)")

    def _batch(self, shape: Shape, D: float) -> int:
        rule = self.batch_rule or self.name
        if rule not in RECIPES:
            return int(rule)
        if rule == "olmo":
            tokens = OLMO_TOKENS * (counted(shape) / OLMO_AT) ** OLMO_BATCH_EXPONENT
        else:
            tokens = float(STEP_LAW.batch(D))
        power = round(math.log2(max(1.0, tokens / shape.sequence)))
        return max(FEWEST_SEQUENCES, 1 << power)

    def _rate(self, shape: Shape, D: float) -> float:
        if self.name == "olmo":
            return OLMO_RATE * float((counted(shape) / OLMO_AT) ** OLMO_RATE_EXPONENT)
        return float(STEP_LAW.learning_rate(shape.N, D))


def counted(shape: Shape) -> int:
    """Count parameters as the OLMo ladder does: without the embedding, with the output head."""
    return shape.N + shape.vocabulary * shape.width


def _rounded(rate: float) -> float:
    return float(f"{rate:.{DIGITS}g}")
