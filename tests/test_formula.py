"""A formula is plain arithmetic, and nothing in it is ever executed."""

import ast
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.errors import FormulaError
from foretell.laws.formula import Formula

names = st.sampled_from(["N", "D", "alpha", "x1"])
trees = st.recursive(
    st.one_of(names, st.floats(0.1, 10).map(lambda x: f"{x:.3g}")),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda t: f"exp(-({t})**2)"),
        inner.map(lambda t: f"(-{t})"),
    ),
    max_leaves=8,
)


@given(trees)
def test_arithmetic_has_the_value_that_python_gives_it(text):
    values = {"N": 2.0, "D": 3.0, "alpha": 0.5, "x1": 1.5}
    try:
        expected = eval(text, {"__builtins__": {}}, {**values, "exp": math.exp})
        found = Formula(text).evaluate({name: np.array([value]) for name, value in values.items()})
    except (ZeroDivisionError, OverflowError, FormulaError):
        return  # a constant that is not finite is refused; division by a zero constant has no value to compare
    np.testing.assert_allclose(np.ravel(found)[0], expected, rtol=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')", "__import__('os').system('ls')", "N.real", "N[0]", "'N'", "lambda: 1", "[N]", "N if D else 1",
        "N < D", "open('x')", "exp(N, D)", "exp(x=N)", "_N", "__class__", "log", "eval('1')", "N := 3", "N; D", "N^2", "",
        "True", "1e999", "1/0", "f'{N}'", "getattr(N, 'x')", "N @ D", "N // D", "N % D", "N & D", "~N", "not N", "1j", "...",
        "exp(log)", "(lambda: N)()", "exp.__class__", "N\nD", "\x00",
    ],
)  # fmt: skip
def test_what_is_not_arithmetic_is_refused(text):
    with pytest.raises(FormulaError):
        Formula(text)


@given(st.text(max_size=30))
def test_any_text_is_a_formula_of_the_whitelist_or_refused(text):
    try:
        formula = Formula(text)
    except FormulaError:
        return
    for node in ast.walk(formula.tree):
        assert isinstance(
            node,
            ast.Constant | ast.Name | ast.BinOp | ast.UnaryOp | ast.Call | ast.operator | ast.unaryop | ast.Load,
        )


def test_a_forbidden_call_is_named_with_those_allowed():
    with pytest.raises(FormulaError, match=r"calls __import__; only exp, log, sqrt"):
        Formula("__import__('os')")


def test_a_deep_formula_is_refused_and_not_a_crash():
    with pytest.raises(FormulaError):
        Formula("(" * 5000 + "N" + ")" * 5000)
    with pytest.raises(FormulaError):
        Formula("-" * 500 + "N")


def test_names_are_listed_once_in_order_without_functions():
    assert Formula("E + A/N**alpha + exp(A)*D").names == ("E", "A", "N", "alpha", "D")


def test_a_name_without_a_value_is_told():
    with pytest.raises(FormulaError, match="needs D"):
        Formula("N*D").evaluate({"N": np.ones(2)})
