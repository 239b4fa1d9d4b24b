"""An objective: what a fit makes small, as the sum over rows of a penalty."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from foretell.errors import FitError, UnknownName

Kind = Literal["gaussian", "huber", "huber-scale", "student-t", "binomial"]
Space = Literal["log", "linear"]

KINDS: tuple[Kind, ...] = ("gaussian", "huber", "huber-scale", "student-t", "binomial")
DEFAULT_HUBER = 1e-3  # Hoffmann 2022 (arXiv 2203.15556, Eq. 3), on log loss
DEFAULT_DEGREES = 4.0  # Student-t: heavy tails with a finite variance


@dataclass(frozen=True)
class Objective:
    """Say how a residual r is penalised; the objective is the sum over rows.

    `gaussian` ½r²; `huber` ½r² within `parameter`, linear beyond; `huber-scale` the negative log-likelihood
    of that with a free scale (Besiroglu 2024, arXiv 2404.10102); `student-t` with `parameter` degrees of freedom
    and a free scale; `binomial` the negative log-likelihood of k = value · items successes. `space` says
    whether r = log f − log y or r = f − y.
    """

    kind: Kind
    space: Space = "log"
    parameter: float = 0.0

    @property
    def free_scale(self) -> bool:
        """Say whether the kernel fits the spread of the residuals as one more parameter."""
        return self.kind == "student-t"

    @property
    def constant(self) -> float:
        """Give what each row adds to the negative log-likelihood whatever the coefficients."""
        if self.kind == "huber-scale":
            d = self.parameter
            inside = math.sqrt(2 * math.pi) * math.erf(d / math.sqrt(2))
            return math.log(inside + 2 * math.exp(-0.5 * d * d) / d)
        if self.kind == "student-t":
            v = self.parameter
            return math.lgamma(v / 2) - math.lgamma((v + 1) / 2) + 0.5 * math.log(v * math.pi)
        return 0.0

    def __str__(self) -> str:
        number = f":{self.parameter:g}" if self.parameter else ""
        return f"{self.kind}{number}@{self.space}"


def parse_objective(text: str, *, share: bool = False) -> Objective:
    """Read `huber:1e-3`, `huber-scale`, `gaussian`, `student-t:4` or `binomial`, with `@log` or `@linear` behind.

    Residuals are of the logarithm, except where `share` says that the values are shares in 0..1.
    Raises UnknownName for another kind and FitError for a parameter or space that makes no sense.
    """
    body, _, space = text.strip().partition("@")
    name, _, number = body.partition(":")
    kind = next((kind for kind in KINDS if kind == name), None)
    if kind is None:
        raise UnknownName("objective", name, KINDS)
    if space not in ("", "log", "linear"):
        raise FitError(f"objective {text!r} names the space {space!r}; known: log, linear")
    try:
        parameter = float(number) if number else 0.0
    except ValueError:
        raise FitError(f"objective {text!r} has the parameter {number!r}; write a number, as in huber:1e-3") from None
    if number and kind in ("gaussian", "binomial"):
        raise FitError(f"objective {kind} takes no parameter; {text!r} gives {number}")
    if number and not (math.isfinite(parameter) and parameter > 0):
        raise FitError(f"objective {text!r} has the parameter {number}; it must be positive")
    if kind in ("huber", "huber-scale"):
        parameter = parameter or DEFAULT_HUBER
    if kind == "student-t":
        parameter = parameter or DEFAULT_DEGREES
    chosen: Space = "linear" if space == "linear" or (not space and share) or kind == "binomial" else "log"
    return Objective(kind, chosen, parameter)
