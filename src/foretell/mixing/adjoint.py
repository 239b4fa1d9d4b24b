"""The value of a formula, and its slope in every coefficient, by going back through the formula once.

The laws' own emitter writes out a Hessian for Numba: for the 36 coefficients of 17 sources that is 666 entries, which
took more than a minute to derive and compile (measured; 20 s for 19 coefficients). Going back costs a few evaluations
of the formula whatever the number of coefficients, and nothing beforehand.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.laws.law import Law

Array = NDArray[np.float64]

NUMBER, INPUT, COEFFICIENT = "number", "input", "coefficient"


class Adjoint:
    """Evaluate a law for batches of coefficients (B, p) on n rows, with the slopes in each coefficient."""

    def __init__(self, law: Law, inputs: Mapping[str, Array]) -> None:
        """Prepare a law on rows; `inputs` holds an array (n,) for each variable. Raises FormulaError for a hole."""
        law.value(
            dict.fromkeys(law.coefficients, 1.0), {name: inputs[name] for name in law.variables if name in inputs}
        )
        self.law = law
        self._n = len(next(iter(inputs.values())))
        self._place = {name: i for i, name in enumerate(law.coefficients)}
        self._nodes: list[tuple[str, tuple[int, ...], Any]] = []
        self._last = self._add(law.parsed.tree, inputs)

    def _add(self, node: ast.AST, inputs: Mapping[str, Array]) -> int:
        """Append a node's operation after those of its parts; what depends on the rows alone becomes an array."""
        if isinstance(node, ast.Constant):
            return self._append(NUMBER, (), float(node.value))  # type: ignore[arg-type]
        if isinstance(node, ast.Name):
            if node.id in self._place:
                return self._append(COEFFICIENT, (), self._place[node.id])
            return self._append(INPUT, (), np.asarray(inputs[node.id], dtype=np.float64))
        if isinstance(node, ast.UnaryOp):
            part = self._add(node.operand, inputs)
            return part if isinstance(node.op, ast.UAdd) else self._append("neg", (part,), None)
        if isinstance(node, ast.Call):
            assert isinstance(node.func, ast.Name)
            return self._append(node.func.id, (self._add(node.args[0], inputs),), None)
        assert isinstance(node, ast.BinOp)
        parts = (self._add(node.left, inputs), self._add(node.right, inputs))
        return self._append(type(node.op).__name__, parts, None)

    def _append(self, kind: str, parts: tuple[int, ...], value: Any) -> int:
        if parts and all(self._nodes[part][0] in (NUMBER, INPUT) for part in parts):
            with np.errstate(all="ignore"):
                value = _forward(kind, [self._nodes[part][2] for part in parts])
            kind, parts = (INPUT if np.ndim(value) else NUMBER), ()
        self._nodes.append((kind, parts, value))
        return len(self._nodes) - 1

    @cached_property
    def _logs(self) -> dict[int, Array]:
        """Keep the logarithm of every power's base that depends on the rows alone."""
        found = {}
        for kind, parts, _ in self._nodes:
            if kind == "Pow" and self._nodes[parts[0]][0] in (INPUT, NUMBER):
                with np.errstate(all="ignore"):
                    found[parts[0]] = np.log(self._nodes[parts[0]][2])
        return found

    def value(self, theta: Array) -> Array:
        """Compute the law (B, n) for coefficients (B, p)."""
        with np.errstate(all="ignore"):
            return np.broadcast_to(self._values(theta)[self._last], (len(theta), self._n))

    def _values(self, theta: Array) -> list[Any]:
        values: list[Any] = []
        for kind, parts, value in self._nodes:
            if kind == COEFFICIENT:
                values.append(theta[:, value, None])
            elif kind in (NUMBER, INPUT):
                values.append(value)
            elif kind == "Pow" and parts[0] in self._logs:
                values.append(np.exp(values[parts[1]] * self._logs[parts[0]]))
            else:
                values.append(_forward(kind, [values[part] for part in parts]))
        return values

    def slopes(self, theta: Array) -> tuple[Array, Array]:
        """Compute the law (B, n) and its slopes (B, p, n) for coefficients (B, p)."""
        with np.errstate(all="ignore"):
            values = self._values(theta)
            shape = (len(theta), self._n)
            slopes = np.zeros((len(theta), theta.shape[1], self._n))
            pending: dict[int, Any] = {self._last: np.ones((1, 1))}
            for i in range(len(self._nodes) - 1, -1, -1):
                if i not in pending:
                    continue
                flow = pending.pop(i)
                kind, parts, value = self._nodes[i]
                if kind == COEFFICIENT:
                    slopes[:, value] += flow
                for part, slope in self._back(kind, parts, values, i, flow):
                    pending[part] = pending[part] + slope if part in pending else slope
            return np.broadcast_to(values[self._last], shape), slopes

    def _back(self, kind: str, parts: tuple[int, ...], values: list[Any], i: int, flow: Any) -> list[tuple[int, Any]]:
        """Give what each part of an operation receives of the slope that arrives at it."""
        live = [part for part in parts if self._nodes[part][0] not in (NUMBER, INPUT)]
        made: list[tuple[int, Any]] = []
        for place, part in enumerate(parts):
            if part not in live:
                continue
            other: Any = values[parts[1 - place]] if len(parts) == 2 else None
            if kind == "Add":
                slope = flow
            elif kind == "Sub":
                slope = flow if place == 0 else -flow
            elif kind == "neg":
                slope = -flow
            elif kind == "Mult":
                slope = flow * other
            elif kind == "Div":
                slope = flow / other if place == 0 else -flow * values[i] / values[part]
            elif kind == "Pow" and place == 0:
                slope = flow * other * values[i] / values[part]
            elif kind == "Pow":
                log = self._logs[parts[0]] if parts[0] in self._logs else np.log(other)
                slope = flow * values[i] * log
            elif kind == "exp":
                slope = flow * values[i]
            elif kind == "log":
                slope = flow / values[part]
            else:
                slope = flow / (2.0 * values[i])
            made.append((part, slope))
        return made


def _forward(kind: str, parts: list[Any]) -> Any:
    if kind == "Add":
        return parts[0] + parts[1]
    if kind == "Sub":
        return parts[0] - parts[1]
    if kind == "Mult":
        return parts[0] * parts[1]
    if kind == "Div":
        return parts[0] / parts[1]
    if kind == "Pow":
        return parts[0] ** parts[1]
    if kind == "neg":
        return -parts[0]
    return {"exp": np.exp, "log": np.log, "sqrt": np.sqrt}[kind](parts[0])
