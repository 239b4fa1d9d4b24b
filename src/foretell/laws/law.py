"""A law: a formula with named coefficients, and nothing about data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FormulaError
from foretell.laws.cache import cache_folder
from foretell.laws.derivatives import Code, derive
from foretell.laws.formula import Formula

Array = NDArray[np.float64]
Response = Literal["loss", "share"]

INPUTS = frozenset({"N", "N_total", "D", "C", "U", "M", "L", "P"})
INPUT_PREFIX = "w_"  # mixture shares


@dataclass(frozen=True)
class Coefficient:
    """Bound one coefficient of a law, and say where to start looking for it.

    `lower` and `upper` bound it (open: a fit comes as near as it likes), `start` is the range of first guesses,
    `unit` is written beside it, `published` is the source's own value.
    """

    lower: float = 0.0
    upper: float = math.inf
    start: tuple[float, float] | None = None
    unit: str = ""
    published: float | None = None

    def __post_init__(self) -> None:
        if not self.lower < self.upper:
            raise FormulaError(f"a coefficient has the bounds {self.lower}, {self.upper}; put the lower first")
        if self.start and not self.lower <= self.start[0] < self.start[1] <= self.upper:
            raise FormulaError(f"the starts {self.start} lie outside the bounds {self.lower}, {self.upper}")

    @property
    def scale(self) -> Literal["log", "logit", "plain"]:
        """Say in which coordinate the coefficient is fitted: log of its distance to its one bound, or logit."""
        if math.isfinite(self.lower) and math.isfinite(self.upper):
            return "logit"
        return "log" if math.isfinite(self.lower) else "plain"


EXPONENT = Coefficient(start=(0.05, 1.0), unit="1")
AMPLITUDE = Coefficient(start=(1e-2, 1e5), unit="that of the value")


@dataclass(frozen=True)
class Law:
    """Name a formula for a loss (or for a share in 0..1) in terms of inputs and coefficients.

    Inputs are N, N_total, D, C, U, M = D/N, P, a loss `L`, shares `w_…`, and whatever `inputs` adds; every other name
    is a coefficient, positive unless `bounds` says otherwise. Raises FormulaError for a formula that is not plain
    arithmetic, has no coefficient, or for bounds of a name that is not in it.
    """

    name: str
    formula: str
    bounds: Mapping[str, Coefficient] = field(default_factory=dict)
    response: Response = "loss"
    source: str = ""
    note: str = ""
    inputs: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not self.coefficients:
            raise FormulaError(f"{self.formula!r} has no coefficient to fit; its names are all inputs")
        stray = sorted(set(self.bounds) - set(self.coefficients))
        if stray:
            raise FormulaError(
                f"bounds for {', '.join(stray)}, which {self.formula!r} does not have; "
                f"its coefficients are {', '.join(self.coefficients)}"
            )

    @cached_property
    def parsed(self) -> Formula:
        """Give the formula as read through the whitelist."""
        return Formula(self.formula)

    @cached_property
    def coefficients(self) -> tuple[str, ...]:
        """Name the coefficients in alphabetical order (case told apart), whatever the order in the formula."""
        return tuple(sorted(name for name in self.parsed.names if not self._is_input(name)))

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """Name the inputs that the formula uses, in alphabetical order."""
        return tuple(sorted(name for name in self.parsed.names if self._is_input(name)))

    def _is_input(self, name: str) -> bool:
        return name in INPUTS or name in self.inputs or name.startswith(INPUT_PREFIX)

    def coefficient(self, name: str) -> Coefficient:
        """Give the bounds and starts of one coefficient; guessed from its place in the formula where not given."""
        if name in self.bounds:
            return self.bounds[name]
        return EXPONENT if name in self._exponents else AMPLITUDE

    @cached_property
    def _exponents(self) -> frozenset[str]:
        import ast

        inside: set[str] = set()
        for node in ast.walk(self.parsed.tree):
            part = None
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
                part = node.right
            elif isinstance(node, ast.Call):
                part = node.args[0]
            if part is not None:
                inside |= {child.id for child in ast.walk(part) if isinstance(child, ast.Name)}
        return frozenset(inside)

    @cached_property
    def code(self) -> Code:
        """Give straight-line code for value, gradient and Hessian."""
        signed = frozenset(name for name in self.coefficients if self.coefficient(name).lower < 0)
        return derive(self.parsed, self.coefficients, signed, cache_folder())

    def value(self, coefficients: Mapping[str, float | Array], inputs: Mapping[str, Array]) -> Array:
        """Compute the law by name; arrays broadcast against each other.

        Raises FormulaError for a coefficient or an input that is not given.
        """
        values = {name: np.asarray(column, dtype=np.float64) for name, column in {**inputs, **coefficients}.items()}
        return self.parsed.evaluate(values)

    def gradient(self, theta: Array, features: Array) -> tuple[Array, Array]:
        """Compute values (…, m) and gradients (…, p, m) for coefficients (…, p) on features (f, m)."""
        return self._vectorised(theta, features)

    @cached_property
    def _vectorised(self) -> Callable[[Array, Array], tuple[Array, Array]]:
        code = self.code
        lines = ["def run(theta, X):"]
        lines += [f"    c{i} = theta[..., {i}, None]" for i in range(len(self.coefficients))]
        lines += [f"    x{i} = X[{i}]" for i in range(len(code.features))]
        lines += [f"    {name} = {text}" for name, text in (*code.fixed, *code.row)]
        lines += ["    shape = theta.shape[:-1] + X.shape[1:]", f"    value = broadcast_to({code.value}, shape)"]
        parts = ", ".join(f"broadcast_to({text}, shape)" for text in code.gradient)
        lines += [f"    return value, stack([{parts}], axis=-2)"]
        scope = {"exp": np.exp, "log": np.log, "sqrt": np.sqrt, "stack": np.stack, "broadcast_to": np.broadcast_to}
        # The text is our own emitter's: numbers, c0…, x0…, t0… and three functions (derivatives._write).
        exec(compile("\n".join(lines), f"<law {self.name}>", "exec"), scope)
        run: Any = scope["run"]

        def quiet(theta: Array, X: Array) -> tuple[Array, Array]:
            with np.errstate(all="ignore"):
                value, gradient = run(theta, X)
            return value, gradient

        return quiet

    def features(self, inputs: Mapping[str, Array]) -> Array:
        """Stack what the code needs of each row, (f, n): an input or its logarithm.

        Raises FormulaError for an input that is not given.
        """
        missing = [name for name in self.variables if name not in inputs]
        if missing:
            raise FormulaError(
                f"the law {self.name} needs {', '.join(missing)}, which the data do not have; "
                f"they have {', '.join(sorted(inputs))}"
            )
        n = len(next(iter(inputs.values())))
        stacked = np.empty((len(self.code.features), n))
        for i, feature in enumerate(self.code.features):
            name = feature.removeprefix("log ")
            column = np.asarray(inputs[name], dtype=np.float64)
            with np.errstate(all="ignore"):
                stacked[i] = np.log(column) if feature.startswith("log ") else column
        return stacked

    def theta(self, coefficients: Mapping[str, float]) -> Array:
        """Order named coefficients (p,) as the code wants them; raises FormulaError when one is missing."""
        missing = [name for name in self.coefficients if name not in coefficients]
        if missing:
            raise FormulaError(f"the law {self.name} needs values of {', '.join(missing)}")
        return np.array([coefficients[name] for name in self.coefficients], dtype=np.float64)

    @property
    def published(self) -> dict[str, float] | None:
        """Give the source's own coefficients, where it states them all."""
        values = {name: self.coefficient(name).published for name in self.coefficients}
        known = {name: value for name, value in values.items() if value is not None}
        return known if len(known) == len(values) else None
