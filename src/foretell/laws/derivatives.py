"""Straight-line code for a formula, its gradient and its Hessian in its coefficients."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from foretell.laws.cache import write_whole
from foretell.laws.formula import Formula

EMITTER = 4  # raise when the emitted text changes, so that old cached text is not read


@dataclass(frozen=True)
class Code:
    """Hold assignments in order, and the expressions of value, gradient and Hessian that use them.

    `features` names what a row must supply: an input `N`, or its logarithm `log N`, in the order of the variables
    `x0, x1, …`. Coefficients are the variables `c0, c1, …`. `fixed` depends on coefficients only; `row` on the row
    as well. `hessian` maps `"i,j"` with i ≤ j to an expression; what is absent is zero. `pairs` names where an
    amplitude i stands before exp(x · exponent j), as A before N^-alpha, with x's factors of the features.
    """

    features: tuple[str, ...]
    fixed: tuple[tuple[str, str], ...]
    row: tuple[tuple[str, str], ...]
    value: str
    gradient: tuple[str, ...]
    hessian: dict[str, str]
    pairs: tuple[tuple[int, int, tuple[float, ...]], ...]


def derive(formula: Formula, coefficients: Sequence[str], signed: frozenset[str], cache: Path) -> Code:
    """Differentiate a formula twice in its coefficients and return the code, from the cache where it is there.

    `signed` names the coefficients that may be negative: their powers are not split into logarithms.
    """
    key = json.dumps([EMITTER, formula.text, list(coefficients), sorted(signed)])
    path = cache / f"code_{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return Code(
            features=tuple(stored["features"]),
            fixed=tuple((name, text) for name, text in stored["fixed"]),
            row=tuple((name, text) for name, text in stored["row"]),
            value=stored["value"],
            gradient=tuple(stored["gradient"]),
            hessian=stored["hessian"],
            pairs=tuple((i, j, tuple(x)) for i, j, x in stored["pairs"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        code = _differentiate(formula, coefficients, signed)
        write_whole(path, json.dumps(asdict(code)).encode())
        return code


def _differentiate(formula: Formula, coefficients: Sequence[str], signed: frozenset[str]) -> Code:
    import sympy

    inputs = [name for name in formula.names if name not in coefficients]
    plain = {name: sympy.Symbol(f"in_{name}", positive=True) for name in inputs}
    logs = {name: sympy.Symbol(f"log_{name}", real=True) for name in inputs}
    thetas = [
        sympy.Symbol(f"c{i}", real=True) if name in signed else sympy.Symbol(f"c{i}", positive=True)
        for i, name in enumerate(coefficients)
    ]
    names = {**plain, **dict(zip(coefficients, thetas, strict=True))}
    expression = _powers_to_exp(formula.to_sympy(names), {plain[name]: logs[name] for name in inputs})
    pairs = _amplitudes(expression, thetas)
    expression, steps = _name_steps(expression)
    slopes: dict[Any, list[Any]] = {}  # of each named step, in every coefficient

    def derivative(part: Any, i: int) -> Any:
        chained = [sympy.diff(part, step) * slopes[step][i] for step in steps if part.has(step)]
        return sympy.diff(part, thetas[i]) + sum(chained, sympy.Integer(0))

    p = len(thetas)
    for step, (kind, argument) in steps.items():
        inner = [derivative(argument, i) for i in range(p)]
        slopes[step] = [step * slope if kind == "exp" else slope / argument for slope in inner]
    gradient = [derivative(expression, i) for i in range(p)]
    second = {(i, j): derivative(gradient[i], j) for i in range(p) for j in range(i, p)}
    second = {key: value for key, value in second.items() if value != 0}
    wanted = [*(argument for _, argument in steps.values()), expression, *gradient, *second.values()]
    used = {symbol for part in wanted for symbol in part.free_symbols}
    features = [(name, plain[name]) for name in inputs if plain[name] in used]
    features += [(f"log {name}", logs[name]) for name in inputs if logs[name] in used]
    variables = {symbol: sympy.Symbol(f"x{i}", real=True) for i, (_, symbol) in enumerate(features)}
    shared, outputs = sympy.cse(
        [part.xreplace(variables) for part in wanted], symbols=sympy.numbered_symbols("t"), optimizations=[]
    )
    pending = {symbol: (part.free_symbols, _write(part)) for symbol, part in shared}
    for (step, (kind, _)), argument in zip(steps.items(), outputs, strict=False):
        pending[step] = (argument.free_symbols, f"{kind}({_write(argument)})")
    outputs = outputs[len(steps) :]
    varying = set(variables.values())
    fixed, row = [], []
    while pending:  # each assignment after those it uses
        ready = [symbol for symbol, (needs, _) in pending.items() if not needs & pending.keys()]
        for symbol in ready:
            needs, text = pending.pop(symbol)
            if needs & varying:
                varying.add(symbol)
                row.append((str(symbol), text))
            else:
                fixed.append((str(symbol), text))
    return Code(
        features=tuple(name for name, _ in features),
        fixed=tuple(fixed),
        row=tuple(row),
        value=_write(outputs[0]),
        gradient=tuple(_write(part) for part in outputs[1 : 1 + p]),
        hessian={f"{i},{j}": _write(part) for (i, j), part in zip(second, outputs[1 + p :], strict=True)},
        pairs=tuple(
            (i, j, tuple(float(x.coeff(symbol)) for _, symbol in features))
            for (i, j), x in pairs.items()
            if all(x.coeff(symbol).is_number for _, symbol in features)
        ),
    )


def _amplitudes(expression: Any, thetas: Sequence[Any]) -> dict[tuple[int, int], Any]:
    """Find every product of a coefficient i and exp(… + x · coefficient j), x of the row only: give x by (i, j)."""
    import sympy

    index = {symbol: i for i, symbol in enumerate(thetas)}
    found: dict[tuple[int, int], Any] = {}

    def walk(part: Any, outside: Any) -> None:
        factors = part.args if part.is_Mul else (part,)
        exponents = outside + sum(factor.args[0] for factor in factors if isinstance(factor, sympy.exp))
        for factor in factors:
            if factor in index:
                for symbol, j in index.items():
                    x = sympy.expand(sympy.diff(exponents, symbol))
                    if x != 0 and symbol != factor and not x.free_symbols & index.keys():
                        found[index[factor], j] = x
            for inner in factor.args:
                walk(inner, exponents if factor.is_Add else sympy.Integer(0))

    walk(expression, sympy.Integer(0))
    return {(i, j): x for (i, j), x in found.items() if all(j != amplitude for amplitude, _ in found)}


def _name_steps(expression: Any) -> tuple[Any, dict[Any, tuple[str, Any]]]:
    """Replace every exp(…) and log(…) by a symbol, inner ones first, so that derivatives reuse its value."""
    import sympy

    steps: dict[Any, tuple[str, Any]] = {}
    known: dict[tuple[str, Any], Any] = {}

    def name(part: Any) -> Any:
        if not part.args:
            return part
        arguments = [name(argument) for argument in part.args]
        if isinstance(part, sympy.exp | sympy.log):
            step = ("exp" if isinstance(part, sympy.exp) else "log", arguments[0])
            if step not in known:
                known[step] = sympy.Symbol(f"s{len(steps)}", positive=True if step[0] == "exp" else None, real=True)
                steps[known[step]] = step
            return known[step]
        return part.func(*arguments)

    return name(expression), steps


def _powers_to_exp(expression: Any, logs: dict[Any, Any]) -> Any:
    """Write every power with a varying exponent as exp(exponent · log base), with logarithms of inputs as symbols."""
    import sympy

    def log_of(base: Any) -> Any:
        expanded = sympy.expand_log(sympy.log(base), force=False)
        return expanded.xreplace({sympy.log(symbol): log for symbol, log in logs.items()})

    def is_power(part: Any) -> bool:
        return bool(part.is_Pow and not part.exp.is_number)

    def rebuild(part: Any) -> Any:
        if not part.args:
            return part
        arguments = [rebuild(argument) for argument in part.args]
        if is_power(part) or (part.is_Pow and part.exp.is_number and not (2 * part.exp).is_integer):
            return sympy.exp(arguments[1] * log_of(arguments[0]))
        if isinstance(part, sympy.log):
            return log_of(arguments[0])
        return part.func(*arguments)

    merged = sympy.powsimp(rebuild(expression), combine="exp", deep=True)
    return merged.xreplace({sympy.log(symbol): log for symbol, log in logs.items()})


def _write(part: Any) -> str:
    """Write a SymPy expression as Python that calls only exp, log and sqrt."""
    import sympy

    if part.is_Symbol:
        return str(part)
    if part.is_Number:
        return repr(float(part))
    if part.is_Add:
        terms = [_write(argument) for argument in part.args]
        return "(" + " + ".join(terms) + ")"
    if part.is_Mul:
        over = [argument for argument in part.args if argument.is_Pow and argument.exp.is_negative]
        top = [argument for argument in part.args if argument not in over]
        text = " * ".join(_write(argument) for argument in top) or "1.0"
        if over:
            below = " * ".join(_write(sympy.Pow(argument.base, -argument.exp)) for argument in over)
            return f"(({text}) / ({below}))"
        return f"({text})"
    if part.is_Pow and part.exp.is_number:
        base = _write(part.base)
        if part.exp.is_negative:
            return f"(1.0 / {_write(sympy.Pow(part.base, -part.exp))})"
        twice = int(2 * part.exp)
        factors = [base] * (twice // 2) + ([f"sqrt({base})"] if twice % 2 else [])
        return "(" + " * ".join(factors) + ")"
    if isinstance(part, sympy.exp):
        return f"exp({_write(part.args[0])})"
    if isinstance(part, sympy.log):
        return f"log({_write(part.args[0])})"
    raise AssertionError(f"{part} is not plain arithmetic")
