"""A formula: plain arithmetic over names, read through a whitelist and never executed as code."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FormulaError

Array = NDArray[np.float64]

FUNCTIONS: dict[str, Callable[[Any], Any]] = {"exp": np.exp, "log": np.log, "sqrt": np.sqrt}
LONGEST_FORMULA = 4000  # characters
DEEPEST_FORMULA = 60  # nested operations

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
}
_SIGNS: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.UAdd: np.positive, ast.USub: np.negative}


@dataclass(frozen=True)
class Formula:
    """Hold one expression of `+ - * / **`, numbers, names and exp, log, sqrt.

    Raises FormulaError when the text holds anything else: a call of another function, an attribute,
    an index, a string, a comparison, or a name that begins with an underscore.
    """

    text: str

    def __post_init__(self) -> None:
        _check(self.tree, self.text, depth=0)

    @cached_property
    def tree(self) -> ast.expr:
        """Give the parsed expression."""
        text = self.text.strip()
        if not text:
            raise FormulaError("the formula is empty; write one such as E + A/N**alpha + B/D**beta")
        if len(text) > LONGEST_FORMULA:
            raise FormulaError(f"the formula has {len(text)} characters; at most {LONGEST_FORMULA} are read")
        if "^" in text:
            raise FormulaError(f"{text!r} holds '^'; write powers as **")
        try:
            return ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise FormulaError(f"{text!r} is not a formula: {getattr(error, 'msg', error)}") from None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """List the names in the order in which they first appear, without the functions'."""
        return tuple(dict.fromkeys(_names(self.tree)))

    def evaluate(self, values: Mapping[str, Array]) -> Array:
        """Compute the expression with numpy; `values` holds an array for each name.

        Raises FormulaError for a name without a value.
        """
        missing = [name for name in self.names if name not in values]
        if missing:
            raise FormulaError(f"{self.text!r} needs {', '.join(missing)}; given: {', '.join(sorted(values))}")
        with np.errstate(all="ignore"):
            return np.asarray(_evaluate(self.tree, values), dtype=np.float64)

    def to_sympy(self, symbols: Mapping[str, Any]) -> Any:
        """Build the SymPy expression out of the given symbols, one for each name."""
        import sympy

        def build(node: ast.expr) -> Any:
            if isinstance(node, ast.Constant):
                value = node.value
                assert isinstance(value, int | float)
                whole = float(value).is_integer() and abs(value) <= 1000
                return sympy.Integer(int(value)) if whole else sympy.Float(float(value), 17)
            if isinstance(node, ast.Name):
                return symbols[node.id]
            if isinstance(node, ast.UnaryOp):
                return -build(node.operand) if isinstance(node.op, ast.USub) else build(node.operand)
            if isinstance(node, ast.BinOp):
                left, right = build(node.left), build(node.right)
                if isinstance(node.op, ast.Pow):
                    return sympy.Pow(left, right)
                return {
                    ast.Add: lambda: left + right,
                    ast.Sub: lambda: left - right,
                    ast.Mult: lambda: left * right,
                    ast.Div: lambda: left / right,
                }[type(node.op)]()
            assert isinstance(node, ast.Call)
            assert isinstance(node.func, ast.Name)
            return getattr(sympy, node.func.id)(build(node.args[0]))

        return build(self.tree)


def _evaluate(node: ast.expr, values: Mapping[str, Array]) -> Any:
    if isinstance(node, ast.Constant):
        return np.float64(node.value)  # type: ignore[arg-type]  # _check lets only numbers through
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.UnaryOp):
        return _SIGNS[type(node.op)](_evaluate(node.operand, values))
    if isinstance(node, ast.BinOp):
        return _OPERATORS[type(node.op)](_evaluate(node.left, values), _evaluate(node.right, values))
    assert isinstance(node, ast.Call)
    assert isinstance(node.func, ast.Name)
    return FUNCTIONS[node.func.id](_evaluate(node.args[0], values))


def _names(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Call):
        for argument in node.args:
            yield from _names(argument)
    else:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                yield from _names(child)


def _check(node: ast.expr, text: str, depth: int) -> bool:
    """Refuse whatever is not plain arithmetic; say whether the expression is a constant."""
    if depth > DEEPEST_FORMULA:
        raise FormulaError(f"the formula nests deeper than {DEEPEST_FORMULA} operations; shorten it")
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise FormulaError(f"{text!r} holds {node.value!r}; only numbers and names are read")
        if not math.isfinite(_to_float(node.value)):
            raise FormulaError(f"{text!r} holds a number that is not finite")
        return True
    if isinstance(node, ast.Name):
        if node.id.startswith("_"):
            raise FormulaError(f"{text!r} holds the name {node.id!r}; a name may not begin with an underscore")
        if node.id in FUNCTIONS:
            raise FormulaError(f"{text!r} uses the function {node.id} as a name; write {node.id}(…)")
        return False
    if isinstance(node, ast.UnaryOp) and type(node.op) in _SIGNS:
        return _check(node.operand, text, depth + 1)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        constant = [_check(part, text, depth + 1) for part in (node.left, node.right)]
        if all(constant) and not np.isfinite(_quiet(node)):
            raise FormulaError(f"{text!r} holds a constant that is not a finite number")
        return all(constant)
    if isinstance(node, ast.Call):
        known = isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS
        if not known or len(node.args) != 1 or node.keywords:
            raise FormulaError(
                f"{text!r} calls {ast.unparse(node.func)}; only {', '.join(FUNCTIONS)} of one argument may be called"
            )
        constant_argument = _check(node.args[0], text, depth + 1)
        if constant_argument and not np.isfinite(_quiet(node)):
            raise FormulaError(f"{text!r} holds a constant that is not a finite number")
        return constant_argument
    raise FormulaError(
        f"{text!r} holds {ast.unparse(node)!r}, which is not arithmetic; "
        f"only numbers, names, + - * / ** and {', '.join(FUNCTIONS)} are read"
    )


def _quiet(node: ast.expr) -> float:
    with np.errstate(all="ignore"):
        return float(_evaluate(node, {}))


def _to_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf
